"""Random inputs of a training step, the same however many devices share the work.

Latents, labels, the mixing cutoff, WGAN-GP's interpolation and the random numbers of
augmentations are sampled for the whole batch from (seed, images seen) on every device;
each replica and each round of an accumulated step then takes its part (`rounds.py`).
Only noise maps and the directions of path lengths are sampled per device.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import tensorflow as tf

from stylegan_tf import stateless
from stylegan_tf.augment.randomness import sample_uniforms
from stylegan_tf.config import TrainConfig
from stylegan_tf.training.rounds import replica_share, strided_part

D_STEP, G_STEP, PATH_LENGTH = range(3)  # forward passes of an iteration
PER_EXAMPLE = (
    "z",
    "z_mix",
    "labels",
    "fake_uniforms",
    "real_uniforms",
    "interpolation",
)


class Styles(NamedTuple):
    """Styles of a batch as a generator's layers apply them.

    Attributes:
        layers: per layer scale and shift [N, C], see `Synthesis.modulations`.
        w_mean: float32 [w_dim], mean of w over the batch.
        tape: recorded how they were made; None = nothing did.
    """

    layers: list[tuple[tf.Tensor, tf.Tensor]]
    w_mean: tf.Tensor
    tape: tf.GradientTape | None


@dataclass(frozen=True)
class StepInputs:
    """Random inputs of one forward pass.

    Attributes:
        z: float32 [N, z_dim], latents.
        z_mix: float32 [N, z_dim], latents of the layers from `cutoff` on.
        cutoff: int32 scalar; the number of styles or more = no mixing.
        labels: float32 [N, classes].
        noise: noise mode or list of noise maps, see `Generator`.
        seed: int64 [2], seed of random noise maps.
        fake_uniforms: float32 [N, UNIFORMS] for the augmentation of fakes, or None.
        real_uniforms: float32 [N, UNIFORMS] for the augmentation of reals, or None.
        interpolation: float32 [N, 1, 1, 1] in [0, 1), the place between a real image
            (0) and a fake (1) where WGAN-GP takes the gradient, or None.
        styles: what the layers make of the latents, if it was computed before.
    """

    z: tf.Tensor
    z_mix: tf.Tensor
    cutoff: tf.Tensor
    labels: tf.Tensor
    noise: str | list[tf.Tensor] = "random"
    seed: tf.Tensor | None = None
    fake_uniforms: tf.Tensor | None = None
    real_uniforms: tf.Tensor | None = None
    interpolation: tf.Tensor | None = None
    styles: Styles | None = None

    def tensors(self) -> dict[str, tf.Tensor]:
        """Returns the fields that are tensors, by name."""
        return {n: x for n, x in vars(self).items() if tf.is_tensor(x)}

    def part(self, k: int | tf.Tensor, rounds: int) -> "StepInputs":
        """Returns the inputs of the k-th of so many rounds."""
        inputs = {n: getattr(self, n) for n in PER_EXAMPLE}
        inputs = {n: x for n, x in inputs.items() if x is not None}
        return replace(
            self, **{n: strided_part(x, k, rounds) for n, x in inputs.items()}
        )


def fold_seed(config: TrainConfig, nimg: tf.Tensor, salt: int) -> tf.Tensor:
    """Returns a seed, int64 [2], of its own for each iteration and purpose."""
    return stateless.fold_in(tf.constant([config.seed, salt], tf.int64), nimg)


def sample_inputs(
    config: TrainConfig,
    resolution: int,
    batch: int,
    nimg: tf.Tensor,
    forward_pass: int,
    labels: tf.Tensor | None,
    label_table: tf.Tensor | None,
) -> StepInputs:
    """Samples the inputs of one forward pass; returns this replica's share.

    Args:
        config: the run.
        resolution: the resolution that is trained.
        batch: examples over all replicas.
        nimg: int64 scalar, images seen.
        forward_pass: D_STEP, G_STEP or PATH_LENGTH.
        labels: float32 [N, classes], this replica's labels; None = sample them.
        label_table: float32 [rows, classes], the labels to sample from.
    """
    g = config.generator
    # D's and G's step share a draw of latents, of which each takes its own.
    passes, which = (1, 0) if forward_pass == PATH_LENGTH else (2, forward_pass)
    latents, cut, rows, noise, fake_uniforms, real_uniforms, interpolation = (
        fold_seed(config, nimg, 10 * (forward_pass - which * (i < 22)) + i)
        for i in range(20, 27)
    )
    both = stateless.normal([passes, batch, 2, g.z_dim], latents)
    z, z_mix = tf.unstack(replica_share(tf.unstack(both)[which]), axis=1)
    layers = 2 * (resolution.bit_length() - 2)  # styled layers up to this resolution
    if g.architecture == "stylegan3":
        layers = g.num_styles
    if labels is None:
        labels = replica_share(_sample_labels(g.classes, batch, rows, label_table))
    inputs = StepInputs(
        z=z,
        z_mix=z_mix,
        cutoff=_sample_cutoffs(cut, layers, g.style_mixing_prob, passes)[which],
        labels=labels,
        seed=_of_replica(noise),
    )
    if config.augment.kind != "none":
        inputs = replace(
            inputs,
            fake_uniforms=replica_share(sample_uniforms(batch, fake_uniforms)),
            real_uniforms=replica_share(sample_uniforms(batch, real_uniforms)),
        )
    if config.loss.gp_weight > 0:
        uniforms = stateless.uniform([batch, 1, 1, 1], interpolation)
        inputs = replace(inputs, interpolation=replica_share(uniforms))
    return inputs


def sample_direction(
    config: TrainConfig, nimg: tf.Tensor, k: int | tf.Tensor, shape: tf.Tensor
) -> tf.Tensor:
    """Samples normal noise in image space for path lengths, per replica and round k."""
    seed = stateless.fold_in(fold_seed(config, nimg, 8), k)
    return stateless.normal(shape, _of_replica(seed))


def _sample_cutoffs(
    seed: tf.Tensor, layers: int, probability: float, count: int
) -> list[tf.Tensor]:
    """Samples 1, ..., layers - 1 with equal chances; `layers` or more = no mixing."""
    if not probability or layers < 2:
        return [tf.constant(layers)] * count
    # One number decides both: below `probability` styles mix, and where it is there
    # says at which layer.
    uniform = stateless.uniform([count], seed)
    scale = (layers - 1) / max(probability, 2**-23)  # its smallest step; stays an int32
    return tf.unstack(tf.cast(uniform * scale, tf.int32) + 1)


def _of_replica(seed: tf.Tensor) -> tf.Tensor:
    """Returns a seed of its own for each device."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return seed
    return stateless.fold_in(seed, context.replica_id_in_sync_group)


def _sample_labels(
    classes: int, batch: int, seed: tf.Tensor, table: tf.Tensor | None
) -> tf.Tensor:
    if not classes:
        return tf.zeros([batch, 0])
    rows = stateless.integers([batch], seed, len(table))
    return tf.gather(table, rows)
