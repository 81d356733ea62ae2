"""Pictures with broken metadata, odd depths and files without end."""

import io
import os
import struct
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pytest
from bad_folders import PNG, RGB, encoded, make_folder
from PIL import Image

from stylegan_tf.data import (
    convert,
    metadata,
    sources,
)
from stylegan_tf.data.images import BadImage, decode_image, fit_image, read_header

# ---------------------------------------------------------------------------
# Images whose pixels are sound


def png_chunk(kind: bytes, data: bytes, crc: bytes | None = None) -> bytes:
    crc = struct.pack(">I", zlib.crc32(kind + data)) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + crc


def with_chunk(chunk: bytes) -> bytes:
    """The picture with a chunk before its pixels."""
    at = PNG.index(b"IDAT") - 4
    return PNG[:at] + chunk + PNG[at:]


EXIF = Image.Exif()
EXIF[0x0112] = 6
SIDEWAYS = EXIF.tobytes().removeprefix(b"Exif\0\0")
LARGE = zlib.compress(bytes(2 << 20))
SOUND = {
    "EXIF of garbage": with_chunk(png_chunk(b"eXIf", b"\1\2garbage")),
    "empty EXIF": with_chunk(png_chunk(b"eXIf", b"")),
    "EXIF with a wrong checksum": with_chunk(png_chunk(b"eXIf", SIDEWAYS, bytes(4))),
    "EXIF as text": with_chunk(
        png_chunk(b"tEXt", b"Raw profile type exif\0\n\nxx\nzz")
    ),
    "large text": with_chunk(png_chunk(b"zTXt", b"a\0\0" + LARGE)),
    "large iTXt": with_chunk(png_chunk(b"iTXt", b"a\0\1\0\0\0" + LARGE)),
    "large profile": with_chunk(png_chunk(b"iCCP", b"a\0\0" + LARGE)),
    "profile packed otherwise": with_chunk(png_chunk(b"iCCP", b"a\0\7" + LARGE)),
    "text with a wrong checksum": with_chunk(png_chunk(b"tEXt", b"a\0b", bytes(4))),
    "text after the pixels": PNG[:-12]
    + png_chunk(b"zTXt", b"a\0\0" + LARGE)
    + PNG[-12:],
    "a broken time": with_chunk(png_chunk(b"tIME", b"\1")),
    "a broken resolution": with_chunk(png_chunk(b"pHYs", b"\1")),
}


@pytest.mark.parametrize("data", SOUND.values(), ids=SOUND)
def test_metadata_never_cost_a_picture(data):
    np.testing.assert_array_equal(np.asarray(decode_image(data)), RGB)
    assert read_header(io.BytesIO(data))[:2] == (24, 16)


def test_pixels_that_are_not_sound_are_still_damaged():
    for data in (PNG[:-40], SOUND["large text"][:-40]):
        with pytest.raises(BadImage, match="damaged"):
            decode_image(data)


def test_the_orientation_survives_what_hinders_the_rest():
    exif = png_chunk(b"eXIf", SIDEWAYS)
    data = with_chunk(exif + png_chunk(b"zTXt", b"a\0\0" + LARGE))
    np.testing.assert_array_equal(np.asarray(decode_image(data)), np.rot90(RGB, -1))
    assert read_header(io.BytesIO(data))[:2] == (16, 24)


@pytest.mark.parametrize("value", ["6", b"6", (6, 1), 6.0, 0, 99, -1, 1 << 20])
def test_an_orientation_of_any_kind(value, monkeypatch):
    image = Image.fromarray(RGB)
    monkeypatch.setattr(Image.Image, "getexif", lambda self: {0x0112: value})
    turned = value in ("6", b"6", (6, 1), 6.0)
    assert metadata.turn_upright(image).size == ((24, 16) if turned else (16, 24))


