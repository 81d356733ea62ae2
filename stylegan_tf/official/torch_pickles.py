"""Reads PyTorch's network pickles of the StyleGAN family without running them.

stylegan2-ada-pytorch and stylegan3 keep networks as "persistent objects": the source
text of a module, the name of a class in it and the dict of the instance's attributes.
Their own loader runs that text. This module drops it: the attributes hold every tensor,
and the arguments that the class was made with tell which network it is.

A snapshot is a dict {"G": ..., "D": ..., "G_ema": ..., "augment_pipe": ...,
"training_set_kwargs": ...}; a generator alone is read as well.
"""

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stylegan_tf.errors import UserError
from stylegan_tf.files import open_regular
from stylegan_tf.formats import safe_pickle, torch_files
from stylegan_tf.formats.safe_pickle import (
    AGAIN,
    MAX_NAME,
    MAX_STEPS,
    ONLY,
    Allowance,
    Machine,
    RefusedError,
    check_total,
    hashable,
    need,
    ordered_dict,
    shown,
)
from stylegan_tf.official.tf_pickles import MOST_BYTES, checked_name, checked_settings

KEYS = {"G": "G", "D": "D", "G_ema": "Gs"}  # of a snapshot -> ours
VERSION = 6  # of a persistent object, in both repositories
_HEAD = 64 << 20  # bytes in which a file names the maker of its objects
DEPTH = 8  # modules within modules; real ones: 4
RECONSTRUCT = "torch_utils.persistence._reconstruct_persistent_obj"
# Arguments by position, of the outer classes.
POSITIONS = {
    "G": ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels"),
    "D": ("c_dim", "img_resolution", "img_channels"),
}
# Names of classes and modules by which relatives with other networks are refused.
# Public threads confirm ProjectedDiscriminator, `feature_networks` and GET3D's
# `synthesis.generator`; the other names are assumed. A relative that none of them tells
# is refused by its first argument or tensor that our networks do not have.
RELATIVES = {
    "TriPlaneGenerator": "EG3D",
    "DualDiscriminator": "EG3D",
    "SuperresGenerator": "StyleGAN-XL",
    "ProjectedDiscriminator": "projected GAN or StyleGAN-XL",
    "FastganSynthesis": "projected GAN",
    "backbone": "EG3D",
    "synthesis.generator": "GET3D",
    "mapping.embed_proj": "StyleGAN-XL",
    "feature_network": "projected GAN or StyleGAN-XL",
    "feature_networks": "projected GAN or StyleGAN-XL",
    "Model": "R3GAN",
    "dino": "StyleGAN-T",
    "clip": "StyleGAN-T",
}


@dataclass(eq=False)
class ModuleState:
    """One network of a PyTorch pickle, as its file describes it.

    Attributes:
        name: "G", "D" or "Gs".
        class_name: such as "Generator", the same for StyleGAN2 and StyleGAN3.
        arguments: arguments that were given to the class.
        repository: "ada" (stylegan2-ada-pytorch) or "sg3" (stylegan3), whose classes
            differ in their defaults; "rosinality" has no classes.
        tensors: full name, such as "synthesis.b4.const", to a read-only array; the
            parameters and the buffers.
        classes: path of each module inside the network -> its class.
        start_shape: height and width of the generator's constant, which a
            discriminator in the same file goes with.
    """

    name: str
    class_name: str
    arguments: dict
    repository: str = "sg3"
    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    classes: dict[str, str] = field(default_factory=dict)
    start_shape: tuple[int, int] = (4, 4)

    @property
    def kind(self) -> str:
        """The kind, "stylegan3" or "stylegan2"; "" for a network of neither."""
        if self.repository == "rosinality":
            return "stylegan2"
        if self.name == "D":
            return "stylegan2" if "b4" in self.classes else ""
        if "synthesis.input" in self.classes:
            return "stylegan3"
        return "stylegan2" if "synthesis.b4" in self.classes else ""


@dataclass(eq=False)
class TrainingSnapshot:
    """The content of a file.

    Attributes:
        networks: "G", "D" and "Gs"; None for what the file lacks.
        augment_p: ADA's probability when the file was written; None if it is not there.
        training_set: arguments of the data set of the training.
    """

    networks: dict[str, ModuleState | None]
    augment_p: float | None = None
    training_set: dict = field(default_factory=dict)


