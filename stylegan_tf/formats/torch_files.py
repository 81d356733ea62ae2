"""PyTorch's files of weights, read without PyTorch and without running what is in them.

A state dict is a pickle of names and tensors; the numbers lie beside it. Two layouts:
a zip archive (PyTorch 1.6 and later) and, before, pickles and numbers one after the
other. The pickle goes through our own `safe_pickle`, which here knows how a tensor is
put together and nothing else.
"""

import io
import math
import mmap
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from stylegan_tf.errors import UserError
from stylegan_tf.formats.safe_pickle import (
    AGAIN,
    Machine,
    Refused,
    Symbol,
    need,
    ordered_dict,
    shown,
)

MAGIC = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")  # the old layout begins with it
ZIP = b"PK\x03\x04"
VERSION = 1001  # of the old layout
DIMENSIONS = 16
KINDS = {
    "torch.DoubleStorage": "<f8",
    "torch.FloatStorage": "<f4",
    "torch.HalfStorage": "<f2",
    "torch.LongStorage": "<i8",
    "torch.IntStorage": "<i4",
    "torch.ShortStorage": "<i2",
    "torch.CharStorage": "|i1",
    "torch.ByteStorage": "|u1",
    "torch.BoolStorage": "|b1",
}
ONLY = "give a file of weights alone (a state dict), as published."


def is_torch(head: bytes) -> bool:
    """Whether a file that begins so is one of PyTorch's."""
    return head.startswith((MAGIC, ZIP))


def read(path: Path | str) -> dict[str, np.ndarray]:
    """The tensors of a state dict, by name.

    Args:
        path: a `.pth` file of either layout.

    Returns:
        Read-only arrays. Of the old layout they are views of the file on disk.

    Raises:
        UserError: the file is not there, damaged, or holds anything but tensors.
    """
    path = Path(path)
    try:
        need(path.exists(), "does not exist.")
        need(path.is_file(), "is no file; give the .pth file itself.")
        return _tensors(_content(path))
    except Refused as e:
        raise UserError(f"{path} {e}") from e
    except OSError as e:
        raise UserError(f"{path} cannot be read: {e.strerror or e}.") from e
    except Exception as e:  # of a file made to confuse: TypeError, BadZipFile, ...
        what = type(e).__name__
        raise UserError(f"{path} is damaged, or no PyTorch file ({what}).") from e


def _content(path: Path):
    """What the pickle in a file ends with; its storages have their numbers."""
    with open(path, "rb") as f:
        head = f.read(len(MAGIC))
        need(head, f"is empty; {AGAIN}")
        need(not head.startswith(b"<"), f"is a web page, not the weights; {AGAIN}")
        need(is_torch(head), f"is no file that PyTorch wrote, or cut short; {AGAIN}")
        if head.startswith(ZIP):
            return _archive(f, path.stat().st_size)
        data = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
        return _sequence(data, data)


# ---------------------------------------------------------------------------
# What a state dict is made of


@dataclass(eq=False)
class Storage:
    """Numbers in a row, which come later."""

    dtype: np.dtype
    count: int
    values: np.ndarray | None = None

    def fill(self, data, offset: int = 0) -> None:
        size = self.count * self.dtype.itemsize
        need(self.values is None, "is damaged: it has some numbers twice.")
        need(len(data) - offset >= size, f"is cut short; {AGAIN}")
        self.values = np.frombuffer(data, self.dtype, self.count, offset)


@dataclass(eq=False)
class Part:
    """Some of the numbers of a storage, which a tensor of the old layout may have."""

    storage: Storage
    start: int
    count: int


@dataclass(eq=False)
class Tensor:
    """Where in a storage the numbers of an array stand; strides in numbers."""

    storage: Storage | Part
    offset: int
    shape: tuple
    strides: tuple

    def array(self) -> np.ndarray:
        """[*shape]: a view."""
        whole, start = self.storage, 0
        if type(whole) is Part:
            whole, start = whole.storage, whole.start
        need(whole.values is not None, f"lacks the numbers of a tensor; {AGAIN}")
        count = math.prod(self.shape)
        steps = zip(self.shape, self.strides, strict=True)
        last = self.offset + sum((n - 1) * step for n, step in steps if n)
        fits = count == 0 or max(count - 1, last) < self.storage.count
        fits = fits and start + self.storage.count <= whole.count
        need(fits, "is damaged: a tensor is larger than the numbers it is made of.")
        numbers = whole.values[start + self.offset :]
        if not count:
            return np.frombuffer(b"", whole.dtype).reshape(self.shape)
        steps = [step * whole.dtype.itemsize for step in self.strides]
        view = np.lib.stride_tricks.as_strided
        return view(numbers, self.shape, steps, writeable=False)


def _sizes(values) -> bool:
    """Whether these are sizes, counts or steps."""
    fits = type(values) is tuple and len(values) <= DIMENSIONS
    return fits and all(type(n) is int and 0 <= n < 2**48 for n in values)


def rebuild_tensor(machine, storage, offset, shape, strides, *rest) -> Tensor:
    """A tensor, as `torch._utils._rebuild_tensor_v2` puts it together."""
    fits = type(storage) in (Storage, Part) and _sizes((offset,)) and len(rest) <= 3
    fits = fits and _sizes(shape) and _sizes(strides) and len(shape) == len(strides)
    need(fits, "puts a tensor together in a way that PyTorch does not.")
    return Tensor(storage, offset, shape, strides)


def parameter(machine, tensor, *rest) -> Tensor:
    """A parameter: its tensor."""
    fits = type(tensor) is Tensor and len(rest) <= 2
    need(fits, f"has a parameter made of {shown(tensor)}; only tensors are read.")
    return tensor


