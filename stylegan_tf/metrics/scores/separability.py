"""Linear separability of attributes in latent space (Karras et al. 2019, section 4.2).

For each attribute of the images a linear SVM fits a hyperplane in latent space. The
conditional entropy H(attribute | side of the plane), in bits, is the information that
the plane leaves open. The score is 2 to the power of the sum over attributes, 1 at
best. (The paper writes exp of the sum in nats, the same number.)

Classifiers tell the attributes of an image; the paper uses 40 networks for the
attributes of CelebA. Only scores made with the same classifiers can be compared.
"""

import warnings
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Separability:
    """The separability score and its parts.

    Attributes:
        score: 2^(sum of the entropies); 1 or more.
        entropies: attribute -> bits in [0, 1].
        unsettled: attributes whose SVM did not converge.
    """

    score: float
    entropies: dict[str, float]
    unsettled: tuple[str, ...]


def attribute_logits(factors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Turns the factors of N images into binary attributes.

    Args:
        factors: name -> probabilities [N, values] of a categorical factor, or float [N]
            of a continuous one.

    Returns:
        Name -> logits [N], above 0 for images with the attribute. A factor of two
        values gives the second against the first; one of more values each against the
        rest ("class=2"); a continuous one the upper half against the lower.

    Raises:
        ValueError: a value is not finite, or an array of another shape.
    """
    out = {}
    for name, values in factors.items():
        x = np.asarray(values, np.float64)
        if not np.isfinite(x).all():
            raise ValueError(f"the classifier of {name} says what is not finite.")
        if x.ndim == 1:
            out[name] = x - np.median(x)
        elif x.ndim == 2 and x.shape[1] == 2:
            out[name] = _logit(x[:, 1])
        elif x.ndim == 2 and x.shape[1] > 2:
            out |= {f"{name}={i}": _logit(x[:, i]) for i in range(x.shape[1])}
        else:
            raise ValueError(f"the classifier of {name} gives shape {x.shape}.")
    return out


def _logit(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, 1e-12, 1 - 1e-12)
    return np.log(p) - np.log1p(-p)


def separability(
    latents: np.ndarray, logits: dict[str, np.ndarray], keep: float = 0.5
) -> Separability:
    """Measures how well hyperplanes in latent space separate attributes.

    Args:
        latents: float [N, D], z or w of the images.
        logits: attribute -> float [N], above 0 for images with the attribute.
        keep: share of the images to use, the most confidently classified ones.

    Raises:
        ValueError: no attributes, or a value that is not finite.
    """
    if not logits:
        raise ValueError("no classifiers: there is nothing to separate.")
    if not np.isfinite(latents).all():
        raise ValueError("a latent is not finite; nothing can separate it.")
    entropies, unsettled = {}, []
    for name, logit in logits.items():
        if len(logit) != len(latents) or not np.isfinite(logit).all():
            raise ValueError(f"the logits of {name} are not {len(latents)} numbers.")
        order = np.argsort(-np.abs(logit), kind="stable")
        chosen = np.sort(order[: int(len(logit) * keep)])
        label = logit[chosen] > 0
        sides, settled = _sides(np.asarray(latents[chosen], np.float64), label)
        entropies[name] = conditional_entropy(label, sides)
        unsettled += [] if settled else [name]
    score = float(2 ** sum(entropies.values()))
    return Separability(score, entropies, tuple(unsettled))


def _sides(x: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, bool]:
    """Returns the side of the SVM's plane of each row, and True if it converged."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    if label.all() or not label.any():
        return label, True  # a constant attribute has no entropy
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        sides = LinearSVC(random_state=0).fit(x, label).predict(x)
    return sides, not any(issubclass(w.category, ConvergenceWarning) for w in caught)


def conditional_entropy(label: np.ndarray, side: np.ndarray) -> float:
    """Returns H(label | side) in bits of two bool [N], at least 0."""
    table = np.array(
        [[np.mean((label == a) & (side == b)) for b in (0, 1)] for a in (0, 1)]
    )
    total = np.broadcast_to(table.sum(axis=0), table.shape)
    given = np.divide(table, total, out=np.ones((2, 2)), where=table > 0)
    return float(max(-np.sum(table * np.log2(given)), 0.0))
