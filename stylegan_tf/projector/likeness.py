"""How unlike two pictures look, in a form that a search can follow downhill.

Anything with a `name` and a `distance` will do: `MultiScale` below, which needs no
download, or a feature network of `stylegan_tf.metrics`.
"""

from typing import Protocol

import numpy as np
import tensorflow as tf

from stylegan_tf.networks import ops

SMALLEST = 8  # side at which the pyramid of a picture ends
LARGEST = 256  # pictures are shrunk to this before they are compared


class Loss(Protocol):
    """What a search makes small.

    Attributes:
        name: goes with every number.
    """

    name: str

    def distance(self, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        """Two float [N, H, W, C] in [0, 255] to [N]; differentiable."""


class MultiScale:
    """Differences of pixels and of their gradients, at every size down to 8 pixels.

    With x = a - b, pixels in [-1, 1], at each level of a pyramid of 2 x 2 means, and h
    a smooth absolute value, h(x) = sqrt(x^2 + 0.01^2) - 0.01:

        distance = mean over levels of  mean h(x) + mean h(dx/dcolumn) + mean h(dx/drow)

    Coarse levels pull shapes into place from afar; gradients keep edges sharp. Two
    faces with nothing in common are half to one apart, as with LPIPS, so that the
    penalty on noise maps weighs as much beside either.
    """

    name = "multiscale-v1"
    bend = 0.01

    def distance(self, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        """Two float [N, H, W, C] in [0, 255] to [N]."""
        x, levels = (a - b) / 127.5, []
        while True:
            parts = [x, x[:, :, 1:] - x[:, :, :-1], x[:, 1:] - x[:, :-1]]
            sizes = [self._size(p) for p in parts if p.shape[1] * p.shape[2]]
            levels.append(tf.add_n(sizes))
            if min(x.shape[1:3]) < 2 * SMALLEST:
                return tf.add_n(levels) / len(levels)
            x = ops.downsample(x)

    def _size(self, x: tf.Tensor) -> tf.Tensor:
        smooth = tf.sqrt(x * x + self.bend**2) - self.bend
        return tf.reduce_mean(smooth, axis=[1, 2, 3])


def shrink(images: tf.Tensor) -> tf.Tensor:
    """Pictures [N, H, W, C] halved until the shorter side is at most 256."""
    while min(images.shape[1:3]) > LARGEST and not any(
        n % 2 for n in images.shape[1:3]
    ):
        images = ops.downsample(images)
    return images


def distances(loss: Loss, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distances of uint8 [N, H, W, C] pairs, one pair at a time: float64 [N]."""
    pairs = zip(np.float32(a), np.float32(b), strict=True)
    found = [loss.distance(shrink(x[None]), shrink(y[None])) for x, y in pairs]
    return np.array([float(d[0]) for d in found])


def psnr(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio of uint8 [N, H, W, C] pairs, dB: [N]; inf = equal."""
    error = (a.astype(np.float64) - b.astype(np.float64)) ** 2
    with np.errstate(divide="ignore"):
        return 10 * np.log10(255**2 / error.mean(axis=(1, 2, 3)))
