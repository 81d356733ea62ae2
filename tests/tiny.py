"""A run so small that a test can afford it: 8 x 8 pixels, 8 channels, growth from 4."""

import shutil
from pathlib import Path

import keras
import numpy as np

from stylegan_tf.config import TrainConfig, update
from stylegan_tf.networks.generator import Generator
from stylegan_tf.training.objectives import Objectives, Regularization
from stylegan_tf.training.passes import Networks, Passes
from stylegan_tf.training.step import Step

SETTINGS = {
    f"{net}.{name}": value
    for net in ("generator", "discriminator")
    for name, value in {"resolution": 8, "fmap_base": 64, "fmap_max": 8}.items()
} | {
    "generator.z_dim": 8,
    "generator.w_dim": 8,
    "generator.mapping_width": 8,
    "generator.mapping_layers": 2,
    "loss.r1_gamma": 10.0,
    "loss.d_reg_interval": 1,
    "schedule.lr": 0.001,
    "schedule.initial_resolution": 4,
    "schedule.stable_kimg": 0.016,
    "schedule.fade_kimg": 0.016,
    "schedule.total_kimg": 0.048,
    "schedule.batch": 4,
    "schedule.tick_kimg": 0.008,
    "ema_kimg": 0.01,
}
FIXED = {"schedule.initial_resolution": 8}  # no growth: one function to trace


def config(changes: dict | None = None) -> TrainConfig:
    """The tiny run with some settings, by dotted name, changed."""
    return update(TrainConfig(), SETTINGS | (changes or {}))


def make_step(
    nets: Networks | None,
    config: TrainConfig,
    resolution: int = 8,
    batch: int = 4,
    label_table=None,
    regularization: Regularization | None = None,
) -> Step:
    """The iteration, of its parts."""
    passes = Passes(nets, config, resolution)
    return Step(passes, Objectives(passes, regularization), batch, label_table)


def variables(nets: Networks) -> dict:
    """Name -> variable: weights, slots and counters, the moving average."""
    models = (nets.generator, nets.discriminator, nets.average)
    found = {v.path: v for model in models for v in model.weights}
    for optimizer in (nets.g_optimizer, nets.d_optimizer):
        slots = enumerate(optimizer.variables)
        found |= {f"{optimizer.name}/{i}/{v.name}": v for i, v in slots}
    if nets.path_length is not None:
        found["path_length"] = nets.path_length
    return found


def state(nets: Networks) -> dict[str, np.ndarray]:
    """All that a step may change."""
    return {name: v.numpy() for name, v in variables(nets).items()}


def restore(nets: Networks, state: dict[str, np.ndarray]) -> None:
    for name, v in variables(nets).items():
        v.assign(state[name])


def shake(nets: Networks) -> None:
    """Moves the weights that start all alike.

    Where the learned constant is one everywhere, the instance norm behind it has a
    variance of zero, and gradients are nothing but rounding.
    """
    rng = np.random.default_rng(0)
    for model in (nets.generator, nets.discriminator):
        for v in model.trainable_variables:
            if np.ptp(v.numpy()) == 0:
                v.assign(v.numpy() + 0.3 * rng.normal(size=v.shape))
    nets.average.set_weights(nets.generator.get_weights())


def noisy(generator: Generator) -> Generator:
    """Lets noise and truncation show, which a new generator ignores."""
    for v in generator.trainable_variables:
        if v.path.endswith("noise/weight"):
            v.assign(np.ones(v.shape))
    generator.w_avg.assign(np.linspace(-1, 1, generator.config.w_dim))
    return generator


def check_close(start: dict, expected: dict, found: dict, tolerance: float) -> None:
    """Every change since `start` is the same, up to rounding; and there are some."""
    for name, before in start.items():
        change = np.linalg.norm(expected[name] - before)
        off = np.linalg.norm(expected[name] - found[name])
        rounding = 1e-6 * np.linalg.norm(before)
        assert off <= tolerance * change + rounding, (
            f"{name}: {off:.3g} of {change:.3g}"
        )
    assert any(np.any(expected[name] != start[name]) for name in start)


def check_equal(a: dict, b: dict) -> None:
    """Bit for bit."""
    assert list(a) == list(b)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], name)


def on_each(variable) -> list[np.ndarray]:
    """A mirrored variable's value on every replica."""
    variable = variable._value if isinstance(variable, keras.Variable) else variable
    return [v.numpy() for v in variable.values]


def copy_run(run: Path, to: Path, checkpoint: int) -> Path:
    """The run as a kill just after that checkpoint would have left it."""
    (to / "checkpoints").mkdir(parents=True)
    for file in run.glob(f"checkpoints/ckpt-{checkpoint}.*"):
        shutil.copy(file, to / "checkpoints")
    state = f'model_checkpoint_path: "ckpt-{checkpoint}"\n'
    (to / "checkpoints" / "checkpoint").write_text(state)
    return to
