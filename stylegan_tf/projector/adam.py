"""Adam (Kingma & Ba 2015, algorithm 1) on variables or weights, for compiled steps."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from stylegan_tf.networks import ops

BETAS, EPSILON = (0.9, 0.999), 1e-8


class Adam:
    """Adam over a list of parameters.

    Args:
        parameters: what it changes.

    Attributes:
        parameters: as given.
        moments: first and second moments, a list of variables each.
    """

    def __init__(self, parameters: Sequence[tf.Variable | keras.Variable]):
        self.parameters = list(parameters)
        self.moments = [
            [tf.Variable(tf.zeros(x.shape), trainable=False) for x in self.parameters]
            for _ in BETAS
        ]

    def reset(self) -> None:
        """Zeroes the moments."""
        for moment in self.moments[0] + self.moments[1]:
            moment.assign(tf.zeros_like(moment))

    def apply(
        self,
        gradients: Sequence[tf.Tensor],
        lr: float | tf.Tensor,
        count: float | tf.Tensor,
    ) -> None:
        """Takes a step.

        Args:
            gradients: one per parameter.
            lr: learning rate.
            count: steps taken, this one included.
        """
        one, two = BETAS
        lr *= tf.sqrt(1 - two**count) / (1 - one**count)
        for x, g, m, v in zip(self.parameters, gradients, *self.moments, strict=True):
            m.assign(ops.lerp(g, m, one))
            v.assign(ops.lerp(g * g, v, two))
            x.assign_sub(lr * m / (tf.sqrt(v) + EPSILON))
