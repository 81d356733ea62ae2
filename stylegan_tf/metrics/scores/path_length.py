"""Perceptual path length (Karras et al. 2019, section 4.1).

The perceptual distance of two images whose latents are a small step apart on the path
between two random latents, over the step's square, averaged over many paths. A path in
z is an arc, in w a line; "full" samples anywhere on it, "end" at its start. The paper's
distance is LPIPS with VGG16; a score made with another one carries its name.
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from stylegan_tf.networks import ops
from stylegan_tf.networks.generator import Generator

EPSILON = 1e-4
SPACES, SAMPLINGS = ("z", "w"), ("full", "end")
LARGEST = 256  # pixels; taller images are shrunk before they are compared
Distance = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
Noise = str | Sequence[tf.Tensor]


def unit_vectors(v: tf.Tensor) -> tf.Tensor:
    """Scales vectors [..., D] to length 1."""
    return v / tf.sqrt(tf.reduce_sum(tf.square(v), axis=-1, keepdims=True))


def slerp_directions(a: tf.Tensor, b: tf.Tensor, t: tf.Tensor) -> tf.Tensor:
    """Returns unit vectors [N, D] at t [N, 1] on the arcs from a to b, both [N, D]."""
    a, b = unit_vectors(a), unit_vectors(b)
    cosine = tf.reduce_sum(a * b, axis=-1, keepdims=True)
    angle = t * tf.acos(cosine)
    across = unit_vectors(b - cosine * a)
    return unit_vectors(a * tf.cos(angle) + across * tf.sin(angle))


def path_images(
    generator: Generator,
    z: tf.Tensor,
    t: tf.Tensor,
    space: str = "w",
    labels: tf.Tensor | None = None,
    noise: Noise = "const",
    resolution: int | None = None,
) -> tf.Tensor:
    """Generates the images at both ends of N small steps, without truncation.

    Args:
        generator: the generator.
        z: float [2 N, z_dim], the two ends of each path one after the other.
        t: float [N] in [0, 1], the place on the path; zeros for "end".
        space: "z" or "w".
        labels: one-hot float [2 N, classes], for a conditional generator.
        noise: "const", "none", or noise maps [1 or 2 N, H, W, 1] for both ends.
        resolution: of the images; None = the generator's.

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
        between = [slerp_directions(z[0::2], z[1::2], s) for s in steps]
        ends = [generator.mapping(point, label) for point in between]
    styles = generator.broadcast(tf.concat(ends, axis=0))
    return generator.synthesis(styles, noise=noise, resolution=resolution)


def pair_distances(
    images: tf.Tensor, distance: Distance, crop: bool = True
) -> tf.Tensor:
    """Returns the distances of the first half of the images to the second, [N].

    Args:
        images: float [2 N, H, W, C] in [-1, 1], see `path_images`.
        distance: maps two float [N, H, W, C] in [0, 255] to [N].
        crop: compare only where faces are, rows 3/8 to 7/8 and columns 2/8 to 6/8.
    """
    if crop:
        c, d = images.shape[1] // 8, images.shape[2] // 8
        images = images[:, 3 * c : 7 * c, 2 * d : 6 * d]
    factor = images.shape[1] // LARGEST
    if factor > 1:
        images = tf.nn.avg_pool2d(images, factor, factor, "VALID")
    a, b = tf.split((images + 1) * 127.5, 2)
    return distance(a, b)


def path_distances(
    generator: Generator,
    z: tf.Tensor,
    t: tf.Tensor,
    distance: Distance,
    space: str = "w",
    crop: bool = True,
    labels: tf.Tensor | None = None,
    noise: Noise = "const",
) -> np.ndarray:
    """Returns distance / epsilon^2 of N pairs of images, float64 [N].

    Args:
        generator: the generator.
        z: see `path_images`.
        t: see `path_images`.
        distance: see `pair_distances`.
        space: "z" or "w".
        crop: see `pair_distances`.
        labels: see `path_images`.
        noise: see `path_images`.
    """
    images = path_images(generator, z, t, space, labels, noise)
    distances = pair_distances(images, distance, crop)
    return np.asarray(distances, np.float64) / EPSILON**2
