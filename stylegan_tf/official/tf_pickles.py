"""Reads NVIDIA's TensorFlow pickles of networks without running what is in them.

`formats.safe_pickle` reads the file. This module checks every part of its content and
returns the states of the networks. A state has version 3 (StyleGAN), 4 (StyleGAN2) or
5 (StyleGAN2-ADA). The source text that comes with every network is dropped.
"""

import mmap
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stylegan_tf.errors import UserError
from stylegan_tf.files import open_regular
from stylegan_tf.formats.safe_pickle import (
    AGAIN,
    MAX_STEPS,
    ONLY,
    PLAIN,
    Allowance,
    ArrayNode,
    Machine,
    NetworkNode,
    RefusedError,
    check_total,
    hashable,
    need,
    shown,
)

KEYS = ("G", "D", "Gs")
MOST_BYTES = 4 << 30  # of a file

NETWORK_CLASS = "dnnlib.tflib.network.Network"
ADA = 5  # the version of StyleGAN2-ADA's states
VERSIONS = (3, 4, ADA)
STATE = ("version", "name", "static_kwargs", "components", "build_module_src")
STATE += ("build_func_name", "variables")
# In version 5 only: inputs and outputs, which follow from the other values.
ENDS = ("input_shapes", "output_shapes", "input_names", "output_names")


@dataclass(eq=False)
class NetworkState:
    """The state of an official network.

    Attributes:
        version: of the state: 3 (StyleGAN), 4 (StyleGAN2) or 5 (StyleGAN2-ADA).
        name: such as "Gs" or "G_synthesis".
        static_kwargs: the arguments given to the build function.
        build_func_name: name of the build function, such as "G_style".
        variables: official name -> array in the official layout (NCHW, HWIO), without
            the variables of components. Arrays from a file are read-only.
        components: "synthesis" and "mapping" of a generator.
    """

    version: int
    name: str
    static_kwargs: dict
    build_func_name: str
    variables: dict[str, np.ndarray]
    components: dict[str, "NetworkState"] = field(default_factory=dict)

    def collect(self) -> dict[str, np.ndarray]:
        """Returns all variables; the names of a component begin with its name."""
        variables = dict(self.variables)
        for part in self.components.values():
            variables |= {f"{part.name}/{n}": v for n, v in part.collect().items()}
        return variables


def read_pickle(path: Path | str) -> dict[str, NetworkState | None]:
    """Reads the networks of an official pickle.

    Args:
        path: a file with (G, D, Gs), a dict of networks, or a single network, whose
            name tells which it is.

    Returns:
        The states of "G", "D" and "Gs"; None for those that the file lacks.

    Raises:
        UserError: the file is missing, no pickle, damaged, or asks for anything but
            the data of such networks.
    """
    path = Path(path)
    try:
        data = _load(path)
        found = _placed(Machine(len(data)).run(data))
        states = filter(None, found.values())
        check_total((x for s in states for x in s.collect().values()), len(data))
        return found
    except RefusedError as e:
        raise UserError(f"{path} {e}") from e
    except OSError as e:
        raise UserError(f"{path} cannot be read: {e.strerror}.") from e
    except Exception as e:  # a damaged file raises TypeError, RecursionError, ...
        kind = type(e).__name__
        raise UserError(f"{path} is damaged, or no pickle of networks ({kind}).") from e


_TORCH = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")  # magic number of PyTorch
_OTHER_FORMATS = {
    b"PK\x03\x04": f"is a zip file, as PyTorch and Keras write them; {ONLY}",
    _TORCH: f"is a PyTorch pickle; {ONLY}",
    b"<": f"is a web page and not the file that it offers; {AGAIN}",
    b"version https://git-lfs": "only names a file kept in Git LFS; fetch that one.",
}


def _load(path: Path) -> bytes | mmap.mmap:
    """Returns the bytes of a file that begins like a pickle."""
    need(path.exists(), "does not exist.")
    need(path.is_file(), "is no file; give the .pkl file itself.")
    with open_regular(path, MOST_BYTES) as f:
        head = f.read(64)
        need(head, f"is empty; {AGAIN}")
        for start, reason in _OTHER_FORMATS.items():
            need(not head.startswith(start), reason)
        begins = head[0] == 0x80 and head[1:2] in b"\2\3\4\5"
        need(begins, f"is not a pickle of protocol 2 to 5; {ONLY}")
        return mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)


# ---------------------------------------------------------------------------
# Checks: from plain data to states


