"""StyleGAN2's synthesis network (Karras et al. 2020, sections 2, 4, figures 2, 7).

A style no longer normalizes feature maps: it modulates the kernel of the convolution
that computes them, which removes the droplet artifacts. The constant goes straight into
a convolution, noise has one strength per layer, and the gain sqrt(2) follows the
activation. `architecture` says where toRGB makes images:

    skip        at every resolution: the image is the sum of all, upsampled
    residual    at the final resolution, and each block adds its input to its output
    original    at the final resolution
    revised     at the resolution under training, faded in, as StyleGAN grows
"""

from collections.abc import Iterator, Sequence

import keras
import tensorflow as tf

from stylegan_tf.config import GeneratorConfig, levels
from stylegan_tf.networks import convolutions, ops, recompute
from stylegan_tf.networks.block import PACKAGE, Block
from stylegan_tf.networks.equalized import EqualizedConv2D, EqualizedDense
from stylegan_tf.networks.growing import (
    Noise,
    ResolutionBlock,
    SynthesisNetwork,
    fade_in,
    fully_faded,
)
from stylegan_tf.networks.layers import Bias, LearnedConstant, ScaledNoise

# ---------------------------------------------------------------------------
# Weight modulation and demodulation (section 2.2, figure 2c and 2d)


@keras.saving.register_keras_serializable(PACKAGE)
class ModulatedConv2D(EqualizedConv2D):
    """Convolution whose kernel is modulated by a style (equations 1 to 3).

    The affine transform outputs the style minus one, so its bias starts at zero.

    Args:
        filters: int, output channels.
        demodulate: bool, bring the output channels back to unit variance.
        modulation: "maps" scales the feature maps before and after, "kernels" builds
            one kernel per example; the same numbers, whichever is faster.
        kernel_size: int, as in `EqualizedConv2D`.
        resample: "up" or None.
        taps: filter of the upsampling, as in `EqualizedConv2D`.

    Call arguments:
        x: float [N, H, W, C].
        w: float [N, w_dim].

    Returns:
        float [N, H', W', filters].
    """

    def __init__(
        self, filters: int, demodulate: bool = True, modulation: str = "maps", **kwargs
    ):
        super().__init__(filters, **(kwargs | {"gain": 1.0, "use_bias": False}))
        self.demodulate = demodulate
        self.modulation = modulation

    def build(self, x_shape, w_shape):
        super().build(x_shape)
        affine = EqualizedDense(
            x_shape[-1], gain=1.0, name="affine", dtype=self.dtype_policy
        )
        self.part("affine", affine, w_shape)

    def call(self, x: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
        return convolutions.modulated_conv(
            x,
            self._scaled_kernel(),
            self.affine(w) + 1,
            demodulate=self.demodulate,
            up=self.resample == "up",
            taps=self.taps,
            grouped=self.modulation == "kernels",
        )

    def compute_output_shape(self, x_shape, w_shape=None):
        return super().compute_output_shape(x_shape)

    def get_config(self):
        own = {"demodulate": self.demodulate, "modulation": self.modulation}
        return super().get_config() | own


@keras.saving.register_keras_serializable(PACKAGE)
class StyledConv2D(Block):
    """Modulated convolution, noise, bias, activation: a layer of figure 2d.

    Args:
        config: `GeneratorConfig` or its dict.
        filters: int, output channels.
        resample: "up" or None.

    Call arguments:
        x: float [N, H, W, C].
        w: float [N, w_dim].
        noise: float [N or 1, H', W', 1], or None for no noise.

    Returns:
        float [N, H', W', filters].
    """

    config: GeneratorConfig

    def __init__(
        self,
        config: GeneratorConfig | dict[str, object],
        filters: int,
        resample: str | None = None,
        **kwargs,
    ):
        super().__init__(config, **kwargs)
        self.filters = filters
        self.resample = resample

    def build(self, x_shape, w_shape):
        c, dtype = self.config, self.dtype_policy
        conv = ModulatedConv2D(
            self.filters,
            resample=self.resample,
            taps=c.resample_filter,
            modulation=c.modulation,
            name="conv",
            dtype=dtype,
        )
        self.part("conv", conv, x_shape, w_shape)
        if c.use_noise:
            noise = ScaledNoise(False, c.noise_lrmul, name="noise", dtype=dtype)
            self.part("noise", noise, x_shape)
        self.part("bias", Bias(name="bias", dtype=dtype), (None, self.filters))

    def call(
        self, x: tf.Tensor, w: tf.Tensor, noise: tf.Tensor | None = None
    ) -> tf.Tensor:
        c, x = self.config, self.conv(x, w)
        if c.use_noise and noise is not None:
            x = self.noise(x, noise)
        x = recompute.activate(self.bias(x), c.activation, c.gains[1])
        return ops.clamp(x, c.conv_clamp)

    def compute_output_shape(self, x_shape, w_shape=None, noise_shape=None):
        return self.conv.compute_output_shape(x_shape)

    def get_config(self):
        own = {"filters": self.filters, "resample": self.resample}
        return super().get_config() | own


@keras.saving.register_keras_serializable(PACKAGE)
class ModulatedToRGB(ModulatedConv2D):
    """Feature maps -> image: 1 x 1, modulated, not demodulated, always float32.

    Args:
        channels: int, of the image.
        limit: float, the result stays within +-limit; 0 = no limit.
    """

    def __init__(self, channels: int, limit: float = 0.0, **kwargs):
        fixed = {"dtype": "float32", "kernel_size": 1, "demodulate": False}
        kwargs.pop("filters", None)
        super().__init__(channels, **(kwargs | fixed))
        self.channels = channels
        self.limit = limit

    def build(self, x_shape, w_shape):
        super().build(x_shape, w_shape)
        bias = Bias(name="bias", dtype="float32")
        self.part("rgb_bias", bias, (None, self.channels))

    def call(self, x: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
        return ops.clamp(self.rgb_bias(super().call(x, w)), self.limit)

    def get_config(self):
        own = {"channels": self.channels, "limit": self.limit}
        return super().get_config() | own


# ---------------------------------------------------------------------------
# The network (section 4, figure 7)


@keras.saving.register_keras_serializable(PACKAGE)
class StyleGAN2Block(ResolutionBlock):
    """The styled convolutions at one resolution: one at 4 x 4, two elsewhere.

    Args:
        config: `GeneratorConfig` or its dict.
        resolution: int, a power of two, at least 4.

    Call arguments:
        x: float [N, H/2, W/2, C'] from the block below; at 4 x 4 any tensor [N, ...].
        styles: floats [N, w_dim], one per layer.
        noise: floats [N or 1, H, W, 1], one per layer, or None each.

    Returns:
        float [N, H, W, C].
    """

    config: GeneratorConfig

    @recompute.in_chunks
    def call(
        self,
        x: tf.Tensor,
        styles: Sequence[tf.Tensor],
        noise: Sequence[tf.Tensor | None],
    ) -> tf.Tensor:
        if self.resolution == 4:
            return self.conv1(self.const(x), styles[0], noise[0])
        y = self.lower(x, styles[0], noise=noise[0])
        y = self.upper(y, styles[1], noise=noise[1])
        if self.config.architecture == "residual":
            y = (y + self.shortcut(x)) / 2**0.5
        return y

    @recompute.segment("conv0")
    def lower(self, x: tf.Tensor, w: tf.Tensor, noise: tf.Tensor | None) -> tf.Tensor:
        """The first styled convolution, which doubles the size."""
        return self.conv0(x, w, noise)

    @recompute.segment("conv1")
    def upper(self, x: tf.Tensor, w: tf.Tensor, noise: tf.Tensor | None) -> tf.Tensor:
        """The second styled convolution."""
        return self.conv1(x, w, noise)

    @recompute.segment("skip")
    def shortcut(self, x: tf.Tensor) -> tf.Tensor:
        """The residual path: 1 x 1 convolution, twice the size."""
        return self.skip(x)

    def build(self, input_shape=None, *_):
        c, r, dtype = self.config, self.resolution, self.dtype_policy
        channels = c.fmaps(r)
        x, w = (None, *c.shape(r), channels), (None, c.w_dim)
        if r == 4:
            const = LearnedConstant(x[1:], "normal", name="const", dtype=dtype)
            self.part("const", const, w)
        else:
            below = (None, *c.shape(r // 2), c.fmaps(r // 2))
            conv0 = StyledConv2D(c, channels, "up", name="conv0_up", dtype=dtype)
            self.part("conv0", conv0, below, w)
            if c.architecture == "residual":
                skip = EqualizedConv2D(
                    channels,
                    kernel_size=1,
                    resample="up",
                    taps=c.resample_filter,
                    gain=1.0,
                    use_bias=False,
                    name="skip",
                    dtype=dtype,
                )
                self.part("skip", skip, below)
        self.part("conv1", StyledConv2D(c, channels, name="conv1", dtype=dtype), x, w)


@keras.saving.register_keras_serializable(PACKAGE)
class StyleGAN2Synthesis(SynthesisNetwork):
    """Styles to images.

    Layer i of the convolutions takes style i; the image of a resolution takes the style
    that the first layer of the next resolution takes as well.

    Args:
        config: `GeneratorConfig` or its dict.

    Call arguments:
        ws, noise, resolution, alpha, seed: as in `Synthesis`; an architecture that does
            not grow has the final resolution only.

    Returns:
        float32 [N, H, W, channels], nominally in [-1, 1], unbounded.

    Raises:
        ValueError: a noise mode or resolution that it does not have.
    """

    def call(
        self,
        ws: tf.Tensor,
        noise: Noise = "random",
        resolution: int | None = None,
        alpha: float | tf.Tensor | None = None,
        seed: tf.Tensor | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        c, final = self.config, resolution or self.config.resolution
        if final != c.resolution and c.architecture != "revised":
            raise ValueError(
                f"architecture={c.architecture} draws at {c.resolution} only, not at "
                f"{final}."
            )
        alpha = self.growth.alpha_at(final) if alpha is None else alpha
        image = None
        for r, x, w in self._blocks(ws, noise, final, seed):
            if c.architecture == "skip":
                image = self._add(image, r, x, w)
            elif r == final // 2 and not fully_faded(alpha):
                image = getattr(self, f"to_rgb{r}")(x, w)
        if c.architecture == "skip":
            return image
        return fade_in(image, getattr(self, f"to_rgb{final}")(x, w), alpha)

    def feature_maps(
        self, ws: tf.Tensor, resolution: int, noise: Noise = "const"
    ) -> tf.Tensor:
        """The output of the block at a resolution, see `Synthesis.feature_maps`."""
        *_, (_, x, _) = self._blocks(ws, noise, resolution)
        return x

    def _blocks(
        self, ws: tf.Tensor, noise: Noise, final: int, seed: tf.Tensor | None = None
    ) -> Iterator[tuple[int, tf.Tensor, tf.Tensor]]:
        """Yields each resolution up to `final`, its output, and its toRGB's style."""
        styles = self.unstack(ws)  # [N, w_dim] per layer
        noise = self.noise_maps(noise, final, tf.shape(ws)[0], seed)
        x = ws
        for i, r in enumerate(levels(final)):
            layers = slice(max(2 * i - 1, 0), 2 * i + 1)  # those of this block
            x = getattr(self, f"block{r}")(x, styles[layers], noise[layers])
            yield r, x, styles[2 * i + 1]

    def _add(
        self, image: tf.Tensor | None, r: int, x: tf.Tensor, w: tf.Tensor
    ) -> tf.Tensor:
        """Upsamples the image so far and adds that of resolution r (figure 7b)."""
        new = getattr(self, f"to_rgb{r}")(x, w)
        if image is None:
            return new
        return convolutions.upsample(image, self.config.resample_filter) + new

    def build(self, input_shape=None, *_):
        c = self.config
        for r in levels(c.resolution):
            block = StyleGAN2Block(c, r, name=f"block{r}", dtype=self.dtype_at(r))
            self.part(f"block{r}", block)
        for r in self._exits():
            to_rgb = ModulatedToRGB(
                c.channels, c.conv_clamp, modulation=c.modulation, name=f"to_rgb{r}"
            )
            x, w = (None, *c.shape(r), c.fmaps(r)), (None, c.w_dim)
            self.part(f"to_rgb{r}", to_rgb, x, w)
        self.add_noise_weights()

    def _exits(self) -> list[int]:
        """The resolutions that have a toRGB layer."""
        c = self.config
        single = c.architecture in ("original", "residual")
        return [c.resolution] if single else levels(c.resolution)

    def stage_variables(
        self, resolution: int, fading: bool = True
    ) -> list[keras.Variable]:
        """The trainable weights that an image at `resolution` depends on.

        Args:
            resolution: int, of the image.
            fading: True includes the toRGB layer of the resolution below.
        """
        if self.config.architecture == "revised":
            return super().stage_variables(resolution, fading)
        parts = [getattr(self, f"block{r}") for r in levels(resolution)]
        parts += [getattr(self, f"to_rgb{r}") for r in self._exits()]
        return [v for part in parts for v in part.trainable_variables]
