"""One shard of a data set: its file at every level, and its receipt.

A shard is complete when its receipt is there. The receipt is written after the files,
under another name, and moved into place, so that whatever stops a conversion leaves
either all of a shard or nothing that counts.
"""

import json
import os
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from stylegan_tf.data.convert import Converted, Layout, Skipped
from stylegan_tf.errors import UserError

_RECEIPT = "shard-{:05d}.json"


def file_name(level: int, shard: int) -> str:
    """Where a shard lies in a data set's folder."""
    return f"{level:04d}/{shard:05d}.tfrecords"


def write_shard(
    folder: Path, shard: int, layout: Layout, done: list[Converted | Skipped]
) -> dict:
    """Writes a shard at every level and, last, its receipt.

    Returns:
        The receipt: count of records, sizes and crc32 of the files from level 4 up,
        and the pictures that were skipped.
    """
    kept = [item for item in done if isinstance(item, Converted)]
    sizes, crcs = [], []
    for i, level in enumerate(layout.levels if kept else ()):
        path = folder / file_name(level, shard)
        path.parent.mkdir(exist_ok=True)
        _write_file(path, (_example(item, i, level, layout) for item in kept))
        sizes.append(path.stat().st_size)
        crcs.append(crc32(path))
    receipt = {
        "count": len(kept),
        "sizes": sizes,
        "crc32": crcs,
        "skipped": [item for item in done if isinstance(item, Skipped)],
    }
    draft = folder / "receipt"
    draft.write_text(json.dumps(receipt), encoding="utf-8")
    os.replace(draft, folder / _RECEIPT.format(shard))
    return receipt


def read_receipt(folder: Path, shard: int, layout: Layout) -> dict | None:
    """The receipt of a finished shard; None if the shard has to be made (again)."""
    try:
        receipt = json.loads((folder / _RECEIPT.format(shard)).read_text("utf-8"))
    except (OSError, ValueError):
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


def crc32(path: Path) -> int:
    """The CRC32 of a file."""
    value = 0
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            value = zlib.crc32(block, value)
    return value


def _write_file(path: Path, examples: Iterable[bytes]) -> None:
    import tensorflow as tf  # seconds to import: not before there is something to write

    try:
        with tf.io.TFRecordWriter(str(path)) as writer:
            for example in examples:
                writer.write(example)
    except tf.errors.OpError as e:
        raise UserError(f"cannot write {path}: {e.message}") from e


def _example(item: Converted, i: int, level: int, layout: Layout) -> bytes:
    """One record; the features are described in `manifest.py`."""
    from tensorflow import train

    height, width = layout.shape(level)
    vector = isinstance(item.label, np.ndarray)
    numbers = {
        "height": height,
        "width": width,
        "channels": layout.channels,
        "label": -1 if vector else item.label,
        "index": item.index,
    }
    texts = {"image": item.levels[i], "encoding": layout.encodings[level].encode()}
    feature = {}
    for name, value in numbers.items():
        feature[name] = train.Feature(int64_list=train.Int64List(value=[value]))
    for name, value in texts.items():
        feature[name] = train.Feature(bytes_list=train.BytesList(value=[value]))
    if vector:
        floats = train.FloatList(value=item.label)
        feature["label_vector"] = train.Feature(float_list=floats)
    # Deterministic, so that the same pictures give the same CRC32 in every process.
    example = train.Example(features=train.Features(feature=feature))
    return example.SerializeToString(deterministic=True)
