"""The older networks, under the same trainer: DCGAN (Radford et al. 2016).

Transposed convolutions, batch normalization, tanh; strided convolutions in the
discriminator. With labels it is a conditional GAN (Mirza & Osindero 2014): the
generator's latent goes on with an embedding of the label, the discriminator's picture
with a plane a class. There is no mapping, so w is z; truncation then shortens z.

The other baseline, the progressive GAN (Karras et al. 2018), is StyleGAN with its
switches off: preset ladder-a.
"""

import keras
import tensorflow as tf

from stylegan_tf import config
from stylegan_tf.config import DiscriminatorConfig, levels
from stylegan_tf.networks.growing import as_config
from stylegan_tf.networks.layers import PACKAGE

KERNEL = 5


def _normal() -> keras.initializers.Initializer:
    """One a layer: an initializer draws the same numbers each time that it is used."""
    return keras.initializers.RandomNormal(stddev=0.02)


def _batch_norm(name: str, dtype) -> keras.layers.BatchNormalization:
    """Statistics of the whole batch, however many devices share it."""
    return keras.layers.BatchNormalization(
        momentum=0.9,
        epsilon=1e-5,
        gamma_initializer=keras.initializers.RandomNormal(1.0, 0.02),
        synchronized=True,
        name=name,
        dtype=dtype,
    )


@keras.saving.register_keras_serializable(PACKAGE)
class DCGANSynthesis(keras.layers.Layer):
    """Latents to pictures.

    Args:
        config: `GeneratorConfig` or its dict.

    Call arguments:
        ws: float [N, 1, w_dim].
        training: bool, normalize by the batch's own statistics.
        noise, resolution, alpha, seed: there is no noise, and no growing.

    Returns:
        float32 [N, H, W, channels] in (-1, 1).
    """

    def __init__(self, config, **kwargs):
        super().__init__(**(kwargs | {"autocast": False, "name": "synthesis"}))
        self.config = as_config(config)

    def build(self, input_shape=None, *_):
        c, dtype = self.config, self.dtype_policy
        h, w = c.shape(4)
        self.project = keras.layers.Dense(
            h * w * c.fmaps(4),
            use_bias=False,
            kernel_initializer=_normal(),
            name="project",
            dtype=dtype,
        )
        self.project.build((None, c.w_dim))
        for r in levels(c.resolution, first=8):
            below, last = c.fmaps(r // 2), r == c.resolution
            norm = _batch_norm(f"norm{r // 2}", dtype)
            setattr(self, f"norm{r // 2}", norm)
            norm.build((None, *c.shape(r // 2), below))
            conv = keras.layers.Conv2DTranspose(
                c.channels if last else c.fmaps(r),
                KERNEL,
                2,
                "same",
                use_bias=last,
                kernel_initializer=_normal(),
                name=f"conv{r}",
                dtype="float32" if last else dtype,
            )
            setattr(self, f"conv{r}", conv)
            conv.build((None, *c.shape(r // 2), below))

    def call(
        self,
        ws,
        noise=None,
        resolution=None,
        alpha=None,
        seed=None,
        training=False,
    ):
        c = self.config
        x = self.project(ws[:, 0])
        x = tf.reshape(x, (-1, *c.shape(4), c.fmaps(4)))
        for r in levels(c.resolution, first=8):
            x = getattr(self, f"norm{r // 2}")(x, training=training)
            x = getattr(self, f"conv{r}")(tf.nn.relu(x))
        return tf.tanh(x)

    @property
    def running_means(self) -> list:
        """The statistics that pictures are drawn with after training."""
        halves = levels(self.config.resolution // 2)
        norms = [getattr(self, f"norm{r}") for r in halves]
        return [v for n in norms for v in (n.moving_mean, n.moving_variance)]

    def stage_variables(self, resolution: int, fading: bool = True) -> list:
        """All of them: it does not grow."""
        return self.trainable_variables

    def get_config(self):
        return {"config": config.to_dict(self.config), "dtype": self.dtype_policy}


@keras.saving.register_keras_serializable(PACKAGE)
class DCGANDiscriminator(keras.Model):
    """Pictures to scores.

    Args:
        config: `DiscriminatorConfig` or its dict.

    Call arguments:
        images: float [N, H, W, channels] of the final size.
        labels: one-hot float [N, classes], or None.
        alpha: there is no growing.
        training: bool, normalize by the batch's own statistics.

    Returns:
        float32 [N, 1], higher = more real.
    """

    def __init__(self, config, **kwargs):
        kwargs.setdefault("name", "discriminator")
        super().__init__(**(kwargs | {"autocast": False}))
        self.config = as_config(config, DiscriminatorConfig)
        self.build()

    def build(self, input_shape=None):
        c, dtype = self.config, self.dtype_policy
        inputs = c.channels + c.classes
        for r in reversed(levels(c.resolution, first=8)):
            top, maps = r == c.resolution, c.fmaps(r // 2)
            conv = keras.layers.Conv2D(
                maps,
                KERNEL,
                2,
                "same",
                use_bias=top,
                kernel_initializer=_normal(),
                name=f"conv{r}",
                dtype=dtype,
            )
            setattr(self, f"conv{r}", conv)
            conv.build((None, *c.shape(r), inputs))
            if not top:
                norm = _batch_norm(f"norm{r // 2}", dtype)
                setattr(self, f"norm{r // 2}", norm)
                norm.build((None, *c.shape(r // 2), maps))
            inputs = maps
        h, w = c.shape(4)
        self.score = keras.layers.Dense(
            1, kernel_initializer=_normal(), name="score", dtype="float32"
        )
        self.score.build((None, h * w * inputs))
        self.built = True

    def call(self, images, labels=None, alpha=1.0, training=False):
        c = self.config
        x = images
        if c.classes:
            n = tf.shape(x)[0]
            labels = tf.zeros([n, c.classes]) if labels is None else labels
            planes = tf.zeros([n, *c.shape(c.resolution), 1]) + labels[:, None, None]
            x = tf.concat([x, planes], axis=-1)
        for r in reversed(levels(c.resolution, first=8)):
            x = getattr(self, f"conv{r}")(x)
            if r < c.resolution:
                x = getattr(self, f"norm{r // 2}")(x, training=training)
            x = tf.nn.leaky_relu(x, 0.2)
        return self.score(tf.reshape(x, [-1, x.shape[1] * x.shape[2] * x.shape[3]]))

    def stage_variables(self, resolution: int, fading: bool = True) -> list:
        """All of them: it does not grow."""
        return self.trainable_variables

    def get_config(self):
        return {
            "config": config.to_dict(self.config),
            "name": self.name,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
        }
