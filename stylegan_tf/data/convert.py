"""From a source to the bytes of records: what is decided once, and what workers do.

`choose` looks at a sample of the pictures and settles size, channels and encodings in
a `Layout`; `convert` then turns a handful of pictures into the records of every level.
Everything here is a pure function of the source and the settings, so a conversion that
was interrupted continues with the same result. No TensorFlow: this runs in the workers.
"""

import copy
import functools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stylegan_tf import config
from stylegan_tf.data import pictures
from stylegan_tf.data.pictures import BadPicture, Header
from stylegan_tf.data.sources.base import Source
from stylegan_tf.errors import UserError
from stylegan_tf.formats import tfrecords

RAW_UP_TO = 32  # levels so small that a PNG saves little and costs time at every read
PNG_GAIN = 1.5  # above it, PNG where raw pixels are that many times larger
SHARD_BYTES = 128 << 20  # raw pixels of all levels in a shard, before any PNG
SHARD_PICTURES = 1000  # so that an interrupted conversion keeps most of its work
SHARDS_AT_LEAST = 8
CHUNK_BYTES = 32 << 20  # what a worker converts at once
CHUNK_PICTURES = 128
BATCH_BYTES = 1 << 20  # of them, so many are halved in one go: what a cache holds
_HEADERS, _ENCODED = 200, 4  # pictures looked at to decide


class Converted(NamedTuple):
    """A picture as it is stored."""

    index: int  # in the source
    label: int | np.ndarray
    levels: list[bytes]  # encoded pixels, from 4 up


class Skipped(NamedTuple):
    """A picture that is left out."""

    file: str
    reason: str


@dataclass(frozen=True)
class Chunk:
    """A handful of pictures, as they stand in TFRecord files.

    Attributes:
        labels: of those that are stored, class indices or vectors.
        levels: from 4 up, the records of all of them.
        skipped: those that are left out.
    """

    labels: list
    levels: list[bytes]
    skipped: list[Skipped]

    def __len__(self) -> int:
        return len(self.labels) + len(self.skipped)


@dataclass(frozen=True)
class Layout:
    """How every picture of a data set is stored."""

    resolution: int  # the highest level
    start_shape: tuple[int, int]
    channels: int
    crop: str
    encodings: dict[int, str]  # level -> an encoding of `pictures.encode`

    @functools.cached_property
    def levels(self) -> list[int]:
        """The levels that are stored, from 4 up."""
        return config.levels(self.resolution)

    def shape(self, level: int | None = None) -> tuple[int, int]:
        """Height and width of the pictures at a level."""
        return config.image_shape(self.start_shape, level or self.resolution)

    @property
    def raw_bytes(self) -> int:
        """Bytes of one picture's pixels in all levels."""
        return sum(int(np.prod(self.shape(n))) for n in self.levels) * self.channels


def choose(
    source: Source,
    resolution: str | int = "auto",
    crop: str = "center",
    channels: str | int = "auto",
    encoding: str = "auto",
) -> Layout:
    """Settles how the pictures of a source are stored.

    Args:
        source: where the pictures are.
        resolution: N or "HEIGHTxWIDTH". "auto" is the largest level which at least
            half of the pictures reach without being enlarged, square and at most 1024;
            with crop "none" it is the most frequent size.
        crop: "center", "pad" or "none", see `pictures.fit`.
        channels: 1, 3 or 4. "auto" is 1 where all pictures are gray, else 3.
        encoding: of every level. "auto" is PNG where it pays, else raw pixels.

    Raises:
        UserError: no picture can be read, or the settings do not fit.
    """
    if crop not in pictures.CROPS:
        raise UserError(f"crop is {crop!r}; choose one of {', '.join(pictures.CROPS)}.")
    if str(channels) not in ("auto", "1", "3", "4"):
        raise UserError(f"channels is {channels!r}; choose auto, 1, 3 or 4.")
    headers = _sample(source)
    level, start_shape = _size(str(resolution), crop, headers)
    if str(channels) == "auto":
        channels = 1 if all(h.gray for h in headers) else 3
    layout = Layout(level, start_shape, int(channels), crop, {})
    if encoding == "auto":
        encodings = _encodings(source, layout)
    else:
        encodings = dict.fromkeys(layout.levels, encoding)
    return Layout(level, start_shape, int(channels), crop, encodings)


