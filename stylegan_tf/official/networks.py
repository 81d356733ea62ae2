"""Reads official pickles into our networks, and writes ours as official pickles.

    g, d, gs = load_pickled_networks("karras2019stylegan-ffhq-1024x1024.pkl")

Weights are copied as stored, before the equalized learning rate's multiplier, so
training continues from them.
"""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stylegan_tf.config import DiscriminatorConfig, GeneratorConfig, Growth, levels
from stylegan_tf.config.limits import shortened
from stylegan_tf.config.networks import GROWING, STYLEGAN2
from stylegan_tf.errors import UserError, one_line
from stylegan_tf.files import open_regular
from stylegan_tf.formats import safetensors_files, torch_files
from stylegan_tf.networks.discriminator import Discriminator
from stylegan_tf.networks.generator import Generator
from stylegan_tf.official import (
    rosinality,
    tf_pickles,
    torch_networks,
    torch_pickles,
    writing,
)
from stylegan_tf.official.arguments import (
    discriminator_config,
    generator_config,
    official_arguments,
)
from stylegan_tf.official.names import Slot, name_map
from stylegan_tf.official.tf_pickles import NetworkState
from stylegan_tf.official.torch_pickles import ModuleState, TrainingSnapshot

LODS = {"lod", "G_synthesis/lod"}  # the growth of the official network


@dataclass
class LoadReport:
    """The mapping of an official network's variables to our weights.

    Attributes:
        name: of the network in the file: "G", "D" or "Gs".
        kind: the official build function.
        mapped: official name -> path of our weight.
        absent: official names that the file lacks; our weight keeps its initial value.
        left: names in the file without a weight of ours.
        lod: log2 of final over present resolution of a growing network.
    """

    name: str
    kind: str
    mapped: dict[str, str] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    lod: float = 0.0

    def __str__(self) -> str:
        text = f"{self.name} ({self.kind}): {len(self.mapped)} variables mapped"
        text += f", {len(self.absent)} absent, {len(self.left)} left"
        if self.lod:
            text += f"; it had grown up to lod {self.lod:g}"
        for kind, names in (("absent", self.absent), ("left", self.left)):
            text += "".join(f"\n  {kind}: {name}" for name in names)
        return text

    def table(self) -> str:
        """Returns a line per variable with the path of our weight."""
        width = max(map(len, self.mapped), default=0)
        rows = [f"  {name:<{width}}  {ours}" for name, ours in self.mapped.items()]
        return "\n".join([str(self), *rows])


@dataclass
class LoadedNetworks:
    """The networks "G", "D" and "Gs" of a file, and a report of each."""

    networks: dict[str, Generator | Discriminator | None]
    reports: list[LoadReport]

    @property
    def generator(self) -> Generator | None:
        """The moving average Gs if the file has it, else G."""
        return self.networks["Gs"] or self.networks["G"]


def load_pickled_networks(
    path: Path | str,
) -> tuple[Generator | None, Discriminator | None, Generator | None]:
    """Returns the networks G, D and Gs (the moving average) of an official pickle.

    Returns:
        The networks; None for those that the file lacks.

    Raises:
        UserError: it is no such pickle, or its networks are not supported.
    """
    found = load_pickle(path).networks
    return found["G"], found["D"], found["Gs"]


def load_pickle(path: Path | str) -> LoadedNetworks:
    """Reads an official pickle, with a report of every variable.

    Raises:
        UserError: see `load_pickled_networks`.
    """
    networks, reports = {}, []
    for name, state in _states(path).items():
        networks[name] = None
        if state is not None:
            with _errors_of(path):
                networks[name], report = network_from_state(name, state)
            reports.append(report)
    return LoadedNetworks(networks, reports)


def load_generator(path: Path | str) -> Generator:
    """Returns the generator of a file, Gs if it has it.

    Raises:
        UserError: see `load_pickled_networks`; or the file has no generator.
    """
    name, state = _generator_state(path, _states(path))
    with _errors_of(path):
        return network_from_state(name, state)[0]


