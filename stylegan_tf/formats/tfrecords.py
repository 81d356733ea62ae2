"""The bytes of TFRecord files and of tf.train.Example, without TensorFlow.

    examples = [encode_example({"label": 3, "image": pixels.tobytes()}), ...]
    open(path, "wb").write(b"".join(frame_records(examples)))

Processes that convert images make whole records with it: none waits for TensorFlow to
load, and the checksums are made on all cores. A TFRecord is

    uint64 length, uint32 CRC of the length, the data, uint32 CRC of the data

both CRCs masked CRC32Cs.
"""

import functools
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from google_crc32c import value as crc32c

from stylegan_tf.errors import UserError
from stylegan_tf.files import open_regular, size_text

MOST_RECORD = 1 << 30  # bytes of a record
_MASK = 0xA282EAD8  # TFRecord's: a CRC of data that holds CRCs would be weak
_SMALL = [bytes([value]) for value in range(128)]
_HEAD, _TAIL = 12, 4  # length and its CRC; the CRC of the data
FRAME = _HEAD + _TAIL  # bytes of a TFRecord that are not data
_ARRAY = ".array_record"
_LONGEST = 63  # bits of an integer


def frame_records(records: Sequence[bytes]) -> list[bytes]:
    """Adds to each record the length and the checksums of a TFRecord file."""
    return [b"".join(_framed(record)) for record in records]


def _framed(record: bytes) -> tuple[bytes, ...]:
    length = struct.pack("<Q", len(record))
    return length, _masked_crc(length), record, _masked_crc(record)


def _masked_crc(data: bytes) -> bytes:
    crc = crc32c(data)
    rotated = crc >> 15 | crc << 17
    return struct.pack("<I", rotated + _MASK & 0xFFFFFFFF)


# ---------------------------------------------------------------------------
# Writing tf.train.Example


def encode_example(features: Mapping[str, int | bytes | np.ndarray]) -> bytes:
    """Serializes a tf.train.Example with its features in the order of `features`.

    Args:
        features: name -> an int (int64_list), bytes (bytes_list), or an array:
            integers are an int64_list, others a float_list.
    """
    return join_features([encode_feature(*feature) for feature in features.items()])


def join_features(features: Sequence[bytes]) -> bytes:
    """Makes a serialized tf.train.Example of features from `encode_feature`."""
    return field(1, b"".join(features))


def encode_feature(name: str, value: int | bytes | np.ndarray) -> bytes:
    """Serializes a feature for `join_features`; see `encode_example`."""
    if isinstance(value, int):
        return _number(name, value)
    if isinstance(value, bytes):
        return _before(name, len(value)) + value
    return field(1, field(1, name.encode()) + field(2, _feature(value)))


@functools.lru_cache(4096)  # sizes are the same in every record of a level
def _number(name: str, value: int) -> bytes:
    return field(1, field(1, name.encode()) + field(2, _feature(np.array(value))))


@functools.lru_cache(4096)
def _before(name: str, length: int) -> bytes:
    """Heads of the nested fields before the bytes of a feature."""
    before = b""
    for number in (1, 1, 2):  # a value, of a bytes_list, of the feature
        before = _head(number, len(before) + length) + before
    before = field(1, name.encode()) + before
    return _head(1, len(before) + length) + before


def _feature(value: np.ndarray) -> bytes:
    value = np.atleast_1d(value)
    if value.dtype.kind in "iu":
        return field(3, field(1, b"".join(varint(int(v)) for v in value)))
    return field(2, field(1, value.astype("<f4").tobytes()))


def field(number: int, data: bytes) -> bytes:
    """Serializes a protocol-buffer field of bytes, or of a message."""
    return _head(number, len(data)) + data


def _head(number: int, length: int) -> bytes:
    return _SMALL[number << 3 | 2] + varint(length)


def varint(value: int) -> bytes:
    """Serializes an integer; a negative one as 64 bits, in two's complement."""
    if 0 <= value < 128:
        return _SMALL[value]
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


# ---------------------------------------------------------------------------
# Reading


def scan_records(path: Path) -> np.ndarray:
    """Finds where the data of each record of a TFRecord file begins: int64 [records].

    For an ArrayRecord file, which TFDS can write too, returns the records' numbers.

    Raises:
        UserError: the file cannot be read, is cut short, or is no TFRecord file.
    """
    try:
        if _ARRAY in path.name:
            return np.arange(_array_reader(path).num_records())
        with open_regular(path) as file:
            return np.array(list(_offsets(file, path)), np.int64)
    except OSError as e:
        raise UserError(f"{path} cannot be read: {e.strerror or e}.") from e


def _offsets(file: BinaryIO, path: Path) -> Iterator[int]:
    at, number, size = 0, 0, os.fstat(file.fileno()).st_size
    while at < size:
        file.seek(at)
        head = file.read(_HEAD)
        length = int.from_bytes(head[:8], "little")
        if len(head) < _HEAD or at + _HEAD + length + _TAIL > size:
            raise UserError(
                f"{path} is cut short at record {number}, or no TFRecord file; copy or "
                f"download it again."
            )
        if _masked_crc(head[:8]) != head[8:]:
            raise UserError(
                f"{path} is damaged at record {number}, or no TFRecord file; copy or "
                f"download it again."
            )
        if length > MOST_RECORD:
            raise UserError(
                f"{path} has a record {number} of {size_text(length)}; at most "
                f"{size_text(MOST_RECORD)} are read."
            )
        yield at + _HEAD
        at, number = at + _HEAD + length + _TAIL, number + 1


def read_record(path: Path, offset: int) -> bytes:
    """Reads the data of the record that `scan_records` found at `offset`."""
    if _ARRAY in path.name:
        return _array_reader(path).read([offset])[0]
    with open_regular(path) as f:
        f.seek(offset - _HEAD)
        (length,) = struct.unpack("<Q", f.read(8))
        if length > MOST_RECORD:
            raise ValueError("its length has changed since the file was opened")
        f.seek(offset)
        return f.read(length)


@functools.lru_cache(maxsize=32)
def _array_reader(path: Path):
    from array_record.python.array_record_module import ArrayRecordReader  # by TFDS

    return ArrayRecordReader(str(path))


def parse_example(data: bytes) -> dict[str, list]:
    """Parses a serialized tf.train.Example: bytes, floats or ints by name.

    Raises:
        Exception: it is none; of nearly every type.
    """
    found = {}
    for _, features in _fields(data):
        for _, entry in _fields(features):
            parts = dict(_fields(entry))
            feature = list(_fields(parts.get(2, b"")))
            kind, values = feature[0] if feature else (1, b"")
            found[parts[1].decode()] = _VALUES[kind](values)
    return found


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Yields (field number, value) of each field of a protocol-buffer message."""
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
        if shift > _LONGEST:
            raise ValueError("a number of more than 64 bits")


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
