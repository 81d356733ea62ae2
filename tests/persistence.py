"""Pickles of persistent objects, as PyTorch's StyleGAN projects write them, made here
without PyTorch and without those projects."""

import io
import pickle
import struct
from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
import torch_files

from stylegan_tf.official.torch_names import entries

RECONSTRUCT = "torch_utils.persistence._reconstruct_persistent_obj"
TAPS = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype("f4") / 64


class Easy(dict):
    """Stands for dnnlib's EasyDict."""


@dataclass(eq=False)
class Call:
    """A function that a file asks for by name, and what it is called with."""

    name: str
    arguments: tuple


@dataclass(eq=False)
class Module:
    """A persistent object of a torch module."""

    class_name: str
    arguments: dict = field(default_factory=dict)
    tensors: dict = field(default_factory=dict)
    modules: dict = field(default_factory=dict)
    buffers: dict = field(default_factory=dict)
    about: dict = field(default_factory=dict)  # changes of its description
    state: dict = field(default_factory=dict)  # changes of its state

    def described(self) -> dict:
        state = {
            "training": False,
            "_parameters": OrderedDict(self.tensors),
            "_buffers": OrderedDict(self.buffers),
            "_non_persistent_buffers_set": {"a", "b"},
            "_backward_hooks": OrderedDict(),
            "_modules": OrderedDict(self.modules),
            "_init_args": (),
            "_init_kwargs": Easy(self.arguments),
            "bias": None,
            "act_gain": np.float64(2**0.5),
        } | self.state
        found = {
            "type": "class",
            "version": 6,
            "module_src": "raise SystemExit",
            "class_name": self.class_name,
            "state": state,
        }
        return found | self.about


def stream(values: np.ndarray, count: int | None = None, key: str = "0") -> bytes:
    """Numbers as `torch.storage._load_from_bytes` takes them."""
    sizes = {"short": 2, "int": 4, "long": 4}
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": sizes}
    parts = [pickle.dumps(v, 2) for v in (torch_files.MAGIC, 1001, machine)]
    parts.append(torch_files.dumped(torch_files.Storage(key, values), old=True))
    parts.append(pickle.dumps([key], 2))
    count = values.size if count is None else count
    return b"".join(parts) + struct.pack("<q", count) + values.tobytes()


def tensor(
    values: np.ndarray, shape=None, strides=None, offset: int = 0, data=None
) -> Call:
    """A tensor of these numbers, or of the stream `data`."""
    values = np.asarray(values)
    shape = values.shape if shape is None else shape
    if strides is None:
        strides = tuple(int(s) for s in np.cumprod((*shape[:0:-1],)[::1])[::-1])
        strides = (*strides, 1) if shape else ()
    data = stream(values.ravel()) if data is None else data
    storage = Call("torch.storage._load_from_bytes", (data,))
    arguments = (storage, offset, tuple(shape), tuple(strides), False, OrderedDict())
    return Call("torch._utils._rebuild_tensor_v2", arguments)


class Pickler(pickle._Pickler):  # the one in Python, which can be taught
    """Writes Modules, Calls and arrays; names go by `package`, as forks have them."""

    package = ""
    dispatch = dict(pickle._Pickler.dispatch)

    def name(self, value):
        module, name = value.module, value.name
        if module.startswith(("torch_utils", "dnnlib")):
            module = self.package + module
        if self.proto < 4:
            self.write(f"c{module}\n{name}\n".encode())
        else:
            self.save(module), self.save(name), self.write(b"\x93")

    def call(self, value):
        self.save_reduce(torch_files.Name(value.name), value.arguments, obj=value)

    def module(self, value):
        self.call(Call(RECONSTRUCT, (value.described(),)))

    def array(self, value):
        inner = tensor(value)
        self.call(Call("torch._utils._rebuild_parameter", (inner, True, OrderedDict())))

    def easy(self, value):
        self.save(torch_files.Name("dnnlib.util.EasyDict"))
        self.save(())
        self.write(pickle.NEWOBJ)
        self._batch_setitems(value.items())

    dispatch |= {torch_files.Name: name, Call: call, Module: module, Easy: easy}
    dispatch |= {np.ndarray: array}


def dumped(value, protocol: int = 4, package: str = "") -> bytes:
    """The pickle of a value."""
    out = io.BytesIO()
    pickler = Pickler(out, protocol)
    pickler.package = package
    pickler.dump(value)
    return out.getvalue()


def network(config, class_name: str, arguments: dict, seed: int = 0) -> Module:
    """A network of these settings, its tensors random."""
    rng, top = np.random.default_rng(seed), Module(class_name, arguments)
    for entry in entries(config):
        values = np.asarray(rng.normal(size=entry.shape), "f4")
        if entry.name.endswith(("magnitude_ema", "transform")):
            values = np.asarray(np.eye(3) if values.ndim else 1.0, "f4")
        place(top, entry.name, values)
    return top


def place(top: Module, name: str, values) -> None:
    """Puts a tensor where its full name says."""
    *path, last = name.split(".")
    for part in path:
        top = top.modules.setdefault(part, Module("Layer"))
    top.tensors[last] = values


def writer(folder):
    """A function that writes content, or bytes as they are, and returns the path."""

    def write(content, protocol=4, package=""):
        path = folder / "network.pkl"
        plain = isinstance(content, bytes)
        path.write_bytes(content if plain else dumped(content, protocol, package))
        return path

    return write