def pickled_configs(
    path: Path | str,
) -> tuple[GeneratorConfig, DiscriminatorConfig | None]:
    """Returns the configs of a file's generator, and of its discriminator if any.

    Raises:
        UserError: see `load_generator`.
    """
    states = _states(path)
    name, state = _generator_state(path, states)
    with _errors_of(path):
        generator = checked_config(name, state)[0]
        d = states["D"]
        return generator, d and checked_config("D", d)[0]


def stored_growth(path: Path | str) -> Growth:
    """Reads the growth of a file's generator.

    Raises:
        UserError: as `load_generator`.
    """
    name, state = _generator_state(path, _states(path))
    with _errors_of(path):
        c, arrays = checked_config(name, state)
        return Growth.from_lod(_lod(c, arrays), c.resolution)


def _states(path: Path | str) -> dict[str, NetworkState | ModuleState | None]:
    """Returns the states of a TensorFlow or PyTorch file's networks."""
    snapshot = torch_snapshot(path)
    return snapshot.networks if snapshot else tf_pickles.read_pickle(path)


def torch_snapshot(path: Path | str) -> TrainingSnapshot | None:
    """Reads a file that PyTorch wrote; None for any other file.

    Raises:
        UserError: it holds no networks that are known here.
    """
    if Path(path).suffix == safetensors_files.SUFFIX:
        arrays = safetensors_files.read_safetensors(path)
        return TrainingSnapshot(rosinality.networks_of(path, arrays))
    if torch_pickles.is_persistent(path):
        return torch_pickles.read_snapshot(path)
    try:
        with open_regular(path) as f:
            head = f.read(16)
    except OSError:
        return None
    return rosinality.read_rosinality(path) if torch_files.is_torch(head) else None


def _generator_state(path, states: dict) -> tuple[str, NetworkState | ModuleState]:
    name = "Gs" if states["Gs"] else "G"
    if not states[name]:
        raise UserError(
            f"{path} has a discriminator only, no generator; give a file that has one."
        )
    return name, states[name]


@contextlib.contextmanager
def _errors_of(path) -> Iterator[None]:
    """Puts the file's name before an error in its content."""
    errors = (UserError, TypeError, ValueError, LookupError, ArithmeticError)
    try:
        yield
    except errors as error:
        raise UserError(f"{path}: {one_line(error)}") from error


# ---------------------------------------------------------------------------


def checked_config(
    name: str, state: NetworkState | ModuleState
) -> tuple[GeneratorConfig | DiscriminatorConfig, dict[str, np.ndarray]]:
    """Returns the config of an official network and its variables by official name.

    The sizes that the file states must agree with its arrays, so the network of this
    config is about as large as the file.

    Raises:
        UserError: a variable is missing or has another shape.
    """
    if isinstance(state, ModuleState):
        return torch_networks.checked_torch_config(state), state.tensors
    arrays = state.collect()
    c = discriminator_config(state) if name == "D" else generator_config(state)
    wanted = _discriminator_shapes(c) if name == "D" else _generator_shapes(c)
    for variable, shape in wanted.items():
        found = arrays[variable].shape if variable in arrays else None
        if found != shape:
            has = "missing" if found is None else list(found)
            raise UserError(
                f"{name}'s {variable} is {has}; by the file's arguments it is "
                f"{list(shape)}. The file is damaged, or of a network not known here."
            )
    return c, arrays


