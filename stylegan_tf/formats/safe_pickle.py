"""Reads pickles of plain data without running anything that is in them.

A pickle is a program for a stack machine, and Python's own machine lets it call
whatever it names. The machine of this module knows only the operations that data needs.
A global name in the file becomes an inert `Symbol`, if networks need that name. A call
of it runs a function of this module, taken from a table. Arrays are views of the bytes
in the file, so no number in the file decides how much memory is taken.
"""

import math
import pickletools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

MAX_STEPS = 100_000  # operations and values per file; published files have 20,000
MAX_NAME = 200  # characters of a class's or function's name, with its module
SHARED, SPARE = 4, 1 << 20  # arrays may be views of the same numbers; bytes
DTYPES = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"}
PLAIN = (type(None), bool, int, float, str, bytes)
ONLY = "only network pickles of StyleGAN, StyleGAN2 and StyleGAN3 are read."
AGAIN = "download or copy it again."


class RefusedError(Exception):
    """A file that is not read; the message continues a sentence: "FILE <message>"."""


def need(condition: object, reason: str) -> None:
    """Raises `RefusedError(reason)` unless `condition` holds."""
    if not condition:
        raise RefusedError(reason)


def check_total(arrays: Iterable[np.ndarray], size: int) -> None:
    """Refuses arrays that are far larger together than their file.

    Arrays may be views of the same numbers, but weights made of them are copies.

    Args:
        arrays: all arrays of the file.
        size: of the file in bytes.
    """
    fits = sum(array.nbytes for array in arrays) <= SHARED * size + SPARE
    need(fits, "has tensors of far more numbers than it holds; it is not read.")


def shown(value: object) -> str:
    """Returns a value of the file as one short line for a message."""
    if not isinstance(value, (str, int, float, Symbol)):
        return type(value).__name__
    text = str(value)
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


# ---------------------------------------------------------------------------
# The machine, and the nodes that stand for a pickle's objects


class Allowance:
    """A limit on the bytes or values that a file unfolds to."""

    def __init__(self, amount: int):
        self.left = amount

    def spend(self, amount: int = 1) -> None:
        """Takes `amount` away; raises `RefusedError` when nothing is left."""
        self.left -= amount
        need(self.left >= 0, "unfolds to far more than networks need; it is not read.")


@dataclass(frozen=True)
class Symbol:
    """The name of a class or function; it holds no object."""

    name: str

    def __str__(self) -> str:
        return self.name


class NetworkNode:
    """A network, empty until BUILD gives it its state."""

    state: dict | None = None

    def build(self, machine: "Machine", state: object) -> None:
        """Stores the network's state, once."""
        fits = self.state is None and type(state) is dict
        need(fits, "gives a network something else than its state.")
        self.state = state


class DTypeNode:
    """A NumPy dtype, without byte order until BUILD gives it."""

    order: str | None = None

    def __init__(self, code: object):
        fits = type(code) is str and code in DTYPES
        need(fits, f"holds an array of type {shown(code)}; only numbers are read.")
        self.code = code

    def build(self, machine: "Machine", state: object) -> None:
        """Takes the byte order from the state of a `numpy.dtype`."""
        fits = self.order is None and type(state) is tuple and len(state) in (8, 9)
        fits = fits and state[1] in ("<", ">", "|") and state[2:5] == (None,) * 3
        need(fits, "describes a type of array that networks do not have.")
        self.order = state[1]


class ArrayNode:
    """A NumPy array, without shape and values until BUILD gives them."""

    value: np.ndarray | None = None

    def build(self, machine: "Machine", state: object) -> None:
        """Takes shape, dtype and bytes from the state of a `numpy.ndarray`."""
        fits = self.value is None and type(state) is tuple and len(state) == 5
        fits = fits and type(state[3]) in (bool, int)
        need(fits, "describes an array in a way that NumPy does not.")
        _, shape, dtype, fortran, data = state
        self.value = machine.array(data, dtype, shape, "F" if fortran else "C")


def _operations(data: bytes | BinaryIO, most: int) -> Iterator[tuple[str, object]]:
    """Yields (name, argument) of each operation of a pickle."""
    operations = pickletools.genops(data)
    for _ in range(most):
        try:
            operation, argument, _ = next(operations)
        except Exception as e:  # a damaged argument raises anything
            raise RefusedError(f"is cut short, damaged or no pickle; {AGAIN}") from e
        yield operation.name, argument
    raise RefusedError(f"has more than {most} operations; networks need fewer.")


