"""Disentanglement of z and w with known factors: DCI, MIG and SAP.

The demo's images are drawn from named factors, and the feature network `builtin` reads
the factors of any image. The scores tell how a generator's latents hold the factors:
one factor per coordinate, or every factor in every coordinate.

    DCI   Eastwood & Williams 2018, A framework for the quantitative evaluation of
          disentangled representations, section 3
    MIG   Chen et al. 2018, Isolating sources of disentanglement, section 4.1
    SAP   Kumar et al. 2018, Variational inference of disentangled latent concepts,
          section 3

All three scores look at single coordinates, so a rotation of w changes them, though it
changes nothing for the generator. Compare z and w of one model; a low score alone says
little about a StyleGAN.

Each function takes `codes`, float [N, D], and `factors`, name -> int [N] (values of a
categorical factor), float [N] (a continuous factor) or float [N, values]
(probabilities, of which the largest counts). A factor that is constant is left out.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from stylegan_tf import latents, sampling
from stylegan_tf.errors import UserError
from stylegan_tf.networks.generator import Generator

BINS = 20
TREES, LEAF = 50, 4  # of a forest; fewest examples per leaf
Factors = Mapping[str, np.ndarray]
SPACES = ("z", "w", "w_pca")


class FactorNetwork(Protocol):
    """A feature network that reads the factors of images."""

    def factors(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Maps uint8 [N, H, W, C] to factors, float [N] or [N, values]."""
        ...


def dci(codes: np.ndarray, factors: Factors, seed: int = 0) -> dict[str, float]:
    """Returns disentanglement, completeness and informativeness.

    A random forest (one of the paper's two regressors) predicts each factor from all
    codes; it is trained on half of the examples. R [D, K], the importance of each code
    for each factor, is the mean decrease of impurity, which sums to 1 over the codes.

        D_i = 1 - H_K(R_i. / sum R_i.)    D = sum_i rho_i D_i, rho_i = sum R_i. / sum R
        C_j = 1 - H_D(R_.j / sum R_.j)    C = mean_j C_j

    with entropies to the base K and D. I is the mean over factors of R2, or of
    (accuracy - chance) / (1 - chance) with chance the most frequent value's share, on
    the other half. (The paper states an error; I is better when larger, like D and C.)

    Args:
        codes: float [N, D].
        factors: see the module's docstring.
        seed: of the halves and the forests.

    Returns:
        "d", "c" and "i"; at most 1, d and c at least 0.

    Raises:
        ValueError: fewer than 10 examples, fewer than two codes or factors that vary.
    """
    codes, factors = _checked(codes, factors)
    if len(factors) < 2 or codes.shape[1] < 2:
        raise ValueError(
            f"{codes.shape[1]} codes and {len(factors)} factors; DCI compares at least "
            f"two of each."
        )
    order = np.random.default_rng(seed).permutation(len(codes))
    train, test = np.array_split(order, 2)
    columns, informative = [], []
    for values in factors.values():
        forest = _forest(values, seed)
        forest.fit(codes[train], values[train])
        columns.append(forest.feature_importances_)
        informative.append(_above_chance(values[test], forest.predict(codes[test])))
    importance = np.stack(columns, axis=1)
    weights = importance.sum(axis=1) / importance.sum()
    return {
        "d": float(weights @ (1 - _entropies(importance))),
        "c": float(np.mean(1 - _entropies(importance.T))),
        "i": float(np.mean(informative)),
    }


def mig(codes: np.ndarray, factors: Factors) -> float:
    """Returns the mutual information gap, in [0, 1].

    It is the mean over factors v of (I(c_1; v) - I(c_2; v)) / H(v), where c_1 and c_2
    are the two codes with the most mutual information. Codes and continuous factors are
    put into 20 bins of equal width.

    Args:
        codes: float [N, D].
        factors: see the module's docstring.

    Raises:
        ValueError: see `dci`.
    """
    from sklearn.metrics import mutual_info_score

    codes, factors = _checked(codes, factors)
    binned, gaps = [_bins(code) for code in codes.T], []
    for values in factors.values():
        v = _bins(values) if values.dtype.kind == "f" else values
        information = np.sort([mutual_info_score(code, v) for code in binned])
        gaps.append((information[-1] - information[-2]) / mutual_info_score(v, v))
    return float(np.mean(gaps))