def network_from_state(
    name: str, state: NetworkState | ModuleState
) -> tuple[Generator | Discriminator, LoadReport]:
    """Returns an official network as ours, and a report.

    Args:
        name: "G", "D" or "Gs".
        state: of the official network.

    Raises:
        UserError: the network is not supported, or a variable is missing.
    """
    if isinstance(state, ModuleState):
        network, mapped, absent = torch_networks.network_from_module(state)
        kind = f"{state.class_name}, {state.kind}"
        return network, LoadReport(name, kind, mapped, absent)
    c, arrays = checked_config(name, state)
    report = LoadReport(name, state.build_func_name, lod=_lod(c, arrays))
    growth = Growth.from_lod(report.lod, c.resolution)
    network = Discriminator(c) if name == "D" else Generator(c, growth)
    slots = name_map(network, _fused_scale(state))
    for official, slot in slots.items():
        if official in arrays:
            _assign(official, slot, arrays[official])
            report.mapped[official] = slot.weight.path
        else:
            report.absent.append(official)
    report.left = [n for n in arrays if n not in slots and n not in LODS]
    missing = [n for n in report.absent if slots[n].weight.trainable]
    if missing:
        more = f" and {len(missing) - 1} others" if len(missing) > 1 else ""
        raise UserError(f"{name} lacks {missing[0]}{more}; the file is damaged.")
    return network, report


def _fused_scale(state: NetworkState) -> str | bool:
    given = state.static_kwargs.get("fused_scale", "auto")
    if given is not True and given is not False and given != "auto":
        raise UserError(
            f"fused_scale is {shortened(given)}; known are True, False and 'auto'."
        )
    return given


def _lod(c: GeneratorConfig | DiscriminatorConfig, arrays: dict) -> float:
    """Doublings that a growing network is short of its full resolution."""
    if c.architecture not in GROWING or "lod" not in arrays:
        return 0.0
    return min(max(float(arrays["lod"]), 0.0), math.log2(c.resolution) - 2)


def _assign(name: str, slot: Slot, array: np.ndarray) -> None:
    array = np.asarray(array)
    expected = slot.to_official(np.zeros(slot.weight.shape, np.int8)).shape
    if array.shape != expected:
        raise UserError(
            f"{name} is {list(array.shape)}; by its arguments the network has "
            f"{list(expected)} there."
        )
    slot.weight.assign(slot.to_ours(array.astype(np.float32)))


# ---------------------------------------------------------------------------
# Shapes by official name that determine the size of a network


def _generator_shapes(c: GeneratorConfig) -> dict[str, tuple[int, ...]]:
    shapes = _mapping_shapes(c)
    for r in levels(c.resolution):
        scope = f"G_synthesis/{r}x{r}/" + ("Conv" if r == 4 else "Conv1")
        maps = c.fmaps(r)
        shapes[f"{scope}/weight"] = (3, 3, maps, maps)
        if c.architecture in STYLEGAN2:
            shapes[f"{scope}/mod_weight"] = (c.w_dim, maps)
        elif c.use_styles:
            shapes[f"{scope}/StyleMod/weight"] = (c.w_dim, 2 * maps)
    if c.architecture in STYLEGAN2:
        return shapes
    if not c.const_input:
        shapes["G_synthesis/4x4/Dense/weight"] = (c.w_dim, 16 * c.fmaps(4))
    elif not c.use_styles:  # nothing else takes w
        shapes["dlatent_avg"] = (c.w_dim,)
    return shapes


def _mapping_shapes(c: GeneratorConfig) -> dict[str, tuple[int, ...]]:
    shapes, width = {}, c.mapping_input_dim
    if c.classes:
        kind = "LabelEmbed" if c.label_norm == "own" else "LabelConcat"
        shapes[f"G_mapping/{kind}/weight"] = (c.classes, c.embedding_dim)
    for i in range(c.mapping_layers):
        units = c.w_dim if i == c.mapping_layers - 1 else c.mapping_width
        shapes[f"G_mapping/Dense{i}/weight"] = (width, units)
        width = units
    return shapes


