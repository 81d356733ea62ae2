"""StyleGAN's synthesis network for drawing one picture at a time on a CPU.

The numbers of `Synthesis`, to rounding, from weights that were prepared beforehand:

- the equalized learning rate and the shapes of `ops` stand in the kernels;
- where maps are small and many, kernels are those of `Winograd` and `Doubling`, which
  multiply less;
- stored noise, its strength and the bias are one map to be added;
- with a single example the instance norm is a batch norm, whose scale and shift are the
  style: AdaIN is one operation (Karras et al. 2019, equation 1).

`Single` keeps the weights of the moment it was made.
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from stylegan_tf.config import GeneratorConfig, levels
from stylegan_tf.networks import ops
from stylegan_tf.networks.synthesis import Synthesis

# Up to these sides they were faster: official widths, two cores with AVX-512.
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
    """A layer's kernel, times its equalized learning rate."""
    return layer.kernel.numpy() * np.float32(layer.runtime_coef)


def _doubling(layer, side: int) -> Callable:
    """The convolution that doubles maps of `side` pixels."""
    kernel = _kernel(layer)
    if side <= DOUBLING_SIDE:
        return Doubling(kernel)
    prepared = ops.fused_kernel(tf.constant(kernel))
    return lambda x: ops.conv_transpose(x, prepared)


def _plain(layer, shape: tuple[int, int]) -> Callable:
    """The convolution of maps of a height and width."""
    kernel = _kernel(layer)
    if 8 <= min(shape) <= WINOGRAD_SIDE and shape[1] % 4 == 0:
        return Winograd(kernel)
    constant = tf.constant(kernel)
    return lambda x: ops.conv(x, constant)


_SIXTH, _TWELFTH, _24TH = 1 / 6, 1 / 12, 1 / 24
KERNEL = np.array(  # taps -> the six products
    [
        [1 / 4, 0, 0],
        [-_SIXTH, -_SIXTH, -_SIXTH],
        [-_SIXTH, _SIXTH, -_SIXTH],
        [_24TH, _TWELFTH, _SIXTH],
        [_24TH, -_TWELFTH, _SIXTH],
        [0, 0, 1],
    ],
    np.float32,
)


class Winograd:
    """A 3 x 3 convolution, stride 1, zero padding.

    Args:
        kernel: float [3, 3, I, O].

    Call arguments:
        x: float32 [1, H, W, I], W a multiple of 4.

    Returns:
        float32 [1, H, W, O].
    """

    def __init__(self, kernel: np.ndarray):
        parts = np.tensordot(KERNEL, np.asarray(kernel, np.float32), (1, 1))
        self.kernels = [tf.constant(part[:, None]) for part in parts]

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        _, h, w, _ = x.shape
        products = [
            tf.nn.conv2d(part, kernel, 1, [[0, 0], [1, 1], [0, 0], [0, 0]])
            for part, kernel in zip(_parts(x), self.kernels, strict=True)
        ]
        columns = tf.stack(_columns(*products), axis=3)  # [1, H, W/4, 4, O]
        return tf.reshape(columns, [1, h, w, -1])


def _parts(x: tf.Tensor) -> list[tf.Tensor]:
    """What the six kernels are multiplied with: [1, H, W/4, I] each."""
    _, h, w, maps = x.shape
    x = tf.pad(x, [[0, 0], [0, 0], [1, 3], [0, 0]])
    x = tf.reshape(x, [1, h, w // 4 + 1, 4, maps])
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


def _columns(p, q, r, s, t, u) -> list[tf.Tensor]:
    """Four columns of the picture from the six products."""
    even, odd, more, less = q + r, q - r, s + t, s - t
    return [
        p + even + more,
        odd + 2 * less,
        even + 4 * more,
        odd + 8 * less + u,
    ]


class Doubling:
    """Every pixel twice in both directions, then a 3 x 3 convolution, zero padding.

    Args:
        kernel: float [3, 3, I, O].

    Call arguments:
        x: float32 [1, H, W, I].

    Returns:
        float32 [1, 2H, 2W, O].
    """

    def __init__(self, kernel: np.ndarray):
        # Rows, then columns: "=" for K, "-" of even and "+" of odd pixels' differences.
        k = np.asarray(kernel, np.float32)
        both = {
            y + x: taps
            for y, row in _sides(k).items()  # [3, I, O]
            for x, taps in _sides(row).items()  # [I, O]
        }
        beside = [("==",), ("=-", "=+"), ("-=", "+="), ("--", "-+", "+-", "++")]
        self.kernels = [
            tf.constant(np.concatenate([both[n] for n in names], -1), tf.float32)
            for names in beside
        ]

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
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


def _sides(taps: np.ndarray) -> dict[str, np.ndarray]:
    """The three factors along the first axis, which goes."""
    return {"=": taps.sum(axis=0), "-": -taps[0], "+": taps[2]}


def _differences(x: tf.Tensor) -> list[tf.Tensor]:
    """x, and what it differs by to the right, downwards, and in both directions.

    [1, H, W, I], [1, H, W + 1, I], [1, H + 1, W, I], [1, H + 1, W + 1, I], the first
    and last ones from and to zero.
    """
    wide = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
    right = wide[:, :, 1:] - wide[:, :, :-1]
    middle = wide[:, :, 1:-1]
    down = middle[:, 1:] - middle[:, :-1]
    return [x, right[:, 1:-1], down, right[:, 1:] - right[:, :-1]]


def _shifted(x: tf.Tensor, count: int, starts: list[tuple[int, int]]) -> list:
    """Equal groups of maps, each from its own row and column on, all of one size."""
    _, h, w, _ = x.shape
    h, w = h - max(y for y, _ in starts), w - max(z for _, z in starts)
    parts = tf.split(x, count, axis=3)
    return [
        part[:, y : y + h, z : z + w]
        for part, (y, z) in zip(parts, starts, strict=True)
    ]
