"""Sources that are record files already: official TFRecords and TFDS data sets.

Records are found by scanning the lengths in a TFRecord file and taken apart with a few
lines of protocol-buffer parsing, so that any record can be read at once, in any order,
in a worker process that never loads TensorFlow. TFDS itself is only imported to look
up which files, features and splits a data set has.

An official set is a folder of NAME-r02.tfrecords, NAME-r03.tfrecords, ..., one file a
level, each record holding `shape` [C, H, W] and the raw uint8 `data`; labels lie beside
them in NAME-rxx.labels, a NumPy array. Read is the lowest level that is large enough.
"""

import contextlib
import difflib
import functools
import io
import logging
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from stylegan_tf.data import labels, pictures
from stylegan_tf.data.pictures import BadPicture, Header
from stylegan_tf.data.sources import Source
from stylegan_tf.errors import UserError

_HEAD, _TAIL = 12, 4  # a TFRecord: length and its CRC, the data, the data's CRC
FRAME = _HEAD + _TAIL  # bytes of a TFRecord that are not data
_ARRAY = ".array_record"
_OFFICIAL = re.compile(r"(?P<name>.+)-r(?P<level>\d\d)\.tfrecords")


# ---------------------------------------------------------------------------
# TFRecord files and tf.train.Example, without TensorFlow


def scan(path: Path) -> np.ndarray:
    """Where the data of every record of a TFRecord file begins: int64 [records].

    Of an ArrayRecord file, which TFDS can write too, the numbers of the records.

    Raises:
        UserError: the file is cut short, or no TFRecord file.
    """
    if _ARRAY in path.name:
        return np.arange(_array_reader(path).num_records())
    offsets, at, size = [], 0, path.stat().st_size
    with open(path, "rb") as f:
        while at < size:
            f.seek(at)
            head = f.read(_HEAD)
            end = at + _HEAD + _TAIL
            if len(head) == _HEAD:
                end += struct.unpack("<Q", head[:8])[0]
            if len(head) < _HEAD or end > size:
                raise UserError(
                    f"{path} is cut short at record {len(offsets)}, or no TFRecord "
                    f"file; copy or download it again."
                )
            offsets.append(at + _HEAD)
            at = end
    return np.array(offsets, np.int64)


def read_at(path: Path, offset: int) -> bytes:
    """The data of the record that `scan` found at `offset`."""
    if _ARRAY in path.name:
        return _array_reader(path).read([offset])[0]
    with open(path, "rb") as f:
        f.seek(offset - _HEAD)
        (length,) = struct.unpack("<Q", f.read(8))
        f.seek(offset)
        return f.read(length)


@functools.lru_cache(maxsize=32)
def _array_reader(path: Path):
    from array_record.python.array_record_module import ArrayRecordReader  # by TFDS

    return ArrayRecordReader(str(path))


