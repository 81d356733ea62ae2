"""Starting a run from another model: weights that fit are copied, the rest is reported.

Weights are matched by name. Blocks are named by their resolution, so a model of another
final size brings all the blocks that both have. The run's networks are made like the
model's, and begin to grow where it stopped.
"""

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np

from stylegan_tf import config as configs
from stylegan_tf import models
from stylegan_tf.config import DiscriminatorConfig, GeneratorConfig
from stylegan_tf.errors import UserError
from stylegan_tf.networks.block import weight_name
from stylegan_tf.runs.settings import StartingPoint
from stylegan_tf.training.passes import Networks

FILE = "init.json"  # in the run directory
FILTERS = ("up_filter", "down_filter")  # of StyleGAN3; they follow from the settings
ROUNDING = 1e-4  # of a filter's taps, whose sum is 1
DATA_SETTINGS = ("resolution", "start_shape", "channels", "classes")

# ---------------------------------------------------------------------------
# Settings


def read_starting_point(path: Path | str) -> StartingPoint:
    """Reads the settings of a model's networks, without its weights.

    A model without a discriminator gets one of the same widths.

    Args:
        path: a model, see `models.load`.

    Raises:
        UserError: there is no model at `path`, or it cannot be read.
    """
    g, d = models.network_configs(path)
    values = _named("generator", configs.flat(g))
    values |= _named("discriminator", configs.flat(d) if d else _counterpart(g))
    r, alpha = models.growth_of(path)
    # Of two resolutions that are blended, begin at the one with the larger share.
    start = r if alpha >= 0.5 else r // 2
    return StartingPoint(values, start, _probability(models.stored_augment_p(path)))


def _probability(p: float | None) -> float | None:
    """A probability as a file has it, if it is one."""
    return p if p is not None and 0 <= p <= 1 else None


def _named(network: str, values: dict[str, object]) -> dict[str, object]:
    """Dotted names for a network's settings, without those the run itself decides."""
    named = {f"{network}.{k}": v for k, v in values.items() if k not in DATA_SETTINGS}
    return {name: v for name, v in named.items() if name not in configs.SETTLED}


def _counterpart(g: GeneratorConfig) -> dict[str, object]:
    """Settings of the discriminator that goes with a generator."""
    both = set(DiscriminatorConfig.__dataclass_fields__) - {"network"}
    shared = {name: value for name, value in configs.flat(g).items() if name in both}
    kind = g.architecture  # these have no discriminator of their own
    if kind in ("skip", "stylegan3"):
        kind = "residual"
    return shared | {"architecture": kind}


def starting_point_text(origin: StartingPoint | None) -> str:
    """Returns `init.json`: the model may be trained on, or deleted, after it is saved.

    Empty without a model.
    """
    return json.dumps(dataclasses.asdict(origin), indent=2) + "\n" if origin else ""


def load_starting_point(run: Path) -> StartingPoint | None:
    """Reads `init.json`; None if the run has none."""
    try:
        return StartingPoint(**json.loads((run / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


# ---------------------------------------------------------------------------
# Weights


def copy_matching_weights(path: Path | str, networks: Networks) -> str:
    """Copies the weights of a model that fit into freshly made networks.

    Args:
        path: a model, see `models.load_networks`. Where it has one generator only, this
            becomes both the trained one and the average.
        networks: of the new run, built.

    Returns:
        A report: for each network what was taken and what was not, and why.

    Raises:
        UserError: no weight of a network fits.
    """
    generator, discriminator, average = models.load_networks(path)
    parts = [
        ("generator", networks.generator, generator or average),
        ("average", networks.average, average or generator),
        ("discriminator", networks.discriminator, discriminator),
    ]
    return "\n".join(_copy(name, ours, theirs) for name, ours, theirs in parts)


def _copy(name: str, ours: keras.Model, theirs: keras.Model | None) -> str:
    if theirs is None:
        return f"{name}: the model has none; starts from random weights"
    available = {weight_name(v): v for v in theirs.weights}
    taken, kernels, missing = 0, 0, []
    for v in ours.weights:
        weight = weight_name(v)
        if weight.endswith("label_examples"):  # of our data
            continue
        other = available.pop(weight, None)
        if other is None:
            missing.append(f"{weight} is new")
        elif tuple(other.shape) != tuple(v.shape):
            missing.append(f"{weight} is {list(v.shape)}, there {list(other.shape)}")
        elif weight.endswith(FILTERS) and not np.allclose(other, v, atol=ROUNDING):
            missing.append(f"{weight} is designed for this resolution")
        else:
            v.assign(other.numpy())
            taken += 1
            kernels += v.trainable and len(v.shape) > 1
    if not kernels:  # biases of the colors fit any model
        raise UserError(
            f"nothing of the {name} fits; is it a model of another width? "
            f"First difference: {missing[0]}."
        )
    lines = [f"{name}: {taken} of {len(ours.weights)} weights taken"]
    lines += [f"  not taken: {reason}" for reason in missing]
    lines += [f"  not used: {weight}" for weight in available]
    return "\n".join(lines)
