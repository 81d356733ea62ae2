"""The compiled iteration of a stage: one function per set of regularizations.

Lazy regularization is a function of its own, chosen in Python: a branch in the graph
must not enclose sums over replicas.
"""

import functools
import math

import tensorflow as tf

from stylegan_tf.training.compilation import number_from
from stylegan_tf.training.objectives import Objectives, Regularization
from stylegan_tf.training.passes import Clock, Passes
from stylegan_tf.training.step import Step

Variants = dict[Regularization, tf.types.experimental.PolymorphicFunction]


def make_variants(
    passes: Passes,
    batch: int,
    label_table: tf.Tensor | None,
    strategy: tf.distribute.Strategy,
) -> Variants:
    """Returns the iteration with each set of regularizations that the run takes.

    Each is a function of images, labels and `Clock`, and returns the means of the
    replicas' metrics, see `Step`.
    """

    def iterate(step, images, labels, clock):
        metrics = strategy.run(step, args=(images, labels, clock))
        return strategy.reduce("MEAN", metrics, axis=None)

    loss, jit, made = passes.config.loss, passes.config.jit == "on", {}
    for i in range(math.lcm(loss.d_reg_interval, loss.g_reg_interval)):
        kind = Regularization.at(loss, i)
        if kind not in made:
            step = Step(passes, Objectives(passes, kind), batch, label_table, jit)
            # TensorFlow takes functions of one code for one that is traced again and
            # again, and a `partial` for itself.
            bound = functools.partial(iterate, step)
            made[kind] = tf.function(bound, autograph=False)
    return made


def trace(
    variants: Variants, passes: Passes, batch: dict[str, tf.Tensor], clock: Clock
) -> None:
    """Traces all at once, with the names by which XLA's cache knows them.

    Args:
        variants: see `make_variants`.
        passes: of the stage.
        batch: "image" and "label", as the functions will get them.
        clock: as the functions will get it.
    """
    grown = passes.resolution // passes.config.schedule.initial_resolution
    number_from(2 * (grown.bit_length() - 1) + (not passes.blurred))
    for function in variants.values():
        function.get_concrete_function(batch["image"], batch["label"], clock)
