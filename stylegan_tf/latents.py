"""Seeds to latents: the same seed is the same picture, in every program and batch.

A seed's z is `numpy.random.RandomState(seed).randn(z_dim)`, the convention of the
official releases, so that published seeds name the same latents here. Its noise maps
are drawn from the seed too.
"""

import re

import numpy as np

from stylegan_tf.errors import UserError

MAX_SEED = 2**32 - 1


def parse_numbers(text: str, what: str = "seeds", top: int = MAX_SEED) -> list[int]:
    """`"0-31,100"` -> [0, 1, ..., 31, 100].

    Raises:
        UserError: not numbers and ranges separated by commas, or one above `top`.
    """
    out: list[int] = []
    for part in str(text).split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        if not match:
            raise UserError(
                f"{what} {text!r}: {part.strip()!r} is neither a number nor a range; "
                f"write them like 0-31,100."
            )
        first = int(match[1])
        last = int(match[2] or first)
        if last < first:
            raise UserError(
                f"{what} {text!r}: the range {part.strip()} runs backwards."
            )
        if last > top:
            raise UserError(f"{what} {text!r}: {last} is above {top}, the largest.")
        if last - first > 10_000_000:
            raise UserError(f"{what} {text!r}: {part.strip()} are too many at once.")
        out += range(first, last + 1)
    return out


def z_of(seeds: list[int], z_dim: int) -> np.ndarray:
    """Latents of these seeds, float32 [len(seeds), z_dim]."""
    rows = [np.random.RandomState(seed).randn(z_dim) for seed in seeds]
    return np.asarray(rows, np.float32).reshape(len(seeds), z_dim)


def noise_of(seeds: list[int], shapes: list[tuple[int, int]]) -> list[np.ndarray]:
    """Noise maps of these seeds, one float32 [len(seeds), H, W, 1] a layer.

    Args:
        seeds: one an example.
        shapes: height and width of every layer's map.
    """
    generators = [np.random.default_rng([seed, 1]) for seed in seeds]
    return [
        np.stack([g.standard_normal((*s, 1), np.float32) for g in generators])
        for s in shapes
    ]


def one_hot(classes: list[int], count: int) -> np.ndarray:
    """Class numbers -> float32 [len(classes), count]."""
    return np.eye(count, dtype=np.float32)[np.asarray(classes, int)]
