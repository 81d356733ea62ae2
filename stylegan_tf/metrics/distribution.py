"""How far two sets of feature vectors are apart (Heusel et al. 2017). No TensorFlow.

real, fake = Moments(256), Moments(256)
for images in reals: real.add(network(images))
for images in fakes: fake.add(network(images))
print(frechet(real, fake))
"""

import numpy as np


class Moments:
    """Mean and covariance of vectors that come in parts, in float64.

    Args:
        size: of a vector.
    """

    def __init__(self, size: int):
        self.count = 0
        self._sum = np.zeros(size)
        self._products = np.zeros((size, size))
        self._shift: np.ndarray | None = None

    def add(self, features: np.ndarray) -> None:
        """Takes in float [N, size].

        Raises:
            ValueError: a vector is not finite.
        """
        x = np.asarray(features, np.float64)
        if not np.isfinite(x).all():
            raise ValueError("a feature vector is not finite; no distance from it.")
        if self._shift is None:  # near the mean, so that nothing cancels
            self._shift = x.mean(axis=0)
        x = x - self._shift
        self.count += len(x)
        self._sum += x.sum(axis=0)
        self._products += x.T @ x

    @property
    def mean(self) -> np.ndarray:
        """[size]."""
        return self._shift + self._sum / self.count

    @property
    def covariance(self) -> np.ndarray:
        """Unbiased, [size, size]."""
        outer = np.outer(self._sum, self._sum) / self.count
        return (self._products - outer) / (self.count - 1)


def frechet(a: Moments, b: Moments) -> float:
    """|mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)), never below 0.

    The trace of the root is that of the symmetric (A C_b A)^(1/2), A the root of C_a,
    whose eigenvalues are real and not negative even where the covariances are singular.

    Raises:
        ValueError: fewer than two vectors on a side.
    """
    if min(a.count, b.count) < 2:
        raise ValueError(f"{a.count} and {b.count} vectors; two a side are needed.")
    values, vectors = np.linalg.eigh(a.covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    inner = np.linalg.eigvalsh(root @ b.covariance @ root)
    cross = np.sqrt(np.maximum(inner, 0)).sum()
    gap = np.sum(np.square(a.mean - b.mean))
    total = gap + np.trace(a.covariance) + np.trace(b.covariance) - 2 * cross
    return float(max(total, 0.0))
