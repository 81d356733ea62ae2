"""Official pickles as our networks, and ours as official pickles.

    g, d, gs = load_networks("karras2019stylegan-ffhq-1024x1024.pkl")

Weights are the stored values on both sides, so that training goes on where it was.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stylegan_tf.config import levels
from stylegan_tf.errors import UserError
from stylegan_tf.networks.discriminator import Discriminator
from stylegan_tf.networks.generator import Generator
from stylegan_tf.official import pickles, writing
from stylegan_tf.official.arguments import (
    discriminator_config,
    generator_config,
    official_arguments,
)
from stylegan_tf.official.names import Slot, name_map
from stylegan_tf.official.pickles import NetworkState

LODS = {"lod", "G_synthesis/lod"}  # how far the official network had grown


@dataclass
class Report:
    """What became of an official network's variables.

    Attributes:
        name: of the network in the file: "G", "D" or "Gs".
        kind: the official build function.
        mapped: official name -> path of our weight.
        absent: official names that the file lacks; our weight keeps its start value.
        left: names in the file that we have no place for.
        lod: doublings that a growing network was short of its full resolution.
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
        for what, names in (("absent", self.absent), ("left", self.left)):
            text += "".join(f"\n  {what}: {name}" for name in names)
        return text

    def table(self) -> str:
        """Every variable and where it went."""
        width = max(map(len, self.mapped), default=0)
        rows = [f"  {name:<{width}}  {ours}" for name, ours in self.mapped.items()]
        return "\n".join([str(self), *rows])


@dataclass
class Loaded:
    """The networks of a file, by "G", "D" and "Gs", and a report of each."""

    networks: dict[str, Generator | Discriminator | None]
    reports: list[Report]

    @property
    def generator(self) -> Generator:
        """The one to draw with: the moving average, if the file has it."""
        return self.networks["Gs"] or self.networks["G"]


def load_networks(
    path: Path | str,
) -> tuple[Generator | None, Discriminator | None, Generator | None]:
    """The networks G, D and Gs (the moving average) of an official pickle.

    Returns:
        None for what the file does not have.

    Raises:
        UserError: it is no such pickle, or of networks that we do not have.
    """
    found = load(path).networks
    return found["G"], found["D"], found["Gs"]


def load(path: Path | str) -> Loaded:
    """As `load_networks`, with a report of every variable."""
    networks, reports = {}, []
    for name, state in pickles.read(path).items():
        networks[name] = None
        if state is not None:
            try:
                networks[name], report = from_state(name, state)
            except (UserError, TypeError, ValueError) as error:
                raise UserError(f"{path}: {error}") from error
            reports.append(report)
    return Loaded(networks, reports)


def load_generator(path: Path | str) -> Generator:
    """The generator to draw with.

    Raises:
        UserError: as `load_networks`, or the file has no generator.
    """
    found = load(path).generator
    if found is None:
        raise UserError(f"{path} has a discriminator only, no generator.")
    return found


def from_state(
    name: str, state: NetworkState
) -> tuple[Generator | Discriminator, Report]:
    """One official network as ours."""
    arrays = _old_names(state)
    report = Report(name, state.build_func_name)
    report.lod = float(arrays.get("lod", 0))
    if name == "D":
        c = discriminator_config(state)
        _check_size(c, arrays, "{r}x{r}/Conv0/weight")
        network = Discriminator(c)
    else:
        c = generator_config(state)
        _check_size(c, arrays, "G_synthesis/{r}x{r}/Conv1/weight")
        _check_mapping(c, arrays)
        network = Generator(c)
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
        raise UserError(f"{name} lacks {missing[0]} and {len(missing) - 1} others.")
    return network, report


def _fused_scale(state: NetworkState):
    default = True if state.build_func_name.endswith("_paper") else "auto"
    return state.static_kwargs.get("fused_scale", default)


