"""Adam for a network that grows (Kingma & Ba 2015, in TensorFlow 1's formulation).

The sums are those of `keras.optimizers.Adam`. A growing GAN needs more: this Adam
updates only the weights of the current stage, starts anew when a resolution joins, and
leaves everything untouched when a gradient is not finite. It takes one fused operation
per weight, about a third of the cost.
"""

import keras
import tensorflow as tf


class Adam(tf.Module):
    """Adam over a fixed list of weights, of which each step may use a part.

    Build it in the strategy's scope. `apply` is called in replica context; afterwards
    every replica holds the same weights.

    Args:
        variables: trainable Keras variables.
        beta1: decay of the first moment.
        beta2: decay of the second moment.
        epsilon: keeps the step finite where the second moment is 0.
        name: prefix of the variables.

    Attributes:
        step: int64, steps since the last reset.
    """

    def __init__(
        self,
        variables: list[keras.Variable],
        beta1: float = 0.0,
        beta2: float = 0.99,
        epsilon: float = 1e-8,
        name: str = "adam",
    ):
        super().__init__(name=name)
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self.m = [self._zeros(v, "m") for v in variables]
        self.v = [self._zeros(v, "v") for v in variables]
        self._index = {v.path: i for i, v in enumerate(variables)}

    @staticmethod
    def _zeros(variable: keras.Variable, kind: str) -> tf.Variable:
        name = f"{variable.path}/{kind}".replace("/", "_")
        return tf.Variable(tf.zeros(variable.shape), trainable=False, name=name)

    def reset(self) -> None:
        """Zeroes every slot and the step counter.

        The bias correction counts all steps, so that a weight that joins a running
        Adam would take a first step of about ten times the learning rate.
        """
        for slot in (self.step, *self.m, *self.v):
            slot.assign(tf.zeros_like(slot))

    def apply(
        self, gradients: list[tf.Tensor], variables: list[keras.Variable], lr: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Makes one step on `variables`, unless a gradient is not finite.

        Args:
            gradients: gradients of this replica; their mean over replicas is the
                gradient of the global batch.
            variables: the optimizer's weights that the gradients belong to.
            lr: float32 scalar.

        Returns:
            Norm of the gradient, and 1.0 if the step was skipped, else 0.0.
        """
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync > 1:
            gradients = context.all_reduce(tf.distribute.ReduceOp.MEAN, gradients)
        norm = tf.linalg.global_norm(gradients)
        finite = tf.math.is_finite(norm)
        # No branch communicates, and all replicas have the same gradient.
        tf.cond(
            finite,
            lambda: self._update(gradients, variables, lr),
            lambda: tf.constant(False),
        )
        return norm, 1.0 - tf.cast(finite, tf.float32)

    def _update(self, gradients, variables, lr) -> tf.Tensor:
        t = tf.cast(self.step.assign_add(1), tf.float32)
        for gradient, variable in zip(gradients, variables, strict=True):
            i = self._index[variable.path]
            tf.raw_ops.ResourceApplyAdam(
                var=variable.value.handle,
                m=self.m[i].handle,
                v=self.v[i].handle,
                beta1_power=tf.pow(self.beta1, t),
                beta2_power=tf.pow(self.beta2, t),
                lr=lr,
                beta1=self.beta1,
                beta2=self.beta2,
                epsilon=self.epsilon,
                grad=gradient,
            )
        return tf.constant(True)