def test_jpegs_lose_their_notes_and_keep_their_pixels():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(RGB, "JPEG", exif=exif, icc_profile=bytes(3000), comment=b"hello")
    plain = metadata.without_metadata(data)
    assert len(plain) < len(data) - 3000 and b"hello" not in plain
    pixels = np.asarray(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(plain))), pixels)
    kept = metadata.without_metadata(data, keep_exif=True)
    assert Image.open(io.BytesIO(kept)).getexif()[0x0112] == 6
    cmyk = encoded(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "JPEG")
    bare = metadata.without_metadata(cmyk)  # Adobe's mark tells the colors
    np.testing.assert_array_equal(decode_image(bare), decode_image(cmyk))
    for odd in (data[:30], b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n\0", b"", b"x"):
        assert metadata.without_metadata(odd) == odd


def test_colors_of_printers_and_cameras():
    lab = Image.new("LAB", (8, 8), (128, 128, 128))
    gray = fit_image(lab, (8, 8), 3)
    assert np.ptp(gray.astype(int)) < 8 and 100 < gray.mean() < 140
    for mode in ("CMYK", "YCbCr", "HSV", "PA", "La", "RGBa", "RGBX", "1", "P"):
        for channels in (1, 3, 4):
            fitted = fit_image(Image.new(mode, (8, 8)), (8, 8), channels)
            assert fitted.shape == (8, 8, channels), mode


def test_programs_are_no_pictures():
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99)
    for read in (decode_image, lambda data: read_header(io.BytesIO(data))):
        with pytest.raises(BadImage, match="HEIC, which is not read; export it as"):
            read(heic)
        with pytest.raises(BadImage, match="not a picture in a known format"):
            read(eps)


@pytest.mark.parametrize(
    ("dtype", "high", "white"),
    [
        (np.uint16, 1, 1),
        (np.uint16, 200, 255),
        (np.uint16, 1000, 1023),
        (np.uint16, 4095, 4095),
        (np.uint16, 9000, 16383),
        (np.uint16, 65535, None),
        (np.int32, 4000, 4095),
        (np.float32, 1, 1),
        (np.float32, 250, 255),
        (np.float32, 60000, 65535),
    ],
)
def test_deep_pictures_are_as_bright_as_their_set(tmp_path, dtype, high, white):
    for i in range(3):
        ramp = np.linspace(0, high * (i + 1) / 3, 256).astype(dtype).reshape(16, 16)
        Image.fromarray(ramp).save(tmp_path / f"{i}.tif")
    source = sources.open_source(str(tmp_path))
    layout = convert.choose_layout(source, 16, "none")
    assert layout.white == white and layout.channels == 1
    assert [f"so {white} is taken as white" in n for n in layout.notes] == (
        [] if white is None else [True]
    )
    pixels = [convert._fitted(source, layout, i)[0] for i in range(3)]
    top = 255 * high / (white or 65535)
    for i in range(3):
        assert abs(int(pixels[i].max()) - top * (i + 1) / 3) <= 1.01 * 255 / min(
            high, 255
        )


def test_white_may_be_zero():
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    file = io.BytesIO()
    Image.fromarray(65535 - ramp).save(file, "TIFF")
    black, white = (struct.pack("<HHIHH", 262, 3, 1, kind, 0) for kind in (1, 0))
    assert file.getvalue().count(black) == 1
    data = file.getvalue().replace(black, white)
    np.testing.assert_array_equal(np.asarray(decode_image(data)), ramp)
    floats = io.BytesIO()
    Image.fromarray(ramp.astype(np.float32)).save(floats, "TIFF")
    with pytest.raises(BadImage, match="32 bits whose white is 0"):
        decode_image(floats.getvalue().replace(black, white))


