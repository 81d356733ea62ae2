"""Disentanglement with known factors: DCI, MIG and SAP, of z and of w.

The demo's pictures were made from named factors, and `builtin` reads those off any
picture. So it can be asked how a generator's latents hold them: one factor in one
coordinate, or each in all.

    DCI   Eastwood & Williams 2018, A framework for the quantitative evaluation of
          disentangled representations, section 3
    MIG   Chen et al. 2018, Isolating sources of disentanglement, section 4.1
    SAP   Kumar et al. 2018, Variational inference of disentangled latent concepts,
          section 3

All three look at single coordinates, so they change when w is rotated, which a
generator does not care about. Low numbers are no verdict on a StyleGAN; a difference
between z and w is.

Each takes `codes`, float [N, D], and `factors`, name -> int [N] values of a categorical
one, float [N] of a continuous one, or float [N, values] probabilities, of which the
largest counts. A factor that is the same in all N is left out.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from stylegan_tf import sampling
from stylegan_tf.errors import UserError

BINS = 20
TREES, LEAF = 50, 4  # of a forest; the fewest examples in a leaf
FACTORS = Mapping[str, np.ndarray]
SPACES = ("z", "w", "w_pca")


def dci(codes: np.ndarray, factors: FACTORS, seed: int = 0) -> dict[str, float]:
    """Disentanglement, completeness and informativeness.

    A random forest (one of the paper's two) foretells each factor from all codes,
    learning from half of the examples. R [D, K], the importance of each code for each
    factor, is its mean decrease of impurity, which sums to 1 over the codes.

        D_i = 1 - H_K(R_i. / sum R_i.)    D = sum_i rho_i D_i, rho_i = sum R_i. / sum R
        C_j = 1 - H_D(R_.j / sum R_.j)    C = mean_j C_j

    with entropies to the base K and D. I is the share foretold right on the other
    half, beyond what the mean or the commonest value would: R2, or (accuracy -
    commonest) / (1 - commonest), averaged over factors. (The paper states an error;
    this is better when larger, as D and C.)

    Args:
        codes, factors: as above.
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
    learn, check = np.array_split(order, 2)
    columns, informative = [], []
    for values in factors.values():
        forest = _forest(values, seed)
        forest.fit(codes[learn], values[learn])
        columns.append(forest.feature_importances_)
        informative.append(_beyond(values[check], forest.predict(codes[check])))
    importance = np.stack(columns, axis=1)
    weights = importance.sum(axis=1) / importance.sum()
    return {
        "d": float(weights @ (1 - _entropies(importance))),
        "c": float(np.mean(1 - _entropies(importance.T))),
        "i": float(np.mean(informative)),
    }


def mig(codes: np.ndarray, factors: FACTORS) -> float:
    """The mutual information gap.

    The mean over factors v of (I(c_1; v) - I(c_2; v)) / H(v), where c_1 and c_2 are the
    codes that tell most about v. Codes and continuous factors are put into 20 bins of
    equal width.

    Args:
        codes, factors: as above.

    Returns:
        From 0 to 1.

    Raises:
        ValueError: as of `dci`.
    """
    from sklearn.metrics import mutual_info_score

    codes, factors = _checked(codes, factors)
    binned, gaps = [_bins(code) for code in codes.T], []
    for values in factors.values():
        v = _bins(values) if values.dtype.kind == "f" else values
        told = np.sort([mutual_info_score(code, v) for code in binned])
        gaps.append((told[-1] - told[-2]) / mutual_info_score(v, v))
    return float(np.mean(gaps))


def sap(codes: np.ndarray, factors: FACTORS) -> float:
    """The separated attribute predictability.

    The mean over factors of how much better the best code foretells it than the second
    best: by R2 of a line for a continuous factor; for a categorical one by thresholds
    on the code, as many as it has values less one, that minimize the balanced error on
    half of the examples. Their score is (balanced accuracy - chance) / (1 - chance) on
    the other half.

    Args:
        codes, factors: as above.

    Returns:
        From 0 to 1.

    Raises:
        ValueError: as of `dci`.
    """
    codes, factors = _checked(codes, factors)
    gaps = []
    for values in factors.values():
        foretells = _line if values.dtype.kind == "f" else _thresholds
        told = np.sort([foretells(code, values) for code in codes.T])
        gaps.append(told[-1] - told[-2])
    return float(np.mean(gaps))


def scores(codes: np.ndarray, factors: FACTORS, seed: int = 0) -> dict[str, float]:
    """All of them: `dci_d`, `dci_c`, `dci_i`, `mig` and `sap`.

    Args:
        codes, factors: as above.
        seed: as of `dci`.

    Raises:
        ValueError: as of `dci`.
    """
    found = {f"dci_{name}": value for name, value in dci(codes, factors, seed).items()}
    return found | {"mig": mig(codes, factors), "sap": sap(codes, factors)}


# ---------------------------------------------------------------------------
# A model


def measure(
    model,
    network,
    num: int = 4000,
    spaces: Sequence[str] = ("z", "w"),
    seed: int = 0,
    progress: bool = False,
) -> dict[str, float]:
    """DCI, MIG and SAP of a generator's latents.

    Args:
        model: a `Generator`; its pictures are not truncated, noise is the stored maps.
        network: what reads factors off pictures: its `factors(images)`.
        num: pictures, of the seeds from `seed` on.
        spaces: of "z", "w", and "w_pca": w along its principal axes, the one rotation
            of w that the latents themselves choose.
        seed: the first seed; and of the halves.
        progress: show a bar.

    Returns:
        `dci_d_z`, `dci_c_z`, `dci_i_z`, `mig_z`, `sap_z`, the same of the other spaces,
        and `factors`, how many varied in the pictures.

    Raises:
        UserError: a space that does not exist, or pictures in which too little varies.
    """
    if unknown := set(spaces) - set(SPACES):
        raise UserError(f"space {unknown.pop()!r}; choose of {', '.join(SPACES)}.")
    seeds = range(seed, seed + num)
    codes, factors = latents_and_factors(model, network, seeds, progress)
    out: dict[str, float] = {}
    try:
        for space in spaces:
            found = scores(codes[space], factors, seed)
            out |= {f"{name}_{space}": value for name, value in found.items()}
    except ValueError as error:
        raise UserError(f"no disentanglement of {num} pictures: {error}") from error
    return out | {"factors": float(len(_checked(codes["z"], factors)[1]))}


def latents_and_factors(
    model, network, seeds: Sequence[int], progress: bool = False
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What a model's pictures were made from, and what they show.

    Args:
        model, network, progress: as of `measure`.
        seeds: one a picture.

    Returns:
        The codes by space, float64 [N, D], and the factors, as `network.factors` says.
    """
    from stylegan_tf import latents

    seeds = list(seeds)
    ws = sampling.styles(model, seeds)
    images = [p for _, p in sampling.draw(model, seeds, progress=progress)]
    z = latents.z_of(seeds, model.config.z_dim).astype(np.float64)
    w = ws[:, 0].astype(np.float64)
    codes = {"z": z, "w": w, "w_pca": principal(w)}
    return codes, network.factors(np.stack(images))


def principal(codes: np.ndarray) -> np.ndarray:
    """Codes along their principal axes, largest variance first: [N, D]."""
    centered = codes - codes.mean(axis=0)
    return centered @ np.linalg.eigh(centered.T @ centered)[1][:, ::-1]


# ---------------------------------------------------------------------------
# Parts


def _checked(codes, factors: FACTORS) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Codes, and the values of the factors that vary; ValueError where it must stop."""
    codes, found = np.asarray(codes, np.float64), {}
    if codes.ndim != 2 or len(codes) < 10 or codes.shape[1] < 2:
        raise ValueError(f"codes of shape {codes.shape}; at least 10 x 2 are needed.")
    for name, values in factors.items():
        values = np.asarray(values)
        values = values.argmax(axis=1) if values.ndim == 2 else values
        if len(values) != len(codes):
            raise ValueError(f"{len(values)} values of {name}, {len(codes)} codes.")
        kind = np.float64 if values.dtype.kind == "f" else int
        if values.min() < values.max():
            found[name] = values.astype(kind)
    if not np.isfinite(codes).all() or not all(
        np.isfinite(v).all() for v in found.values()
    ):
        raise ValueError("a code or factor is not finite.")
    if not found:
        raise ValueError("no factor varies.")
    return codes, found


def _forest(values: np.ndarray, seed: int):
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    kind = RandomForestRegressor if values.dtype.kind == "f" else RandomForestClassifier
    return kind(
        TREES, min_samples_leaf=LEAF, max_features=None, random_state=seed, n_jobs=-1
    )


def _beyond(truth: np.ndarray, said: np.ndarray) -> float:
    """The share of what the mean, or the commonest value, leaves open."""
    if truth.dtype.kind == "f":
        return float(1 - np.mean((truth - said) ** 2) / max(np.var(truth), 1e-300))
    commonest = np.bincount(truth).max() / len(truth)
    return float((np.mean(truth == said) - commonest) / max(1 - commonest, 1e-300))


def _entropies(rows: np.ndarray) -> np.ndarray:
    """Of each row as a distribution, to the base of its length; 1 for an empty row."""
    total = rows.sum(axis=1, keepdims=True)
    even = np.full_like(rows, 1 / rows.shape[1])
    p = np.divide(rows, total, out=even, where=total > 0)
    logs = np.log(p, out=np.zeros_like(p), where=p > 0)
    return -np.sum(p * logs, axis=1) / np.log(rows.shape[1])


def _bins(values: np.ndarray) -> np.ndarray:
    edges = np.linspace(values.min(), values.max(), BINS + 1)[1:-1]
    return np.digitize(values, edges)


def _line(code: np.ndarray, values: np.ndarray) -> float:
    """R2 of the best line: the squared correlation."""
    a, b = code - code.mean(), values - values.mean()
    spread = (a @ a) * (b @ b)
    return float((a @ b) ** 2 / spread) if spread > 0 else 0.0


def _thresholds(code: np.ndarray, values: np.ndarray) -> float:
    from sklearn.metrics import recall_score
    from sklearn.tree import DecisionTreeClassifier

    known, values = np.unique(values, return_inverse=True)
    tree = DecisionTreeClassifier(max_leaf_nodes=len(known), class_weight="balanced")
    tree.fit(code[0::2, None], values[0::2])
    said = tree.predict(code[1::2, None])
    right = recall_score(values[1::2], said, average="macro", zero_division=0)
    chance = 1 / len(known)
    return float(max(right - chance, 0) / (1 - chance))
