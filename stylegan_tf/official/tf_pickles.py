"""Reads NVIDIA's TensorFlow pickles of networks without running what is in them.

`formats.safe_pickle` reads the file. This module checks every part of its content and
returns the states of the networks. A state has version 3 (StyleGAN), 4 (StyleGAN2) or
5 (StyleGAN2-ADA). The source text that comes with every network is dropped.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stylegan_tf.errors import UserError
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
    hashable,
    need,
    shown,
)

KEYS = ("G", "D", "Gs")

NETWORK_CLASS = "dnnlib.tflib.network.Network"
ADA = 5  # the version of StyleGAN2-ADA's states
VERSIONS = (3, 4, ADA)
STATE = ("version", "name", "static_kwargs", "components", "build_module_src")
STATE += ("build_func_name", "variables")
# In version 5 only: inputs and outputs, which follow from the other values.
ENDS = ("input_shapes", "output_shapes", "input_names", "output_names")


@dataclass(eq=False)
class NetworkState:
    """One official network, as its file describes it.

    Attributes:
        version: of the state: 3 (StyleGAN), 4 (StyleGAN2) or 5 (StyleGAN2-ADA).
        name: such as "Gs" or "G_synthesis".
        static_kwargs: the arguments it was built with, as far as they were given.
        build_func_name: of the official function, such as "G_style".
        variables: its own, official name -> array in the official layout (NCHW, HWIO).
            Arrays from a file are read-only.
        components: "synthesis" and "mapping", of a generator that has them.
    """

    version: int
    name: str
    static_kwargs: dict
    build_func_name: str
    variables: dict[str, np.ndarray]
    components: dict[str, "NetworkState"] = field(default_factory=dict)

    def collect(self) -> dict[str, np.ndarray]:
        """All variables; a component's are called NAME/..., by its own `name`."""
        found = dict(self.variables)
        for part in self.components.values():
            found |= {f"{part.name}/{n}": v for n, v in part.collect().items()}
        return found


def read(path: Path | str) -> dict[str, NetworkState | None]:
    """The networks of an official pickle.

    Args:
        path: a file with (G, D, Gs), with one network alone, which is placed by its
            name, or with a dict of networks.

    Returns:
        The states of "G", "D" and "Gs"; None for what the file lacks.

    Raises:
        UserError: the file is not there, no pickle, damaged, or asks for anything but
            the data of such networks.
    """
    path = Path(path)
    try:
        data = _load(path)
        return _placed(Machine(len(data)).run(data))
    except RefusedError as e:
        raise UserError(f"{path} {e}") from e
    except OSError as e:
        raise UserError(f"{path} cannot be read: {e.strerror}.") from e
    except Exception as e:  # of a file made to confuse: TypeError, RecursionError, ...
        what = type(e).__name__
        raise UserError(f"{path} is damaged, or no pickle of networks ({what}).") from e


_TORCH = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")  # the number it begins with
_OTHERS = {
    b"PK\x03\x04": f"is a zip file, as PyTorch and Keras write them; {ONLY}",
    _TORCH: f"is a PyTorch pickle; {ONLY}",
    b"<": f"is a web page and not the file that it offers; {AGAIN}",
    b"version https://git-lfs": "only names a file kept in Git LFS; fetch that one.",
}


def _load(path: Path) -> bytes:
    """The bytes of a file that begins like a pickle."""
    need(path.exists(), "does not exist.")
    need(path.is_file(), "is no file; give the .pkl file itself.")
    with open(path, "rb") as f:
        head = f.read(64)
        need(head, f"is empty; {AGAIN}")
        for start, reason in _OTHERS.items():
            need(not head.startswith(start), reason)
        begins = head[0] == 0x80 and head[1:2] in b"\2\3\4\5"
        need(begins, f"is not a pickle of protocol 2 to 5; {ONLY}")
        f.seek(0)
        return f.read()


# ---------------------------------------------------------------------------
# From plain data to networks


def _placed(content) -> dict[str, NetworkState | None]:
    """The networks of a file, by their part in training."""
    left = Allowance(MAX_STEPS)
    found: dict[str, NetworkState | None] = dict.fromkeys(KEYS)
    if type(content) is NetworkNode:
        state = _network(content, left)
        return found | {_place(state): state}
    if type(content) in (tuple, list):
        need(len(content) == 3, f"holds {len(content)} things and not (G, D, Gs).")
        content = dict(zip(KEYS, content, strict=True))
    need(type(content) is dict, f"holds a {shown(content)} and no networks; {ONLY}")
    for source, key in {"G": "G", "D": "D", "G_ema": "Gs", "Gs": "Gs"}.items():
        if content.get(source) is not None:
            found[key] = _network(content[source], left)
    need(any(found.values()), f"holds no network; {ONLY}")
    return found


def _place(state: NetworkState) -> str:
    """Which of G, D and Gs a network alone is."""
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
    """The state of a network, each part of it as it has to be."""
    fits = type(node) is NetworkNode and node.state is not None and depth < 4
    need(fits, "has something else in the place of a network.")
    left.spend(1000)  # so that no file has more than a hundred
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
        settings(_typed(state["static_kwargs"], dict, "static_kwargs"), left),
        checked_name(state["build_func_name"]),
        _variables(_typed(state["variables"], list, "variables"), left),
        checked_components({k: _network(v, left, depth + 1) for k, v in parts.items()}),
    )


def _typed(value, kind: type, what: str):
    need(type(value) is kind, f"has a network whose {what} is no {kind.__name__}.")
    return value


def checked_name(text) -> str:
    """A name of something in a network."""
    fits = type(text) is str and 0 < len(text) <= 200 and text.isprintable()
    need(fits, f"has something named {shown(text)}, which is no name.")
    return text


def _built(value):
    """The array in the place of what stood in for it."""
    if type(value) is not ArrayNode:
        return value
    need(value.value is not None, "has an array without values.")
    return value.value


def _variables(pairs: list, left: Allowance) -> dict[str, np.ndarray]:
    """[(name, array), ...] as a dict."""
    found = {}
    for pair in pairs:
        left.spend()
        fits = type(pair) in (tuple, list) and len(pair) == 2
        need(fits, "has variables that are not pairs of name and array.")
        name, value = checked_name(pair[0]), pair[1]
        need(name not in found, f"has two variables {shown(name)}.")
        value = _built(value)
        fits = isinstance(value, (np.ndarray, np.generic))
        need(fits, f"has a variable {shown(name)} that is no array.")
        found[name] = np.asarray(value)
    return found


def checked_components(parts: dict) -> dict[str, NetworkState]:
    """Networks within a network, told apart by their own names too."""
    distinct = len({part.name for part in parts.values()}) == len(parts)
    need(distinct, "has two components of one name.")
    return {checked_name(key): part for key, part in parts.items()}


def settings(arguments: dict, left: Allowance) -> dict:
    """Copies arguments of plain values by name."""
    return {checked_name(key): _plain(value, left) for key, value in arguments.items()}


def _plain(value, left: Allowance, depth: int = 0):
    """A setting, copied; NumPy's numbers become Python's."""
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
