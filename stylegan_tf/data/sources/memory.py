"""Images that a program holds: arrays, or a list of files."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from stylegan_tf.data.images import (
    MOST_BYTES,
    BadImage,
    Header,
    bad_image_reasons,
    decode_image,
    read_header,
)
from stylegan_tf.data.sources.base import Source
from stylegan_tf.data.sources.labels import Labels
from stylegan_tf.errors import UserError
from stylegan_tf.files import open_regular, read_regular

CHANNELS = (1, 3, 4)
STREAM = "stream:"  # a config's name of a dataset that is not converted, see is_stream


def is_stream(data: str) -> bool:
    """True for what a config calls a dataset that is trained on without records.

    A program holds the dataset; the name is `STREAM` and a fingerprint.
    """
    return data.startswith(STREAM)


class PixelRange(NamedTuple):
    """Values of black and white."""

    black: float
    white: float

    def to_bytes(self, pixels: np.ndarray) -> np.ndarray:
        """Returns uint8 pixels.

        Raises:
            BadImage: a value is not finite, or beyond black or white.
        """
        if pixels.dtype == np.uint8:
            return pixels
        low, high = float(pixels.min()), float(pixels.max())
        if not self.black <= low <= high <= self.white:  # false for NaN, too
            raise BadImage(
                f"its values go from {low:g} to {high:g}, those of the others from "
                f"{self.black:g} to {self.white:g}"
            )
        scale = 255 / (self.white - self.black)
        return np.rint((pixels.astype(np.float64) - self.black) * scale).astype("uint8")


def pixel_range(low: float, high: float) -> PixelRange:
    """Returns what black and white must be for values that go from low to high.

    Raises:
        UserError: they are of none of the usual ranges.
    """
    for black, white in ((0, 1), (-1, 1), (0, 255)):
        if black <= low and high <= white:
            return PixelRange(black, white)
    raise UserError(
        f"the values of the pictures go from {low:g} to {high:g}; give uint8, or "
        f"numbers from 0 to 255, 0 to 1 or -1 to 1."
    )


def as_images(array: np.ndarray) -> np.ndarray:
    """Returns a batch [N, H, W, C] of an array of one or many images.

    Args:
        array: [H, W], [H, W, C], [N, H, W] or [N, H, W, C], C one of 1, 3 and 4.

    Raises:
        UserError: it has another shape, or no numbers in it.
    """
    if array.dtype.kind not in "uifb":
        raise UserError(
            f"the pictures are an array of {array.dtype}; give numbers, such as uint8."
        )
    has_channels = array.ndim > 2 and array.shape[-1] in CHANNELS
    if array.ndim == 2 or (array.ndim == 3 and has_channels):
        array = array[None]
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[-1] not in CHANNELS:
        more = ""
        if array.ndim == 4 and array.shape[1] in CHANNELS:
            more = "; channels come last: np.moveaxis(pictures, 1, -1)"
        raise UserError(
            f"the pictures are an array of {list(array.shape)}; give [N, height, "
            f"width, channels] with 1, 3 or 4 channels, or [N, height, width]{more}."
        )
    if 0 in array.shape:
        raise UserError(f"the array of {list(array.shape)} has no pictures in it.")
    return array


class LabeledSource(Source):
    """Images with labels that are given, in their order.

    Args:
        name: see `Source`.
        count: number of images.
        labels: of the images.

    Raises:
        UserError: there are more or fewer labels than images.
    """

    def __init__(self, name: str, count: int, labels: Labels):
        self.name, self._count, self.labels = name, count, labels
        self.notes = [*labels.notes]
        self.class_names, self.label_size = labels.class_names, labels.size
        if labels.values is not None and len(labels.values) != count:
            raise UserError(
                f"there are {count} pictures and {len(labels.values)} labels; give one "
                f"for each picture."
            )

    def __len__(self) -> int:
        return self._count

    def name_of(self, i: int) -> str:
        """See `Source.name_of`."""
        return f"{self.name}[{i}]"


class ArraySource(LabeledSource):
    """Images in arrays.

    Args:
        images: arrays [H, W, C], or one array [N, H, W, C].
        labels: of the images.
    """

    def __init__(self, images: Sequence[np.ndarray] | np.ndarray, labels: Labels):
        super().__init__("array", len(images), labels)
        self.images = images
        others = [image for image in images if image.dtype != np.uint8]
        self.range = PixelRange(0, 255)
        if others:
            lows, highs = zip(*((i.min(), i.max()) for i in others), strict=True)
            self.range = pixel_range(
                float(np.nanmin(lows)) if np.isfinite(lows).any() else 0.0,
                float(np.nanmax(highs)) if np.isfinite(highs).any() else 0.0,
            )
            self.notes.append(range_note(self.range))

    def peek(self, i: int) -> Header:
        """See `Source.peek`."""
        height, width, channels = self.images[i].shape
        return Header(height, width, channels == 1)

    def read(self, i: int, size: int) -> tuple[np.ndarray, int | np.ndarray]:
        """See `Source.read`."""
        return self.range.to_bytes(self.images[i]), self.labels[i]

    def fingerprint(self) -> str:
        """See `Source.fingerprint`."""
        digest = hashlib.sha256(f"{self.labels.fingerprint()}{self.range}".encode())
        for image in self.images:
            digest.update(f"{image.shape}{image.dtype.str}".encode())
            digest.update(np.ascontiguousarray(image).tobytes())
        return digest.hexdigest()


def range_note(limits: PixelRange) -> str:
    """Returns a sentence on what is taken as black and white."""
    return f"{limits.black:g} is taken as black, {limits.white:g} as white."


class PathsSource(LabeledSource):
    """Image files in the order of a list.

    Args:
        paths: of the files.
        labels: of the images.
    """

    def __init__(self, paths: Sequence[str | os.PathLike], labels: Labels):
        self.paths = [Path(path).expanduser() for path in paths]
        gone = [str(path) for path in self.paths if not path.is_file()]
        if gone:
            raise UserError(
                f"{len(gone)} of the {len(paths)} files are not there, such as "
                f"{gone[0]}; give paths of pictures."
            )
        super().__init__("files", len(paths), labels)

    def name_of(self, i: int) -> str:
        """See `Source.name_of`."""
        return str(self.paths[i])

    def peek(self, i: int) -> Header:
        """See `Source.peek`."""
        with bad_image_reasons(), open_regular(self.paths[i], MOST_BYTES) as file:
            return read_header(file)

    def read(self, i: int, size: int) -> tuple[Image.Image, int | np.ndarray]:
        """See `Source.read`."""
        with bad_image_reasons():
            data = read_regular(self.paths[i], MOST_BYTES)
            return decode_image(data, size if self.draft else 0), self.labels[i]

    def fingerprint(self) -> str:
        """See `Source.fingerprint`."""
        digest = hashlib.sha256(self.labels.fingerprint().encode())
        for path in self.paths:
            stat = path.stat()
            line = f"{path.resolve()}\0{stat.st_size} {stat.st_mtime_ns}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


class SpooledSource(LabeledSource):
    """Images that were written to one file, one after the other.

    Args:
        file: their uint8 pixels.
        places: offset and shape of each image, or why it cannot be used.
        labels: of the images.
        digest: changes with the images.
    """

    def __init__(
        self,
        file: Path,
        places: list[tuple[int, tuple[int, int, int]] | str],
        labels: Labels,
        digest: str,
    ):
        super().__init__("dataset", len(places), labels)
        self.file, self.places, self._digest = file, places, digest

    def _place(self, i: int) -> tuple[int, tuple[int, int, int]]:
        place = self.places[i]
        if isinstance(place, str):
            raise BadImage(place)
        return place

    def peek(self, i: int) -> Header:
        """See `Source.peek`."""
        height, width, channels = self._place(i)[1]
        return Header(height, width, channels == 1)

    def read(self, i: int, size: int) -> tuple[np.ndarray, int | np.ndarray]:
        """See `Source.read`."""
        offset, shape = self._place(i)
        with bad_image_reasons():
            count = int(np.prod(shape))
            pixels = np.fromfile(self.file, np.uint8, count, offset=offset)
            return pixels.reshape(shape), self.labels[i]

    def fingerprint(self) -> str:
        """See `Source.fingerprint`."""
        return f"{self._digest} {self.labels.fingerprint()}"
