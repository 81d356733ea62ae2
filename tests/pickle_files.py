"""Official pickles for tests: their states, and files of Python's own pickle."""

import io
import pickle

import numpy as np
import pytest

from stylegan_tf.errors import UserError
from stylegan_tf.official import tf_pickles
from stylegan_tf.official.tf_pickles import NetworkState

NETWORK = b"cdnnlib.tflib.network\nNetwork\n)\x81"


def array(*shape, dtype="f4"):
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


def state(name="Gs", version=3, **kwargs):
    func = "D_basic" if name == "D" else "G_style"
    values = {"lod": np.float32(0.5), "4x4/Conv/weight": array(3, 3, 2, 2)}
    return NetworkState(version, name, kwargs, func, values)


def full(name="Gs", version=3):
    """A generator with its two parts and every type of setting."""
    found = state(name, version, num_channels=3, resolution=4, blur_filter=[1, 2, 1])
    found.static_kwargs |= {"a": None, "b": (True, -1.5, "é\n", b"\xff\0"), "c": 2**40}
    found.static_kwargs |= {"d": {4: 16, "x": {}}, "e": array(2), "f": ()}
    found.components = {
        part: NetworkState(version, f"G_{part}", {}, f"G_{part}", {"w": array(2, 3)})
        for part in ("synthesis", "mapping")
    }
    return found


class Stub:
    """Stands for the official class while Python's pickle writes."""

    def __init__(self, **state):
        self.__dict__.update(state)


def official(name="Gs", **change):
    values = {"version": 3, "name": name, "static_kwargs": {}, "components": {}}
    values |= {"build_module_src": "raise SystemExit", "build_func_name": "G_style"}
    return Stub(**(values | {"variables": []} | change))


def dumped(value, protocol=4):
    """What Python's own pickle writes for networks, in the official class's name."""

    class Pickler(pickle._Pickler):
        def save_global(self, obj, name=None):
            names = {Stub: "dnnlib.tflib.network Network", Easy: "dnnlib.util EasyDict"}
            if obj not in names:
                return super().save_global(obj, name)
            module, name = names[obj].split()
            if self.proto < 4:
                self.write(f"c{module}\n{name}\n".encode())
            else:
                self.save(module), self.save(name), self.write(b"\x93")
            return self.memoize(obj)

    out = io.BytesIO()
    Pickler(out, protocol).dump(value)
    return out.getvalue()


class Easy(dict):
    """Stands for dnnlib's EasyDict."""


def refused(path, words=""):
    """The one line in which a file is refused."""
    with pytest.raises(UserError) as caught:
        tf_pickles.read_pickle(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message
    assert words in message
    return message
