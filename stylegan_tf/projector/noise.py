"""Noise regularization of the projector (Karras et al. 2020, appendix D).

Without it the optimization would draw the target into the noise maps. The penalty is
the squared correlation of each map with itself shifted by a pixel, at its own
resolution and at each halved resolution down to 8 x 8:

    sum over resolutions of  mean(n * roll(n, 1, x))^2 + mean(n * roll(n, 1, y))^2

After every step the maps are normalized to zero mean and unit variance.
"""

import tensorflow as tf

from stylegan_tf.networks import convolutions

SMALLEST = 8  # pixels per side at the end of the pyramid


def noise_penalty(noise: tf.Tensor) -> tf.Tensor:
    """Returns the penalty [N] on a layer's noise maps, float [N, H, W, 1].

    Maps of 8 x 8 and below count at their own resolution only. An axis of one pixel has
    no neighbors. The pyramid ends at a side that is odd or below 16.
    """
    total = tf.zeros([noise.shape[0]])
    while True:
        for axis in (1, 2):
            if noise.shape[axis] > 1:
                product = noise * tf.roll(noise, 1, axis)
                total += tf.reduce_mean(product, axis=[1, 2, 3]) ** 2
        half = [n / 2 for n in noise.shape[1:3]]
        if min(half) < SMALLEST or any(n % 1 for n in half):
            return total
        noise = convolutions.downsample(noise)


def normalize_noise(noise: tf.Tensor) -> tf.Tensor:
    """Normalizes maps [N, H, W, 1] to zero mean and unit variance; one pixel to 0."""
    noise = noise - tf.reduce_mean(noise, axis=[1, 2], keepdims=True)
    deviation = tf.sqrt(tf.reduce_mean(noise**2, axis=[1, 2], keepdims=True))
    return tf.math.divide_no_nan(noise, deviation)
