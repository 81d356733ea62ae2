"""One iteration of training: moving average, discriminator, generator.

Follows the order of Karras et al. 2019's released training loop: the average takes in
the generator of the iteration before, then D steps, then G. StyleGAN2 (Karras et al.
2020, appendix B) regularizes both in steps of their own every so many iterations: D's
after D's, G's after G's. The step runs in replica context,
once per device, on that device's share of the batch (`randomness.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from stylegan_tf.data.pipeline import process_reals
from stylegan_tf.networks import recompute
from stylegan_tf.training import losses
from stylegan_tf.training import randomness as drawing
from stylegan_tf.training.objectives import Costs, slope_in, slopes
from stylegan_tf.training.passes import Fakes
from stylegan_tf.training.randomness import Draws
from stylegan_tf.training.rounds import _over_replicas, part_of

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
)


@dataclass(eq=False)
class Step(Costs):
    """The iteration at one resolution. Arguments are those of `Costs`."""

    def __post_init__(self):
        super().__post_init__()
        self.g_rate, self.d_rate = self.config.loss.lazy_rates

    def __call__(self, images: tf.Tensor, labels: tf.Tensor, clock: dict) -> tf.Tensor:
        """Runs the iteration.

        Args:
            images: uint8 [N, H, W, C], this device's share.
            labels: float [N, classes].
            clock: scalar tensors `nimg` (int64), `alpha`, `lr` and `p` (float32).

        Returns:
            float32 [len(METRICS)], this device's.
        """
        with recompute.when(self.config.recompute):
            return self._iterate(images, labels, clock)

    def _iterate(self, images, labels, clock: dict) -> tf.Tensor:
        alpha = clock["alpha"] if self.fading else 1.0
        reals = process_reals(images, alpha)
        nimg, lazy = clock["nimg"], self.config.loss.lazy
        stats = dict.fromkeys(METRICS, tf.zeros([]))
        self.update_average(nimg)
        d_draws = self.draw(nimg, drawing.D_STEP, labels)
        fakes = self.fakes(d_draws, alpha) if self.config.shares_pass else None
        stats |= self.update_discriminator(reals, d_draws, alpha, clock, fakes)
        if lazy and self.due.d_reg:
            again = self._after(stats["skipped/d"], reals)
            _add(stats, self.regularize_discriminator(again, d_draws, alpha, clock))
        g_draws = d_draws
        if not self.config.loss.reuse_fakes:
            now = self._after(stats["skipped/d"], nimg)
            g_draws = self.draw(now, drawing.G_STEP)
        stats |= self.update_generator(g_draws, alpha, clock, fakes)
        if self.due.g_reg:
            draws = self.path_draws(self._after(stats["skipped/g"], nimg))
            _add(stats, self.regularize_generator(draws, alpha, clock))
        return tf.stack([tf.cast(stats[name], tf.float32) for name in METRICS])

    def _after(self, done: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """x, but not before the step that tells `done` has let its maps go.

        A graph would begin with the next step's generator at once, and hold both. Where
        maps are small that is no harm, and keeps idle cores busy.
        """
        if self.resolution < recompute.LEAST:
            return x
        with tf.control_dependencies([done]):
            return tf.identity(x)

    # -----------------------------------------------------------------------
    # Exponential moving average of the generator, half-life in images (Karras et al.
    # 2018, section on inference). What is an average already, such as w_avg, is copied.

    def update_average(self, nimg: tf.Tensor | int = 0) -> None:
        """average <- generator + (average - generator) beta."""
        average, generator = self.nets.average, self.nets.generator
        beta = self._beta(nimg)
        pairs = zip(
            average.stage_variables(self.resolution),
            generator.stage_variables(self.resolution),
            strict=True,
        )
        for mean, v in pairs:
            mean.assign(v + (mean - v) * beta)
        pairs = zip(average.running_means, generator.running_means, strict=True)
        for mean, v in pairs:
            mean.assign(v)

    def _beta(self, nimg: tf.Tensor | int) -> float | tf.Tensor:
        half_life, rampup = self.config.ema_kimg * 1000, self.config.ema_rampup
        if not rampup:
            return 0.5 ** (self.batch / max(half_life, 1e-8))
        half_life = tf.minimum(half_life, tf.cast(nimg, tf.float32) * rampup)
        return 0.5 ** (self.batch / tf.maximum(half_life, 1e-8))

    # -----------------------------------------------------------------------

    def update_discriminator(
        self, reals: tf.Tensor, draws: Draws, alpha, clock: dict, fakes=None
    ) -> dict[str, tf.Tensor]:
        """One step of D on real pictures [N, H, W, C] and as many generated ones.

        Args:
            reals: what `process_reals` made of the pictures.
            draws: of the generated ones.
            alpha: how far the resolution has faded in.
            clock: as in `__call__`.
            fakes: `Fakes` of these draws, where they are drawn already.
        """

        def one_round(k, reals, draws):
            images, w_mean = fakes[:2] if fakes else self.generate(draws, alpha, k)
            of_d, stats = self.discriminator_slopes(reals, images, draws, alpha, clock)
            return of_d, w_mean, stats

        gradients, w_mean, stats = self._rounds(one_round, reals, draws)
        self._update_w_avg(w_mean)
        return stats | self._apply_d(gradients, clock)

    def _g_slopes(self, fakes: Fakes, slope: tf.Tensor) -> list:
        """Gradients of G's loss, of which `slope` is the gradient in the pictures."""
        return slopes(fakes.tape, fakes.images, self._g_variables(), slope)

    def _apply_d(self, gradients: list, clock: dict) -> dict[str, tf.Tensor]:
        lr = clock["lr"] * self.d_rate
        norm, skipped = self.nets.d_optimizer.apply(gradients, self.d_variables(), lr)
        return {"grad_norm/d": norm, "skipped/d": skipped}

    def _apply_g(self, gradients: list, clock: dict) -> dict[str, tf.Tensor]:
        lr = clock["lr"] * self.g_rate
        norm, skipped = self.nets.g_optimizer.apply(gradients, self._g_variables(), lr)
        return {"grad_norm/g": norm, "skipped/g": skipped}

    def regularize_discriminator(
        self, reals: tf.Tensor, draws: Draws, alpha, clock: dict
    ) -> dict[str, tf.Tensor]:
        """A step of D on the penalties alone."""
        variables, c = self.d_variables(), self.config.loss

        def one_round(k, reals, draws):
            fakes = None
            if c.r2_gamma or c.gp_weight:
                fakes, _ = self.generate(draws, alpha, k)
            scores = self.scores(draws, alpha, clock)
            with tf.GradientTape() as tape:
                _, penalty, stats = self._penalties(scores, reals, fakes, draws.mix)
                loss = tf.reduce_mean(penalty)
            return slopes(tape, loss, variables), stats

        gradients, stats = self._rounds(one_round, reals, draws)
        return stats | {"skipped/d": self._apply_d(gradients, clock)["skipped/d"]}

    # -----------------------------------------------------------------------

    def update_generator(
        self, draws: Draws, alpha, clock: dict, fakes: Fakes | None = None
    ) -> dict[str, tf.Tensor]:
        """One step of G; `fakes` are those of the draws, where they are drawn already.

        The gradient goes through D to the pictures, and from there through G.
        """
        loss_of = losses.GENERATOR[self.config.loss.g_loss]

        def one_round(k, draws):
            score = self.scores(draws, alpha, clock)["fake"]
            drawn = fakes or self.fakes(draws, alpha, k)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(drawn.images)
                loss = tf.reduce_mean(loss_of(score(drawn.images)))
            slope = slope_in(drawn.images, tape, loss)
            gradients = self._g_slopes(drawn, slope)
            return gradients, drawn.w_mean, {"loss/g": loss}

        gradients, w_mean, stats = self._rounds(one_round, draws)
        if not self.config.loss.reuse_fakes:  # else D's step has seen this w
            self._update_w_avg(w_mean)
        return stats | self._apply_g(gradients, clock)

    # -----------------------------------------------------------------------
    # Path length regularization (Karras et al. 2020, section 3.2): a step in w should
    # change the picture by the same amount everywhere, and in every direction.

    def regularize_generator(
        self, draws: Draws, alpha, clock: dict, direction: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """A step of G on the spread of its path lengths alone.

        Args:
            draws: of a batch of its own, `path_draws`.
            alpha: how far the resolution has faded in.
            clock: as in `__call__`.
            direction: float [N, H, W, C] normal numbers; None = drawn.
        """
        variables, c = self._g_variables(), self.config.loss
        seed = drawing.seed_of(self.config, clock["nimg"], 8)
        before = tf.convert_to_tensor(self.nets.path_length)

        def one_round(k, draws):
            with tf.GradientTape() as tape:
                ws, w_mean = self.styles(draws)
                images, lengths = losses.path_lengths(
                    lambda ws: self.synthesize(ws, draws, alpha, k),
                    ws,
                    lambda shape: self._direction(shape, seed, k, direction),
                )
                # The running mean takes these lengths in first; its slope counts.
                mean = before + c.pl_decay * (tf.reduce_mean(lengths) - before)
                penalty = tf.reduce_mean(tf.square(lengths - mean))
                loss = penalty * (c.pl_weight * c.g_reg_interval)
            stats = {"penalty/path_length": penalty, "path_length/mean": mean}
            return slopes(tape, loss, variables), w_mean, stats

        gradients, w_mean, stats = self._rounds(one_round, draws)
        self._update_w_avg(w_mean)
        mean = _over_replicas(stats["path_length/mean"])
        # A batch that is skipped must not spoil the mean for good.
        self.nets.path_length.assign(tf.where(tf.math.is_finite(mean), mean, before))
        skipped = self._apply_g(gradients, clock)["skipped/g"]
        return stats | {"path_length/mean": mean, "skipped/g": skipped}

    @staticmethod
    def _direction(shape, seed, k, given: tf.Tensor | None) -> tf.Tensor:
        if given is not None:
            return given
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        seed = tf.random.fold_in(tf.random.fold_in(seed, k), replica)
        return tf.random.stateless_normal(shape, seed)

    # -----------------------------------------------------------------------

    def _g_variables(self) -> list:
        return self.nets.generator.stage_variables(self.resolution, self.fading)

    def _update_w_avg(self, w_mean: tf.Tensor) -> None:
        w_mean = _over_replicas(w_mean)
        g = self.nets.generator
        g.w_avg.assign(w_mean + (g.w_avg - w_mean) * g.config.w_avg_beta)

    # -----------------------------------------------------------------------
    # Gradient accumulation: the device's share in `accumulate` rounds, one after the
    # other, so that memory holds the activations of one.

    def _rounds(self, one_round: Callable, *shares):
        """Mean over rounds of `one_round(k, *shares)`, a structure of tensors."""
        a = self.config.accumulate
        if a == 1:
            return one_round(0, *shares)

        def part(share, k):
            if isinstance(share, Draws):
                return share.part(k, a)
            return part_of(share, k, a)

        def body(k, total):
            result = one_round(k, *(part(s, k) for s in shares))
            flat = [t / a for t in tf.nest.flatten(result)]
            return k + 1, [t + f for t, f in zip(total, flat, strict=True)]

        first = one_round(tf.constant(0), *(part(s, 0) for s in shares))
        start = [t / a for t in tf.nest.flatten(first)]
        _, total = tf.while_loop(
            lambda k, _: k < a, body, (tf.constant(1), start), parallel_iterations=1
        )
        return tf.nest.pack_sequence_as(first, total)


def _add(stats: dict, more: dict) -> None:
    """Joins what a second step tells; the steps that were skipped add up."""
    for name, value in more.items():
        both = name.startswith("skipped/") and name in stats
        stats[name] = stats[name] + value if both else value
