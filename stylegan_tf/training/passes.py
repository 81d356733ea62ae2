"""Forward passes of training: latents to fakes, images to scores.

Fakes are style-mixed (Karras et al. 2019, section 3.1) and not truncated. The
discriminator sees reals and fakes behind the same kind of augmentation.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

import keras
import tensorflow as tf

from stylegan_tf import stateless
from stylegan_tf.augment.ada import ada
from stylegan_tf.augment.blur import gaussian_blur
from stylegan_tf.augment.diffaugment import diffaugment
from stylegan_tf.config import TrainConfig
from stylegan_tf.config.custom import find_custom, is_custom
from stylegan_tf.errors import UserError
from stylegan_tf.networks import ops
from stylegan_tf.networks.custom import running_means_of
from stylegan_tf.networks.discriminator import Discriminator
from stylegan_tf.networks.generator import Generator
from stylegan_tf.training.optimizer import Adam
from stylegan_tf.training.packing import StageWeights
from stylegan_tf.training.randomness import StepInputs, Styles


@dataclass
class Networks:
    """Everything that a training step changes.

    Attributes:
        generator: G.
        discriminator: D.
        average: G with an exponential moving average of its weights.
        g_optimizer: Adam over G's weights.
        d_optimizer: Adam over D's weights.
        path_length: float32 scalar, running mean of the path length; None if path
            lengths are not regularized.
    """

    generator: Generator
    discriminator: Discriminator
    average: Generator
    g_optimizer: Adam
    d_optimizer: Adam
    path_length: tf.Variable | None = None

    @property
    def running_means(self) -> list[keras.Variable | tf.Variable]:
        """Everything that is measured while training, not trained."""
        networks = self.generator, self.average, self.discriminator
        means = [v for n in networks for v in running_means_of(n)]
        return means if self.path_length is None else [*means, self.path_length]


class Clock(NamedTuple):
    """Images seen, and the scalars that change with them.

    Attributes:
        nimg: int64, images seen.
        alpha: float32 in [0, 1], weight of the resolution that fades in.
        lr: float32, learning rate.
        p: float32, probability of ADA's augmentations.
        blur: float32, pixels, width of the blur of D's images.
    """

    nimg: tf.Tensor
    alpha: tf.Tensor | float
    lr: tf.Tensor | float
    p: tf.Tensor | float
    blur: tf.Tensor | float = 0.0


class Fakes(NamedTuple):
    """Generated images.

    Attributes:
        images: float32 [N, H, W, C].
        w_mean: float32 [w_dim], mean of w over the batch.
        squares: float32 scalars, mean squares of StyleGAN3's layers, if measured.
        tape: recorded the generator's pass, so that a loss can be differentiated
            through it; None = nothing did.
    """

    images: tf.Tensor
    w_mean: tf.Tensor
    squares: tuple[tf.Tensor, ...] = ()
    tape: tf.GradientTape | None = None


@dataclass(eq=False)
class Passes:
    """Forward passes of G and D at one resolution.

    Attributes:
        networks: the networks in training.
        config: the run.
        resolution: the resolution that is trained.
        blurred: True if D's images are blurred.
        weights: the networks' weights of this resolution, packed; None = pack them.
    """

    networks: Networks
    config: TrainConfig
    resolution: int
    blurred: bool = False
    weights: StageWeights | None = None

    def __post_init__(self):
        if self.weights is None and self.networks is not None:
            self.weights = StageWeights(self.networks, self.resolution)

    @property
    def fading(self) -> bool:
        """True if this resolution fades in, so that the one below trains along."""
        return self.resolution > self.config.schedule.initial_resolution

    # -----------------------------------------------------------------------
    # Generator

    def g_variables(self) -> list[keras.Variable]:
        """Returns G's weights that have a part at this resolution."""
        return self.weights.g.variables

    def fakes(
        self,
        inputs: StepInputs,
        clock: Clock,
        k: int | tf.Tensor = 0,
        measure: bool = False,
    ) -> Fakes:
        """Generates images under a tape; see `generate`."""
        started = inputs.styles and inputs.styles.tape
        with started or tape_of(self.g_variables()) as tape:
            fakes = self.generate(inputs, clock, k, measure)
        return fakes._replace(tape=tape)

    def generate(
        self,
        inputs: StepInputs,
        clock: Clock,
        k: int | tf.Tensor = 0,
        measure: bool = False,
    ) -> Fakes:
        """Generates images.

        Args:
            inputs: latents and noise.
            clock: images seen.
            k: index of the round of gradient accumulation.
            measure: measure the squares that move StyleGAN3's running means.
        """
        ws, w_mean, _ = inputs.styles or (*self.styles(inputs), None)
        g = self.networks.generator
        c = g.config
        if measure and c.architecture == "stylegan3" and not c.network:
            images, squares = g.synthesis.measure(ws)
            return Fakes(images, w_mean, squares)
        return Fakes(self.synthesize(ws, inputs, clock, k), w_mean)

    def styles(self, inputs: StepInputs) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns mixed styles [N, num_styles, w_dim] and the batch mean of w."""
        g = self.networks.generator
        if not self._mixes:
            w = g.mapping(inputs.z, inputs.labels if g.config.classes else None)
            return g.broadcast(w), tf.reduce_mean(w, axis=0)
        w, other = self._map(inputs)
        ws = g.mix(
            *(tf.reshape(x, [-1, 1, x.shape[2]]) for x in (w, other)), inputs.cutoff
        )
        return ws, tf.reduce_mean(w[0], axis=0)

    @property
    def _mixes(self) -> bool:
        c = self.config.generator
        return c.style_mixing_prob > 0 and c.has_styles

    def _map(self, *batches: StepInputs) -> tuple[tf.Tensor, tf.Tensor]:
        """Maps the latents of several batches at once: two float32 [B, N, w_dim]."""
        g, labels = self.networks.generator, None
        z = tf.concat([x.z for x in batches] + [x.z_mix for x in batches], axis=0)
        if g.config.classes:
            labels = tf.concat([x.labels for x in batches] * 2, axis=0)
        w = g.mapping(z, labels)
        return tf.unstack(tf.reshape(w, [2, len(batches), -1, w.shape[1]]))

    def modulate(self, *batches: StepInputs) -> list[StepInputs]:
        """Returns batches with their `styles`, all of one pass of the mapping network.

        Only the last one's gradients are recorded. Other networks than StyleGAN's, and
        the user's own, take the batches as they are.
        """
        g = self.networks.generator
        c = g.config
        ours = c.architecture == "stylegan" and not c.network
        if not (self._mixes and ours and c.const_input):
            return list(batches)
        with tape_of(self.g_variables()) as tape:
            w, other = self._map(*batches)
            cutoffs = tf.stack([x.cutoff for x in batches])
            made = g.synthesis.modulations(w, other, cutoffs, self.resolution)
        means = tf.unstack(tf.reduce_mean(w, axis=1))
        tapes = [None] * (len(batches) - 1) + [tape]
        styles = map(Styles, made, means, tapes)
        return [
            replace(x, styles=style) for x, style in zip(batches, styles, strict=True)
        ]

    def synthesize(
        self,
        ws: tf.Tensor | list,
        inputs: StepInputs,
        clock: Clock,
        k: int | tf.Tensor = 0,
    ) -> tf.Tensor:
        """Returns images [N, H, W, C] of `styles`, with noise maps of round `k`."""
        return self.networks.generator.synthesis(
            ws,
            noise=self._noise(inputs, k),
            resolution=self.resolution,
            alpha=clock.alpha,
            training=True,
        )

    def _noise(self, inputs: StepInputs, k: int | tf.Tensor) -> str | list[tf.Tensor]:
        """Returns the noise maps, all of one draw if they are random."""
        shapes = self.config.generator.noise_shapes(self.resolution)
        if not (shapes and inputs.noise == "random" and inputs.seed is not None):
            return inputs.noise
        n, sizes = tf.shape(inputs.z)[0], [h * w for h, w in shapes]
        seed = (
            inputs.seed
            if self.config.accumulate == 1
            else stateless.fold_in(inputs.seed, k)
        )
        drawn = stateless.normal([n, sum(sizes)], seed)
        parts = zip(tf.split(drawn, sizes, axis=1), shapes, strict=True)
        return [tf.reshape(part, [-1, *shape, 1]) for part, shape in parts]

    # -----------------------------------------------------------------------
    # Discriminator

    def d_variables(self) -> list[keras.Variable]:
        """Returns D's weights that have a part at this resolution."""
        return self.weights.d.variables

    def score_reals(
        self, images: tf.Tensor, inputs: StepInputs, clock: Clock
    ) -> tf.Tensor:
        """Returns D's scores [N, 1] of augmented real images."""
        images = self._augment(images, inputs.real_uniforms, clock)
        return self._score(images, inputs.labels, clock)

    def score_fakes(
        self, images: tf.Tensor, inputs: StepInputs, clock: Clock
    ) -> tf.Tensor:
        """Returns D's scores [N, 1] of augmented generated images."""
        images = self._augment(images, inputs.fake_uniforms, clock)
        return self._score(images, inputs.labels, clock)

    def score_both(
        self, reals: tf.Tensor, fakes: tf.Tensor, inputs: StepInputs, clock: Clock
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns scores [N, 1] of reals and of fakes, in one pass if possible.

        The numbers are those of two passes: the batches are interleaved so that each
        group of the minibatch standard deviation holds reals alone or fakes alone.
        Convolutions run faster on the larger batch.
        """
        n = reals.shape[0]
        if not self._groups_stay_apart(n):
            real = self.score_reals(reals, inputs, clock)
            return real, self.score_fakes(fakes, inputs, clock)
        group = self._group_size(n)
        images = ops.join_batches(
            self._augment(reals, inputs.real_uniforms, clock),
            self._augment(fakes, inputs.fake_uniforms, clock),
            group,
        )
        labels = ops.join_batches(inputs.labels, inputs.labels, group)
        real, fake = ops.split_batches(self._score(images, labels, clock), group)
        return real, fake

    def _score(self, images: tf.Tensor, labels: tf.Tensor, clock: Clock) -> tf.Tensor:
        d = self.networks.discriminator
        return d(images, labels, alpha=clock.alpha, training=True)

    def _groups_stay_apart(self, n: int | None) -> bool:
        """True if batches of 2 N and of N fall into groups of the same size."""
        d = self.networks.discriminator
        if n is None or not isinstance(d, Discriminator) or d.config.network:
            return False  # DCGAN's batch norm is over reals alone or fakes alone
        return self._group_size(n) == self._group_size(2 * n)

    def _group_size(self, n: int) -> int:
        group = self.networks.discriminator.config.mbstd_group
        return ops.group_size(n, max(group, 1))

    def _augment(
        self, images: tf.Tensor, uniforms: tf.Tensor | None, clock: Clock
    ) -> tf.Tensor:
        c = self.config.augment
        if self.blurred:
            images = gaussian_blur(images, clock.blur)
        if c.kind == "diffaugment":
            return diffaugment(images, uniforms, c.policy)
        if is_custom(c.kind):
            return _augmented_by(c.kind, images, uniforms)
        return ada(images, uniforms, clock.p, c.groups) if c.kind == "ada" else images


def _augmented_by(kind: str, images: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
    """Augments by a function of the user's own, which must keep the shape.

    Raises:
        UserError: it does not.
    """
    out = tf.convert_to_tensor(find_custom("augment", kind)(images, uniforms))
    if out.shape.as_list() != images.shape.as_list():
        raise UserError(
            f"augment {kind} returned {out.shape} for images of {images.shape}; it "
            f"must keep their shape."
        )
    return tf.cast(out, images.dtype)


@contextmanager
def tape_of(variables: list[keras.Variable]) -> Iterator[tf.GradientTape]:
    """Records what is computed of Keras variables, or of what stands in for them."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([v.value for v in variables])
        yield tape
