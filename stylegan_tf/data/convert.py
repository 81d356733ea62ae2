"""The layout of a data set, and the conversion of a chunk of images to records.

`choose_layout` looks at a sample of the images and settles size, channels and encodings
in a `Layout`. `convert_chunk` turns some images into the records of every level. Both
are pure functions of the source and the settings, so an interrupted conversion
continues with the same result. No TensorFlow: this runs in worker processes.
"""

import contextlib
import copy
import functools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from PIL import Image

from stylegan_tf import config
from stylegan_tf.data.images import (
    CROPS,
    BadImage,
    Header,
    deep_range,
    encode_image,
    fit_image,
    pyramid,
)
from stylegan_tf.data.sources.base import Source
from stylegan_tf.errors import UserError
from stylegan_tf.formats import tfrecords

RAW_UP_TO = 32  # levels so small that a PNG saves little and costs time at every read
PNG_GAIN = 1.5  # above it, PNG where raw pixels are that many times larger
SHARD_BYTES = 128 << 20  # raw pixels of all levels in a shard, before any PNG
SHARD_IMAGES = 1000  # so that an interrupted conversion keeps most of its work
SHARDS_AT_LEAST = 8
CHUNK_BYTES = 32 << 20  # raw pixels that a worker converts at once
CHUNK_IMAGES = 128
BATCH_BYTES = 1 << 20  # raw pixels that are halved in one go: fits a cache
_HEADERS, _ENCODED = 200, 4  # images looked at to decide
_DEEP = 50  # images of 16 or 32 bits whose values are looked at
_WHITES = (1, 255, 1023, 4095, 16383, 65535)  # of 1, 8, 10, 12, 14 and 16 bits
_DARK = 24  # of 255: where no sampled image has a larger value, something is wrong


class EncodedImage(NamedTuple):
    """An image as it is stored."""

    index: int  # in the source
    label: int | np.ndarray
    levels: list[bytes]  # encoded pixels, from 4 up


class Skipped(NamedTuple):
    """An image that is left out."""

    file: str
    reason: str


@dataclass(frozen=True)
class Chunk:
    """Some images as they stand in TFRecord files.

    Attributes:
        labels: class indices or vectors of the stored images.
        levels: records of all stored images per level, from 4 up.
        skipped: the images that are left out.
    """

    labels: list
    levels: list[bytes]
    skipped: list[Skipped]

    def __len__(self) -> int:
        return len(self.labels) + len(self.skipped)


@dataclass(frozen=True)
class Layout:
    """Size and encodings that all images of a data set share."""

    resolution: int  # the highest level
    start_shape: tuple[int, int]
    channels: int
    crop: str
    encodings: dict[int, str]  # level -> see `encode_image`
    white: float | None = None  # of images of 16 or 32 bits, see `images.fit_image`
    notes: tuple[str, ...] = ()  # sentences for the user

    @functools.cached_property
    def levels(self) -> list[int]:
        """Levels that are stored, from 4 up."""
        return config.levels(self.resolution)

    def shape(self, level: int | None = None) -> tuple[int, int]:
        """Returns height and width of the images at a level, by default the highest."""
        return config.image_shape(self.start_shape, level or self.resolution)

    @property
    def raw_bytes(self) -> int:
        """Bytes of the pixels of one image in all levels."""
        return sum(int(np.prod(self.shape(n))) for n in self.levels) * self.channels


