"""Settings of the networks, with each switch of the ablations (2019 paper, table 1)."""

from dataclasses import dataclass
from typing import Annotated

from stylegan_tf.config.limits import (
    Checked,
    Choice,
    ChoiceOrCustom,
    Each,
    Filter,
    PowerOfTwo,
    Range,
    Text,
)
from stylegan_tf.config.sizes import image_shape, levels
from stylegan_tf.config.stylegan3 import (
    FilteredLayerPlan,
    StyleGAN3Config,
    layer_plans,
)
from stylegan_tf.errors import UserError

NOISE_POSITIONS = ("before_bias", "after_adain")
ACTIVATIONS = ("lrelu", "relu")
STYLEGAN2 = ("revised", "skip", "residual", "original")  # modulated convolutions
ARCHITECTURES = ("stylegan", *STYLEGAN2, "stylegan3", "dcgan")
GROWING = ("stylegan", "revised")
LABEL_NORMS = ("joint", "own")
CONDITIONINGS = ("sum", "projection")
MODULATIONS = ("maps", "kernels")

MOST_LABEL_EXAMPLES, MOST_CLASS_NAMES = 4096, 1000
WIDTH, OPTIONAL_WIDTH = Range(1, 8192), Range(0, 8192)  # of z, w and dense layers
SHARE = Range(0, 1)
HALVES = Range(0, 9)  # of the resolutions 4, 8, ..., 1024
SIDES = Each(Range(1, 64), least=2, most=2)
OWN = ChoiceOrCustom(("",))  # a class of the user's, or none
TAPS = Filter(Range(-1000, 1000), most=64)