def _old_names(state: NetworkState) -> dict[str, np.ndarray]:
    """All variables, those of a progressive GAN under StyleGAN's names."""
    arrays = state.collect()
    if state.build_func_name != "G_paper":
        return arrays
    renamed = {}
    for name, array in arrays.items():
        if name.endswith("/Conv0_up/weight") and state.version == 2:
            array = np.swapaxes(array, 2, 3)  # written [kh, kw, out, in]
        renamed[name if name == "lod" else f"G_synthesis/{name}"] = array
    return renamed


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
# A file may claim any size. What it claims has to agree with the arrays that are in
# it before networks of that size are made.


def _check_size(c, arrays: dict, pattern: str) -> None:
    for r in levels(c.resolution, first=8):
        width = c.fmaps(r)
        _expect(arrays, pattern.format(r=r), (3, 3, width, width))
    first = pattern.format(r=4).replace("Conv1", "Conv").replace("Conv0", "Conv")
    _expect(arrays, first, (3, 3, None, c.fmaps(4)))


def _check_mapping(c, arrays: dict) -> None:
    width = c.mapping_input_dim
    for i in range(c.mapping_layers):
        units = c.w_dim if i == c.mapping_layers - 1 else c.mapping_width
        _expect(arrays, f"G_mapping/Dense{i}/weight", (width, units))
        width = units
    if c.classes:
        _expect(arrays, "G_mapping/LabelConcat/weight", (c.classes, c.z_dim))
    if not c.mapping_layers:
        _expect(arrays, "G_synthesis/4x4/Dense/weight", (c.w_dim, None))


def _expect(arrays: dict, name: str, shape: tuple) -> None:
    found = arrays[name].shape if name in arrays else None
    wrong = found is None or len(found) != len(shape)
    if wrong or any(s not in (None, f) for s, f in zip(shape, found, strict=True)):
        shown = ["any" if s is None else s for s in shape]
        has = "missing" if found is None else list(found)
        raise UserError(f"{name} is {has}; by the file's arguments it is {shown}.")


# ---------------------------------------------------------------------------


def save(
    path: Path | str,
    g: Generator | None = None,
    d: Discriminator | None = None,
    gs: Generator | None = None,
) -> None:
    """Writes networks as an official pickle: (G, D, Gs), or the only one given.

    The file has every variable under its official name and layout, and a placeholder
    where the official files carry source text: tools that read the variables can use
    it, the official code, which compiles that text, cannot.

    Raises:
        UserError: a network that has no official counterpart.
    """
    given = {"G": g, "D": d, "Gs": gs}
    states = {k: v and to_state(k, v) for k, v in given.items()}
    writing.write(path, states)


def to_state(name: str, network: Generator | Discriminator) -> NetworkState:
    """One of our networks as the official one of that name."""
    function, arguments = official_arguments(network.config)
    arrays = {n: _official(slot) for n, slot in name_map(network).items()}
    lod = np.zeros([], np.float32)
    architecture = network.config.architecture
    version = 3 if architecture == "stylegan" else 4
    grows = architecture in ("stylegan", "revised")
    if isinstance(network, Discriminator):
        own = ({"lod": lod} if grows else {}) | arrays
        return NetworkState(version, name, arguments, function, own)

    def below(prefix: str, start: dict) -> dict:
        found = {n: a for n, a in arrays.items() if n.startswith(prefix)}
        return start | {n[len(prefix) :]: a for n, a in found.items()}

    builds = {"stylegan": "", "revised": "_stylegan_revised"}
    built = "G_synthesis" + builds.get(architecture, "_stylegan2")
    mapping = {"dlatent_broadcast": network.config.num_styles} | arguments
    own = {"lod": lod, "dlatent_avg": arrays["dlatent_avg"]}
    synthesis = below("G_synthesis/", {"lod": lod} if grows else {})
    components = {
        "synthesis": NetworkState(version, "G_synthesis", arguments, built, synthesis),
        "mapping": NetworkState(
            version, "G_mapping", mapping, "G_mapping", below("G_mapping/", {})
        ),
    }
    return NetworkState(version, name, arguments, function, own, components)


def _official(slot: Slot) -> np.ndarray:
    return np.ascontiguousarray(slot.to_official(slot.weight.numpy()))
