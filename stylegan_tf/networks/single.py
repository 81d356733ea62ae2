"""StyleGAN's synthesis network for drawing one picture at a time on a CPU.

The numbers of `Synthesis`, to rounding, from weights that were prepared beforehand:

- the equalised learning rate and the shapes of `ops` stand in the kernels;
- where maps are small and many, kernels are those of `networks.short`, which multiply
  less;
- stored noise, its strength and the bias are one map to be added;
- with a single example the instance norm is a batch norm, whose scale and shift are the
  style: AdaIN is one operation (Karras et al. 2019, equation 1).

`Single` keeps the weights of the moment it was made.
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from stylegan_tf import ops
from stylegan_tf.config import GeneratorConfig, levels
from stylegan_tf.networks.short import Doubling, Winograd
from stylegan_tf.networks.synthesis import Synthesis

# Up to these sides `short` was faster: official widths, two cores with AVX-512.
DOUBLING_SIDE = 64  # of the smaller picture
WINOGRAD_SIDE = 128


def suits(config: GeneratorConfig) -> bool:
    """Whether `Single` draws such networks: those of the paper, config D to F."""
    return (
        config.architecture == "stylegan"
        and config.use_styles
        and config.const_input
        and config.use_instance_norm
        and not config.use_pixel_norm
        and config.noise_position == "before_bias"
    )


class Single:
    """The synthesis of one picture.

    Args:
        synthesis: a network that `suits`, float32.
        resolution: level of the output, fully faded in.
        noise: "const" or "none".

    Call arguments:
        ws: float32 [1, num_styles, w_dim].
        maps: noise in place of what `noise` says, a float32 [1, H, W, 1] a layer, or
            nothing.

    Returns:
        float32 [1, H, W, channels], as of `Synthesis`.
    """

    def __init__(self, synthesis: Synthesis, resolution: int, noise: str = "const"):
        self.layers: list[Layer] = []
        first = synthesis.block4
        self.start = tf.constant(first.const.const.numpy())
        for i, r in enumerate(levels(resolution)):
            block = getattr(synthesis, f"block{r}")
            convolutions = [_doubling(block.conv0, r // 2) if r > 4 else None]
            convolutions += [_plain(block.conv1, block.config.shape(r))]
            for k, convolve in enumerate(convolutions):
                map_ = getattr(synthesis, f"noise{2 * i + k}", None)
                stored = map_.numpy() if noise == "const" and map_ is not None else None
                tail = getattr(block, f"epilogue{k}")
                taps = block.config.blur_filter if r > 4 and k == 0 else ()
                self.layers.append(Layer(convolve, taps, tail, stored))
        to_rgb = getattr(synthesis, f"to_rgb{resolution}")
        self.to_rgb = tf.constant(_kernel(to_rgb)), tf.constant(to_rgb.bias.numpy())

    def __call__(self, ws: tf.Tensor, maps: Sequence[tf.Tensor] = ()) -> tf.Tensor:
        x = self.start
        for i, layer in enumerate(self.layers):
            x = layer(x, ws[:, i], maps[i] if maps else None)
        kernel, bias = self.to_rgb
        return tf.nn.bias_add(ops.conv(x, kernel), bias)


class Layer:
    """A convolution of the synthesis network, and what follows it.

    Args:
        convolve: [1, H, W, C] -> [1, H', W', C'], or None for the constant.
        taps: of the blur behind it.
        tail: the `Epilogue`.
        noise: float [1, H', W', 1] that is always added, or None.
    """

    def __init__(self, convolve: Callable | None, taps, tail, noise):
        self.convolve, self.taps = convolve, taps
        self.activate = ops.ACTIVATIONS[tail.activation]
        self.bias = tf.constant(tail.bias.weight.numpy())
        self.strength = (
            tf.constant(tail.noise.weight.numpy()) if tail.use_noise else None
        )
        self.offset = None
        if noise is not None and self.strength is not None:
            self.offset = tf.constant(noise) * self.strength + self.bias
        affine = tail.style.affine
        self.affine = tf.constant(_kernel(affine)), tf.constant(affine.bias.numpy())

    def __call__(self, x: tf.Tensor, w: tf.Tensor, map_=None) -> tf.Tensor:
        if self.convolve is not None:
            x = ops.blur(self.convolve(x), self.taps)
        if map_ is not None and self.strength is not None:
            x += map_ * self.strength + self.bias
        else:
            x = x + self.offset if self.offset is not None else x + self.bias
        return self._styled(self.activate(x), w)

    def _styled(self, x: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
        kernel, bias = self.affine
        scale, shift = tf.split(tf.matmul(w, kernel)[0] + bias, 2)
        normed = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=scale + 1,
            offset=shift,
            mean=[],
            variance=[],
            epsilon=ops.EPSILON,
            is_training=True,
        )
        return normed.y


def _kernel(layer) -> np.ndarray:
    """A layer's kernel, times its equalised learning rate."""
    return layer.kernel.numpy() * np.float32(layer.runtime_coef)


def _doubling(layer, side: int) -> Callable:
    """The convolution that doubles maps of `side` pixels."""
    kernel = _kernel(layer)
    if side <= DOUBLING_SIDE:
        return Doubling(kernel)
    prepared = ops.doubling_kernel(tf.constant(kernel))
    return lambda x: ops.doubled(x, prepared)


def _plain(layer, shape: tuple[int, int]) -> Callable:
    """The convolution of maps of a height and width."""
    kernel = _kernel(layer)
    if 8 <= min(shape) <= WINOGRAD_SIDE and shape[1] % 4 == 0:
        return Winograd(kernel)
    constant = tf.constant(kernel)
    return lambda x: ops.conv(x, constant)
