"""Starting a run from another model: what fits is taken, the rest is said.

Weights are matched by name. Blocks are named by their resolution, so a model of another
final size brings all the blocks that both have. The run's networks are made like the
model's, and begin to grow where it stopped.
"""

from dataclasses import dataclass
from pathlib import Path
from stylegan_tf import config as configs
from stylegan_tf import export
from stylegan_tf import models
from stylegan_tf import files
from stylegan_tf.config import DiscriminatorConfig
from stylegan_tf.config import GeneratorConfig
from stylegan_tf.errors import UserError
from stylegan_tf.models import load_networks
from stylegan_tf.official import networks as official
from stylegan_tf.runs import rundir
from stylegan_tf.training.passes import Networks
import dataclasses
import json
import keras


FILE = "init.json"  # in the run directory
OF_THE_DATA = ("resolution", "start_shape", "channels", "classes")


# ---------------------------------------------------------------------------
# Settings


@dataclass(frozen=True)
class Origin:
    """What a run takes over from the model that it starts from, besides weights.

    Attributes:
        settings: dotted network setting -> value, without those that the data decide.
        resolution: the level that the run begins at, fully faded in.
    """

    settings: dict
    resolution: int


def origin(path: Path | str) -> Origin:
    """The networks' settings of a model, read without its weights.

    Where the model has no discriminator, its counterpart of the same widths.

    Raises:
        UserError: there is no model at `path`, or it cannot be read.
    """
    found, d = models.find(path), None
    if found.kind == "pickle":
        g, d = official.pickled_configs(found.path)
    elif found.kind == "checkpoint":
        config = rundir.read(found.run).config
        g, d = config.generator, config.discriminator
    else:
        g = models.config_of(path)
    settings = _named("generator", configs.flat(g))
    settings |= _named("discriminator", configs.flat(d) if d else _counterpart(g))
    return Origin(settings, _beginning(g, *models.growth(path)))


def _beginning(g: GeneratorConfig, level: int | None, alpha: float) -> int:
    """The level to go on from: of two that are blended, the one that shows more."""
    level = level or g.resolution
    return level if alpha >= 0.5 else level // 2


def _named(network: str, values: dict) -> dict:
    kept = {f"{network}.{k}": v for k, v in values.items() if k not in OF_THE_DATA}
    return {name: v for name, v in kept.items() if name not in configs.SETTLED}


def _counterpart(g: GeneratorConfig) -> dict:
    """Settings of the discriminator that goes with a generator."""
    both = set(DiscriminatorConfig.__dataclass_fields__)
    found = {name: value for name, value in configs.flat(g).items() if name in both}
    kind = g.architecture  # a skip generator goes with a residual discriminator
    return found | {"architecture": "residual" if kind == "skip" else kind}


def remember(run: Path, origin: Origin) -> None:
    """Keeps what the model was when the run began: it may change, or go."""
    text = json.dumps(dataclasses.asdict(origin), indent=2)
    files.write_atomically(run / FILE, text + "\n")


def remembered(run: Path) -> Origin | None:
    """What `remember` kept; None if there is nothing."""
    try:
        return Origin(**json.loads((run / FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def start_from(path: Path | str, networks: Networks) -> str:
    """Copies what fits of a model into freshly made networks.

    Args:
        path: as in `load_networks`. A generator that the model has only one of
            becomes both.
        networks: of the new run, built.

    Returns:
        A report: for each network what was taken and what was not, and why.
    """
    generator, discriminator, average = load_networks(path)
    parts = [
        ("generator", networks.generator, generator or average),
        ("average", networks.average, average or generator),
        ("discriminator", networks.discriminator, discriminator),
    ]
    return "\n".join(_take(name, ours, theirs) for name, ours, theirs in parts)


def _take(name: str, ours: keras.Model, theirs: keras.Model | None) -> str:
    if theirs is None:
        return f"{name}: the model has none; starts from random weights"
    have = {_tail(v): v for v in theirs.weights}
    taken, kernels, left = 0, 0, []
    for v in ours.weights:
        other = have.pop(_tail(v), None)
        if other is None:
            left.append(f"{_tail(v)} is new")
        elif tuple(other.shape) != tuple(v.shape):
            left.append(f"{_tail(v)} is {list(v.shape)}, there {list(other.shape)}")
        else:
            v.assign(other.numpy())
            taken += 1
            kernels += v.trainable and len(v.shape) > 1
    if not kernels:  # biases of the colors fit any model
        raise UserError(
            f"nothing of the {name} fits; is it a model of another width? "
            f"First difference: {left[0]}."
        )
    lines = [f"{name}: {taken} of {len(ours.weights)} weights taken"]
    lines += [f"  not taken: {what}" for what in left]
    lines += [f"  not used: {tail}" for tail in have]
    return "\n".join(lines)


def _tail(variable: keras.Variable) -> str:
    """A weight's name without that of its network."""
    return variable.path.split("/", 1)[1]
