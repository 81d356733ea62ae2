"""Starting a run from another model: what fits is taken, the rest is said.

Weights are matched by name. Blocks are named by their resolution, so a model of another
final size brings all the blocks that both have.
"""

from pathlib import Path

import keras

from stylegan_tf import export
from stylegan_tf.errors import UserError
from stylegan_tf.networks.baselines import discriminator_of
from stylegan_tf.networks.discriminator import Discriminator
from stylegan_tf.networks.generator import Generator
from stylegan_tf.training import rundir
from stylegan_tf.training.step import Networks


def check(path: Path | str) -> None:
    """Raises `UserError` unless `path` names a model."""
    export.find(path)


def start_from(path: Path | str, networks: Networks) -> str:
    """Copies what fits of a model into freshly made networks.

    Args:
        path: what `export.load` takes. A run directory with a checkpoint brings the
            discriminator and the training generator too; any other model brings its
            generator alone.
        networks: of the new run, built.

    Returns:
        A report: for each network what was taken and what was not, and why.
    """
    found = export.find(path)
    if found.kind == "checkpoint":
        generator, discriminator, average = _from_checkpoint(found)
    else:
        generator = average = export.load(path)
        discriminator = None
    parts = [
        ("generator", networks.generator, generator),
        ("average", networks.average, average),
        ("discriminator", networks.discriminator, discriminator),
    ]
    return "\n".join(_take(name, ours, theirs) for name, ours, theirs in parts)


def _from_checkpoint(found) -> tuple[Generator, Discriminator, Generator]:
    config = rundir.read(found.run).config
    generator, average = Generator(config.generator), Generator(config.generator)
    discriminator = discriminator_of(config.discriminator)
    export.restore(
        found.path, generator=generator, discriminator=discriminator, average=average
    )
    return generator, discriminator, average


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
    if not kernels:  # biases of the colours fit any model
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