def choose_layout(
    source: Source,
    resolution: str | int = "auto",
    crop: str = "center",
    channels: str | int = "auto",
    encoding: str = "auto",
) -> Layout:
    """Settles how the images of a source are stored.

    Args:
        source: the images.
        resolution: N or "HEIGHTxWIDTH". "auto" is the largest level which at least
            half of the images reach without being enlarged, square and at most 1024;
            with crop "none" it is the most frequent size.
        crop: "center", "pad" or "none", see `images.fit_image`.
        channels: 1, 3 or 4. "auto" is 1 if all images are gray, else 3.
        encoding: of every level. "auto" is PNG where that saves enough, else raw.

    Raises:
        UserError: no image can be read, or the settings do not fit.
    """
    if crop not in CROPS:
        raise UserError(f"crop is {crop!r}; choose one of {', '.join(CROPS)}.")
    if str(channels) not in ("auto", "1", "3", "4"):
        raise UserError(f"channels is {channels!r}; choose auto, 1, 3 or 4.")
    headers = _sample(source)
    level, start_shape = _size(str(resolution), crop, [*headers.values()])
    if str(channels) == "auto":
        channels = 1 if all(h.gray for h in headers.values()) else 3
    deep = [i for i, header in headers.items() if header.deep]
    white, notes = _white(source, deep) if deep else (None, [])
    layout = Layout(level, start_shape, int(channels), crop, {}, white)
    sample = _decoded_sample(source, layout)
    if sample and max(pixels.max() for pixels in sample) <= _DARK:
        notes.append(
            f"The pictures are nearly black: the brightest value in {len(sample)} of "
            f"them is {max(int(pixels.max()) for pixels in sample)} of 255. Look at "
            f"them before training."
        )
    if encoding == "auto":
        encodings = _encodings(sample, layout)
    else:
        encodings = dict.fromkeys(layout.levels, encoding)
    return replace(layout, encodings=encodings, notes=tuple(notes))