def parse_example(data: bytes) -> dict[str, list]:
    """The features of a serialised tf.train.Example: bytes, floats or ints by name."""
    found = {}
    for _, features in _fields(data):
        for _, entry in _fields(features):
            parts = dict(_fields(entry))
            feature = list(_fields(parts.get(2, b"")))
            kind, values = feature[0] if feature else (1, b"")
            found[parts[1].decode()] = _VALUES[kind](values)
    return found


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """(field number, value) of each field of a protocol-buffer message."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        if tag & 7 == 0:
            value, at = _varint(data, at)
        else:
            fixed = {1: 8, 5: 4}.get(tag & 7)
            length, at = (fixed, at) if fixed else _varint(data, at)
            value, at = data[at : at + length], at + length
        yield tag >> 3, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _bytes_list(data: bytes) -> list[bytes]:
    return [value for _, value in _fields(data)]


def _float_list(data: bytes) -> list[float]:
    return np.frombuffer(b"".join(_bytes_list(data)), "<f4").tolist()


def _int64_list(data: bytes) -> list[int]:
    out: list[int] = []
    for _, packed in _fields(data):
        at = 0
        while isinstance(packed, bytes) and at < len(packed):
            value, at = _varint(packed, at)
            out.append(value)
        if isinstance(packed, int):
            out.append(packed)
    return [value - (1 << 64) if value >> 63 else value for value in out]


_VALUES = {1: _bytes_list, 2: _float_list, 3: _int64_list}


class RecordSource(Source):
    """Pictures in TFRecord files; subclasses say what a record means."""

    def __init__(self, name: str, files: list[Path]):
        self.name, self.files, self.notes = name, files, []
        offsets = [scan(file) for file in files]
        self.offsets = np.concatenate(offsets) if offsets else np.zeros(0, np.int64)
        self.file_of = np.repeat(np.arange(len(files)), [len(o) for o in offsets])

    def __len__(self) -> int:
        return len(self.offsets)

    def name_of(self, i: int) -> str:
        return f"{self.files[self.file_of[i]].name}[{i}]"

    def record(self, i: int) -> dict[str, list]:
        """The features of record i."""
        with pictures.reasons():
            file = self.files[self.file_of[i]]
            return parse_example(read_at(file, int(self.offsets[i])))

    def fingerprint(self) -> str:
        stats = [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in self.files]
        return f"{self.name} {len(self)} {self.label_size} {stats}"


# ---------------------------------------------------------------------------
# Official multi-resolution sets


def is_official(path: Path) -> bool:
    """Whether a path is a folder with NAME-rNN.tfrecords files."""
    return path.is_dir() and any(_OFFICIAL.fullmatch(f.name) for f in path.iterdir())


def official_levels(path: Path) -> dict[int, Path]:
    """The files of an official set by the side of their pictures, from the lowest up.

    Raises:
        UserError: the folder holds several sets.
    """
    matches = [m for f in path.iterdir() if (m := _OFFICIAL.fullmatch(f.name))]
    names = sorted({m["name"] for m in matches})
    if len(names) > 1:
        raise UserError(
            f"{path} holds several sets ({', '.join(names)}); "
            f"move each into a folder of its own."
        )
    matches.sort(key=lambda m: m["level"])
    return {1 << int(m["level"]): path / m[0] for m in matches}


class OfficialSource(RecordSource):
    """An official TFRecord directory.

    A picture that is wanted smaller than the highest level is read from the lowest
    level that is large enough, as the official code reads it.
    """

    def __init__(self, path: Path, choice: str = "auto"):
        self.levels = official_levels(path)
        self.top = max(self.levels)
        super().__init__(path.resolve().name, [self.levels[self.top]])
        self._offsets = {self.top: self.offsets}
        self.labels = self._find_labels(path, choice)
        self.class_names, self.label_size = self.labels.class_names, self.labels.size

    def fingerprint(self) -> str:
        stats = [file.stat() for file in self.levels.values()]
        lower = [(stat.st_size, stat.st_mtime_ns) for stat in stats[:-1]]
        return f"{super().fingerprint()} {self.labels.fingerprint()} {lower}"

    def _find_labels(self, path: Path, choice: str) -> labels.Labels:
        files = sorted(path.glob("*.labels"))
        if choice not in ("auto", "none"):
            raise UserError(
                "official TFRecords bring their labels; use --labels=auto or none."
            )
        if choice == "none" or not files:
            return labels.NONE
        try:
            rows = np.load(files[0], allow_pickle=False)
        except (OSError, ValueError) as e:
            raise UserError(
                f"{files[0]} is not a NumPy array; use --labels=none."
            ) from e
        if rows.ndim != 2 or len(rows) < len(self):
            raise UserError(
                f"{files[0]} holds labels of shape {list(rows.shape)} for {len(self)} "
                f"pictures; use --labels=none."
            )
        return labels.from_rows(rows[: len(self)])

    def peek(self, i: int) -> Header:
        record = self.record(i)
        with pictures.reasons():
            channels, height, width = record["shape"]
            return Header(height, width, channels == 1)

    def read(self, i: int, size: int) -> tuple[np.ndarray, int | np.ndarray]:
        side = min((n for n in self.levels if n >= size), default=self.top)
        at = int(self._offsets_of(side)[i])
        with pictures.reasons():
            pixels = official_pixels(read_at(self.levels[side], at))
            return np.ascontiguousarray(pixels.transpose(1, 2, 0)), self.labels[i]

    def _offsets_of(self, side: int) -> np.ndarray:
        """Where the records of a level begin, looked up when it is first read."""
        if side not in self._offsets:
            found = scan(self.levels[side])
            if len(found) != len(self):
                raise UserError(
                    f"{self.levels[side]} has {len(found)} records and the highest "
                    f"level {len(self)}; copy or download the set again."
                )
            self._offsets[side] = found
        return self._offsets[side]


def official_pixels(data: bytes) -> np.ndarray:
    """The picture in a record of an official set: uint8 [channels, height, width]."""
    record = parse_example(data)
    return np.frombuffer(record["data"][0], np.uint8).reshape(record["shape"])


# ---------------------------------------------------------------------------
# TensorFlow Datasets


def is_prepared(path: Path) -> bool:
    """Whether a folder is a prepared TFDS data set."""
    return (path / "dataset_info.json").exists() and (path / "features.json").exists()


class TfdsSource(RecordSource):
    """One split of a prepared TFDS data set."""

    def __init__(
        self,
        name: str,
        files: list[Path],
        image_key: str,
        label_key: str | None,
        classes: list,
    ):
        super().__init__(name, files)
        self.image_key, self.label_key = image_key, label_key
        self.class_names, self.label_size = classes, len(classes)

    def peek(self, i: int) -> Header:
        data = self._feature(i, self.image_key)
        with pictures.reasons():
            return pictures.header(io.BytesIO(data))

    def read(self, i: int, size: int) -> tuple[Image.Image, int]:
        draft = size if self.draft else 0
        image = pictures.decode(self._feature(i, self.image_key), draft)
        label = self._feature(i, self.label_key) if self.label_key else -1
        if self.label_key and not 0 <= label < self.label_size:
            raise BadPicture(f"its label is {label}, which is no class")
        return image, label

    def _feature(self, i: int, key: str):
        record = self.record(i)
        if not record.get(key):
            raise BadPicture(f"has no feature {key!r}")
        return record[key][0]


def open_tfds(name: str, choice: str, download: bool) -> TfdsSource:
    """A TFDS data set by NAME, NAME@SPLIT or the folder of a prepared one.

    Args:
        name: as TFDS writes it, such as "mnist" or "cifar10:3.0.2@test".
        choice: "auto" takes the set's class labels, "none" leaves them.
        download: download and prepare the set where it is not.

    Raises:
        UserError: TFDS is not installed, the set is unknown, not prepared or holds no
            pictures, or the download failed.
    """
    split = ""
    if "@" in name and not is_prepared(Path(name)):
        name, split = name.rsplit("@", 1)
    if choice not in ("auto", "none"):
        raise UserError("a TFDS set brings its labels; use --labels=auto or none.")
    try:
        import tensorflow_datasets as tfds
    except ImportError as e:
        raise UserError(
            f"tfds:{name} needs TensorFlow Datasets ({e}); "
            f"run: pip install tensorflow-datasets importlib_resources"
        ) from e
    with _quiet():
        builder = _builder(tfds, name)
        _prepare(builder, name, download)
    files = _split_files(builder, name, split or "train")
    image_key, label_key = _keys(tfds, builder, name)
    label_key = label_key if choice == "auto" else None
    classes = list(builder.info.features[label_key].names) if label_key else []
    return TfdsSource(builder.name, files, image_key, label_key, classes)


@contextlib.contextmanager
def _quiet():
    """Keeps TFDS from logging about folders it did not find."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _builder(tfds, name: str):
    try:
        if is_prepared(Path(name)):
            return tfds.builder_from_directory(name)
        return tfds.builder(name)
    except Exception as e:  # TFDS raises many types, some with a page of names
        near = difflib.get_close_matches(name, tfds.list_builders())
        hint = f"did you mean {' or '.join(near)}?" if near else _first_line(e)
        raise UserError(
            f"TFDS has no data set {name!r}: {hint} "
            f"All names: https://www.tensorflow.org/datasets/catalog"
        ) from e


