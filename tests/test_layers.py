"""layers.py: official numbers of single layers, initial weights, contracts."""

import numpy as np
import pytest
import reference
import tensorflow as tf
from golden import close, load, nchw, nhwc

from stylegan_tf.networks import equalized, layers

GOLDEN = load("v1_ops")


def random(*shape):
    return np.random.default_rng(7).normal(size=shape).astype(np.float32)


def built(layer, *shapes):
    layer.build(*shapes)
    return layer


def with_weights(layer, **weights):
    """`layer` with the named weights set."""
    for name, value in weights.items():
        getattr(layer, name).assign(value)
    return layer


# ---------------------------------------------------------------------------
# The official numbers: values, and gradients for a given gradient of the output


def conv(name, size, filters, **kwargs):
    layer = layers.EqualizedConv2D(filters, size, use_bias=False, **kwargs)
    built(layer, (None, 8, 8, 6))
    return with_weights(layer, kernel=GOLDEN[f"vars/{name}/weight"])


def official_noise():
    layer = built(layers.ScaledNoise(), (None, 8, 8, 6))
    with_weights(layer, weight=GOLDEN["vars/Noise_layer/Noise/weight"])
    return lambda x: layer(x, nhwc(GOLDEN["in/noise"]))


def official_bias():
    layer = built(layers.Bias(), (None, 8, 8, 6))
    return with_weights(layer, weight=GOLDEN["vars/bias/bias"])


def official_style():
    layer = built(layers.AdaIN(normalize=False), (None, 8, 8, 6), (None, 9))
    scope = "vars/style_mod/StyleMod"
    weights = {"kernel": GOLDEN[f"{scope}/weight"], "bias": GOLDEN[f"{scope}/bias"]}
    with_weights(layer.affine, **weights)
    return lambda x: layer(x, GOLDEN["in/w"])


OFFICIAL = {
    "conv3": lambda: conv("conv3", 3, 5),
    "conv1": lambda: conv("conv1", 1, 5, gain=1.0),
    "up_conv_fusedFalse": lambda: conv("up_conv_fusedFalse", 3, 5, resample="up"),
    "conv_down_fusedFalse": lambda: conv("conv_down_fusedFalse", 3, 5, resample="down"),
    "conv_down_fusedTrue": lambda: conv("conv_down_fusedTrue", 3, 5, resample="down"),
    "Noise_layer": official_noise,
    "bias": official_bias,
    "style_mod": official_style,
}


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_values_and_gradients(name):
    layer = OFFICIAL[name]()
    x = tf.constant(nhwc(GOLDEN["in/x"]))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    GOLDEN.check(f"out/{name}", nchw(y))
    if name in GOLDEN.names("out/grad/"):
        weight = tf.constant(nhwc(GOLDEN[f"in/cograd/{name}"]))
        GOLDEN.check(f"out/grad/{name}", nchw(tape.gradient(y, x, weight)))


def test_gradients_of_some_layers_are_there():
    assert {"conv3", "Noise_layer", "style_mod"} <= set(GOLDEN.names("out/grad/"))


def test_official_minibatch_stddev_is_appended():
    x = nhwc(GOLDEN["in/x"])
    GOLDEN.check("out/mbstd_g4_f1", nchw(layers.MinibatchStddev()(x)))
    GOLDEN.check("out/mbstd_g4_f2", nchw(layers.MinibatchStddev(4, features=2)(x)))


def test_official_dense():
    layer = layers.EqualizedDense(7, lrmul=0.01, use_bias=False)
    with_weights(built(layer, (None, 6)), kernel=GOLDEN["vars/dense/weight"])
    x = tf.constant(GOLDEN["in/x2"])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    GOLDEN.check("out/dense", y)
    gradient = tape.gradient(y, x, tf.constant(GOLDEN["in/cograd/dense"]))
    GOLDEN.check("out/grad/dense", gradient)


def test_official_bias_of_a_slow_layer():
    layer = built(layers.EqualizedDense(6, lrmul=0.01), (None, 6))
    with_weights(layer, bias=GOLDEN["vars/bias_lrmul/bias"])
    GOLDEN.check("out/bias_lrmul", GOLDEN["in/x2"] + layer(np.zeros([8, 6])))


# ---------------------------------------------------------------------------
# Equalized learning rate


@pytest.mark.parametrize("lrmul", [1.0, 0.01])
def test_stored_weights_start_at_one_over_lrmul(lrmul):
    layer = built(layers.EqualizedDense(300, lrmul=lrmul), (None, 400))
    kernel = layer.kernel.numpy()
    assert abs(kernel.std() * lrmul - 1) < 0.01 and abs(kernel.mean() * lrmul) < 0.01
    assert np.abs(kernel).max() * lrmul > 4  # not truncated
    np.testing.assert_array_equal(layer.bias, np.zeros(300))


