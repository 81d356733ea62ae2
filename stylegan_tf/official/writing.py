"""Writes official pickles: protocol 2 with NumPy's old names, which every Python reads.

In place of the source text of a network the file has a comment.
"""

import contextlib
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stylegan_tf.errors import UserError
from stylegan_tf.formats.safe_pickle import (
    DTYPES,
    MAX_STEPS,
    Allowance,
    RefusedError,
    Symbol,
    need,
    shown,
)
from stylegan_tf.official.tf_pickles import (
    KEYS,
    NETWORK_CLASS,
    STATE,
    NetworkState,
    checked_components,
    checked_name,
    checked_settings,
)

_SOURCE = "# The source text of this module is not distributed.\n"


def write_pickle(path: Path | str, networks: dict[str, NetworkState | None]) -> None:
    """Writes networks in the official layout, atomically.

    Args:
        path: of the file; an existing file is replaced.
        networks: states of "G", "D" and "Gs". A single network is written alone;
            several are written as (G, D, Gs), with None for a missing one.

    Raises:
        UserError: there is nothing to write, `read_pickle` could not read a state, or
            the file cannot be written.
    """
    path = Path(path)
    states = tuple(networks.get(key) for key in KEYS)
    given = [state for state in states if state is not None]
    if not given or not set(networks) <= set(KEYS):
        raise UserError(f"{path}: write some of G, D and Gs, not {list(networks)}.")
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(draft, "wb") as f:
            f.write(b"\x80\x02")
            _emit(f.write, states if len(given) > 1 else given[0])
            f.write(b".")
        os.replace(draft, path)
    except RefusedError as e:
        raise UserError(f"{path} is not written: it {e}") from e
    except OSError as e:
        raise UserError(f"{path} cannot be written: {e.strerror}.") from e
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


class _Call(NamedTuple):
    """A call of a function or class, then its state, from which a reader builds."""

    function: str
    arguments: tuple
    state: object = None
    operation: bytes = b"R"  # REDUCE; NEWOBJ for a network


def _emit(out: Callable[[bytes], object], value) -> None:
    """Writes a value and everything in it."""
    if value is None or isinstance(value, bool):
        out({None: b"N", True: b"\x88", False: b"\x89"}[value])
    elif isinstance(value, int):
        need(value.bit_length() <= 64, "has a number of more than 64 bits.")
        short = -(2**31) <= value < 2**31
        out(b"J" if short else b"\x8a\x09")
        out(value.to_bytes(4 if short else 9, "little", signed=True))
    elif isinstance(value, float):
        out(b"G" + struct.pack(">d", value))
    elif isinstance(value, str):
        raw = value.encode("utf-8", "surrogatepass")
        need(len(raw) < 2**32, "has an array that is too large for protocol 2.")
        out(b"X" + struct.pack("<I", len(raw)))
        out(raw)
    elif isinstance(value, Symbol):
        out("c{}\n{}\n".format(*value.name.rsplit(".", 1)).encode())
    elif isinstance(value, _Call):
        _emit(out, Symbol(value.function))
        _emit(out, value.arguments)
        out(value.operation)
        if value.state is not None:
            _emit(out, value.state)
            out(b"b")
    elif isinstance(value, (tuple, list, dict)):
        kind = next(kind for kind in _BRACKETS if isinstance(value, kind))
        before, after = _BRACKETS[kind]
        items = [x for item in value.items() for x in item] if kind is dict else value
        out(before)
        for item in items:
            _emit(out, item)
        out(after)
    else:
        _emit(out, _call(value))


_BRACKETS = {tuple: (b"(", b"t"), list: (b"](", b"e"), dict: (b"}(", b"u")}


def _call(value) -> _Call:
    """Returns the call that builds a network, bytes or an array."""
    if isinstance(value, NetworkState):
        return _Call(NETWORK_CLASS, (), _state(value), b"\x81")
    if isinstance(value, bytes):
        return _Call("_codecs.encode", (value.decode("latin-1"), "latin1"))
    fits = isinstance(value, np.ndarray) and value.dtype.str[1:] in DTYPES
    need(fits, f"has {shown(value)} in it, or an array not of numbers.")
    little = np.asarray(value, value.dtype.newbyteorder("<"))
    order = (3, little.dtype.str[0], None, None, None, -1, -1, 0)
    dtype = _Call("numpy.dtype", (little.dtype.str[1:], False, True), order)
    if not value.shape:  # the official files hold scalars, not arrays of shape ()
        return _Call("numpy.core.multiarray.scalar", (dtype, little.tobytes()))
    start = (Symbol("numpy.ndarray"), (0,), b"b")
    state = (1, value.shape, dtype, False, little.tobytes())
    return _Call("numpy.core.multiarray._reconstruct", start, state)


def _state(network: NetworkState) -> dict:
    """Returns the state of a network as a dict in the official order."""
    version, left = network.version, Allowance(MAX_STEPS)
    known = version in (3, 4)
    need(known, f"has a network of version {version}; 3 and 4 are written.")
    values = (
        version,
        checked_name(network.name),
        checked_settings(network.static_kwargs, left),
        checked_components(network.components),
        _SOURCE,
        checked_name(network.build_func_name),
        [
            (checked_name(key), np.asarray(value))
            for key, value in network.variables.items()
        ],
    )
    return dict(zip(STATE, values, strict=True))
