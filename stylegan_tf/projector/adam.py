"""Adam (Kingma & Ba 2015, algorithm 1) on variables or weights, for compiled steps.

The operation is that of `training.optimizer`, which serves a network that grows.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf

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
        rates = {"beta1": one, "beta2": two, "lr": lr, "epsilon": EPSILON}
        powers = {"beta1_power": one**count, "beta2_power": two**count}
        for x, g, m, v in zip(self.parameters, gradients, *self.moments, strict=True):
            variable = x if isinstance(x, tf.Variable) else x.value
            moments = {"m": m.handle, "v": v.handle}
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle, grad=g, **moments, **powers, **rates
            )
