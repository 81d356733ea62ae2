"""Sums of the metrics between two log lines."""

import time

import numpy as np
import tensorflow as tf

from stylegan_tf.config.schedule import Phase
from stylegan_tf.training.objectives import Regularization
from stylegan_tf.training.step import METRICS

LOST = 1e6  # a mean score of D that no training comes back from; see also RUNAWAY


class TickStats:
    """Sums of the metrics between two log lines; numbers that are not finite count 0.

    Args:
        nimg: images seen when the tick begins.
        number: ticks before it in this session.
        skipped: steps that the run skipped before it.
    """

    def __init__(self, nimg: int, number: int = 0, skipped: int = 0):
        self.start, self.number, self.steps = nimg, number, 0
        self.skipped_before = skipped
        self.began = time.perf_counter()
        self._sums: dict[Regularization, tuple[int, tf.Tensor, tf.Tensor]] = {}

    def add(self, metrics: tf.Tensor, regularization: Regularization) -> None:
        """Adds the metrics of one step."""
        self.steps += 1
        n, total, finite = self._sums.get(regularization, (0, 0.0, 0.0))
        is_finite = tf.math.is_finite(metrics)
        total += tf.where(is_finite, metrics, tf.zeros_like(metrics))
        finite += tf.cast(is_finite, tf.float32)
        self._sums[regularization] = n + 1, total, finite

    def is_over(self, nimg: int, phase: Phase) -> bool:
        """True if the tick has seen its images."""
        return nimg >= self.start + phase.tick_kimg * 1000

    def images(self, nimg: int) -> int:
        """Returns the images of this tick so far."""
        return nimg - self.start

    def means(self) -> dict[str, float]:
        """Returns means over the tick; of penalties, over the steps that had them.

        NaN stands for a metric that was finite in no step.
        """
        sums = self._arrays()
        out = {}
        for i, name in enumerate(METRICS):
            values = [(n, s[i], f[i]) for r, n, s, f in sums if r.has(name)]
            steps, finite = sum(v[0] for v in values), float(sum(v[2] for v in values))
            total = float(sum(v[1] for v in values))
            out[name] = total / finite if finite else (np.nan if steps else 0.0)
        return out

    def not_finite(self) -> dict[str, int]:
        """Returns metric -> steps in which it was not finite, if in any."""
        counts = {
            name: sum(n - int(f[i]) for _, n, _, f in self._arrays())
            for i, name in enumerate(METRICS)
        }
        return {name: count for name, count in counts.items() if count}

    def skipped(self) -> int:
        """Returns the optimizers' steps that were skipped in this tick."""
        names = ("skipped/g", "skipped/d")
        return round(sum(self._total(name) for name in names))

    def divergence(self) -> str:
        """Returns why the steps so far lead nowhere, in words; "" if they do not.

        G or D skipped more than half of them, or D's scores are beyond all sense.
        """
        names = ("skipped/g", "skipped/d")
        if max(self._total(name) for name in names) > self.steps / 2:
            return f"most of {self.steps} steps had a gradient that was not finite"
        means = self.means()
        scores = [means[f"scores/{kind}"] for kind in ("real", "fake")]
        if any(abs(score) > LOST for score in scores):
            shown = " and ".join(f"{score:.3g}" for score in scores)
            return f"D's scores of real and generated pictures were {shown}"
        return ""

    def _total(self, name: str) -> float:
        i = METRICS.index(name)
        return float(sum(s[i] for _, _, s, _ in self._arrays()))

    def _arrays(self) -> list[tuple]:
        return [
            (r, n, np.asarray(s), np.asarray(f)) for r, (n, s, f) in self._sums.items()
        ]
