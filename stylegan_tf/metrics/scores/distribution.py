"""How far two sets of feature vectors are apart. No TensorFlow.

    real, fake = Moments(256), Moments(256)
    for images in reals: real.add(network(images))
    for images in fakes: fake.add(network(images))
    print(frechet(real, fake))

The Frechet distance (Heusel et al. 2017), the kernel distance (Binkowski et al. 2018)
and the inception score (Salimans et al. 2016). All of it is computed in float64, and
what is drawn at random is drawn from a fixed seed. A value that is not finite raises;
it never yields a number.
"""

import numpy as np

BLOCK = 4096  # vectors taken into float64 at a time


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

    def add(self, features: np.ndarray, times: int = 1) -> None:
        """Takes in float [N, size], each vector so many times.

        Raises:
            ValueError: a vector is not finite.
        """
        for i in range(0, len(features), BLOCK):
            self._add(finite(features[i : i + BLOCK]), times)

    def _add(self, x: np.ndarray, times: int) -> None:
        if self._shift is None:  # near the mean, so that nothing cancels
            self._shift = x.mean(axis=0)
        x = x - self._shift
        self.count += len(x) * times
        self._sum += x.sum(axis=0) * times
        self._products += x.T @ x * times

    @property
    def mean(self) -> np.ndarray:
        """[size]."""
        return self._shift + self._sum / self.count

    @property
    def covariance(self) -> np.ndarray:
        """Unbiased, [size, size]."""
        outer = np.outer(self._sum, self._sum) / self.count
        return (self._products - outer) / (self.count - 1)

    def state(self) -> dict[str, np.ndarray]:
        """Everything, for a file; `Moments.restored` takes it back."""
        return {
            "count": np.array(self.count),
            "sum": self._sum,
            "products": self._products,
            "shift": self._shift,
        }

    @classmethod
    def restored(cls, state: dict[str, np.ndarray]) -> "Moments":
        """What `state` told of."""
        made = cls(len(state["sum"]))
        made.count, made._shift = int(state["count"]), np.array(state["shift"])
        made._sum, made._products = np.array(state["sum"]), np.array(state["products"])
        return made


def finite(features: np.ndarray) -> np.ndarray:
    """As float64.

    Raises:
        ValueError: a value is not finite.
    """
    x = np.asarray(features, np.float64)
    if not np.isfinite(x).all():
        raise ValueError("a feature vector is not finite; no distance from it.")
    return x


def frechet(a: Moments, b: Moments) -> float:
    """|mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)), never below 0.

    The trace of the root is that of the symmetric (A C_b A)^(1/2), A the root of C_a,
    whose eigenvalues are real and not negative even where the covariances are singular:
    the limit of the distance as the smallest variances go to 0. `singular` says where
    that is so.

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


def singular(moments: Moments) -> str | None:
    """What is degenerate about a covariance, in words; None if nothing is.

    A set with fewer vectors than dimensions, or whose vectors lie in a subspace, has
    a Frechet distance, but one that says less: it depends strongly on the count.
    """
    covariance = moments.covariance
    size = len(covariance)
    if moments.count <= size:
        return f"{moments.count} vectors for {size} dimensions"
    values = np.linalg.eigvalsh(covariance)
    rank = int(np.sum(values > values[-1] * size * np.finfo(np.float64).eps))
    return f"covariance of rank {rank} of {size}" if rank < size else None


# ---------------------------------------------------------------------------


def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The cubic polynomial kernel (x . y / d + 1)^3 of [N, d] and [M, d]: [N, M]."""
    base = x @ y.T / x.shape[1] + 1
    return base * base * base  # a power is far slower


def kernel_distance(
    real: np.ndarray,
    fake: np.ndarray,
    subsets: int = 100,
    size: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """KID: the unbiased squared maximum mean discrepancy, averaged over subsets.

    Being unbiased, it can fall a little below 0 where the sets agree.

    Args:
        real, fake: float [N, d] and [M, d]; may be files in memory.
        subsets: how many are drawn, without replacement within each.
        size: vectors in a subset; all of the smaller set, if it has fewer.
        seed: of the subsets.

    Returns:
        The mean over the subsets, and their standard deviation.

    Raises:
        ValueError: fewer than two vectors on a side, or a value that is not finite.
    """
    size = min(size, len(real), len(fake))
    if size < 2:
        raise ValueError(f"{len(real)} and {len(fake)} vectors; two a side are needed.")
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(subsets):
        x, y = (finite(_some(rows, size, rng)) for rows in (real, fake))
        found.append(_discrepancy(x, y))
    return float(np.mean(found)), float(np.std(found))


def _some(rows: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    return rows[np.sort(rng.choice(len(rows), size, replace=False))]


def _discrepancy(x: np.ndarray, y: np.ndarray) -> float:
    """E k(x, x') + E k(y, y') - 2 E k(x, y), of different x and x', y and y'."""
    n = len(x)
    within = [
        (k.sum() - np.trace(k)) / (n * (n - 1)) for k in map(kernel, (x, y), (x, y))
    ]
    return float(sum(within) - 2 * kernel(x, y).mean())


# ---------------------------------------------------------------------------


def inception_score(probabilities: np.ndarray, splits: int = 10) -> tuple[float, float]:
    """exp(E KL(p(class | picture), p(class))), over splits of the pictures.

    Args:
        probabilities: float [N, classes], rows that sum to 1.
        splits: parts, in order, each with a mean p(class) of its own.

    Returns:
        Mean and standard deviation of the splits' scores.

    Raises:
        ValueError: fewer pictures than splits, or rows that are no probabilities.
    """
    n = len(probabilities)
    if n < splits:
        raise ValueError(f"{n} pictures cannot be split into {splits} parts.")
    scores = []
    for i in range(splits):
        p = finite(probabilities[i * n // splits : (i + 1) * n // splits])
        if p.min() < 0 or np.abs(p.sum(axis=1) - 1).max() > 1e-3:
            raise ValueError("rows of probabilities must be from 0 up and sum to 1.")
        scores.append(np.exp(_divergence(p, p.mean(axis=0)).mean()))
    return float(np.mean(scores)), float(np.std(scores))


def _divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """KL(p, q) of the rows of p, in nats; 0 log 0 is 0."""
    ratio = np.divide(p, q, out=np.ones_like(p), where=p > 0)
    return np.sum(p * np.log(ratio), axis=1)


# ---------------------------------------------------------------------------


def mean_within(distances: np.ndarray, low: float = 1, high: float = 99) -> float:
    """The mean without the values below the 1st and above the 99th percentile.

    What perceptual path lengths are averaged by (Karras et al. 2019, released code).

    Raises:
        ValueError: a distance is not finite.
    """
    distances = finite(distances)
    least = np.percentile(distances, low, method="lower")
    most = np.percentile(distances, high, method="higher")
    kept = distances[(least <= distances) & (distances <= most)]
    return float(kept.mean())