class Machine:
    """Runs the operations of one pickle on plain data.

    Args:
        size: size of the file in bytes. Copies made of its content (bytes from strings,
            numbers converted to the native byte order) take at most twice as much.
        steps: operations that the pickle may have.
    """

    def __init__(self, size: int, steps: int = MAX_STEPS):
        self.bytes, self.values = Allowance(2 * size), Allowance(MAX_STEPS)
        self.steps = steps
        self.stack: list = []
        self.below: list[list] = []  # one stack per open mark
        self.memo: dict[int, object] = {}
        self.calls, self.makes = CALLS, _MAKES

    def run(self, data: bytes | BinaryIO) -> object:
        """Returns the value of a pickle; a stream is left just behind the pickle."""
        for name, argument in _operations(data, self.steps):
            if name == "STOP":
                return self.stack.pop()
            need(name in _STEPS, f"uses {name}, which no pickle of networks needs.")
            _STEPS[name](self, argument)
        raise AssertionError("unreachable: the operations end in STOP or a refusal")

    def push(self, value: object) -> None:
        """Puts a value on the stack."""
        huge = isinstance(value, int) and value.bit_length() > 64
        need(not huge, "holds a number of more than 64 bits.")
        self.stack.append(value)

    def pop(self, count: int) -> list:
        """Takes `count` values off the stack, in the order they were pushed."""
        need(count <= len(self.stack), "is damaged: it takes what is not there.")
        values = self.stack[-count:]
        del self.stack[-count:]
        return values

    def mark(self) -> None:
        """Begins an empty stack above the present one."""
        self.below.append(self.stack)
        self.stack = []

    def marked(self) -> list:
        """Takes all values since the last mark, and the mark."""
        values, self.stack = self.stack, self.below.pop()
        return values

    def fill(self, kind: type, values: list) -> None:
        """Adds values to the list, dict or set on top of the stack."""
        target = self.stack[-1]
        fits = type(target) is kind
        need(fits, f"is damaged: it fills something that is no {kind.__name__}.")
        if kind is list:
            target.extend(values)
        else:
            target.update(_pairs(values) if kind is dict else hashable(values))

    def symbol(self, module: object, name: object) -> None:
        """Puts the `Symbol` of a global name on the stack, if networks need it."""
        texts = type(module) is str and type(name) is str
        fits = texts and len(module) + len(name) <= MAX_NAME
        need(fits, "asks for something by what is no name.")
        asked = f"{module}.{name}"
        needed = self.knows(asked)
        need(needed, f"asks for {shown(asked)}, which no network needs; not run.")
        self.push(Symbol(asked))

    def knows(self, asked: str) -> bool:
        """Returns True for a global name that networks need."""
        torch = asked.split(".", 1)[0] in ("torch", "torch_utils")
        need(not torch, f"is a PyTorch pickle (it has {shown(asked)}); {ONLY}")
        progan = asked == "tfutil.Network"
        need(not progan, f"is a progressive GAN (2018), not supported; {ONLY}")
        return asked in self.calls or asked in self.makes or asked == "numpy.ndarray"

    def persistent(self) -> None:
        """Replaces the id on top of the stack by the object that it names.

        TensorFlow's pickles have none, so the file is refused.
        """
        raise RefusedError(f"is a PyTorch pickle; {ONLY}")

    def call(self, table: dict[str, Callable]) -> None:
        """Replaces a symbol and its arguments by the result of the table's function."""
        symbol, arguments = self.pop(2)
        fits = type(symbol) is Symbol and symbol.name in table
        need(fits, f"calls {shown(symbol)}, which no network needs; not run.")
        need(type(arguments) is tuple, "is damaged: a call's arguments are no tuple.")
        self.push(table[symbol.name](self, *arguments))

    def build(self) -> None:
        """Gives the node on top of the stack its state.

        A dict that was an EasyDict has an empty state. A `Symbol` has none, so nothing
        in a file reaches a class or function.
        """
        (state,), node = self.pop(1), self.stack[-1]
        if type(node) in (NetworkNode, DTypeNode, ArrayNode):
            node.build(self, state)
        else:
            empty = type(node) is dict and type(state) is dict and not state
            need(empty, f"sets the state of {shown(node)}; it is not read.")

    def raw(self, data: object) -> bytes | bytearray:
        """Returns bytes, which Python 2 wrote as a string."""
        if type(data) is str:
            self.bytes.spend(len(data))
            return data.encode("latin-1")
        fits = type(data) in (bytes, bytearray)
        need(fits, f"has an array made of {shown(data)}; only numbers are read.")
        return data

    def array(
        self, data: object, dtype: object, shape: object, order: str
    ) -> np.ndarray:
        """Returns a read-only array [*shape]: a view of `data` in native byte order."""
        fits = type(dtype) is DTypeNode and type(shape) is tuple and len(shape) <= 32
        fits = fits and all(type(n) is int and n >= 0 for n in shape)
        need(fits, "has an array of a type or shape that cannot be.")
        data, kind = self.raw(data), np.dtype((dtype.order or "=") + dtype.code)
        full = math.prod(shape) * kind.itemsize == len(data)
        need(full, "is damaged: the bytes of an array do not fill its shape.")
        array = np.ndarray(shape, kind, data, order=order)
        if not kind.isnative:
            self.bytes.spend(len(data))
            array = array.astype(kind.newbyteorder("="))
        array.flags.writeable = False
        return array


def hashable(values: list, kinds: tuple[type, ...] = PLAIN) -> list:
    """Returns members of a set or keys of a dict, all of plain types.

    Nested tuples are refused: hashing them can take exponential time.
    """
    fits = all(type(value) in kinds for value in values)
    need(fits, "has a key that is neither a name nor a number.")
    return values


