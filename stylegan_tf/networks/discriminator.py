"""The discriminator (Karras et al. 2018, table 2; Karras et al. 2020, figure 7).

It mirrors the synthesis network: per resolution two convolutions, the second one
halving the picture behind a low-pass filter. The last block looks at how much the
examples of a group differ. `architecture` says how the picture enters:

    stylegan, revised   at the resolution under training; while that fades in, its
                        features are blended with those of the halved picture
    original            at the top
    residual            at the top, and every block adds its input to its output
    skip                at every resolution
"""

import functools

import keras
import tensorflow as tf

from stylegan_tf import config
from stylegan_tf.config import DiscriminatorConfig, levels
from stylegan_tf.config.networks import GROWING, STYLEGAN2
from stylegan_tf.networks import ops, recompute
from stylegan_tf.networks.dcgan import DCGANDiscriminator
from stylegan_tf.networks.growing import as_config, fully_faded
from stylegan_tf.networks.layers import (
    PACKAGE,
    EqualizedConv2D,
    EqualizedDense,
    FromRGB,
    MinibatchStddev,
)


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
        c, r = self.config, self.resolution
        shape = (None, *c.shape(r), c.fmaps(r))
        taps = c.resample_filter if c.architecture in STYLEGAN2 else ()
        common = {"gain": c.gains[0], "dtype": self.dtype_policy}
        self.conv0 = EqualizedConv2D(c.fmaps(r), name="conv0", **common)
        self.conv0.build(shape)
        down = {"resample": "down", "taps": taps}
        self.conv1 = EqualizedConv2D(
            c.fmaps(r // 2), name="conv1_down", **down, **common
        )
        self.conv1.build(shape)
        if c.architecture == "residual":
            common["gain"] = 1.0
            self.skip = EqualizedConv2D(
                c.fmaps(r // 2), 1, name="skip", use_bias=False, **down, **common
            )
            self.skip.build(shape)

    def call(self, x):
        c = self.config
        y = recompute.again(self._inner, [self.conv0(x)], [self.conv1])
        y = recompute.activate(y, c.activation, c.gains[1])
        y = ops.clamp(y, c.conv_clamp)
        if c.architecture != "residual":
            return y
        return (y + recompute.again(self.skip, [x], [self.skip])) / 2**0.5

    def _inner(self, x):
        """From the first convolution's maps to the second one's."""
        c = self.config
        x = recompute.activate(x, c.activation, c.gains[1])
        x = ops.clamp(x, c.conv_clamp)
        if c.architecture == "stylegan":
            x = ops.blur(x, c.blur_filter)
        return self.conv1(x)

    def compute_output_shape(self, input_shape):
        c, r = self.config, self.resolution // 2
        return (input_shape[0], *c.shape(r), c.fmaps(r))

    def get_config(self):
        own = {"config": config.to_dict(self.config), "resolution": self.resolution}
        return super().get_config() | own


@keras.saving.register_keras_serializable(PACKAGE)
class DiscriminatorHead(keras.layers.Layer):
    """The 4 x 4 block: minibatch statistic, convolution, two dense layers.

    With labels there is one output a class, and the label picks its own; or, with
    `conditioning="projection"` (Miyato & Koyama 2018, as in StyleGAN2-ADA), a vector
    that is projected on the label's normalized embedding, or on what a mapping network
    makes of it.

    Args:
        config: `DiscriminatorConfig` or its dict.

    Call arguments:
        x: float [N, h, w, C], (h, w) the start block.
        labels: one-hot float [N, classes], or None.

    Returns:
        float32 [N, 1].
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
        gain, hidden = c.gains[0], c.head_width or c.fmaps(2)
        self.conv = EqualizedConv2D(maps, name="conv", gain=gain, dtype=dtype)
        self.conv.build((None, h, w, maps + extra))
        self.dense0 = EqualizedDense(hidden, name="dense0", gain=gain, dtype=dtype)
        self.dense0.build((None, h * w * maps))
        projects = c.classes and c.conditioning == "projection"
        wide = c.projection_width or hidden
        outputs = wide if projects else max(c.classes, 1)
        linear = {"gain": 1.0, "dtype": "float32"}
        self.dense1 = EqualizedDense(outputs, name="dense1", **linear)
        self.dense1.build((None, hidden))
        if projects:
            width = c.label_width or wide
            self.embedding = EqualizedDense(width, name="embedding", **linear)
            self.embedding.build((None, c.classes))
            self._build_mapping(width, wide)

    def _build_mapping(self, width: int, wide: int) -> None:
        """The layers between the label's embedding and what is projected on."""
        c = self.config
        for i in range(c.mapping_layers):
            last = i == c.mapping_layers - 1
            units = wide if last else c.mapping_width or wide
            dense = EqualizedDense(
                units,
                gain=c.gains[0],
                lrmul=c.mapping_lrmul,
                name=f"mapping{i}",
                dtype="float32",
            )
            setattr(self, f"mapping{i}", dense)
            dense.build((None, width))
            width = units

    def call(self, x, labels=None):
        c = self.config
        if c.mbstd_group > 1:
            x = self.stddev(x)
        x = recompute.activate(self.conv(x), c.activation, c.gains[1])
        x = ops.clamp(x, c.conv_clamp)
        x = tf.reshape(x, [-1, x.shape[1] * x.shape[2] * x.shape[3]])
        x = recompute.activate(self.dense0(x), c.activation, c.gains[1])
        x = self.dense1(x)
        if not c.classes:
            return x
        labels = tf.zeros([tf.shape(x)[0], c.classes]) if labels is None else labels
        if c.conditioning == "projection":
            labels = ops.pixel_norm(self.embedding(labels))
            for i in range(c.mapping_layers):
                labels = getattr(self, f"mapping{i}")(labels)
                labels = ops.activate(labels, c.activation, c.gains[1])
            labels /= x.shape[1] ** 0.5
        return tf.reduce_sum(x * labels, axis=1, keepdims=True)

    def get_config(self):
        return super().get_config() | {"config": config.to_dict(self.config)}


@keras.saving.register_keras_serializable(PACKAGE)
class Discriminator(keras.Model):
    """Pictures to scores.

    Args:
        config: `DiscriminatorConfig` or its dict.

    Call arguments:
        images: float [N, H, W, channels]; its size says which resolution runs.
        labels: one-hot float [N, classes], or None.
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
        weight_gain, gain = c.gains
        for r in self._entrances():
            free = r == 4 and not c.clamp_last_entrance
            from_rgb = FromRGB(
                c.fmaps(r),
                c.activation,
                gain,
                0.0 if free else c.conv_clamp,
                name=f"from_rgb{r}",
                gain=weight_gain,
                dtype=dtype,
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

    def _entrances(self) -> list[int]:
        """The resolutions at which pictures come in."""
        c = self.config
        single = c.architecture in ("original", "residual")
        return [c.resolution] if single else levels(c.resolution)

    def call(self, images, labels=None, alpha=1.0, training=False):
        final = self.resolution_of(images)
        x, layers = images, [getattr(self, f"from_rgb{final}")]
        for r in reversed(levels(final, first=8)):
            layers.append(getattr(self, f"block{r}"))
            x = recompute.in_parts(
                _chain(layers), [x], layers, min(self.config.shape(r))
            )
            layers = []
            if self.config.architecture == "skip":
                images = ops.downsample(images, self.config.resample_filter)
                x += getattr(self, f"from_rgb{r // 2}")(images)
            elif r == final and not fully_faded(alpha):
                old = getattr(self, f"from_rgb{r // 2}")(ops.downsample(images))
                x = ops.lerp(old, x, alpha)
        return self.head(_chain(layers)(x), labels)

    def resolution_of(self, images: tf.Tensor) -> int:
        """The level whose pictures have this size."""
        c = self.config
        grown = levels(c.resolution) if c.architecture in GROWING else [c.resolution]
        sizes = {c.shape(r): r for r in grown}
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
        if self.config.architecture not in GROWING:
            last = self._entrances()
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


def _chain(layers: list):
    """The layers, one after the other, as a function."""
    return lambda x: functools.reduce(lambda y, layer: layer(y), layers, x)


def discriminator_of(c: DiscriminatorConfig, dtype=None) -> keras.Model:
    """The discriminator of an architecture."""
    kind = DCGANDiscriminator if c.architecture == "dcgan" else Discriminator
    return kind(c, dtype=dtype)
