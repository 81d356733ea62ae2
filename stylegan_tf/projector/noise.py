"""Noise maps that stay noise while a picture is searched for.

Karras et al. 2020, appendix D. Left alone, the search would draw the picture into the
noise maps. The penalty is the squared correlation of every map with itself moved by a
pixel, at its own size and at every half of it down to 8 x 8:

    sum over sizes of  mean(n * roll(n, 1, x))^2 + mean(n * roll(n, 1, y))^2

After every step a map is brought back to zero mean and unit variance.
"""

import tensorflow as tf

from stylegan_tf.networks import ops

SMALLEST = 8  # side at which the pyramid ends


def penalty(noise: tf.Tensor) -> tf.Tensor:
    """The penalty on one layer's maps: float [N, H, W, 1] -> [N].

    Maps of 8 x 8 and below count at their own size. Along an axis of one pixel there
    are no neighbors. A shorter side that has no half of at least 8 ends the pyramid.
    """
    total = tf.zeros([noise.shape[0]])
    while True:
        for axis in (1, 2):
            if noise.shape[axis] > 1:
                moved = noise * tf.roll(noise, 1, axis)
                total += tf.reduce_mean(moved, axis=[1, 2, 3]) ** 2
        half = [n / 2 for n in noise.shape[1:3]]
        if min(half) < SMALLEST or any(n % 1 for n in half):
            return total
        noise = ops.downsample(noise)


def normalize(noise: tf.Tensor) -> tf.Tensor:
    """Maps of zero mean and unit variance: [N, H, W, 1]. One pixel becomes zero."""
    noise = noise - tf.reduce_mean(noise, axis=[1, 2], keepdims=True)
    deviation = tf.sqrt(tf.reduce_mean(noise**2, axis=[1, 2], keepdims=True))
    return tf.math.divide_no_nan(noise, deviation)
