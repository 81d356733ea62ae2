"""Resampling and convolutions, NHWC (Karras et al. 2018, 2019, 2020).

Every function is differentiable twice, as R1 needs it, and is written with the stock
operations whose first and second gradients are cheapest on a CPU: depthwise convolution
for the blur, pooling for downsampling, concatenation for upsampling, sums of padded
kernels instead of slices.
"""

import numpy as np
import tensorflow as tf

from stylegan_tf import stateless
from stylegan_tf.networks.ops import EPSILON, shape_of

# ---------------------------------------------------------------------------
# Resampling. Without `taps`: nearest neighbor up and 2 x 2 means down, as the growing
# networks do (Karras et al. 2018, figure 2). With `taps`: a low-pass filter such as
# (1, 3, 3, 1) goes with it, as in StyleGAN2 (Karras et al. 2020, appendix B).


def blur(x: tf.Tensor, taps: tuple[int, ...] = (1, 2, 1)) -> tf.Tensor:
    """Low-pass filters each channel by the normalized outer product of `taps`.

    The image is padded with zeros, so values shrink at its borders, as in the paper's
    code.

    Args:
        x: float [N, H, W, C].
        taps: filter along one axis; empty = no filter.

    Returns:
        float [N, H, W, C].
    """
    if not taps:
        return x
    return _depthwise_conv(x, _filter(taps, x), "SAME")


