"""A batch split over replicas and rounds of gradient accumulation, and means over both.

Part k of n takes every n-th example from k on. The strided groups of the minibatch
standard deviation then hold the same examples however the batch is split.
"""

from collections.abc import Callable
from typing import TypeVar

import tensorflow as tf

Structure = TypeVar("Structure")


def strided_part(x: tf.Tensor, k: int | tf.Tensor, parts: int) -> tf.Tensor:
    """Returns examples k, k + parts, k + 2 parts, ... of `x` [N, ...]."""
    if parts == 1:
        return x
    return tf.gather(tf.reshape(x, [-1, parts, *x.shape[1:]]), k, axis=1)


def replica_share(x: tf.Tensor) -> tf.Tensor:
    """Returns this replica's examples of a whole batch [N, ...]."""
    context = tf.distribute.get_replica_context()
    replica = context.replica_id_in_sync_group
    return strided_part(x, replica, context.num_replicas_in_sync)


def mean_over_replicas(x: tf.Tensor) -> tf.Tensor:
    """Returns the mean of `x` over all replicas, on each of them."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return x
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, x)


def mean_over_rounds(
    one_round: Callable[[int | tf.Tensor], Structure], rounds: int
) -> Structure:
    """Runs the rounds of an accumulated step one after the other.

    Memory holds the activations of one round at a time.

    Args:
        one_round: number of the round -> a structure of tensors.
        rounds: number of rounds.

    Returns:
        The mean of the structures.
    """
    if rounds == 1:
        return one_round(0)

    def add_round(k, total):
        result = tf.nest.flatten(one_round(k))
        return k + 1, [t + r / rounds for t, r in zip(total, result, strict=True)]

    first = one_round(tf.constant(0))
    _, total = tf.while_loop(
        lambda k, _: k < rounds,
        add_round,
        (tf.constant(1), [t / rounds for t in tf.nest.flatten(first)]),
        parallel_iterations=1,
    )
    return tf.nest.pack_sequence_as(first, total)
