"""Synthesis of one image at a time on a CPU, with prepared weights.

`SingleImageSynthesis` computes what `Synthesis` computes, to rounding, in less time:

- kernels contain their equalized learning rate;
- small images with many feature maps use fast convolutions, `Winograd` and `Doubling`,
  which multiply less;
- stored noise, its strength and the bias are added as one map;
- for a single example the instance norm is a batch norm whose scale and shift are the
  style, so AdaIN (Karras et al. 2019, equation 1) is one operation.

The weights are those at the time of construction.
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from stylegan_tf.config import GeneratorConfig, levels
from stylegan_tf.networks import convolutions, ops
from stylegan_tf.networks.layers import EqualizedConv2D, EqualizedDense
from stylegan_tf.networks.synthesis import Epilogue, Synthesis

# Largest sides for which the fast convolutions are faster, measured with the official
# numbers of feature maps on two cores with AVX-512.
DOUBLING_SIDE = 64  # of the input
WINOGRAD_SIDE = 128


def supports(config: GeneratorConfig) -> bool:
    """True for the networks of the paper's configs D to F, which can be prepared."""
    return (
        config.architecture == "stylegan"
        and not config.network
        and config.use_styles
        and config.const_input
        and config.use_instance_norm
        and not config.use_pixel_norm
        and config.noise_position == "before_bias"
    )


