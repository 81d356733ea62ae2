"""Differentiable distances of images, for the projector.

A loss has a `name` and a `distance`: `MultiScale` below, which needs no download, or a
feature network of `stylegan_tf.metrics`.
"""

from typing import Protocol

import numpy as np
import tensorflow as tf

from stylegan_tf.networks import convolutions

SMALLEST = 8  # pixels per side at the end of the pyramid
LARGEST = 256  # pixels; larger images are shrunk before they are compared


class Loss(Protocol):
    """A distance that the projector minimizes.

    Attributes:
        name: stands with every distance.
    """

    name: str

    def distance(self, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        """Maps two float [N, H, W, C] in [0, 255] to distances [N], differentiable."""
        ...


class MultiScale:
    """Differences of pixels and of image gradients, at every size down to 8 pixels.

    With x = a - b, pixels in [-1, 1], at each level of a pyramid of 2 x 2 means, and h
    a smooth absolute value, h(x) = sqrt(x^2 + 0.01^2) - 0.01:

        distance = mean over levels of  mean h(x) + mean h(dx/dcolumn) + mean h(dx/drow)

    Coarse levels move shapes into place; image gradients keep edges sharp. Two
    unrelated faces have a distance of 0.5 to 1, as with LPIPS, so the noise penalty has
    the same weight with either.
    """

    name = "multiscale-v1"
    smoothing = 0.01

    def distance(self, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        """Maps two float [N, H, W, C] in [0, 255] to distances [N]."""
        x, levels = (a - b) / 127.5, []
        while True:
            parts = [x, x[:, :, 1:] - x[:, :, :-1], x[:, 1:] - x[:, :-1]]
            means = [self._mean_abs(p) for p in parts if p.shape[1] * p.shape[2]]
            levels.append(tf.add_n(means))
            if min(x.shape[1:3]) < 2 * SMALLEST:
                return tf.add_n(levels) / len(levels)
            x = convolutions.downsample(x)

    def _mean_abs(self, x: tf.Tensor) -> tf.Tensor:
        smooth = tf.sqrt(x * x + self.smoothing**2) - self.smoothing
        return tf.reduce_mean(smooth, axis=[1, 2, 3])


def downscale_images(images: tf.Tensor) -> tf.Tensor:
    """Halves images [N, H, W, C] until the shorter side is at most 256."""
    while min(images.shape[1:3]) > LARGEST and not any(
        n % 2 for n in images.shape[1:3]
    ):
        images = convolutions.downsample(images)
    return images


def image_distances(loss: Loss, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns distances of uint8 [N, H, W, C] pairs, float64 [N]."""
    pairs = zip(np.float32(a), np.float32(b), strict=True)
    return np.array(
        [
            float(
                loss.distance(downscale_images(x[None]), downscale_images(y[None]))[0]
            )
            for x, y in pairs
        ]
    )


def psnr(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns the peak signal-to-noise ratio of uint8 [N, H, W, C] pairs, dB [N].

    Equal images have infinite PSNR.
    """
    error = (a.astype(np.float64) - b.astype(np.float64)) ** 2
    with np.errstate(divide="ignore"):
        return 10 * np.log10(255**2 / error.mean(axis=(1, 2, 3)))