def sap(codes: np.ndarray, factors: Factors) -> float:
    """Returns the separated attribute predictability, in [0, 1].

    It is the mean over factors of the gap between the two codes that predict the factor
    best. A continuous factor is predicted by a line, scored by R2. A categorical one is
    predicted by thresholds on the code (one fewer than values) that minimize the
    balanced error on half of the examples, scored on the other half by (balanced
    accuracy - chance) / (1 - chance).

    Args:
        codes: float [N, D].
        factors: see the module's docstring.

    Raises:
        ValueError: see `dci`.
    """
    codes, factors = _checked(codes, factors)
    gaps = []
    for values in factors.values():
        predictability = _line if values.dtype.kind == "f" else _thresholds
        ranked = np.sort([predictability(code, values) for code in codes.T])
        gaps.append(ranked[-1] - ranked[-2])
    return float(np.mean(gaps))


def disentanglement_scores(
    codes: np.ndarray, factors: Factors, seed: int = 0
) -> dict[str, float]:
    """Returns all scores: `dci_d`, `dci_c`, `dci_i`, `mig` and `sap`.

    Args:
        codes: float [N, D].
        factors: see the module's docstring.
        seed: see `dci`.

    Raises:
        ValueError: see `dci`.
    """
    out = {f"dci_{name}": value for name, value in dci(codes, factors, seed).items()}
    return out | {"mig": mig(codes, factors), "sap": sap(codes, factors)}


# ---------------------------------------------------------------------------
# A model


def measure_disentanglement(
    model: Generator,
    network: FactorNetwork,
    num: int = 4000,
    spaces: Sequence[str] = ("z", "w"),
    seed: int = 0,
    progress: bool = False,
) -> dict[str, float]:
    """Measures DCI, MIG and SAP of a generator's latents.

    Args:
        model: the generator; without truncation, with its constant noise maps.
        network: a feature network with `factors`.
        num: number of images, of the seeds from `seed` on.
        spaces: some of "z", "w" and "w_pca", w along its principal axes.
        seed: the first seed, and the seed of `dci`.
        progress: show a bar.

    Returns:
        `dci_d_z`, `dci_c_z`, `dci_i_z`, `mig_z`, `sap_z`, the same for the other
        spaces, and `factors`, the number of factors that vary in the images.

    Raises:
        UserError: an unknown space, or images in which too little varies.
    """
    if unknown := set(spaces) - set(SPACES):
        raise UserError(f"space {unknown.pop()!r}; choose of {', '.join(SPACES)}.")
    seeds = range(seed, seed + num)
    codes, factors = latents_and_factors(model, network, seeds, progress)
    out: dict[str, float] = {}
    try:
        for space in spaces:
            scores = disentanglement_scores(codes[space], factors, seed)
            out |= {f"{name}_{space}": value for name, value in scores.items()}
    except ValueError as error:
        raise UserError(f"no disentanglement of {num} pictures: {error}") from error
    return out | {"factors": float(len(_checked(codes["z"], factors)[1]))}


