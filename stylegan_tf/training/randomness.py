"""What a training step draws, and who gets which part of it.

Nothing that is drawn depends on how many devices share the work. Latents, labels, the
mixing cut-off, WGAN-GP's mixtures and the luck of augmentations are drawn for the whole
batch from (seed, images seen) on every device; device r of R takes examples r, r + R,
r + 2R, ..., and so do the rounds of an accumulated step. The strided groups of the
minibatch statistic then hold the same examples however the batch is split. Only noise
maps, and the directions that path lengths are measured along, are drawn by each device
alone.
"""

from dataclasses import dataclass

import tensorflow as tf

from stylegan_tf.augment import randomness as fate
from stylegan_tf.config import TrainConfig
from stylegan_tf.training.rounds import part_of, share

D_STEP, G_STEP, PATH_LENGTH = range(3)  # forward passes of an iteration


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
        luck: float [N, LUCK] of the generated pictures' augmentation, or None.
        luck_real: of the real ones'.
        mix: float [N, 1, 1, 1], where between a real and a drawn picture WGAN-GP looks.
    """

    z: tf.Tensor
    z_mix: tf.Tensor
    cutoff: tf.Tensor
    labels: tf.Tensor
    noise: object = "random"
    seed: tf.Tensor | None = None
    luck: tf.Tensor | None = None
    luck_real: tf.Tensor | None = None
    mix: tf.Tensor | None = None

    def part(self, k, rounds: int) -> "Draws":
        """The k-th of so many rounds."""
        split = ("z", "z_mix", "labels", "luck", "luck_real", "mix")
        named = {n: x for n, x in vars(self).items() if n in split and x is not None}
        return Draws(
            **(vars(self) | {n: part_of(x, k, rounds) for n, x in named.items()})
        )


def seed_of(config: TrainConfig, nimg: tf.Tensor, salt: int) -> tf.Tensor:
    """int [2], a stream of its own for every moment and purpose."""
    return tf.random.fold_in(tf.constant([config.seed, salt], tf.int64), nimg)


def draw(
    config: TrainConfig,
    resolution: int,
    n: int,
    nimg: tf.Tensor,
    which: int,
    labels: tf.Tensor | None,
    label_table: tf.Tensor | None,
) -> Draws:
    """Everything random of one forward pass, this device's share.

    Args:
        config: the run.
        resolution: level trained.
        n: examples over all devices.
        nimg: int64 scalar, images seen.
        which: D_STEP, G_STEP or PATH_LENGTH.
        labels: those of the real pictures, or None to draw from the label table.
        label_table: float [rows, classes].
    """
    g = config.generator
    z, z_mix, cut, coin, rows, noise, luck, luck_real, mix = (
        seed_of(config, nimg, 10 * which + i) for i in range(20, 29)
    )
    layers = 2 * (resolution.bit_length() - 2)  # those now active
    cutoff = tf.random.stateless_uniform([], cut, 1, layers, tf.int32)
    mixes = tf.random.stateless_uniform([], coin) < g.style_mixing_prob
    if labels is None:
        labels = share(_labels(g.classes, n, rows, label_table))
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    augments, penalty = config.augment.kind != "none", config.loss.gp_weight > 0
    return Draws(
        z=share(tf.random.stateless_normal([n, g.z_dim], z)),
        z_mix=share(tf.random.stateless_normal([n, g.z_dim], z_mix)),
        cutoff=tf.where(mixes, cutoff, g.num_layers),
        labels=labels,
        seed=tf.random.fold_in(noise, replica),
        luck=share(fate.draw(n, luck)) if augments else None,
        luck_real=share(fate.draw(n, luck_real)) if augments else None,
        mix=share(tf.random.stateless_uniform([n, 1, 1, 1], mix)) if penalty else None,
    )


def _labels(classes: int, n: int, seed, table: tf.Tensor | None) -> tf.Tensor:
    if not classes:
        return tf.zeros([n, 0])
    pick = tf.random.stateless_uniform([n], seed, 0, len(table), tf.int32)
    return tf.gather(table, pick)
