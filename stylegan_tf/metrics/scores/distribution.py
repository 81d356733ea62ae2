"""Distances between two sets of feature vectors, in NumPy.

    real, fake = Moments(256), Moments(256)
    for images in reals: real.add(network(images))
    for images in fakes: fake.add(network(images))
    print(frechet(real, fake))

Frechet distance (Heusel et al. 2017), kernel distance (Binkowski et al. 2018) and
inception score (Salimans et al. 2016). Everything is computed in float64, random
subsets come from a fixed seed, and a value that is not finite raises ValueError.
"""

import numpy as np

BLOCK = 4096  # vectors converted to float64 at a time


class Moments:
    """Mean and covariance of vectors, accumulated in float64.

    Args:
        size: length of a vector.
    """

    def __init__(self, size: int):
        self.count = 0
        self._sum = np.zeros(size)
        self._products = np.zeros((size, size))
        self._shift: np.ndarray | None = None

    def add(self, features: np.ndarray, times: int = 1) -> None:
        """Adds float [N, size], each vector `times` times.

        Raises:
            ValueError: a vector is not finite.
        """
        for i in range(0, len(features), BLOCK):
            self._add(as_finite(features[i : i + BLOCK]), times)

    def _add(self, x: np.ndarray, times: int) -> None:
        if self._shift is None:  # near the mean, against cancellation
            self._shift = x.mean(axis=0)
        x = x - self._shift
        self.count += len(x) * times
        self._sum += x.sum(axis=0) * times
        self._products += x.T @ x * times

    @property
    def mean(self) -> np.ndarray:
        """Mean, [size]."""
        return self._shift + self._sum / self.count

    @property
    def covariance(self) -> np.ndarray:
        """Unbiased covariance, [size, size]."""
        outer = np.outer(self._sum, self._sum) / self.count
        return (self._products - outer) / (self.count - 1)

    def state(self) -> dict[str, np.ndarray]:
        """Returns all arrays for a file; see `Moments.restored`."""
        return {
            "count": np.array(self.count),
            "sum": self._sum,
            "products": self._products,
            "shift": self._shift,
        }

    @classmethod
    def restored(cls, state: dict[str, np.ndarray]) -> "Moments":
        """Returns the moments whose `state` was saved."""
        moments = cls(len(state["sum"]))
        moments.count, moments._shift = int(state["count"]), np.array(state["shift"])
        moments._sum = np.array(state["sum"])
        moments._products = np.array(state["products"])
        return moments


def as_finite(features: np.ndarray) -> np.ndarray:
    """Returns vectors as float64.

    Raises:
        ValueError: a value is not finite.
    """
    x = np.asarray(features, np.float64)
    if not np.isfinite(x).all():
        raise ValueError("a feature vector is not finite; no distance from it.")
    return x


