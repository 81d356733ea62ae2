"""The synthesis network g: W -> images (Karras et al. 2019, figure 1b, right).

The figure, from top to bottom: a learned constant; then, per resolution, two layers of
a convolution, noise (B), bias, activation, and AdaIN with a style (A).

Decorators mark what training may compute again instead of storing it: `recompute.py`.
"""

import math
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from stylegan_tf.config import GeneratorConfig, levels
from stylegan_tf.networks import convolutions, recompute
from stylegan_tf.networks.block import PACKAGE
from stylegan_tf.networks.equalized import EqualizedConv2D, EqualizedDense
from stylegan_tf.networks.growing import (
    Noise,
    ResolutionBlock,
    SynthesisNetwork,
    fade_in,
    fully_faded,
)
from stylegan_tf.networks.layers import Epilogue, LearnedConstant, ToRGB


@keras.saving.register_keras_serializable(PACKAGE)
class SynthesisBlock(ResolutionBlock):
    """The two layers at one resolution, a gray box of figure 1b.

    Args:
        config: `GeneratorConfig` or its dict.
        resolution: int, a power of two, at least 4.

    Call arguments:
        x: float [N, H/2, W/2, C'] from the block below; at 4 x 4 any tensor [N, ...].
        styles: two floats [N, w_dim].
        noise: two floats [N or 1, H, W, 1], or None each.

    Returns:
        float [N, H, W, C].
    """

    config: GeneratorConfig

    @recompute.in_chunks
    def call(
        self,
        x: tf.Tensor,
        styles: Sequence[tf.Tensor],
        noise: Sequence[tf.Tensor | None] = (None, None),
    ) -> tf.Tensor:
        x = self.start(x, styles[0])
        x = self.lower(x, styles[0], noise=noise[0])
        return self.upper(x, styles[1], noise=noise[1])

    def start(self, x: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
        """Upsample, Conv 3 x 3; at 4 x 4 the constant (A to C: dense layer)."""
        if self.resolution > 4:
            return self.conv0(x)
        if self.config.const_input:
            return self.const(x)
        c = self.config
        return tf.reshape(self.dense(w), (-1, *c.shape(4), c.fmaps(4)))

    @recompute.segment("epilogue0", "conv1")
    def lower(self, x: tf.Tensor, w: tf.Tensor, noise: tf.Tensor | None) -> tf.Tensor:
        """Blur, noise, AdaIN; Conv 3 x 3."""
        if self.resolution > 4:
            x = convolutions.blur(x, self.config.blur_filter)
        return self.conv1(self.epilogue0(x, w, noise))

    @recompute.segment("epilogue1")
    def upper(self, x: tf.Tensor, w: tf.Tensor, noise: tf.Tensor | None) -> tf.Tensor:
        """Noise, AdaIN."""
        return self.epilogue1(x, w, noise)

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
        self.part("epilogue0", _epilogue(c, "epilogue0", dtype), x, w)
        self.part("epilogue1", _epilogue(c, "epilogue1", dtype), x, w)


@keras.saving.register_keras_serializable(PACKAGE)
class Synthesis(SynthesisNetwork):
    """Styles to images.

    Args:
        config: `GeneratorConfig` or its dict.

    Call arguments:
        ws: float [N, num_styles, w_dim], one style per layer; or `modulations`.
        noise: "random" (new for each example), "const" (the stored noise maps), "none",
            or a list with one float [N or 1, H, W, 1] per layer.
        resolution: int, of the images; None = the final one.
        alpha: float or scalar tensor in [0, 1], how far the last block has faded in;
            None = as far as `growth` says.
        seed: int [2], makes random noise a function of it; None = fresh random numbers.

    Returns:
        float32 [N, H, W, channels], nominally in [-1, 1], unbounded.

    Raises:
        ValueError: another noise mode, or too few noise maps.
    """

    grows = True

    def call(
        self,
        ws: tf.Tensor | list[tuple[tf.Tensor, tf.Tensor]],
        noise: Noise = "random",
        resolution: int | None = None,
        alpha: float | tf.Tensor | None = None,
        seed: tf.Tensor | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        final = resolution or self.config.resolution
        alpha = self.growth.alpha_at(final) if alpha is None else alpha
        below = None
        for r, x in self._blocks(ws, noise, final, seed):
            if r == final // 2 and not fully_faded(alpha):
                below = getattr(self, f"to_rgb{r}")(x)
        return fade_in(below, getattr(self, f"to_rgb{final}")(x), alpha)

    def feature_maps(
        self, ws: tf.Tensor, resolution: int, noise: Noise = "const"
    ) -> tf.Tensor:
        """The output of the block at a resolution, float [N, H, W, C].

        Args:
            ws: float [N, num_styles, w_dim].
            resolution: int, of the feature maps.
            noise: as in the call.
        """
        *_, (_, x) = self._blocks(ws, noise, resolution)
        return x

    def _blocks(
        self,
        ws: tf.Tensor | list[tuple[tf.Tensor, tf.Tensor]],
        noise: Noise,
        final: int,
        seed: tf.Tensor | None = None,
    ) -> Iterator[tuple[int, tf.Tensor]]:
        """Yields each resolution up to `final`, and its block's output."""
        c, styles = self.config, ws
        if not isinstance(ws, list):
            styles = self.unstack(ws)  # [N, w_dim] per layer
        if not c.use_styles:
            styles *= c.num_layers  # a list of one: the same w for each layer
        x = tf.nest.flatten(styles)[0]
        noise = self.noise_maps(noise, final, tf.shape(x)[0], seed)
        for i, r in enumerate(levels(final)):
            two = slice(2 * i, 2 * i + 2)  # the layers of this block
            x = getattr(self, f"block{r}")(x, styles[two], noise[two])  # [N, H, W, C]
            yield r, x

    def modulations(
        self, w: tf.Tensor, other: tf.Tensor, crossover: tf.Tensor, resolution: int
    ) -> list[list[tuple[tf.Tensor, tf.Tensor]]]:
        """Computes what A makes of mixed styles, for several batches at once.

        All A are one product, where each on its own would be ten operations.

        Args:
            w: float32 [B, N, w_dim], styles of the first layers, of B batches.
            other: float32 [B, N, w_dim], styles of the layers from `crossover` on.
            crossover: int32 [B].
            resolution: of the images.

        Returns:
            Per batch and layer: scale and shift, [N, C].
        """
        blocks = [getattr(self, f"block{r}") for r in levels(resolution)]
        styles = [s for b in blocks for s in (b.epilogue0.style, b.epilogue1.style)]
        weights = [style.affine.effective_weights() for style in styles]
        mixed = len({kernel.dtype for kernel, _ in weights}) > 1
        dtype = tf.float32 if mixed else weights[0][0].dtype
        kernel, bias = (
            recompute.concat([tf.cast(x, dtype) for x in parts])
            for parts in zip(*weights, strict=True)
        )
        widths = [style.affine.units // 2 for style in styles for _ in range(2)]
        one = np.repeat([1, 0] * len(styles), widths)  # for the scale, not the shift
        bias += tf.constant(one, bias.dtype)
        batches, n, w_dim = w.shape[0], tf.shape(w)[1], w.shape[2]
        both = tf.cast(tf.concat([w, other], axis=0), kernel.dtype)
        y = tf.matmul(tf.reshape(both, [-1, w_dim]), kernel)
        y = tf.reshape(tf.nn.bias_add(y, bias), [2, batches, n, sum(widths)])
        layers = np.repeat(np.arange(len(widths), dtype=np.int32) // 2, widths)
        first = tf.constant(layers) < tf.reshape(crossover, [batches, 1, 1])
        y = tf.where(first, *tf.unstack(y))
        split = [tf.split(x, widths, axis=1) for x in tf.unstack(y)]
        return [list(zip(x[::2], x[1::2], strict=True)) for x in split]

    def build(self, input_shape=None, *_):
        c = self.config
        for r in levels(c.resolution):
            block = SynthesisBlock(c, r, name=f"block{r}", dtype=self.dtype_at(r))
            self.part(f"block{r}", block)
            to_rgb = ToRGB(c.channels, name=f"to_rgb{r}")
            self.part(f"to_rgb{r}", to_rgb, (None, *c.shape(r), c.fmaps(r)))
        self.add_noise_weights()


def _epilogue(c: GeneratorConfig, name: str, dtype: keras.DTypePolicy) -> Epilogue:
    """The layers after a convolution, with the config's switches."""
    return Epilogue(
        activation=c.activation,
        use_noise=c.use_noise,
        use_pixel_norm=c.use_pixel_norm,
        use_instance_norm=c.use_instance_norm,
        use_styles=c.use_styles,
        noise_position=c.noise_position,
        noise_lrmul=c.noise_lrmul,
        name=name,
        dtype=dtype,
    )
