"""What D and G pay: losses of scores, penalties on D's gradient, and their slopes.

The losses are those of `losses.py`; which of them, and how heavy, is the run's choice
(`config.LossConfig`).
"""

from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from stylegan_tf.config.run import LossConfig
from stylegan_tf.networks import recompute
from stylegan_tf.training import losses
from stylegan_tf.training.passes import Passes
from stylegan_tf.training.randomness import Draws


class Due(NamedTuple):
    """Which regularizations an iteration has."""

    d_reg: bool
    g_reg: bool

    @classmethod
    def at(cls, config: LossConfig, iteration: int) -> "Due":
        """Those of one iteration, counted from 0."""
        return cls(
            config.has_penalty and iteration % config.d_reg_interval == 0,
            config.pl_weight > 0 and iteration % config.g_reg_interval == 0,
        )

    def has(self, metric: str) -> bool:
        """Whether a metric is measured in such an iteration."""
        if metric.startswith(("penalty/path", "path_length/")):
            return self.g_reg
        return self.d_reg or not metric.startswith("penalty/")


@dataclass(eq=False)
class Costs(Passes):
    """What the networks pay at one resolution.

    Args:
        due: the regularizations that are paid; None = all that the run has. The others
            are those of `Passes`.
    """

    due: Due | None = None

    def __post_init__(self):
        self.due = self.due or Due.at(self.config.loss, 0)
        self.fading = self.resolution > self.config.schedule.initial_resolution
        # Official penalties are taken on pictures enlarged to the final size.
        self.gradient_scale = self.resolution / self.config.generator.resolution

    def d_variables(self) -> list:
        """D's weights that have a part at this resolution."""
        return self.nets.discriminator.stage_variables(self.resolution, self.fading)

    def discriminator_slopes(
        self, reals, images, draws: Draws, alpha, clock: dict
    ) -> tuple[list[tf.Tensor], dict[str, tf.Tensor]]:
        """D's gradients from real pictures and as many generated ones; and stats."""
        score, of_fakes = None, None
        if self._in_turn:
            score, of_fakes = self._fakes_alone(images, draws, alpha, clock)
            images = tf.stop_gradient(images)
            with tf.control_dependencies(of_fakes):
                reals = tf.identity(reals)
        with tf.GradientTape() as tape:
            loss, stats = self.discriminator_loss(
                reals, images, draws, alpha, clock, score
            )
        of_d = slopes(tape, loss, self.d_variables())
        if of_fakes is not None:
            of_d = [a + b for a, b in zip(of_d, of_fakes, strict=True)]
        return of_d, stats

    @property
    def _in_turn(self) -> bool:
        """True if D's maps of generated pictures are gone before those of real ones."""
        return self.config.recompute and not self.config.loss.r2_gamma

    def _fakes_alone(self, images, draws: Draws, alpha, clock: dict):
        """D on generated pictures: each loss of D is their term and that of real ones.

        Returns:
            Their scores [N, 1], as constants, and the slopes.
        """
        d_loss = losses.DISCRIMINATOR[self.config.loss.d_loss]
        with tf.GradientTape() as tape:
            score = self.scores(draws, alpha, clock)["fake"](images)
            loss = tf.reduce_mean(d_loss(tf.zeros_like(score), score))
        return tf.stop_gradient(score), slopes(tape, loss, self.d_variables())

    def discriminator_loss(
        self, reals, fakes, draws: Draws, alpha, clock: dict, fake=None
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Loss and penalties, averaged over the examples; and what they were.

        `fake` are the scores of `fakes` where they are known, as constants.
        """
        c = self.config.loss
        penalty, stats = 0.0, {}
        if self.due.d_reg and not c.lazy:
            scores = self.scores(draws, alpha, clock)
            known, penalty, stats = self._penalties(scores, reals, fakes, draws.mix)
            real = known["real"] if "real" in known else scores["real"](reals)
            if fake is None:
                fake = known["fake"] if "fake" in known else scores["fake"](fakes)
        elif fake is None:
            real, fake = self.score_both(reals, fakes, draws, alpha, clock)
        else:
            real = self.scores(draws, alpha, clock)["real"](reals)
        loss = losses.DISCRIMINATOR[c.d_loss](real, fake)
        if c.drift:
            loss += c.drift * losses.drift(real)
        means = {
            "loss/d": loss,
            "scores/real": real,
            "scores/fake": fake,
            "signs/real": tf.sign(real),
            "signs/fake": tf.sign(fake),
        }
        stats |= {k: tf.reduce_mean(v) for k, v in means.items()}
        return tf.reduce_mean(loss + penalty), stats

    def _penalties(self, scores: dict, reals, fakes, mix: tf.Tensor | None):
        """Penalties on D's gradient, weighted for how often they are left out.

        Returns:
            Scores [N, 1] that came with them, by "real" and "fake"; their sum [N, 1];
            and what they were.
        """
        c, known, zero = self.config.loss, {}, tf.zeros([])
        r1 = r2 = gp = zero
        if c.r1_gamma:
            known["real"], slope = losses.scores_and_gradients(scores["real"], reals)
            r1 = losses.zero_centered(slope, self.gradient_scale)
        if c.r2_gamma:
            known["fake"], slope = losses.scores_and_gradients(scores["fake"], fakes)
            r2 = losses.zero_centered(slope, self.gradient_scale)
        if c.gp_weight:
            gp, _ = losses.gradient_penalty(
                scores["real"], reals, fakes, mix, c.gp_target, self.gradient_scale
            )
        total = c.r1_gamma * r1 + c.r2_gamma * r2 + c.gp_weight * gp
        stats = {"penalty/r1": r1, "penalty/r2": r2, "penalty/gp": gp}
        stats = {k: tf.reduce_mean(v) for k, v in stats.items()}
        return known, total * c.d_reg_interval, stats


def slopes(tape, target: tf.Tensor, variables: list, slope=None) -> list:
    """Gradients of a loss (or of pictures, with the loss's slope in them).

    Zero for a weight that it does not depend on.
    """
    return tape.gradient(
        target,
        [v.value for v in variables],
        output_gradients=slope,
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )


def slope_in(images: tf.Tensor, tape, loss: tf.Tensor) -> tf.Tensor:
    """The gradient of a loss in pictures alone."""
    with recompute.maps_alone():
        return tape.gradient(loss, images)
