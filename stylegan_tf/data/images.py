"""One image, from the bytes of a file to the pixels of every level.

`decode_image` opens the formats that cameras and programs write, `fit_image` brings an
image to the wanted size and channels, `pyramid` makes the lower levels and
`encode_image` the bytes that are stored. Every fault of an image ends in a `BadImage`
that says why, so a damaged file costs one line in a list and not the conversion.
An image whose pixels decode is used, whatever its metadata hold (see `metadata`).
Pillow and NumPy only: worker processes import this and must start at once.
"""

import contextlib
import io
import warnings
import zlib
from collections.abc import Callable, Iterator
from typing import IO, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from stylegan_tf.data.metadata import is_sideways, turn_upright, without_metadata

# Formats that are only decoded; EPS, for one, is a program that Pillow would run.
FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "BMP", "DIB", "DDS", "GIF", "ICO", "ICNS")
FORMATS += ("JPEG2000", "PCX", "PPM", "PSD", "QOI", "SGI", "TGA", "TIFF")
MOST_BYTES = 1 << 29  # of an image file: the largest image, stored without compression
CROPS = ("center", "pad", "none")
MAX_UPSCALE = 2  # an image enlarged further than this is blur, not data
REDUCE = 3.0  # how much larger than wanted the mean over whole pixels may leave it
DRAFT = 3  # how much larger than wanted a JPEG is decoded, if a draft is enough
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
_PHOTOMETRIC = 262  # the tag of a TIFF that says whether 0 is white
WHITE = 65535.0  # the value of white in 16 and 32 bits, unless another one is known


class BadImage(Exception):  # noqa: N818
    """An image that cannot be used.

    Args:
        reason: why, in a few words.
    """

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


class Header(NamedTuple):
    """Size and kind of an image, known before its pixels are read."""

    height: int  # after the EXIF rotation
    width: int
    gray: bool
    deep: bool = False  # 16 or 32 bits per pixel, in one channel


