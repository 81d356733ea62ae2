"""What describes the networks, each switch of the paper's ablation ladder included."""

from dataclasses import dataclass

from stylegan_tf.config.sizes import (
    check_choice,
    check_power,
    check_range,
    levels,
    picture_shape,
)
from stylegan_tf.config.stylegan3 import (
    FilteredLayerPlan,
    StyleGAN3Config,
    layer_plans,
)
from stylegan_tf.errors import UserError

NOISE_POSITIONS = ("before_bias", "after_adain")
ACTIVATIONS = ("lrelu", "relu")
STYLEGAN2 = ("revised", "skip", "residual", "original")  # of its family
ARCHITECTURES = ("stylegan", *STYLEGAN2, "stylegan3", "dcgan")
GROWING = ("stylegan", "revised")
LABEL_NORMS = ("joint", "own")
CONDITIONINGS = ("sum", "projection")
MODULATIONS = ("maps", "kernels")


@dataclass(frozen=True)
class GeneratorConfig:
    """The mapping and synthesis networks; the defaults are the paper's config F.

    Fields that an architecture has no use for are ignored: StyleGAN2's networks have
    no ladder switches, only StyleGAN grows blurred, DCGAN has no styles.
    """

    architecture: str = "stylegan"  # or one of ARCHITECTURES
    resolution: int = 1024  # level of the output, 4 * 2^n
    start_shape: tuple[int, int] = (4, 4)  # height, width of the first block
    channels: int = 3
    classes: int = 0  # width of the one-hot labels, 0 = unconditional
    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 8  # 0 = w is z, normalized if normalize_z
    mapping_width: int = 512  # hidden layers of the mapping network
    mapping_lrmul: float = 0.01
    normalize_z: bool = True
    fmap_base: int = 8192  # channels at stage s: min(fmap_base / 2^(s decay), fmap_max)
    fmap_decay: float = 1.0
    fmap_max: int = 512
    use_styles: bool = True  # ladder C; False feeds w to the first block only
    const_input: bool = True  # ladder D; False starts from a dense layer on w
    use_noise: bool = True  # ladder E
    noise_position: str = "before_bias"  # or "after_adain"
    use_pixel_norm: bool = False  # ladder B
    use_instance_norm: bool = True
    blur_filter: tuple[int, ...] = (1, 2, 1)  # () = no blur
    resample_filter: tuple[int, ...] = (1, 3, 3, 1)  # StyleGAN2's
    modulation: str = "auto"  # StyleGAN2's: scale "maps", build "kernels"; auto: timed
    activation: str = "lrelu"
    style_mixing_prob: float = 0.9  # ladder F
    w_avg_beta: float = 0.995
    conv_clamp: float = 0.0  # feature maps stay within +-this, 0 = no limit; ADA: 256
    label_norm: str = "joint"  # with z, or on its "own", as in StyleGAN2-ADA
    label_width: int = 0  # of the label's own embedding; 0 = z_dim
    stylegan3: StyleGAN3Config = StyleGAN3Config()

    def __post_init__(self):
        _check_sizes(self)
        check_choice("label_norm", self.label_norm, LABEL_NORMS)
        if self.architecture == "stylegan3":
            self._check_stylegan3()
        check_choice("noise_position", self.noise_position, NOISE_POSITIONS)
        check_choice("modulation", self.modulation, ("auto", *MODULATIONS))
        check_range("style_mixing_prob", self.style_mixing_prob, 0, 1)
        check_range("w_avg_beta", self.w_avg_beta, 0, 1)
        check_range("mapping_layers", self.mapping_layers, 0, 64)
        if self.mapping_layers == 0 and self.w_dim != self.mapping_input_dim:
            raise UserError(
                f"mapping_layers=0 makes w the normalized input of "
                f"{self.mapping_input_dim} values, but w_dim is {self.w_dim}; "
                f"set w_dim={self.mapping_input_dim} or use a mapping layer."
            )

    def _check_stylegan3(self) -> None:
        if self.start_shape != (4, 4):
            raise UserError("StyleGAN3 draws square pictures; use start_shape=(4, 4).")
        rate, size = self.filtered_layers[0].before.rate, self.resolution
        if rate > size or any(p.out_channels < 1 for p in self.filtered_layers):
            raise UserError(
                f"stylegan3's layers need {rate} pixels and some maps; at {size} "
                f"pixels, lower first_stopband or raise fmap_base."
            )
        if any(p.up > 1 or p.down > 1 for p in self.filtered_layers if p.to_rgb):
            raise UserError("stylegan3.critical leaves the picture at another rate.")

    @property
    def filtered_layers(self) -> list[FilteredLayerPlan]:
        """StyleGAN3's layers, the one that makes the picture included."""
        return layer_plans(
            self.stylegan3,
            self.resolution,
            self.channels,
            self.fmap_base,
            self.fmap_max,
        )

    @property
    def multiplications(self) -> int:
        """Of a picture of StyleGAN3's: convolutions, and the filters around them."""
        count = 0
        for p in self.filtered_layers:
            fine = (p.after.size - 1) * p.down + p.down_taps  # pixels a side
            count += (
                (p.before.size * p.kernel_size) ** 2 * p.in_channels * p.out_channels
            )
            taps = 2 * p.up_taps // p.up + 2 * p.down_taps // p.down
            if p.radial:
                taps += (p.down_taps // p.down) ** 2
            count += fine**2 * p.out_channels * taps
        return count

    @property
    def mapping_input_dim(self) -> int:
        """Width of the mapping network's input: z, and the label's embedding."""
        return self.z_dim + (self.embedding_dim if self.classes else 0)

    @property
    def embedding_dim(self) -> int:
        """Width of the label's embedding."""
        return (self.label_norm == "own" and self.label_width) or self.z_dim

    @property
    def gains(self) -> tuple[float, float]:
        """Gains of weights and of activations."""
        return _gains(self.architecture)

    @property
    def num_layers(self) -> int:
        """Styled layers, two a resolution: 18 at 1024."""
        if self.architecture == "stylegan3":
            return self.stylegan3.layers + 1
        return 2 * len(levels(self.resolution))

    @property
    def num_styles(self) -> int:
        """Slots in ws: one a layer, or a single one when styles are off."""
        if self.architecture == "stylegan3":
            return self.num_layers + 1  # and the Fourier features
        return self.num_layers if self.has_styles else 1

    @property
    def has_styles(self) -> bool:
        """Whether every layer takes a style of its own."""
        if self.architecture == "stylegan":
            return self.use_styles
        return self.architecture in (*STYLEGAN2, "stylegan3")

    def noise_shapes(self, resolution: int) -> list[tuple[int, int]]:
        """Height and width of each layer's noise map, up to `resolution`.

        StyleGAN2's constant has none; StyleGAN3 and DCGAN have none at all.
        """
        if not self.use_noise or self.architecture in ("stylegan3", "dcgan"):
            return []
        shapes = [self.shape(r) for r in levels(resolution) for _ in range(2)]
        return shapes if self.architecture == "stylegan" else shapes[1:]

    def fmaps(self, resolution: int) -> int:
        """Channels of the block at `resolution`."""
        return _fmaps(self, resolution)

    def shape(self, resolution: int) -> tuple[int, int]:
        """Height and width of the pictures at `resolution`."""
        return picture_shape(self.start_shape, resolution)


@dataclass(frozen=True)
class DiscriminatorConfig:
    """The discriminator; the defaults are the paper's."""

    architecture: str = "stylegan"  # or one of ARCHITECTURES
    conditioning: str = "sum"  # of the label's output, or "projection" on its embedding
    resolution: int = 1024
    start_shape: tuple[int, int] = (4, 4)
    channels: int = 3
    classes: int = 0
    fmap_base: int = 8192
    fmap_decay: float = 1.0
    fmap_max: int = 512
    mbstd_group: int = 4  # examples a group of the minibatch statistic, <= 1 = off
    mbstd_features: int = 1
    blur_filter: tuple[int, ...] = (1, 2, 1)
    resample_filter: tuple[int, ...] = (1, 3, 3, 1)  # StyleGAN2's
    activation: str = "lrelu"
    conv_clamp: float = 0.0  # feature maps stay within +-this, 0 = no limit; ADA: 256
    clamp_last_entrance: bool = True  # that of pictures of the start block's size, too
    head_width: int = 0  # of the first dense layer; 0 = maps of one more halving
    projection_width: int = 0  # of what scores are projected on; 0 = head_width
    label_width: int = 0  # of the label's embedding; 0 = projection_width
    mapping_layers: int = 0  # from the embedding to what scores are projected on
    mapping_width: int = 0  # of the hidden ones; 0 = projection_width
    mapping_lrmul: float = 0.01

    def __post_init__(self):
        _check_sizes(self)
        check_choice("conditioning", self.conditioning, CONDITIONINGS)
        check_range("mapping_layers", self.mapping_layers, 0, 64)
        if self.architecture == "stylegan3":
            raise UserError(
                "StyleGAN3 has no discriminator of its own; it takes StyleGAN2's, "
                "discriminator.architecture=residual."
            )

    @property
    def gains(self) -> tuple[float, float]:
        """Gains of weights and of activations."""
        return _gains(self.architecture)

    def fmaps(self, resolution: int) -> int:
        """Channels of the block at `resolution`."""
        return _fmaps(self, resolution)

    def shape(self, resolution: int) -> tuple[int, int]:
        """Height and width of the pictures at `resolution`."""
        return picture_shape(self.start_shape, resolution)


def _gains(architecture: str) -> tuple[float, float]:
    """StyleGAN2 moves sqrt(2) from the weights behind the activation."""
    moved = architecture in (*STYLEGAN2, "stylegan3")
    return (1.0, 2**0.5) if moved else (2**0.5, 1.0)


def _fmaps(config, resolution: int) -> int:
    stage = resolution.bit_length() - 2  # 4 -> 1, 8 -> 2, ...
    return min(
        int(config.fmap_base / 2 ** (stage * config.fmap_decay)), config.fmap_max
    )


def _check_sizes(config) -> None:
    check_choice("architecture", config.architecture, ARCHITECTURES)
    check_power(config.resolution, "resolution", least=8)
    if config.channels not in (1, 3, 4):
        raise UserError(f"channels is {config.channels}; use 1, 3 or 4 (with alpha).")
    check_range("classes", config.classes, 0, 1 << 20)
    check_choice("activation", config.activation, ACTIVATIONS)
    start = config.start_shape
    if len(start) != 2 or not all(isinstance(s, int) and 1 <= s <= 64 for s in start):
        raise UserError(
            f"start_shape is {start}; give height and width, such as (4, 6)."
        )
    for name in ("fmap_base", "fmap_max"):
        check_range(name, getattr(config, name), 1, 1 << 20)
    check_range("conv_clamp", config.conv_clamp, 0, 1 << 20)
    for name in ("label_width", "head_width", "projection_width", "mapping_width"):
        check_range(name, getattr(config, name, 0), 0, 1 << 20)
    if config.fmaps(config.resolution) < 1:
        raise UserError(
            f"fmap_base={config.fmap_base} leaves no channel at "
            f"{config.resolution}; raise it."
        )