_CALLS = {
    "collections.OrderedDict": ordered_dict,
    "torch._utils._rebuild_tensor": rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": rebuild_tensor,
    "torch._utils._rebuild_parameter": parameter,
    "torch.nn.parameter.Parameter": parameter,
}


class TorchMachine(Machine):
    """Runs the operations of a state dict.

    Args:
        size: of the file, in bytes.
        storages: filled by key with the storages that are asked for.
    """

    def __init__(self, size: int, storages: dict[str, Storage] | None = None):
        super().__init__(size)
        self.calls, self.makes = _CALLS, {}
        self.storages = {} if storages is None else storages

    def knows(self, asked: str) -> bool:
        """Whether a name is one of those that state dicts need."""
        model = asked.startswith("torch.nn.") and asked not in self.calls
        need(not model, f"holds a model ({shown(asked)}), which is code; {ONLY}")
        return asked in self.calls or asked in KINDS

    def build(self) -> None:
        """Drops the attributes of a dict: a state dict's tell versions of layers."""
        (state,), thing = self.pop(1), self.stack[-1]
        fits = type(thing) is dict and type(state) is dict
        need(fits, f"sets the state of {shown(thing)}; it is not read.")

    def persistent(self) -> None:
        """Replaces ("storage", kind, key, place, count[, part]) by that storage."""
        (asked,) = self.pop(1)
        fits = type(asked) is tuple and len(asked) in (5, 6) and asked[0] == "storage"
        fits = fits and type(asked[1]) is Symbol and asked[1].name in KINDS
        fits = fits and type(asked[2]) is str and _sizes(asked[4:5])
        need(fits, "has numbers of a kind or place that weights do not have.")
        _, kind, key, _, count = asked[:5]
        fresh = Storage(np.dtype(KINDS[kind.name]), count)
        storage = self.storages.setdefault(key, fresh)
        same = (storage.dtype, storage.count) == (fresh.dtype, fresh.count)
        need(same, "is damaged: it describes some numbers in two ways.")
        part = asked[5] if len(asked) == 6 else None
        self.push(storage if part is None else _part(storage, part))


def _part(storage: Storage, part) -> Part:
    fits = type(part) is tuple and len(part) == 3 and _sizes(part[1:])
    need(fits, "has numbers of a kind or place that weights do not have.")
    return Part(storage, *part[1:])


# ---------------------------------------------------------------------------
# The two layouts, and what comes out of them


def storage_of(data: bytes) -> Storage:
    """The storage that PyTorch wrote into a byte string, in the old layout.

    Raises:
        Refused: it is no such string, or its storage is longer than what it holds.
    """
    need(data.startswith(MAGIC), "has numbers in a layout that PyTorch does not write.")
    storage = _sequence(io.BytesIO(data), data)
    need(type(storage) is Storage, f"has {shown(storage)} in the place of numbers.")
    need(storage.values is not None, f"lacks the numbers of a tensor; {AGAIN}")
    return storage


def _sequence(stream: BinaryIO | mmap.mmap, data: bytes | mmap.mmap):
    """Of pickles: number, version, machine, dict, keys; then the numbers."""
    storages: dict[str, Storage] = {}
    stream.seek(len(MAGIC))
    version = TorchMachine(len(data)).run(stream)
    need(version == VERSION, f"has layout {shown(version)}; {VERSION} is read.")
    about = TorchMachine(len(data)).run(stream)
    little = type(about) is dict and about.get("little_endian") is True
    need(little, "was written by a machine whose numbers begin at the other end.")
    content = TorchMachine(len(data), storages).run(stream)
    keys = TorchMachine(len(data)).run(stream)
    fits = type(keys) is list and set(keys) <= set(storages)
    need(fits, "is damaged: it has numbers that no tensor is made of.")
    for key in keys:
        count, storage = int.from_bytes(stream.read(8), "little"), storages[key]
        need(count == storage.count, f"is cut short or damaged; {AGAIN}")
        storage.fill(data, stream.tell())
        stream.seek(count * storage.dtype.itemsize, io.SEEK_CUR)
    return content


def _archive(file: BinaryIO, size: int):
    """Of a zip file: NAME/data.pkl, and the numbers in NAME/data/KEY."""
    storages: dict[str, Storage] = {}
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        mains = [name for name in entries if re.fullmatch(r"([^/]+/)?data\.pkl", name)]
        need(mains, f"is a zip file without a state dict; {ONLY}")
        top = mains[0].removesuffix("data.pkl")
        need(f"{top}constants.pkl" not in entries, f"is a program; {ONLY}")
        machine = TorchMachine(size, storages)

        def stored(name: str) -> bytes:
            need(name in entries, f"lacks its part {shown(name)}; {AGAIN}")
            plain = entries[name].compress_type == zipfile.ZIP_STORED
            need(plain, "is compressed, as PyTorch's files are not; it is not read.")
            machine.bytes.spend(entries[name].file_size)
            return archive.read(name)

        if f"{top}byteorder" in entries:
            little = stored(f"{top}byteorder") == b"little"
            need(
                little, "was written by a machine whose numbers begin at the other end."
            )
        content = machine.run(stored(mains[0]))
        for key, storage in storages.items():
            storage.fill(stored(f"{top}data/{key}"))
    return content


def _tensors(content) -> dict[str, np.ndarray]:
    """Name -> array of a state dict."""
    need(type(content) is dict, f"holds a {shown(content)} and no state dict; {ONLY}")
    found = {}
    for name, tensor in content.items():
        fits = type(name) is str and type(tensor) is Tensor
        need(fits, f"has {shown(name)}, which is no tensor; {ONLY}")
        found[name] = tensor.array()
    need(found, f"holds no tensors; {ONLY}")
    return found
