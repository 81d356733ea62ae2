"""Gradient accumulation and sums over replicas."""

import tensorflow as tf


def part_of(x: tf.Tensor, k, parts: int) -> tf.Tensor:
    """Examples k, k + parts, k + 2 parts, ..."""
    return tf.gather(tf.reshape(x, [-1, parts, *x.shape[1:]]), k, axis=1)


def share(x: tf.Tensor) -> tf.Tensor:
    """Examples r, r + R, r + 2R, ... of a whole batch, on device r of R."""
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync
    return (
        x if replicas == 1 else part_of(x, context.replica_id_in_sync_group, replicas)
    )


def _over_replicas(x: tf.Tensor) -> tf.Tensor:
    """Mean over all devices."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return x
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, x)
