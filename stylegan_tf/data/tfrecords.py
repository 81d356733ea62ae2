"""The bytes of TFRecord files and of tf.train.Example, without TensorFlow.

    framed = frame([example({"label": 3, "image": pixels.tobytes()}), ...])
    open(path, "wb").write(b"".join(framed))

Workers that convert pictures make whole records with it, so that nobody has to wait
for TensorFlow to load, and the checksums are made on all cores. A TFRecord is

    uint64 length, uint32 CRC of the length, the data, uint32 CRC of the data

both CRCs masked CRC32Cs. That is not in Python's library, but it is linear, so NumPy
makes it fast: data is cut into rows, all rows take a step of four bytes at once, and
neighbours are joined two by two, the left one advanced over the length of the right.
"""

import functools
import struct
from collections.abc import Mapping, Sequence

import numpy as np

_POLYNOMIAL = np.uint32(0x82F63B78)  # Castagnoli's, its bits reversed
_MASK = 0xA282EAD8  # TFRecord's: a CRC of data that holds CRCs would be weak
_ROW = 256  # bytes that are gone through one after the other
_AT_ONCE = 1 << 20  # bytes: what the caches hold
_HALF = np.uint32(0xFFFF)
_SMALL = [bytes([value]) for value in range(128)]
_SHIFT = np.uint32(16)


def frame(records: Sequence[bytes]) -> list[bytes]:
    """Each record as it stands in a TFRecord file."""
    heads = [struct.pack("<Q", len(record)) for record in records]
    of_heads, of_records = _masked(heads), _masked(records)
    return [
        b"".join((head, a.tobytes(), record, b.tobytes()))
        for head, a, record, b in zip(heads, of_heads, records, of_records, strict=True)
    ]


def _masked(records: Sequence[bytes]) -> np.ndarray:
    crc = crc32c(records).astype(np.uint64)
    rotated = (crc >> np.uint64(15)) | (crc << np.uint64(17))
    return (rotated + np.uint64(_MASK)).astype("<u4")


# ---------------------------------------------------------------------------
# CRC32C


def crc32c(records: Sequence[bytes]) -> np.ndarray:
    """The CRC32C of each of some strings of four bytes or more: uint32 [n].

    Raises:
        ValueError: one is shorter.
    """
    if not records:
        return np.zeros(0, np.uint32)
    if min(map(len, records)) < 4:
        raise ValueError("CRC32C of fewer than four bytes.")
    step = max(_AT_ONCE // max(map(len, records)), 1)
    parts = [records[i : i + step] for i in range(0, len(records), step)]
    return np.concatenate([_crc32c(part) for part in parts])


def _crc32c(records: Sequence[bytes]) -> np.ndarray:
    longest = max(map(len, records))
    row = _ROW if longest > 8 else 8
    rows = 1 << (-(-longest // row) - 1).bit_length()  # a record
    data = np.zeros((len(records), rows * row), np.uint8)
    for line, record in zip(data, records, strict=True):
        # Zeros in front change nothing where the register starts with zeros; that it
        # should start with ones is the same as inverting the first four bytes.
        line[-len(record) :] = np.frombuffer(record, np.uint8)
        line[len(line) - len(record) :][:4] ^= 0xFF
    words = data.view("<u4").reshape(-1, row // 4)
    crc = np.zeros(len(words), np.uint32)
    for column in np.ascontiguousarray(words.T):
        crc = _advance(crc ^ column, 4)
    crc = crc.reshape(len(records), rows)
    while crc.shape[1] > 1:
        crc = _advance(crc[:, ::2], row) ^ crc[:, 1::2]
        row *= 2
    return ~crc[:, 0]


def _advance(crc: np.ndarray, count: int) -> np.ndarray:
    """Registers after `count` bytes of zeros; 4 or 4 doubled some times."""
    low, high = _tables(count)
    # Clipping clips nothing, but spares NumPy a check of its own: three times as fast.
    return low.take(crc & _HALF, mode="clip") ^ high.take(crc >> _SHIFT, mode="clip")


@functools.cache
def _tables(count: int) -> tuple[np.ndarray, np.ndarray]:
    """`_advance` of every lower and of every upper half of a register."""
    low = np.arange(1 << 16, dtype=np.uint32)
    both = low, low << _SHIFT
    if count > 4:
        return tuple(_advance(_advance(v, count // 2), count // 2) for v in both)
    for _ in range(8 * count):
        both = tuple(v >> np.uint32(1) ^ _POLYNOMIAL * (v & 1) for v in both)
    return both


# ---------------------------------------------------------------------------
# tf.train.Example


def example(features: Mapping[str, int | bytes | np.ndarray]) -> bytes:
    """A serialised tf.train.Example, its features in the order of `features`.

    Args:
        features: name -> an int (int64_list), bytes (bytes_list), or an array:
            integers are an int64_list, others a float_list.
    """
    return field(1, b"".join([_entry(name, v) for name, v in features.items()]))


def _entry(name: str, value: int | bytes | np.ndarray) -> bytes:
    """An entry of the map in tf.train.Features."""
    if isinstance(value, int):
        return _number(name, value)
    return field(1, field(1, name.encode()) + field(2, _feature(value)))


@functools.lru_cache(4096)  # sizes are the same in every record of a level
def _number(name: str, value: int) -> bytes:
    return field(1, field(1, name.encode()) + field(2, _feature(np.array(value))))


def _feature(value: bytes | np.ndarray) -> bytes:
    if isinstance(value, bytes):
        return field(1, field(1, value))
    value = np.atleast_1d(value)
    if value.dtype.kind in "iu":
        return field(3, field(1, b"".join(varint(int(v)) for v in value)))
    return field(2, field(1, value.astype("<f4").tobytes()))


def field(number: int, data: bytes) -> bytes:
    """A field of a protocol-buffer message that is of bytes or a message itself."""
    return b"".join((bytes([number << 3 | 2]), varint(len(data)), data))


def varint(value: int) -> bytes:
    """A protocol buffer's integer; negative ones as 64 bits, in two's complement."""
    if 0 <= value < 128:
        return _SMALL[value]
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
