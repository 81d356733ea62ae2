"""Nearest training images of generated ones, and how many look copied, in NumPy.

A generated image counts as memorized if it is at least as near to its nearest training
image as that one is to its own nearest neighbor among the others (the complement of
authenticity, Alaa et al. 2022). Copies give 1. A generator that draws from the very
distribution of the training images does not give 0: then the two are mutual nearest
neighbors in a sample of one distribution, whose probability is known (Cox 1981): 2/3 in
one dimension, 0.6215 in two, towards 1/2 in many.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from stylegan_tf.metrics.scores.manifold import (
    BLOCK,
    neighbor_radii,
    squared_distances,
    vector_blocks,
)


class Nearest(NamedTuple):
    """Nearest training images of generated ones.

    Attributes:
        index: int [M, k], of training images, the nearest first.
        distance: float64 [M, k].
        ratio: float64 [M], the nearest distance over that of the training image to its
            own nearest neighbor; 1 or less counts as memorized.
    """

    index: np.ndarray
    distance: np.ndarray
    ratio: np.ndarray

    @property
    def memorized(self) -> float:
        """Share of the generated images that count as memorized."""
        return float(np.mean(self.ratio <= 1))


def nearest_neighbors(
    real: np.ndarray,
    fake: np.ndarray,
    k: int = 1,
    block: int = BLOCK,
    tick: Callable[[int], None] = lambda n: None,
) -> Nearest:
    """Finds the nearest training images of generated ones.

    Args:
        real: features of the training images, float [N, d]; may be memory-mapped.
        fake: features of generated images, float [M, d]; may be memory-mapped.
        k: number of neighbors, at most N.
        block: vectors per side of a block of distances.
        tick: called after each block with its number of rows.

    Raises:
        ValueError: fewer than two training images, or a value that is not finite.
    """
    radii = neighbor_radii(real, 1, block, tick)
    index = np.zeros((len(fake), k), np.int64)
    squares = np.full((len(fake), k), np.inf)
    for rows, x in vector_blocks(fake, block):
        for columns, y in vector_blocks(real, block):
            d = squared_distances(x, y)
            numbers = np.broadcast_to(np.arange(len(real))[columns], d.shape)
            d = np.concatenate([squares[rows], d], axis=1)
            numbers = np.concatenate([index[rows], numbers], axis=1)
            order = np.argsort(d, axis=1, kind="stable")[:, :k]
            squares[rows] = np.take_along_axis(d, order, axis=1)
            index[rows] = np.take_along_axis(numbers, order, axis=1)
        tick(len(x))
    own = radii[index[:, 0]]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.sqrt(squares[:, 0] / own)
    # A training image that is there twice has itself at distance 0.
    ratio = np.where(own > 0, ratio, np.where(squares[:, 0] > 0, np.inf, 0.0))
    return Nearest(index, np.sqrt(squares), ratio)