@dataclass(frozen=True)
class GeneratorConfig(Checked, section="generator"):
    """The mapping and synthesis networks; the defaults are the paper's config F.

    Fields that an architecture has no use for are ignored: StyleGAN2's networks have
    no ladder switches, only StyleGAN grows blurred, DCGAN has no styles.

    Attributes:
        architecture: one of `ARCHITECTURES`.
        resolution: resolution of the images, 4 * 2^n.
        start_shape: height and width of the first block.
        channels: 1 (gray), 3 (RGB) or 4 (RGBA).
        classes: width of the one-hot labels; 0 = unconditional.
        z_dim: width of z.
        w_dim: width of w.
        mapping_layers: layers of the mapping network; 0 = w is z, normalized if
            `normalize_z` is set.
        mapping_width: width of the mapping network's hidden layers.
        mapping_lrmul: factor of the mapping network's learning rate.
        normalize_z: normalize z to a mean square of 1.
        fmap_base: feature maps at stage s are min(fmap_base / 2^(s fmap_decay),
            fmap_max); s = 1 at 4x4, 2 at 8x8, ...
        fmap_decay: see `fmap_base`.
        fmap_max: see `fmap_base`.
        use_styles: ladder C; False feeds w to the first block only.
        const_input: ladder D; False starts from a dense layer on w.
        use_noise: ladder E; add noise maps.
        noise_position: "before_bias", as in the paper, or "after_adain".
        noise_lrmul: factor of the learning rate of the noise's strengths.
        use_pixel_norm: ladder B; normalize each pixel's features.
        use_instance_norm: normalize each feature map before its style.
        blur_filter: filter behind upsampling; () = no blur.
        resample_filter: StyleGAN2's filter around up- and downsampling.
        modulation: form of StyleGAN2's modulated convolution: "maps" scales feature
            maps, "kernels" builds one kernel per example; "auto" is resolved by the
            device when a run starts.
        activation: one of `ACTIVATIONS`.
        style_mixing_prob: ladder F; probability that two latents share an image.
        w_avg_beta: decay of the running mean of w.
        conv_clamp: feature maps and images stay within +-conv_clamp; 0 = no limit,
            StyleGAN2-ADA has 256 in half precision.
        half_resolutions: highest resolutions that compute in the run's `precision`;
            those below and 4x4 then compute in float32. 0 = the whole network;
            StyleGAN2-ADA has 4. A class of yours sees to it itself.
        label_norm: "joint" normalizes z and the label's embedding together, "own" each
            on its own, as in StyleGAN2-ADA.
        label_width: width of the label's embedding under "own"; 0 = z_dim.
        label_examples: label vectors of the training data that are kept to draw with;
            0 = labels are classes, and one-hot.
        class_names: names of the classes; () = they are numbered.
        stylegan3: StyleGAN3's synthesis network.
        network: class of yours that draws in place of the architecture's synthesis
            network, `custom:NAME`; "" = none. `architecture` still says how many
            styles and noise maps it is given.
    """

    architecture: Annotated[str, Choice(ARCHITECTURES)] = "stylegan"
    resolution: Annotated[int, PowerOfTwo(8)] = 1024
    start_shape: Annotated[tuple[int, int], SIDES] = (4, 4)
    channels: Annotated[int, Choice((1, 3, 4))] = 3
    classes: Annotated[int, Range(0, 1 << 20)] = 0
    z_dim: Annotated[int, WIDTH] = 512
    w_dim: Annotated[int, WIDTH] = 512
    mapping_layers: Annotated[int, Range(0, 64)] = 8
    mapping_width: Annotated[int, WIDTH] = 512
    mapping_lrmul: Annotated[float, Range(0, 1000, above=True)] = 0.01
    normalize_z: bool = True
    fmap_base: Annotated[int, Range(1, 1 << 20)] = 8192
    fmap_decay: Annotated[float, Range(0, 16)] = 1.0
    fmap_max: Annotated[int, WIDTH] = 512
    use_styles: bool = True
    const_input: bool = True
    use_noise: bool = True
    noise_position: Annotated[str, Choice(NOISE_POSITIONS)] = "before_bias"
    noise_lrmul: Annotated[float, Range(0, 1000, above=True)] = 1.0
    use_pixel_norm: bool = False
    use_instance_norm: bool = True
    blur_filter: Annotated[tuple[int, ...], TAPS] = (1, 2, 1)
    resample_filter: Annotated[tuple[int, ...], TAPS] = (1, 3, 3, 1)
    modulation: Annotated[str, Choice(("auto", *MODULATIONS))] = "auto"
    activation: Annotated[str, Choice(ACTIVATIONS)] = "lrelu"
    style_mixing_prob: Annotated[float, SHARE] = 0.9
    w_avg_beta: Annotated[float, SHARE] = 0.995
    conv_clamp: Annotated[float, Range(0, 1 << 20)] = 0.0
    half_resolutions: Annotated[int, HALVES] = 0
    label_norm: Annotated[str, Choice(LABEL_NORMS)] = "joint"
    label_width: Annotated[int, OPTIONAL_WIDTH] = 0
    label_examples: Annotated[int, Range(0, MOST_LABEL_EXAMPLES)] = 0
    class_names: Annotated[tuple[str, ...], Each(Text(), most=MOST_CLASS_NAMES)] = ()
    stylegan3: StyleGAN3Config = StyleGAN3Config()
    network: Annotated[str, OWN] = ""

    def check(self) -> None:
        """Refuses widths, layers and images that do not go together."""
        _check_narrowest(self)
        _check_halves(self)
        if self.architecture == "stylegan3":
            self._check_stylegan3()
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
    def label_choices(self) -> int:
        """Number of labels that drawings take in turn: classes, or kept vectors."""
        return self.label_examples or self.classes

    @property
    def filtered_layers(self) -> list[FilteredLayerPlan]:
        """StyleGAN3's layers, the one that makes the image included."""
        return layer_plans(
            self.stylegan3,
            self.resolution,
            self.channels,
            self.fmap_base,
            self.fmap_max,
        )

    @property
    def mapping_input_dim(self) -> int:
        """Width of the mapping network's input: z and the label's embedding."""
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
        """Number of styled layers, two per resolution: 18 at 1024."""
        if self.architecture == "stylegan3":
            return self.stylegan3.layers + 1  # the last one makes the image
        return 2 * len(levels(self.resolution))

    @property
    def num_styles(self) -> int:
        """Number of styles in ws: one per layer, or one for all when styles are off."""
        if self.architecture == "stylegan3":
            return self.num_layers + 1  # the first one places the Fourier features
        return self.num_layers if self.has_styles else 1

    @property
    def has_styles(self) -> bool:
        """True if every layer takes a style of its own."""
        if self.architecture == "stylegan":
            return self.use_styles
        return self.architecture in (*STYLEGAN2, "stylegan3")

    def noise_shapes(self, resolution: int) -> list[tuple[int, int]]:
        """Returns height and width of each layer's noise map, up to `resolution`.

        StyleGAN2 adds no noise to its constant, StyleGAN3 and DCGAN none at all.
        """
        if not self.use_noise or self.architecture in ("stylegan3", "dcgan"):
            return []
        shapes = [self.shape(r) for r in levels(resolution) for _ in range(2)]
        return shapes if self.architecture == "stylegan" else shapes[1:]

    def fmaps(self, resolution: int) -> int:
        """Returns the feature maps of the block at `resolution`."""
        return _fmaps(self, resolution)

    def follows_precision(self, resolution: int) -> bool:
        """True if layers at `resolution` compute in `precision`, False in float32."""
        return _follows_precision(self, resolution)

    def shape(self, resolution: int) -> tuple[int, int]:
        """Returns height and width of the images at `resolution`."""
        return image_shape(self.start_shape, resolution)