def test_deep_pictures_beyond_the_others_are_left_out(tmp_path):
    pixels = np.eye(8, dtype=np.uint16) * 5000
    with pytest.raises(BadImage, match="from 0 to 5000, and white is 4095"):
        fit_image(Image.fromarray(pixels), (8, 8), 1, white=4095.0)
    light = Image.fromarray(np.eye(8, dtype=np.float32))
    with pytest.raises(BadImage, match="up to 1 among others up to 4095"):
        fit_image(light, (8, 8), 1, white=4095.0)
    with pytest.raises(BadImage, match="not finite"):
        fit_image(Image.fromarray(np.full((8, 8), np.nan, np.float32)), (8, 8), 1)


def test_dark_sets_are_said(tmp_path):
    Image.fromarray(RGB // 64).save(tmp_path / "a.png")
    notes = convert.choose_layout(sources.open_source(str(tmp_path)), 16).notes
    assert "nearly black: the brightest value in 1 of them is 3 of 255" in notes[0]
    Image.fromarray(RGB).save(tmp_path / "b.png")
    assert not convert.choose_layout(sources.open_source(str(tmp_path)), 16).notes


# ---------------------------------------------------------------------------
# Files without end. In a process of its own, with little memory.

HOSTILE = """
import os, resource, sys, zipfile
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
from stylegan_tf.data import convert, sources
from stylegan_tf.errors import UserError

root = Path(sys.argv[1])
for path, labels in [
    (root / "pipes", "auto"),
    (root / "huge", "auto"),
    (root / "json", "auto"),
    (root / "zip.zip", "auto"),
    (root / "pipes" / "a.png", "auto"),
    (root / "fine", "/dev/zero"),
    (root / "fine", str(root / "pipes" / "a.png")),
    (root / "fine", str(root / "huge" / "a.png")),
]:
    try:
        convert.choose_layout(sources.open_source(str(path), labels))
        print("nothing is said of", path)
    except UserError as e:
        print(str(e).replace(str(root), ""))
status = Path("/proc/self/status").read_text()  # ru_maxrss is the parent's
print(int(status.split("VmHWM:")[1].split()[0]) >> 10)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_files_without_end_take_no_memory(tmp_path):
    for folder in ("pipes", "huge", "json", "fine"):
        (tmp_path / folder).mkdir()
    make_folder(tmp_path / "fine"), make_folder(tmp_path / "json")
    os.mkfifo(tmp_path / "pipes" / "a.png")
    (tmp_path / "pipes" / "b.png").symlink_to("/dev/zero")
    for name in ("huge/a.png", "json/dataset.json"):
        with open(tmp_path / name, "wb") as file:
            file.truncate(2_700_000_000)
    with zipfile.ZipFile(tmp_path / "zip.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(1000))
        archive.infolist()[0].file_size = 2_700_000_000
    done = subprocess.run(
        [sys.executable, "-c", HOSTILE, str(tmp_path)],
        env=os.environ | {"STYLEGAN_TF_LAZY": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    *lines, megabytes = done.stdout.splitlines()
    pairs = zip(
        lines,
        [
            "a.png: cannot be read: it is a pipe, not a file",
            "it is 2.7 GB, and at most 537 MB are read",
            "dataset.json in /json cannot be read: it is 2.7 GB, and at most 268 MB",
            "it is 2.7 GB, and at most 537 MB are read",
            "/pipes/a.png cannot be read: it is a pipe, not a file",
            "'/dev/zero': it is a device, not a file",
            "it is a pipe, not a file; give auto, none",
            "it is 2.7 GB, and at most 268 MB",
        ],
        strict=True,
    )
    for line, words in pairs:
        assert words in line, done.stdout
    assert int(megabytes) < 300


def test_a_member_may_not_unpack_to_more_than_an_image(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", PNG + bytes(5000))
    source = sources.open_source(str(tmp_path / "a.zip"))
    assert source.read(0, 8)[0].size == (16, 24)
    monkeypatch.setattr(sources.files, "MOST_BYTES", 3000)
    for read in (source.peek, lambda i: source.read(i, 8)):
        with pytest.raises(BadImage, match="at most 3 kB are read"):
            read(0)
