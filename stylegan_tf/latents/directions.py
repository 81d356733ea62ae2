"""Finds directions in w along which images change in a way that has a name.

There are three methods:

    pca     the principal axes of w (GANSpace; Härkönen et al. 2020)
    sefa    the eigenvectors of A^T A, where A holds the weights of the affine layers
            that read the style (SeFa; Shen & Zhou 2021)
    labels  the normal of the boundary between images with and without a label, or the
            gradient of a number (InterFaceGAN; Shen et al. 2020)

All of them work on arrays and return `Directions`: unit vectors, and the standard
deviation of w along each, the unit of an edit's amount. Equal arrays give equal
vectors, signs included: the largest entry is positive, or, with labels, the label
grows.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stylegan_tf.errors import UserError
from stylegan_tf.files import read_regular_text
from stylegan_tf.formats.arrays import float_array, load_arrays, save_arrays

FOLDS = 5  # of the cross-validation that scores a label's direction
NUMBERS = ("vectors", "scales", "quality")  # of `Directions`
FEWEST = 10  # images of each kind for a boundary


@dataclass(frozen=True)
class Directions:
    """Named directions in w.

    Attributes:
        names: K names.
        vectors: float32 [K, w_dim], of length 1.
        scales: float32 [K], standard deviation of w along each.
        quality: float32 [K]: the share of w's variance (pca) or of the eigenvalues
            (sefa); with labels, held-out balanced accuracy, or the R^2 of a number.
        source: the method, in words.
        layers: the layers that edits change; () = all.
    """

    names: tuple[str, ...]
    vectors: np.ndarray
    scales: np.ndarray
    quality: np.ndarray
    source: str
    layers: tuple[int, ...] = ()

    def step(self, name: str) -> np.ndarray:
        """Returns one standard deviation along a direction, float32 [w_dim].

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


def load_directions(path: Path | str, num_styles: int, w_dim: int) -> Directions:
    """Reads the file of `Directions.save`, for a model of these sizes.

    Raises:
        UserError: no such file, another kind of file, or another model's directions.
    """
    arrays = load_arrays(path)
    wanted = ("names", *NUMBERS, "source", "layers")
    missing = [name for name in wanted if name not in arrays]
    if missing:
        raise UserError(
            f"{path} has no {', '.join(missing)}: it holds no directions; "
            f"launch/directions.py writes them."
        )
    numbers = [float_array(path, arrays, name) for name in NUMBERS]
    vectors, names, layers = numbers[0], arrays["names"], arrays["layers"]
    if vectors.ndim != 2 or vectors.shape[1] != w_dim:
        shape = " x ".join(map(str, vectors.shape)) or "one number"
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
    return Directions(tuple(names), *numbers, str(arrays["source"]), tuple(layers))


def _with_scales(
    names: Sequence[str],
    vectors: np.ndarray | list[np.ndarray],
    quality: np.ndarray | list[float],
    w: np.ndarray,
    source: str,
    layers: Sequence[int] = (),
) -> Directions:
    """Returns `Directions` whose scales are measured on w, [N, w_dim]."""
    vectors = np.asarray(vectors, np.float64)
    scales = (np.asarray(w, np.float64) @ vectors.T).std(axis=0)
    numbers = [np.asarray(x, np.float32) for x in (vectors, scales, quality)]
    return Directions(tuple(names), *numbers, source, tuple(layers))


def _fix_signs(vectors: np.ndarray) -> np.ndarray:
    """Flips vectors so that the largest entry of each is positive."""
    largest = np.abs(vectors).argmax(axis=1)
    return vectors * np.sign(vectors[np.arange(len(vectors)), largest])[:, None]


# ---------------------------------------------------------------------------
# Without labels


def pca(w: np.ndarray, count: int) -> Directions:
    """Returns the principal axes of w, the longest, `pca0`, first.

    Args:
        w: float [N, w_dim].
        count: most directions; there are at most w_dim.
    """
    from sklearn.decomposition import PCA

    w = np.asarray(w, np.float64)
    found = PCA(min(count, *w.shape), svd_solver="full").fit(w)
    names = [f"pca{i}" for i in range(len(found.components_))]
    vectors, shares = _fix_signs(found.components_), found.explained_variance_ratio_
    return _with_scales(names, vectors, shares, w, f"pca of {len(w)} w")


