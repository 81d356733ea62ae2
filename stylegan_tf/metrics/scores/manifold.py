"""Precision, recall, density and coverage of two sets of feature vectors, in NumPy.

Improved precision and recall (Kynkaanniemi et al. 2019, section 2): the manifold of a
set is the union of balls around its feature vectors; the radius of a ball is the
distance to its vector's k-th nearest neighbor. Precision is the share of generated
images inside the manifold of the real ones, recall the share of real images inside the
manifold of the generated ones. Density and coverage (Naeem et al. 2020) count the balls
of real images instead, so that the huge ball of an outlier counts for little.

Distances are computed in blocks, in float64 (the released code uses float16), so memory
does not grow with the square of the number of images.
"""

from collections.abc import Callable, Iterator

import numpy as np

from stylegan_tf.metrics.scores.distribution import as_finite

BLOCK = 2000  # vectors per side of a block of distances
ROUNDING = 1e-13  # squared distances below this share of the lengths count as 0


def precision_recall(
    real: np.ndarray,
    fake: np.ndarray,
    k: int = 3,
    block: int = BLOCK,
    tick: Callable[[int], None] = lambda n: None,
) -> dict[str, float]:
    """Returns precision, recall, density and coverage of generated images.

    Args:
        real: features, float [N, d]; may be a memory-mapped file.
        fake: features, float [M, d]; may be a memory-mapped file.
        k: number of the neighbor on a ball's surface, the vector itself not counted.
        block: vectors per side of a block of distances.
        tick: called after each block with its number of rows.

    Returns:
        {"precision", "recall", "density", "coverage"}; all but density in [0, 1].

    Raises:
        ValueError: fewer than k + 1 vectors on a side, or a value that is not finite.
    """
    real_radii, fake_radii = (neighbor_radii(x, k, block, tick) for x in (real, fake))
    inside = np.zeros(len(fake), np.int64)  # balls of real images around each fake
    recalled, covered = np.zeros((2, len(real)), bool)
    for rows, x in vector_blocks(real, block):
        for columns, y in vector_blocks(fake, block):
            d = squared_distances(x, y)
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


def neighbor_radii(
    vectors: np.ndarray,
    k: int = 3,
    block: int = BLOCK,
    tick: Callable[[int], None] = lambda n: None,
) -> np.ndarray:
    """Returns the squared distance of each vector to its k-th neighbor, float64 [N].

    Args:
        vectors: float [N, d].
        k: number of the neighbor, the vector itself not counted.
        block: vectors per side of a block of distances.
        tick: called after each block with its number of rows.

    Raises:
        ValueError: fewer than k + 1 vectors, or a value that is not finite.
    """
    if len(vectors) <= k:
        raise ValueError(f"{len(vectors)} vectors have no {k}. neighbor.")
    out = np.zeros(len(vectors))
    for rows, x in vector_blocks(vectors, block):
        nearest = np.full((len(x), k + 1), np.inf)  # includes the vector itself
        for _, y in vector_blocks(vectors, block):
            both = np.concatenate([nearest, squared_distances(x, y)], axis=1)
            nearest = np.partition(both, k, axis=1)[:, : k + 1]
        out[rows] = nearest.max(axis=1)
        tick(len(x))
    return out


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns squared distances [N, M] of float64 [N, d] and [M, d]."""
    lengths = np.sum(x * x, axis=1)[:, None] + np.sum(y * y, axis=1)
    d = lengths - 2 * (x @ y.T)
    return np.where(d > ROUNDING * lengths, d, 0.0)


def vector_blocks(
    vectors: np.ndarray, block: int
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yields rows and their float64 vectors, `block` at a time."""
    for i in range(0, len(vectors), block):
        yield slice(i, i + block), as_finite(vectors[i : i + block])
