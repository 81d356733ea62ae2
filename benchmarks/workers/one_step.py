"""One training step on random images, for scripts that time it or look at it."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from stylegan_tf.config import TrainConfig
from stylegan_tf.training.objectives import Objectives, Regularization
from stylegan_tf.training.packing import StageWeights
from stylegan_tf.training.passes import Clock, Networks, Passes
from stylegan_tf.training.step import Step
from stylegan_tf.training.trainer import make_networks


def one_step(
    config: TrainConfig,
    resolution: int,
    batch: int,
    regularization: Regularization,
    networks: Networks | None = None,
    jit: bool = False,
) -> Callable[[], np.ndarray]:
    """Builds a compiled step whose learning rate is zero.

    Args:
        config: the run.
        resolution: of the images, half faded in where the run fades them in.
        batch: images per step.
        regularization: the regularizations of the step.
        networks: the networks of the run; None = new ones.
        jit: compile it by XLA.

    Returns:
        A function that makes the step and returns its metrics when it is done.
    """
    g = config.generator
    table = tf.eye(g.classes) if g.classes else None
    networks = networks or make_networks(config)
    weights = StageWeights(networks, resolution)
    weights.load(tf.distribute.get_strategy())  # as the trainer does before its steps
    passes = Passes(networks, config, resolution, weights=weights)
    step = Step(passes, Objectives(passes, regularization), batch, table, jit)
    compiled = tf.function(step, autograph=False)
    shape = (batch, *g.shape(resolution), g.channels)
    images = tf.constant(np.random.RandomState(0).randint(0, 256, shape), tf.uint8)
    labels = tf.one_hot(tf.zeros([batch], tf.int32), g.classes)
    alpha, lr, p = (tf.constant(value) for value in (0.5, 0.0, 0.0))
    clock = Clock(tf.constant(1000, tf.int64), alpha, lr, p)
    return lambda: compiled(images, labels, clock).numpy()
