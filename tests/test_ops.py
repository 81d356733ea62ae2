"""Convolutions and ops against official numbers, NumPy and two-step forms."""

import functools

import numpy as np
import pytest
import reference
import tensorflow as tf
from golden import close, load, nchw, nhwc

from stylegan_tf.networks import convolutions, ops

GOLDEN = load("v1_ops")


def random(*shape):
    return np.random.default_rng(5).normal(size=shape)


# ---------------------------------------------------------------------------
# The official numbers: values, and gradients for a given gradient of the output


def official_kernel(name, flip=False):
    kernel = GOLDEN[f"vars/{name}/weight"]
    kernel = kernel * np.sqrt(2 / np.prod(kernel.shape[:3]))
    return tf.constant(kernel[::-1, ::-1] if flip else kernel, tf.float32)


def appended(group, features):
    def op(x):
        return tf.concat([x, ops.minibatch_stddev(x, group, features)], -1)

    return op


OFFICIAL = {
    "blur121": convolutions.blur,
    "blur14641": lambda x: convolutions.blur(x, (1, 4, 6, 4, 1)),
    "blur1331": lambda x: convolutions.blur(x, (1, 3, 3, 1)),
    "blur_asym": lambda x: convolutions.blur(x, (1, 2, 4)),
    "upscale2": convolutions.upsample,
    "downscale2": convolutions.downsample,
    "leaky_relu": ops.lrelu,
    "pixel_norm4": ops.pixel_norm,
    "instance_norm": ops.instance_norm,
    "mbstd_g4_f1": appended(4, 1),
    "mbstd_g8_f1": appended(8, 1),
    "mbstd_g4_f2": appended(4, 2),
    "mbstd_g2_f3": appended(2, 3),
    "conv3": lambda x: convolutions.conv(x, official_kernel("conv3")),
    # Official fused up-sampling turns the kernel round (see official.py).
    "up_conv_fusedTrue": lambda x: convolutions.upsample_conv(
        x, official_kernel("up_conv_fusedTrue", flip=True)
    ),
    "up_conv_fusedFalse": lambda x: convolutions.upsample_conv(
        x, official_kernel("up_conv_fusedFalse")
    ),
    "conv_down_fusedTrue": lambda x: convolutions.conv_downsample(
        x, official_kernel("conv_down_fusedTrue")
    ),
    "conv_down_fusedFalse": lambda x: convolutions.conv_downsample(
        x, official_kernel("conv_down_fusedFalse")
    ),
}


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_values(name):
    x = tf.constant(nhwc(GOLDEN["in/x"]))
    GOLDEN.check(f"out/{name}", nchw(OFFICIAL[name](x)))


# The official gradient of an even filter is one pixel off; ours is exact, see below.
GRADIENTS = [n for n in GOLDEN.names("out/grad/") if n in OFFICIAL and n != "blur1331"]


@pytest.mark.parametrize("name", GRADIENTS)
def test_official_gradients(name):
    x = tf.constant(nhwc(GOLDEN["in/x"]))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = OFFICIAL[name](x)
    weight = tf.constant(nhwc(GOLDEN[f"in/cograd/{name}"]))
    gradient = tape.gradient(y, x, weight)
    GOLDEN.check(f"out/grad/{name}", nchw(gradient))


def test_official_pixel_norm_of_vectors():
    GOLDEN.check("out/pixel_norm2", ops.pixel_norm(tf.constant(GOLDEN["in/x2"])))


@pytest.mark.parametrize("t", [-0.5, 0.25, 1.5])
def test_official_lerp(t):
    x = tf.constant(GOLDEN["in/x"])
    GOLDEN.check(f"out/lerp/{t}", ops.lerp(x, x[::-1], t))