def _discriminator_shapes(c: DiscriminatorConfig) -> dict[str, tuple[int, ...]]:
    shapes = {}
    for r in levels(c.resolution, first=8):
        shapes[f"{r}x{r}/Conv0/weight"] = (3, 3, c.fmaps(r), c.fmaps(r))
    maps, hidden = c.fmaps(4), c.head_width or c.fmaps(2)
    extra = c.mbstd_features if c.mbstd_group > 1 else 0
    last = "Output" if c.architecture in STYLEGAN2 else "4x4/Dense1"
    outputs = max(c.classes, 1)
    if c.classes and c.conditioning == "projection":
        outputs = c.projection_width or hidden
        shapes |= _projection_shapes(c, outputs)
    return shapes | {
        "4x4/Conv/weight": (3, 3, maps + extra, maps),
        "4x4/Dense0/weight": (16 * maps, hidden),
        f"{last}/weight": (hidden, outputs),
    }


def _projection_shapes(
    c: DiscriminatorConfig, outputs: int
) -> dict[str, tuple[int, ...]]:
    width = c.label_width or outputs
    shapes = {"LabelEmbed/weight": (c.classes, width)}
    for i in range(c.mapping_layers):
        last = i == c.mapping_layers - 1
        units = outputs if last else c.mapping_width or outputs
        shapes[f"Mapping{i}/weight"] = (width, units)
        width = units
    return shapes


# ---------------------------------------------------------------------------


def save_pickle(
    path: Path | str,
    g: Generator | None = None,
    d: Discriminator | None = None,
    gs: Generator | None = None,
    growth: Growth | None = None,
) -> None:
    """Writes networks as an official pickle: (G, D, Gs), or the only one given.

    The file has every variable under its official name and layout. Instead of the
    source text of official files it has a comment: tools that read the variables can
    use the file, but the official code, which compiles that text, cannot.

    Args:
        path: of the file; an existing file is replaced.
        g: the generator in training.
        d: the discriminator.
        gs: the moving average of the generator.
        growth: how far growing ones have grown; None = as far as Gs, or else G.

    Raises:
        UserError: a network has no official counterpart.
    """
    if growth is None and (gs or g):
        growth = (gs or g).growth
    given = {"G": g, "D": d, "Gs": gs}
    states = {k: v and network_to_state(k, v, growth) for k, v in given.items()}
    writing.write_pickle(path, states)


def network_to_state(
    name: str,
    network: Generator | Discriminator,
    growth: Growth | None = None,
) -> NetworkState:
    """Returns the official state of one of our networks.

    Args:
        name: "G", "D" or "Gs".
        network: our network.
        growth: how far it has grown; None = fully.
    """
    c = network.config
    function, arguments = official_arguments(c)
    arrays = {n: _official(slot) for n, slot in name_map(network).items()}
    grows = c.architecture in GROWING
    version = 3 if c.architecture == "stylegan" else 4
    doublings = growth.lod(c.resolution) if grows and growth else 0.0
    lod = {"lod": np.asarray(doublings, np.float32)}
    growing = lod if grows else {}
    if isinstance(network, Discriminator):
        return NetworkState(version, name, arguments, function, growing | arrays)

    def part(of: str, built: str, extra: dict, start: dict) -> NetworkState:
        prefix = f"{of}/"
        found = {n: a for n, a in arrays.items() if n.startswith(prefix)}
        own = start | {n[len(prefix) :]: a for n, a in found.items()}
        return NetworkState(version, of, extra | arguments, built, own)

    builds = {"stylegan": "", "revised": "_stylegan_revised"}
    built = "G_synthesis" + builds.get(c.architecture, "_stylegan2")
    styles = {"dlatent_broadcast": c.num_styles}
    components = {
        "synthesis": part("G_synthesis", built, {}, growing),
        "mapping": part("G_mapping", "G_mapping", styles, {}),
    }
    own = lod | {"dlatent_avg": arrays["dlatent_avg"]}
    return NetworkState(version, name, arguments, function, own, components)


def _official(slot: Slot) -> np.ndarray:
    return np.asarray(slot.to_official(slot.weight.numpy()), order="C")
