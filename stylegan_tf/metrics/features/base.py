"""Feature networks: pictures to the vectors that distances are measured between.

A distance means something only together with the network it is measured in, so every
network has a name that goes with every number: `fid50k[random-v1]`. What a network is,
to the metrics, is said by `FeatureNetwork`; `networks.open_network` opens one by name.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import tensorflow as tf

BATCH = 250


class FeatureNetwork(Protocol):
    """What every feature network has, and what some can do beside it.

    Attributes:
        name: goes with every number, such as "builtin-v1"; another network, or the same
            one with other weights, has another name.
        size: length of a feature vector.

    Some also have

        probabilities(images) -> float32 [N, classes]        for the inception score
        manifold(images) -> float32 [N, any]                 for precision and recall,
            where they are measured in other features than the Frechet distance
        factors(images) -> {name: float [N], or [N, values]} what a picture shows: a
            number, or the probability of each value; for separability, disentanglement
        distance(a, b) -> float32 [N]                        for path lengths: of float
            tensors [N, H, W, C] in [0, 255], differentiable, any H and W from 4

    Images are uint8 [N, H, W, C], any N; the network resizes them as it needs.
    """

    name: str
    size: int

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """uint8 [N, H, W, C] to float32 [N, size]."""


class RandomFeatures:
    """Two layers of random convolutions, pooled to 4 x 4: no training, no download.

    The same for every data set and machine. It sees colors, edges and where they are,
    not what a picture shows: good for comparing models of one data set at one size,
    not comparable with distances in Inception's features.

    Args:
        channels: of the pictures.
    """

    name = "random-v1"
    size = 256

    def __init__(self, channels: int = 3):
        rng = np.random.RandomState(7)
        shapes = ((3, 3, channels, 48), (3, 3, 48, 96), (4 * 4 * 96, self.size))
        weights = [rng.randn(*s) / np.sqrt(np.prod(s[:-1])) for s in shapes]
        self._conv0, self._conv1, self._last = (
            tf.constant(w, tf.float32) for w in weights
        )
        self._compiled = tf.function(self._features, reduce_retracing=True)

    def _layers(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        x = tf.cast(images, tf.float32) / 127.5 - 1
        x = tf.nn.relu(tf.nn.conv2d(x, self._conv0, 1, "SAME"))
        halved = tf.nn.avg_pool2d(x, 2, 2, "VALID")
        return x, tf.nn.relu(tf.nn.conv2d(halved, self._conv1, 1, "SAME"))

    def distance(self, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        """How different pictures look, as LPIPS measures it, in these two layers.

        The squared difference of activations of unit length at every place, averaged
        over places and added up over layers (Zhang et al. 2018, with weights of one).

        Args:
            a, b: float [N, H, W, channels] in [0, 255], sides of at least 2.

        Returns:
            float32 [N].
        """
        total = 0.0
        for x, y in zip(self._layers(a), self._layers(b), strict=True):
            gap = tf.reduce_sum(tf.square(_unit(x) - _unit(y)), axis=-1)
            total += tf.reduce_mean(gap, axis=[1, 2])
        return total

    def _features(self, images: tf.Tensor) -> tf.Tensor:
        x = self._layers(images)[1]
        while x.shape[1] >= 8:
            x = tf.nn.avg_pool2d(x, 2, 2, "VALID")
        x = tf.image.resize(x, [4, 4], antialias=True)
        return tf.matmul(tf.reshape(x, [-1, 4 * 4 * 96]), self._last)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """uint8 [N, H, W, channels], sides of at least 8, to float32 [N, 256]."""
        parts = [
            self._compiled(tf.constant(images[i : i + BATCH])).numpy()
            for i in range(0, len(images), BATCH)
        ]
        return np.concatenate(parts)


def _unit(x: tf.Tensor) -> tf.Tensor:
    """Activations [N, H, W, C] of length 1 over C."""
    return x * tf.math.rsqrt(tf.reduce_sum(tf.square(x), -1, keepdims=True) + 1e-10)


def in_color(images: np.ndarray) -> np.ndarray:
    """uint8 [N, H, W, 1 or 3] as [N, H, W, 3].

    Raises:
        ValueError: the pictures are of another type or shape.
    """
    images = np.asarray(images)
    fits = images.dtype == np.uint8 and images.ndim == 4
    if not fits or images.shape[-1] not in (1, 3) or 0 in images.shape[1:]:
        raise ValueError(
            f"pictures are uint8 [N, H, W, 1 or 3], not {images.dtype} {images.shape}."
        )
    return np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images


def colored(images: tf.Tensor) -> tf.Tensor:
    """Float [N, H, W, 1 or 3] as [N, H, W, 3]; gradients pass."""
    images = tf.convert_to_tensor(images)
    if images.shape[-1] not in (1, 3):
        raise ValueError(f"pictures have 1 or 3 channels, not {images.shape[-1]}.")
    return tf.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images


def in_parts(
    function: Callable[[tf.Tensor], tf.Tensor], images: np.ndarray, most: int, size: int
) -> np.ndarray:
    """A function of uint8 pictures [n, H, W, 3], called for at most `most` at a time.

    Returns:
        float32 [N, size].
    """
    images = in_color(images)
    found = np.empty((len(images), size), np.float32)
    for i in range(0, len(images), most):
        found[i : i + most] = function(tf.constant(images[i : i + most])).numpy()
    return found