@pytest.mark.parametrize("lrmul", [1.0, 0.01])
@pytest.mark.parametrize("gain", [1.0, 2**0.5])
def test_outputs_start_with_the_variance_of_the_gain(gain, lrmul):
    layer = layers.EqualizedDense(500, gain=gain, lrmul=lrmul)
    assert abs(np.std(layer(random(200, 300))) - gain) < 0.05


def test_default_gain_is_that_of_a_rectifier():
    x = random(2, 5, 5, 6)
    layer = layers.EqualizedConv2D(4)
    y = layer(x)
    want = reference.conv(x, layer.kernel.numpy() * np.sqrt(2 / (9 * 6)))
    close(y, want, 1e-5)


def test_fan_in_counts_all_but_the_last_dimension():
    assert built(layers.EqualizedDense(9), (None, 8)).runtime_coef == 0.5
    layer = built(layers.EqualizedConv2D(9, 2, gain=1), (None, 4, 4, 25))
    assert layer.runtime_coef == 0.1


def test_kernel_and_bias_learn_slowly():
    """With lrmul m, equal steps of a stored weight move the output m times as far."""
    x, moves = random(1, 4), []
    for lrmul in (1.0, 0.01):
        layer = built(layers.EqualizedDense(3, lrmul=lrmul), (None, 4))
        before = layer(x)
        for weight in (layer.kernel, layer.bias):
            weight.assign(weight.numpy() + 1)
        moves.append(np.asarray(layer(x) - before))
    np.testing.assert_allclose(moves[1], 0.01 * moves[0], rtol=1e-3)


@pytest.mark.parametrize("resample, factor", [(None, 1), ("up", 2), ("down", 0.5)])
def test_resampling_convolutions(resample, factor):
    layer = layers.EqualizedConv2D(3, resample=resample)
    x = random(2, 4, 6, 5)
    y = with_weights(built(layer, x.shape), bias=random(3))(x)
    steps = {None: reference.conv, "up": reference.upsample_conv}
    steps["down"] = reference.conv_downsample
    kernel = reference.equalized(layer, np.sqrt(2))
    assert tuple(y.shape) == (2, 4 * factor, 6 * factor, 3)
    close(y, steps[resample](x, kernel) + layer.bias.numpy(), 1e-5)


def test_unknown_resampling_is_refused():
    with pytest.raises(ValueError, match="resample is 'left'; use None"):
        layers.EqualizedConv2D(3, resample="left")


# ---------------------------------------------------------------------------
# The parts of an epilogue


def test_noise_and_bias_start_at_zero():
    x = random(2, 4, 4, 3)
    np.testing.assert_array_equal(layers.ScaledNoise()(x, random(2, 4, 4, 1)), x)
    np.testing.assert_array_equal(layers.Bias()(x), x)


def test_noise_is_one_map_scaled_for_every_channel():
    x, noise, scale = np.zeros((2, 4, 4, 3)), random(2, 4, 4, 1), [1.0, -2.0, 0.0]
    layer = with_weights(built(layers.ScaledNoise(), x.shape), weight=scale)
    y = layer(x, noise)
    np.testing.assert_allclose(y, noise * np.array(scale), rtol=1e-6)
    shared = layer(x, noise[:1])
    np.testing.assert_allclose(shared[0], shared[1])


def test_noise_learns_slowly():
    """A stored strength counts lrmul times, once, in a training step too."""
    x, noise, stored = np.zeros((2, 4, 4, 3)), random(2, 4, 4, 1), np.array([1, -2, 5])
    layer = with_weights(
        built(layers.ScaledNoise(lrmul=0.01), x.shape), weight=stored.astype("f4")
    )
    np.testing.assert_allclose(layer(x, noise), noise * stored * 0.01, rtol=1e-5)
    factor = equalized.scales_of(layer)[layer.weight.path]
    with equalized.scaled_weights([(layer.weight, layer.weight * factor)]):
        np.testing.assert_allclose(layer(x, noise), noise * stored * 0.01, rtol=1e-5)


def test_constant_starts_at_one_and_is_shared():
    layer = layers.LearnedConstant((4, 6, 3))
    np.testing.assert_array_equal(layer(random(5, 8)), np.ones([5, 4, 6, 3]))
    with_weights(layer, const=random(1, 4, 6, 3))
    np.testing.assert_array_equal(layer(random(5, 8))[4], layer.const[0])


def test_style_is_scale_then_shift():
    """The first half of the affine is the scale less one, the second the shift."""
    layer = built(layers.AdaIN(), (None, 4, 4, 2), (None, 3))
    with_weights(layer.affine, kernel=np.zeros([3, 4]), bias=[1.0, 2.0, 30.0, 40.0])
    x = random(2, 4, 4, 2)
    want = reference.instance_norm(x) * [2, 3] + [30, 40]
    close(layer(x, random(2, 3)), want, 1e-5)


