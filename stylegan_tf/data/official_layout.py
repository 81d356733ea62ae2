"""Data sets in the layout of the official StyleGAN tools, for programs that read it.

    source = open_source("photos/")
    manifest = records.write_dataset(source, "data/photos", layout="official")

A data set is a folder; NAME is the folder's own name:

    NAME-r02.tfrecords ... NAME-r10.tfrecords    one file per level: 4x4 ... 1024x1024
    NAME-rxx.labels        float32 [count, label_size] as a NumPy array (if labeled)
    skipped.csv            the images that were left out (if any)
    conversion.json        crop, class names and a hash; official programs ignore it

Every level holds the same images in the same order. A record is a `tf.train.Example`
with the features

    shape    int64   [channels, height, width]
    data     bytes   uint8 pixels in that order

Images are square, their side a power of two, with 1 or 3 channels. From the same images
the .tfrecords and .labels files are those of the official tools to the byte. A
conversion appends every shard to the files of all levels; a receipt says how long they
were then. `sources.official.OfficialSource` reads such a folder.
"""

import csv
import dataclasses
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stylegan_tf import config
from stylegan_tf.data import convert, manifest, shards
from stylegan_tf.data.convert import Chunk, EncodedImage, Layout
from stylegan_tf.data.fields import Fields
from stylegan_tf.data.images import BadImage, bad_image_reasons
from stylegan_tf.data.manifest import Level, Manifest
from stylegan_tf.data.shards import Store
from stylegan_tf.data.sources import official
from stylegan_tf.data.sources.base import Source
from stylegan_tf.errors import UserError
from stylegan_tf.files import open_regular, parse_json, read_regular_text
from stylegan_tf.formats import tfrecords
from stylegan_tf.formats.arrays import load_arrays
from stylegan_tf.progress import ProgressBar

FILE = "conversion.json"
_SQUARE = (4, 4)  # the start of every square power of two
_CHANNELS = (1, 3)
_ROUNDING = 1.0  # an image's mean is the same at every level, but for rounding


# ---------------------------------------------------------------------------
# Writing


class OfficialStore(Store):
    """The layout of the official tools."""

    def choose_layout(
        self, source: Source, resolution: str | int, crop: str, channels: str | int
    ) -> Layout:
        """See `Store.choose_layout`."""
        layout = convert.choose_layout(
            source, resolution, crop, channels, encoding="planes"
        )
        if layout.start_shape != _SQUARE:
            height, width = layout.shape()
            raise UserError(
                f"the official layout holds squares of a power of two, not {height}x"
                f"{width}; give --resolution={layout.resolution} with --crop=center or "
                f"pad, or --layout=records."
            )
        if layout.channels not in _CHANNELS:
            raise UserError(
                f"the official layout holds 1 or 3 channels, not {layout.channels}; "
                f"give --channels=3, or --layout=records."
            )
        return layout

    def convert_chunk(
        self, source: Source, indices: list[int], layout: Layout
    ) -> Chunk:
        """See `Store.convert_chunk`."""
        return convert.convert_chunk(source, indices, layout, _encode_record)

    def write_shard(
        self, folder: Path, shard: int, layout: Layout, chunks: list[Chunk]
    ) -> dict:
        """See `Store.write_shard`; appends to the file of every level.

        The receipt also has the labels; its sizes include the shard.
        """
        labels = [label for chunk in chunks for label in chunk.labels]
        sizes = []
        for i, side in enumerate(layout.levels):
            path = folder / _file_name(side)
            shards.write_file(path, (chunk.levels[i] for chunk in chunks), "ab")
            sizes.append(path.stat().st_size)
        receipt = {
            "count": len(labels),
            "sizes": sizes,
            "labels": [np.asarray(label).tolist() for label in labels],
            "skipped": [item for chunk in chunks for item in chunk.skipped],
        }
        shards.save_receipt(folder, shard, receipt)
        return receipt

    def read_receipts(
        self, folder: Path, count: int, layout: Layout
    ) -> list[dict | None]:
        """See `Store.read_receipts`; None from the first shard on that has to be made.

        Cuts the files back to the length that the receipts account for.
        """
        files = [folder / _file_name(side) for side in layout.levels]
        lengths = [file.stat().st_size if file.exists() else 0 for file in files]
        receipts: list[dict | None] = []
        sizes = [0] * len(files)
        for shard in range(count):
            receipt = shards.load_receipt(folder, shard)
            if receipt is None or "labels" not in receipt:
                break
            if len(receipt["sizes"]) != len(files):
                break
            if np.any(np.less(lengths, receipt["sizes"])):
                break
            receipts.append(receipt)
            sizes = receipt["sizes"]
        for file, size in zip(files, sizes, strict=True):
            if file.exists():
                os.truncate(file, size)
        return receipts + [None] * (count - len(receipts))

    def finish(
        self,
        folder: Path,
        dest: Path,
        source: Source,
        layout: Layout,
        plan: str,
        receipts: list[dict],
    ) -> Manifest:
        """See `Store.finish`; writes the labels and names the files."""
        name = dest.resolve().name
        if source.label_size:
            labels = [label for receipt in receipts for label in receipt["labels"]]
            with open(folder / f"{name}-rxx.labels", "wb") as f:
                np.save(f, label_rows(labels, source.label_size))
        known = {"plan": plan, "crop": layout.crop, "class_names": source.class_names}
        (folder / FILE).write_text(json.dumps(known), encoding="utf-8")
        for side in layout.levels:
            file = _file_name(side)
            os.replace(folder / file, folder / f"{name}-{file}")
        return dataclasses.replace(
            read_official_manifest(folder), name=name, folder=dest
        )


