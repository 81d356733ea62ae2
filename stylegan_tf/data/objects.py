"""Training data given as Python objects: arrays, paths, `tf.data` datasets.

`open_images` makes a `Source` of them, which is converted like any other and kept in
the cache. The same images find their conversion again: arrays and datasets by their
content, whatever the order, files by name, size and time.
"""

import contextlib
import hashlib
import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stylegan_tf.data.images import BadImage
from stylegan_tf.data.sources import labels as label_sets
from stylegan_tf.data.sources.base import Source
from stylegan_tf.data.sources.labels import Labels
from stylegan_tf.data.sources.memory import (
    ArraySource,
    PathsSource,
    PixelRange,
    SpooledSource,
    as_images,
    pixel_range,
    range_note,
)
from stylegan_tf.errors import UserError
from stylegan_tf.remote import cache_folder

ENDLESS = 50_000  # images of a dataset that has no end
SAMPLE = 256  # images of a dataset whose values tell what black and white are
KEYS = (("image", "images"), ("label", "labels"))  # of elements that are dicts


@contextlib.contextmanager
def open_images(
    data: object,
    labels: object = None,
    cache: str | None = None,
    most: int | None = None,
) -> Iterator[Source]:
    """Opens images that are given as an object.

    Args:
        data: array [N, H, W, C] or [N, H, W]; a pair of that and labels; a list of
            arrays, of Pillow's images or of paths; or a `tf.data.Dataset` of images or
            of (images, labels), in batches or not.
        labels: class numbers or names [N], or vectors [N, size]. None are those that
            come with `data`; "none" leaves them out. "auto" takes the folders of
            files as classes.
        cache: see `cache_folder`; a dataset is written there while the context lasts.
        most: images that are taken of a dataset; None = all.

    Yields:
        The images.

    Raises:
        UserError: they are none of these, or the labels do not fit.
    """
    if isinstance(data, tuple) and len(data) == 2 and not _is_path(data[0]):
        data, own = data
        labels = own if _is_open(labels) else labels
    if is_tf_dataset(data):
        folder = cache_folder(cache)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="dataset-", dir=folder) as work:
            yield _spool(data, labels, Path(work) / "pixels", most)
        return
    if isinstance(data, np.ndarray) or hasattr(data, "__array__"):
        images = as_images(np.asarray(data))
        yield ArraySource(images, _labels(labels, len(images)))
        return
    if not isinstance(data, Sequence) or isinstance(data, str | bytes) or not data:
        raise UserError(
            f"data is {_described(data)}; give the path of a folder or zip, an array "
            f"[N, height, width, channels], a list of paths, or a tf.data.Dataset."
        )
    if all(_is_path(item) for item in data):
        found = _labels_of_files(labels, data)
        yield PathsSource([p for i, p in enumerate(data) if i not in found.left], found)
        return
    images = [_image(item) for item in data]
    yield ArraySource(images, _labels(labels, len(images)))


def _is_open(labels: object) -> bool:
    """True if labels that come with the data count."""
    return labels is None or (isinstance(labels, str) and labels == "auto")


def _described(data: object) -> str:
    empty = isinstance(data, Sequence) and not data
    return f"an empty {type(data).__name__}" if empty else f"a {type(data).__name__}"


def _is_path(item: object) -> bool:
    return isinstance(item, str | os.PathLike)


def is_tf_dataset(data: object) -> bool:
    """True for a `tf.data.Dataset`; tells without loading TensorFlow."""
    names = {f"{c.__module__}.{c.__name__}" for c in type(data).__mro__}
    return any(n.startswith("tensorflow.") and n.endswith("DatasetV2") for n in names)


def _image(item: object) -> np.ndarray:
    if isinstance(item, Image.Image):
        item = item.convert("RGBA" if "A" in item.getbands() else "RGB")
    array = np.asarray(item)
    if array.ndim > 3:
        raise UserError(
            f"a list holds an array of {list(array.shape)}; give one image each, or "
            f"one array of all."
        )
    return as_images(array)[0]


# ---------------------------------------------------------------------------
# Labels


def _labels(given: object, count: int) -> Labels:
    """Makes labels of an array or list."""
    if given is None or isinstance(given, str):
        if given in (None, "none", "auto"):
            return label_sets.NONE
        raise UserError(
            f"labels are {given!r}, but these pictures have no names that a file could "
            f"label; give an array or a list with one label for each."
        )
    try:
        rows = np.asarray(given)
    except ValueError as error:
        raise UserError("labels are lists of different lengths.") from error
    if rows.ndim == 2 and rows.shape[1] == 1 and rows.dtype.kind in "ui":
        rows = rows[:, 0]  # as keras.datasets has them
    if rows.ndim not in (1, 2) or rows.dtype.kind not in "uifbUS" or not len(rows):
        raise UserError(
            f"labels are an array of {list(rows.shape)} {rows.dtype}; give class "
            f"numbers or names [N], or vectors [N, size]."
        )
    if rows.dtype.kind == "S":
        rows = np.char.decode(rows, "utf-8")
    names = [f"picture {i}" for i in range(len(rows))]
    return label_sets.from_values(rows.tolist(), names, "the labels")


def _labels_of_files(given: object, paths: Sequence[str | os.PathLike]) -> Labels:
    if isinstance(given, str):
        full = [Path(path).expanduser().absolute() for path in paths]
        root = os.path.commonpath([path.parent for path in full])
        names = [path.relative_to(root).as_posix() for path in full]
        return label_sets.find_labels(names, given, lambda name: None)
    return _labels(given, len(paths))


