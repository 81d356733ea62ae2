"""Objectives of G and D at one resolution, and their gradients with respect to weights.

`LossConfig` chooses the losses and penalties of `losses.py` and their weights. R1, R2
and WGAN-GP penalize D's gradient; path length regularization (Karras et al. 2020,
section 3.2) asks that a step in w changes the image by the same amount everywhere.
"""

from dataclasses import dataclass
from typing import NamedTuple

import keras
import tensorflow as tf

from stylegan_tf.config.custom import is_custom
from stylegan_tf.config.run import LossConfig
from stylegan_tf.networks import recompute
from stylegan_tf.training import losses
from stylegan_tf.training.passes import Clock, Fakes, Passes, tape_of
from stylegan_tf.training.randomness import StepInputs, sample_direction

Stats = dict[str, tf.Tensor]
Gradients = list[tf.Tensor]


class Regularization(NamedTuple):
    """The regularizations of one iteration.

    Attributes:
        d: True if D's gradient is penalized.
        g: True if G's path lengths are.
    """

    d: bool
    g: bool

    @classmethod
    def at(cls, config: LossConfig, iteration: int) -> "Regularization":
        """Returns the regularizations of an iteration, counted from 0."""
        return cls(
            config.has_penalty and iteration % config.d_reg_interval == 0,
            config.pl_weight > 0 and iteration % config.g_reg_interval == 0,
        )

    def has(self, metric: str) -> bool:
        """True if such an iteration measures the metric."""
        if metric.startswith(("penalty/path", "path_length/")):
            return self.g
        return self.d or not metric.startswith("penalty/")