def latents_and_factors(
    model: Generator,
    network: FactorNetwork,
    seeds: Sequence[int],
    progress: bool = False,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Returns the latents of a model's images and the factors of the images.

    Args:
        model: the generator.
        network: a feature network with `factors`.
        seeds: one per image.
        progress: show a bar.

    Returns:
        Space -> codes, float64 [N, D]; name -> factors, see `network.factors`.
    """
    seeds = list(seeds)
    ws = sampling.styles(model, seeds)
    images = [p for _, p in sampling.draw(model, seeds, progress=progress)]
    z = latents.z_of(seeds, model.config.z_dim).astype(np.float64)
    w = ws[:, 0].astype(np.float64)
    codes = {"z": z, "w": w, "w_pca": principal_components(w)}
    return codes, network.factors(np.stack(images))


def principal_components(codes: np.ndarray) -> np.ndarray:
    """Returns codes [N, D] along their principal axes, largest variance first."""
    centered = codes - codes.mean(axis=0)
    return centered @ np.linalg.eigh(centered.T @ centered)[1][:, ::-1]


# ---------------------------------------------------------------------------
# Parts


def _checked(codes, factors: Factors) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Returns codes, and the values of the factors that vary; raises ValueError."""
    codes, varying = np.asarray(codes, np.float64), {}
    if codes.ndim != 2 or len(codes) < 10 or codes.shape[1] < 2:
        raise ValueError(f"codes of shape {codes.shape}; at least 10 x 2 are needed.")
    for name, values in factors.items():
        values = np.asarray(values)
        values = values.argmax(axis=1) if values.ndim == 2 else values
        if len(values) != len(codes):
            raise ValueError(f"{len(values)} values of {name}, {len(codes)} codes.")
        kind = np.float64 if values.dtype.kind == "f" else int
        if values.min() < values.max():
            varying[name] = values.astype(kind)
    if not np.isfinite(codes).all() or not all(
        np.isfinite(v).all() for v in varying.values()
    ):
        raise ValueError("a code or factor is not finite.")
    if not varying:
        raise ValueError("no factor varies.")
    return codes, varying


def _forest(values: np.ndarray, seed: int):
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    kind = RandomForestRegressor if values.dtype.kind == "f" else RandomForestClassifier
    return kind(
        TREES, min_samples_leaf=LEAF, max_features=None, random_state=seed, n_jobs=-1
    )


def _above_chance(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Returns R2, or accuracy on a scale from the most frequent value (0) to 1."""
    if truth.dtype.kind == "f":
        return float(1 - np.mean((truth - predicted) ** 2) / max(np.var(truth), 1e-300))
    chance = np.bincount(truth).max() / len(truth)
    return float((np.mean(truth == predicted) - chance) / max(1 - chance, 1e-300))


def _entropies(rows: np.ndarray) -> np.ndarray:
    """Returns each row's entropy to the base of its length; 1 for a row of zeros."""
    total = rows.sum(axis=1, keepdims=True)
    even = np.full_like(rows, 1 / rows.shape[1])
    p = np.divide(rows, total, out=even, where=total > 0)
    logs = np.log(p, out=np.zeros_like(p), where=p > 0)
    return -np.sum(p * logs, axis=1) / np.log(rows.shape[1])


def _bins(values: np.ndarray) -> np.ndarray:
    edges = np.linspace(values.min(), values.max(), BINS + 1)[1:-1]
    return np.digitize(values, edges)


def _line(code: np.ndarray, values: np.ndarray) -> float:
    """Returns R2 of the best line, the squared correlation."""
    a, b = code - code.mean(), values - values.mean()
    spread = (a @ a) * (b @ b)
    return float((a @ b) ** 2 / spread) if spread > 0 else 0.0


def _thresholds(code: np.ndarray, values: np.ndarray) -> float:
    from sklearn.metrics import recall_score
    from sklearn.tree import DecisionTreeClassifier

    known, values = np.unique(values, return_inverse=True)
    tree = DecisionTreeClassifier(max_leaf_nodes=len(known), class_weight="balanced")
    tree.fit(code[0::2, None], values[0::2])
    predicted = tree.predict(code[1::2, None])
    balanced = recall_score(values[1::2], predicted, average="macro", zero_division=0)
    chance = 1 / len(known)
    return float(max(balanced - chance, 0) / (1 - chance))
