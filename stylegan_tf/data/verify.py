"""Checks that a data set on disk still is as it was written.

Compares every file with the size and the CRC32 in the manifest, decodes every record as
training does, and compares the images and their order in all levels.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from stylegan_tf.data import pipeline, shards
from stylegan_tf.data.manifest import Level, Manifest, file_problem
from stylegan_tf.errors import UserError
from stylegan_tf.progress import ProgressBar

_AT_ONCE = 64  # records
_NUMBERS = ("height", "width", "channels", "index")


def check_records(dest: str | os.PathLike) -> list[str]:
    """Returns a sentence for each problem; see `records.check_dataset`."""
    try:
        manifest = Manifest.load(dest, files=False)
    except UserError as e:
        return [str(e)]
    found: list[str] = []
    total = len(manifest.levels) * len(manifest.shard_counts)
    readers = {n: _reader(manifest, level) for n, level in manifest.levels.items()}
    with ProgressBar(total=total, unit="file") as bar:
        for shard in range(len(manifest.shard_counts)):
            order = None  # the images of the first level that can be read
            for n, level in manifest.levels.items():
                problems, indices = _check_file(manifest, level, shard, readers[n])
                if not problems and order is not None and indices != order:
                    problems = ["holds other pictures than the level below"]
                found += [f"{level.files[shard]} {problem}" for problem in problems]
                order = order or indices
                bar.update()
    return found


def _check_file(
    manifest: Manifest, level: Level, shard: int, reader: Callable
) -> tuple[list[str], list[int] | None]:
    """Finds faults of one file, and the indices of its images."""
    name = level.files[shard]
    path = manifest.folder / name
    if problem := file_problem(manifest.folder, name, level.sizes[shard]):
        return [problem], None
    if shards.file_crc32(path) != level.crc32[shard]:
        return ["has changed since it was written (its CRC32 differs)"], None
    indices: list[int] = []
    try:
        for problem in _record_problems(manifest, level, path, reader, indices):
            return [problem], None
    except tf.errors.OpError as e:
        message = (e.message or str(e)).splitlines()[0]
        return [f"cannot be decoded near record {len(indices)}: {message}"], None
    if len(indices) != manifest.shard_counts[shard]:
        return [f"has {len(indices)} records, not {manifest.shard_counts[shard]}"], None
    return [], indices


def _reader(manifest: Manifest, level: Level) -> Callable:
    """Makes a function that decodes serialized records as training does.

    It returns the images too, which are not looked at: TensorFlow would not decode
    what is not returned.
    """
    numbers = {name: tf.io.FixedLenFeature([], tf.int64) for name in _NUMBERS}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def read(records: tf.Tensor) -> tuple:
        element = pipeline.decode_records(records, level, manifest)
        return element["image"], element["label"], tf.io.parse_example(records, numbers)

    return read.get_concrete_function()


def _record_problems(
    manifest: Manifest, level: Level, path: Path, reader: Callable, indices: list[int]
) -> Iterator[str]:
    """Decodes a file, appends to `indices` and yields the first fault."""
    for records in pipeline.untuned(tf.data.TFRecordDataset(str(path)).batch(_AT_ONCE)):
        _, labels, found = reader(records)
        shapes = np.stack([found[name] for name in _NUMBERS[:3]], 1)
        if np.any(shapes != (level.height, level.width, manifest.channels)):
            yield f"has a record of another size near record {len(indices)}"
        if not np.isfinite(labels).all():
            yield f"has a label that is not finite near record {len(indices)}"
        if manifest.class_names and np.any(np.sum(labels, 1) != 1):
            yield f"has a label that is no class near record {len(indices)}"
        indices += found["index"].numpy().tolist()
