"""The encoder: images to styles (pSp, Richardson et al. 2021; e4e, Tov et al. 2021).

A residual discriminator's blocks make feature maps of every size. Those of 4 x 4 to
16 x 16 are merged from the coarsest on (feature pyramid, Lin et al. 2017):

    p_4 = lateral(x_4),    p_r = lateral(x_r) + upsample(p_(r/2))

p_4 gives w, the first style. Every further style is w plus an offset, which comes from
the coarse, the middle or the fine maps:

    w_0 = w,    w_i = w + offset_i                        (e4e, section 4.1)

Styles are near what the mapping network makes where offsets are small, so their size is
a penalty in training, and training unlocks them one after the other.
"""

import dataclasses

import keras
import tensorflow as tf

from stylegan_tf import config as configs
from stylegan_tf.config import DiscriminatorConfig, GeneratorConfig, levels
from stylegan_tf.config.networks import matching_discriminator
from stylegan_tf.config.weights import MOST_WEIGHTS
from stylegan_tf.errors import UserError
from stylegan_tf.networks import convolutions, ops
from stylegan_tf.networks.block import PACKAGE, Block, check_shape
from stylegan_tf.networks.discriminator import DiscriminatorBlock
from stylegan_tf.networks.equalized import EqualizedConv2D, EqualizedDense
from stylegan_tf.networks.layers import FromRGB

SPACES = ("w", "wplus")
FINEST = 16  # resolution of the pyramid's largest feature maps
MOST_MAPS, MOST_BASE, MOST_WIDTH = 8192, 1 << 20, 64


def backbone_config(c: GeneratorConfig, width: int) -> DiscriminatorConfig:
    """Returns the config of the encoder's blocks.

    Args:
        c: config of the generator.
        width: feature maps, in multiples of the generator's.
    """
    return dataclasses.replace(
        matching_discriminator(c),
        architecture="residual",
        classes=0,
        fmap_base=min(c.fmap_base * width, MOST_BASE),
        fmap_max=min(c.fmap_max * width, MOST_MAPS),
    )


@keras.saving.register_keras_serializable(PACKAGE)
class StyleHead(Block):
    """Feature maps to the vectors of some styles.

    Convolution, means down to the start block, two dense layers.

    Args:
        config: `DiscriminatorConfig` of the encoder's blocks, or its dict.
        styles: int, number of vectors.
        w_dim: int, their width.

    Call arguments:
        x: float [N, H, W, C], H and W the start block's times a power of two.

    Returns:
        float32 [N, styles, w_dim].
    """

    config: DiscriminatorConfig
    config_class = DiscriminatorConfig

    def __init__(
        self,
        config: DiscriminatorConfig | dict[str, object],
        styles: int,
        w_dim: int,
        **kwargs,
    ):
        super().__init__(config, **kwargs)
        self.styles = styles
        self.w_dim = w_dim

    def build(self, input_shape):
        c, dtype, gain = self.config, self.dtype_policy, self.config.gains[0]
        maps, (h, w) = input_shape[-1], c.start_shape
        conv = EqualizedConv2D(maps, gain=gain, name="conv", dtype=dtype)
        self.part("conv", conv, input_shape)
        dense0 = EqualizedDense(c.fmaps(2), gain=gain, name="dense0", dtype=dtype)
        self.part("dense0", dense0, (None, h * w * maps))
        outputs = self.styles * self.w_dim
        dense1 = EqualizedDense(outputs, gain=1.0, name="dense1", dtype="float32")
        self.part("dense1", dense1, (None, c.fmaps(2)))

    def call(self, x: tf.Tensor) -> tf.Tensor:
        c = self.config
        x = ops.activation(self.conv(x), c.activation, c.gains[1])
        x = ops.clamp(x, c.conv_clamp)
        while x.shape[1] > c.start_shape[0]:
            x = convolutions.downsample(x)
        x = tf.reshape(x, [-1, x.shape[1] * x.shape[2] * x.shape[3]])
        x = ops.activation(self.dense0(x), c.activation, c.gains[1])
        return tf.reshape(self.dense1(x), [-1, self.styles, self.w_dim])

    def get_config(self):
        return super().get_config() | {"styles": self.styles, "w_dim": self.w_dim}


