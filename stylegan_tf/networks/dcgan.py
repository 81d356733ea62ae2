"""DCGAN (Radford et al. 2016), a baseline for the same trainer.

Transposed convolutions, batch normalization and tanh; strided convolutions in the
discriminator. With labels it is a conditional GAN (Mirza & Osindero 2014): the
generator's latent is concatenated with an embedding of the label, the discriminator's
image with one plane per class. There is no mapping network: w is z, and truncation
shortens it.

The other baseline, the progressive GAN (Karras et al. 2018), is StyleGAN with its
switches off: preset ladder-a.
"""

import keras
import tensorflow as tf

from stylegan_tf.config import DiscriminatorConfig, levels
from stylegan_tf.networks.block import PACKAGE, Block, check_shape
from stylegan_tf.networks.growing import SynthesisNetwork

KERNEL_SIZE = 5


def _normal() -> keras.initializers.Initializer:
    """A new initializer per layer: one draws the same numbers each time it is used."""
    return keras.initializers.RandomNormal(stddev=0.02)


def _batch_norm(name: str, dtype: keras.DTypePolicy) -> keras.layers.BatchNormalization:
    """Batch normalization over the whole batch, however many devices share it."""
    return keras.layers.BatchNormalization(
        momentum=0.9,
        epsilon=1e-5,
        gamma_initializer=keras.initializers.RandomNormal(1.0, 0.02),
        synchronized=True,
        name=name,
        dtype=dtype,
    )


def _statistics(network: keras.layers.Layer, sizes: list[int]) -> list[keras.Variable]:
    norms = [getattr(network, f"norm{size}") for size in sizes]
    return [v for n in norms for v in (n.moving_mean, n.moving_variance)]


@keras.saving.register_keras_serializable(PACKAGE)
class DCGANSynthesis(SynthesisNetwork):
    """Latents to images.

    Args:
        config: `GeneratorConfig` or its dict.

    Call arguments:
        ws: float [N, 1, w_dim].
        noise, resolution, alpha, seed: ignored; there is no noise and no growth.
        training: bool, normalize by the batch's own statistics.

    Returns:
        float32 [N, H, W, channels] in (-1, 1).
    """

    def build(self, input_shape=None, *_):
        c, dtype = self.config, self.dtype_policy
        h, w = c.shape(4)
        project = keras.layers.Dense(
            h * w * c.fmaps(4),
            use_bias=False,
            kernel_initializer=_normal(),
            name="project",
            dtype=dtype,
        )
        self.part("project", project, (None, c.w_dim))
        for r in levels(c.resolution, first=8):
            x, last = (None, *c.shape(r // 2), c.fmaps(r // 2)), r == c.resolution
            self.part(f"norm{r // 2}", _batch_norm(f"norm{r // 2}", dtype), x)
            conv = keras.layers.Conv2DTranspose(
                c.channels if last else c.fmaps(r),
                KERNEL_SIZE,
                2,
                "same",
                use_bias=last,
                kernel_initializer=_normal(),
                name=f"conv{r}",
                dtype="float32" if last else dtype,
            )
            self.part(f"conv{r}", conv, x)

    def call(
        self,
        ws: tf.Tensor,
        noise: object = None,
        resolution: object = None,
        alpha: object = None,
        seed: object = None,
        training: bool = False,
    ) -> tf.Tensor:
        c = self.config
        x = self.project(self.unstack(ws)[0])
        x = tf.reshape(x, (-1, *c.shape(4), c.fmaps(4)))  # [N, 4, 4, C]
        for r in levels(c.resolution, first=8):
            x = getattr(self, f"norm{r // 2}")(x, training=training)
            x = getattr(self, f"conv{r}")(tf.nn.relu(x))
        return tf.tanh(x)

    @property
    def running_means(self) -> list[keras.Variable]:
        """The statistics of batch normalization that are used after training."""
        return _statistics(self, levels(self.config.resolution // 2))

    def stage_variables(
        self, resolution: int, fading: bool = True
    ) -> list[keras.Variable]:
        """All trainable weights: the network does not grow."""
        return self.trainable_variables


@keras.saving.register_keras_serializable(PACKAGE)
class DCGANDiscriminator(Block, keras.Model):
    """Images to scores.

    Args:
        config: `DiscriminatorConfig` or its dict.

    Call arguments:
        images: float [N, H, W, channels] of the final size.
        labels: one-hot float [N, classes], or None.
        alpha: ignored; there is no growth.
        training: bool, normalize by the batch's own statistics.

    Returns:
        float32 [N, 1], higher = more real.
    """

    config: DiscriminatorConfig
    config_class = DiscriminatorConfig

    def __init__(
        self,
        config: DiscriminatorConfig | dict[str, object],
        name: str = "discriminator",
        **kwargs,
    ):
        super().__init__(config, name=name, **kwargs)
        self.build()

    def build(self, input_shape=None):
        c, dtype = self.config, self.dtype_policy
        channels = c.channels + c.classes
        for r in reversed(levels(c.resolution, first=8)):
            first, filters = r == c.resolution, c.fmaps(r // 2)
            conv = keras.layers.Conv2D(
                filters,
                KERNEL_SIZE,
                2,
                "same",
                use_bias=first,
                kernel_initializer=_normal(),
                name=f"conv{r}",
                dtype=dtype,
            )
            self.part(f"conv{r}", conv, (None, *c.shape(r), channels))
            if not first:
                norm = _batch_norm(f"norm{r // 2}", dtype)
                self.part(f"norm{r // 2}", norm, (None, *c.shape(r // 2), filters))
            channels = filters
        h, w = c.shape(4)
        score = keras.layers.Dense(
            1, kernel_initializer=_normal(), name="score", dtype="float32"
        )
        self.part("score", score, (None, h * w * channels))
        self.built = True

    def call(
        self,
        images: tf.Tensor,
        labels: tf.Tensor | None = None,
        alpha: object = 1.0,
        training: bool = False,
    ) -> tf.Tensor:
        c = self.config
        check_shape("images", images, *c.shape(c.resolution), c.channels)
        x = images
        if c.classes:
            n = tf.shape(x)[0]
            labels = tf.zeros([n, c.classes]) if labels is None else labels
            check_shape("labels", labels, c.classes)
            planes = tf.zeros([n, *c.shape(c.resolution), 1]) + labels[:, None, None]
            x = tf.concat([x, planes], axis=-1)
        for r in reversed(levels(c.resolution, first=8)):
            x = getattr(self, f"conv{r}")(x)
            if r < c.resolution:
                x = getattr(self, f"norm{r // 2}")(x, training=training)
            x = tf.nn.leaky_relu(x, 0.2)
        return self.score(tf.reshape(x, [-1, x.shape[1] * x.shape[2] * x.shape[3]]))

    @property
    def running_means(self) -> list[keras.Variable]:
        """The statistics of batch normalization that are used after training."""
        return _statistics(self, levels(self.config.resolution // 4))

    def stage_variables(
        self, resolution: int, fading: bool = True
    ) -> list[keras.Variable]:
        """All trainable weights: the network does not grow."""
        return self.trainable_variables
