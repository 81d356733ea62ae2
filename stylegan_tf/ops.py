"""Stateless tensor maths of StyleGAN, NHWC (Karras et al. 2018 and 2019).

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
# Resampling


def blur(x: tf.Tensor, taps: tuple[int, ...] = (1, 2, 1)) -> tf.Tensor:
    """Low-pass filter: the normalised outer product of `taps`, one map at a time.

    Zero padding outside the picture, so borders lose energy as in the paper's code.

    Args:
        x: float [N, H, W, C].
        taps: filter taps of one axis; empty = no filter.

    Returns:
        float [N, H, W, C].
    """
    if not taps:
        return x
    kernel = np.outer(taps, taps).astype(np.float32) / np.sum(taps) ** 2
    kernel = np.tile(kernel[:, :, None, None], [1, 1, x.shape[-1], 1])
    kernel = tf.constant(kernel, x.dtype)  # [k, k, C, 1]
    return tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "SAME")


def upsample(x: tf.Tensor) -> tf.Tensor:
    """Nearest neighbour, every pixel twice in each direction: [N, 2H, 2W, C]."""
    n, h, w, c = _sizes(x)
    x = tf.concat([x, x], axis=-1)  # [N, H, W, 2C]: columns doubled
    x = tf.reshape(x, [n, h, 1, 2 * w * c])
    x = tf.concat([x, x], axis=2)  # rows doubled
    return tf.reshape(x, [n, 2 * h, 2 * w, c])


def downsample(x: tf.Tensor) -> tf.Tensor:
    """Mean of 2 x 2 cells: [N, H/2, W/2, C]."""
    return tf.nn.avg_pool2d(x, 2, 2, "VALID")


# ---------------------------------------------------------------------------
# Convolutions. Doubling followed by a 3 x 3 convolution is one transposed convolution
# with a 4 x 4 kernel, and a 3 x 3 convolution followed by 2 x 2 means is one 4 x 4
# convolution of stride 2: 16 taps on the small side where the two steps take 9 taps
# on the large one, and exactly the same numbers, borders included.


def conv(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Convolution, stride 1, zero padding: x [N, H, W, I], kernel [k, k, I, O]."""
    return tf.nn.conv2d(x, kernel, 1, "SAME")


def upsample_conv(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """`conv(upsample(x), kernel)` in one step: [N, 2H, 2W, O]."""
    n, h, w, _ = _sizes(x)
    kernel = _four_shifts(tf.reverse(kernel, [0, 1]))  # the adjoint turns it round
    kernel = tf.transpose(kernel, [0, 1, 3, 2])  # [k+1, k+1, O, I]
    shape = [n, 2 * h, 2 * w, kernel.shape[2]]
    return tf.nn.conv2d_transpose(x, kernel, shape, 2, "SAME")


def conv_downsample(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """`downsample(conv(x, kernel))` in one step: [N, H/2, W/2, O]."""
    return tf.nn.conv2d(x, _four_shifts(kernel) * 0.25, 2, "SAME")


def _four_shifts(kernel: tf.Tensor) -> tf.Tensor:
    """Sum of the kernel at the four corners of a frame one pixel larger."""
    corners = [((0, 1), (0, 1)), ((0, 1), (1, 0)), ((1, 0), (0, 1)), ((1, 0), (1, 0))]
    return tf.add_n([tf.pad(kernel, [*c, (0, 0), (0, 0)]) for c in corners])


# ---------------------------------------------------------------------------
# Activation and normalisation


def lrelu(x: tf.Tensor) -> tf.Tensor:
    """Leaky ReLU of slope 0.2; in v1 its gain sqrt(2) stands in the weights."""
    return tf.nn.leaky_relu(x, 0.2)


ACTIVATIONS = {"lrelu": lrelu, "relu": tf.nn.relu}


def pixel_norm(x: tf.Tensor, epsilon: float = EPSILON) -> tf.Tensor:
    """Every vector along the last axis brought to unit mean square."""
    y = tf.cast(x, tf.float32)
    y *= tf.math.rsqrt(tf.reduce_mean(y * y, axis=-1, keepdims=True) + epsilon)
    return tf.cast(y, x.dtype)


def instance_norm(x: tf.Tensor, epsilon: float = EPSILON) -> tf.Tensor:
    """Every feature map brought to zero mean and unit (biased) variance."""
    y = tf.cast(x, tf.float32)
    y -= tf.reduce_mean(y, axis=[1, 2], keepdims=True)
    y *= tf.math.rsqrt(tf.reduce_mean(y * y, axis=[1, 2], keepdims=True) + epsilon)
    return tf.cast(y, x.dtype)


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
    g = _group_size(n, group)
    m = n // g
    y = tf.reshape(tf.cast(x, tf.float32), [g, m, h * w, features, c // features])
    y -= tf.reduce_mean(y, axis=0, keepdims=True)
    y = tf.sqrt(tf.reduce_mean(y * y, axis=0) + EPSILON)  # [M, HW, F, C/F]
    y = tf.reduce_mean(y, axis=[1, 3])  # [M, F]
    y = tf.reshape(tf.tile(y, [g, 1]), [n, 1, 1, features])
    return tf.cast(tf.broadcast_to(y, [n, h, w, features]), x.dtype)


def _group_size(n, group: int):
    if isinstance(n, int):
        return max(g for g in range(1, min(group, n) + 1) if n % g == 0)
    sizes = tf.range(1, group + 1)
    return tf.reduce_max(tf.where(n % sizes == 0, sizes, 1))


# ---------------------------------------------------------------------------


def lerp(a: tf.Tensor, b: tf.Tensor, t) -> tf.Tensor:
    """a + (b - a) t, in the precision of a."""
    return a + (b - a) * tf.cast(t, a.dtype)


def _sizes(x: tf.Tensor) -> list:
    """The sizes of x, Python ints where they are known."""
    dynamic = tf.shape(x)
    return [dynamic[i] if s is None else s for i, s in enumerate(x.shape)]