@dataclass(eq=False)
class Objectives:
    """Losses and penalties at one resolution.

    Attributes:
        passes: the forward passes.
        regularization: the regularizations of the iteration; None = all of the run.
    """

    passes: Passes
    regularization: Regularization | None = None

    def __post_init__(self):
        self.loss = self.passes.config.loss
        self.regularization = self.regularization or Regularization.at(self.loss, 0)
        # Official penalties are taken on images enlarged to the final resolution.
        final = self.passes.config.generator.resolution
        self.gradient_scale = self.passes.resolution / final

    # -----------------------------------------------------------------------
    # Discriminator

    def discriminator_gradients(
        self, reals: tf.Tensor, fakes: tf.Tensor, inputs: StepInputs, clock: Clock
    ) -> tuple[Gradients, Stats]:
        """Differentiates D's loss, and its penalties unless they are lazy.

        Args:
            reals: float32 [N, H, W, C].
            fakes: float32 [N, H, W, C].
            inputs: the inputs of the fakes.
            clock: images seen.

        Returns:
            Gradients with respect to D's weights, and stats by metric.
        """
        # A loss of the user's own may compare reals with fakes.
        apart = not self.loss.r2_gamma and not is_custom(self.loss.d_loss)
        if self.passes.config.recompute and apart:
            return self._gradients_one_by_one(reals, fakes, inputs, clock)
        variables = self.passes.d_variables()
        with tape_of(variables) as tape:
            loss, stats = self.discriminator_loss(reals, fakes, inputs, clock)
        return gradients_of(loss, tape, variables), stats

    def _gradients_one_by_one(
        self, reals: tf.Tensor, fakes: tf.Tensor, inputs: StepInputs, clock: Clock
    ) -> tuple[Gradients, Stats]:
        """Frees D's activations for fakes before the pass on reals (saves memory).

        Every loss of D is a term of fakes plus a term of reals.
        """
        variables = self.passes.d_variables()
        d_loss = losses.discriminator_loss_of(self.loss.d_loss)
        with tape_of(variables) as tape:
            scores = self.passes.score_fakes(fakes, inputs, clock)
            loss = tf.reduce_mean(d_loss(tf.zeros_like(scores), scores))
        from_fakes = gradients_of(loss, tape, variables)
        with tf.control_dependencies(from_fakes):
            reals = tf.identity(reals)
        with tape_of(variables) as tape:
            loss, stats = self.discriminator_loss(
                reals, tf.stop_gradient(fakes), inputs, clock, tf.stop_gradient(scores)
            )
        from_reals = gradients_of(loss, tape, variables)
        return [r + f for r, f in zip(from_reals, from_fakes, strict=True)], stats

    def discriminator_loss(
        self,
        reals: tf.Tensor,
        fakes: tf.Tensor,
        inputs: StepInputs,
        clock: Clock,
        fake: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, Stats]:
        """Returns the mean of D's loss and penalties, and stats by metric.

        Args:
            reals: float32 [N, H, W, C].
            fakes: float32 [N, H, W, C].
            inputs: the inputs of the fakes.
            clock: images seen.
            fake: float32 [N, 1], D's scores of the fakes, if known.
        """
        c, penalty, stats = self.loss, 0.0, {}
        scores = {} if fake is None else {"fake": fake}
        if self.regularization.d and not c.lazy:
            known, penalty, stats = self.penalties(reals, fakes, inputs, clock)
            scores = known | scores
        elif fake is None:
            both = self.passes.score_both(reals, fakes, inputs, clock)
            scores = dict(zip(("real", "fake"), both, strict=True))
        if "real" not in scores:
            scores["real"] = self.passes.score_reals(reals, inputs, clock)
        if "fake" not in scores:
            scores["fake"] = self.passes.score_fakes(fakes, inputs, clock)
        real, fake = scores["real"], scores["fake"]
        loss = losses.discriminator_loss_of(c.d_loss)(real, fake)
        if c.drift:
            loss += c.drift * losses.drift(real)
        means = {
            "loss/d": loss,
            "scores/real": real,
            "scores/fake": fake,
            "signs/real": tf.sign(real),
            "signs/fake": tf.sign(fake),
        }
        values = tf.reduce_mean(tf.stack(list(means.values())), axis=[1, 2])
        stats |= dict(zip(means, tf.unstack(values), strict=True))
        return tf.reduce_mean(loss + penalty), stats

    def penalties(
        self,
        reals: tf.Tensor,
        fakes: tf.Tensor | None,
        inputs: StepInputs,
        clock: Clock,
    ) -> tuple[Stats, tf.Tensor, Stats]:
        """Computes the penalties on D's gradient.

        Args:
            reals: float32 [N, H, W, C].
            fakes: float32 [N, H, W, C]; not read by R1.
            inputs: the inputs of the fakes.
            clock: images seen.

        Returns:
            The scores [N, 1] that came along, by "real" and "fake"; the sum of the
            penalties [N, 1] times the interval at which they are taken; and stats by
            metric.
        """
        c, scores = self.loss, {}
        r1 = r2 = gp = tf.zeros([])

        def score_reals(images):
            return self.passes.score_reals(images, inputs, clock)

        def score_fakes(images):
            return self.passes.score_fakes(images, inputs, clock)

        if c.r1_gamma:
            scores["real"], g = losses.scores_and_gradients(score_reals, reals)
            r1 = losses.zero_centered(g, self.gradient_scale)
        if c.r2_gamma:
            scores["fake"], g = losses.scores_and_gradients(score_fakes, fakes)
            r2 = losses.zero_centered(g, self.gradient_scale)
        if c.gp_weight:
            mix, scale = inputs.interpolation, self.gradient_scale
            gp, _ = losses.gradient_penalty(
                score_reals, reals, fakes, mix, c.gp_target, scale
            )
        total = c.r1_gamma * r1 + c.r2_gamma * r2 + c.gp_weight * gp
        stats = {"penalty/r1": r1, "penalty/r2": r2, "penalty/gp": gp}
        stats = {name: tf.reduce_mean(x) for name, x in stats.items()}
        return scores, total * c.d_reg_interval, stats

    def penalty_gradients(
        self,
        reals: tf.Tensor,
        inputs: StepInputs,
        clock: Clock,
        k: int | tf.Tensor = 0,
    ) -> tuple[Gradients, Stats]:
        """Differentiates the penalties alone, for a lazy step of D in round `k`."""
        fakes = None
        if self.loss.r2_gamma or self.loss.gp_weight:
            fakes = self.passes.generate(inputs, clock, k).images
        variables = self.passes.d_variables()
        with tape_of(variables) as tape:
            _, penalty, stats = self.penalties(reals, fakes, inputs, clock)
            loss = tf.reduce_mean(penalty)
        return gradients_of(loss, tape, variables), stats

    # -----------------------------------------------------------------------
    # Generator

    def generator_gradients(
        self, fakes: Fakes, inputs: StepInputs, clock: Clock
    ) -> tuple[Gradients, Stats]:
        """Differentiates G's loss: through D to the images, from there through G."""
        g_loss = losses.generator_loss_of(self.loss.g_loss)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(fakes.images)
            scores = self.passes.score_fakes(fakes.images, inputs, clock)
            loss = tf.reduce_mean(g_loss(scores))
        with recompute.inputs_only():
            in_images = tape.gradient(loss, fakes.images)
        variables = self.passes.g_variables()
        gradients = gradients_of(fakes.images, fakes.tape, variables, in_images)
        return gradients, {"loss/g": loss}

    def path_length_gradients(
        self,
        inputs: StepInputs,
        clock: Clock,
        k: int | tf.Tensor = 0,
        direction: tf.Tensor | None = None,
    ) -> tuple[Gradients, tf.Tensor, Stats]:
        """Differentiates the path length penalty (Karras et al. 2020, equation 4).

        Args:
            inputs: inputs of the path length batch, which is smaller.
            clock: images seen.
            k: index of the round of gradient accumulation.
            direction: float32 [N, H, W, C], normal noise in image space; None = sample
                it.

        Returns:
            Gradients with respect to G's weights, the batch mean of w, and stats by
            metric; "path_length/mean" is the running mean, updated with these lengths.
        """
        c = self.loss
        before = tf.convert_to_tensor(self.passes.networks.path_length)

        def sample(shape):
            if direction is not None:
                return direction
            return sample_direction(self.passes.config, clock.nimg, k, shape)

        variables = self.passes.g_variables()
        with tape_of(variables) as tape:
            ws, w_mean = self.passes.styles(inputs)
            _, lengths = losses.path_lengths(
                lambda ws: self.passes.synthesize(ws, inputs, clock, k), ws, sample
            )
            # The mean includes these lengths, so gradients flow through it as well.
            mean = before + c.pl_decay * (tf.reduce_mean(lengths) - before)
            penalty = tf.reduce_mean(tf.square(lengths - mean))
            loss = penalty * (c.pl_weight * c.g_reg_interval)
        gradients = gradients_of(loss, tape, variables)
        stats = {"penalty/path_length": penalty, "path_length/mean": mean}
        return gradients, w_mean, stats


def gradients_of(
    target: tf.Tensor,
    tape: tf.GradientTape,
    variables: list[keras.Variable],
    output_gradients: tf.Tensor | None = None,
) -> Gradients:
    """Returns the gradients of `target` with respect to Keras variables.

    A variable that the target does not depend on gets zeros.

    Args:
        target: a loss, or images together with `output_gradients`.
        tape: recorded how the target was made.
        variables: Keras variables.
        output_gradients: gradient of the loss with respect to the target.
    """
    return tape.gradient(
        target,
        [v.value for v in variables],
        output_gradients=output_gradients,
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )
