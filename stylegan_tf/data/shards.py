"""Shards of a data set: a file per level, and a receipt.

A shard is complete when its receipt is there. The receipt is written after the files,
under another name, and moved into place: a conversion that is stopped at any moment
leaves either all of a shard or nothing that counts.
"""

import functools
import json
import os
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from stylegan_tf.data import convert
from stylegan_tf.data.convert import Chunk, EncodedImage, Layout
from stylegan_tf.data.fields import Fields
from stylegan_tf.data.manifest import Level, Manifest
from stylegan_tf.data.sources.base import Source
from stylegan_tf.errors import UserError
from stylegan_tf.files import parse_json, read_regular_text
from stylegan_tf.formats import tfrecords
from stylegan_tf.formats.tfrecords import encode_feature

_MOST = 1 << 40  # images, bytes of a file
_RECEIPT = "shard-{:05d}.json"


def shard_name(level: int, shard: int) -> str:
    """Returns the path of a shard in the folder of a data set."""
    return f"{level:04d}/{shard:05d}.tfrecords"


class Store:
    """One way to lay out a data set in files; `records` runs the conversion.

    A conversion works in a folder of its own, shard by shard.
    """

    def choose_layout(
        self, source: Source, resolution: str | int, crop: str, channels: str | int
    ) -> Layout:
        """Settles how the images of a source are stored; see `convert.choose_layout`.

        Raises:
            UserError: the settings do not fit, or this store cannot hold the images.
        """
        return convert.choose_layout(source, resolution, crop, channels)

    def convert_chunk(
        self, source: Source, indices: list[int], layout: Layout
    ) -> Chunk:
        """Makes the records of some images of a source, in a worker process."""
        raise NotImplementedError

    def write_shard(
        self, folder: Path, shard: int, layout: Layout, chunks: list[Chunk]
    ) -> dict:
        """Writes a shard at every level and, last, its receipt.

        Args:
            folder: of the conversion.
            shard: number of the shard.
            layout: from `choose_layout`.
            chunks: from `convert_chunk`, in their order.

        Returns:
            The receipt: count of records, sizes of the files from level 4 up, and the
            images that were skipped.
        """
        raise NotImplementedError

    def read_receipts(
        self, folder: Path, count: int, layout: Layout
    ) -> list[dict | None]:
        """Reads the receipts of `count` shards; None for one that has to be made."""
        raise NotImplementedError

    def finish(
        self,
        folder: Path,
        dest: Path,
        source: Source,
        layout: Layout,
        plan: str,
        receipts: list[dict],
    ) -> Manifest:
        """Completes a folder whose shards are all there.

        Args:
            folder: of the conversion.
            dest: where the folder will be.
            source: the images.
            layout: how they are stored.
            plan: hash of the source's listing and the settings.
            receipts: of all shards.
        """
        raise NotImplementedError


class RecordStore(Store):
    """This package's own layout, which `manifest.py` describes."""

    def convert_chunk(
        self, source: Source, indices: list[int], layout: Layout
    ) -> Chunk:
        """See `Store.convert_chunk`."""
        return convert.convert_chunk(source, indices, layout, _encode_record)

    def write_shard(
        self, folder: Path, shard: int, layout: Layout, chunks: list[Chunk]
    ) -> dict:
        """See `Store.write_shard`; the receipt also has the CRC32 of each file."""
        count = sum(len(chunk.labels) for chunk in chunks)
        sizes, crcs = [], []
        for i, level in enumerate(layout.levels if count else ()):
            path = folder / shard_name(level, shard)
            path.parent.mkdir(exist_ok=True)
            parts = [chunk.levels[i] for chunk in chunks]
            write_file(path, parts)
            sizes.append(sum(map(len, parts)))
            crcs.append(functools.reduce(lambda crc, x: zlib.crc32(x, crc), parts, 0))
        receipt = {
            "count": count,
            "sizes": sizes,
            "crc32": crcs,
            "skipped": [item for chunk in chunks for item in chunk.skipped],
        }
        save_receipt(folder, shard, receipt)
        return receipt

    def read_receipts(
        self, folder: Path, count: int, layout: Layout
    ) -> list[dict | None]:
        """See `Store.read_receipts`."""
        return [_valid_receipt(folder, shard, layout) for shard in range(count)]

    def finish(
        self,
        folder: Path,
        dest: Path,
        source: Source,
        layout: Layout,
        plan: str,
        receipts: list[dict],
    ) -> Manifest:
        """See `Store.finish`; writes the manifest."""
        full = {s: receipt for s, receipt in enumerate(receipts) if receipt["count"]}
        levels = {}
        for i, level in enumerate(layout.levels):
            levels[level] = Level(
                *layout.shape(level),
                encoding=layout.encodings[level],
                files=[shard_name(level, s) for s in full],
                sizes=[receipt["sizes"][i] for receipt in full.values()],
                crc32=[receipt["crc32"][i] for receipt in full.values()],
            )
        counts = [receipt["count"] for receipt in full.values()]
        made = Manifest(
            name=source.name,
            count=sum(counts),
            resolution=layout.resolution,
            start_shape=layout.start_shape,
            channels=layout.channels,
            crop=layout.crop,
            class_names=source.class_names,
            label_size=source.label_size,
            shard_counts=counts,
            skipped=sum(len(receipt["skipped"]) for receipt in receipts),
            plan=plan,
            levels=levels,
            folder=dest,
        )
        made.save(folder)
        return made


