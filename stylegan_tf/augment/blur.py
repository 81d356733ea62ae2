"""Blur of the discriminator's images that fades (Karras et al. 2021, appendix F).

StyleGAN3's config R learns coarse structure first: for the first images of training D
sees reals and fakes through a Gaussian filter whose width falls to zero.
"""

import tensorflow as tf

LARGEST = 256  # pixels, the largest sigma


def gaussian_blur(images: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
    """Blurs images with zeros around them.

    The filter is 2^(-(i / sigma)^2) at i pixels, up to 3 sigma, scaled to a sum of 1.
    It is a matrix per axis, so that sigma may be a tensor and derivatives of any order
    are matrix products.

    Args:
        images: float [N, H, W, C].
        sigma: float scalar, in pixels.

    Returns:
        float [N, H, W, C].
    """
    rows, columns = (_filter_matrix(side, sigma) for side in images.shape[1:3])
    rows, columns = tf.cast(rows, images.dtype), tf.cast(columns, images.dtype)
    return tf.einsum("ij,njkc,lk->nilc", rows, images, columns)


def _filter_matrix(side: int, sigma: tf.Tensor) -> tf.Tensor:
    """The filter along one axis, float32 [side, side]; each row is a shifted filter."""
    sigma = tf.cast(sigma, tf.float32)
    reach = tf.floor(3 * sigma)

    def taps(i):
        i = tf.cast(i, tf.float32)
        return tf.where(tf.abs(i) <= reach, 2.0 ** -tf.square(i / sigma), 0.0)

    i, reachable = tf.range(side), tf.range(-3 * LARGEST, 3 * LARGEST + 1)
    return taps(i[:, None] - i) / tf.reduce_sum(taps(reachable))
