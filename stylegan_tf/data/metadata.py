"""Metadata of an image file: used for its orientation, and never in the way.

Cameras and programs write EXIF blocks, color profiles and texts that are broken, or
larger than Pillow takes, around pixels that are sound. `is_sideways` and `turn_upright`
read the orientation and ignore what cannot be read. `without_metadata` drops from a
PNG or JPEG all that does not change its pixels, for a second try.
"""

import struct
import zlib
from collections.abc import Iterator

from PIL import Image

_ORIENTATION = 0x0112  # EXIF tag; values from 5 on swap height and width
_SIDEWAYS = 5
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_SCAN = 0xDA  # marker of a JPEG: pixels begin
_ALONE = frozenset((0x01, *range(0xD0, 0xD9)))  # markers without a length
_NOTES = frozenset((*range(0xE1, 0xEE), 0xEF, 0xFE))  # but APP0 and APP14 (Adobe)


def _orientation(image: Image.Image) -> int:
    """Returns the EXIF orientation, 1 (upright) where there is none or none is read."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
        value = value[0] if isinstance(value, tuple) else value
        return int(value) if int(value) in _TURNS else 1
    except Exception:  # Pillow raises nearly every type there is
        return 1


def is_sideways(image: Image.Image) -> bool:
    """Returns True if height and width are swapped when the image stands upright."""
    return _orientation(image) >= _SIDEWAYS


def turn_upright(image: Image.Image) -> Image.Image:
    """Returns an image turned as its EXIF orientation says."""
    turn = _TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def without_metadata(data: bytes, keep_exif: bool = False) -> bytes:
    """Returns a PNG or JPEG file without texts, profiles and EXIF; others as they are.

    Args:
        data: the file; what is damaged is kept.
        keep_exif: keep EXIF, for its orientation.
    """
    try:
        if data.startswith(_PNG):
            return b"".join(_png_parts(data, keep_exif))
        if data.startswith(_JPEG):
            return b"".join(_jpeg_parts(data, keep_exif))
    except (struct.error, IndexError):
        pass
    return data


def _png_parts(data: bytes, keep_exif: bool) -> Iterator[bytes]:
    yield _PNG
    at = len(_PNG)
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length  # length, kind and CRC
        exif = kind == b"eXIf" and data[end - 4 : end] == _crc(data[at + 4 : end - 4])
        if kind in _PNG_KEPT or (exif and keep_exif):
            yield data[at:end]
        at = end


def _crc(data: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(data))


def _jpeg_parts(data: bytes, keep_exif: bool) -> Iterator[bytes]:
    yield _JPEG
    at = len(_JPEG)
    while data[at] == 0xFF and data[at + 1] != _SCAN:
        marker, end = data[at + 1], at + 2
        if marker == 0xFF:  # padding
            at += 1
            continue
        if marker not in _ALONE:
            end += struct.unpack_from(">H", data, end)[0]
        exif = data[at + 4 : at + 8] == b"Exif"
        if marker not in _NOTES or (exif and keep_exif):
            yield data[at:end]
        at = end
    yield data[at:]