@dataclass(frozen=True)
class DiscriminatorConfig(Checked, section="discriminator"):
    """The discriminator; the defaults are the paper's.

    Attributes:
        architecture: one of `ARCHITECTURES`.
        conditioning: "sum" over the label's output, or "projection" on the label's
            embedding.
        resolution: resolution of the images, 4 * 2^n.
        start_shape: height and width of the last block.
        channels: 1 (gray), 3 (RGB) or 4 (RGBA).
        classes: width of the one-hot labels; 0 = unconditional.
        fmap_base: see `GeneratorConfig`.
        fmap_decay: see `GeneratorConfig`.
        fmap_max: see `GeneratorConfig`.
        mbstd_group: examples per group of the minibatch standard deviation; 1 or less
            = off.
        mbstd_features: feature maps that it adds.
        blur_filter: filter before downsampling; () = no blur.
        resample_filter: StyleGAN2's filter around downsampling.
        activation: one of `ACTIVATIONS`.
        conv_clamp: feature maps stay within +-conv_clamp; 0 = no limit.
        half_resolutions: see `GeneratorConfig`.
        clamp_last_entry: clamp the maps of images that enter at 4x4, too.
        head_width: width of the first dense layer; 0 = feature maps at 2x2.
        projection_width: width of the vector that is projected on the label; 0 =
            head_width.
        label_width: width of the label's embedding; 0 = projection_width.
        mapping_layers: layers between the label's embedding and the projection.
        mapping_width: width of the hidden ones; 0 = projection_width.
        mapping_lrmul: factor of their learning rate.
        network: class of yours in place of the discriminator, `custom:NAME`; "" =
            none.
    """

    architecture: Annotated[str, Choice(ARCHITECTURES)] = "stylegan"
    conditioning: Annotated[str, Choice(CONDITIONINGS)] = "sum"
    resolution: Annotated[int, PowerOfTwo(8)] = 1024
    start_shape: Annotated[tuple[int, int], SIDES] = (4, 4)
    channels: Annotated[int, Choice((1, 3, 4))] = 3
    classes: Annotated[int, Range(0, 1 << 20)] = 0
    fmap_base: Annotated[int, Range(1, 1 << 20)] = 8192
    fmap_decay: Annotated[float, Range(0, 16)] = 1.0
    fmap_max: Annotated[int, WIDTH] = 512
    mbstd_group: Annotated[int, Range(0, 4096)] = 4
    mbstd_features: Annotated[int, Range(1, 8192)] = 1
    blur_filter: Annotated[tuple[int, ...], TAPS] = (1, 2, 1)
    resample_filter: Annotated[tuple[int, ...], TAPS] = (1, 3, 3, 1)
    activation: Annotated[str, Choice(ACTIVATIONS)] = "lrelu"
    conv_clamp: Annotated[float, Range(0, 1 << 20)] = 0.0
    half_resolutions: Annotated[int, HALVES] = 0
    clamp_last_entry: bool = True
    head_width: Annotated[int, OPTIONAL_WIDTH] = 0
    projection_width: Annotated[int, OPTIONAL_WIDTH] = 0
    label_width: Annotated[int, OPTIONAL_WIDTH] = 0
    mapping_layers: Annotated[int, Range(0, 64)] = 0
    mapping_width: Annotated[int, OPTIONAL_WIDTH] = 0
    mapping_lrmul: Annotated[float, Range(0, 1000, above=True)] = 0.01
    network: Annotated[str, OWN] = ""

    def check(self) -> None:
        """Refuses widths that leave nothing, and StyleGAN3, which has none."""
        _check_narrowest(self)
        _check_halves(self)
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
        """Returns the feature maps of the block at `resolution`."""
        return _fmaps(self, resolution)

    def follows_precision(self, resolution: int) -> bool:
        """True if layers at `resolution` compute in `precision`, False in float32."""
        return _follows_precision(self, resolution)

    def shape(self, resolution: int) -> tuple[int, int]:
        """Returns height and width of the images at `resolution`."""
        return image_shape(self.start_shape, resolution)


