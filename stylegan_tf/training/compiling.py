"""Whether XLA makes a run's step faster on this device, by trying.

Compiling pays where launching small operations is what takes the time, as on large
GPUs; on CPUs its convolutions are several times slower than TensorFlow's own. It costs
a compilation a resolution, tens of seconds to minutes.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from stylegan_tf.config import TrainConfig
from stylegan_tf.training.step import Due, Step
from stylegan_tf.training.trainer import make_networks


def measure(config: TrainConfig, batch: int, repeats: int = 5) -> dict[str, float]:
    """Seconds of one step without regularisation at the final resolution.

    Args:
        config: the run; what `jit` it names does not matter.
        batch: images a step.
        repeats: timings of each, after one that compiles.

    Returns:
        Medians under "off" and "on".
    """
    work = {form: _step(config, batch, form == "on") for form in ("off", "on")}
    for step in work.values():
        step()
    seen = {form: [] for form in work}
    for _ in range(repeats):  # in turns: machines drift
        for form, step in work.items():
            began = time.perf_counter()
            step()
            seen[form].append(time.perf_counter() - began)
    return {form: statistics.median(times) for form, times in seen.items()}


def faster(config: TrainConfig, batch: int) -> str:
    """The `jit` that is faster here, "off" or "on"."""
    times = measure(config, batch)
    return min(times, key=times.get)


def _step(config: TrainConfig, batch: int, jit: bool) -> Callable[[], np.ndarray]:
    """One step on made-up pictures; returns when it is done."""
    g = config.generator
    table = tf.eye(g.classes) if g.classes else None
    step = Step(
        make_networks(config), config, g.resolution, batch, table, Due(False, False)
    )
    compiled = tf.function(step, autograph=False, jit_compile=jit or None)
    images = tf.zeros([batch, *g.shape(g.resolution), g.channels], tf.uint8)
    labels = tf.one_hot(tf.zeros([batch], tf.int32), g.classes)
    clock = {"nimg": tf.constant(0, tf.int64)}
    clock |= {name: tf.constant(1e-3) for name in ("alpha", "lr", "p")}
    return lambda: compiled(images, labels, clock).numpy()
