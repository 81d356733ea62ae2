"""Numbers that are not finite: in checkpoints, and in most gradients of a tick."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from stylegan_tf.config import TrainConfig
from stylegan_tf.errors import UserError
from stylegan_tf.networks import ops
from stylegan_tf.training.passes import Networks

MOST_ROLLBACKS = 2  # per run; then it stops
RATE_FACTOR = 0.5  # of the learning rate, at each
RUNAWAY = 1e3  # a score; those of a healthy run stay below a hundred


def lowered_rate(rollbacks: int) -> float:
    """Returns the factor of the learning rate after so many rollbacks."""
    return RATE_FACTOR**rollbacks


def begin_anew(means: list[tuple[keras.Variable, np.ndarray]]) -> list[str]:
    """Sets running means that are not finite to their first values; names them.

    Args:
        means: variables, each with its value before training.
    """
    mended = []
    for variable, first in means:
        if names := ops.names_not_finite([variable]):
            variable.assign(first)
            mended += names
    return mended


def check_finite(networks: Networks, run: Path) -> None:
    """Refuses a checkpoint that was restored from a run.

    Raises:
        UserError: weights or an optimizer's slots are not finite.
    """
    models = networks.generator, networks.discriminator, networks.average
    stored = [v for model in models for v in model.weights]
    stored += [*networks.g_optimizer.variables, *networks.d_optimizer.variables]
    if names := ops.names_not_finite(stored):
        shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
        raise UserError(
            f"the newest checkpoint in {run} has numbers that are not finite in "
            f"{len(names)} arrays: {shown}. Start a run from an earlier one: "
            f"--init={shlex.quote(f'{run}/checkpoints/ckpt-NUMBER')}."
        )


def diagnose(
    config: TrainConfig,
    stats: Mapping[str, float],
    not_finite: Mapping[str, int],
    labels: np.ndarray,
    weights: list[str],
    rate: float = 1.0,
) -> str:
    """Says what is not finite and what to try, in one or two sentences.

    Args:
        config: the run.
        stats: means over the tick, NaN if a metric was never finite.
        not_finite: metric -> steps of the tick in which it was not finite.
        labels: float32 [N, classes], of the latest batch.
        weights: names of weights that are not finite.
        rate: factor of the learning rate in this tick, see `lowered_rate`.
    """
    c, lower = config.loss, _half_the_rate(config, rate)
    if not np.isfinite(labels).all():
        return (
            "The labels of the data set have numbers that are not finite: mend them, "
            "and check the set with make_dataset.py --check."
        )
    if weights:
        return (
            f"Weights are not finite: {', '.join(weights[:3])}. Try a lower rate, "
            f"{lower}."
        )
    scores = [stats[f"scores/{kind}"] for kind in ("real", "fake")]
    # A batch of one pass spoils all that follows, so the first of these is the cause.
    unbounded = any(name.startswith("scores/") for name in not_finite)
    if unbounded or not all(abs(score) < RUNAWAY for score in scores):
        shown = ", ".join(
            f"{s:.3g}" if np.isfinite(s) else "not finite" for s in scores
        )
        return (
            f"D's scores of real and generated pictures ran away ({shown}): the "
            f"learning rate is too high. Try {lower}, or a higher "
            f"--gamma than {c.r1_gamma:g}."
        )
    if any(name.startswith("penalty/r") for name in not_finite):
        return (
            f"D's gradient penalty is not finite while its scores are: gamma is too "
            f"high. Try a lower --gamma than {c.r1_gamma:g}."
        )
    if "penalty/path_length" in not_finite:
        return (
            f"The path lengths of G are not finite: try a lower "
            f"--set=loss.pl_weight than {c.pl_weight:g}, or {lower}."
        )
    both = ("skipped/g", "G's"), ("skipped/d", "D's")
    whose = " and ".join(word for name, word in both if stats[name] > 0.5)
    precision = "" if config.precision == "float32" else "--precision=float32, or "
    return (
        f"{whose} gradients are not finite while the scores are: try "
        f"{precision}{lower}."
    )


def _half_the_rate(config: TrainConfig, factor: float) -> str:
    """The flag that halves the rate; `lr_at` goes before `lr` where it names a size."""
    s, factor = config.schedule, factor / 2
    if not s.lr_at:
        return f"--set=schedule.lr={s.lr * factor:g}"
    halves = json.dumps({str(size): rate * factor for size, rate in s.lr_at.items()})
    return f"--set=schedule.lr_at='{halves}'"
