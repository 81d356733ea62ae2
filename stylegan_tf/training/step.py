"""One training iteration: moving average, discriminator, generator.

Follows the training loop of Karras et al. 2019: the average takes in the generator of
the iteration before, then D makes a step, then G. StyleGAN2 (Karras et al. 2020,
appendix B) regularizes lazily: every so many iterations D makes a further step on its
penalties, and G one on its path lengths. The iteration runs in replica context, once
per device, on that device's share of the batch. To save memory the share may be split
into rounds, over which gradients are averaged (gradient accumulation).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

import tensorflow as tf

from stylegan_tf.data.pipeline import process_reals
from stylegan_tf.networks import ops, recompute
from stylegan_tf.networks.custom import running_means_of
from stylegan_tf.training.compilation import compiled_by_xla
from stylegan_tf.training.objectives import Objectives, Stats
from stylegan_tf.training.passes import Clock, Fakes, Passes
from stylegan_tf.training.randomness import (
    D_STEP,
    G_STEP,
    PATH_LENGTH,
    StepInputs,
    sample_inputs,
)
from stylegan_tf.training.rounds import (
    mean_over_replicas,
    mean_over_rounds,
    strided_part,
)

METRICS = (
    "loss/g",
    "loss/d",
    "scores/real",
    "scores/fake",
    "signs/real",
    "signs/fake",
    "penalty/r1",
    "penalty/r2",
    "penalty/gp",
    "penalty/path_length",
    "path_length/mean",
    "grad_norm/g",
    "grad_norm/d",
    "skipped/g",
    "skipped/d",
    "spread/real",
    "spread/fake",
)
SPREAD_SIDE = 64  # pixels per side that the spread is measured on


@dataclass(eq=False)
class Step:
    """The iteration at one resolution.

    Attributes:
        passes: forward passes of the networks.
        objectives: losses and penalties, made of the same passes.
        batch: images per iteration, over all replicas.
        label_table: float32 [rows, classes], the labels that G's step samples from;
            None if the model is unconditional.
        jit: XLA compiles it, on one device the whole iteration, on several the
            gradients, which are averaged over the devices outside.
    """

    passes: Passes
    objectives: Objectives
    batch: int
    label_table: tf.Tensor | None = None
    jit: bool = False

    def __post_init__(self):
        self.config, self.networks = self.passes.config, self.passes.networks
        self._in_parts = False

    def __call__(self, images: tf.Tensor, labels: tf.Tensor, clock: Clock) -> tf.Tensor:
        """Runs the iteration.

        Args:
            images: uint8 [N, H, W, C], this replica's share.
            labels: float32 [N, classes].
            clock: images seen, and the scalars that change with them.

        Returns:
            float32 [len(METRICS)], this replica's stats.
        """
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        self._in_parts = self.jit and replicas > 1
        if self.jit and replicas == 1:
            return compiled_by_xla(self._stats)(images, labels, clock)
        return self._stats(images, labels, clock)

    def _stats(self, images: tf.Tensor, labels: tf.Tensor, clock: Clock) -> tf.Tensor:
        if not self.passes.fading:
            clock = clock._replace(alpha=1.0)
        with recompute.enabled(self.config.recompute), self._statistics_kept_finite():
            stats = self.iterate(process_reals(images, clock.alpha), labels, clock)
        return tf.stack([tf.cast(stats[name], tf.float32) for name in METRICS])

    def iterate(self, reals: tf.Tensor, labels: tf.Tensor, clock: Clock) -> Stats:
        """Updates the average, D and G; returns stats by metric.

        Args:
            reals: float32 [N, H, W, C] in [-1, 1].
            labels: float32 [N, classes] of the reals.
            clock: images seen, and the scalars that change with them.
        """
        loss, regularization = self.config.loss, self.objectives.regularization
        stats = dict.fromkeys(METRICS, tf.zeros([]))

        self.update_average(clock.nimg)
        weights = self.passes.weights.g  # unchanged up to G's own step
        with nullcontext() if self._in_parts else weights.unchanged():
            inputs, g_inputs = self._sample_both(clock.nimg, labels)
            fakes = None
            if self.config.shares_pass and not self._in_parts:
                with self.passes.weights.in_use():
                    fakes = self.passes.fakes(inputs, clock, measure=True)
            add_stats(stats, self.update_discriminator(reals, inputs, clock, fakes))

            if loss.lazy and regularization.d:
                reals = self._after(stats["skipped/d"], reals)
                add_stats(stats, self.regularize_discriminator(reals, inputs, clock))

            seed = self._after(stats["skipped/d"], g_inputs.seed)
            g_inputs = replace(g_inputs, seed=seed)
            add_stats(stats, self.update_generator(g_inputs, clock, fakes))

        if regularization.g:
            nimg = self._after(stats["skipped/g"], clock.nimg)
            inputs = self.sample_for_path_lengths(nimg)
            add_stats(stats, self.regularize_generator(inputs, clock))
        return stats

    def _sample_both(
        self, nimg: tf.Tensor, labels: tf.Tensor
    ) -> tuple[StepInputs, StepInputs]:
        """Returns the inputs of D's step and of G's."""
        d_inputs = self.sample(nimg, D_STEP, labels)
        reused = self.config.loss.reuse_fakes
        both = d_inputs, d_inputs if reused else self.sample(nimg, G_STEP)
        if reused or self.config.accumulate > 1 or self._in_parts:
            return both
        with self.passes.weights.in_use():
            return tuple(self.passes.modulate(*both))

    @contextmanager
    def _statistics_kept_finite(self) -> Iterator[None]:
        """Takes back what a bad batch does to the statistics of batch normalization.

        Keras assigns them in the forward pass, before anything can be skipped.
        """
        networks = self.networks.generator.synthesis, self.networks.discriminator
        kept = [v for n in networks for v in running_means_of(n)]
        before = [tf.identity(v) for v in kept]
        yield
        for v, value in zip(kept, before, strict=True):
            v.assign(tf.where(tf.math.is_finite(v), v, value))

    def _after(self, done: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """Returns x with a control dependency on `done`.

        The previous step's activations are freed before the next step begins, which a
        graph would otherwise start at once. Small feature maps need no such order, and
        idle cores are kept busy without it.
        """
        if self.passes.resolution < recompute.MIN_SIDE:
            return x
        with tf.control_dependencies([done]):
            return tf.identity(x)

    # -----------------------------------------------------------------------
    # Moving average of the generator, with a half-life in images (Karras et al. 2018)

    def update_average(self, nimg: tf.Tensor | int = 0) -> None:
        """Sets average <- generator + (average - generator) beta.

        Running means, such as w_avg, are copied. Numbers that are not finite are left
        out.
        """
        weights, networks = self.passes.weights, self.networks
        mean, v = weights.average.read(), weights.g.read()
        moved = v + (mean - v) * self.average_beta(nimg)
        weights.average.write(tf.where(tf.math.is_finite(moved), moved, mean))
        means = networks.average.running_means, networks.generator.running_means
        for mean, v in zip(*means, strict=True):
            ops.assign_if_finite(mean, tf.convert_to_tensor(v))

    def average_beta(self, nimg: tf.Tensor | int) -> float | tf.Tensor:
        """Returns beta = 0.5^(batch / half-life) after `nimg` images."""
        half_life, rampup = self.config.ema_kimg * 1000, self.config.ema_rampup
        if not rampup:
            return 0.5 ** (self.batch / max(half_life, 1e-8))
        half_life = tf.minimum(half_life, tf.cast(nimg, tf.float32) * rampup)
        return 0.5 ** (self.batch / tf.maximum(half_life, 1e-8))

    # -----------------------------------------------------------------------
    # Discriminator

    def update_discriminator(
        self,
        reals: tf.Tensor,
        inputs: StepInputs,
        clock: Clock,
        fakes: Fakes | None = None,
    ) -> Stats:
        """Makes one step of D on real images and as many generated ones.

        Args:
            reals: float32 [N, H, W, C] in [-1, 1].
            inputs: inputs of the fakes.
            clock: images seen, and the scalars that change with them.
            fakes: the fakes of these inputs; None = generate them.
        """
        weights = self.passes.weights

        def one_round(reals, inputs, clock, k):
            with weights.in_use():
                drawn = fakes or self.passes.generate(inputs, clock, k, measure=True)
                gradients, stats = self.objectives.discriminator_gradients(
                    reals, drawn.images, inputs, clock
                )
            stats |= measure_spread(reals, drawn.images)
            return weights.d.gradient(gradients), drawn.w_mean, drawn.squares, stats

        gradient, w_mean, squares, stats = self._mean_over_rounds(
            one_round, reals, inputs, clock
        )
        self._update_w_avg(w_mean)
        if squares:
            self._update_magnitudes(squares)
        return stats | self._apply_to_d(gradient, clock)

    def regularize_discriminator(
        self, reals: tf.Tensor, inputs: StepInputs, clock: Clock
    ) -> Stats:
        """Makes one step of D on its penalties alone."""
        weights = self.passes.weights

        def one_round(reals, inputs, clock, k):
            with weights.in_use():
                gradients, stats = self.objectives.penalty_gradients(
                    reals, inputs, clock, k
                )
            return weights.d.gradient(gradients), stats

        gradient, stats = self._mean_over_rounds(one_round, reals, inputs, clock)
        return stats | {"skipped/d": self._apply_to_d(gradient, clock)["skipped/d"]}

    def _apply_to_d(self, gradient: tf.Tensor, clock: Clock) -> Stats:
        weights, (_, ratio) = self.passes.weights, self.config.loss.lazy_rates
        ratio *= self.config.schedule.d_lr_ratio
        norm, skipped = self.networks.d_optimizer.update(
            gradient, weights.d, weights.d_slots, clock.lr * ratio
        )
        return {"grad_norm/d": norm, "skipped/d": skipped}

    # -----------------------------------------------------------------------
    # Generator

    def update_generator(
        self, inputs: StepInputs, clock: Clock, fakes: Fakes | None = None
    ) -> Stats:
        """Makes one step of G.

        Args:
            inputs: inputs of the fakes.
            clock: images seen, and the scalars that change with them.
            fakes: the fakes of these inputs; None = generate them.
        """
        weights = self.passes.weights

        def one_round(_, inputs, clock, k):
            with weights.in_use():
                images = fakes or self.passes.fakes(inputs, clock, k)
                gradients, stats = self.objectives.generator_gradients(
                    images, inputs, clock
                )
            return weights.g.gradient(gradients), images.w_mean, stats

        gradient, w_mean, stats = self._mean_over_rounds(one_round, None, inputs, clock)
        if not self.config.loss.reuse_fakes:  # else D's step has taken in the same w
            self._update_w_avg(w_mean)
        return stats | self._apply_to_g(gradient, clock)

    def regularize_generator(
        self, inputs: StepInputs, clock: Clock, direction: tf.Tensor | None = None
    ) -> Stats:
        """Makes one step of G on its path lengths alone.

        Args:
            inputs: see `sample_for_path_lengths`.
            clock: images seen, and the scalars that change with them.
            direction: float32 [N, H, W, C], normal noise; None = sample it.
        """
        weights = self.passes.weights

        def one_round(_, inputs, clock, k):
            with weights.in_use():
                gradients, w_mean, stats = self.objectives.path_length_gradients(
                    inputs, clock, k, direction
                )
            return weights.g.gradient(gradients), w_mean, stats

        gradient, w_mean, stats = self._mean_over_rounds(one_round, None, inputs, clock)
        self._update_w_avg(w_mean)
        mean = mean_over_replicas(stats["path_length/mean"])
        ops.assign_if_finite(self.networks.path_length, mean)
        skipped = self._apply_to_g(gradient, clock)["skipped/g"]
        return stats | {"path_length/mean": mean, "skipped/g": skipped}

    def _apply_to_g(self, gradient: tf.Tensor, clock: Clock) -> Stats:
        weights, (ratio, _) = self.passes.weights, self.config.loss.lazy_rates
        norm, skipped = self.networks.g_optimizer.update(
            gradient, weights.g, weights.g_slots, clock.lr * ratio
        )
        return {"grad_norm/g": norm, "skipped/g": skipped}

    def _update_w_avg(self, w_mean: tf.Tensor) -> None:
        w_mean = mean_over_replicas(w_mean)
        g = self.networks.generator
        mean = w_mean + (g.w_avg - w_mean) * g.config.w_avg_beta
        ops.assign_if_finite(g.w_avg, mean)

    def _update_magnitudes(self, squares: tuple[tf.Tensor, ...]) -> None:
        """Moves StyleGAN3's running means, in D's step alone as its authors do."""
        squares = mean_over_replicas(tf.stack(squares))
        self.networks.generator.synthesis.move_magnitudes(tf.unstack(squares))

    # -----------------------------------------------------------------------

    def _mean_over_rounds(
        self,
        one_round: Callable,
        reals: tf.Tensor | None,
        inputs: StepInputs,
        clock: Clock,
    ):
        """Returns the mean of what the rounds return, compiled where parts are.

        Args:
            one_round: reals, inputs and clock of a round, and its number -> a structure
                of tensors. It sums nothing over devices.
            reals: float32 [N, H, W, C], or None.
            inputs: inputs of the fakes.
            clock: images seen, and the scalars that change with them.
        """
        rounds = self.config.accumulate

        def mean(reals, tensors, clock):
            given = replace(inputs, **tensors)

            def of_round(k):
                x = None if reals is None else strided_part(reals, k, rounds)
                return one_round(x, given.part(k, rounds), clock, k)

            return mean_over_rounds(of_round, rounds)

        mean = compiled_by_xla(mean) if self._in_parts else mean
        return mean(reals, inputs.tensors(), clock)

    # -----------------------------------------------------------------------
    # Random inputs

    def sample(
        self, nimg: tf.Tensor, forward_pass: int, labels: tf.Tensor | None = None
    ) -> StepInputs:
        """Samples this replica's inputs of D_STEP or G_STEP, see `sample_inputs`."""
        return sample_inputs(
            self.config,
            self.passes.resolution,
            self.batch,
            nimg,
            forward_pass,
            labels,
            self.label_table,
        )

    def sample_for_path_lengths(self, nimg: tf.Tensor) -> StepInputs:
        """Samples inputs of the smaller batch on which path lengths are measured."""
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        least = replicas * self.config.accumulate
        n = max(self.batch // self.config.loss.pl_shrink // least, 1) * least
        return sample_inputs(
            self.config,
            self.passes.resolution,
            n,
            nimg,
            PATH_LENGTH,
            None,
            self.label_table,
        )


def measure_spread(reals: tf.Tensor, fakes: tf.Tensor) -> Stats:
    """Returns how much a pixel varies over the batch: 0 if all images are alike.

    Args:
        reals: float32 [N, H, W, C].
        fakes: float32 [N, H, W, C].

    Returns:
        The mean over pixels of the standard deviation, of each kind of images.
    """
    n = reals.shape[0] or 2
    unbiased = n / max(n - 1, 1)
    stride = max(1, max(reals.shape[1:3]) // SPREAD_SIDE)

    x = tf.stack([reals, tf.stop_gradient(fakes)])[:, :, ::stride, ::stride]
    variance = tf.math.reduce_variance(x, axis=1) * unbiased
    spread = tf.reduce_mean(tf.sqrt(variance), axis=[1, 2, 3])
    return dict(zip(("spread/real", "spread/fake"), tf.unstack(spread), strict=True))


def add_stats(stats: Stats, more: Mapping[str, tf.Tensor]) -> None:
    """Adds `more` to `stats` in place: skipped steps of an iteration add up."""
    for name, value in more.items():
        stats[name] = stats[name] + value
