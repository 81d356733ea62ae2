"""Directions in w along which pictures change in a way that has a name.

Three ways to find them:

    pca     the main axes of w itself (GANSpace; Härkönen et al. 2020)
    sefa    what the affines of the styles answer to most: the eigenvectors of A^T A, A
            being their weights (SeFa; Shen & Zhou 2021)
    labels  across the boundary between pictures with and without something, or up the
            slope of a number (InterFaceGAN; Shen et al. 2020)

All of them work on arrays, and give a `Directions`: unit vectors, and the deviation of
w along each, which is what an amount is counted in. Equal arrays give equal vectors,
their signs included: the largest entry is positive, or, with labels, the label grows.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stylegan_tf.errors import UserError
from stylegan_tf.files import load_arrays, reals, save_arrays

FOLDS = 5  # of the cross-validation that says how well a label is told from w
NUMBERS = ("vectors", "scales", "quality")  # of `Directions`
FEWEST = 10  # pictures of each kind that a boundary is drawn between


@dataclass(frozen=True)
class Directions:
    """Named directions in w.

    Attributes:
        names: one a direction.
        vectors: float32 [K, w_dim], of length 1.
        scales: float32 [K], standard deviation of w along each.
        quality: float32 [K], how much there is to it: the share of w's variance (pca),
            or of the affines' answer (sefa); with labels, held-out accuracy, balanced
            between the two kinds, or the R^2 of a number.
        source: how they were found, in words.
        layers: the layers they are meant for; empty = all.
    """

    names: tuple[str, ...]
    vectors: np.ndarray
    scales: np.ndarray
    quality: np.ndarray
    source: str
    layers: tuple[int, ...] = ()

    def step(self, name: str) -> np.ndarray:
        """One standard deviation along a direction, float32 [w_dim].

        Raises:
            UserError: there is none of that name.
        """
        if name not in self.names:
            raise UserError(
                f"there is no direction {name!r} among {', '.join(self.names)}."
            )
        i = self.names.index(name)
        return self.vectors[i] * self.scales[i]

    def save(self, path: Path | str) -> Path:
        """Writes `.npz`, in one step."""
        arrays = {name: getattr(self, name) for name in NUMBERS}
        arrays |= {"names": np.array(self.names, "U")}
        arrays |= {"source": np.array(self.source, "U")}
        arrays |= {"layers": np.array(self.layers, int)}
        return save_arrays(path, arrays)


def load(path: Path | str, num_styles: int, w_dim: int) -> Directions:
    """Reads what `Directions.save` wrote, for a model of these sizes.

    Raises:
        UserError: no such file, another kind of file, or another model's directions.
    """
    found = load_arrays(path)
    wanted = ("names", *NUMBERS, "source", "layers")
    missing = [name for name in wanted if name not in found]
    if missing:
        raise UserError(
            f"{path} has no {', '.join(missing)}: it holds no directions; "
            f"launch/directions.py writes them."
        )
    numbers = [reals(path, found, name) for name in NUMBERS]
    vectors, names, layers = numbers[0], found["names"], found["layers"]
    if vectors.ndim != 2 or vectors.shape[1] != w_dim:
        shape = " x ".join(map(str, vectors.shape))
        raise UserError(
            f"{path} holds directions of {shape}; the model's w has {w_dim} values. "
            f"Were they found in another model?"
        )
    if {x.shape for x in (names, *numbers[1:])} != {(len(vectors),)}:
        raise UserError(f"{path} is damaged: its names and vectors do not match.")
    if layers.ndim != 1 or layers.dtype.kind not in "iuf":
        raise UserError(f"{path} is damaged: its layers are no list of numbers.")
    if layers.size and not 0 <= layers.min() <= layers.max() < num_styles:
        raise UserError(
            f"{path} is for layers up to {int(layers.max())}; the model has 0 to "
            f"{num_styles - 1}. Were they found in another model?"
        )
    names, layers = map(str, names), map(int, layers)
    return Directions(tuple(names), *numbers, str(found["source"]), tuple(layers))


def _made(names, vectors, quality, w: np.ndarray, source: str, layers=()) -> Directions:
    vectors = np.asarray(vectors, np.float64)
    scales = (np.asarray(w, np.float64) @ vectors.T).std(axis=0)
    numbers = [np.asarray(x, np.float32) for x in (vectors, scales, quality)]
    return Directions(tuple(names), *numbers, source, tuple(layers))


def _upright(vectors: np.ndarray) -> np.ndarray:
    """The same axes, each with its largest entry positive."""
    largest = np.abs(vectors).argmax(axis=1)
    return vectors * np.sign(vectors[np.arange(len(vectors)), largest])[:, None]


# ---------------------------------------------------------------------------
# Without labels


def pca(w: np.ndarray, count: int) -> Directions:
    """The main axes of w, `pca0` being the longest.

    Args:
        w: float [N, w_dim].
        count: how many; no more than there are dimensions.
    """
    from sklearn.decomposition import PCA

    w = np.asarray(w, np.float64)
    found = PCA(min(count, *w.shape), svd_solver="full").fit(w)
    names = [f"pca{i}" for i in range(len(found.components_))]
    vectors, shares = _upright(found.components_), found.explained_variance_ratio_
    return _made(names, vectors, shares, w, f"pca of {len(w)} w")


def affines(model) -> list[list[np.ndarray]]:
    """The weights by which each style reaches the pictures.

    Args:
        model: `Generator`, of any architecture with a style a layer.

    Returns:
        For each of the num_styles styles what it feeds: float64 [w_dim, outputs] each,
        AdaIN's scales and shifts, or the modulations of convolutions and pictures.

    Raises:
        UserError: the model has no styles.
    """
    c = model.config
    if not c.has_styles:
        raise UserError(
            f"the model (architecture {c.architecture}) has no style a layer, so no "
            f"affines to factorise; use pca."
        )
    if c.architecture == "stylegan3":
        return _affines_of_stylegan3(model.synthesis)
    found: list[list[np.ndarray]] = [[] for _ in range(c.num_styles)]
    resolutions = [4 << i for i in range(c.num_layers // 2)]
    for i, r in enumerate(resolutions):
        block = getattr(model.synthesis, f"block{r}")
        if c.architecture == "stylegan":
            for j in range(2):
                found[2 * i + j].append(getattr(block, f"epilogue{j}").style.affine)
            continue
        if r > 4:
            found[2 * i - 1].append(block.conv0.conv.affine)
        found[2 * i].append(block.conv1.conv.affine)
        if hasattr(model.synthesis, f"to_rgb{r}"):
            found[2 * i + 1].append(getattr(model.synthesis, f"to_rgb{r}").affine)
    return [[_weights(dense) for dense in own] for own in found]


def _affines_of_stylegan3(synthesis) -> list[list[np.ndarray]]:
    """Those of the Fourier features, then one a layer."""
    kernel = np.asarray(synthesis.input_features.affine_kernel.numpy(), np.float64)
    first = kernel / len(kernel) ** 0.5
    count = synthesis.config.num_layers
    layers = [getattr(synthesis, f"layer{i}").affine for i in range(count)]
    return [[first], *([_weights(dense)] for dense in layers)]


def _weights(dense) -> np.ndarray:
    """What an equalized dense layer multiplies by, float64 [inputs, outputs]."""
    return np.asarray(dense.kernel.numpy(), np.float64) * dense.runtime_coef


def sefa(
    weights: Sequence[Sequence[np.ndarray]],
    w: np.ndarray,
    count: int,
    layers: Sequence[int] = (),
) -> Directions:
    """Directions that the styles of some layers answer to most, `sefa0` first.

    The unit vectors n for which |A n| is largest, one after the other: eigenvectors of
    A^T A, where A has all the layers' weights in its rows.

    Args:
        weights: of `affines`.
        w: float [N, w_dim], for the scales.
        count: how many; no more than there are dimensions.
        layers: which layers' weights count, and where the edit belongs; () = all.
    """
    chosen = [a for i in (layers or range(len(weights))) for a in weights[i]]
    if not chosen:
        raise UserError(f"layers {list(layers)} have no affine to factorise.")
    a = np.concatenate(
        [np.asarray(m, np.float64).T for m in chosen]
    )  # [outputs, w_dim]
    values, vectors = np.linalg.eigh(a.T @ a)  # ascending
    values, vectors = values[::-1], _upright(vectors.T[::-1])
    names = [f"sefa{i}" for i in range(min(count, len(values)))]
    shares = values / values.sum()
    where = f"layers {list(layers)}" if layers else "all layers"
    k = len(names)
    source = f"sefa of the affines of {where}"
    return _made(names, vectors[:k], shares[:k], w, source, layers)


# ---------------------------------------------------------------------------
# With labels


def from_labels(w: np.ndarray, labels: dict[str, np.ndarray]) -> Directions:
    """A direction for every label, or for every value of a label with several.

    Args:
        w: float [N, w_dim], of the pictures that were labeled.
        labels: name -> what each picture has; rows that hold NaN, None or "" are left
            out. [N] with two different values, numbers or words: the normal of the
            boundary between them, towards the second in order. [N] with more numbers:
            the slope of a ridge regression. [N] with more words, or [N, values] of
            probabilities: a boundary for each value against the rest, `name.value`.

    Raises:
        UserError: a label that is the same everywhere, or too few pictures of a kind.
    """
    names, vectors, quality = [], [], []
    w = np.asarray(w, np.float64)
    for name, values in labels.items():
        for own, rows, target in _targets(name, np.asarray(values)):
            vector, score = _fit(own, w[rows], target)
            names.append(own)
            vectors.append(vector)
            quality.append(score)
    if not names:
        raise UserError(
            f"no label has at least {FEWEST} pictures of two kinds; label more."
        )
    return _made(names, vectors, quality, w, f"labels of {len(w)} pictures")


def _targets(name: str, values: np.ndarray):
    """Yields name, rows that count, and what to tell: bool, or float for a number."""
    if values.ndim == 2:
        rows = np.isfinite(values).all(axis=1)
        best = values[rows].argmax(axis=1)
        width = values.shape[1]
        for k in [1] if width == 2 else range(width):
            own = name if width == 2 else f"{name}.{k}"
            if min((best == k).sum(), (best != k).sum()) >= FEWEST:
                yield own, rows, best == k
        return
    rows = np.array([v is not None and str(v) not in ("", "nan") for v in values], bool)
    present = values[rows]
    numbers = _numbers(present)
    kinds = np.unique(present.astype(str) if numbers is None else numbers)
    if len(kinds) < 2:
        raise UserError(f"label {name!r} is the same for every picture.")
    present = present.astype(str) if numbers is None else numbers
    if len(kinds) == 2:
        yield name, rows, present == kinds[1]
    elif numbers is not None:
        yield name, rows, numbers
    else:
        for kind in kinds:
            if min((present == kind).sum(), (present != kind).sum()) >= FEWEST:
                yield f"{name}.{kind}", rows, present == kind


def _numbers(values: np.ndarray) -> np.ndarray | None:
    try:
        return values.astype(np.float64)
    except ValueError:
        return None


def _fit(name: str, w: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, float]:
    """Unit vector and held-out score of one boundary or slope.

    Entries of w are brought to one deviation first, so that the penalty treats them
    alike; the normal is taken back to w.
    """
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    two = target.dtype == bool
    fewest = min(target.sum(), (~target).sum()) if two else len(target)
    if fewest < FEWEST:
        raise UserError(
            f"label {name!r} has {fewest} pictures of a kind; at least {FEWEST} are "
            f"needed."
        )
    how = {"max_iter": 2000, "class_weight": "balanced"}
    last = LogisticRegression(**how) if two else RidgeCV(np.logspace(-3, 4, 15))
    model = make_pipeline(StandardScaler(), last)
    scoring = "balanced_accuracy" if two else "r2"
    score = cross_val_score(model, w, target, cv=FOLDS, scoring=scoring).mean()
    model.fit(w, target)
    slope = np.ravel(last.coef_) / model[0].scale_
    return slope / max(np.linalg.norm(slope), 1e-300), float(score)


def read_labels(path: Path | str) -> tuple[list[int], dict[str, np.ndarray]]:
    """Reads `seed,name1,name2,...`: a line a picture, an empty cell for no label.

    Raises:
        UserError: no such file, no column `seed`, or a line that does not fit.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if any(c.strip() for c in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as CSV: {error}") from error
    header = [c.strip() for c in rows[0]] if rows else []
    if len(header) < 2 or header[0] != "seed" or len(set(header)) < len(header):
        raise UserError(
            f"{path} begins with {','.join(header)!r}; expected a line such as "
            f"seed,smile,age, and then a line a picture, such as 17,1,0.4."
        )
    for i, row in enumerate(rows[1:], start=2):
        if len(row) != len(header) or not re.fullmatch(r"\s*\d+\s*", row[0]):
            raise UserError(
                f"{path}, line {i}: {','.join(row)!r} is no seed and "
                f"{len(header) - 1} labels."
            )
    cells = [[c.strip() for c in row] for row in rows[1:]]
    columns = {name: [row[j] for row in cells] for j, name in enumerate(header)}
    seeds = [int(s) for s in columns.pop("seed")]
    return seeds, {name: np.array(own, "U") for name, own in columns.items()}
