"""The protocol of feature networks, random features, and the preparation of images.

A feature network maps images to the vectors whose distributions a metric compares. A
score means nothing without its network, so each score carries the network's name:
`fid50k[random-v1]`. `features.open_network` opens a network by name.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import tensorflow as tf

BATCH = 250


class FeatureNetwork(Protocol):
    """A feature network.

    Attributes:
        name: stands with every score, such as "builtin-v1". The same network with other
            weights has another name.
        size: length of a feature vector.

    Images are uint8 [N, H, W, C], any N; the network resizes them as it needs. A
    network may have further methods:

        probabilities(images) -> float32 [N, classes]
            Class probabilities, for the inception score.
        manifold(images) -> float32 [N, any]
            Features for precision and recall, if not those of the Frechet distance.
        factors(images) -> {name: float [N] or [N, values]}
            A number per image, or the probability of each value, for separability and
            disentanglement.
        distance(a, b) -> float32 [N]
            A differentiable distance of float images [N, H, W, C] in [0, 255] with
            sides of at least 4, for path lengths.
    """

    name: str
    size: int

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Maps uint8 [N, H, W, C] to features, float32 [N, size]."""
        ...


class RandomFeatures:
    """Two random convolution layers pooled to 4 x 4: no training, no download.

    The weights are the same on every machine. The features hold colors, edges and
    their places, but no semantics: they compare models of one data set at one size.

    Args:
        channels: of the images.
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
        """Returns the LPIPS distance (Zhang et al. 2018, equation 1) of two batches.

        Activations are scaled to length 1 over the channels; their squared differences
        are averaged over pixels and added up over layers, all channel weights 1.

        Args:
            a: float [N, H, W, channels] in [0, 255], sides of at least 2.
            b: the same shape.

        Returns:
            float32 [N].
        """
        total = 0.0
        for x, y in zip(self._layers(a), self._layers(b), strict=True):
            squares = tf.reduce_sum(tf.square(_unit(x) - _unit(y)), axis=-1)
            total += tf.reduce_mean(squares, axis=[1, 2])
        return total

    def _features(self, images: tf.Tensor) -> tf.Tensor:
        x = self._layers(images)[1]
        while x.shape[1] >= 8:
            x = tf.nn.avg_pool2d(x, 2, 2, "VALID")
        x = tf.image.resize(x, [4, 4], antialias=True)
        return tf.matmul(tf.reshape(x, [-1, 4 * 4 * 96]), self._last)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Maps uint8 [N, H, W, channels], sides of at least 8, to float32 [N, 256]."""
        parts = [
            self._compiled(tf.constant(images[i : i + BATCH])).numpy()
            for i in range(0, len(images), BATCH)
        ]
        return np.concatenate(parts)


def _unit(x: tf.Tensor) -> tf.Tensor:
    """Scales activations [N, H, W, C] to length 1 over C."""
    return x * tf.math.rsqrt(tf.reduce_sum(tf.square(x), -1, keepdims=True) + 1e-10)


def uint8_rgb(images: np.ndarray) -> np.ndarray:
    """Returns uint8 [N, H, W, 1 or 3] as [N, H, W, 3].

    Raises:
        ValueError: the images are of another type or shape.
    """
    images = np.asarray(images)
    fits = images.dtype == np.uint8 and images.ndim == 4
    if not fits or images.shape[-1] not in (1, 3) or 0 in images.shape[1:]:
        raise ValueError(
            f"pictures are uint8 [N, H, W, 1 or 3], not {images.dtype} {images.shape}."
        )
    return np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images


def float_rgb(images: tf.Tensor) -> tf.Tensor:
    """Returns float [N, H, W, 1 or 3] as [N, H, W, 3]; gradients pass.

    Raises:
        ValueError: the images have another number of channels.
    """
    images = tf.convert_to_tensor(images)
    if images.shape[-1] not in (1, 3):
        raise ValueError(f"pictures have 1 or 3 channels, not {images.shape[-1]}.")
    return tf.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images


def in_batches(
    function: Callable[[tf.Tensor], tf.Tensor],
    images: np.ndarray,
    batch: int,
    size: int,
) -> np.ndarray:
    """Maps images with a TensorFlow function, `batch` of them at a time.

    Args:
        function: maps uint8 [n, H, W, 3], n <= batch, to [n, size].
        images: uint8 [N, H, W, 1 or 3].
        batch: most images per call.
        size: length of a row of the result.

    Returns:
        float32 [N, size].
    """
    images = uint8_rgb(images)
    rows = np.empty((len(images), size), np.float32)
    for i in range(0, len(images), batch):
        rows[i : i + batch] = function(tf.constant(images[i : i + batch])).numpy()
    return rows