def _encode_record(image: EncodedImage, i: int, layout: Layout) -> bytes:
    side = layout.levels[i]
    return encode_official(image.levels[i], (layout.channels, side, side))


def encode_official(data: bytes, shape: tuple[int, int, int]) -> bytes:
    """Makes one record: a serialized tf.train.Example, `shape` before `data`."""
    return tfrecords.encode_example({"shape": np.array(shape), "data": data})


def label_rows(labels: list, size: int) -> np.ndarray:
    """Makes float32 [count, size] of class indices (one-hot) or vectors."""
    rows = np.zeros((len(labels), size), np.float32)
    for row, label in zip(rows, labels, strict=True):
        if isinstance(label, list):
            row[:] = label
        else:
            row[label] = 1
    return rows


def _file_name(side: int) -> str:
    return f"r{side.bit_length() - 1:02d}.tfrecords"


# ---------------------------------------------------------------------------
# Reading


def read_official_manifest(folder: Path) -> Manifest:
    """Describes a folder in this layout, whichever program wrote it.

    Returns:
        A manifest, which is not on disk in this layout; without CRC32s.

    Raises:
        UserError: the folder is damaged.
    """
    source = official.OfficialSource(folder)
    try:
        height, _, gray = source.peek(0)[:3]
    except BadImage as e:
        raise UserError(f"{folder} is damaged: its first record is {e}.") from e
    known = _read_known(folder, source)
    levels = {
        side: Level(side, side, "raw", [file.name], [file.stat().st_size], [])
        for side, file in source.levels.items()
    }
    return Manifest(
        name=source.name,
        count=len(source),
        resolution=height,
        start_shape=_SQUARE,
        channels=1 if gray else 3,
        crop=known["crop"],
        class_names=known["class_names"],
        label_size=source.label_size,
        shard_counts=[len(source)],
        skipped=_count_skipped(folder),
        plan=known["plan"],
        levels=levels,
        folder=folder,
    )


def _read_known(folder: Path, source: official.OfficialSource) -> dict:
    """Reads what the records do not say; the official tools write no such file."""
    known = {"crop": "", "plan": "", "class_names": source.class_names}
    try:
        fields = Fields(parse_json(read_regular_text(folder / FILE)))
        crop, plan = fields.text("crop"), fields.text("plan")
        names = fields.texts("class_names")
    except (OSError, ValueError):
        return known
    fits = len(names) == len(source.class_names)
    return (
        known | {"crop": crop, "plan": plan} | ({"class_names": names} if fits else {})
    )