def chunk_size(layout: Layout) -> int:
    """Returns the number of images that a worker converts at once."""
    return int(np.clip(CHUNK_BYTES // layout.raw_bytes, 1, CHUNK_IMAGES))


def shard_size(layout: Layout, count: int) -> int:
    """Returns the number of images per shard for a source of `count` images."""
    fair = -(-count // SHARDS_AT_LEAST)
    return max(min(SHARD_BYTES // layout.raw_bytes, SHARD_IMAGES, fair), 1)


def convert_chunk(
    source: Source,
    indices: list[int],
    layout: Layout,
    encode: Callable[[EncodedImage, int, Layout], bytes],
) -> Chunk:
    """Makes the records of some images of a source.

    Args:
        source: the images.
        indices: which of them.
        layout: how they are stored.
        encode: image, number of the level, layout -> a serialized tf.train.Example.
    """
    size = max(BATCH_BYTES // layout.raw_bytes, 1)
    kept, skipped = [], []
    for i in range(0, len(indices), size):
        some, bad = _encode_batch(source, layout, indices[i : i + size])
        kept, skipped = kept + some, skipped + bad
    levels = []
    for i in range(len(layout.levels)):
        examples = [encode(image, i, layout) for image in kept]
        levels.append(b"".join(tfrecords.frame_records(examples)))
    return Chunk([image.label for image in kept], levels, skipped)


def _encode_batch(
    source: Source, layout: Layout, indices: list[int]
) -> tuple[list[EncodedImage], list[Skipped]]:
    """Encodes a batch of images, as many as are halved at once."""
    read, fitted, skipped = [], [], []
    for i in indices:
        try:
            pixels, label = _fitted(source, layout, i)
            fitted.append(pixels)
            read.append((i, label))
        except BadImage as e:
            skipped.append(Skipped(source.name_of(i), e.reason))
    if not read:
        return [], skipped
    stacks = pyramid(np.stack(fitted), len(layout.levels))
    levels = [
        [encode_image(pixels, layout.encodings[n]) for pixels in stack]
        for n, stack in zip(layout.levels, stacks, strict=True)
    ]
    each = zip(read, *levels, strict=True)
    return [EncodedImage(i, label, encoded) for (i, label), *encoded in each], skipped


def _fitted(
    source: Source, layout: Layout, i: int
) -> tuple[np.ndarray, int | np.ndarray]:
    """Reads an image at the size of a data set, and its label; may raise BadImage."""
    image, label = source.read(i, max(layout.shape()))
    if isinstance(label, np.ndarray) and not np.isfinite(label).all():
        raise BadImage("its label has numbers that are not finite")
    how = layout.shape(), layout.channels, layout.crop, layout.white
    return fit_image(image, *how), label


# ---------------------------------------------------------------------------
# Decisions from a sample


def _spread(count: int, sample: int) -> list[int]:
    """Returns at most `sample` indices, evenly over `count`."""
    return np.unique(np.linspace(0, count - 1, min(count, sample)).astype(int)).tolist()


def _sample(source: Source) -> dict[int, Header]:
    """Reads some headers, by the number of the image."""
    headers, first_problem = {}, ""
    for i in _spread(len(source), _HEADERS):
        try:
            headers[i] = source.peek(i)
        except BadImage as e:
            first_problem = first_problem or f"{source.name_of(i)}: {e.reason}"
    if not headers:
        raise UserError(
            f"none of the {len(source)} pictures of {source.name} can be used; "
            f"for example {first_problem or 'there are none'}."
        )
    return headers


def _size(resolution: str, crop: str, headers: list[Header]) -> tuple[int, tuple]:
    if resolution != "auto":
        level, start_shape = config.parse_resolution(resolution)
    elif crop == "none":
        common = Counter((h.height, h.width) for h in headers).most_common(1)[0][0]
        level, start_shape = config.split_shape(*common)
    else:
        side = int(np.median([min(h.height, h.width) for h in headers]))
        if side < 8:
            raise UserError(
                f"the pictures are too small (the shorter side is {side} pixels); "
                f"give --resolution=8 to enlarge them."
            )
        level, start_shape = (
            min(1 << side.bit_length() - 1, config.MAX_RESOLUTION),
            (4, 4),
        )
    if level > config.MAX_RESOLUTION:
        height, width = config.image_shape(start_shape, level)
        raise UserError(
            f"pictures of {height}x{width} are larger than the networks go; "
            f"give --resolution, at most {config.MAX_RESOLUTION}."
        )
    return level, start_shape


def _white(source: Source, indices: list[int]) -> tuple[float | None, list[str]]:
    """Finds the value of white in images of 16 or 32 bits, and says so.

    Cameras and scanners store 10 or 12 bits in 16; taken as 16, they are nearly black.
    """
    high, floats = 0.0, False
    for i in [indices[k] for k in _spread(len(indices), _DEEP)]:
        with contextlib.suppress(BadImage):
            image = source.read(i, 0)[0]
            if isinstance(image, Image.Image) and image.mode.startswith(("I", "F")):
                high = max(high, deep_range(image)[1])
                floats |= image.mode == "F"
    if not high or high > _WHITES[-1]:
        return None, []
    white = min(w for w in _WHITES if w >= high)
    if white == _WHITES[-1] and not floats:
        return None, []
    return float(white), [
        f"The values of the pictures go up to {high:g}, so {white} is taken as white."
    ]


def _decoded_sample(source: Source, layout: Layout) -> list[np.ndarray]:
    """Decodes a few images as they will be stored."""
    source, sample = copy.copy(source), []
    source.draft = True  # good enough to tell how dark they are and how well they pack
    for i in _spread(len(source), _ENCODED):
        with contextlib.suppress(BadImage):
            sample.append(_fitted(source, layout, i)[0])
    return sample


def _encodings(sample: list[np.ndarray], layout: Layout) -> dict[int, str]:
    """Chooses PNG for the levels where it saves enough on a few images, else raw."""
    large = [n for n in layout.levels if n > RAW_UP_TO]
    raw, png = Counter(dict.fromkeys(large, 0)), Counter(dict.fromkeys(large, 0))
    for pixels in sample if large else ():
        for level, p in zip(large, pyramid(pixels, len(large)), strict=True):
            raw[level] += p.nbytes
            png[level] += len(encode_image(p, "png"))
    return {
        n: "png" if n in raw and png[n] * PNG_GAIN <= raw[n] else "raw"
        for n in layout.levels
    }
