"""Stateless tensor maths of StyleGAN and StyleGAN2, NHWC (Karras et al. 2018 to 2020).

Every function here is differentiable twice (R1 differentiates a gradient) and is
written with the stock operation whose first and second derivatives are cheapest on a
CPU: depthwise convolution for the blur, pooling for the down-sampling, concatenation
for the up-sampling, sums of padded kernels instead of slices. Statistics are taken in
float32 whatever the precision of the input, and cast back.
"""

import numpy as np
import tensorflow as tf

EPSILON = 1e-8


# ---------------------------------------------------------------------------
# Resampling. Without `taps`, nearest neighbor up and 2 x 2 means down, as the growing
# networks do; with `taps`, a low-pass filter (1, 3, 3, 1) goes with it, as in
# StyleGAN2 (Karras et al. 2020, appendix B).


def blur(x: tf.Tensor, taps: tuple[int, ...] = (1, 2, 1)) -> tf.Tensor:
    """Low-pass filter: the normalized outer product of `taps`, one map at a time.

    Zero padding outside the picture, so borders lose energy as in the paper's code.

    Args:
        x: float [N, H, W, C].
        taps: filter taps of one axis; empty = no filter.

    Returns:
        float [N, H, W, C].
    """
    if not taps:
        return x
    return _depthwise(x, _outer(taps, x), "SAME")