def test_fused_official_up_kernel_is_ours_turned_round():
    x = tf.constant(nhwc(GOLDEN["in/x"]))
    straight = convolutions.upsample_conv(x, official_kernel("up_conv_fusedTrue"))
    actual, desired = GOLDEN.pair("out/up_conv_fusedTrue", nchw(straight))
    assert np.abs(actual - desired).max() > 1


# ---------------------------------------------------------------------------
# NumPy: values, first and second derivatives along random directions. The scalar
# is sum(c op(x)^2), so that linear operations have a second derivative too.

TWICE = {
    "blur": (convolutions.blur, reference.blur, [(2, 5, 6, 3)]),
    "blur_even": (
        lambda x: convolutions.blur(x, (1, 3, 3, 1)),
        lambda x: reference.blur(x, (1, 3, 3, 1)),
        [(2, 5, 6, 3)],
    ),
    "upsample": (convolutions.upsample, reference.upsample, [(2, 3, 5, 4)]),
    "downsample": (convolutions.downsample, reference.downsample, [(2, 6, 4, 3)]),
    "conv": (convolutions.conv, reference.conv, [(2, 5, 4, 3), (3, 3, 3, 2)]),
    "upsample_conv": (
        convolutions.upsample_conv,
        reference.upsample_conv,
        [(2, 3, 5, 3), (3, 3, 3, 2)],
    ),
    "conv_downsample": (
        convolutions.conv_downsample,
        reference.conv_downsample,
        [(2, 6, 4, 3), (3, 3, 3, 2)],
    ),
    "lrelu": (ops.lrelu, reference.lrelu, [(4, 7)]),
    "pixel_norm": (ops.pixel_norm, reference.pixel_norm, [(3, 2, 2, 5)]),
    "instance_norm": (ops.instance_norm, reference.instance_norm, [(2, 4, 3, 5)]),
    "adain": (
        ops.adain,
        lambda x, a, b: reference.instance_norm(x) * a + b,
        [(2, 4, 3, 5), (2, 1, 1, 5), (2, 1, 1, 5)],
    ),
    "adain, fused": (
        functools.partial(ops.adain, fused=True),
        lambda x, a, b: reference.instance_norm(x) * a + b,
        [(2, 4, 3, 5), (2, 1, 1, 5), (2, 1, 1, 5)],
    ),
    "instance_norm, fused": (
        functools.partial(ops.instance_norm, fused=True),
        reference.instance_norm,
        [(2, 4, 3, 5)],
    ),
    "minibatch_stddev": (
        lambda x: ops.minibatch_stddev(x, 4, 2),
        lambda x: reference.minibatch_stddev(x, 4, 2),
        [(8, 3, 2, 6)],
    ),
}


def away_from_zero(x):
    """No kink of the leaky ReLU within the steps of the differences."""
    return x + 0.1 * np.sign(x)


@pytest.mark.parametrize("name", TWICE)
def test_values(name):
    op, ref, shapes = TWICE[name]
    inputs = [away_from_zero(random(*s)) for s in shapes]
    close(op(*[tf.constant(x, tf.float32) for x in inputs]), ref(*inputs), 1e-5)


@pytest.mark.parametrize("name", TWICE)
def test_first_and_second_derivatives(name):
    op, ref, shapes = TWICE[name]
    rng = np.random.default_rng(2)
    inputs = [away_from_zero(rng.normal(size=s)) for s in shapes]
    weight = rng.normal(size=ref(*inputs).shape)
    for _ in range(3):
        direction = [rng.normal(size=s) for s in shapes]
        slope, curvature = differences(ref, inputs, direction, weight)
        ours = derivatives(op, inputs, direction, weight)
        np.testing.assert_allclose(ours, [slope, curvature], rtol=1e-3, atol=1e-3)


def differences(ref, inputs, direction, weight, step=1e-4):
    """Central differences in float64."""

    def total(t):
        moved = [x + t * step * v for x, v in zip(inputs, direction, strict=True)]
        return np.sum(weight * ref(*moved) ** 2)

    below, here, above = total(-1), total(0), total(1)
    return (above - below) / (2 * step), (above - 2 * here + below) / step**2


