"""Feature networks: pictures to the vectors that distances are measured between.

A distance means something only together with the network it is measured in, so every
network has a name that goes with every number.
"""

from collections.abc import Iterable

import numpy as np
import tensorflow as tf

BATCH = 250


class RandomFeatures:
    """Two layers of random convolutions, pooled to 4 x 4: no training, no download.

    The same for every data set and machine. It sees colours, edges and where they are,
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

    def _features(self, images: tf.Tensor) -> tf.Tensor:
        x = tf.cast(images, tf.float32) / 127.5 - 1
        x = tf.nn.relu(tf.nn.conv2d(x, self._conv0, 1, "SAME"))
        x = tf.nn.avg_pool2d(x, 2, 2, "VALID")
        x = tf.nn.relu(tf.nn.conv2d(x, self._conv1, 1, "SAME"))
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


def in_batches(pictures: Iterable[np.ndarray], size: int = BATCH):
    """Single pictures [H, W, C] as stacks of at most `size`."""
    held = []
    for picture in pictures:
        held.append(picture)
        if len(held) == size:
            yield np.stack(held)
            held = []
    if held:
        yield np.stack(held)
