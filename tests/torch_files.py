"""PyTorch's file formats, written for the tests without PyTorch: both layouts."""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
KINDS = {"f4": "FloatStorage", "f8": "DoubleStorage", "f2": "HalfStorage"}
KINDS |= {"i8": "LongStorage", "i4": "IntStorage", "u1": "ByteStorage"}


class Name:
    """What a pickle writes as the name of a class or function, such as "torch.Size"."""

    def __init__(self, name: str):
        self.module, self.name = name.rsplit(".", 1)

    def __call__(self):
        raise AssertionError("only its name is used")


class Storage:
    def __init__(self, key: str, values: np.ndarray, view=None):
        self.key, self.values, self.view = key, values.ravel(), view

    def identity(self, place: str) -> tuple:
        kind = KINDS[self.values.dtype.str[1:]]
        return ("storage", Name(f"torch.{kind}"), self.key, place, self.values.size)


class Tensor:
    """A tensor: where its numbers are, and how they lie."""

    def __init__(
        self, storage, shape, strides=None, offset=0, call="_rebuild_tensor_v2"
    ):
        self.storage, self.shape, self.offset, self.call = storage, shape, offset, call
        steps = np.cumprod([1, *reversed(shape[1:])])[::-1] if shape else ()
        self.strides = tuple(int(s) for s in steps) if strides is None else strides

    def reduced(self) -> tuple:
        arguments = (self.storage, self.offset, tuple(self.shape), self.strides)
        if self.call == "_rebuild_tensor_v2":
            arguments += (False, OrderedDict())
        return Name(f"torch._utils.{self.call}"), arguments


class Parameter:
    """A tensor in the dress of a parameter."""

    def __init__(self, tensor, call="torch._utils._rebuild_parameter"):
        self.tensor, self.call = tensor, call

    def reduced(self) -> tuple:
        return Name(self.call), (self.tensor, True, OrderedDict())


class StateDict(OrderedDict):
    """An OrderedDict with an attribute: PyTorch keeps layers' versions in one."""


def _pickler(old: bool):
    class Pickler(pickle._Pickler):  # the one in Python, which can be taught
        dispatch = dict(pickle._Pickler.dispatch)

        def persistent_id(self, value):
            if not isinstance(value, Storage):
                return None
            found = value.identity("cuda:0" if old else "cpu")
            return (*found, value.view) if old else found

    def name(self, value):
        self.write(f"c{value.module}\n{value.name}\n".encode())

    def reduced(self, value):
        self.save_reduce(*value.reduced(), obj=value)

    def state_dict(self, value):
        pairs = [[k, v] for k, v in value.items()]
        metadata = {"_metadata": OrderedDict([("", {"version": 1})])}
        arguments = (pairs,) if old else ()
        items = None if old else iter(value.items())
        self.save_reduce(
            Name("collections.OrderedDict"),
            arguments,
            state=metadata,
            dictitems=items,
            obj=value,
        )

    def ordered(self, value):
        self.save_reduce(
            Name("collections.OrderedDict"),
            (),
            dictitems=iter(value.items()),
            obj=value,
        )

    Pickler.dispatch |= {Name: name, Tensor: reduced, Parameter: reduced}
    Pickler.dispatch |= {StateDict: state_dict, OrderedDict: ordered}
    return Pickler


def dumped(value, old: bool = False) -> bytes:
    """The pickle of a value."""
    stream = io.BytesIO()
    _pickler(old)(stream, protocol=2).dump(value)
    return stream.getvalue()


def storages(value, found=None) -> dict[str, Storage]:
    """All storages within a value, by key."""
    found = {} if found is None else found
    if isinstance(value, Storage):
        found[value.key] = value
    elif isinstance(value, dict):
        for part in value.values():
            storages(part, found)
    elif isinstance(value, list | tuple):
        for part in value:
            storages(part, found)
    elif isinstance(value, Parameter):
        storages(value.tensor, found)
    elif isinstance(value, Tensor):
        storages(value.storage, found)
    return found


def tensors(arrays: dict[str, np.ndarray], call="_rebuild_tensor_v2") -> StateDict:
    """A state dict of arrays."""
    made = StateDict()
    for i, (name, array) in enumerate(arrays.items()):
        array = np.asarray(array)
        key = str(1867776752 + 16 * i) if call == "old" else str(i)
        made[name] = Tensor(Storage(key, array), array.shape)
    return made


def legacy(content, about=None, version=1001) -> bytes:
    """The layout before PyTorch 1.6."""
    about = (
        {"protocol_version": 1001, "little_endian": True} if about is None else about
    )
    kept = storages(content)
    data = [pickle.dumps(MAGIC, 2), pickle.dumps(version, 2), pickle.dumps(about, 2)]
    data += [dumped(content, old=True), pickle.dumps(sorted(kept), 2)]
    for key in sorted(kept):
        values = kept[key].values
        data += [struct.pack("<q", values.size), values.tobytes()]
    return b"".join(data)


def archive(content, program: bytes | None = None, **changes) -> bytes:
    """The layout since PyTorch 1.6; `changes` replace entries (None leaves one out)."""
    entries = {"data.pkl": dumped(content) if program is None else program}
    entries["byteorder"] = b"little"
    for key, storage in storages(content).items():
        entries[f"data/{key}"] = storage.values.tobytes()
    entries["version"] = b"3\n"
    entries |= changes
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as made:
        for name, data in entries.items():
            if data is not None:
                made.writestr(f"archive/{name}", data)
    return stream.getvalue()


def save(path: Path, arrays: dict[str, np.ndarray], old: bool = False) -> Path:
    """A state dict on disk."""
    content = tensors(arrays)
    path.write_bytes(legacy(content) if old else archive(content))
    return path