def chunk_size(layout: Layout) -> int:
    """How many pictures a worker converts at once."""
    return int(np.clip(CHUNK_BYTES // layout.raw_bytes, 1, CHUNK_PICTURES))


def shard_size(layout: Layout, count: int) -> int:
    """How many pictures of a source of `count` go into one shard."""
    fair = -(-count // SHARDS_AT_LEAST)
    return max(min(SHARD_BYTES // layout.raw_bytes, SHARD_PICTURES, fair), 1)


def convert(
    source: Source,
    indices: list[int],
    layout: Layout,
    example: Callable[[Converted, int, Layout], bytes],
) -> Chunk:
    """The records of some pictures of a source.

    Args:
        source: where the pictures are.
        indices: of the pictures.
        layout: how they are stored.
        example: item, number of the level, layout -> a serialized tf.train.Example.
    """
    size = max(BATCH_BYTES // layout.raw_bytes, 1)
    kept, skipped = [], []
    for i in range(0, len(indices), size):
        some, bad = _some(source, layout, indices[i : i + size])
        kept, skipped = kept + some, skipped + bad
    levels = []
    for i in range(len(layout.levels)):
        examples = [example(item, i, layout) for item in kept]
        levels.append(b"".join(tfrecords.frame(examples)))
    return Chunk([item.label for item in kept], levels, skipped)


def _some(
    source: Source, layout: Layout, indices: list[int]
) -> tuple[list[Converted], list[Skipped]]:
    """The encoded pixels of some pictures, as many as are worked on at once."""
    read, fitted, skipped = [], [], []
    for i in indices:
        try:
            pixels, label = _fitted(source, layout, i)
            fitted.append(pixels)
            read.append((i, label))
        except BadPicture as e:
            skipped.append(Skipped(source.name_of(i), e.reason))
    if not read:
        return [], skipped
    pyramid = pictures.pyramid(np.stack(fitted), len(layout.levels))
    levels = [
        [pictures.encode(pixels, layout.encodings[n]) for pixels in stack]
        for n, stack in zip(layout.levels, pyramid, strict=True)
    ]
    each = zip(read, *levels, strict=True)
    return [Converted(i, label, encoded) for (i, label), *encoded in each], skipped


def _fitted(
    source: Source, layout: Layout, i: int
) -> tuple[np.ndarray, int | np.ndarray]:
    """Pixels at the size of a data set, and the label. May raise BadPicture."""
    picture, label = source.read(i, max(layout.shape()))
    shape, channels = layout.shape(), layout.channels
    return pictures.fit(picture, shape, channels, layout.crop), label


# ---------------------------------------------------------------------------
# What `choose` decides from a sample


def _spread(count: int, sample: int) -> list[int]:
    """At most `sample` indices evenly over `count`."""
    return np.unique(np.linspace(0, count - 1, min(count, sample)).astype(int)).tolist()


def _sample(source: Source) -> list[Header]:
    headers, first_problem = [], ""
    for i in _spread(len(source), _HEADERS):
        try:
            headers.append(source.peek(i))
        except BadPicture as e:
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


def _encodings(source: Source, layout: Layout) -> dict[int, str]:
    """PNG for the levels where it pays, measured on a few pictures."""
    large = [n for n in layout.levels if n > RAW_UP_TO]
    raw, png = Counter(dict.fromkeys(large, 0)), Counter(dict.fromkeys(large, 0))
    source = copy.copy(source)
    source.draft = True  # good enough to tell how well they pack
    for i in _spread(len(source), _ENCODED) if large else ():
        try:
            pixels, _ = _fitted(source, layout, i)
        except BadPicture:
            continue
        for level, p in zip(large, pictures.pyramid(pixels, len(large)), strict=True):
            raw[level] += p.nbytes
            png[level] += len(pictures.encode(p, "png"))
    return {
        n: "png" if n in raw and png[n] * PNG_GAIN <= raw[n] else "raw"
        for n in layout.levels
    }