def _placed(content) -> dict[str, NetworkState | None]:
    """Returns the states of a file's networks by "G", "D" and "Gs"."""
    left = Allowance(MAX_STEPS)
    states: dict[str, NetworkState | None] = dict.fromkeys(KEYS)
    if type(content) is NetworkNode:
        state = _network(content, left)
        return states | {_place(state): state}
    if type(content) in (tuple, list):
        need(len(content) == 3, f"holds {len(content)} things and not (G, D, Gs).")
        content = dict(zip(KEYS, content, strict=True))
    need(type(content) is dict, f"holds a {shown(content)} and no networks; {ONLY}")
    for source, key in {"G": "G", "D": "D", "G_ema": "Gs", "Gs": "Gs"}.items():
        if content.get(source) is not None:
            states[key] = _network(content[source], left)
    need(any(states.values()), f"holds no network; {ONLY}")
    return states


def _place(state: NetworkState) -> str:
    """Returns "G", "D" or "Gs" for a single network, by its name."""
    if state.name in KEYS:
        return state.name
    for hint in (state.build_func_name, state.name):
        if hint[0] in "DG":
            return "D" if hint[0] == "D" else "Gs"
    raise RefusedError(
        f"holds the network {shown(state.name)} ({shown(state.build_func_name)}), "
        f"which is neither a generator nor a discriminator."
    )


def _network(node, left: Allowance, depth: int = 0) -> NetworkState:
    """Returns the state of a network, each part of it checked."""
    fits = type(node) is NetworkNode and node.state is not None and depth < 4
    need(fits, "has something else in the place of a network.")
    left.spend(1000)  # at most a hundred networks per file
    state = node.state
    version = state.get("version")
    known = type(version) is int and version in VERSIONS
    need(known, f"has a network of version {shown(version)}; 3 to 5 are read.")
    wrong = set(state) ^ {*STATE, *(ENDS if version == ADA else ())}
    names = ", ".join(sorted(shown(key) for key in wrong)[:3])
    need(not wrong, f"has a network whose state differs in {names} from any known.")
    _typed(state["build_module_src"], str, "source")
    parts = _typed(state["components"], dict, "components")
    return NetworkState(
        version,
        checked_name(state["name"]),
        checked_settings(_typed(state["static_kwargs"], dict, "static_kwargs"), left),
        checked_name(state["build_func_name"]),
        _variables(_typed(state["variables"], list, "variables"), left),
        checked_components({k: _network(v, left, depth + 1) for k, v in parts.items()}),
    )


def _typed(value, kind: type, part: str):
    need(type(value) is kind, f"has a network whose {part} is no {kind.__name__}.")
    return value


def checked_name(text: object) -> str:
    """Returns a name in a network; raises `RefusedError` for anything else."""
    fits = type(text) is str and 0 < len(text) <= 200 and text.isprintable()
    need(fits, f"has something named {shown(text)}, which is no name.")
    return text


def _built(value):
    """Replaces an array node by its array."""
    if type(value) is not ArrayNode:
        return value
    need(value.value is not None, "has an array without values.")
    return value.value


def _variables(pairs: list, left: Allowance) -> dict[str, np.ndarray]:
    """Returns [(name, array), ...] as a dict."""
    variables = {}
    for pair in pairs:
        left.spend()
        fits = type(pair) in (tuple, list) and len(pair) == 2
        need(fits, "has variables that are not pairs of name and array.")
        name, value = checked_name(pair[0]), pair[1]
        need(name not in variables, f"has two variables {shown(name)}.")
        value = _built(value)
        fits = isinstance(value, (np.ndarray, np.generic))
        need(fits, f"has a variable {shown(name)} that is no array.")
        variables[name] = np.asarray(value)
    return variables


def checked_components(parts: dict) -> dict[str, NetworkState]:
    """Returns the components of a network, whose names must differ."""
    distinct = len({part.name for part in parts.values()}) == len(parts)
    need(distinct, "has two components of one name.")
    return {checked_name(key): part for key, part in parts.items()}


def checked_settings(arguments: dict, left: Allowance) -> dict:
    """Returns a copy of `static_kwargs` that holds only plain values."""
    return {checked_name(key): _plain(value, left) for key, value in arguments.items()}


def _plain(value, left: Allowance, depth: int = 0):
    """Returns a copy of a setting; NumPy's numbers become Python's."""
    left.spend()
    need(depth < 16, "nests its settings too deep.")
    value = _built(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (np.ndarray, *PLAIN)):
        return value
    if isinstance(value, dict):
        keys = hashable(list(value), (str, int))
        return {key: _plain(value[key], left, depth + 1) for key in keys}
    for kind in (list, tuple, set, frozenset):
        if isinstance(value, kind):
            return kind(_plain(v, left, depth + 1) for v in value)
    raise RefusedError(f"has a setting that is no plain value but {shown(value)}.")