# ---------------------------------------------------------------------------
# Receipts


def save_receipt(folder: Path, shard: int, receipt: dict) -> None:
    """Writes the receipt of a shard, whole or not at all."""
    draft = folder / "receipt"
    draft.write_text(json.dumps(receipt), encoding="utf-8")
    os.replace(draft, folder / _RECEIPT.format(shard))


def load_receipt(folder: Path, shard: int) -> dict | None:
    """Reads the receipt of a shard; None if there is none, or another kind of file."""
    try:
        values = parse_json(read_regular_text(folder / _RECEIPT.format(shard)))
        fields = Fields(values)
        count = fields.number("count", 0, _MOST)
        sizes, skipped = fields.numbers("sizes", 0, _MOST), fields.take("skipped")
        labels = fields.take("labels") if "labels" in values else [0] * count
        crcs = fields.numbers("crc32", 0, _MOST) if "crc32" in values else sizes
        fields.finish()
    except (OSError, ValueError):
        return None
    pairs = isinstance(skipped, list) and all(
        isinstance(pair, list) and [type(part) for part in pair] == [str, str]
        for pair in skipped
    )
    fits = isinstance(labels, list) and len(labels) == count
    return values if pairs and fits and len(crcs) == len(sizes) else None


def _valid_receipt(folder: Path, shard: int, layout: Layout) -> dict | None:
    """Reads the receipt of a shard; None if its files are not as it says."""
    receipt = load_receipt(folder, shard)
    if receipt is None:
        return None
    files = [folder / shard_name(level, shard) for level in layout.levels]
    wanted = len(files) if receipt["count"] else 0
    if "crc32" not in receipt or len(receipt["sizes"]) != wanted:
        return None
    for path, size in zip(files, receipt["sizes"], strict=False):
        if not path.exists() or path.stat().st_size != size:
            return None
    return receipt


def remove_receipts(folder: Path) -> None:
    """Deletes the receipts, which are no part of a finished data set."""
    for path in folder.glob(_RECEIPT.replace("{:05d}", "*")):
        path.unlink()


# ---------------------------------------------------------------------------
# Files


def file_crc32(path: Path) -> int:
    """Computes the CRC32 of a file."""
    value = 0
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            value = zlib.crc32(block, value)
    return value


def write_file(path: Path, parts: Iterable[bytes], mode: str = "wb") -> None:
    """Writes bytes one after the other, or appends them with mode "ab".

    Raises:
        UserError: it cannot be done; the disk is full, for example.
    """
    try:
        with open(path, mode) as file:
            file.writelines(parts)
    except OSError as e:
        raise UserError(f"cannot write {path}: {e.strerror}") from e


def _encode_record(image: EncodedImage, i: int, layout: Layout) -> bytes:
    """Makes one record; `manifest.py` describes its features."""
    level = layout.levels[i]
    label = image.label
    # In the order of TensorFlow's deterministic serialization.
    first, last = _around(
        layout.channels, layout.encodings[level], *layout.shape(level)
    )
    features: dict = {"image": image.levels[i], "index": image.index}
    if isinstance(label, np.ndarray):
        features |= {"label_vector": label.astype(np.float32), "label": -1}
    else:
        features["label"] = int(label)
    encoded = [encode_feature(*feature) for feature in features.items()]
    return tfrecords.join_features([first, *encoded, last])


@functools.cache
def _around(channels: int, encoding: str, height: int, width: int) -> list[bytes]:
    """Encodes the features that all records of a level begin and end with."""
    first = {"channels": channels, "encoding": encoding.encode(), "height": height}
    return [
        b"".join(encode_feature(*f) for f in first.items()),
        encode_feature("width", width),
    ]