def upsample(x: tf.Tensor, taps: tuple[int, ...] = ()) -> tf.Tensor:
    """Twice the size, [N, 2H, 2W, C]: every pixel twice, or zeros between, filtered."""
    if not taps:
        return _interleave(x)
    n = len(taps)
    x = _interleave(x, zeros=True)
    return _fir(x, taps, (n - 1) // 2 + 1, (n - 2) // 2, gain=4)


def downsample(x: tf.Tensor, taps: tuple[int, ...] = ()) -> tf.Tensor:
    """Half the size, [N, H/2, W/2, C]: means of 2 x 2 cells, or filtered samples."""
    if not taps:
        return tf.nn.avg_pool2d(x, 2, 2, "VALID")
    n = len(taps)
    return _fir(x, taps, (n - 1) // 2, (n - 2) // 2, stride=2)


def _interleave(x: tf.Tensor, zeros: bool = False) -> tf.Tensor:
    """Every row and column twice, or followed by zeros: [N, 2H, 2W, C]."""
    n, h, w, c = _sizes(x)
    x = tf.concat([x, tf.zeros_like(x) if zeros else x], axis=-1)  # columns
    x = tf.reshape(x, [n, h, 1, 2 * w * c])
    x = tf.concat([x, tf.zeros_like(x) if zeros else x], axis=2)  # rows
    return tf.reshape(x, [n, 2 * h, 2 * w, c])


def _fir(x, taps, before: int, after: int, gain: float = 1.0, stride: int = 1):
    """Pads with zeros and convolves (the kernel turned round) with `taps`.

    A filter of one tap asks for less than no padding: a row and a column go.
    """
    pads = [max(before, 0), max(after, 0)]
    x = tf.pad(x, [[0, 0], pads, pads, [0, 0]])
    if min(before, after) < 0:
        n, h, w, c = _sizes(x)
        cut, start = max(-before, 0), [0, max(-before, 0), max(-before, 0), 0]
        cut += max(-after, 0)
        x = tf.slice(x, start, [n, h - cut, w - cut, c])
    kernel = _outer(taps[::-1], x) * tf.cast(gain, x.dtype)
    return _depthwise(x, kernel, "VALID", stride)


def _outer(taps, x: tf.Tensor) -> tf.Tensor:
    """Normalized outer product of the taps, once a channel of x: [k, k, C, 1]."""
    kernel = np.outer(taps, taps).astype(np.float32) / np.sum(taps) ** 2
    kernel = np.tile(kernel[:, :, None, None], [1, 1, x.shape[-1], 1])
    return tf.constant(kernel, x.dtype)


def _depthwise(x: tf.Tensor, kernel: tf.Tensor, padding: str, stride: int = 1):
    return tf.nn.depthwise_conv2d(x, kernel, [1, stride, stride, 1], padding)


# ---------------------------------------------------------------------------
# Convolutions. Doubling followed by a 3 x 3 convolution is one transposed convolution
# with a 4 x 4 kernel, and a 3 x 3 convolution followed by 2 x 2 means is one 4 x 4
# convolution of stride 2: 16 taps on the small side where the two steps take 9 taps
# on the large one, and exactly the same numbers, borders included. With `taps`, the
# filter works where the maps are large, and the 3 x 3 kernel in steps of two.


def conv(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Convolution, stride 1, zero padding: x [N, H, W, I], kernel [k, k, I, O]."""
    return tf.nn.conv2d(x, kernel, 1, "SAME")


def upsample_conv(
    x: tf.Tensor, kernel: tf.Tensor, taps: tuple[int, ...] = ()
) -> tf.Tensor:
    """`conv(upsample(x, taps), kernel)` in one step: [N, 2H, 2W, O]."""
    if not taps:
        return doubled(x, doubling_kernel(kernel))
    n, h, w, _ = _sizes(x)
    kernel, k = _turned(kernel), kernel.shape[0]
    # No row more than the kernel reaches: oneDNN's strided 1 x 1 convolution, which is
    # the gradient here, reads past its input where one is left over (AVX-512).
    shape = [n, 2 * h - 2 + k, 2 * w - 2 + k, kernel.shape[2]]
    return _smooth(tf.nn.conv2d_transpose(x, kernel, shape, 2, "VALID"), taps, k)


def doubling_kernel(kernel: tf.Tensor) -> tf.Tensor:
    """What `doubled` takes for a kernel [3, 3, I, O]: [4, 4, O, I]."""
    return _four_shifts(_turned(kernel))


def doubled(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """The transposed convolution of stride 2 with a `doubling_kernel`."""
    n, h, w, _ = _sizes(x)
    shape = [n, 2 * h, 2 * w, kernel.shape[2]]
    return tf.nn.conv2d_transpose(x, kernel, shape, 2, "SAME")


def _turned(kernel: tf.Tensor) -> tf.Tensor:
    """Turned round, as the adjoint does: [k, k, I, O] -> [k, k, O, I]."""
    return tf.transpose(tf.reverse(kernel, [0, 1]), [0, 1, 3, 2])


def _smooth(x: tf.Tensor, taps, k: int, left_over: int = 0) -> tf.Tensor:
    """The filter behind a k x k convolution of maps with zeros between their pixels.

    Args:
        x: float [N, 2H - 2 + k, 2W - 2 + k, C], but for what is left over.
        taps: of the filter.
        k: side of the kernel.
        left_over: rows and columns of zeros at the end of x.
    """
    spare = len(taps) - 2 - (k - 1)
    after = spare // 2 + 1 - left_over
    return _fir(x, taps, (spare + 1) // 2 + 1, after, gain=4)


def conv_downsample(
    x: tf.Tensor, kernel: tf.Tensor, taps: tuple[int, ...] = ()
) -> tf.Tensor:
    """`downsample(conv(x, kernel), taps)` in one step: [N, H/2, W/2, O]."""
    if not taps:
        return tf.nn.conv2d(x, _four_shifts(kernel) * 0.25, 2, "SAME")
    spare = len(taps) - 2 + (kernel.shape[0] - 1)
    x = _fir(x, taps, (spare + 1) // 2, spare // 2)
    return tf.nn.conv2d(x, kernel, 2, "VALID")


_ENDS = (0, 1), (1, 0)


def _four_shifts(kernel: tf.Tensor) -> tf.Tensor:
    """Sum of the kernel at the four corners of a frame one pixel larger."""
    for axis in range(2):
        ends = [[(0, 0)] * axis + [end] + [(0, 0)] * (3 - axis) for end in _ENDS]
        # Not add_n: TensorFlow makes that a buffer of zeros, which it keeps, and sums.
        kernel = tf.pad(kernel, ends[0]) + tf.pad(kernel, ends[1])
    return kernel


# ---------------------------------------------------------------------------
# Modulated convolution (Karras et al. 2020, section 2.2): the kernel's input maps are
# scaled by a style s, and its output maps brought back to unit variance,
#
#     w'[i,o] = s[i] w[i,o],    d[o] = 1 / sqrt(sum_i w'[i,o]^2 + epsilon),
#
# one kernel an example. The same sums in two orders: scale the maps that go in and
# come out of one shared convolution, or build every example's kernel and convolve in
# groups. Which is faster depends on the device: benchmarks/modulation.py.


def modulated_conv(
    x: tf.Tensor,
    kernel: tf.Tensor,
    style: tf.Tensor,
    demodulate: bool = True,
    up: bool = False,
    taps: tuple[int, ...] = (),
    grouped: bool = False,
) -> tf.Tensor:
    """Convolution with the kernel modulated by a style.

    Args:
        x: float [N, H, W, I].
        kernel: float [k, k, I, O].
        style: float [N, I].
        demodulate: bring the output maps back to unit variance.
        up: double the size, filtered by `taps`.
        grouped: one kernel an example, instead of scaling the maps.

    Returns:
        float [N, H', W', O].
    """
    if grouped:
        return _grouped_conv(x, kernel, style, demodulate, up, taps)
    x = x * style[:, None, None, :]
    y = upsample_conv(x, kernel, taps) if up else conv(x, kernel)
    if demodulate:
        squares = tf.reduce_sum(_float(kernel) ** 2, axis=[0, 1])  # [I, O]
        d = tf.math.rsqrt(tf.matmul(_float(style) ** 2, squares) + EPSILON)  # [N, O]
        y *= tf.cast(d, y.dtype)[:, None, None, :]
    return y


def _grouped_conv(x, kernel, style, demodulate, up, taps):
    """One kernel an example, as a product of matrices an example.

    Grouped convolutions would do, but on CPUs some of their gradients do not exist.
    """
    k, c, out = kernel.shape[0], kernel.shape[2], kernel.shape[3]
    kernels = kernel[None] * style[:, None, None, :, None]  # [N, k, k, I, O]
    if demodulate:
        squares = tf.reduce_sum(_float(kernels) ** 2, axis=[1, 2, 3], keepdims=True)
        kernels *= tf.cast(tf.math.rsqrt(squares + EPSILON), kernels.dtype)
    before, after = k // 2, k // 2
    if up:
        x, before, after = _interleave(x, zeros=True), k - 1, max(k - 2, 0)
    x = tf.pad(x, [[0, 0], [before, after], [before, after], [0, 0]])
    n, h, w, _ = _sizes(x)
    h, w = h - k + 1, w - k + 1
    patches = [
        tf.slice(x, [0, i, j, 0], [n, h, w, c]) for i in range(k) for j in range(k)
    ]
    rows = tf.reshape(tf.concat(patches, axis=-1), [n, h * w, k * k * c])
    y = tf.matmul(rows, tf.reshape(kernels, [n, k * k * c, out]))
    y = tf.reshape(y, [n, h, w, out])
    return _smooth(y, taps, k, left_over=int(k == 1)) if up else y


def _float(x: tf.Tensor) -> tf.Tensor:
    return tf.cast(x, tf.float32)


# ---------------------------------------------------------------------------
# Activation and normalization


def lrelu(x: tf.Tensor) -> tf.Tensor:
    """Leaky ReLU of slope 0.2."""
    return tf.nn.leaky_relu(x, 0.2)


ACTIVATIONS = {"lrelu": lrelu, "relu": tf.nn.relu}


def activate(x: tf.Tensor, kind: str, gain: float = 1.0) -> tf.Tensor:
    """An activation by name, times a gain: sqrt(2) in StyleGAN2."""
    x = ACTIVATIONS[kind](x)
    return x if gain == 1 else x * tf.cast(gain, x.dtype)


def clamp(x: tf.Tensor, limit: float) -> tf.Tensor:
    """x within +-limit; 0 = no limit."""
    return tf.clip_by_value(x, -limit, limit) if limit else x


def pixel_norm(x: tf.Tensor, epsilon: float = EPSILON) -> tf.Tensor:
    """Every vector along the last axis brought to unit mean square."""
    y = tf.cast(x, tf.float32)
    y *= tf.math.rsqrt(tf.reduce_mean(y * y, axis=-1, keepdims=True) + epsilon)
    return tf.cast(y, x.dtype)


def instance_norm(x: tf.Tensor, epsilon: float = EPSILON) -> tf.Tensor:
    """Every feature map brought to zero mean and unit (biased) variance."""
    y, scale = _centered(x, epsilon)
    return tf.cast(y * scale, x.dtype)


def adain(
    x: tf.Tensor, scale: tf.Tensor, shift: tf.Tensor, epsilon: float = EPSILON
) -> tf.Tensor:
    """`instance_norm(x) * (scale + 1) + shift`, its two products made one.

    Args:
        x: float [N, H, W, C].
        scale, shift: float [N, 1, 1, C].
        epsilon: under the root.
    """
    y, own = _centered(x, epsilon)
    y *= own * (_float(scale) + 1)
    return tf.cast(y + _float(shift), x.dtype)


def _centered(x: tf.Tensor, epsilon: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Maps less their means, float32, and what brings them to unit variance."""
    y = _float(x)
    y -= tf.reduce_mean(y, axis=[1, 2], keepdims=True)
    variance = tf.reduce_mean(y * y, axis=[1, 2], keepdims=True)
    return y, tf.math.rsqrt(variance + epsilon)


# ---------------------------------------------------------------------------
# Minibatch standard deviation (Karras et al. 2018, section 3)


def minibatch_stddev(x: tf.Tensor, group: int = 4, features: int = 1) -> tf.Tensor:
    """How much the examples of a group differ, one number a group and feature.

    Groups are strided: with M = N / group, example n belongs to group n mod M. A batch
    that `group` does not divide is split into the largest groups that do.

    Args:
        x: float [N, H, W, C], C divisible by `features`.
        group: examples a group.
        features: statistics a group, each over C / features maps.

    Returns:
        [N, H, W, features], to be appended to x.
    """
    n, h, w, c = _sizes(x)
    g = group_size(n, group)
    m = n // g
    y = tf.reshape(tf.cast(x, tf.float32), [g, m, h * w, features, c // features])
    y -= tf.reduce_mean(y, axis=0, keepdims=True)
    y = tf.sqrt(tf.reduce_mean(y * y, axis=0) + EPSILON)  # [M, HW, F, C/F]
    y = tf.reduce_mean(y, axis=[1, 3])  # [M, F]
    y = tf.reshape(tf.tile(y, [g, 1]), [n, 1, 1, features])
    return tf.cast(tf.broadcast_to(y, [n, h, w, features]), x.dtype)


def group_size(n, group: int):
    """The largest group size up to `group` that divides n, an int or a tensor."""
    if isinstance(n, int):
        return max(g for g in range(1, min(group, n) + 1) if n % g == 0)
    sizes = tf.range(1, group + 1)
    return tf.reduce_max(tf.where(n % sizes == 0, sizes, 1))


def weave(a: tf.Tensor, b: tf.Tensor, group: int) -> tf.Tensor:
    """Two batches [N, ...] as one, whose strided groups are those of a, then of b."""
    n, shape = a.shape[0], a.shape[1:]
    rows = [tf.reshape(x, [group, n // group, *shape]) for x in (a, b)]
    return tf.reshape(tf.concat(rows, axis=1), [2 * n, *shape])


def unweave(x: tf.Tensor, group: int) -> list[tf.Tensor]:
    """The two batches [N, ...] that `weave` made into one."""
    rows = tf.split(tf.reshape(x, [group, -1, *x.shape[1:]]), 2, axis=1)
    return [tf.reshape(row, [-1, *x.shape[1:]]) for row in rows]


# ---------------------------------------------------------------------------


def lerp(a: tf.Tensor, b: tf.Tensor, t) -> tf.Tensor:
    """a + (b - a) t, in the precision of a."""
    return a + (b - a) * tf.cast(t, a.dtype)


def to_uint8(images: tf.Tensor) -> tf.Tensor:
    """[-1, 1] -> uint8, as `figures.to_uint8`, where the pictures are."""
    levels = tf.floor(images * 127.5 + 128.0)
    return tf.cast(tf.clip_by_value(levels, 0.0, 255.0), tf.uint8)


def _sizes(x: tf.Tensor) -> list:
    """The sizes of x, Python ints where they are known."""
    dynamic = tf.shape(x)
    return [dynamic[i] if s is None else s for i, s in enumerate(x.shape)]
