"""Whether XLA makes a run's step faster on this device, by trying.

Compiling pays where launching small operations is what takes the time, as on large
GPUs; on CPUs its convolutions are several times slower than TensorFlow's own. It costs
a compilation a resolution, tens of seconds to minutes.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from stylegan_tf.config import TrainConfig
from stylegan_tf.training import timing
from stylegan_tf.training.objectives import Due
from stylegan_tf.training.passes import Networks
from stylegan_tf.training.step import Step
from stylegan_tf.training.trainer import make_networks


def measure(config: TrainConfig, batch: int, repeats: int = 5) -> dict[str, float]:
    """Seconds of one step without regularization at the final resolution.

    Args:
        config: the run; what `jit` it names does not matter.
        batch: images a step.
        repeats: timings of each, after one that compiles.

    Returns:
        Medians under "off" and "on".
    """
    size, neither = config.generator.resolution, Due(False, False)
    work = {
        form: one_step(config, size, batch, neither, jit=form == "on")
        for form in ("off", "on")
    }
    return timing.in_turns(work, repeats)


def faster(config: TrainConfig, batch: int) -> str:
    """The `jit` that is faster here, "off" or "on"."""
    times = measure(config, batch)
    return min(times, key=times.get)


def one_step(
    config: TrainConfig,
    resolution: int,
    batch: int,
    due: Due,
    networks: Networks | None = None,
    jit: bool = False,
) -> Callable[[], np.ndarray]:
    """A step on made-up pictures, to be timed: it learns nothing.

    Args:
        config: the run.
        resolution: level trained, half faded in where it does fade in.
        batch: images a step.
        due: the regularizations that it has.
        networks: those of the run, where there are some already.
        jit: compiled by XLA.

    Returns:
        What makes one, and returns its metrics when it is done.
    """
    g = config.generator
    table = tf.eye(g.classes) if g.classes else None
    networks = networks or make_networks(config)
    step = Step(networks, config, resolution, batch, table, due)
    compiled = tf.function(step, autograph=False, jit_compile=jit or None)
    shape = (batch, *g.shape(resolution), g.channels)
    images = tf.constant(np.random.RandomState(0).randint(0, 256, shape), tf.uint8)
    labels = tf.one_hot(tf.zeros([batch], tf.int32), g.classes)
    clock = {"nimg": tf.constant(1000, tf.int64), "alpha": tf.constant(0.5)}
    clock |= {"lr": tf.constant(0.0), "p": tf.constant(0.0)}
    return lambda: compiled(images, labels, clock).numpy()
