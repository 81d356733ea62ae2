"""One shard of a data set: its file at every level, and its receipt.

A shard is complete when its receipt is there. The receipt is written after the files,
under another name, and moved into place, so that whatever stops a conversion leaves
either all of a shard or nothing that counts.
"""

import functools
import json
import os
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from stylegan_tf.data import convert
from stylegan_tf.data.convert import Chunk, Converted, Layout
from stylegan_tf.data.manifest import Level, Manifest
from stylegan_tf.data.sources.base import Source
from stylegan_tf.errors import UserError
from stylegan_tf.formats import tfrecords
from stylegan_tf.formats.tfrecords import entry

_RECEIPT = "shard-{:05d}.json"

choose = convert.choose  # every size and number of channels can be stored


def file_name(level: int, shard: int) -> str:
    """Where a shard lies in a data set's folder."""
    return f"{level:04d}/{shard:05d}.tfrecords"


def work(source: Source, indices: list[int], layout: Layout) -> Chunk:
    """The records of some pictures of a source; what a worker does."""
    return convert.convert(source, indices, layout, _example)


def write_shard(folder: Path, shard: int, layout: Layout, done: list[Chunk]) -> dict:
    """Writes a shard, as `work` made it, at every level and, last, its receipt.

    Returns:
        The receipt: count of records, sizes and crc32 of the files from level 4 up,
        and the pictures that were skipped.
    """
    count = sum(len(chunk.labels) for chunk in done)
    sizes, crcs = [], []
    for i, level in enumerate(layout.levels if count else ()):
        path = folder / file_name(level, shard)
        path.parent.mkdir(exist_ok=True)
        parts = [chunk.levels[i] for chunk in done]
        write_file(path, parts)
        sizes.append(sum(map(len, parts)))
        crcs.append(functools.reduce(lambda crc, x: zlib.crc32(x, crc), parts, 0))
    receipt = {
        "count": count,
        "sizes": sizes,
        "crc32": crcs,
        "skipped": [item for chunk in done for item in chunk.skipped],
    }
    save_receipt(folder, shard, receipt)
    return receipt


def read_receipts(folder: Path, count: int, layout: Layout) -> list[dict | None]:
    """The receipts of `count` shards; None for one that has to be made (again)."""
    return [_valid_receipt(folder, shard, layout) for shard in range(count)]


def finish(
    folder: Path,
    dest: Path,
    source: Source,
    layout: Layout,
    plan: str,
    receipts: list[dict],
) -> Manifest:
    """Writes the manifest of shards that are all there.

    Args:
        folder: where the shards are.
        dest: where they will be.
        source: what they were made of.
        layout: how they were stored.
        plan: hash of the source's listing and the settings.
        receipts: of all shards.
    """
    full = {s: receipt for s, receipt in enumerate(receipts) if receipt["count"]}
    levels = {}
    for i, level in enumerate(layout.levels):
        levels[level] = Level(
            *layout.shape(level),
            encoding=layout.encodings[level],
            files=[file_name(level, s) for s in full],
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
    """The receipt of a shard, None if there is none."""
    try:
        return json.loads((folder / _RECEIPT.format(shard)).read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _valid_receipt(folder: Path, shard: int, layout: Layout) -> dict | None:
    """The receipt of a shard whose files are as it says."""
    receipt = load_receipt(folder, shard)
    if receipt is None:
        return None
    files = [folder / file_name(level, shard) for level in layout.levels]
    for path, size in zip(files, receipt["sizes"], strict=False):
        if not path.exists() or path.stat().st_size != size:
            return None
    return receipt


def remove_receipts(folder: Path) -> None:
    """Leaves only what belongs to a finished data set."""
    for path in folder.glob(_RECEIPT.replace("{:05d}", "*")):
        path.unlink()


# ---------------------------------------------------------------------------
# Files


def crc32(path: Path) -> int:
    """The CRC32 of a file."""
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


def _example(item: Converted, i: int, layout: Layout) -> bytes:
    """One record; the features are described in `manifest.py`."""
    level = layout.levels[i]
    vector = isinstance(item.label, np.ndarray)
    # In the order in which TensorFlow writes them, asked for a reproducible one.
    first, last = _around(
        layout.channels, layout.encodings[level], *layout.shape(level)
    )
    entries = [first, entry("image", item.levels[i]), entry("index", item.index)]
    if vector:
        entries.append(entry("label_vector", item.label.astype(np.float32)))
    label = entry("label", -1 if vector else int(item.label))
    return tfrecords.of_entries([*entries, label, last])


@functools.cache
def _around(channels: int, encoding: str, height: int, width: int) -> list[bytes]:
    """What all records of a level begin and end with."""
    first = {"channels": channels, "encoding": encoding.encode(), "height": height}
    return [b"".join(entry(*f) for f in first.items()), entry("width", width)]
