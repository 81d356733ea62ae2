"""Activations, normalizations and statistics (Karras et al. 2018, 2019, 2020).

Every function is differentiable twice, as R1 needs it. Statistics are taken in
float32 whatever the precision of the input, and the result is cast back.
"""

from collections.abc import Callable, Iterable

import keras
import tensorflow as tf

EPSILON = 1e-8


# ---------------------------------------------------------------------------
# Activation and normalization


def lrelu(x: tf.Tensor) -> tf.Tensor:
    """Leaky ReLU with a slope of 0.2 below zero."""
    return tf.nn.leaky_relu(x, 0.2)


ACTIVATIONS = {"lrelu": lrelu, "relu": tf.nn.relu}


def activation(x: tf.Tensor, kind: str, gain: float = 1.0) -> tf.Tensor:
    """An activation by name, times a gain: sqrt(2) in StyleGAN2."""
    x = ACTIVATIONS[kind](x)
    return x if gain == 1 else x * tf.cast(gain, x.dtype)


def clamp(x: tf.Tensor, limit: float) -> tf.Tensor:
    """Clips x to [-limit, limit]; 0 = no limit."""
    return tf.clip_by_value(x, -limit, limit) if limit else x


def pixel_norm(x: tf.Tensor, epsilon: float = EPSILON) -> tf.Tensor:
    """Scales each vector along the last axis to unit mean square.

    Pixelwise feature vector normalization (Karras et al. 2018, section 4.2).
    """
    y = _float32(x)
    y *= tf.math.rsqrt(tf.reduce_mean(y * y, axis=-1, keepdims=True) + epsilon)
    return tf.cast(y, x.dtype)


def instance_norm(
    x: tf.Tensor, epsilon: float = EPSILON, fused: bool = False
) -> tf.Tensor:
    """Brings each feature map to zero mean and unit (biased) variance.

    Args:
        x: float [N, H, W, C].
        epsilon: added to the variance.
        fused: as in `adain`.
    """
    if fused:
        ones = tf.ones([shape_of(x)[0], x.shape[-1]])
        return _fused_norm(x, ones, tf.zeros_like(ones), epsilon)
    y, scale = _centered(x, epsilon)
    return tf.cast(y * scale, x.dtype)


def adain(
    x: tf.Tensor,
    scale: tf.Tensor,
    shift: tf.Tensor,
    epsilon: float = EPSILON,
    fused: bool = False,
) -> tf.Tensor:
    """AdaIN(x, y) = scale (x - mean(x)) / std(x) + shift.

    Adaptive instance normalization (Karras et al. 2019, equation 1).

    Args:
        x: float [N, H, W, C].
        scale: float [N, 1, 1, C], y_s.
        shift: float [N, 1, 1, C], y_b.
        epsilon: added to the variance.
        fused: one operation, and one for its gradient, in place of ten and twice as
            many. Exporters do not know it.

    Returns:
        float [N, H, W, C].
    """
    if fused:
        return _fused_norm(x, _float32(scale), _float32(shift), epsilon)
    y, inverse_std = _centered(x, epsilon)
    y *= inverse_std * _float32(scale)
    return tf.cast(y + _float32(shift), x.dtype)


def _fused_norm(x, scale, shift, epsilon: float) -> tf.Tensor:
    """Normalizes each map as batch normalization does a channel of one large image."""
    n, h, w, c = shape_of(x)
    y = tf.transpose(_float32(x), [1, 2, 0, 3])  # [H, W, N, C]
    y, *_ = tf.raw_ops.FusedBatchNormV3(
        x=tf.reshape(y, [1, h * w, 1, n * c]),
        scale=tf.reshape(scale, [n * c]),
        offset=tf.reshape(shift, [n * c]),
        mean=tf.zeros([0]),
        variance=tf.zeros([0]),
        epsilon=epsilon,
        is_training=True,
    )
    y = tf.transpose(tf.reshape(y, [h, w, n, c]), [2, 0, 1, 3])
    return tf.cast(y, x.dtype)


