"""The discriminator (Karras et al. 2018, table 2; Karras et al. 2020, figure 7).

It mirrors the synthesis network: per resolution two convolutions, the second one
halving the size after a low-pass filter; the last block starts with the minibatch
standard deviation. `architecture` says where the image enters:

    stylegan, revised   at its own resolution; while that fades in, its features are
                        blended with those of the halved image
    original            at the final resolution
    residual            at the final resolution, and each block adds its input to its
                        output
    skip                at every resolution
"""

import functools

import keras
import tensorflow as tf

from stylegan_tf.config import DiscriminatorConfig, levels
from stylegan_tf.config.networks import GROWING, STYLEGAN2
from stylegan_tf.networks import convolutions, ops, recompute
from stylegan_tf.networks.block import PACKAGE, Block, check_shape
from stylegan_tf.networks.custom import make_custom_discriminator
from stylegan_tf.networks.dcgan import DCGANDiscriminator
from stylegan_tf.networks.equalized import EqualizedConv2D, EqualizedDense
from stylegan_tf.networks.growing import ResolutionBlock, fully_faded
from stylegan_tf.networks.layers import FromRGB, MinibatchStddev


@keras.saving.register_keras_serializable(PACKAGE)
class DiscriminatorBlock(ResolutionBlock):
    """Two convolutions; the second one halves the size.

    Args:
        config: `DiscriminatorConfig` or its dict.
        resolution: int, of the input, a power of two, at least 8.

    Call arguments:
        x: float [N, H, W, C].

    Returns:
        float [N, H/2, W/2, C'].
    """

    config: DiscriminatorConfig
    config_class = DiscriminatorConfig

    def build(self, input_shape=None):
        c, r, dtype = self.config, self.resolution, self.dtype_policy
        x, gain = (None, *c.shape(r), c.fmaps(r)), c.gains[0]
        conv0 = EqualizedConv2D(c.fmaps(r), gain=gain, name="conv0", dtype=dtype)
        self.part("conv0", conv0, x)
        down = functools.partial(
            EqualizedConv2D,
            c.fmaps(r // 2),
            resample="down",
            taps=c.resample_filter if c.architecture in STYLEGAN2 else (),
            dtype=dtype,
        )
        self.part("conv1", down(gain=gain, name="conv1_down"), x)
        if c.architecture == "residual":
            skip = down(kernel_size=1, gain=1.0, use_bias=False, name="skip")
            self.part("skip", skip, x)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        y = self.conv0(x)  # [N, H, W, C]
        y = self.activate(self.halve(y))  # [N, H/2, W/2, C']
        if self.config.architecture == "residual":
            y = (y + self.shortcut(x)) / 2**0.5
        return y

    def activate(self, x: tf.Tensor) -> tf.Tensor:
        """The config's activation and clamp."""
        c = self.config
        x = recompute.activate(x, c.activation, c.gains[1])
        return ops.clamp(x, c.conv_clamp)

    @recompute.segment("conv1")
    def halve(self, x: tf.Tensor) -> tf.Tensor:
        """Activation, low-pass filter, second convolution."""
        x = self.activate(x)
        if self.config.architecture == "stylegan":
            x = convolutions.blur(x, self.config.blur_filter)
        return self.conv1(x)

    @recompute.segment("skip")
    def shortcut(self, x: tf.Tensor) -> tf.Tensor:
        """The residual path: 1 x 1 convolution, half the size."""
        return self.skip(x)

    def compute_output_shape(self, input_shape):
        c, r = self.config, self.resolution // 2
        return (input_shape[0], *c.shape(r), c.fmaps(r))


@keras.saving.register_keras_serializable(PACKAGE)
class DiscriminatorHead(Block):
    """The 4 x 4 block: minibatch statistic, convolution, two dense layers.

    With labels there is one output per class, and the label picks its own; or, with
    `conditioning="projection"` (Miyato & Koyama 2018, as in StyleGAN2-ADA), an output
    vector that is projected on the label's normalized embedding, or on the output of a
    mapping network of that.

    Args:
        config: `DiscriminatorConfig` or its dict.

    Call arguments:
        x: float [N, h, w, C], (h, w) the start block.
        labels: one-hot float [N, classes], or None.

    Returns:
        float32 [N, 1].
    """

    config: DiscriminatorConfig
    config_class = DiscriminatorConfig

    def build(self, input_shape=None):
        c, dtype, gain = self.config, self.dtype_policy, self.config.gains[0]
        channels, (h, w), extra = c.fmaps(4), c.start_shape, 0
        if c.mbstd_group > 1:
            extra = c.mbstd_features
            stddev = MinibatchStddev(c.mbstd_group, extra, name="stddev", dtype=dtype)
            self.part("stddev", stddev, (None, h, w, channels))
        conv = EqualizedConv2D(channels, name="conv", gain=gain, dtype=dtype)
        self.part("conv", conv, (None, h, w, channels + extra))
        hidden = c.head_width or c.fmaps(2)
        dense0 = EqualizedDense(hidden, name="dense0", gain=gain, dtype=dtype)
        self.part("dense0", dense0, (None, h * w * channels))
        projects = c.classes and c.conditioning == "projection"
        width = c.projection_width or hidden
        outputs = width if projects else max(c.classes, 1)
        linear = {"gain": 1.0, "dtype": "float32"}
        dense1 = EqualizedDense(outputs, name="dense1", **linear)
        self.part("dense1", dense1, (None, hidden))
        if projects:
            embedded = c.label_width or width
            embedding = EqualizedDense(embedded, name="embedding", **linear)
            self.part("embedding", embedding, (None, c.classes))
            self._build_mapping(embedded, width)

    def _build_mapping(self, embedded: int, width: int) -> None:
        """Adds the dense layers between the label's embedding and the projection."""
        c = self.config
        for i in range(c.mapping_layers):
            last = i == c.mapping_layers - 1
            dense = EqualizedDense(
                width if last else c.mapping_width or width,
                gain=c.gains[0],
                lrmul=c.mapping_lrmul,
                name=f"mapping{i}",
                dtype="float32",
            )
            self.part(f"mapping{i}", dense, (None, embedded))
            embedded = dense.units

    def call(self, x: tf.Tensor, labels: tf.Tensor | None = None) -> tf.Tensor:
        c = self.config
        if c.mbstd_group > 1:
            x = self.stddev(x)
        x = recompute.activate(self.conv(x), c.activation, c.gains[1])
        x = ops.clamp(x, c.conv_clamp)
        x = tf.reshape(x, [-1, x.shape[1] * x.shape[2] * x.shape[3]])
        x = recompute.activate(self.dense0(x), c.activation, c.gains[1])
        x = self.dense1(x)  # [N, 1], [N, classes] or [N, hidden]
        if not c.classes:
            return x
        labels = tf.zeros([tf.shape(x)[0], c.classes]) if labels is None else labels
        check_shape("labels", labels, c.classes)
        if c.conditioning == "projection":
            labels = self._embed(labels) / x.shape[1] ** 0.5
        return tf.reduce_sum(x * labels, axis=1, keepdims=True)

    def _embed(self, labels: tf.Tensor) -> tf.Tensor:
        """The vector of each label, to be multiplied by the features (dot product)."""
        c, x = self.config, ops.pixel_norm(self.embedding(labels))
        for i in range(c.mapping_layers):
            dense = getattr(self, f"mapping{i}")
            x = ops.activation(dense(x), c.activation, c.gains[1])
        return x


@keras.saving.register_keras_serializable(PACKAGE)
class Discriminator(Block, keras.Model):
    """Images to scores.

    Args:
        config: `DiscriminatorConfig` or its dict.

    Call arguments:
        images: float [N, H, W, channels]; their size says how many blocks run.
        labels: one-hot float [N, classes], or None.
        alpha: float or scalar tensor in [0, 1], how far this resolution has faded in.

    Returns:
        float32 [N, 1], higher = more real.

    Raises:
        ValueError: images of a size that this network does not take.
    """

    config: DiscriminatorConfig
    config_class = DiscriminatorConfig
    grows = True

    def __init__(
        self,
        config: DiscriminatorConfig | dict[str, object],
        name: str = "discriminator",
        **kwargs,
    ):
        super().__init__(config, name=name, **kwargs)
        self.build()

    def build(self, input_shape=None):
        c = self.config
        weight_gain, activation_gain = c.gains
        for r in self._entries():
            clamped = r > 4 or c.clamp_last_entry
            from_rgb = FromRGB(
                c.fmaps(r),
                c.activation,
                activation_gain,
                c.conv_clamp if clamped else 0.0,
                name=f"from_rgb{r}",
                gain=weight_gain,
                dtype=self.dtype_at(r),
            )
            self.part(f"from_rgb{r}", from_rgb, (None, *c.shape(r), c.channels))
        for r in levels(c.resolution, first=8):
            block = DiscriminatorBlock(c, r, name=f"block{r}", dtype=self.dtype_at(r))
            self.part(f"block{r}", block)
        head = DiscriminatorHead(c, name="head", dtype=self.dtype_at(4))
        self.part("head", head)
        self.built = True

    def _entries(self) -> list[int]:
        """The resolutions that have a fromRGB layer."""
        c = self.config
        single = c.architecture in ("original", "residual")
        return [c.resolution] if single else levels(c.resolution)

    def call(
        self,
        images: tf.Tensor,
        labels: tf.Tensor | None = None,
        alpha: float | tf.Tensor = 1.0,
        training: bool = False,
    ) -> tf.Tensor:
        c, final = self.config, self.resolution_of(images)
        from_rgb = getattr(self, f"from_rgb{final}")
        x = images if final > 4 else from_rgb(images)
        for r in reversed(levels(final, first=8)):
            block = getattr(self, f"block{r}")
            layers = [from_rgb, block] if r == final else [block]
            x = _apply(layers, x, side=min(c.shape(r)))  # [N, H/2, W/2, C']
            if c.architecture == "skip":
                images = convolutions.downsample(images, c.resample_filter)
                entry = getattr(self, f"from_rgb{r // 2}")(images)
                x = tf.cast(x, entry.dtype) + entry
            elif r == final and not fully_faded(alpha):
                halved = convolutions.downsample(images)
                below = getattr(self, f"from_rgb{r // 2}")(halved)
                x = ops.lerp(below, tf.cast(x, below.dtype), alpha)
        return self.head(x, labels)

    def resolution_of(self, images: tf.Tensor) -> int:
        """The resolution whose images have the size of `images`.

        Raises:
            ValueError: there is none.
        """
        c = self.config
        check_shape("images", images, "height", "width", c.channels)
        known = levels(c.resolution) if c.architecture in GROWING else [c.resolution]
        sizes = {c.shape(r): r for r in known}
        if tuple(images.shape[1:3]) not in sizes:
            raise ValueError(
                f"pictures of {tuple(images.shape[1:3])} pixels; this network takes "
                f"{', '.join(f'{h}x{w}' for h, w in sizes)}."
            )
        return sizes[tuple(images.shape[1:3])]

    def stage_variables(
        self, resolution: int, fading: bool = True
    ) -> list[keras.Variable]:
        """The trainable weights that the score of an image at `resolution` depends on.

        Args:
            resolution: int, of the image.
            fading: True includes the fromRGB layer of the resolution below.
        """
        last = (resolution // 2, resolution) if fading else (resolution,)
        if self.config.architecture not in GROWING:
            last = self._entries()
        parts = [getattr(self, f"from_rgb{r}") for r in last if r >= 4]
        blocks = levels(resolution, first=8)
        parts += [getattr(self, f"block{r}") for r in blocks] + [self.head]
        return [v for part in parts for v in part.trainable_variables]


def _apply(layers: list[keras.layers.Layer], x: tf.Tensor, side: int) -> tf.Tensor:
    """Applies layers one after the other, in chunks where `side` is large."""

    def run(x: tf.Tensor) -> tf.Tensor:
        for layer in layers:
            x = layer(x)
        return x

    return recompute.checkpointed_in_chunks(run, [x], layers, side)


def discriminator_of(
    c: DiscriminatorConfig, dtype: str | keras.DTypePolicy | None = None
) -> keras.Model:
    """The discriminator of a config's architecture, or the user's own."""
    if c.network:
        return make_custom_discriminator(c, dtype)
    network = DCGANDiscriminator if c.architecture == "dcgan" else Discriminator
    return network(c, dtype=dtype)