class SingleImageSynthesis:
    """Synthesizes one image.

    Args:
        synthesis: a float32 network of a config that `supports` accepts.
        resolution: of the image, fully faded in.
        noise: "const" or "none".
    """

    def __init__(self, synthesis: Synthesis, resolution: int, noise: str = "const"):
        self.layers: list[PreparedLayer] = []
        self.start = tf.constant(synthesis.block4.const.const.numpy())
        for i, r in enumerate(levels(resolution)):
            block = getattr(synthesis, f"block{r}")
            upsample = _doubling(block.conv0, r // 2) if r > 4 else None
            convolutions = [upsample, _same_size(block.conv1, block.config.shape(r))]
            for k, convolve in enumerate(convolutions):
                stored = getattr(synthesis, f"noise{2 * i + k}", None)
                use_stored = noise == "const" and stored is not None
                self.layers.append(
                    PreparedLayer(
                        convolve,
                        block.config.blur_filter if r > 4 and k == 0 else (),
                        getattr(block, f"epilogue{k}"),
                        stored.numpy() if use_stored else None,
                    )
                )
        to_rgb = getattr(synthesis, f"to_rgb{resolution}")
        self.to_rgb = tf.constant(_kernel(to_rgb)), tf.constant(to_rgb.bias.numpy())

    def __call__(self, ws: tf.Tensor, maps: Sequence[tf.Tensor] = ()) -> tf.Tensor:
        """Returns a float image in [-1, 1], [1, H, W, channels].

        Args:
            ws: float32 [1, num_styles, w_dim].
            maps: noise maps in place of those that `noise` names, one float32
                [1, H, W, 1] per layer; () = none.
        """
        x = self.start
        for i, layer in enumerate(self.layers):
            x = layer(x, ws[:, i], maps[i] if maps else None)
        kernel, bias = self.to_rgb
        return tf.nn.bias_add(convolutions.conv(x, kernel), bias)


class PreparedLayer:
    """One layer: convolution, blur, noise and bias, activation, AdaIN.

    Args:
        convolve: [1, H, W, C] -> [1, H', W', C'], or None for the learned constant.
        blur_filter: taps of the blur after it; () = no blur.
        epilogue: the layer's `Epilogue`.
        noise: float [1, H', W', 1], the stored noise map, or None.
    """

    def __init__(
        self,
        convolve: Callable[[tf.Tensor], tf.Tensor] | None,
        blur_filter: Sequence[float],
        epilogue: Epilogue,
        noise: np.ndarray | None,
    ):
        self.convolve, self.blur_filter = convolve, blur_filter
        self.activate = ops.ACTIVATIONS[epilogue.activation]
        self.bias = tf.constant(epilogue.bias.weight.numpy())
        self.offset, self.strength = self.bias, None
        if epilogue.use_noise:
            self.strength = tf.constant(epilogue.noise.strength().numpy())
            if noise is not None:
                self.offset = tf.constant(noise) * self.strength + self.bias
        affine = epilogue.style.affine
        self.affine = tf.constant(_kernel(affine)), tf.constant(affine.bias.numpy())

    def __call__(
        self, x: tf.Tensor, w: tf.Tensor, noise: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Returns [1, H', W', C'] of x [1, H, W, C] and a style w [1, w_dim]."""
        if self.convolve is not None:
            x = convolutions.blur(self.convolve(x), self.blur_filter)
        offset = self.offset
        if noise is not None and self.strength is not None:
            offset = noise * self.strength + self.bias
        return self._adain(self.activate(x + offset), w)

    def _adain(self, x: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
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


def _kernel(layer: EqualizedConv2D | EqualizedDense) -> np.ndarray:
    """Returns a layer's kernel times its equalized learning rate."""
    return layer.kernel.numpy() * np.float32(layer.runtime_coef)


def _doubling(layer: EqualizedConv2D, side: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the convolution that doubles images of `side` pixels."""
    kernel = _kernel(layer)
    if side <= DOUBLING_SIDE:
        return Doubling(kernel)
    prepared = convolutions.fused_kernel(tf.constant(kernel))
    return lambda x: convolutions.conv_transpose(x, prepared)


def _same_size(
    layer: EqualizedConv2D, shape: tuple[int, int]
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the convolution of images of this height and width."""
    kernel = _kernel(layer)
    if 8 <= min(shape) <= WINOGRAD_SIDE and shape[1] % 4 == 0:
        return Winograd(kernel)
    constant = tf.constant(kernel)
    return lambda x: convolutions.conv(x, constant)


# ---------------------------------------------------------------------------
# Fast convolutions

# F(4, 3) of Lavin & Gray 2016, "Fast algorithms for convolutional neural networks": the
# matrix G, which turns three taps into the factors of six products.
WINOGRAD_G = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    np.float32,
)


class Winograd:
    """Computes a 3 x 3 convolution, stride 1, zero padding, in half the products.

    F(4, 3) along the width: six products give four columns, instead of twelve.

    Args:
        kernel: float [3, 3, I, O].
    """

    def __init__(self, kernel: np.ndarray):
        parts = np.tensordot(WINOGRAD_G, np.asarray(kernel, np.float32), (1, 1))
        self.kernels = [tf.constant(part[:, None]) for part in parts]

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Returns [1, H, W, O] of x, float32 [1, H, W, I], W a multiple of 4."""
        _, h, w, _ = x.shape
        products = [
            tf.nn.conv2d(part, kernel, 1, [[0, 0], [1, 1], [0, 0], [0, 0]])
            for part, kernel in zip(_input_factors(x), self.kernels, strict=True)
        ]
        columns = tf.stack(_output_columns(*products), axis=3)  # [1, H, W/4, 4, O]
        return tf.reshape(columns, [1, h, w, -1])


def _input_factors(x: tf.Tensor) -> list[tf.Tensor]:
    """Returns B^T x, the input's factors of the six products: [1, H, W/4, I] each."""
    _, h, w, channels = x.shape
    x = tf.pad(x, [[0, 0], [0, 0], [1, 3], [0, 0]])
    x = tf.reshape(x, [1, h, w // 4 + 1, 4, channels])
    a, b, c, d = tf.unstack(x[:, :, :-1], axis=3)  # columns 4j - 1 to 4j + 2
    e, f = x[:, :, 1:, 0], x[:, :, 1:, 1]
    even, odd, near, far = e - 4 * c, d - 4 * b, e - c, 2 * (d - b)
    return [
        4 * (a - c) + near,
        even + odd,
        even - odd,
        near + far,
        near - far,
        f - d - 2 * far,
    ]


def _output_columns(
    p: tf.Tensor, q: tf.Tensor, r: tf.Tensor, s: tf.Tensor, t: tf.Tensor, u: tf.Tensor
) -> list[tf.Tensor]:
    """Returns A^T of the six products, four columns of the output."""
    even, odd, more, less = q + r, q - r, s + t, s - t
    return [
        p + even + more,
        odd + 2 * less,
        even + 4 * more,
        odd + 8 * less + u,
    ]


class Doubling:
    """Doubles every pixel in both directions, then convolves by 3 x 3, zero padding.

    An output pixel is its input pixel times the sum of the taps, plus differences to
    the neighbors times some of the taps: 9 products per input pixel and pair of feature
    maps, instead of 36.

    Args:
        kernel: float [3, 3, I, O].
    """

    def __init__(self, kernel: np.ndarray):
        # Rows, then columns: "=" the sum of taps, "-" the tap of the difference to the
        # previous pixel (even outputs), "+" to the next (odd outputs).
        k = np.asarray(kernel, np.float32)
        taps = {
            y + x: own
            for y, row in _factors(k).items()  # [3, I, O]
            for x, own in _factors(row).items()  # [I, O]
        }
        groups = [("==",), ("=-", "=+"), ("-=", "+="), ("--", "-+", "+-", "++")]
        self.kernels = [
            tf.constant(np.concatenate([taps[n] for n in names], -1), tf.float32)
            for names in groups
        ]

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Returns [1, 2H, 2W, O] of x, float32 [1, H, W, I]."""
        _, h, w, _ = x.shape
        same, right, down, across = (
            tf.nn.conv2d(part, kernel[None, None], 1, "VALID")
            for part, kernel in zip(_differences(x), self.kernels, strict=True)
        )
        right = _shifted(right, 2, [(0, 0), (0, 1)])
        down = _shifted(down, 2, [(0, 0), (1, 0)])
        across = _shifted(across, 4, [(0, 0), (0, 1), (1, 0), (1, 1)])
        rows = []
        for y in range(2):
            row = same + down[y]
            pair = [row + right[z] + across[2 * y + z] for z in range(2)]
            rows.append(tf.stack(pair, axis=3))  # [1, H, W, 2, O]
        return tf.reshape(tf.stack(rows, axis=2), [1, 2 * h, 2 * w, -1])


def _factors(taps: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the factors of pixel and differences along the first axis, [3, ...]."""
    return {"=": taps.sum(axis=0), "-": -taps[0], "+": taps[2]}


def _differences(x: tf.Tensor) -> list[tf.Tensor]:
    """Returns x and its differences to the right, downwards, and in both directions.

    Their shapes are [1, H, W, I], [1, H, W + 1, I], [1, H + 1, W, I] and
    [1, H + 1, W + 1, I]: the first and last differences are those to the zero padding.
    """
    wide = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
    right = wide[:, :, 1:] - wide[:, :, :-1]
    middle = wide[:, :, 1:-1]
    down = middle[:, 1:] - middle[:, :-1]
    return [x, right[:, 1:-1], down, right[:, 1:] - right[:, :-1]]


def _shifted(
    x: tf.Tensor, count: int, starts: list[tuple[int, int]]
) -> list[tf.Tensor]:
    """Splits channels into groups and crops each from its own row and column on."""
    _, h, w, _ = x.shape
    h, w = h - max(y for y, _ in starts), w - max(z for _, z in starts)
    parts = tf.split(x, count, axis=3)
    return [
        part[:, y : y + h, z : z + w]
        for part, (y, z) in zip(parts, starts, strict=True)
    ]