def frechet_distance(a: Moments, b: Moments) -> float:
    """Returns the Frechet distance (Heusel et al. 2017, equation 6), at least 0.

        |mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))

    The trace of the root is computed as tr (A C_b A)^(1/2) with A = C_a^(1/2). This
    matrix is symmetric, so its eigenvalues are real and not negative even for singular
    covariances. See `singular_reason`.

    Raises:
        ValueError: fewer than two vectors on a side.
    """
    if min(a.count, b.count) < 2:
        raise ValueError(f"{a.count} and {b.count} vectors; two a side are needed.")
    values, vectors = np.linalg.eigh(a.covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    inner = np.linalg.eigvalsh(root @ b.covariance @ root)
    cross = np.sqrt(np.maximum(inner, 0)).sum()
    means = np.sum(np.square(a.mean - b.mean))
    total = means + np.trace(a.covariance) + np.trace(b.covariance) - 2 * cross
    return float(max(total, 0.0))


def singular_reason(moments: Moments) -> str | None:
    """Returns why a covariance is singular, in words; None if it has full rank.

    With fewer vectors than dimensions, or vectors in a subspace, the Frechet distance
    exists but depends strongly on the number of vectors.
    """
    covariance = moments.covariance
    size = len(covariance)
    if moments.count <= size:
        return f"{moments.count} vectors for {size} dimensions"
    values = np.linalg.eigvalsh(covariance)
    rank = int(np.sum(values > values[-1] * size * np.finfo(np.float64).eps))
    return f"covariance of rank {rank} of {size}" if rank < size else None


# ---------------------------------------------------------------------------


def polynomial_kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns the kernel (x . y / d + 1)^3 of [N, d] and [M, d] as [N, M]."""
    base = x @ y.T / x.shape[1] + 1
    return base * base * base  # a power is far slower


def kernel_distance(
    real: np.ndarray,
    fake: np.ndarray,
    subsets: int = 100,
    size: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Returns KID, the unbiased squared maximum mean discrepancy over subsets.

    The estimate is unbiased (Binkowski et al. 2018, section 4), so it can fall a little
    below 0 for equal distributions.

    Args:
        real: float [N, d]; may be a memory-mapped file.
        fake: float [M, d]; may be a memory-mapped file.
        subsets: number of subsets, each sampled without replacement.
        size: vectors per subset, at most as many as the smaller set has.
        seed: of the subsets.

    Returns:
        Mean and standard deviation over the subsets.

    Raises:
        ValueError: fewer than two vectors on a side, or a value that is not finite.
    """
    size = min(size, len(real), len(fake))
    if size < 2:
        raise ValueError(f"{len(real)} and {len(fake)} vectors; two a side are needed.")
    rng = np.random.default_rng(seed)
    estimates = []
    for _ in range(subsets):
        x, y = (
            as_finite(rows[np.sort(rng.choice(len(rows), size, replace=False))])
            for rows in (real, fake)
        )
        estimates.append(_discrepancy(x, y))
    return float(np.mean(estimates)), float(np.std(estimates))


def _discrepancy(x: np.ndarray, y: np.ndarray) -> float:
    """Returns E k(x, x') + E k(y, y') - 2 E k(x, y), without the diagonals."""
    n = len(x)
    within = [
        (k.sum() - np.trace(k)) / (n * (n - 1))
        for k in map(polynomial_kernel, (x, y), (x, y))
    ]
    return float(sum(within) - 2 * polynomial_kernel(x, y).mean())


# ---------------------------------------------------------------------------


def inception_score(probabilities: np.ndarray, splits: int = 10) -> tuple[float, float]:
    """Returns the inception score exp(E KL(p(class | image), p(class))).

    Args:
        probabilities: float [N, classes], rows that sum to 1.
        splits: number of consecutive parts, each with its own mean p(class).

    Returns:
        Mean and standard deviation over the splits.

    Raises:
        ValueError: fewer images than splits, or rows that are no probabilities.
    """
    n = len(probabilities)
    if n < splits:
        raise ValueError(f"{n} pictures cannot be split into {splits} parts.")
    scores = []
    for i in range(splits):
        p = as_finite(probabilities[i * n // splits : (i + 1) * n // splits])
        if p.min() < 0 or np.abs(p.sum(axis=1) - 1).max() > 1e-3:
            raise ValueError("rows of probabilities must be from 0 up and sum to 1.")
        scores.append(np.exp(_divergence(p, p.mean(axis=0)).mean()))
    return float(np.mean(scores)), float(np.std(scores))


def _divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Returns KL(p, q) of each row of p, in nats; 0 log 0 is 0."""
    ratio = np.divide(p, q, out=np.ones_like(p), where=p > 0)
    return np.sum(p * np.log(ratio), axis=1)


# ---------------------------------------------------------------------------


def trimmed_mean(distances: np.ndarray, low: float = 1, high: float = 99) -> float:
    """Returns the mean of the values between the 1st and the 99th percentile.

    Perceptual path lengths are averaged so (Karras et al. 2019, released code).

    Raises:
        ValueError: a distance is not finite.
    """
    distances = as_finite(distances)
    least = np.percentile(distances, low, method="lower")
    most = np.percentile(distances, high, method="higher")
    return float(distances[(least <= distances) & (distances <= most)].mean())