def derivatives(op, inputs, direction, weight):
    """The same two numbers by differentiating a gradient, as R1 does."""
    inputs = [tf.constant(x, tf.float32) for x in inputs]
    direction = [tf.constant(v, tf.float32) for v in direction]
    with tf.GradientTape() as outer:
        outer.watch(inputs)
        with tf.GradientTape() as inner:
            inner.watch(inputs)
            total = tf.reduce_sum(weight * op(*inputs) ** 2)
        slope = dot(inner.gradient(total, inputs), direction)
    return slope, dot(outer.gradient(slope, inputs), direction)


def dot(a, b):
    return tf.add_n([tf.reduce_sum(x * y) for x, y in zip(a, b, strict=True)])


# ---------------------------------------------------------------------------
# Fused resampling convolutions: the two steps, borders and gradients included

FUSED = {
    "up": (
        convolutions.upsample_conv,
        lambda x, k: convolutions.conv(convolutions.upsample(x), k),
    ),
    "down": (
        convolutions.conv_downsample,
        lambda x, k: convolutions.downsample(convolutions.conv(x, k)),
    ),
}


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("direction", FUSED)
def test_fused_equals_two_steps(direction, size):
    inputs = [tf.constant(random(2, 6, 8, 3)), tf.constant(random(size, size, 3, 2))]
    results = []
    for f in FUSED[direction]:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = f(*inputs)
            total = tf.reduce_sum(y**2)
        results.append([y, *tape.gradient(total, inputs)])
    for fused, steps in zip(*results, strict=True):
        np.testing.assert_allclose(fused, steps, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (4, 6)])
def test_fused_up_of_any_size(shape):
    x, kernel = random(2, *shape, 3), random(3, 3, 3, 2)
    fused = convolutions.upsample_conv(tf.constant(x), tf.constant(kernel))
    np.testing.assert_allclose(fused, reference.upsample_conv(x, kernel), atol=1e-10)


# ---------------------------------------------------------------------------
# Single properties


def test_blur_borders_lose_energy():
    y = convolutions.blur(tf.ones([1, 4, 4, 2]))[0, :, :, 0].numpy()
    np.testing.assert_allclose(y[0], [9 / 16, 3 / 4, 3 / 4, 9 / 16])
    np.testing.assert_allclose(y[1], [3 / 4, 1, 1, 3 / 4])


def test_no_taps_is_no_blur():
    x = tf.constant(random(1, 4, 4, 2))
    assert convolutions.blur(x, ()) is x


def test_downsample_undoes_upsample():
    x = tf.constant(random(2, 3, 4, 3))
    np.testing.assert_allclose(
        convolutions.downsample(convolutions.upsample(x)), x, atol=1e-15
    )


def test_norms_of_constant_input_are_finite():
    """Zero variance and zero length: values and gradients come from epsilon alone."""
    x = tf.zeros([2, 4, 4, 3])
    for op in (ops.instance_norm, ops.pixel_norm, ops.minibatch_stddev):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = op(x)
        assert np.isfinite(y).all()
        assert np.isfinite(tape.gradient(y, x)).all()


@pytest.mark.parametrize("name", [n for n in TWICE if "stddev" not in n])
def test_dtype_is_kept(name):
    op, _, shapes = TWICE[name]
    for dtype in (tf.bfloat16, tf.float32):
        assert op(*[tf.cast(random(*s), dtype) for s in shapes]).dtype == dtype


@pytest.mark.parametrize("name", ["instance_norm", "pixel_norm", "minibatch_stddev"])
def test_statistics_are_float32(name):
    """Rounded once, at the end, although 64 x 64 x 8 bfloat16 numbers go in."""
    x = tf.cast(random(4, 64, 64, 8) + 3, tf.bfloat16)
    op = getattr(ops, name)
    exact = tf.cast(op(tf.cast(x, tf.float32)), tf.bfloat16)
    assert op(x).dtype == tf.bfloat16
    np.testing.assert_array_equal(
        tf.cast(op(x), tf.float32), tf.cast(exact, tf.float32)
    )