# ---------------------------------------------------------------------------
# tf.data


def _spool(dataset: Any, labels: object, file: Path, most: int | None) -> SpooledSource:
    """Writes the images of a dataset to a file, and opens them in a fixed order.

    The order is that of their digests: a dataset that is shuffled is the same data.
    """
    pairs = itertools.islice(labeled_images(dataset), most)
    # -1 is tf.data.INFINITE_CARDINALITY
    endless = most is None and int(dataset.cardinality()) == -1
    if endless:
        pairs = _different(pairs, ENDLESS)
    found: list[tuple[bytes, object, object]] = []  # digest, place, label
    limits, waiting, size = None, [], 0
    with open(file, "wb") as out:

        def write(some: list[tuple[np.ndarray, object]]) -> None:
            nonlocal size
            for pixels, label in some:
                digest = _digest(pixels, label)
                try:
                    pixels = limits.to_bytes(pixels)
                    place: object = (size, pixels.shape)
                    size += out.write(np.ascontiguousarray(pixels).tobytes())
                except BadImage as error:
                    place = error.reason
                found.append((digest, place, label))

        for pair in pairs:
            waiting.append(pair)
            if limits is None and len(waiting) < SAMPLE:
                continue
            limits = limits or _limits(waiting)
            write(waiting)
            waiting = []
        limits = limits or _limits(waiting)
        write(waiting)
    found.sort(key=lambda item: item[0])
    digest = hashlib.sha256(b"".join(item[0] for item in found)).hexdigest()
    own = [item[2] for item in found]
    if _is_open(labels) and own[0] is not None:
        labels = own
    elif labels is not None and not isinstance(labels, str):
        raise UserError("the labels of a dataset are its own: of (images, labels).")
    source = SpooledSource(
        file, [item[1] for item in found], _labels(labels, len(found)), digest
    )
    if endless:
        source.notes.append(
            f"The dataset has no end; {len(found)} different pictures of it are taken."
        )
    if limits != PixelRange(0, 255):
        source.notes.append(range_note(limits))
    return source


def _digest(pixels: np.ndarray, label: object) -> bytes:
    digest = hashlib.sha256(f"{pixels.shape}{label}".encode())
    digest.update(np.ascontiguousarray(pixels).tobytes())
    return digest.digest()


def _different(
    pairs: Iterable[tuple[np.ndarray, object]], most: int
) -> Iterator[tuple[np.ndarray, object]]:
    """Yields what was not there before; ends once half of all was, or at `most`."""
    seen: set[bytes] = set()
    again = 0
    for pixels, label in pairs:
        digest = _digest(pixels, label)
        if digest in seen:
            again += 1
        else:
            seen.add(digest)
            yield pixels, label
        if again >= len(seen) or len(seen) >= most:
            return


def _limits(pairs: list[tuple[np.ndarray, object]]) -> PixelRange:
    if not pairs:
        raise UserError("the dataset has no pictures in it.")
    others = [p for p, _ in pairs if p.dtype != np.uint8 and np.isfinite(p).all()]
    if not others:
        return PixelRange(0, 255)
    low, high = min(p.min() for p in others), max(p.max() for p in others)
    return pixel_range(float(low), float(high))


def value_range(dataset: Any) -> PixelRange:
    """Returns what black and white are in a dataset, by its first images.

    Raises:
        UserError: it is empty, or its values have no usual range.
    """
    return _limits([*itertools.islice(labeled_images(dataset), SAMPLE)])


def labeled_images(dataset: Any) -> Iterator[tuple[np.ndarray, object]]:
    """Yields each image [H, W, C] of a dataset, and its label or None."""
    for element in _elements(dataset):
        images, labels = _split(element)
        single = images.ndim == 2 or (
            images.ndim == 3 and images.shape[-1] in (1, 3, 4)
        )
        batch = as_images(images)
        if labels is None:
            yield from ((image, None) for image in batch)
            continue
        values = [labels] if single else list(labels)
        if len(values) != len(batch):
            raise UserError(
                f"an element of the dataset has {len(batch)} pictures and "
                f"{len(values)} labels; give one for each picture."
            )
        for image, value in zip(batch, values, strict=True):
            yield image, np.asarray(value).tolist()


def _elements(dataset: Any) -> Iterator[Any]:
    from stylegan_tf.data.pipeline import untuned

    elements, count = untuned(dataset).as_numpy_iterator(), 0
    while True:
        try:
            element = next(elements)
        except StopIteration:
            return
        except Exception as error:  # of TensorFlow, or of a function in the dataset
            line = (str(error).strip() or repr(error)).splitlines()[0]
            raise UserError(
                f"the dataset failed behind element {count}: {line[:200]}"
            ) from error
        yield element
        count += 1


def _split(element: Any) -> tuple[np.ndarray, Any]:
    """Splits an element of a dataset into images and labels."""
    if isinstance(element, dict):
        picked = [
            next((element[k] for k in keys if k in element), None) for keys in KEYS
        ]
        if picked[0] is None:
            raise UserError(
                f"the dataset's elements have the keys {', '.join(element)}; give "
                f"image and label."
            )
        return np.asarray(picked[0]), picked[1]
    if isinstance(element, tuple):
        if not element or len(element) > 2:
            raise UserError(
                f"the dataset's elements have {len(element)} parts; give images or "
                f"(images, labels)."
            )
        return np.asarray(element[0]), element[1] if len(element) == 2 else None
    return np.asarray(element), None
