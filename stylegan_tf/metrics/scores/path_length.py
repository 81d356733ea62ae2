"""Perceptual path length (Karras et al. 2019, section 4.1): how evenly latents move.

Two pictures a small step apart on the way between two latents, and how different they
look: the mean over many ways of distance / step^2. In Z the way is an arc, in W a line;
"full" looks anywhere on it, "end" at its beginning. What "look" means is a function
that is handed in; the paper's is LPIPS with VGG16, and a number made with another one
must carry that one's name.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from stylegan_tf.networks import ops
from stylegan_tf.networks.generator import Generator

EPSILON = 1e-4
SPACES, SAMPLINGS = ("z", "w"), ("full", "end")
LARGEST = 256  # pictures are shrunk to this before they are compared
Distance = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def normalize(v: tf.Tensor) -> tf.Tensor:
    """Vectors of length 1: [..., D]."""
    return v / tf.sqrt(tf.reduce_sum(tf.square(v), axis=-1, keepdims=True))


def slerp(a: tf.Tensor, b: tf.Tensor, t: tf.Tensor) -> tf.Tensor:
    """The way along the arc from a to b, as directions: [N, D], t [N, 1]."""
    a, b = normalize(a), normalize(b)
    cosine = tf.reduce_sum(a * b, axis=-1, keepdims=True)
    angle = t * tf.acos(cosine)
    across = normalize(b - cosine * a)
    return normalize(a * tf.cos(angle) + across * tf.sin(angle))


def path_pictures(
    generator: Generator,
    z: tf.Tensor,
    t: tf.Tensor,
    space: str = "w",
    labels: tf.Tensor | None = None,
    noise="const",
    resolution: int | None = None,
) -> tf.Tensor:
    """The pictures at both ends of N small steps.

    Args:
        generator: of [-1, 1] pictures; it is not truncated.
        z: float [2 N, z_dim], the ends of each way one after the other.
        t: float [N] in [0, 1], where on the way; zeros for "end".
        space: "z" or "w".
        labels: one-hot float [2 N, classes], of a conditional generator.
        noise: "const", "none", or maps [1 or 2 N, H, W, 1], the same at both ends.
        resolution: level to draw at; None = the generator's.

    Returns:
        float [2 N, H, W, C] in [-1, 1], at t first, then at t + epsilon.
    """
    t = tf.cast(t, tf.float32)[:, None]
    steps = [t, t + EPSILON]
    if space == "w":
        w = generator.mapping(z, labels)
        ends = [ops.lerp(w[0::2], w[1::2], s) for s in steps]
    else:
        label = None if labels is None else labels[0::2]
        between = [slerp(z[0::2], z[1::2], s) for s in steps]
        ends = [generator.mapping(point, label) for point in between]
    styles = generator.broadcast(tf.concat(ends, axis=0))
    return generator.synthesis(styles, noise=noise, resolution=resolution)


def compare(images: tf.Tensor, distance: Distance, crop: bool = True) -> tf.Tensor:
    """Distances of the first half of the pictures to the second: float [N].

    Args:
        images: as `path_pictures` gives them.
        distance: two float [N, H, W, C] in [0, 255] to [N].
        crop: compare only where faces are, rows 3/8 to 7/8 and columns 2/8 to 6/8.
    """
    shown = _shown(images, crop)
    a, b = tf.split(shown, 2)
    return distance(a, b)


def path_distances(
    generator: Generator,
    z: tf.Tensor,
    t: tf.Tensor,
    distance: Distance,
    space: str = "w",
    crop: bool = True,
    labels: tf.Tensor | None = None,
    noise="const",
) -> np.ndarray:
    """Distance / epsilon^2 of N pairs of pictures.

    Args:
        generator, z, t, space, labels, noise: as of `path_pictures`.
        distance, crop: as of `compare`.

    Returns:
        float64 [N].
    """
    images = path_pictures(generator, z, t, space, labels, noise)
    found = compare(images, distance, crop)
    return np.asarray(found, np.float64) / EPSILON**2


def _shown(images: tf.Tensor, crop: bool) -> tf.Tensor:
    """[0, 255], cut out, at most 256 high."""
    if crop:
        c, d = images.shape[1] // 8, images.shape[2] // 8
        images = images[:, 3 * c : 7 * c, 2 * d : 6 * d]
    factor = images.shape[1] // LARGEST
    if factor > 1:
        images = tf.nn.avg_pool2d(images, factor, factor, "VALID")
    return (images + 1) * 127.5
