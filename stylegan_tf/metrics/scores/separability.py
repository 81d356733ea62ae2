"""Linear separability (Karras et al. 2019, section 4.2): are factors straight in w?

Of every attribute of the pictures, a hyperplane is sought in latent space that tells
the latents with it from those without. What the side of the plane leaves open about
the attribute is the conditional entropy H(attribute | side), in bits; the score is
2 to the power of the sum over the attributes, 1 at best. (The paper writes exp of the
sum in nats, which is the same number.)

What a picture shows is said by classifiers that are handed in; the paper's are 40
networks for the attributes of CelebA. Only numbers made with the same classifiers can
be compared.
"""

import warnings
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Separability:
    """The score and what it is made of.

    Attributes:
        score: 2^(sum of the entropies); 1 or more.
        entropies: attribute -> bits, from 0 to 1.
        unsettled: attributes whose plane was still moving when the solver stopped.
    """

    score: float
    entropies: dict[str, float]
    unsettled: tuple[str, ...]


def logits_of(factors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What factor classifiers said of N pictures, as attributes that are there or not.

    Args:
        factors: name -> probabilities [N, values] of a factor with so many values, or
            float [N] of a continuous one.

    Returns:
        Name -> logit [N], above 0 where the attribute is there: of two values the
        second against the first, of more each against the rest ("class=2"), of
        a continuous factor the upper half against the lower.

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
    """How well planes in latent space tell attributes apart.

    Args:
        latents: float [N, D], z or w of the pictures.
        logits: attribute -> float [N], above 0 where it is there.
        keep: share of the pictures, the most confidently judged, that are used.

    Raises:
        ValueError: nothing to judge by, or a value that is not finite.
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
        there = logit[chosen] > 0
        sides, settled = _sides(np.asarray(latents[chosen], np.float64), there)
        entropies[name] = conditional_entropy(there, sides)
        unsettled += [] if settled else [name]
    score = float(2 ** sum(entropies.values()))
    return Separability(score, entropies, tuple(unsettled))


def _sides(x: np.ndarray, there: np.ndarray) -> tuple[np.ndarray, bool]:
    """The side of the plane that each row of x is on; whether the solver finished."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    if there.all() or not there.any():
        return there, True  # no plane: the attribute leaves nothing open
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ConvergenceWarning)
        sides = LinearSVC(random_state=0).fit(x, there).predict(x)
    return sides, not any(issubclass(w.category, ConvergenceWarning) for w in said)


def conditional_entropy(label: np.ndarray, side: np.ndarray) -> float:
    """H(label | side) in bits, of two bool [N]; never below 0."""
    table = np.array(
        [[np.mean((label == a) & (side == b)) for b in (0, 1)] for a in (0, 1)]
    )
    total = np.broadcast_to(table.sum(axis=0), table.shape)
    given = np.divide(table, total, out=np.ones((2, 2)), where=table > 0)
    return float(max(-np.sum(table * np.log2(given)), 0.0))