def _centered(x: tf.Tensor, epsilon: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Feature maps less their means, and one over their standard deviations."""
    y = _float32(x)
    y -= tf.reduce_mean(y, axis=[1, 2], keepdims=True)
    variance = tf.reduce_mean(y * y, axis=[1, 2], keepdims=True)  # [N, 1, 1, C]
    return y, tf.math.rsqrt(variance + epsilon)


# ---------------------------------------------------------------------------
# Minibatch standard deviation (Karras et al. 2018, section 3). Groups are strided: with
# M = N / group, example n belongs to group n mod M.


def minibatch_stddev(x: tf.Tensor, group: int = 4, features: int = 1) -> tf.Tensor:
    """Standard deviation over the examples of a group, averaged per feature.

    A batch that `group` does not divide is split into the largest groups that do.

    Args:
        x: float [N, H, W, C], C divisible by `features`.
        group: examples per group.
        features: statistics per group, each over C / features channels.

    Returns:
        float [N, H, W, features], to be appended to x.
    """
    n, h, w, c = shape_of(x)
    g = group_size(n, group)
    m = n // g
    y = tf.reshape(_float32(x), [g, m, h * w, features, c // features])
    y = _mean_deviation(y)  # [M, F]
    y = tf.broadcast_to(tf.reshape(y, [1, m, 1, 1, features]), [g, m, h, w, features])
    return tf.cast(tf.reshape(y, [n, h, w, features]), x.dtype)


@tf.custom_gradient
def _mean_deviation(y: tf.Tensor) -> tuple[tf.Tensor, Callable]:
    """The standard deviation over the first axis, averaged over the third and the last.

    Its gradient in closed form, half the operations: the mean drops out, as deviations
    from it add up to zero. Second gradients are TensorFlow's own.
    """

    def deviations():
        d = y - tf.reduce_mean(y, axis=0, keepdims=True)
        return d, tf.sqrt(tf.reduce_mean(d * d, axis=0, keepdims=True) + EPSILON)

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        g, m, pixels, features, channels = shape_of(y)
        upstream = upstream / tf.cast(g * pixels * channels, y.dtype)
        d, deviation = deviations()  # again, so that it can be differentiated
        return d * (tf.reshape(upstream, [1, m, 1, features, 1]) / deviation)

    return tf.reduce_mean(deviations()[1], axis=[0, 2, 4]), gradient


def group_size(n: int | tf.Tensor, group: int) -> int | tf.Tensor:
    """The largest group size up to `group` that divides a batch of n."""
    if isinstance(n, int):
        return max(g for g in range(1, min(group, n) + 1) if n % g == 0)
    sizes = tf.range(1, group + 1)
    return tf.reduce_max(tf.where(n % sizes == 0, sizes, 1))


def join_batches(a: tf.Tensor, b: tf.Tensor, group: int) -> tf.Tensor:
    """Joins two batches [N, ...] to one, [2N, ...], without mixing their groups.

    `minibatch_stddev` then compares the same examples as in the separate batches.
    """
    n, shape = a.shape[0], a.shape[1:]
    rows = [tf.reshape(x, [group, n // group, *shape]) for x in (a, b)]
    return tf.reshape(tf.concat(rows, axis=1), [2 * n, *shape])


def split_batches(x: tf.Tensor, group: int) -> list[tf.Tensor]:
    """Undoes `join_batches`: [2N, ...] -> two batches [N, ...]."""
    rows = tf.split(tf.reshape(x, [group, -1, *x.shape[1:]]), 2, axis=1)
    return [tf.reshape(row, [-1, *x.shape[1:]]) for row in rows]


# ---------------------------------------------------------------------------


def lerp(a: tf.Tensor, b: tf.Tensor, t: float | tf.Tensor) -> tf.Tensor:
    """Linear interpolation a + (b - a) t, in the precision of a."""
    return a + (b - a) * tf.cast(t, a.dtype)


def assign_if_finite(variable: keras.Variable, value: tf.Tensor) -> None:
    """Assigns the finite numbers of `value`; elsewhere the variable keeps its own.

    One bad batch must not spoil a running mean for good.
    """
    before = tf.convert_to_tensor(variable)
    variable.assign(tf.where(tf.math.is_finite(value), value, before))


def names_not_finite(variables: Iterable[keras.Variable | tf.Variable]) -> list[str]:
    """Returns the names of the variables that hold a number that is not finite."""
    floats = [v for v in variables if tf.as_dtype(v.dtype).is_floating]
    finite = [tf.reduce_all(tf.math.is_finite(tf.convert_to_tensor(v))) for v in floats]
    pairs = zip(floats, finite, strict=True)
    return [getattr(v, "path", v.name) for v, good in pairs if not bool(good)]


def uint8_images(images: tf.Tensor) -> tf.Tensor:
    """[-1, 1] -> uint8 in [0, 255], rounded like `figures.to_uint8`."""
    levels = tf.floor(images * 127.5 + 128.0)
    return tf.cast(tf.clip_by_value(levels, 0.0, 255.0), tf.uint8)


def shape_of(x: tf.Tensor) -> list[int | tf.Tensor]:
    """The shape of x: Python ints where it is static, scalar tensors elsewhere."""
    dynamic = tf.shape(x)
    return [dynamic[i] if s is None else s for i, s in enumerate(x.shape)]


def _float32(x: tf.Tensor) -> tf.Tensor:
    return tf.cast(x, tf.float32)