def test_style_starts_as_plain_normalization_around_the_style():
    layer = built(layers.AdaIN(), (None, 8, 8, 6), (None, 3))
    x = random(2, 8, 8, 6)
    close(layer(x, np.zeros([2, 3])), reference.instance_norm(x), 1e-5)
    w = random(2, 3)
    scale, shift = np.split(w @ reference.equalized(layer.affine, 1), 2, axis=-1)
    y = layer(x, w).numpy()
    close(y.mean(axis=(1, 2)), shift, 1e-4)
    close(y.std(axis=(1, 2)), np.abs(1 + scale), 1e-4)


def epilogue(**switches):
    layer = built(layers.Epilogue(**switches), (None, 4, 4, 2), (None, 3))
    for i, weight in enumerate(layer.weights):
        weight.assign(random(*weight.shape) + 0.1 * i)
    return layer


@pytest.mark.parametrize("position", ["before_bias", "after_adain"])
def test_order_of_the_epilogue(position):
    layer = epilogue(noise_position=position)
    x, w, noise = random(3, 4, 4, 2), random(3, 3) + 1, random(3, 4, 4, 1) - 1
    last = position == "after_adain"
    want = reference.epilogue(layer, x, w, noise, noise_last=last)
    close(layer(x, w, noise), want, 1e-5)
    other = reference.epilogue(layer, x, w, noise, noise_last=not last)
    assert np.abs(want - other).max() > 0.1


def test_epilogue_without_noise():
    layer = epilogue()
    x, w = random(3, 4, 4, 2), random(3, 3)
    close(layer(x, w), reference.epilogue(layer, x, w, 0), 1e-5)
    close(layer(x, w, None), layer(x, w, np.zeros([1, 4, 4, 1])), 1e-6)


@pytest.mark.parametrize("pixel", [False, True])
@pytest.mark.parametrize("instance", [False, True])
@pytest.mark.parametrize("activation", ["lrelu", "relu"])
def test_switches_of_the_epilogue(activation, instance, pixel):
    """Without styles: bias, activation, pixel norm, instance norm."""
    switches = {"use_instance_norm": instance, "use_pixel_norm": pixel}
    layer = epilogue(activation=activation, use_styles=False, **switches)
    x, w = random(3, 4, 4, 2), random(3, 3)
    want = x + layer.bias.weight.numpy()
    want = reference.lrelu(want) if activation == "lrelu" else np.maximum(want, 0)
    want = reference.pixel_norm(want) if pixel else want
    want = reference.instance_norm(want) if instance else want
    close(layer(x, w, None), want, 1e-4)


def test_a_style_alone_modulates():
    layer = epilogue(use_instance_norm=False, use_noise=False)
    assert len(layer.weights) == 3
    x, w = random(3, 4, 4, 2), random(3, 3)
    affine = w @ reference.equalized(layer.style.affine, 1)
    scale, shift = np.split(affine + layer.style.affine.bias.numpy(), 2, axis=-1)
    y = reference.lrelu(x + layer.bias.weight.numpy())
    close(layer(x, w), y * (1 + scale)[:, None, None] + shift[:, None, None], 1e-5)


# ---------------------------------------------------------------------------
# Pictures


def test_to_rgb_is_linear_with_gain_one_and_float32():
    layer = layers.ToRGB(3, dtype="mixed_bfloat16")
    x = random(2, 4, 4, 16)
    y = with_weights(built(layer, x.shape), bias=[1.0, 2.0, 3.0])(x)
    assert y.dtype == tf.float32 and layer.compute_dtype == "float32"
    close(y, x @ layer.kernel.numpy()[0, 0] / 4 + [1, 2, 3], 1e-5)


@pytest.mark.parametrize("activation", ["lrelu", "relu"])
def test_from_rgb_has_gain_and_activation(activation):
    layer, x = layers.FromRGB(5, activation), random(2, 4, 4, 3)
    y = with_weights(built(layer, x.shape), bias=random(5))(x)
    linear = x @ layer.kernel.numpy()[0, 0] * np.sqrt(2 / 3) + layer.bias.numpy()
    slope = 0.2 if activation == "lrelu" else 0
    close(y, np.where(linear > 0, linear, slope * linear), 1e-5)


def test_stddev_comes_last():
    x = random(8, 2, 2, 4)
    y = layers.MinibatchStddev(4, features=2)(x)
    np.testing.assert_array_equal(y[..., :4], x)
    close(y[..., 4:], reference.minibatch_stddev(x, 4, 2), 1e-5)