def sefa(
    weights: Sequence[Sequence[np.ndarray]],
    w: np.ndarray,
    count: int,
    layers: Sequence[int] = (),
) -> Directions:
    """Returns the directions that change the styles of some layers most, `sefa0` first.

    They are the unit vectors n with the largest |A n|, the eigenvectors of A^T A, where
    the rows of A are the weights of all the layers.

    Args:
        weights: of the affine layers of each style, float [w_dim, outputs] each; see
            `steering.style_affines`.
        w: float [N, w_dim], for the scales.
        count: most directions; there are at most w_dim.
        layers: whose weights are used, and which an edit changes; () = all.

    Raises:
        UserError: the layers have no affine weights.
    """
    chosen = [a for i in (layers or range(len(weights))) for a in weights[i]]
    if not chosen:
        raise UserError(f"layers {list(layers)} have no affine to factorize.")
    a = np.concatenate(
        [np.asarray(m, np.float64).T for m in chosen]
    )  # [outputs, w_dim]
    values, vectors = np.linalg.eigh(a.T @ a)  # ascending
    values, vectors = values[::-1], _fix_signs(vectors.T[::-1])
    names = [f"sefa{i}" for i in range(min(count, len(values)))]
    shares = values / values.sum()
    where = f"layers {list(layers)}" if layers else "all layers"
    k = len(names)
    source = f"sefa of the affines of {where}"
    return _with_scales(names, vectors[:k], shares[:k], w, source, layers)


# ---------------------------------------------------------------------------
# With labels


def label_directions(w: np.ndarray, labels: dict[str, np.ndarray]) -> Directions:
    """Returns a direction per label, or per value of a label with several.

    Args:
        w: float [N, w_dim], of the labeled images.
        labels: name -> values; rows of NaN, None or "" are left out. [N] of two
            different values, numbers or words: the normal of the boundary between them,
            towards the second in order. [N] of more numbers: the gradient of a ridge
            regression. [N] of more words, or [N, values] of probabilities: a boundary
            between each value and the rest, `name.value`.

    Raises:
        UserError: a label that is the same everywhere, or too few pictures of a kind.
    """
    names, vectors, quality = [], [], []
    w = np.asarray(w, np.float64)
    for name, values in labels.items():
        for own, rows, target in _targets(name, np.asarray(values)):
            vector, score = _fit_direction(own, w[rows], target)
            names.append(own)
            vectors.append(vector)
            quality.append(score)
    if not names:
        raise UserError(
            f"no label has at least {FEWEST} pictures of two kinds; label more."
        )
    return _with_scales(names, vectors, quality, w, f"labels of {len(w)} pictures")


def _targets(
    name: str, values: np.ndarray
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yields name, labeled rows, and targets: bool, or float for a number."""
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


def _fit_direction(
    name: str, w: np.ndarray, target: np.ndarray
) -> tuple[np.ndarray, float]:
    """Returns unit vector and held-out score of one boundary or regression.

    Entries of w are standardized first, so that the penalty treats them alike; the
    normal is transformed back to w.
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
    gradient = np.ravel(last.coef_) / model[0].scale_
    return gradient / max(np.linalg.norm(gradient), 1e-300), float(score)


def read_labels(path: Path | str) -> tuple[list[int], dict[str, np.ndarray]]:
    """Reads a CSV file `seed,name1,name2,...`: a line per image, empty cells unlabeled.

    Returns:
        Seeds, and name -> values, strings.

    Raises:
        UserError: no such file, no column `seed`, or a line that does not fit.
    """
    try:
        text = io.StringIO(read_regular_text(path), newline="")
        rows = [row for row in csv.reader(text) if any(c.strip() for c in row)]
    except FileNotFoundError as error:
        raise UserError(
            f"there is no {path}; make a table of pictures that you looked at, with a "
            "first line such as seed,smile and a line such as 12,yes for each picture."
        ) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"{path} cannot be read as CSV: {why}") from error
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