def is_persistent(path: Path | str) -> bool:
    """Returns True if a file's bytes name the maker of persistent objects."""
    try:
        with open_regular(path) as f:
            if f.read(1) != b"\x80":
                return False
            with mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return data.find(b"_reconstruct_persistent_obj", 0, _HEAD) >= 0
    except (OSError, ValueError):
        return False


def read_snapshot(path: Path | str) -> TrainingSnapshot:
    """Reads the networks of a PyTorch pickle.

    Args:
        path: a file with a snapshot, or with one network alone.

    Raises:
        UserError: the file is not there, damaged, or asks for anything but the data of
            such networks.
    """
    path = Path(path)
    try:
        with open_regular(path, MOST_BYTES) as f:
            data = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
            found = _snapshot(PersistenceMachine(len(data)).run(data))
            states = filter(None, found.networks.values())
            check_total((x for s in states for x in s.tensors.values()), len(data))
            return found
    except RefusedError as e:
        raise UserError(f"{path} {e}") from e
    except OSError as e:
        raise UserError(f"{path} cannot be read: {e.strerror or e}.") from e
    except Exception as e:  # of a file made to confuse: TypeError, RecursionError, ...
        what = type(e).__name__
        raise UserError(f"{path} is damaged, or no pickle of networks ({what}).") from e


# ---------------------------------------------------------------------------
# The machine


@dataclass(eq=False)
class PersistentNode:
    """An object of a class in the file: the class's name, the object's attributes."""

    class_name: str
    state: dict


class PersistenceMachine(Machine):
    """Runs the operations of a pickle of persistent objects.

    Args:
        size: of the file, in bytes; the streams of numbers in it are not longer.
    """

    def __init__(self, size: int):
        super().__init__(size)
        self.calls, self.makes = _CALLS, _MAKES
        self.nested = Allowance(size)

    def symbol(self, module, name) -> None:
        """Pushes a global name without the package that a project keeps it in."""
        if type(module) is str and len(module) <= MAX_NAME:
            module = re.sub(r"^.*\.(?=torch_utils\.|dnnlib\.)", "", module)
        super().symbol(module, name)

    def persistent(self) -> None:
        """Refuses objects outside of the pickle; these files have none."""
        raise RefusedError(f"keeps its numbers elsewhere; {ONLY}")

    def knows(self, asked: str) -> bool:
        """Returns True for a global name that such networks need."""
        return asked in self.calls or asked in self.makes or asked == "numpy.ndarray"


def _persistent(machine: Machine, about) -> PersistentNode:
    fits = type(about) is dict and about.get("type") == "class"
    need(fits, "has an object that is no network and no part of one.")
    version, state = about.get("version"), about.get("state")
    need(version == VERSION, f"has objects of version {shown(version)}; 6 is read.")
    need(type(state) is dict, "has a network without its state.")
    need(type(about.get("module_src")) is str, "has a network without its source.")
    return PersistentNode(checked_name(about.get("class_name")), state)


def _storage(machine: PersistenceMachine, data) -> torch_files.Storage:
    data = machine.raw(data)
    machine.nested.spend(len(data))
    return torch_files.read_storage(bytes(data))


def _set(machine: Machine, items=()) -> set:
    need(type(items) in (list, tuple), "makes a set of something else than a list.")
    machine.values.spend(len(items))
    return set(hashable(list(items)))


_CALLS = safe_pickle.CALLS | {
    RECONSTRUCT: _persistent,
    "torch._utils._rebuild_parameter": torch_files.rebuild_parameter,
    "torch._utils._rebuild_tensor_v2": torch_files.rebuild_tensor,
    "torch.storage._load_from_bytes": _storage,
    "builtins.set": _set,
    "__builtin__.set": _set,
}
_MAKES = {"dnnlib.util.EasyDict": ordered_dict, "collections.OrderedDict": ordered_dict}


# ---------------------------------------------------------------------------
# From plain data to networks


def _snapshot(content) -> TrainingSnapshot:
    left = Allowance(MAX_STEPS)
    networks: dict[str, ModuleState | None] = dict.fromkeys(KEYS.values())
    if type(content) is PersistentNode:
        key = "D" if content.class_name.endswith("Discriminator") else "Gs"
        return TrainingSnapshot(_dated(networks | {key: _network(key, content, left)}))
    need(type(content) is dict, f"holds a {shown(content)} and no networks; {ONLY}")
    for theirs, ours in KEYS.items():
        if content.get(theirs) is not None:
            networks[ours] = _network(ours, content[theirs], left)
    need(any(networks.values()), f"holds no network; {ONLY}")
    given = content.get("training_set_kwargs")
    found = checked_settings(given, left) if type(given) is dict else {}
    return TrainingSnapshot(
        _dated(networks), _augment_p(content.get("augment_pipe"), left), found
    )


