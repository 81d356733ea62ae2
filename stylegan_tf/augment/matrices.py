"""Small matrices in homogeneous coordinates, one an example: [N, 3, 3] and [N, 4, 4].

Arguments are tensors [N], or 0 or 1; what is neutral gives the identity exactly.
"""

import math

import numpy as np
import tensorflow as tf


def matrix(*rows) -> tf.Tensor:
    """Rows of 0, 1 and tensors [N], at least one of them a tensor: [N, k, k]."""
    entries = [e for row in rows for e in row]
    tensors = [e for e in entries if tf.is_tensor(e)]
    zero = tf.zeros_like(tensors[0])
    values = tf.stack([zero, zero + 1, *tensors], axis=1)
    places = iter(range(2, 2 + len(tensors)))
    index = [next(places) if tf.is_tensor(e) else int(e) for e in entries]
    return tf.gather(values, np.reshape(index, [len(rows), -1]), axis=1)


def product(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """a b, [N, k, k], in full float32 also where matrix units round their input."""
    return tf.reduce_sum(a[:, :, :, None] * b[:, None], axis=2)


def changed(a: tf.Tensor) -> tf.Tensor:
    """Which of [N, k, k] are not the identity: bool [N]."""
    return tf.reduce_any(a != tf.eye(a.shape[-1]), axis=[1, 2])


# ---------------------------------------------------------------------------
# The plane: x to the right, y down


def translation2(x, y) -> tf.Tensor:
    """By x pixels to the right and y down: [N, 3, 3]."""
    return matrix((1, 0, x), (0, 1, y), (0, 0, 1))


def scaling2(x, y) -> tf.Tensor:
    """By x across and y down: [N, 3, 3]."""
    return matrix((x, 0, 0), (0, y, 0), (0, 0, 1))


def rotation2(angle) -> tf.Tensor:
    """From x to y: clockwise on a screen."""
    c, s = tf.cos(angle), tf.sin(angle)
    return matrix((c, -s, 0), (s, c, 0), (0, 0, 1))


# ---------------------------------------------------------------------------
# Colours. `shared` is I a + v v^T b, v = (1, 1, 1) / sqrt 3 the direction of grey.


def translation3(t) -> tf.Tensor:
    """The same number added to red, green and blue."""
    return matrix((1, 0, 0, t), (0, 1, 0, t), (0, 0, 1, t), (0, 0, 0, 1))


def shared(a, b) -> tf.Tensor:
    """I a + v v^T b: [N, 4, 4]."""
    d, e = a + b / 3, b / 3
    return matrix((d, e, e, 0), (e, d, e, 0), (e, e, d, 0), (0, 0, 0, 1))


def rotation3(angle) -> tf.Tensor:
    """About the grey axis, from red to green: Rodrigues' formula."""
    c, s = tf.cos(angle), tf.sin(angle) / math.sqrt(3)
    d, e = c + (1 - c) / 3, (1 - c) / 3
    rows = (d, e - s, e + s, 0), (e + s, d, e - s, 0), (e - s, e + s, d, 0)
    return matrix(*rows, (0, 0, 0, 1))
