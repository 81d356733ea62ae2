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

from stylegan_tf.config import DiscriminatorConfig, levels
from stylegan_tf.config.networks import GROWING, STYLEGAN2
from stylegan_tf.networks import ops, recompute
from stylegan_tf.networks.dcgan import DCGANDiscriminator
from stylegan_tf.networks.growing import Block, ResolutionBlock, fully_faded
from stylegan_tf.networks.layers import (
    PACKAGE,
    EqualizedConv2D,
    EqualizedDense,
    FromRGB,
    MinibatchStddev,
)


@keras.saving.register_keras_serializable(PACKAGE)
class DiscriminatorBlock(ResolutionBlock):
    """Two convolutions; the second one halves the picture.

    Args:
        config: `DiscriminatorConfig` or its dict.
        resolution: int, level of the input.

    Call arguments:
        x: float [N, H, W, C].

    Returns:
        float [N, H/2, W/2, C'].
    """

    config_class = DiscriminatorConfig

    def build(self, input_shape=None):
        c, r = self.config, self.resolution
        shape = (None, *c.shape(r), c.fmaps(r))
        taps = c.resample_filter if c.architecture in STYLEGAN2 else ()
        gain, dtype = c.gains[0], self.dtype_policy
        conv0 = EqualizedConv2D(c.fmaps(r), gain=gain, name="conv0", dtype=dtype)
        self.part("conv0", conv0, shape)
        down = functools.partial(
            EqualizedConv2D, c.fmaps(r // 2), resample="down", taps=taps, dtype=dtype
        )
        self.part("conv1", down(gain=gain, name="conv1_down"), shape)
        if c.architecture == "residual":
            skip = down(kernel_size=1, gain=1.0, use_bias=False, name="skip")
            self.part("skip", skip, shape)

    def call(self, x):
        c = self.config
        y = self.upper(self.conv0(x))
        y = recompute.activate(y, c.activation, c.gains[1])
        if c.architecture == "residual":
            y = (y + self.shortcut(x)) / 2**0.5
        return y

    @recompute.segment("conv1")
    def upper(self, x):
        """Activation, blur, second convolution."""
        c = self.config
        x = recompute.activate(x, c.activation, c.gains[1])
        if c.architecture == "stylegan":
            x = ops.blur(x, c.blur_filter)
        return self.conv1(x)

    @recompute.segment("skip")
    def shortcut(self, x):
        """The residual path: 1 x 1 convolution, halved size."""
        return self.skip(x)

    def compute_output_shape(self, input_shape):
        c, r = self.config, self.resolution // 2
        return (input_shape[0], *c.shape(r), c.fmaps(r))


@keras.saving.register_keras_serializable(PACKAGE)
class DiscriminatorHead(Block):
    """The 4 x 4 block: minibatch statistic, convolution, two dense layers.

    With labels there is one output a class, and the label picks its own; or, with
    `conditioning="projection"` (Miyato & Koyama 2018, as in StyleGAN2-ADA), a vector
    that is projected on the label's normalized embedding.

    Args:
        config: `DiscriminatorConfig` or its dict.

    Call arguments:
        x: float [N, h, w, C], (h, w) the start block.
        labels: one-hot float [N, classes], or None.

    Returns:
        float32 [N, 1].
    """

    config_class = DiscriminatorConfig

    def build(self, input_shape=None):
        c, dtype = self.config, self.dtype_policy
        maps, (h, w), extra = c.fmaps(4), c.start_shape, 0
        if c.mbstd_group > 1:
            extra = c.mbstd_features
            stddev = MinibatchStddev(c.mbstd_group, extra, name="stddev", dtype=dtype)
            self.part("stddev", stddev, (None, h, w, maps))
        gain, hidden = c.gains[0], c.fmaps(2)
        conv = EqualizedConv2D(maps, name="conv", gain=gain, dtype=dtype)
        self.part("conv", conv, (None, h, w, maps + extra))
        dense0 = EqualizedDense(hidden, name="dense0", gain=gain, dtype=dtype)
        self.part("dense0", dense0, (None, h * w * maps))
        projects = c.classes and c.conditioning == "projection"
        outputs = hidden if projects else max(c.classes, 1)
        linear = {"gain": 1.0, "dtype": "float32"}
        dense1 = EqualizedDense(outputs, name="dense1", **linear)
        self.part("dense1", dense1, (None, hidden))
        if projects:
            embedding = EqualizedDense(hidden, name="embedding", **linear)
            self.part("embedding", embedding, (None, c.classes))

    def call(self, x, labels=None):
        c = self.config
        if c.mbstd_group > 1:
            x = self.stddev(x)
        x = recompute.activate(self.conv(x), c.activation, c.gains[1])
        x = tf.reshape(x, [-1, x.shape[1] * x.shape[2] * x.shape[3]])
        x = recompute.activate(self.dense0(x), c.activation, c.gains[1])
        x = self.dense1(x)
        if not c.classes:
            return x
        labels = tf.zeros([tf.shape(x)[0], c.classes]) if labels is None else labels
        if c.conditioning == "projection":
            labels = ops.pixel_norm(self.embedding(labels)) / x.shape[1] ** 0.5
        return tf.reduce_sum(x * labels, axis=1, keepdims=True)


@keras.saving.register_keras_serializable(PACKAGE)
class Discriminator(Block, keras.Model):
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

    config_class = DiscriminatorConfig

    def __init__(self, config, name="discriminator", **kwargs):
        super().__init__(config, name=name, **kwargs)
        self.build()

    def build(self, input_shape=None):
        c, dtype = self.config, self.dtype_policy
        weight_gain, gain = c.gains
        for r in self._entrances():
            from_rgb = FromRGB(
                c.fmaps(r),
                c.activation,
                gain,
                name=f"from_rgb{r}",
                gain=weight_gain,
                dtype=dtype,
            )
            self.part(f"from_rgb{r}", from_rgb, (None, *c.shape(r), c.channels))
        for r in levels(c.resolution, first=8):
            block = DiscriminatorBlock(c, r, name=f"block{r}", dtype=dtype)
            self.part(f"block{r}", block)
        self.part("head", DiscriminatorHead(c, name="head", dtype=dtype))
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
            x = recompute.checkpointed_in_chunks(
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

    def stage_variables(
        self, resolution: int, fading: bool = True
    ) -> list[keras.Variable]:
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


def _chain(layers: list):
    """The layers, one after the other, as a function."""
    return lambda x: functools.reduce(lambda y, layer: layer(y), layers, x)


def discriminator_of(c: DiscriminatorConfig, dtype=None) -> keras.Model:
    """The discriminator of an architecture."""
    kind = DCGANDiscriminator if c.architecture == "dcgan" else Discriminator
    return kind(c, dtype=dtype)
