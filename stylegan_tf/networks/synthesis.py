"""The synthesis network g: W -> pictures (Karras et al. 2019, figure 1b, right).

Read top to bottom, this is the figure: a learned constant, then per resolution two
convolutions, each followed by noise (B), bias, activation and AdaIN driven by a
style (A). It grows progressively (Karras et al. 2018, figure 2): all blocks exist
from the start, `resolution` says how many of them run, and `alpha` how far the last
one has faded in.
"""

import math

import keras
import tensorflow as tf

from stylegan_tf.config import GeneratorConfig, levels
from stylegan_tf.networks import ops, recompute
from stylegan_tf.networks.growing import (
    ResolutionBlock,
    SynthesisNetwork,
    fade_in,
    fully_faded,
)
from stylegan_tf.networks.layers import (
    PACKAGE,
    Epilogue,
    EqualizedConv2D,
    EqualizedDense,
    LearnedConstant,
    ToRGB,
)


def epilogue(c: GeneratorConfig, name: str, dtype) -> Epilogue:
    """The tail of a layer, with the switches that `c` sets."""
    return Epilogue(
        activation=c.activation,
        use_noise=c.use_noise,
        use_pixel_norm=c.use_pixel_norm,
        use_instance_norm=c.use_instance_norm,
        use_styles=c.use_styles,
        noise_position=c.noise_position,
        name=name,
        dtype=dtype,
    )


@keras.saving.register_keras_serializable(PACKAGE)
class SynthesisBlock(ResolutionBlock):
    """Two styled layers at one resolution.

    The first block starts from the learned constant (or, on ladder B and C, from a
    dense layer on w); every other one doubles the picture by its first convolution
    and blurs what that leaves.

    Args:
        config: `GeneratorConfig` or its dict.
        resolution: int, level of the block.

    Call arguments:
        x: float [N, H/2, W/2, C'] from the block below; for the first block anything
            whose first dimension is N.
        styles: two floats [N, w_dim].
        noise: two floats [N or 1, H, W, 1], or None each.

    Returns:
        float [N, H, W, C].
    """

    def build(self, input_shape=None, *_):
        c, r, dtype = self.config, self.resolution, self.dtype_policy
        x, w = (None, *c.shape(r), c.fmaps(r)), (None, c.w_dim)
        linear = {"use_bias": False, "dtype": dtype}
        if r > 4:
            below = (None, *c.shape(r // 2), c.fmaps(r // 2))
            conv0 = EqualizedConv2D(x[-1], resample="up", name="conv0_up", **linear)
            self.part("conv0", conv0, below)
        elif c.const_input:
            self.part("const", LearnedConstant(x[1:], name="const", dtype=dtype), w)
        else:
            # The gain keeps the paper's variance at 4 x 4, whatever the start block.
            units, gain = math.prod(x[1:]), 2**0.5 / 4
            dense = EqualizedDense(units, gain=gain, name="dense", **linear)
            self.part("dense", dense, w)
        self.part("conv1", EqualizedConv2D(x[-1], name="conv1", **linear), x)
        self.part("epilogue0", epilogue(c, "epilogue0", dtype), x, w)
        self.part("epilogue1", epilogue(c, "epilogue1", dtype), x, w)

    @recompute.in_chunks
    def call(self, x, styles, noise=(None, None)):
        x = self.start(x, styles[0])
        x = self.lower(x, styles[0], noise=noise[0])
        return self.upper(x, styles[1], noise=noise[1])

    def start(self, x, w):
        """The first convolution, of the enlarged x; at 4 x 4, the learned constant."""
        c = self.config
        if self.resolution > 4:
            return self.conv0(x)
        if c.const_input:
            return self.const(x)
        return tf.reshape(self.dense(w), (-1, *c.shape(4), c.fmaps(4)))

    @recompute.segment("epilogue0", "conv1")
    def lower(self, x, w, noise):
        """Blur, noise, AdaIN, second convolution."""
        if self.resolution > 4:
            x = ops.blur(x, self.config.blur_filter)
        return self.conv1(self.epilogue0(x, w, noise))

    @recompute.segment("epilogue1")
    def upper(self, x, w, noise):
        """Noise, AdaIN."""
        return self.epilogue1(x, w, noise)


@keras.saving.register_keras_serializable(PACKAGE)
class Synthesis(SynthesisNetwork):
    """Styles to pictures.

    Args:
        config: `GeneratorConfig` or its dict.

    Call arguments:
        ws: float [N, num_styles, w_dim], one style a layer.
        noise: "random" (fresh for every example), "const" (the stored maps), "none",
            or a list with one float [N or 1, H, W, 1] a layer.
        resolution: int, level of the output; None = the final one.
        alpha: float or scalar tensor in [0, 1], how far the last block has faded in;
            None = as far as it had in training.
        seed: int [2], makes random noise a pure function of it; None = fresh draws.

    Returns:
        float32 [N, H, W, channels], nominally in [-1, 1], unbounded.

    Raises:
        ValueError: another noise mode, or a list of another length.
    """

    def build(self, input_shape=None, *_):
        c = self.config
        for r in levels(c.resolution):
            block = SynthesisBlock(c, r, name=f"block{r}", dtype=self.dtype_policy)
            self.part(f"block{r}", block)
            to_rgb = ToRGB(c.channels, name=f"to_rgb{r}")
            self.part(f"to_rgb{r}", to_rgb, (None, *c.shape(r), c.fmaps(r)))
        self.add_noise_weights()

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
        alpha = self.growth.alpha_at(final) if alpha is None else alpha
        styles = tf.unstack(ws, num=c.num_styles, axis=1)
        if not c.use_styles:
            styles *= c.num_layers
        noise = self.noise_maps(noise, final, tf.shape(ws)[0], seed)
        x, rgb = ws, None
        for i, r in enumerate(levels(final)):
            two = slice(2 * i, 2 * i + 2)  # the layers of this block
            x = getattr(self, f"block{r}")(x, styles[two], noise[two])
            if r == final // 2 and not fully_faded(alpha):
                rgb = getattr(self, f"to_rgb{r}")(x)
        return fade_in(rgb, getattr(self, f"to_rgb{final}")(x), alpha)