def _prepare(builder, name: str, download: bool) -> None:
    if builder.is_prepared():
        return
    if not download:
        raise UserError(
            f"the TFDS data set {name!r} is not prepared in {builder.data_dir}; "
            f"convert it with make_dataset.py --source=tfds:{name} --download, or "
            f"set TFDS_DATA_DIR to where it is."
        )
    try:
        builder.download_and_prepare()
    except Exception as e:  # network, disk, checksums, manual downloads
        raise UserError(
            f"TFDS could not download and prepare {name!r}: {_first_line(e)} "
            f"Check the network and the disk, then run again."
        ) from e


def _split_files(builder, name: str, split: str) -> list[Path]:
    splits = builder.info.splits
    if split not in splits:
        raise UserError(
            f"tfds:{name} has no split {split!r}; write tfds:{name}@SPLIT with one "
            f"of: {', '.join(splits)}."
        )
    kind = builder.info.file_format.value
    if kind not in ("tfrecord", "array_record"):
        raise UserError(
            f"tfds:{name} is prepared as {kind} files; prepare it with "
            f"file_format='tfrecord'."
        )
    return [Path(file) for file in splits[split].filepaths]


def _keys(tfds, builder, name: str) -> tuple[str, str | None]:
    """The features that hold the picture and, where there is one, its class."""
    features = dict(builder.info.features)
    kinds = {"image": tfds.features.Image, "label": tfds.features.ClassLabel}
    keys = {
        kind: [key for key, feature in features.items() if isinstance(feature, cls)]
        for kind, cls in kinds.items()
    }
    if not keys["image"]:
        raise UserError(
            f"tfds:{name} has no pictures; its features are {', '.join(features)}."
        )
    best = {
        kind: kind if kind in found else next(iter(found), None)
        for kind, found in keys.items()
    }
    return best["image"], best["label"]


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200].rstrip(".") + "."
