"""The bytes of TFRecord files and of tf.train.Example, without TensorFlow.

    framed = frame([example({"label": 3, "image": pixels.tobytes()}), ...])
    open(path, "wb").write(b"".join(framed))

Workers that convert pictures make whole records with it, so that nobody has to wait
for TensorFlow to load, and the checksums are made on all cores. A TFRecord is

    uint64 length, uint32 CRC of the length, the data, uint32 CRC of the data

both CRCs masked CRC32Cs.
"""

import functools
import struct
from collections.abc import Mapping, Sequence

import numpy as np
from google_crc32c import value as crc32c

_MASK = 0xA282EAD8  # TFRecord's: a CRC of data that holds CRCs would be weak
_SMALL = [bytes([value]) for value in range(128)]


def frame(records: Sequence[bytes]) -> list[bytes]:
    """Each record as it stands in a TFRecord file."""
    return [b"".join(_framed(record)) for record in records]


def _framed(record: bytes) -> tuple[bytes, ...]:
    length = struct.pack("<Q", len(record))
    return length, _masked_crc(length), record, _masked_crc(record)


def _masked_crc(data: bytes) -> bytes:
    crc = crc32c(data)
    rotated = crc >> 15 | crc << 17
    return struct.pack("<I", rotated + _MASK & 0xFFFFFFFF)


# ---------------------------------------------------------------------------
# tf.train.Example


def example(features: Mapping[str, int | bytes | np.ndarray]) -> bytes:
    """A serialised tf.train.Example, its features in the order of `features`.

    Args:
        features: name -> an int (int64_list), bytes (bytes_list), or an array:
            integers are an int64_list, others a float_list.
    """
    return of_entries([entry(name, value) for name, value in features.items()])


def of_entries(entries: Sequence[bytes]) -> bytes:
    """As `example`, of what `entry` made."""
    return field(1, b"".join(entries))


def entry(name: str, value: int | bytes | np.ndarray) -> bytes:
    """A feature as it stands in a tf.train.Example."""
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
    """What stands before the bytes of a feature: the heads of fields within fields."""
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
    """A field of a protocol-buffer message that is of bytes or a message itself."""
    return _head(number, len(data)) + data


def _head(number: int, length: int) -> bytes:
    return _SMALL[number << 3 | 2] + varint(length)


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