def _dated(networks: dict) -> dict:
    """Sets what networks of a file tell about each other.

    These are the repository, by the generator's arguments, and the shape of its start.
    """
    given = [state for state in networks.values() if state is not None]
    for const in (state.tensors.get("synthesis.b4.const") for state in given):
        if const is not None and const.ndim == 3:
            for state in given:
                state.start_shape = tuple(map(int, const.shape[1:]))
    if any("synthesis_kwargs" in state.arguments for state in given):
        for state in given:
            state.repository = "ada"
    return networks


def _augment_p(node, left: Allowance) -> float | None:
    if type(node) is not PersistentNode or node.class_name != "AugmentPipe":
        return None
    p = dict(_tensors(node, left)).get("p")
    return None if p is None or p.shape else float(p)


def _network(name: str, node, left: Allowance) -> ModuleState:
    """A network with all its tensors."""
    need(type(node) is PersistentNode, "has something else in the place of a network.")
    classes = dict(_modules(node, left))
    relative = next(
        (RELATIVES[k] for k in _marks(node, classes) if k in RELATIVES), None
    )
    need(not relative, f"is of {relative}, which has other networks; {ONLY}")
    tensors: dict[str, np.ndarray] = {}
    for key, value in _tensors(node, left):
        need(key not in tensors, f"has two tensors {shown(key)}.")
        tensors[key] = value
    state = ModuleState(
        name,
        node.class_name,
        _arguments(name, node, left),
        tensors=tensors,
        classes=classes,
    )
    need(state.kind, f"has a {shown(node.class_name)} of an unknown kind; {ONLY}")
    return state


def _marks(node: PersistentNode, classes: dict[str, str]) -> Iterator[str]:
    """Yields names that may be in `RELATIVES`: classes, paths, modules at the top."""
    yield node.class_name
    yield from classes.values()
    yield from classes
    yield from (path.split(".")[0] for path in classes)


def _part(node: PersistentNode, key: str) -> dict:
    """A module's table of parts by name."""
    found = node.state.get(key)
    need(type(found) is dict, f"has a module whose {key} is no table; {AGAIN}")
    for name in found:
        need("." not in checked_name(name), f"has a part named {shown(name)}.")
    return found


def _children(node: PersistentNode) -> Iterator[tuple[str, PersistentNode]]:
    for name, child in _part(node, "_modules").items():
        if child is not None:
            fits = type(child) is PersistentNode
            need(fits, f"has {shown(child)} in the place of the module {shown(name)}.")
            yield name, child


def _modules(
    node: PersistentNode, left: Allowance, path: str = "", depth: int = 0
) -> Iterator[tuple[str, str]]:
    """Yields (path, class) of every module inside a module."""
    need(depth < DEPTH, "nests its modules too deep.")
    for name, child in _children(node):
        left.spend(10)
        yield f"{path}{name}", child.class_name
        yield from _modules(child, left, f"{path}{name}.", depth + 1)


def _tensors(
    node: PersistentNode, left: Allowance, path: str = "", depth: int = 0
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields (full name, array) of every parameter and buffer."""
    need(depth < DEPTH, "nests its modules too deep.")
    for table in ("_parameters", "_buffers"):
        for name, tensor in _part(node, table).items():
            left.spend()
            if tensor is not None:
                fits = type(tensor) is torch_files.TensorNode
                need(fits, f"has {shown(name)}, which is no tensor.")
                yield f"{path}{name}", tensor.array()
    for name, child in _children(node):
        yield from _tensors(child, left, f"{path}{name}.", depth + 1)


def _arguments(name: str, node: PersistentNode, left: Allowance) -> dict:
    """The arguments of a network's class by name, positional ones included."""
    given, placed = node.state.get("_init_kwargs"), node.state.get("_init_args", ())
    fits = type(given) is dict and type(placed) is tuple
    need(fits, "has a network that does not say what it was made with.")
    names = POSITIONS["D" if name == "D" else "G"]
    need(len(placed) <= len(names), "has a network with unknown arguments.")
    both = dict(zip(names, placed, strict=False))
    need(not set(both) & set(given), "has a network with an argument given twice.")
    return checked_settings(both | given, left)
