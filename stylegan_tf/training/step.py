"""One iteration of training: moving average, discriminator, generator.

Follows the order of Karras et al. 2019's released training loop: the average takes in
the generator of the iteration before, then D steps, then G. The step runs in replica
context, once a device, on that device's share of the batch.

Nothing that is drawn depends on how many devices share the work. Latents, labels and
the mixing cut-off are drawn for the whole batch from (seed, images seen) on every
device; device r of R takes examples r, r + R, r + 2R, ..., and so do the rounds of an
accumulated step. The strided groups of the minibatch statistic then hold the same
examples however the batch is split. Only noise maps are drawn by each device alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from stylegan_tf import losses
from stylegan_tf.config import TrainConfig
from stylegan_tf.data.pipeline import process_reals
from stylegan_tf.networks.discriminator import Discriminator
from stylegan_tf.networks.generator import Generator
from stylegan_tf.training.optimizer import Adam

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
    "grad_norm/g",
    "grad_norm/d",
    "skipped/g",
    "skipped/d",
)


@dataclass
class Networks:
    """Everything that a step changes."""

    generator: Generator
    discriminator: Discriminator
    average: Generator  # moving average of the generator's weights
    g_optimizer: Adam
    d_optimizer: Adam


@dataclass(frozen=True)
class Draws:
    """The random part of one forward pass of the generator.

    Attributes:
        z: float [N, z_dim].
        z_mix: float [N, z_dim], the latents of the layers from `cutoff` on.
        cutoff: int scalar; at least the number of styles = no mixing.
        labels: float [N, classes].
        noise: a noise mode or list of maps, as `Synthesis` takes it.
        seed: int [2] for random noise.
    """

    z: tf.Tensor
    z_mix: tf.Tensor
    cutoff: tf.Tensor
    labels: tf.Tensor
    noise: object = "random"
    seed: tf.Tensor | None = None


class Step:
    """The iteration at one resolution.

    Args:
        networks: what is trained.
        config: the run.
        resolution: level trained.
        batch: images over all devices.
        label_table: float [rows, classes], labels the generator's step draws from.
        penalties: False leaves the gradient penalties out (lazy regularisation).
    """

    def __init__(
        self,
        networks: Networks,
        config: TrainConfig,
        resolution: int,
        batch: int,
        label_table: tf.Tensor | None = None,
        penalties: bool = True,
    ):
        self.nets = networks
        self.config = config
        self.resolution = resolution
        self.batch = batch
        self.label_table = label_table
        self.penalties = penalties
        self.fading = resolution > config.schedule.initial_resolution
        # Official penalties are taken on pictures enlarged to the final size.
        self.gradient_scale = resolution / config.generator.resolution
        self.half_life = 0.5 ** (batch / max(config.ema_kimg * 1000, 1e-8))

    def __call__(self, images: tf.Tensor, labels: tf.Tensor, clock: dict) -> tf.Tensor:
        """Runs the iteration.

        Args:
            images: uint8 [N, H, W, C], this device's share.
            labels: float [N, classes].
            clock: scalar tensors `nimg` (int64), `alpha` and `lr` (float32).

        Returns:
            float32 [len(METRICS)], this device's.
        """
        alpha = clock["alpha"] if self.fading else 1.0
        reals = process_reals(images, alpha)
        self.update_average()
        d_draws = self.draw(clock["nimg"], 0, labels)
        d_stats = self.update_discriminator(reals, d_draws, alpha, clock)
        g_draws = self.draw(clock["nimg"], 1, None)
        g_stats = self.update_generator(g_draws, alpha, clock["lr"])
        stats = d_stats | g_stats
        return tf.stack([tf.cast(stats[name], tf.float32) for name in METRICS])

    # -----------------------------------------------------------------------
    # Exponential moving average of the generator, half-life in images (Karras et al.
    # 2018, section on inference). w_avg is an average already: copied.

    def update_average(self) -> None:
        """average <- generator + (average - generator) beta."""
        pairs = zip(
            self.nets.average.stage_variables(self.resolution),
            self.nets.generator.stage_variables(self.resolution),
            strict=True,
        )
        for average, v in pairs:
            average.assign(v + (average - v) * self.half_life)
        self.nets.average.w_avg.assign(self.nets.generator.w_avg)

    # -----------------------------------------------------------------------

    def update_discriminator(
        self, reals: tf.Tensor, draws: Draws, alpha, clock: dict
    ) -> dict[str, tf.Tensor]:
        """One step of D on real pictures [N, H, W, C] and as many generated ones."""
        variables = self.nets.discriminator.stage_variables(
            self.resolution, self.fading
        )
        seed = self._seed(clock["nimg"], 7)

        def one_round(k, reals, draws):
            fakes, w_mean = self.generate(draws, alpha, k)
            with tf.GradientTape() as tape:
                loss, stats = self.discriminator_loss(
                    reals, fakes, draws.labels, alpha, tf.random.fold_in(seed, k)
                )
            return _gradients(tape, loss, variables), w_mean, stats

        gradients, w_mean, stats = self._rounds(one_round, reals, draws)
        self._update_w_avg(w_mean)
        norm, skipped = self.nets.d_optimizer.apply(gradients, variables, clock["lr"])
        return stats | {"grad_norm/d": norm, "skipped/d": skipped}

    def discriminator_loss(
        self, reals: tf.Tensor, fakes: tf.Tensor, labels: tf.Tensor, alpha, seed
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Loss and penalties, averaged over the examples; and what they were."""
        c, d = self.config.loss, self.nets.discriminator

        def score(x):
            return d(x, labels, alpha=alpha)

        r1 = r2 = gp = tf.zeros([])
        if self.penalties and c.r1_gamma:
            real, gradient = losses.scores_and_gradients(score, reals)
            r1 = losses.zero_centered(gradient, self.gradient_scale)
        else:
            real = score(reals)
        if self.penalties and c.r2_gamma:
            fake, gradient = losses.scores_and_gradients(score, fakes)
            r2 = losses.zero_centered(gradient, self.gradient_scale)
        else:
            fake = score(fakes)
        if self.penalties and c.gp_weight:
            mix = tf.random.stateless_uniform([tf.shape(reals)[0], 1, 1, 1], seed)
            gp, _ = losses.gradient_penalty(
                score, reals, fakes, mix, c.gp_target, self.gradient_scale
            )
        loss = losses.DISCRIMINATOR[c.d_loss](real, fake)
        if c.drift:
            loss += c.drift * losses.drift(real)
        penalty = c.r1_gamma * r1 + c.r2_gamma * r2 + c.gp_weight * gp
        stats = {
            "loss/d": loss,
            "scores/real": real,
            "scores/fake": fake,
            "signs/real": tf.sign(real),
            "signs/fake": tf.sign(fake),
            "penalty/r1": r1,
            "penalty/r2": r2,
            "penalty/gp": gp,
        }
        total = tf.reduce_mean(loss + penalty * c.d_reg_interval)
        return total, {k: tf.reduce_mean(v) for k, v in stats.items()}

    # -----------------------------------------------------------------------

    def update_generator(
        self, draws: Draws, alpha, lr: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """One step of G."""
        variables = self.nets.generator.stage_variables(self.resolution, self.fading)
        loss_of = losses.GENERATOR[self.config.loss.g_loss]

        def one_round(k, draws):
            with tf.GradientTape() as tape:
                fakes, w_mean = self.generate(draws, alpha, k)
                scores = self.nets.discriminator(fakes, draws.labels, alpha=alpha)
                loss = tf.reduce_mean(loss_of(scores))
            return _gradients(tape, loss, variables), w_mean, {"loss/g": loss}

        gradients, w_mean, stats = self._rounds(one_round, draws)
        self._update_w_avg(w_mean)
        norm, skipped = self.nets.g_optimizer.apply(gradients, variables, lr)
        return stats | {"grad_norm/g": norm, "skipped/g": skipped}

    def generate(self, draws: Draws, alpha, k=0) -> tuple[tf.Tensor, tf.Tensor]:
        """Pictures in training: mixed, not truncated; and the batch mean of w."""
        g = self.nets.generator
        labels = draws.labels if g.config.classes else None
        w = g.mapping(draws.z, labels)
        ws = g.broadcast(w)
        if g.config.style_mixing_prob > 0 and g.config.use_styles:
            other = g.broadcast(g.mapping(draws.z_mix, labels))
            ws = g.mix(ws, other, draws.cutoff)
        seed = None if draws.seed is None else tf.random.fold_in(draws.seed, k)
        images = g.synthesis(
            ws, noise=draws.noise, resolution=self.resolution, alpha=alpha, seed=seed
        )
        return images, tf.reduce_mean(w, axis=0)

    def _update_w_avg(self, w_mean: tf.Tensor) -> None:
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync > 1:
            w_mean = context.all_reduce(tf.distribute.ReduceOp.MEAN, w_mean)
        g = self.nets.generator
        g.w_avg.assign(w_mean + (g.w_avg - w_mean) * g.config.w_avg_beta)

    # -----------------------------------------------------------------------
    # What is drawn, and who gets which part of it

    def draw(self, nimg: tf.Tensor, which: int, labels: tf.Tensor | None) -> Draws:
        """Latents, cut-off and labels of one forward pass, this device's share.

        Args:
            nimg: int64 scalar, images seen.
            which: 0 for D's step, 1 for G's.
            labels: those of the real pictures, or None to draw from the label table.
        """
        g, n = self.config.generator, self.batch
        z, z_mix, cut, coin, rows, noise = (
            self._seed(nimg, 10 * which + i) for i in range(20, 26)
        )
        layers = 2 * (self.resolution.bit_length() - 2)  # those now active
        cutoff = tf.random.stateless_uniform([], cut, 1, layers, tf.int32)
        mixes = tf.random.stateless_uniform([], coin) < g.style_mixing_prob
        if labels is None:
            labels = tf.zeros([n, 0])
            if g.classes:
                top = len(self.label_table)
                pick = tf.random.stateless_uniform([n], rows, 0, top, tf.int32)
                labels = tf.gather(self.label_table, pick)
            labels = self._share(labels)
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        return Draws(
            z=self._share(tf.random.stateless_normal([n, g.z_dim], z)),
            z_mix=self._share(tf.random.stateless_normal([n, g.z_dim], z_mix)),
            cutoff=tf.where(mixes, cutoff, g.num_layers),
            labels=labels,
            seed=tf.random.fold_in(noise, replica),
        )

    def _seed(self, nimg: tf.Tensor, salt: int) -> tf.Tensor:
        seed = tf.constant([self.config.seed, salt], tf.int64)
        return tf.random.fold_in(seed, nimg)

    def _share(self, x: tf.Tensor) -> tf.Tensor:
        """Examples r, r + R, r + 2R, ... of a whole batch, on device r of R."""
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync
        if replicas == 1:
            return x
        x = tf.reshape(x, [-1, replicas, *x.shape[1:]])
        return tf.gather(x, context.replica_id_in_sync_group, axis=1)

    # -----------------------------------------------------------------------
    # Gradient accumulation: the device's share in `accumulate` rounds, one after the
    # other, so that memory holds the activations of one.

    def _rounds(self, one_round: Callable, *shares):
        """Mean over rounds of `one_round(k, *shares)`, a structure of tensors."""
        a = self.config.accumulate
        if a == 1:
            return one_round(0, *shares)

        def part(share, k):
            def take(x):
                return tf.gather(tf.reshape(x, [-1, a, *x.shape[1:]]), k, axis=1)

            if isinstance(share, Draws):
                named = {n: take(getattr(share, n)) for n in ("z", "z_mix", "labels")}
                return Draws(**(vars(share) | named))
            return take(share)

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


def _gradients(tape: tf.GradientTape, loss: tf.Tensor, variables: list) -> list:
    """Gradients of the loss; zero for a weight that it does not depend on."""
    zero = tf.UnconnectedGradients.ZERO
    return tape.gradient(loss, [v.value for v in variables], unconnected_gradients=zero)
