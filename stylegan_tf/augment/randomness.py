"""Random numbers of augmentations: one row of uniforms per example.

`sample_uniforms` makes a table for the whole batch, whose rows go to the devices
together with the images. Every transform is a pure function of images and rows, so an
example is augmented the same wherever it stands in the batch, and tests can ask for any
transform.
"""

import tensorflow as tf

from stylegan_tf import stateless

# Transform -> uniforms that it takes from a row. The first decides whether ADA applies
# the transform, the others are its parameters. DiffAugment applies every transform and
# does not use the first.
NUMBERS = {
    "flip": 2,
    "turn": 2,
    "shift": 3,
    "scale": 2,
    "rotation_before": 2,
    "stretch": 2,
    "rotation_after": 2,
    "slide": 3,
    "brightness": 2,
    "contrast": 2,
    "luma_flip": 2,
    "hue": 2,
    "saturation": 2,
    "band0": 2,
    "band1": 2,
    "band2": 2,
    "band3": 2,
    "noise": 4,
    "cutout": 3,
}
OFFSETS = {name: sum(list(NUMBERS.values())[:i]) for i, name in enumerate(NUMBERS)}
UNIFORMS = sum(NUMBERS.values())  # per row
STEPS = 2**23  # float32 values that `tf.random` returns in [0, 1)


def sample_uniforms(n: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Samples uniforms in the open interval (0, 1): float32 [n, UNIFORMS].

    Args:
        n: examples.
        seed: int [2].
    """
    # In the middle of their steps: 0 would become an infinite normal number.
    return stateless.uniform([n, UNIFORMS], seed) + 0.5 / STEPS


def columns(uniforms: tf.Tensor, name: str) -> list[tf.Tensor]:
    """Returns the numbers of one transform, each [N], of uniforms [N, UNIFORMS]."""
    first = OFFSETS[name]
    return tf.unstack(uniforms[:, first : first + NUMBERS[name]], axis=1)


def gated(uniforms: tf.Tensor, name: str, p: float | tf.Tensor) -> list[tf.Tensor]:
    """Returns bool [N], True with probability p, and the parameters, each [N]."""
    gate, *parameters = columns(uniforms, name)
    return [gate < tf.cast(p, tf.float32), *parameters]


# ---------------------------------------------------------------------------
# Other distributions of a uniform number u in (0, 1)


def to_range(u: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """Maps u to a uniform number in (low, high)."""
    return low + (high - low) * u


def to_normal(u: tf.Tensor, deviation: float = 1.0) -> tf.Tensor:
    """Maps u to a normal number of mean 0."""
    return deviation * tf.math.ndtri(u)


def to_power_of_two(u: tf.Tensor, deviation: float) -> tf.Tensor:
    """Maps u to 2^x, x ~ N(0, deviation^2)."""
    return tf.pow(2.0, to_normal(u, deviation))


def to_choice(u: tf.Tensor, count: int) -> tf.Tensor:
    """Maps u to one of 0.0, 1.0, ..., count - 1."""
    return tf.floor(u * count)  # u < 1 by half a step of float32: never rounds to count