def _pairs(items: list) -> dict:
    """Returns [key, value, key, value, ...] as a dict."""
    return dict(zip(hashable(items[::2], (str, int)), items[1::2], strict=True))


_ARGUMENTS = ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4")
_ARGUMENTS += ("FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING")
_ARGUMENTS += ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
_ARGUMENTS += ("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8")
_STEPS: dict[str, Callable] = {
    "PROTO": lambda m, _: None,
    "FRAME": lambda m, _: None,
    "MARK": lambda m, _: m.mark(),
    "POP": lambda m, _: m.pop(1) if m.stack else m.marked(),
    "POP_MARK": lambda m, _: m.marked(),
    "DUP": lambda m, _: m.push(m.stack[-1]),
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "EMPTY_LIST": lambda m, _: m.push([]),
    "EMPTY_DICT": lambda m, _: m.push({}),
    "EMPTY_SET": lambda m, _: m.push(set()),
    "TUPLE1": lambda m, _: m.push(tuple(m.pop(1))),
    "TUPLE2": lambda m, _: m.push(tuple(m.pop(2))),
    "TUPLE3": lambda m, _: m.push(tuple(m.pop(3))),
    "TUPLE": lambda m, _: m.push(tuple(m.marked())),
    "LIST": lambda m, _: m.push(m.marked()),
    "DICT": lambda m, _: m.push(_pairs(m.marked())),
    "FROZENSET": lambda m, _: m.push(frozenset(hashable(m.marked()))),
    "APPEND": lambda m, _: m.fill(list, m.pop(1)),
    "APPENDS": lambda m, _: m.fill(list, m.marked()),
    "SETITEM": lambda m, _: m.fill(dict, m.pop(2)),
    "SETITEMS": lambda m, _: m.fill(dict, m.marked()),
    "ADDITEMS": lambda m, _: m.fill(set, m.marked()),
    "MEMOIZE": lambda m, _: m.memo.update({len(m.memo): m.stack[-1]}),
    "GLOBAL": lambda m, asked: m.symbol(*asked.split(" ", 1)),
    "STACK_GLOBAL": lambda m, _: m.symbol(*m.pop(2)),
    "REDUCE": lambda m, _: m.call(m.calls),
    "NEWOBJ": lambda m, _: m.call(m.makes),
    "BINPERSID": lambda m, _: m.persistent(),
    "BUILD": lambda m, _: m.build(),
}
_STEPS |= dict.fromkeys(_ARGUMENTS, lambda m, value: m.push(value))
for _size in ("", "BIN", "LONG_BIN"):
    _STEPS[f"{_size}PUT"] = lambda m, at: m.memo.update({at: m.stack[-1]})
    _STEPS[f"{_size}GET"] = lambda m, at: m.push(m.memo[at])


# ---------------------------------------------------------------------------
# Functions that a pickle's global names stand for; "numpy.ndarray" is never called


def ordered_dict(machine: Machine, pairs: tuple | list = ()) -> dict:
    """Returns an OrderedDict or EasyDict as a dict."""
    machine.values.spend(len(pairs))
    fits = type(pairs) in (tuple, list)
    fits = fits and all(type(p) in (tuple, list) and len(p) == 2 for p in pairs)
    need(fits, "makes a dict of something else than keys and values.")
    return _pairs([part for pair in pairs for part in pair])


def _reconstruct(machine: Machine, kind, shape, code) -> ArrayNode:
    fits = kind == Symbol("numpy.ndarray")
    need(fits, f"makes an array of {shown(kind)}; only numbers are read.")
    return ArrayNode()


def _scalar(machine: Machine, dtype, data) -> np.generic:
    return machine.array(data, dtype, (), "C")[()]


def _frombuffer(machine: Machine, data, dtype, shape, order, axes=None) -> ArrayNode:
    array = ArrayNode()
    array.value = machine.array(data, dtype, shape, "F" if order == "F" else "C")
    if order == "K" and axes is not None:
        array.value = array.value.transpose(axes)
    return array


def _encode(machine: Machine, text, encoding) -> bytes | bytearray:
    need(encoding == "latin1", "holds bytes in another encoding than latin1.")
    return machine.raw(text)


CALLS: dict[str, Callable] = {
    "collections.OrderedDict": ordered_dict,
    "dnnlib.util.EasyDict": ordered_dict,
    "numpy.dtype": lambda machine, code, align, copy: DTypeNode(code),
    "_codecs.encode": _encode,
}
for _core in ("numpy.core", "numpy._core"):
    CALLS[f"{_core}.multiarray._reconstruct"] = _reconstruct
    CALLS[f"{_core}.multiarray.scalar"] = _scalar
    CALLS[f"{_core}.numeric._frombuffer"] = _frombuffer
_MAKES: dict[str, Callable] = {
    "dnnlib.tflib.network.Network": lambda machine: NetworkNode(),
    "dnnlib.util.EasyDict": ordered_dict,
    "collections.OrderedDict": ordered_dict,
}
