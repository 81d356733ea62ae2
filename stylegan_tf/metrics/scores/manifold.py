"""How much of one set of pictures another one covers. No TensorFlow.

Improved precision and recall (Kynkaanniemi et al. 2019): the manifold of a set is the
union of balls round its feature vectors, each as wide as the distance to its k-th
nearest neighbor. Precision is the share of drawn pictures inside the manifold of the
real ones, recall the share of real pictures inside that of the drawn ones. Density and
coverage (Naeem et al. 2020) count the balls of real pictures instead, so that a single
outlier with its huge ball counts for little.

Distances are made block by block, in float64 (the released code takes float16): memory
does not grow with the square of the number of pictures.
"""

from collections.abc import Callable

import numpy as np

from stylegan_tf.metrics.scores.distribution import finite

BLOCK = 2000  # vectors on each side of a block of distances
SAME = 1e-13  # squared distances below this share of the lengths are rounding


def cover(
    real: np.ndarray,
    fake: np.ndarray,
    k: int = 3,
    block: int = BLOCK,
    tick: Callable[[int], None] = lambda n: None,
) -> dict[str, float]:
    """Precision, recall, density and coverage of drawn pictures.

    Args:
        real, fake: float [N, d] and [M, d], features; may be files in memory.
        k: which neighbor ends a ball, not counting the vector itself.
        block: see above.
        tick: told of every block of rows: how many there were.

    Returns:
        {"precision", "recall", "density", "coverage"}; all but density in [0, 1].

    Raises:
        ValueError: fewer than k + 1 vectors on a side, or a value that is not finite.
    """
    real_radii, fake_radii = (radii(x, k, block, tick) for x in (real, fake))
    inside = np.zeros(len(fake), np.int64)  # balls of real pictures it is in
    recalled, covered = np.zeros((2, len(real)), bool)
    for rows, x in _blocks(real, block):
        for columns, y in _blocks(fake, block):
            d = squared(x, y)
            within = d <= real_radii[rows, None]
            inside[columns] += within.sum(axis=0)
            covered[rows] |= within.any(axis=1)
            recalled[rows] |= (d <= fake_radii[None, columns]).any(axis=1)
        tick(len(x))
    return {
        "precision": float(np.mean(inside > 0)),
        "recall": float(recalled.mean()),
        "density": float(inside.mean() / k),
        "coverage": float(covered.mean()),
    }


def radii(
    vectors: np.ndarray,
    k: int = 3,
    block: int = BLOCK,
    tick: Callable[[int], None] = lambda n: None,
) -> np.ndarray:
    """Squared distance of each vector to its k-th nearest other one: float64 [N].

    Raises:
        ValueError: fewer than k + 1 vectors, or a value that is not finite.
    """
    if len(vectors) <= k:
        raise ValueError(f"{len(vectors)} vectors have no {k}. neighbor.")
    out = np.zeros(len(vectors))
    for rows, x in _blocks(vectors, block):
        nearest = np.full((len(x), k + 1), np.inf)  # itself is one of them
        for _, y in _blocks(vectors, block):
            both = np.concatenate([nearest, squared(x, y)], axis=1)
            nearest = np.partition(both, k, axis=1)[:, : k + 1]
        out[rows] = nearest.max(axis=1)
        tick(len(x))
    return out


def squared(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared distances of float64 [N, d] and [M, d]: [N, M]; 0 of equal vectors."""
    lengths = np.sum(x * x, axis=1)[:, None] + np.sum(y * y, axis=1)
    d = lengths - 2 * (x @ y.T)
    return np.where(d > SAME * lengths, d, 0.0)


def _blocks(vectors: np.ndarray, block: int):
    for i in range(0, len(vectors), block):
        yield slice(i, i + block), finite(vectors[i : i + block])
