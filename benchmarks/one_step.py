"""One training step on random images, for scripts that time it or look at it."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from stylegan_tf.config import TrainConfig
from stylegan_tf.training.objectives import Due
from stylegan_tf.training.passes import Networks
from stylegan_tf.training.step import Step
from stylegan_tf.training.trainer import make_networks


def one_step(
    config: TrainConfig,
    resolution: int,
    batch: int,
    due: Due,
    networks: Networks | None = None,
    jit: bool = False,
) -> Callable[[], np.ndarray]:
    """Builds a compiled step whose learning rate is zero.

    Args:
        config: the run.
        resolution: of the images, half faded in where the run fades them in.
        batch: images per step.
        due: the regularizations of the step.
        networks: the networks of the run; None = new ones.
        jit: compile it by XLA.

    Returns:
        A function that makes the step and returns its metrics when it is done.
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