@keras.saving.register_keras_serializable(PACKAGE)
class Encoder(Block, keras.Model):
    """Images of a generator's size to styles.

    Args:
        config: `GeneratorConfig` of the generator, or its dict.
        resolution: int, of the images; None = the generator's final one.
        space: "wplus", offsets from w for all styles but the first; "w", none.
        width: int, feature maps in multiples of the generator's.
        fingerprint: of the generator's weights, see `block.weights_fingerprint`.
        about: how it was trained, JSON values for people to read.

    Call arguments:
        images: float [N, H, W, channels] in [-1, 1].
        unlocked: int or scalar tensor, number of styles that may have an offset, from
            the coarsest; None = all.

    Returns:
        float32 [N, num_styles, w_dim].

    Raises:
        UserError: settings of no encoder, or of one that is too large.
        ValueError: images of another size.
    """

    config: GeneratorConfig

    def __init__(
        self,
        config: GeneratorConfig | dict[str, object],
        resolution: int | None = None,
        space: str = "wplus",
        width: int = 1,
        fingerprint: str = "",
        about: dict[str, object] | None = None,
        name: str = "encoder",
        **kwargs,
    ):
        super().__init__(config, name=name, **kwargs)
        self.resolution = resolution or self.config.resolution
        count_encoder_weights(self.config, self.resolution, space, width)
        self.space = space
        self.width = width
        self.fingerprint = fingerprint
        self.about = dict(about or {})
        self.backbone = backbone_config(self.config, width)
        self.build()

    def build(self, input_shape=None):
        b, dtype, final = self.backbone, self.dtype_policy, self.resolution
        from_rgb = FromRGB(
            b.fmaps(final),
            b.activation,
            b.gains[1],
            b.conv_clamp,
            name="from_rgb",
            gain=b.gains[0],
            dtype=dtype,
        )
        self.part("from_rgb", from_rgb, (None, *b.shape(final), b.channels))
        for r in levels(final, first=8):
            block = DiscriminatorBlock(b, r, name=f"block{r}", dtype=dtype)
            self.part(f"block{r}", block)
        counts = offset_counts(self.config, final, self.space)
        maps, w_dim = b.fmaps(4), self.config.w_dim
        for r, count in counts.items():
            lateral = EqualizedConv2D(
                maps, kernel_size=1, gain=1.0, name=f"lateral{r}", dtype=dtype
            )
            self.part(f"lateral{r}", lateral, (None, *b.shape(r), b.fmaps(r)))
            if count:
                head = StyleHead(b, count, w_dim, name=f"offsets{r}", dtype=dtype)
                self.part(f"offsets{r}", head, (None, *b.shape(r), maps))
        head = StyleHead(b, 1, w_dim, name="head", dtype=dtype)
        self.part("head", head, (None, *b.shape(4), maps))
        self.center = self._statistic("center", "zeros")
        self.spread = self._statistic("spread", "ones")
        self.built = True

    def _statistic(self, name: str, initializer: str) -> keras.Variable:
        """Adds a weight that says where w is: its mean, its standard deviations."""
        return self.add_weight(
            shape=(self.config.w_dim,),
            initializer=initializer,
            trainable=False,
            name=name,
            dtype="float32",
            autocast=False,
        )

    def call(
        self,
        images: tf.Tensor,
        unlocked: int | tf.Tensor | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        styles = self.config.num_styles
        features = self._pyramid(images)
        w = self.head(features[4])  # [N, 1, w_dim]
        parts = [tf.zeros_like(w)]
        for r, count in offset_counts(self.config, self.resolution, self.space).items():
            if count:
                parts.append(getattr(self, f"offsets{r}")(features[r]))
        if len(parts) == 1:
            ws = tf.repeat(w, styles, axis=1)
        else:
            offsets = tf.concat(parts, axis=1)  # [N, num_styles, w_dim]
            if unlocked is not None:
                mask = tf.range(styles) <= tf.cast(unlocked, tf.int32)
                offsets *= tf.cast(mask[:, None], offsets.dtype)
            ws = w + offsets
        return tf.convert_to_tensor(self.center) + ws * self.spread

    def _pyramid(self, images: tf.Tensor) -> dict[int, tf.Tensor]:
        """Returns the merged feature maps by resolution."""
        b = self.backbone
        check_shape("images", images, *b.shape(self.resolution), b.channels)
        x = self.from_rgb(images)
        features = {self.resolution: x}
        for r in reversed(levels(self.resolution, first=8)):
            x = getattr(self, f"block{r}")(x)  # [N, H/2, W/2, C']
            features[r // 2] = x
        merged = {4: self.lateral4(features[4])}
        for r in offset_counts(self.config, self.resolution, self.space):
            if r > 4:
                lateral = getattr(self, f"lateral{r}")(features[r])
                merged[r] = lateral + convolutions.upsample(merged[r // 2])
        return merged

    def get_config(self):
        names = ("resolution", "space", "width", "fingerprint")
        own = {name: getattr(self, name) for name in names}
        return super().get_config() | own | {"about": dict(self.about)}


def offset_counts(c: GeneratorConfig, resolution: int, space: str) -> dict[int, int]:
    """Returns how many styles get their offset from the maps of each resolution.

    Args:
        c: config of the generator.
        resolution: int, of the images.
        space: see `Encoder`.

    Returns:
        Resolution of the pyramid -> styles, coarse ones first; they add up to all
        styles but the first.
    """
    used = levels(max(4, min(FINEST, resolution // 2)))
    offsets = c.num_styles - 1 if space == "wplus" else 0
    if not offsets:
        return {4: 0}
    own = [used[i * len(used) // offsets] for i in range(offsets)]
    return {r: own.count(r) for r in used}


def count_encoder_weights(
    c: GeneratorConfig, resolution: int, space: str, width: int
) -> int:
    """Returns the number of an encoder's weights, without making it.

    Args:
        c: config of the generator.
        resolution: int, of the images.
        space: see `Encoder`.
        width: see `Encoder`.

    Raises:
        UserError: there is no such encoder, or it is too large.
    """
    if resolution not in levels(c.resolution) or space not in SPACES:
        raise UserError(f"there is no encoder at {resolution} pixels, to {space!r}.")
    if type(width) is not int or not 1 <= width <= MOST_WIDTH:
        raise UserError(f"width is {width}; give 1 to {MOST_WIDTH}.")
    b = backbone_config(c, width)
    total = 2 * c.w_dim + (b.channels + 1) * b.fmaps(resolution)
    for r in levels(resolution, first=8):
        maps, below = b.fmaps(r), b.fmaps(r // 2)
        total += maps * (9 * maps + 1) + below * (9 * maps + 1) + maps * below
    maps, hidden, (h, w) = b.fmaps(4), b.fmaps(2), b.start_shape
    counts = offset_counts(c, resolution, space)
    total += sum((b.fmaps(r) + 1) * maps for r in counts)
    for count in [1, *filter(None, counts.values())]:
        total += maps * (9 * maps + 1) + hidden * (h * w * maps + 1)
        total += count * c.w_dim * (hidden + 1)
    if total > MOST_WEIGHTS:
        raise UserError(
            f"the encoder would have {total:,} weights; the limit is {MOST_WEIGHTS:,}. "
            f"Lower its width."
        )
    return total


def stored_arguments(values: dict) -> dict[str, object]:
    """Returns the arguments that a stored encoder is made with.

    Args:
        values: what `Encoder.get_config` said, read from a file of unknown origin.

    Raises:
        UserError: see `count_encoder_weights`; or values that are no encoder's.
    """
    kinds = {"resolution": int, "space": str, "width": int}
    kinds |= {"fingerprint": str, "about": dict}
    for name, kind in kinds.items():
        if type(values.get(name)) is not kind:
            raise UserError(f"its {name} is no {kind.__name__}.")
    own = {name: values[name] for name in kinds}
    c = configs.from_dict(GeneratorConfig, values["config"])
    count_encoder_weights(c, own["resolution"], own["space"], own["width"])
    return {"config": c} | own
