"""One picture, from the bytes of a file to the pixels of every level.

`decode` opens anything Pillow knows, `fit` brings it to the wanted size and channels,
`pyramid` makes the lower levels and `encode` the bytes that are stored. Whatever goes
wrong with a picture ends in a `BadPicture` that says why, so one damaged file costs
one line in a list and not the conversion. Pillow and NumPy only: worker processes
import this and must start at once.
"""

import contextlib
import io
import warnings
import zlib
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

CROPS = ("center", "pad", "none")
MAX_UPSCALE = 2  # a picture enlarged further than this is blur, not data
REDUCE = 3.0  # how much larger than wanted the mean over whole pixels may leave it
DRAFT = 3  # how much larger than wanted a JPEG is decoded, if a draft is enough
_ORIENTATION = 0x0112  # EXIF tag; values from 5 on swap height and width
_SIDEWAYS = 5


class BadPicture(Exception):
    """A picture that cannot be used; `reason` says why in a few words."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


class Header(NamedTuple):
    """What a picture's header tells before its pixels are read."""

    height: int  # after the EXIF rotation
    width: int
    gray: bool


@contextlib.contextmanager
def reasons():
    """Turns whatever reading a picture may raise into a BadPicture.

    Raises:
        BadPicture: in place of any other exception of the block.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            yield
        except BadPicture:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as e:
            limit = Image.MAX_IMAGE_PIXELS
            raise BadPicture(f"more than {limit:,} pixels, too large to open") from e
        except UnidentifiedImageError as e:
            raise BadPicture("not a picture in a known format") from e
        except MemoryError as e:
            raise BadPicture("not enough memory to open it") from e
        except Exception as e:  # decoders raise nearly every type there is
            raise BadPicture(_reason(e)) from e


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno:
        return f"cannot be read: {error.strerror}"
    lines = str(error).strip().splitlines()
    return f"damaged: {lines[0] if lines else type(error).__name__}"


def header(file) -> Header:
    """Size and kind of a picture, without decoding it.

    Args:
        file: binary file open for reading.

    Raises:
        BadPicture: it is not a picture, or larger than Pillow's limit.
    """
    with reasons():
        if not file.read(1):
            raise BadPicture("the file is empty")
        file.seek(0)
        image = Image.open(file)
        width, height = image.size
        if image.getexif().get(_ORIENTATION, 1) >= _SIDEWAYS:
            width, height = height, width
        gray = image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I")
        return Header(height, width, gray)


def decode(data: bytes, draft: int = 0) -> Image.Image:
    """The picture in the bytes of a file, upright. The first frame, if there are more.

    Args:
        data: the file.
        draft: where this is a size in pixels, a JPEG whose sides are several times that
            large is decoded at a half, a quarter or an eighth, `DRAFT` times as large
            or larger: the mean over blocks of pixels, in a fraction of the time.

    Raises:
        BadPicture: empty, truncated, damaged, too large or no picture at all.
    """
    with reasons():
        if not data:
            raise BadPicture("the file is empty")
        image = Image.open(io.BytesIO(data))
        if draft:
            image.draft(None, (DRAFT * draft, DRAFT * draft))  # nothing but for JPEG
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return image


# ---------------------------------------------------------------------------
# Size and channels


def fit(
    image: Image.Image | np.ndarray,
    shape: tuple[int, int],
    channels: int,
    crop: str = "center",
) -> np.ndarray:
    """A picture at the size and with the channels that a data set asks for.

    Resampling is Lanczos, where a picture is several times too large after a mean over
    blocks of pixels that leaves it `REDUCE` times as large or larger. A picture that
    already has the size keeps its pixels, bit for bit. 16-bit values are scaled by
    255/65535. Transparency is laid over white for 1 and 3 channels and kept for 4.

    Args:
        image: what `decode` returned, or uint8 [h, w, c] with 1, 3 or 4 channels.
        shape: height and width to reach.
        channels: 1 (gray), 3 (RGB) or 4 (RGBA).
        crop: "center" cuts the largest centered part of the wanted aspect, "pad" shows
            all of the picture between black bars (transparent ones with 4 channels),
            "none" takes only pictures of exactly this size.

    Returns:
        uint8 [height, width, channels].

    Raises:
        BadPicture: the size does not suit: another one with crop "none", or less than
            half of what is wanted. Or the pixels have no meaning as a picture.
    """
    with reasons():
        if isinstance(image, np.ndarray):
            image = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        image = _with_channels(image, channels)
        if image.size != (shape[1], shape[0]):
            image = _RESIZE[crop](image, *shape)
        return np.array(image).reshape(*shape, channels)


def _with_channels(image: Image.Image, channels: int) -> Image.Image:
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    if image.mode == "F":
        raise BadPicture(
            "floating-point pixels of unknown range; save it with 8 or 16 bits"
        )
    if channels == 4:
        return _in_mode(image, "RGBA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return _in_mode(image, "L" if channels == 1 else "RGB")


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)


def _eight_bits(image: Image.Image) -> Image.Image:
    pixels = np.asarray(image)
    if pixels.min() < 0 or pixels.max() > 65535:
        raise BadPicture("32-bit pixels of unknown range; save it with 8 or 16 bits")
    return Image.fromarray(np.rint(pixels / 257.0).astype(np.uint8))


def _center(image: Image.Image, height: int, width: int) -> Image.Image:
    scale = min(image.width / width, image.height / height)
    _check_scale(image, scale, height, width)
    # Whole pixels, so that a picture which only loses its edges is not resampled.
    w, h = round(width * scale), round(height * scale)
    left, top = (image.width - w) // 2, (image.height - h) // 2
    image = image.crop((left, top, left + w, top + h))
    if image.size == (width, height):
        return image
    return _resampled(image, (width, height))


def _pad(image: Image.Image, height: int, width: int) -> Image.Image:
    scale = max(image.width / width, image.height / height)
    _check_scale(image, scale, height, width)
    size = max(round(image.width / scale), 1), max(round(image.height / scale), 1)
    if size != image.size:
        image = _resampled(image, size)
    canvas = Image.new(image.mode, (width, height))
    canvas.paste(image, ((width - size[0]) // 2, (height - size[1]) // 2))
    return canvas


def _resampled(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=REDUCE)


def _exactly(image: Image.Image, height: int, width: int) -> Image.Image:
    raise BadPicture(
        f"is {image.height}x{image.width}, and crop=none takes only {height}x{width}"
    )


def _check_scale(image: Image.Image, scale: float, height: int, width: int) -> None:
    if scale * MAX_UPSCALE < 1:
        raise BadPicture(
            f"is {image.height}x{image.width}, too small for {height}x{width} "
            f"(it would be enlarged {1 / scale:.1f} times)"
        )


_RESIZE = {"center": _center, "pad": _pad, "none": _exactly}


# ---------------------------------------------------------------------------
# Levels


def pyramid(pixels: np.ndarray, count: int) -> list[np.ndarray]:
    """The levels of one picture, each half the size of the next.

    Every level is the mean over 2 x 2 of the next one *before* it was rounded, so
    rounding errors do not add up on the way down.

    Args:
        pixels: uint8 [..., h, w, c], with h and w divisible by 2^(count - 1).
        count: how many levels.

    Returns:
        `count` uint8 arrays, from the smallest to `pixels` itself.
    """
    levels = [pixels]
    exact = pixels.astype(np.float32)
    for _ in range(count - 1):
        rows = exact[..., ::2, :, :] + exact[..., 1::2, :, :]
        *some, w, channels = rows.shape
        exact = np.empty((*some, w // 2, channels), np.float32)
        for c in range(channels):  # not all at once: NumPy is slow over short axes
            np.add(rows[..., ::2, c], rows[..., 1::2, c], out=exact[..., c])
        exact *= 0.25  # no rounding here: 24 bits hold the means of 1024 x 1024
        levels.append(np.rint(exact).astype(np.uint8))
    return levels[::-1]


def encode(pixels: np.ndarray, encoding: str) -> bytes:
    """The bytes that a data set stores for uint8 [h, w, c].

    Args:
        pixels: uint8 [h, w, c].
        encoding: "raw" pixels, a "png", or "planes": raw pixels in c, h, w order.
    """
    if encoding == "raw":
        return pixels.tobytes()
    if encoding == "planes":
        return pixels.transpose(2, 0, 1).tobytes()
    # Run lengths alone: photographs hardly repeat themselves, and to search them for
    # strings that do takes longer and packs no better.
    file = io.BytesIO()
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    image.save(file, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
    return file.getvalue()
