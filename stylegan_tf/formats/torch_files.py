"""Reads PyTorch's state dicts without PyTorch, and without running what is in them.

A state dict is a pickle of names and tensors, and the tensors' numbers beside it. Two
layouts are read: a zip archive (PyTorch 1.6 and later), and the older sequence of
pickles and numbers. The machine of `safe_pickle` reads the pickle; the only calls that
it knows here build a tensor, a parameter or an OrderedDict.
"""

import io
import math
import mmap
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np

from stylegan_tf.errors import UserError
from stylegan_tf.files import open_regular
from stylegan_tf.formats.safe_pickle import (
    AGAIN,
    MAX_STEPS,
    PLAIN,
    Allowance,
    Machine,
    RefusedError,
    Symbol,
    check_total,
    hashable,
    need,
    ordered_dict,
    shown,
)

MAGIC = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")  # start of the old layout
ZIP = b"PK\x03\x04"
VERSION = 1001  # of the old layout
STORAGE_STEPS = 100  # operations of each pickle around a storage alone; PyTorch's: 30
MAX_DIMENSIONS = 16
STORAGE_DTYPES = {
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
Result = TypeVar("Result")
ONLY = "give a file of weights alone (a state dict), as published."
BIG_ENDIAN = "was written by a machine whose numbers begin at the other end."


def is_torch(head: bytes) -> bool:
    """Returns True for the first bytes of a PyTorch file."""
    return head.startswith((MAGIC, ZIP))


def read_state_dict(path: Path | str) -> dict[str, np.ndarray]:
    """Reads the tensors of a state dict.

    Args:
        path: a `.pth` file of either layout.

    Returns:
        Name -> read-only array. Arrays of the old layout are views of the mapped file.

    Raises:
        UserError: the file is missing, damaged, or holds anything but tensors.
    """
    return _read(path, lambda file: _tensors(_content(file, TorchMachine)))


def read_checkpoint(
    path: Path | str, wanted: Callable[[str], bool]
) -> dict[str, object]:
    """Reads parts of a training's checkpoint: a dict of state dicts, tensors, numbers.

    Settings (`argparse.Namespace`) and the states of optimizers are passed over, and
    of a zip archive only the numbers of the parts that are wanted are read.

    Args:
        path: a file of either layout; its content may be a state dict itself.
        wanted: takes a name at the top, True = read it.

    Returns:
        Name -> read-only array, dict of arrays by name, or plain value.

    Raises:
        UserError: the file is missing, damaged, or holds anything but such data.
    """

    def parts(file: Path) -> dict[str, object]:
        content = _content(file, CheckpointMachine, wanted)
        chosen = _chosen(content, wanted)
        return {name: _arrays(name, part) for name, part in chosen.items()}

    return _read(path, parts)


def read_tensors(path: Path | str) -> object:
    """Reads a tensor, or tensors in dicts and lists, as tools save their results.

    Args:
        path: a file of either layout.

    Returns:
        Read-only array, list, dict, or plain value.

    Raises:
        UserError: the file is missing, damaged, or holds anything but such data.
    """

    def nested(value: object, levels: int, left: Allowance) -> object:
        left.spend()
        if type(value) is TensorNode:
            return value.array()
        if type(value) in PLAIN:
            return value
        kind = {dict: dict, list: list, tuple: list}.get(type(value))
        need(kind and levels, f"holds a {shown(value)}; only tensors are read.")
        if kind is dict:
            return {k: nested(v, levels - 1, left) for k, v in value.items()}
        return [nested(v, levels - 1, left) for v in value]

    levels, most = 3, Allowance(MAX_STEPS)
    return _read(path, lambda f: nested(_content(f, CheckpointMachine), levels, most))


def _read(path: Path | str, reader: Callable[[Path], Result]) -> Result:
    """Calls `reader(path)`; every error of it names the file in one line."""
    path = Path(path)
    try:
        need(path.exists(), "does not exist.")
        need(path.is_file(), "is no file; give the file of weights itself.")
        found = reader(path)
        check_total(_flat([found]), path.stat().st_size)
        return found
    except RefusedError as e:
        raise UserError(f"{path} {e}") from e
    except OSError as e:
        raise UserError(f"{path} cannot be read: {e.strerror or e}.") from e
    except Exception as e:  # a damaged file raises TypeError, BadZipFile, ...
        kind = type(e).__name__
        raise UserError(f"{path} is damaged, or no PyTorch file ({kind}).") from e


def _flat(values: Iterable) -> Iterator[np.ndarray]:
    """Yields the arrays among values, and those in dicts and lists among them."""
    for value in values:
        if isinstance(value, (dict, list)):
            yield from _flat(value.values() if isinstance(value, dict) else value)
        elif isinstance(value, np.ndarray):
            yield value


Wanted = Callable[[str], bool] | None


def _content(path: Path, machine: type["TorchMachine"], wanted: Wanted = None):
    """Returns the value of the file's pickle, its storages filled with numbers."""
    with open_regular(path) as f:
        head = f.read(len(MAGIC))
        need(head, f"is empty; {AGAIN}")
        need(not head.startswith(b"<"), f"is a web page, not the weights; {AGAIN}")
        need(is_torch(head), f"is no file that PyTorch wrote, or cut short; {AGAIN}")
        if head.startswith(ZIP):
            return _archive(f, path.stat().st_size, machine, wanted)
        data = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
        return _sequence(data, data, machine)


# ---------------------------------------------------------------------------
# Storages and tensors


@dataclass(eq=False)
class Storage:
    """A flat array of `count` numbers, empty until `fill`."""

    dtype: np.dtype
    count: int
    values: np.ndarray | None = None

    def fill(self, data: bytes | mmap.mmap, offset: int = 0) -> None:
        """Takes the numbers that begin `offset` bytes into `data`, as a view."""
        size = self.count * self.dtype.itemsize
        need(self.values is None, "is damaged: it has some numbers twice.")
        need(len(data) - offset >= size, f"is cut short; {AGAIN}")
        self.values = np.frombuffer(data, self.dtype, self.count, offset)


@dataclass(eq=False)
class StorageView:
    """A range of a storage's numbers (old layout only)."""

    storage: Storage
    start: int
    count: int


@dataclass(eq=False)
class TensorNode:
    """A tensor: a shape over a storage; offset and strides count numbers."""

    storage: Storage | StorageView
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> np.ndarray:
        """Returns [*shape], a read-only view of the storage.

        Raises:
            RefusedError: the tensor reaches beyond its storage.
        """
        whole, start = self.storage, 0
        if type(whole) is StorageView:
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


def _sizes(values: object) -> bool:
    """Returns True for a tuple of sizes, counts or strides."""
    fits = type(values) is tuple and len(values) <= MAX_DIMENSIONS
    return fits and all(type(n) is int and 0 <= n < 2**48 for n in values)


def rebuild_tensor(
    machine: Machine,
    storage: object,
    offset: object,
    shape: object,
    strides: object,
    *rest: object,
) -> TensorNode:
    """Builds a tensor, as `torch._utils._rebuild_tensor_v2` does."""
    fits = type(storage) in (Storage, StorageView) and len(rest) <= 3
    fits = fits and _sizes((offset,)) and _sizes(shape) and _sizes(strides)
    fits = fits and len(shape) == len(strides)
    need(fits, "puts a tensor together in a way that PyTorch does not.")
    return TensorNode(storage, offset, shape, strides)


def rebuild_parameter(machine: Machine, tensor: object, *rest: object) -> TensorNode:
    """Returns a parameter's tensor, as `torch._utils._rebuild_parameter` does."""
    fits = type(tensor) is TensorNode and len(rest) <= 2
    need(fits, f"has a parameter made of {shown(tensor)}; only tensors are read.")
    return tensor


_CALLS = {
    "collections.OrderedDict": ordered_dict,
    "torch._utils._rebuild_tensor": rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": rebuild_tensor,
    "torch._utils._rebuild_parameter": rebuild_parameter,
    "torch.nn.parameter.Parameter": rebuild_parameter,
}


class TorchMachine(Machine):
    """Runs the operations of a state dict.

    Args:
        size: size of the file in bytes.
        storages: dict that receives each storage the pickle refers to, by its key.
        steps: operations that the pickle may have.
    """

    def __init__(
        self,
        size: int,
        storages: dict[str, Storage] | None = None,
        steps: int = MAX_STEPS,
    ):
        super().__init__(size, steps)
        self.calls, self.makes = _CALLS, {}
        self.storages = {} if storages is None else storages

    def knows(self, asked: str) -> bool:
        """Returns True for a global name that state dicts need."""
        model = asked.startswith("torch.nn.") and asked not in self.calls
        need(not model, f"holds a model ({shown(asked)}), which is code; {ONLY}")
        return asked in self.calls or asked in STORAGE_DTYPES

    def build(self) -> None:
        """Drops the attributes of a state dict, which hold versions of layers."""
        (state,), node = self.pop(1), self.stack[-1]
        fits = type(node) is dict and type(state) is dict
        need(fits, f"sets the state of {shown(node)}; it is not read.")

    def persistent(self) -> None:
        """Replaces ("storage", kind, key, device, count[, view]) by that storage."""
        (asked,) = self.pop(1)
        fits = type(asked) is tuple and len(asked) in (5, 6) and asked[0] == "storage"
        fits = fits and type(asked[1]) is Symbol and asked[1].name in STORAGE_DTYPES
        fits = fits and type(asked[2]) is str and _sizes(asked[4:5])
        need(fits, "has numbers of a kind or place that weights do not have.")
        _, kind, key, _, count = asked[:5]
        fresh = Storage(np.dtype(STORAGE_DTYPES[kind.name]), count)
        storage = self.storages.setdefault(key, fresh)
        same = (storage.dtype, storage.count) == (fresh.dtype, fresh.count)
        need(same, "is damaged: it describes some numbers in two ways.")
        view = asked[5] if len(asked) == 6 else None
        self.push(storage if view is None else _storage_view(storage, view))


class CheckpointMachine(TorchMachine):
    """Runs the operations of a checkpoint, whose settings become empty dicts."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.makes = {"argparse.Namespace": lambda machine: {}}

    def knows(self, asked: str) -> bool:
        """Returns True for a global name that checkpoints need."""
        return asked in self.makes or super().knows(asked)


def _storage_view(storage: Storage, view: object) -> StorageView:
    fits = type(view) is tuple and len(view) == 3 and _sizes(view[1:])
    need(fits, "has numbers of a kind or place that weights do not have.")
    return StorageView(storage, *view[1:])


# ---------------------------------------------------------------------------
# The two layouts


def read_storage(data: bytes) -> Storage:
    """Reads a storage that PyTorch wrote into a byte string, in the old layout.

    Raises:
        RefusedError: it is no such string, or lacks some of the storage's numbers.
    """
    need(data.startswith(MAGIC), "has numbers in a layout that PyTorch does not write.")
    storage = _sequence(io.BytesIO(data), data, steps=STORAGE_STEPS)
    need(type(storage) is Storage, f"has {shown(storage)} in the place of numbers.")
    need(storage.values is not None, f"lacks the numbers of a tensor; {AGAIN}")
    return storage


def _sequence(
    stream: BinaryIO | mmap.mmap,
    data: bytes | mmap.mmap,
    machine: type[TorchMachine] = TorchMachine,
    steps: int = MAX_STEPS,
) -> object:
    """Reads the old layout.

    It is a sequence of pickles (magic number, version, facts about the machine, the
    state dict, the keys of its storages), then the numbers of each storage. The stream
    reads from `data`, and storages are views of it. `steps` limits each pickle.
    """
    storages: dict[str, Storage] = {}
    stream.seek(len(MAGIC))
    version = TorchMachine(len(data), steps=steps).run(stream)
    need(version == VERSION, f"has layout {shown(version)}; {VERSION} is read.")
    about = TorchMachine(len(data), steps=steps).run(stream)
    little = type(about) is dict and about.get("little_endian") is True
    need(little, BIG_ENDIAN)
    content = machine(len(data), storages, steps).run(stream)
    keys = TorchMachine(len(data), steps=steps).run(stream)
    fits = type(keys) is list and set(hashable(keys)) <= set(storages)
    need(fits, "is damaged: it has numbers that no tensor is made of.")
    for key in keys:
        count, storage = int.from_bytes(stream.read(8), "little"), storages[key]
        need(count == storage.count, f"is cut short or damaged; {AGAIN}")
        storage.fill(data, stream.tell())
        stream.seek(count * storage.dtype.itemsize, io.SEEK_CUR)
    return content


def _archive(
    file: BinaryIO, size: int, kind: type[TorchMachine], wanted: Wanted
) -> object:
    """Reads the zip layout: NAME/data.pkl, and the numbers in NAME/data/KEY."""
    storages: dict[str, Storage] = {}
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        mains = [name for name in entries if re.fullmatch(r"([^/]+/)?data\.pkl", name)]
        need(mains, f"is a zip file without a state dict; {ONLY}")
        top = mains[0].removesuffix("data.pkl")
        need(f"{top}constants.pkl" not in entries, f"is a program; {ONLY}")
        machine = kind(size, storages)

        def stored(name: str) -> bytes:
            need(name in entries, f"lacks its part {shown(name)}; {AGAIN}")
            plain = entries[name].compress_type == zipfile.ZIP_STORED
            need(plain, "is compressed, as PyTorch's files are not; it is not read.")
            machine.bytes.spend(entries[name].file_size)
            return archive.read(name)

        if f"{top}byteorder" in entries:
            need(stored(f"{top}byteorder") == b"little", BIG_ENDIAN)
        content = machine.run(stored(mains[0]))
        chosen = _chosen(content, wanted).values() if wanted else ()
        kept = {id(node.storage) for part in chosen for node in _nodes(part)}
        for key, storage in storages.items():
            if not wanted or id(storage) in kept:
                storage.fill(stored(f"{top}data/{key}"))
    return content


# ---------------------------------------------------------------------------
# From the value of a pickle to arrays


def _tensors(content: object) -> dict[str, np.ndarray]:
    need(type(content) is dict, f"holds a {shown(content)} and no state dict; {ONLY}")
    arrays = {}
    for name, tensor in content.items():
        fits = type(name) is str and type(tensor) is TensorNode
        need(fits, f"has {shown(name)}, which is no tensor; {ONLY}")
        arrays[name] = tensor.array()
    need(arrays, f"holds no tensors; {ONLY}")
    return arrays


def _chosen(content: object, wanted: Callable[[str], bool]) -> dict[str, object]:
    """Returns the parts of a checkpoint that are wanted."""
    need(type(content) is dict, f"holds a {shown(content)} and no state dict; {ONLY}")
    return {k: v for k, v in content.items() if type(k) is str and wanted(k)}


def _nodes(part: object) -> Iterator[TensorNode]:
    """Yields the tensors of a part."""
    values = part.values() if type(part) is dict else [part]
    yield from (value for value in values if type(value) is TensorNode)


def _arrays(name: str, part: object) -> object:
    """Returns a part as an array, a dict of arrays, or a plain value."""
    if type(part) is TensorNode:
        return part.array()
    if type(part) is dict:
        return _tensors(part)
    need(type(part) in PLAIN, f"has {shown(name)}, which is no tensor; {ONLY}")
    return part