def _count_skipped(folder: Path) -> int:
    try:
        with open_regular(folder / manifest.SKIPPED) as file:
            text = io.TextIOWrapper(file, encoding="latin-1", newline="")
            return sum(1 for _ in csv.DictReader(text))
    except (OSError, csv.Error):
        return 0


def check_official(folder: Path) -> list[str]:
    """Reads a folder in this layout from end to end.

    Returns:
        A sentence for each problem: levels missing, records that are damaged or of
        another size, levels that do not hold the same images, labels that do not
        fit. Empty if all is well.
    """
    try:
        files = official.official_levels(folder)
    except UserError as e:
        return [str(e)]
    top = max(files)
    prefix = files[top].name.removesuffix(_file_name(top))
    found = [
        f"{prefix}{_file_name(side)} is missing"
        for side in config.levels(top)
        if side not in files
    ]
    sound = None  # means of the highest level that is sound
    total = sum(file.stat().st_size for file in files.values())
    with ProgressBar(total=total, unit="B", unit_scale=True) as bar:
        for side, file in reversed(files.items()):
            problem, means = _check_file(file, side, sound, bar)
            found += [f"{file.name} {problem}"] if problem else []
            sound = means if sound is None and not problem else sound
    if sound is not None:
        found += _label_problems(folder, len(sound))
    return found


def _check_file(
    file: Path, side: int, sound: np.ndarray | None, bar: ProgressBar
) -> tuple[str, np.ndarray]:
    """Finds a fault of one level, and the means of its images, float64 [count, C]."""
    import tensorflow as tf

    from stylegan_tf.data import pipeline

    means: list[np.ndarray] = []
    channels = None if sound is None else sound.shape[1]
    try:
        records = pipeline.untuned(tf.data.TFRecordDataset(str(file)))
        for data in records.as_numpy_iterator():
            bar.update(len(data) + tfrecords.FRAME)
            means.append(_mean(data, side, channels))
            channels = channels or len(means[0])
    except tf.errors.OpError as e:
        message = (e.message or str(e)).splitlines()[0]
        return f"cannot be read near record {len(means)}: {message}", _array(means)
    except BadImage as e:
        return f"has a record {len(means)} that is {e}", _array(means)
    return _compare(_array(means), sound), _array(means)


def _mean(data: bytes, side: int, channels: int | None) -> np.ndarray:
    """Computes the mean of the image in a record, float64 [C].

    Raises:
        BadImage: it is no image of this size.
    """
    with bad_image_reasons():
        pixels = official.official_pixels(data)
        wanted = [channels or pixels.shape[0], side, side]
        if list(pixels.shape) != wanted or wanted[0] not in _CHANNELS:
            shape = "x".join(map(str, pixels.shape))
            raise BadImage(f"of shape {shape} in a level of {side}x{side}")
        return pixels.mean((1, 2))


def _compare(means: np.ndarray, sound: np.ndarray | None) -> str:
    """Finds a fault of a level beside a sound one above it."""
    if not len(means):
        return "has no records"
    if sound is None:
        return ""
    if len(means) != len(sound):
        return f"has {len(means)} records and the level above {len(sound)}"
    far = np.abs(means - sound).max(1) > _ROUNDING
    if far.any():
        return f"has another picture than the level above at record {far.argmax()}"
    return ""


def _array(means: list[np.ndarray]) -> np.ndarray:
    return np.array(means).reshape(len(means), -1) if means else np.zeros((0, 0))


def _label_problems(folder: Path, count: int) -> Iterator[str]:
    for file in sorted(folder.glob("*.labels"))[:1]:
        try:
            rows = load_arrays(file)[""]
        except (UserError, KeyError):
            yield f"{file.name} is not a NumPy array"
            continue
        if rows.dtype.kind == "f" and not np.isfinite(rows).all():
            yield f"{file.name} has labels that are not finite"
        if rows.ndim != 2 or len(rows) != count:
            shape = list(rows.shape)
            yield f"{file.name} has labels of shape {shape} for {count} pictures"
