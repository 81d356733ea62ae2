"""Where the chance of an augmentation comes from: one row of numbers an example.

Nothing in this folder draws random numbers by itself. `draw` makes a table for the
whole batch, whose rows are dealt to the devices with the pictures; every transform is
then a pure function of pictures and rows. So an example is treated the same wherever
it stands in the batch, and a test can ask for any treatment it likes.
"""

import tensorflow as tf

# Operation -> numbers it takes from a row. The first decides whether ADA applies the
# operation at all, the others are its parameters. DiffAugment, which applies all it
# is asked for, leaves the first alone.
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
FIRST = {name: sum(list(NUMBERS.values())[:i]) for i, name in enumerate(NUMBERS)}
UNIFORMS = sum(NUMBERS.values())  # numbers a row
STEPS = 2**23  # values that a float32 of `tf.random` takes in [0, 1)


def sample_uniforms(n: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Uniform numbers in the open interval (0, 1): float32 [n, UNIFORMS].

    Args:
        n: examples.
        seed: int [2], as for `tf.random.stateless_uniform`.
    """
    # Moved to the middle of their steps: 0 would be an infinite normal number.
    return tf.random.stateless_uniform([n, UNIFORMS], seed) + 0.5 / STEPS


def columns(uniforms: tf.Tensor, name: str) -> list[tf.Tensor]:
    """The numbers of one operation, each [N]: uniforms [N, UNIFORMS]."""
    first = FIRST[name]
    return tf.unstack(uniforms[:, first : first + NUMBERS[name]], axis=1)


def gated(uniforms: tf.Tensor, name: str, p) -> list[tf.Tensor]:
    """Whether ADA applies the operation, bool [N], and its parameters, each [N]."""
    gate, *parameters = columns(uniforms, name)
    return [gate < tf.cast(p, tf.float32), *parameters]


# ---------------------------------------------------------------------------
# A uniform number u in (0, 1) as something else


def between(u: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """Uniform in (low, high)."""
    return low + (high - low) * u


def normal(u: tf.Tensor, deviation: float = 1.0) -> tf.Tensor:
    """Normal, mean 0."""
    return deviation * tf.math.ndtri(u)


def power_of_two(u: tf.Tensor, deviation: float) -> tf.Tensor:
    """2^N(0, deviation^2)."""
    return tf.pow(2.0, normal(u, deviation))


def choice(u: tf.Tensor, count: int) -> tf.Tensor:
    """One of 0.0, 1.0, ..., count - 1."""
    return tf.floor(u * count)  # u < 1 by half a step of float32: never rounds to count