Network = GeneratorConfig | DiscriminatorConfig
# Settings that a discriminator takes over from its generator.
_ALIKE = (
    "resolution",
    "start_shape",
    "channels",
    "classes",
    "activation",
    "conv_clamp",
    "half_resolutions",
)
_ALIKE += ("fmap_base", "fmap_decay", "fmap_max", "blur_filter", "resample_filter")


def matching_discriminator(g: GeneratorConfig) -> DiscriminatorConfig:
    """Returns the discriminator of a generator's images, widths and architecture.

    StyleGAN2's skip generator and StyleGAN3's have the residual one.
    """
    kind = "residual" if g.architecture in ("skip", "stylegan3") else g.architecture
    return DiscriminatorConfig(
        architecture=kind, **{name: getattr(g, name) for name in _ALIKE}
    )


def _gains(architecture: str) -> tuple[float, float]:
    """Returns (weights, activations): StyleGAN2 moves sqrt(2) behind the activation."""
    moved = architecture in (*STYLEGAN2, "stylegan3")
    return (1.0, 2**0.5) if moved else (2**0.5, 1.0)


def _fmaps(config: Network, resolution: int) -> int:
    stage = resolution.bit_length() - 2  # 4 -> 1, 8 -> 2, ...
    return min(
        int(config.fmap_base / 2 ** (stage * config.fmap_decay)), config.fmap_max
    )


def _follows_precision(config: Network, resolution: int) -> bool:
    lowest = max(2 * config.resolution >> config.half_resolutions, 8)
    return config.half_resolutions == 0 or resolution >= lowest


def _check_halves(config: Network) -> None:
    if config.half_resolutions and config.architecture == "dcgan":
        raise UserError(
            f"{config.section}.half_resolutions={config.half_resolutions} is not for "
            f"DCGAN, which computes in one precision; set it to 0."
        )


def _check_narrowest(config: Network) -> None:
    if config.fmaps(config.resolution) < 1:
        raise UserError(
            f"{config.section}.fmap_base={config.fmap_base} leaves no channel at "
            f"{config.resolution}; raise it."
        )