@contextlib.contextmanager
def bad_image_reasons() -> Iterator[None]:
    """Turns every exception that reading an image may raise into a BadImage.

    Raises:
        BadImage: in place of any other exception of the block.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            yield
        except BadImage:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as e:
            limit = Image.MAX_IMAGE_PIXELS
            raise BadImage(f"more than {limit:,} pixels, too large to open") from e
        except UnidentifiedImageError as e:
            raise BadImage("not a picture in a known format") from e
        except MemoryError as e:
            raise BadImage("not enough memory to open it") from e
        except Exception as e:  # decoders raise nearly every type there is
            raise BadImage(_reason(e)) from e


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno:
        return f"cannot be read: {error.strerror}"
    lines = str(error).strip().splitlines()
    return f"damaged: {lines[0] if lines else type(error).__name__}"


def read_header(file: IO[bytes]) -> Header:
    """Reads size and kind of an image, without decoding it.

    Args:
        file: open for reading.

    Raises:
        BadImage: it is no image, or larger than Pillow's limit.
    """
    with bad_image_reasons():
        if not file.read(1):
            raise BadImage("the file is empty")
        image = _opened(file)
        width, height = image.size
        if is_sideways(image):
            width, height = height, width
        deep = image.mode == "F" or image.mode.startswith("I")
        gray = deep or image.mode in ("1", "L", "LA", "La")
        return Header(height, width, gray, deep)


def decode_image(data: bytes, draft: int = 0) -> Image.Image:
    """Decodes the bytes of a file to an upright image, the first frame of several.

    Args:
        data: the file.
        draft: a size in pixels, or 0. A JPEG whose sides are several times that large
            is decoded at a half, a quarter or an eighth, still `DRAFT` times as large
            or larger: the mean over blocks of pixels, in a fraction of the time.

    Raises:
        BadImage: empty, truncated, damaged, too large or no image at all.
    """
    with bad_image_reasons():
        if not data:
            raise BadImage("the file is empty")
        return turn_upright(_opened(io.BytesIO(data), _load, draft))


def _opened(file: IO[bytes], load: Callable | None = None, *args) -> Image.Image:
    """Opens an image, and once more without its metadata if those hinder it."""
    try:
        file.seek(0)
        image = Image.open(file, formats=FORMATS)
        return load(image, *args) if load else image
    except Exception as e:
        file.seek(0)
        data = file.read(MOST_BYTES)
        for keep_exif in (True, False):
            plain = without_metadata(data, keep_exif)
            with contextlib.suppress(Exception):
                image = Image.open(io.BytesIO(plain), formats=FORMATS)
                return load(image, *args) if load else image
        if _is_heic(data):
            raise BadImage("HEIC, which is not read; export it as JPEG or PNG") from e
        raise


def _load(image: Image.Image, draft: int) -> Image.Image:
    if draft:
        image.draft(None, (DRAFT * draft, DRAFT * draft))  # nothing but for JPEG
    white_is_zero = image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == 0
    image.load()
    deep = image.mode == "F" or image.mode.startswith("I")
    return _inverted(image) if white_is_zero and deep else image


def _inverted(image: Image.Image) -> Image.Image:
    """Returns 16 bits with 0 as black; Pillow inverts 1 to 8 bits by itself."""
    if not image.mode.startswith("I;16"):
        raise BadImage("a TIFF of 32 bits whose white is 0; save it with 8 or 16 bits")
    return Image.fromarray((WHITE - np.asarray(image)).astype(np.uint16))


# ---------------------------------------------------------------------------
# Size and channels


def fit_image(
    image: Image.Image | np.ndarray,
    shape: tuple[int, int],
    channels: int,
    crop: str = "center",
    white: float | None = None,
) -> np.ndarray:
    """Brings an image to the size and the channels that a data set asks for.

    Resampling is Lanczos. An image that is several times too large is first reduced by
    a mean over blocks of pixels, to `REDUCE` times the size or more. An image that
    has the size already keeps its pixels, bit for bit. Values of 16 or 32 bits are
    scaled by 255 / white. Transparency is laid over white for 1 and 3 channels and
    kept for 4.

    Args:
        image: from `decode_image`, or uint8 [h, w, c] with 1, 3 or 4 channels.
        shape: height and width to reach.
        channels: 1 (gray), 3 (RGB) or 4 (RGBA).
        crop: "center" cuts the largest centered part of the wanted aspect, "pad" shows
            all of the image between black bars (transparent ones with 4 channels),
            "none" takes only images of exactly this size.
        white: the value of white in images of 16 or 32 bits per pixel; None is 65535,
            and does not know floating-point pixels.

    Returns:
        uint8 [height, width, channels].

    Raises:
        BadImage: the size does not fit (another one with crop "none", or less than
            half of the wanted one), or the range of the pixels is unknown.
    """
    with bad_image_reasons():
        if isinstance(image, np.ndarray):
            image = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        image = _with_channels(image, channels, white)
        if image.size != (shape[1], shape[0]):
            image = _RESIZE[crop](image, *shape)
        return np.array(image).reshape(*shape, channels)


def _with_channels(
    image: Image.Image, channels: int, white: float | None
) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        image = _eight_bits(image, white)
    if channels == 4:
        return _in_mode(image, "RGBA")
    if image.has_transparency_data:
        image = _in_mode(image, "RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return _in_mode(image, "L" if channels == 1 else "RGB")


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == mode:
        return image
    if image.mode == "LAB":
        image = _lab_to_rgb(image)
    if image.mode == "La":  # premultiplied
        image = image.convert("LA")
    return image.convert(mode)


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.profileToProfile(image, lab, rgb, outputMode="RGB")


def deep_range(image: Image.Image) -> tuple[float, float]:
    """Returns the least and the largest value of an image of 16 or 32 bits per pixel.

    Raises:
        BadImage: it has values that are not finite.
    """
    pixels = np.asarray(image)
    low, high = float(pixels.min()), float(pixels.max())
    if not np.isfinite([low, high]).all():
        raise BadImage("it has pixels that are not finite")
    return low, high


def _is_heic(data: bytes) -> bool:
    return data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS


def _eight_bits(image: Image.Image, white: float | None) -> Image.Image:
    low, high = deep_range(image)
    if white is None and image.mode == "F":
        raise BadImage(
            "floating-point pixels of unknown range; save it with 8 or 16 bits"
        )
    white = white or WHITE
    if image.mode == "F" and 0 < high <= 1 < white:
        raise BadImage(
            f"floating-point pixels up to {high:g} among others up to {white:g}; save "
            f"it with 8 or 16 bits"
        )
    if low < 0 or high > white:
        raise BadImage(
            f"its values go from {low:g} to {high:g}, and white is {white:g}; save it "
            f"with 8 bits"
        )
    scaled = np.asarray(image).astype(np.float32) / np.float32(white / 255)
    return Image.fromarray(np.rint(scaled).astype(np.uint8))


def _center(image: Image.Image, height: int, width: int) -> Image.Image:
    scale = min(image.width / width, image.height / height)
    _check_scale(image, scale, height, width)
    # Whole pixels, so that an image which only loses its edges is not resampled.
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
    raise BadImage(
        f"is {image.height}x{image.width}, and crop=none takes only {height}x{width}"
    )


def _check_scale(image: Image.Image, scale: float, height: int, width: int) -> None:
    if scale * MAX_UPSCALE < 1:
        raise BadImage(
            f"is {image.height}x{image.width}, too small for {height}x{width} "
            f"(it would be enlarged {1 / scale:.1f} times)"
        )


_RESIZE = {"center": _center, "pad": _pad, "none": _exactly}


# ---------------------------------------------------------------------------
# Levels


def pyramid(pixels: np.ndarray, count: int) -> list[np.ndarray]:
    """Makes the levels of an image, each half the size of the next.

    A level is the mean over 2 x 2 pixels of the next one *before* rounding, so rounding
    errors do not add up on the way down.

    Args:
        pixels: uint8 [..., h, w, c], with h and w divisible by 2^(count - 1).
        count: number of levels.

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


def encode_image(pixels: np.ndarray, encoding: str) -> bytes:
    """Encodes pixels as a data set stores them.

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