def upsample(x: tf.Tensor, taps: tuple[int, ...] = ()) -> tf.Tensor:
    """Doubles the size: [N, H, W, C] -> [N, 2H, 2W, C].

    Repeats each pixel; with `taps`, inserts zeros and filters.
    """
    if not taps:
        return _spread(x)
    n = len(taps)
    x = _spread(x, zeros=True)
    return _pad_and_filter(x, taps, (n - 1) // 2 + 1, (n - 2) // 2, gain=4)


def downsample(x: tf.Tensor, taps: tuple[int, ...] = ()) -> tf.Tensor:
    """Halves the size: [N, H, W, C] -> [N, H/2, W/2, C].

    Takes means of 2 x 2 pixels; with `taps`, filters and takes every second pixel.
    """
    if not taps:
        return tf.nn.avg_pool2d(x, 2, 2, "VALID")
    n = len(taps)
    return _pad_and_filter(x, taps, (n - 1) // 2, (n - 2) // 2, stride=2)


def _spread(x: tf.Tensor, zeros: bool = False) -> tf.Tensor:
    """Repeats each row and column, or follows it by zeros: [N, 2H, 2W, C]."""
    n, h, w, c = shape_of(x)
    x = tf.concat([x, tf.zeros_like(x) if zeros else x], axis=-1)  # columns
    x = tf.reshape(x, [n, h, 1, 2 * w * c])
    x = tf.concat([x, tf.zeros_like(x) if zeros else x], axis=2)  # rows
    return tf.reshape(x, [n, 2 * h, 2 * w, c])


def _pad_and_filter(x, taps, before: int, after: int, gain: float = 1.0, stride=1):
    """Pads with zeros and convolves each channel with the taps (reversed kernel).

    A filter of one tap asks for negative padding: it cuts off a row and a column.
    """
    pads = [max(before, 0), max(after, 0)]
    x = tf.pad(x, [[0, 0], pads, pads, [0, 0]])
    if min(before, after) < 0:
        _, h, w, _ = shape_of(x)
        start, cut = max(-before, 0), max(-before, 0) + max(-after, 0)
        x = window(x, start, start, h - cut, w - cut)
    kernel = _filter(taps[::-1], x) * tf.cast(gain, x.dtype)
    return _depthwise_conv(x, kernel, "VALID", stride)


def window(x: tf.Tensor, top: int, left: int, height: int, width: int) -> tf.Tensor:
    """Cuts a window out of maps: [N, height, width, C].

    TensorFlow's slice has no second derivative under XLA. Strided slices have one, but
    on a CPU their gradients take six times as long.
    """
    if stateless.is_under_xla():
        return x[:, top : top + height, left : left + width]
    return tf.slice(x, [0, top, left, 0], [-1, height, width, -1])


def _filter(taps, x: tf.Tensor) -> tf.Tensor:
    """Normalized outer product of the taps, per channel of x: [k, k, C, 1]."""
    kernel = np.outer(taps, taps).astype(np.float32) / np.sum(taps) ** 2
    kernel = np.tile(kernel[:, :, None, None], [1, 1, x.shape[-1], 1])
    return tf.constant(kernel, x.dtype)


def _depthwise_conv(x: tf.Tensor, kernel: tf.Tensor, padding: str, stride: int = 1):
    return tf.nn.depthwise_conv2d(x, kernel, [1, stride, stride, 1], padding)


# ---------------------------------------------------------------------------
# Convolutions fused with their resampling. Upsampling and a 3 x 3 convolution are one
# transposed convolution with a 4 x 4 kernel; a 3 x 3 convolution and 2 x 2 means are
# one 4 x 4 convolution of stride 2. The numbers are exactly the same, borders included,
# with 16 multiplications per pixel of the smaller image instead of 9 per pixel of the
# larger one. With `taps`, the filter is applied at the larger size, and the 3 x 3
# convolution, transposed or not, has stride 2.


def conv(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Convolution, stride 1, zero padding: x [N, H, W, I], kernel [k, k, I, O]."""
    return tf.nn.conv2d(x, kernel, 1, "SAME")


def upsample_conv(
    x: tf.Tensor, kernel: tf.Tensor, taps: tuple[int, ...] = ()
) -> tf.Tensor:
    """Returns `conv(upsample(x, taps), kernel)` in one step: [N, 2H, 2W, O]."""
    if not taps:
        return conv_transpose(x, fused_kernel(kernel))
    n, h, w, _ = shape_of(x)
    kernel, k = _transposed(kernel), kernel.shape[0]
    # No output row that the kernel does not reach: oneDNN's strided 1 x 1 convolution,
    # which is the gradient here, reads past its input where a row is left over
    # (AVX-512).
    shape = [n, 2 * h - 2 + k, 2 * w - 2 + k, kernel.shape[2]]
    x = tf.nn.conv2d_transpose(x, kernel, shape, 2, "VALID")
    return _filter_upsampled(x, taps, k)


def fused_kernel(kernel: tf.Tensor) -> tf.Tensor:
    """The kernel [4, 4, O, I] with which `conv_transpose` upsamples and convolves.

    Args:
        kernel: float [3, 3, I, O], of the convolution.
    """
    return tf.transpose(_four_shifts(kernel, rotated=True), [0, 1, 3, 2])


def conv_transpose(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Transposed convolution of stride 2 with a `fused_kernel`: [N, 2H, 2W, O]."""
    n, h, w, _ = shape_of(x)
    shape = [n, 2 * h, 2 * w, kernel.shape[2]]
    return tf.nn.conv2d_transpose(x, kernel, shape, 2, "SAME")


def _transposed(kernel: tf.Tensor) -> tf.Tensor:
    """The adjoint's kernel, rotated by 180 degrees: [k, k, I, O] -> [k, k, O, I]."""
    return tf.transpose(tf.reverse(kernel, [0, 1]), [0, 1, 3, 2])


def _filter_upsampled(x: tf.Tensor, taps, k: int, left_over: int = 0) -> tf.Tensor:
    """Filters the output of a k x k convolution of an image with zeros between pixels.

    Args:
        x: float [N, 2H - 2 + k + left_over, 2W - 2 + k + left_over, C].
        taps: filter along one axis.
        k: side of the kernel.
        left_over: rows and columns of zeros at the end of x.
    """
    spare = len(taps) - 2 - (k - 1)
    after = spare // 2 + 1 - left_over
    return _pad_and_filter(x, taps, (spare + 1) // 2 + 1, after, gain=4)


def conv_downsample(
    x: tf.Tensor, kernel: tf.Tensor, taps: tuple[int, ...] = ()
) -> tf.Tensor:
    """Returns `downsample(conv(x, kernel), taps)` in one step: [N, H/2, W/2, O]."""
    if not taps:
        return tf.nn.conv2d(x, _four_shifts(kernel, 0.25), 2, "SAME")
    spare = len(taps) - 2 + (kernel.shape[0] - 1)
    x = _pad_and_filter(x, taps, (spare + 1) // 2, spare // 2)
    return tf.nn.conv2d(x, kernel, 2, "VALID")


def _four_shifts(
    kernel: tf.Tensor, gain: float = 1.0, rotated: bool = False
) -> tf.Tensor:
    """Sum of the kernel placed in each corner of a kernel one pixel larger.

    Args:
        kernel: float [k, k, I, O].
        gain: factor of the sum.
        rotated: rotate the kernel by 180 degrees before.

    Returns:
        float [k + 1, k + 1, I, O]: one product with a constant matrix, which a GPU
        launches once.
    """
    k, (i, o) = kernel.shape[0], kernel.shape[2:]
    along = np.eye(k + 1, k) + np.eye(k + 1, k, -1)  # two shifts along one axis
    shifts = np.kron(along, along) * gain  # [(k + 1)^2, k^2]
    shifts = tf.constant(shifts[:, ::-1] if rotated else shifts, kernel.dtype)
    moved = tf.matmul(shifts, tf.reshape(kernel, [k * k, i * o]))
    return tf.reshape(moved, [k + 1, k + 1, i, o])


# ---------------------------------------------------------------------------
# Modulated convolution (Karras et al. 2020, section 2.2, equations 1 to 3): the style s
# scales the kernel's input channels, demodulation brings the expected standard
# deviation of each output channel back to one (k runs over the kernel's pixels),
#
#     w'[k, i, o] = s[i] w[k, i, o]
#     w''[k, i, o] = w'[k, i, o] / sqrt(sum_ki w'[k, i, o]^2 + epsilon)
#
# There are two ways to the same numbers: scale the feature maps before and after one
# shared convolution, or build one kernel per example. The faster one depends on the
# device: benchmarks/modulation.py.


def modulated_conv(
    x: tf.Tensor,
    kernel: tf.Tensor,
    style: tf.Tensor,
    demodulate: bool = True,
    up: bool = False,
    taps: tuple[int, ...] = (),
    grouped: bool = False,
) -> tf.Tensor:
    """Convolution with a kernel that is modulated by a style.

    Args:
        x: float [N, H, W, I].
        kernel: float [k, k, I, O].
        style: float [N, I], s above.
        demodulate: bring the output channels back to unit variance.
        up: double the size first.
        taps: filter of the upsampling.
        grouped: build one kernel per example instead of scaling the feature maps.

    Returns:
        float [N, H', W', O].
    """
    if grouped:
        return _conv_per_example(x, kernel, style, demodulate, up, taps)
    x = x * style[:, None, None, :]
    y = upsample_conv(x, kernel, taps) if up else conv(x, kernel)
    if demodulate:
        squares = tf.reduce_sum(tf.cast(kernel, tf.float32) ** 2, axis=[0, 1])  # [I, O]
        squares = tf.matmul(tf.cast(style, tf.float32) ** 2, squares)  # [N, O]
        y *= tf.cast(tf.math.rsqrt(squares + EPSILON), y.dtype)[:, None, None, :]
    return y


def _conv_per_example(x, kernel, style, demodulate, up, taps):
    """One kernel per example, as one matrix product per example.

    A grouped convolution would do as well, but TensorFlow lacks some of its gradients
    on CPUs.
    """
    k, c, out = kernel.shape[0], kernel.shape[2], kernel.shape[3]
    kernels = kernel[None] * style[:, None, None, :, None]  # [N, k, k, I, O]
    if demodulate:
        squares = tf.reduce_sum(
            tf.cast(kernels, tf.float32) ** 2, axis=[1, 2, 3], keepdims=True
        )
        kernels *= tf.cast(tf.math.rsqrt(squares + EPSILON), kernels.dtype)
    before, after = k // 2, k // 2
    if up:
        x, before, after = _spread(x, zeros=True), k - 1, max(k - 2, 0)
    x = tf.pad(x, [[0, 0], [before, after], [before, after], [0, 0]])
    n, h, w, _ = shape_of(x)
    h, w = h - k + 1, w - k + 1
    patches = [window(x, i, j, h, w) for i in range(k) for j in range(k)]
    rows = tf.reshape(tf.concat(patches, axis=-1), [n, h * w, k * k * c])
    y = tf.matmul(rows, tf.reshape(kernels, [n, k * k * c, out]))
    y = tf.reshape(y, [n, h, w, out])
    return _filter_upsampled(y, taps, k, left_over=int(k == 1)) if up else y
