"""StyleGAN2's synthesis network (Karras et al. 2020, sections 2 and 4, figure 2 and 7).

The style no longer normalizes feature maps: it modulates the kernel of the convolution
that makes them (`ModulatedConv2D`), which removes the droplet artifacts. The constant
goes straight into a convolution, noise has one strength a layer, and the gain sqrt(2)
follows the activation. `architecture` says how pictures leave:

    skip        every resolution adds to the picture of the one below, enlarged
    residual    from the last block; every block adds its input to its output
    original    from the last block
    revised     as StyleGAN grows: at the resolution under training, faded in
"""

import functools

import keras
import tensorflow as tf

from stylegan_tf import config
from stylegan_tf.config import levels
from stylegan_tf.networks import ops, recompute
from stylegan_tf.networks.growing import (
    ResolutionBlock,
    add_noise_weights,
    as_config,
    blend,
    fully_faded,
    noise_maps,
    run_block,
)
from stylegan_tf.networks.layers import (
    PACKAGE,
    Bias,
    EqualizedConv2D,
    EqualizedDense,
    LearnedConstant,
    ScaledNoise,
)


@keras.saving.register_keras_serializable(PACKAGE)
class ModulatedConv2D(EqualizedConv2D):
    """Convolution whose kernel is modulated by a style (section 2.2).

    The affine of the style stores its difference from one.

    Args:
        filters, kernel_size, resample, taps: as in `EqualizedConv2D`; "up" or None.
        demodulate: bool, bring the output maps back to unit variance.
        modulation: "maps" scales what goes in and out, "kernels" builds one kernel an
            example; the same numbers, whichever is faster.

    Call arguments:
        x: float [N, H, W, C].
        w: float [N, w_dim].

    Returns:
        float [N, H', W', filters].
    """

    def __init__(self, filters, demodulate=True, modulation="maps", **kwargs):
        super().__init__(filters, **(kwargs | {"gain": 1.0, "use_bias": False}))
        self.demodulate = demodulate
        self.modulation = modulation

    def build(self, x_shape, w_shape):
        super().build(x_shape)
        self.affine = EqualizedDense(
            x_shape[-1], gain=1.0, name="affine", dtype=self.dtype_policy
        )
        self.affine.build(w_shape)

    def call(self, x, w):
        return ops.modulated_conv(
            x,
            self._kernel(),
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
class StyledConv2D(keras.layers.Layer):
    """Modulated convolution, noise, bias, activation (figure 2c).

    Args:
        config: `GeneratorConfig` or its dict.
        filters: int, output maps.
        resample: "up" or None.

    Call arguments:
        x: float [N, H, W, C].
        w: float [N, w_dim].
        noise: float [N or 1, H', W', 1], or None for no noise.

    Returns:
        float [N, H', W', filters].
    """

    def __init__(self, config, filters, resample=None, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.config = as_config(config)
        self.filters = filters
        self.resample = resample

    def build(self, x_shape, w_shape):
        c, dtype = self.config, self.dtype_policy
        self.conv = ModulatedConv2D(
            self.filters,
            resample=self.resample,
            taps=c.resample_filter,
            modulation=c.modulation,
            name="conv",
            dtype=dtype,
        )
        self.conv.build(x_shape, w_shape)
        if c.use_noise:
            self.noise = ScaledNoise(per_channel=False, name="noise", dtype=dtype)
            self.noise.build(x_shape)
        self.bias = Bias(name="bias", dtype=dtype)
        self.bias.build((None, None, None, self.filters))

    def call(self, x, w, noise=None):
        x = self.conv(x, w)
        if self.config.use_noise and noise is not None:
            x = self.noise(x, noise)
        c = self.config
        x = recompute.activate(self.bias(x), c.activation, c.gains[1])
        return ops.clamp(x, c.conv_clamp)

    def compute_output_shape(self, x_shape, w_shape=None, noise_shape=None):
        return self.conv.compute_output_shape(x_shape)

    def get_config(self):
        own = {"filters": self.filters, "resample": self.resample}
        return super().get_config() | own | {"config": config.to_dict(self.config)}


@keras.saving.register_keras_serializable(PACKAGE)
class ModulatedToRGB(ModulatedConv2D):
    """Feature maps -> picture: 1 x 1, modulated but not demodulated, always float32.

    Args:
        channels: int, of the picture.
        limit: float, largest value either way; 0 = none.
    """

    def __init__(self, channels, limit=0.0, **kwargs):
        fixed = {"dtype": "float32", "kernel_size": 1, "demodulate": False}
        kwargs.pop("filters", None)
        super().__init__(channels, **(kwargs | fixed))
        self.channels = channels
        self.limit = limit

    def build(self, x_shape, w_shape):
        super().build(x_shape, w_shape)
        self.rgb_bias = Bias(name="bias", dtype="float32")
        self.rgb_bias.build((None, None, None, self.channels))

    def call(self, x, w):
        return ops.clamp(self.rgb_bias(super().call(x, w)), self.limit)

    def get_config(self):
        own = {"channels": self.channels, "limit": self.limit}
        return super().get_config() | own


@keras.saving.register_keras_serializable(PACKAGE)
class StyleGAN2Block(ResolutionBlock):
    """The styled layers at one resolution: one at 4 x 4, two above.

    Args:
        config: `GeneratorConfig` or its dict.
        resolution: int, level of the block.

    Call arguments:
        x: float [N, H/2, W/2, C'] from the block below; for the first block anything
            whose first dimension is N.
        styles: floats [N, w_dim], one a layer.
        noise: floats [N or 1, H, W, 1], one a layer, or None each.

    Returns:
        float [N, H, W, C].
    """

    def build(self, input_shape=None, *_):
        c, r, dtype = self.config, self.resolution, self.dtype_policy
        maps, w_shape = c.fmaps(r), (None, c.w_dim)
        shape = (None, *c.shape(r), maps)
        if r == 4:
            self.const = LearnedConstant(
                shape[1:], initializer="normal", name="const", dtype=dtype
            )
            self.const.build()
        else:
            below = (None, *c.shape(r // 2), c.fmaps(r // 2))
            self.conv0 = StyledConv2D(c, maps, "up", name="conv0_up", dtype=dtype)
            self.conv0.build(below, w_shape)
            if c.architecture == "residual":
                self.skip = EqualizedConv2D(
                    maps,
                    1,
                    resample="up",
                    taps=c.resample_filter,
                    gain=1.0,
                    use_bias=False,
                    name="skip",
                    dtype=dtype,
                )
                self.skip.build(below)
        self.conv1 = StyledConv2D(c, maps, name="conv1", dtype=dtype)
        self.conv1.build(shape, w_shape)

    def call(self, x, styles, noise):
        if self.resolution == 4:
            return self.conv1(self.const(x), styles[0], noise[0])
        y = x
        for i, conv in enumerate((self.conv0, self.conv1)):
            layer = functools.partial(conv, noise=noise[i])
            y = recompute.again(layer, [y, styles[i]], [conv])
        if self.config.architecture == "residual":
            y = (y + recompute.again(self.skip, [x], [self.skip])) / 2**0.5
        return y


@keras.saving.register_keras_serializable(PACKAGE)
class StyleGAN2Synthesis(keras.layers.Layer):
    """Styles to pictures.

    Layer i of the convolutions takes style i; the picture of a resolution takes the
    style that the next resolution's first layer takes as well.

    Args, call arguments, returns: as in `Synthesis`; an architecture that does not
        grow draws at the final resolution only.

    Raises:
        ValueError: a noise mode or resolution that it does not have.
    """

    learned = None, 1.0  # as `Generator.grow` says

    def __init__(self, config, **kwargs):
        super().__init__(**(kwargs | {"autocast": False, "name": "synthesis"}))
        self.config = as_config(config)

    def build(self, input_shape=None, *_):
        c = self.config
        for r in levels(c.resolution):
            block = StyleGAN2Block(c, r, name=f"block{r}", dtype=self.dtype_policy)
            setattr(self, f"block{r}", block)
            block.build()
        for r in self._exits():
            to_rgb = ModulatedToRGB(
                c.channels, c.conv_clamp, modulation=c.modulation, name=f"to_rgb{r}"
            )
            setattr(self, f"to_rgb{r}", to_rgb)
            to_rgb.build((None, *c.shape(r), c.fmaps(r)), (None, c.w_dim))
        add_noise_weights(self)

    def _exits(self) -> list[int]:
        """The resolutions at which a picture leaves."""
        c = self.config
        single = c.architecture in ("original", "residual")
        return [c.resolution] if single else levels(c.resolution)

    def call(
        self,
        ws,
        noise="random",
        resolution=None,
        alpha=None,
        seed=None,
        training=False,
    ):
        c = self.config
        final = resolution or c.resolution
        if final != c.resolution and c.architecture != "revised":
            raise ValueError(
                f"architecture={c.architecture} draws at {c.resolution} only, not at "
                f"{final}."
            )
        alpha = blend(self, alpha, final)
        styles = tf.unstack(ws, num=c.num_styles, axis=1)
        maps = noise_maps(self, noise, final, tf.shape(ws)[0], seed)
        maps = maps or [None] * c.num_layers
        x, rgb = ws, None
        for i, r in enumerate(levels(final)):
            first, last = max(2 * i - 1, 0), 2 * i + 1  # the layers of this block
            block = getattr(self, f"block{r}")
            x = run_block(block, x, styles[first:last], maps[first:last])
            if c.architecture == "skip":
                rgb = self._add(rgb, r, x, styles[last])
            elif r == final // 2 and not fully_faded(alpha):
                rgb = getattr(self, f"to_rgb{r}")(x, styles[last])
        if c.architecture == "skip":
            return rgb
        new = getattr(self, f"to_rgb{final}")(x, styles[last])
        return new if rgb is None else ops.lerp(ops.upsample(rgb), new, alpha)

    def _add(self, rgb, r: int, x, w) -> tf.Tensor:
        """The picture so far, enlarged, and what this resolution adds."""
        new = getattr(self, f"to_rgb{r}")(x, w)
        if rgb is None:
            return new
        return ops.upsample(rgb, self.config.resample_filter) + new

    def stage_variables(self, resolution: int, fading: bool = True) -> list:
        """As `Synthesis.stage_variables`."""
        exits = self._exits()
        if self.config.architecture == "revised":
            last = (resolution // 2, resolution) if fading else (resolution,)
            exits = [r for r in last if r >= 4]
        parts = [getattr(self, f"block{r}") for r in levels(resolution)]
        parts += [getattr(self, f"to_rgb{r}") for r in exits]
        return [v for part in parts for v in part.trainable_variables]

    def get_config(self):
        return {"config": config.to_dict(self.config), "dtype": self.dtype_policy}