def test_lerp_in_the_precision_of_its_ends():
    a, b = tf.zeros([2], tf.bfloat16), tf.ones([2], tf.bfloat16)
    y = ops.lerp(a, b, tf.constant(0.25))
    assert y.dtype == tf.bfloat16
    np.testing.assert_array_equal(tf.cast(y, tf.float32), [0.25, 0.25])


# ---------------------------------------------------------------------------
# Groups of the minibatch statistic


def test_groups_are_strided():
    """Even examples are equal, odd ones differ: only strided groups tell them apart."""
    x = random(8, 2, 2, 3)
    x[::2] = x[0]
    spread = ops.minibatch_stddev(tf.constant(x, tf.float32), 4)[:, 0, 0, 0].numpy()
    np.testing.assert_allclose(spread[::2], 1e-4, rtol=1e-3)  # sqrt(epsilon)
    assert (spread[1::2] > 0.1).all()


def test_one_number_a_group():
    y = ops.minibatch_stddev(tf.constant(random(8, 3, 5, 4), tf.float32), 2).numpy()
    assert y.shape == (8, 3, 5, 1)
    assert (np.ptp(y, axis=(1, 2)) == 0).all()
    np.testing.assert_array_equal(y[:4], y[4:])  # example n and n + 4 share a group
    assert len(np.unique(y)) == 4


@pytest.mark.parametrize("batch, members", [(1, 1), (3, 3), (5, 1), (6, 3), (7, 1)])
def test_odd_batches_use_the_largest_group_that_divides(batch, members):
    x = random(batch, 2, 2, 3)
    y = ops.minibatch_stddev(tf.constant(x, tf.float32), 4)
    close(y, reference.minibatch_stddev(x, 4), 1e-5)
    assert (np.abs(y.numpy() - 1e-4) < 1e-7).all() == (members == 1)


@pytest.mark.parametrize("batch", [1, 3, 5, 6, 8])
def test_stddev_of_an_unknown_batch(batch):
    @tf.function(input_signature=[tf.TensorSpec([None, 2, 2, 4])])
    def dynamic(x):
        return ops.minibatch_stddev(x, 4, 2)

    x = tf.constant(random(batch, 2, 2, 4), tf.float32)
    np.testing.assert_allclose(dynamic(x), ops.minibatch_stddev(x, 4, 2), rtol=1e-6)


@pytest.mark.parametrize("name", ["upsample", "upsample_conv", "conv_downsample"])
def test_unknown_sizes(name):
    op, _, shapes = TWICE[name]
    inputs = [tf.constant(random(*s)) for s in shapes]
    free = tf.TensorSpec([None, None, None, shapes[0][-1]], tf.float64)
    traced = tf.function(lambda x: op(x, *inputs[1:]), input_signature=[free])
    np.testing.assert_allclose(traced(inputs[0]), op(*inputs))


@pytest.mark.parametrize("group", [1, 2, 4])
def test_woven_batches_keep_their_groups(group):
    a, b = (tf.constant(random(8, 2, 2, 3), tf.float32) for _ in range(2))
    woven = ops.minibatch_stddev(ops.join_batches(a, b, group), group)
    for x, found in zip((a, b), ops.split_batches(woven, group), strict=True):
        np.testing.assert_allclose(found, ops.minibatch_stddev(x, group), rtol=1e-6)
    for x, back in zip(
        (a, b), ops.split_batches(ops.join_batches(a, b, group), group), strict=True
    ):
        np.testing.assert_array_equal(x, back)
    assert ops.join_batches(tf.zeros([8, 0]), tf.zeros([8, 0]), group).shape == (16, 0)
