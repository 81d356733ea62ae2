"""Adam for a network that grows (Kingma & Ba 2015, in TensorFlow 1's formulation).

The sums are those of `keras.optimizers.Adam`. A growing GAN needs more: this Adam
updates only the weights of the current stage, starts anew when a resolution joins, and
leaves everything untouched when a gradient is not finite. It takes one fused operation
for all weights.
"""

import keras
import tensorflow as tf

from stylegan_tf.training.packing import Packed


class Adam(tf.Module):
    """Adam over a fixed list of weights, of which each step may use a part.

    Build it in the strategy's scope. `update` is called in replica context; afterwards
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

    def slots(self, variables: list[keras.Variable]) -> tuple[Packed, Packed]:
        """Returns the first and second moments of some of the weights."""
        which = [self._index[v.path] for v in variables]
        m, v = ([slot[i] for i in which] for slot in (self.m, self.v))
        return Packed(m), Packed(v)

    def apply(
        self, gradients: list[tf.Tensor], variables: list[keras.Variable], lr: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Makes one step on `variables`; see `update`."""
        weights = Packed(variables)
        gradient = weights.gradient(gradients)
        return self.update(gradient, weights, self.slots(variables), lr)

    def update(
        self,
        gradient: tf.Tensor,
        weights: Packed,
        slots: tuple[Packed, Packed],
        lr: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Makes one step on packed weights, unless a gradient is not finite.

        Args:
            gradient: float32 [size of all weights], this replica's `weights.gradient`;
                the mean over replicas is the gradient of the global batch.
            weights: the optimizer's weights that the gradients belong to.
            slots: their moments.
            lr: float32 scalar.

        Returns:
            Norm of the gradient, and 1.0 if the step was skipped, else 0.0.
        """
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync > 1:
            gradient = context.all_reduce(tf.distribute.ReduceOp.MEAN, gradient)
        norm = tf.sqrt(2 * tf.nn.l2_loss(gradient))
        finite = tf.math.is_finite(norm)
        skipped = tf.where(finite, 0.0, 1.0)
        self._move(gradient, weights, slots, lr, finite, skipped)
        return norm, skipped

    def _move(self, gradient, weights, slots, lr, finite, skipped) -> None:
        """Updates weights and slots; if not `finite`, to what they are already.

        A gradient and a rate of 0 and decays of 1 change nothing. A branch in the graph
        would make the host wait for a GPU to tell which way to go.
        """
        t = tf.cast(self.step, tf.float32) + 1
        powers = tf.pow(self.beta1, t) if self.beta1 else 0.0, tf.pow(self.beta2, t)
        self.step.assign_add(tf.cast(finite, tf.int64))
        gradient = tf.where(finite, gradient, 0.0)
        lr = tf.where(finite, lr, 0.0)
        beta1 = tf.where(finite, self.beta1, 1.0) if self.beta1 else skipped
        beta2 = tf.where(finite, self.beta2, 1.0)
        held = [packed.targets(gradient) for packed in (weights, *slots)]
        for (var, part), (m, _), (v, _) in zip(*held, strict=True):
            tf.raw_ops.ResourceApplyAdam(
                var=var,
                m=m,
                v=v,
                beta1_power=powers[0],
                beta2_power=powers[1],
                lr=lr,
                beta1=beta1,
                beta2=beta2,
                epsilon=self.epsilon,
                grad=part,
            )
