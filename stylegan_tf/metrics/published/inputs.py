"""What goes into a published network, and how: pictures in colour, in parts."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf


def in_colour(images: np.ndarray) -> np.ndarray:
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


def coloured(images: tf.Tensor) -> tf.Tensor:
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
    images = in_colour(images)
    found = np.empty((len(images), size), np.float32)
    for i in range(0, len(images), most):
        found[i : i + most] = function(tf.constant(images[i : i + most])).numpy()
    return found
