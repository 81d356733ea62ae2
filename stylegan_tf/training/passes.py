"""Forward passes in training: latents to pictures, pictures to scores.

What a step differentiates. Pictures are mixed (Karras et al. 2019, section 3.1) and not
truncated; the discriminator sees them behind the augmentation, and so the real ones.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from stylegan_tf.augment.ada import ada
from stylegan_tf.augment.diffaugment import diffaugment
from stylegan_tf.config import TrainConfig
from stylegan_tf.networks import ops
from stylegan_tf.networks.discriminator import Discriminator
from stylegan_tf.networks.generator import Generator
from stylegan_tf.training import randomness as drawing
from stylegan_tf.training.optimizer import Adam
from stylegan_tf.training.randomness import Draws


@dataclass
class Networks:
    """Everything that a step changes."""

    generator: Generator
    discriminator: Discriminator
    average: Generator  # moving average of the generator's weights
    g_optimizer: Adam
    d_optimizer: Adam
    path_length: tf.Variable | None = None  # running mean, where it is regularized


class Fakes(NamedTuple):
    """Generated pictures, and the tape that knows how they were made.

    Attributes:
        images: float32 [N, H, W, C].
        w_mean: float32 [w_dim], batch mean of w.
        tape: over the generator's weights.
    """

    images: tf.Tensor
    w_mean: tf.Tensor
    tape: tf.GradientTape


@dataclass(eq=False)
class Passes:
    """The forward passes at one resolution.

    Args:
        nets: what is trained.
        config: the run.
        resolution: level trained.
        batch: images over all devices.
        label_table: float [rows, classes], labels the generator's step draws from.
    """

    nets: Networks
    config: TrainConfig
    resolution: int
    batch: int
    label_table: tf.Tensor | None = None

    # -----------------------------------------------------------------------
    # Generator

    def fakes(self, draws: Draws, alpha, k=0) -> Fakes:
        """Pictures to be differentiated with respect to the generator's weights."""
        with tf.GradientTape() as tape:
            images, w_mean = self.generate(draws, alpha, k)
        return Fakes(images, w_mean, tape)

    def generate(self, draws: Draws, alpha, k=0) -> tuple[tf.Tensor, tf.Tensor]:
        """Pictures in training: mixed, not truncated; and the batch mean of w."""
        ws, w_mean = self.styles(draws)
        return self.synthesize(ws, draws, alpha, k), w_mean

    def styles(self, draws: Draws) -> tuple[tf.Tensor, tf.Tensor]:
        """Mixed styles [N, num_styles, w_dim], and the batch mean of w."""
        g = self.nets.generator
        labels = draws.labels if g.config.classes else None
        w = g.mapping(draws.z, labels)
        ws = g.broadcast(w)
        if g.config.style_mixing_prob > 0 and g.config.has_styles:
            other = g.broadcast(g.mapping(draws.z_mix, labels))
            ws = g.mix(ws, other, draws.cutoff)
        return ws, tf.reduce_mean(w, axis=0)

    def synthesize(self, ws: tf.Tensor, draws: Draws, alpha, k=0) -> tf.Tensor:
        """Pictures of styles, with the noise of round k."""
        seed = None if draws.seed is None else tf.random.fold_in(draws.seed, k)
        return self.nets.generator.synthesis(
            ws,
            noise=draws.noise,
            resolution=self.resolution,
            alpha=alpha,
            seed=seed,
            training=True,
        )

    # -----------------------------------------------------------------------
    # Discriminator

    def scores(self, draws: Draws, alpha, clock: dict) -> dict[str, Callable]:
        """D behind the augmentation, for "real" and for "fake" pictures."""

        def score(luck):
            def of(x):
                x = self._augment(x, luck, clock)
                d, labels = self.nets.discriminator, draws.labels
                return d(x, labels, alpha=alpha, training=True)

            return of

        return {"real": score(draws.luck_real), "fake": score(draws.luck)}

    def score_both(self, reals, fakes, draws: Draws, alpha, clock: dict):
        """Scores [N, 1] of the real and of the generated pictures, in one pass.

        The same numbers as in two: the batches are woven so that the strided groups of
        the minibatch statistic hold one kind each. Convolutions like the larger batch.
        """
        if not self._weaves(reals.shape[0]):
            scores = self.scores(draws, alpha, clock)
            return scores["real"](reals), scores["fake"](fakes)
        reals = self._augment(reals, draws.luck_real, clock)
        fakes = self._augment(fakes, draws.luck, clock)
        group = self._group(reals.shape[0])
        woven = ops.join_batches(reals, fakes, group), ops.join_batches(*[draws.labels] * 2, group)
        scores = self.nets.discriminator(*woven, alpha=alpha, training=True)
        return ops.split_batches(scores, group)

    def _weaves(self, n: int | None) -> bool:
        """Whether 2 N pictures fall into groups of the size that N fall into."""
        if n is None or not isinstance(self.nets.discriminator, Discriminator):
            return False  # DCGAN's batch statistics are of one kind of pictures
        return self._group(n) == self._group(2 * n)

    def _group(self, n: int) -> int:
        return ops.group_size(n, max(self.nets.discriminator.config.mbstd_group, 1))

    def _augment(self, x: tf.Tensor, luck, clock: dict) -> tf.Tensor:
        c = self.config.augment
        if c.kind == "diffaugment":
            return diffaugment(x, luck, c.policy)
        return ada(x, luck, clock["p"], c.groups) if c.kind == "ada" else x

    # -----------------------------------------------------------------------
    # Draws

    def draw(
        self, nimg: tf.Tensor, which: int, labels: tf.Tensor | None = None, n=None
    ) -> Draws:
        """This device's share of the draws of a forward pass, see `randomness.draw`."""
        n = n or self.batch
        return drawing.draw(
            self.config, self.resolution, n, nimg, which, labels, self.label_table
        )

    def path_draws(self, nimg: tf.Tensor) -> Draws:
        """Draws of the smaller batch that path lengths are measured on."""
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        least = replicas * self.config.accumulate
        n = max(self.batch // self.config.loss.pl_shrink // least, 1) * least
        return self.draw(nimg, drawing.PATH_LENGTH, n=n)
