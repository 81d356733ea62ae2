"""The discriminator (Karras et al. 2018, table 2; unchanged in 2019 but for the blur).

It mirrors the synthesis network: per resolution two convolutions, the second one
preceded by a blur and fused with the halving. The last block looks at how much the
examples of a group differ. While a resolution fades in, its features are blended with
those of the halved picture.
"""

import keras
import tensorflow as tf

from stylegan_tf import config, ops
from stylegan_tf.config import DiscriminatorConfig, levels
from stylegan_tf.layers import (
    PACKAGE,
    EqualizedConv2D,
    EqualizedDense,
    FromRGB,
    MinibatchStddev,
)
from stylegan_tf.networks.mapping import as_config
from stylegan_tf.networks.synthesis import fully_faded


@keras.saving.register_keras_serializable(PACKAGE)
class DiscriminatorBlock(keras.layers.Layer):
    """Two convolutions; the second one halves the picture.

    Args:
        config: `DiscriminatorConfig` or its dict.
        resolution: int, level of the input.

    Call arguments:
        x: float [N, H, W, C].

    Returns:
        float [N, H/2, W/2, C'].
    """

    def __init__(self, config, resolution, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.config = as_config(config, DiscriminatorConfig)
        self.resolution = resolution

    def build(self, input_shape=None):
        c, r, dtype = self.config, self.resolution, self.dtype_policy
        shape = (None, *c.shape(r), c.fmaps(r))
        self.conv0 = EqualizedConv2D(c.fmaps(r), name="conv0", dtype=dtype)
        self.conv0.build(shape)
        self.conv1 = EqualizedConv2D(
            c.fmaps(r // 2), resample="down", name="conv1_down", dtype=dtype
        )
        self.conv1.build(shape)

    def call(self, x):
        act = ops.ACTIVATIONS[self.config.activation]
        x = act(self.conv0(x))
        return act(self.conv1(ops.blur(x, self.config.blur_filter)))

    def compute_output_shape(self, input_shape):
        c, r = self.config, self.resolution // 2
        return (input_shape[0], *c.shape(r), c.fmaps(r))

    def get_config(self):
        own = {"config": config.to_dict(self.config), "resolution": self.resolution}
        return super().get_config() | own


@keras.saving.register_keras_serializable(PACKAGE)
class DiscriminatorHead(keras.layers.Layer):
    """The 4 x 4 block: minibatch statistic, convolution, two dense layers.

    Args:
        config: `DiscriminatorConfig` or its dict.

    Call arguments:
        x: float [N, h, w, C], (h, w) the start block.

    Returns:
        float32 [N, max(classes, 1)].
    """

    def __init__(self, config, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.config = as_config(config, DiscriminatorConfig)

    def build(self, input_shape=None):
        c, dtype = self.config, self.dtype_policy
        maps, (h, w), extra = c.fmaps(4), c.start_shape, 0
        if c.mbstd_group > 1:
            extra = c.mbstd_features
            self.stddev = MinibatchStddev(
                c.mbstd_group, extra, name="stddev", dtype=dtype
            )
            self.stddev.build((None, h, w, maps))
        self.conv = EqualizedConv2D(maps, name="conv", dtype=dtype)
        self.conv.build((None, h, w, maps + extra))
        hidden = c.fmaps(2)
        self.dense0 = EqualizedDense(hidden, name="dense0", dtype=dtype)
        self.dense0.build((None, h * w * maps))
        self.dense1 = EqualizedDense(
            max(c.classes, 1), gain=1.0, name="dense1", dtype="float32"
        )
        self.dense1.build((None, hidden))

    def call(self, x):
        act = ops.ACTIVATIONS[self.config.activation]
        if self.config.mbstd_group > 1:
            x = self.stddev(x)
        x = act(self.conv(x))
        x = tf.reshape(x, [-1, x.shape[1] * x.shape[2] * x.shape[3]])
        return self.dense1(act(self.dense0(x)))

    def get_config(self):
        return super().get_config() | {"config": config.to_dict(self.config)}


@keras.saving.register_keras_serializable(PACKAGE)
class Discriminator(keras.Model):
    """Pictures to scores.

    Args:
        config: `DiscriminatorConfig` or its dict.

    Call arguments:
        images: float [N, H, W, channels]; its size says which resolution runs.
        labels: one-hot float [N, classes]; with classes, each label picks its output.
        alpha: float or scalar tensor in [0, 1], how far this resolution has faded in.

    Returns:
        float32 [N, 1], higher = more real.

    Raises:
        ValueError: pictures of a size this network does not have.
    """

    def __init__(self, config, **kwargs):
        kwargs.setdefault("name", "discriminator")
        super().__init__(**(kwargs | {"autocast": False}))
        self.config = as_config(config, DiscriminatorConfig)
        self.build()

    def build(self, input_shape=None):
        c, dtype = self.config, self.dtype_policy
        for r in levels(c.resolution):
            from_rgb = FromRGB(
                c.fmaps(r), c.activation, name=f"from_rgb{r}", dtype=dtype
            )
            setattr(self, f"from_rgb{r}", from_rgb)
            from_rgb.build((None, *c.shape(r), c.channels))
        for r in levels(c.resolution, first=8):
            block = DiscriminatorBlock(c, r, name=f"block{r}", dtype=dtype)
            setattr(self, f"block{r}", block)
            block.build()
        self.head = DiscriminatorHead(c, name="head", dtype=dtype)
        self.head.build()
        self.built = True

    def call(self, images, labels=None, alpha=1.0):
        final = self.resolution_of(images)
        x = getattr(self, f"from_rgb{final}")(images)
        for r in reversed(levels(final, first=8)):
            x = getattr(self, f"block{r}")(x)
            if r == final and not fully_faded(alpha):
                old = getattr(self, f"from_rgb{r // 2}")(ops.downsample(images))
                x = ops.lerp(old, x, alpha)
        scores = self.head(x)
        if self.config.classes:
            labels = tf.zeros_like(scores) if labels is None else labels
            scores = tf.reduce_sum(scores * labels, axis=1, keepdims=True)
        return scores

    def resolution_of(self, images: tf.Tensor) -> int:
        """The level whose pictures have this size."""
        c = self.config
        sizes = {c.shape(r): r for r in levels(c.resolution)}
        if tuple(images.shape[1:3]) not in sizes:
            raise ValueError(
                f"pictures of {tuple(images.shape[1:3])} pixels; this network takes "
                f"{', '.join(f'{h}x{w}' for h, w in sizes)}."
            )
        return sizes[tuple(images.shape[1:3])]

    def stage_variables(self, resolution: int, fading: bool = True) -> list:
        """The trainable weights that the score of a picture at `resolution` uses.

        With `fading` this includes the entrance of the resolution below.
        """
        last = (resolution // 2, resolution) if fading else (resolution,)
        parts = [getattr(self, f"from_rgb{r}") for r in last if r >= 4]
        blocks = levels(resolution, first=8)
        parts += [getattr(self, f"block{r}") for r in blocks] + [self.head]
        return [v for part in parts for v in part.trainable_variables]

    def get_config(self):
        return {
            "config": config.to_dict(self.config),
            "name": self.name,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
        }
