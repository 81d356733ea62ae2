"""filters.py: StyleGAN3's filters and how maps change their sampling rate."""

import ada_golden
import golden
import numpy as np
import pytest
import tensorflow as tf
from scipy import signal

from stylegan_tf.config import GeneratorConfig
from stylegan_tf.config.stylegan3 import layer_plans
from stylegan_tf.networks import convolutions, filters, ops
from stylegan_tf.training.compilation import compiled_by_xla

OPS = ada_golden.load("pt_ops")
PRESETS = ada_golden.load("sg3_presets")


def names(kind: str) -> list[str]:
    found = {n.split("/")[0] for n in OPS.names(f"in/{kind}/")}
    return sorted(found & {n.split("/")[0] for n in OPS.names(f"out/{kind}/")})


def naive(x, taps, up, padding, down=1, gain=1.0):
    """Zeros between pixels, padding, convolution, every down-th pixel: [H, W]."""
    h, w = x.shape
    wide = np.zeros((h * up, w * up))
    wide[::up, ::up] = x
    low, high = padding
    wide = np.pad(wide, [(max(low, 0), max(high, 0))] * 2)
    cut = slice(max(-low, 0), len(wide) - max(-high, 0))
    wide = wide[cut, max(-low, 0) : wide.shape[1] - max(-high, 0)]
    kernel = np.outer(taps, taps) if np.ndim(taps) == 1 else taps
    return signal.convolve2d(wide, kernel * gain, "valid")[::down, ::down]


@pytest.mark.parametrize("name", names("lowpass"))
def test_filters_are_the_official_ones(name):
    taps, cutoff, width, rate, radial = OPS[f"in/lowpass/{name}"]
    found = filters.design_lowpass(int(taps), cutoff, width, rate, bool(radial))
    np.testing.assert_allclose(found, OPS[f"out/lowpass/{name}/f"], atol=1e-6)
    assert found.sum() == pytest.approx(1, abs=1e-6)


def test_radial_filters_have_a_middle():
    found = filters.design_lowpass(7, 4.0, 6.0, 32, radial=True)
    assert np.isfinite(found).all() and found.argmax() == 24
    np.testing.assert_allclose(found, found.T, atol=1e-8)


@pytest.mark.parametrize("up", [1, 2, 3, 4])
@pytest.mark.parametrize("padding", [(0, 0), (9, 8), (3, 6), (-2, 5), (7, -3)])
@pytest.mark.parametrize("length", [1, 5, 12, 24])
def test_phases_are_zeros_between_pixels(up, padding, length):
    """Filters without a symmetry, so that nothing turned round goes unseen."""
    rng = np.random.default_rng(0)
    x, taps = rng.normal(size=(9, 13)), rng.normal(size=length)
    if 9 * up + sum(padding) < length:
        pytest.skip("nothing would be left")
    wanted = naive(x, taps, up, padding, gain=up**2)
    x4 = tf.constant(x[None, :, :, None], tf.float32)
    found = filters.upsample_by(x4, tf.constant(taps, tf.float32), up, padding)
    golden.close(found[0, :, :, 0], wanted, 1e-5)


@pytest.mark.parametrize("down", [1, 2, 3, 4])
@pytest.mark.parametrize("shape", [(1,), (5,), (12,), (7, 7)])
def test_phases_are_every_nth_pixel(down, shape):
    rng = np.random.default_rng(0)
    x, taps = rng.normal(size=(25, 30)), rng.normal(size=shape)
    wanted = naive(x, taps, 1, (0, 0), down)
    x4 = tf.constant(np.stack([x, -x], -1)[None], tf.float32)
    found = filters.downsample_by(x4, tf.constant(taps, tf.float32), down)
    golden.close(found[0, :, :, 0], wanted, 1e-5)
    golden.close(found[0, :, :, 1], -wanted, 1e-5)


def along_both(x, taps, factor, pads):
    """`upsampled` with another padding along each axis."""
    taps = tf.constant(taps[::-1] * factor)
    for axis, padding in ((2, pads[:2]), (1, pads[2:])):
        x = filters._upsample_axis(x, taps, factor, padding, axis)
    return x


@pytest.mark.parametrize("name", names("filtered_lrelu"))
def test_filtered_activation_is_the_official_one(name):
    head = f"filtered_lrelu/{name}"
    numbers = OPS[f"in/{head}/args"]
    up, down, *pads = (int(v) for v in numbers[:6])
    gain, slope, limit = (float(v) for v in numbers[6:])
    x = tf.constant(golden.nhwc(OPS[f"in/{head}/x"]))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = x + OPS[f"in/{head}/b"]
        if f"in/{head}/fu" in OPS.flat:
            y = along_both(y, OPS[f"in/{head}/fu"], up, pads)
        y = ops.clamp(tf.nn.leaky_relu(y, slope) * gain, max(limit, 0))
        if f"in/{head}/fd" in OPS.flat:
            y = filters.downsample_by(y, tf.constant(OPS[f"in/{head}/fd"]), down)
        total = tf.reduce_sum(y * golden.nhwc(OPS[f"in/{head}/g"]))
    OPS.check(f"out/{head}/y", golden.nchw(y))
    OPS.check_gradient(f"out/{head}/grad_x", golden.nchw(tape.gradient(total, x)))


@pytest.mark.parametrize("preset", list(PRESETS.meta["presets"]))
def test_layers_are_those_of_the_official_presets(preset):
    about = PRESETS.meta["presets"][preset]
    resolution, r = int(preset.split("-")[-1]), "-r-" in preset
    own = {"kernel_size": 1, "radial": True} if r else {}
    c = GeneratorConfig(architecture="stylegan3", resolution=resolution)
    settings = type(c.stylegan3)(**own)
    base, most = about["kwargs"]["channel_base"], about["kwargs"]["channel_max"]
    plans = layer_plans(settings, resolution, 3, base // 2, most)
    check_layers(plans, about["layers"][1:])
    for plan in plans:
        check_filters(plan, f"filt/{preset}/{plan.name}")


def check_filters(plan, head: str) -> None:
    """The designs of both filters of a layer, where the numbers are here."""
    for name, taps, band, radial in (
        ("up_filter", plan.up_taps, plan.before, False),
        ("down_filter", plan.down_taps, plan.after, plan.radial),
    ):
        if f"{head}/{name}" in PRESETS.flat:
            width = 2 * band.half_width
            found = filters.design_lowpass(taps, band.cutoff, width, plan.rate, radial)
            wanted = PRESETS[f"{head}/{name}"]
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


def check_layers(plans, layers: list[dict]) -> None:
    """The table of layers, number by number."""
    assert len(plans) == len(layers)
    for plan, wanted in zip(plans, layers, strict=True):
        found = {
            "name": plan.name,
            "is_torgb": plan.to_rgb,
            "in_channels": plan.in_channels,
            "out_channels": plan.out_channels,
            "in_size": [plan.before.size] * 2,
            "out_size": [plan.after.size] * 2,
            "in_sampling_rate": plan.before.rate,
            "out_sampling_rate": plan.after.rate,
            "tmp_sampling_rate": plan.rate,
            "conv_kernel": plan.kernel_size,
            "up_factor": plan.up,
            "down_factor": plan.down,
            "up_taps": plan.up_taps,
            "down_taps": plan.down_taps,
            "down_radial": plan.radial,
            "padding": [*plan.padding] * 2,
        }
        assert found == {key: wanted[key] for key in found}
        for key, band in (("in", plan.before), ("out", plan.after)):
            assert band.cutoff == pytest.approx(wanted[f"{key}_cutoff"], rel=1e-9)
            width = wanted[f"{key}_half_width"]
            assert band.half_width == pytest.approx(width, rel=1e-9)


@pytest.mark.parametrize("case", ada_golden.STYLEGAN3)
def test_layers_are_those_of_the_official_files(case):
    if not any((ada_golden.FOLDER / f"{case}{end}").is_file() for end in (".pkl",)):
        pytest.skip("not in this folder; set STYLEGAN_TF_GOLDENS")
    from stylegan_tf.official import networks

    numbers = ada_golden.load(case)
    c = networks.pickled_configs(ada_golden.FOLDER / f"{case}.pkl")[0]
    check_layers(c.filtered_layers, numbers.meta["layers"][1:])


@pytest.mark.parametrize("taps", ["k121", "asym"])
@pytest.mark.parametrize("kind", ["upsample2d", "downsample2d"])
def test_stylegan2_resampling_is_that_of_pytorch(kind, taps):
    x = golden.nhwc(OPS[f"in/{kind}/{taps}/x"])
    call = {
        "upsample2d": convolutions.upsample,
        "downsample2d": convolutions.downsample,
    }[kind]
    found = call(tf.constant(x), tuple(OPS[f"in/filter/{taps}"].tolist()))
    OPS.check(f"out/{kind}/{taps}/y", golden.nchw(found))


@pytest.mark.parametrize("taps", ["k121", "asym"])
@pytest.mark.parametrize("kind", ["k3_up2_down1", "k3_up1_down2"])
def test_stylegan2_convolutions_are_those_of_pytorch(kind, taps):
    """A kernel behind a doubling is turned round there."""
    head = f"conv2d_resample/{taps}_{kind}"
    x = tf.constant(golden.nhwc(OPS[f"in/{head}/x"]))
    kernel = np.transpose(OPS[f"in/{head}/w"], [2, 3, 1, 0])
    values = tuple(OPS[f"in/filter/{taps}"].tolist())
    if "up2" in kind:
        found = convolutions.upsample_conv(
            x, tf.constant(kernel[::-1, ::-1].copy()), values
        )
    else:
        found = convolutions.conv_downsample(x, tf.constant(kernel), values)
    OPS.check(f"out/{head}/y", golden.nchw(found))


def test_one_tap_is_zeros_between_pixels():
    """PyTorch's `resample_filter=None`."""
    x = np.random.default_rng(0).normal(size=(1, 4, 6, 1)).astype("f4")
    one, flat = (1,), x[0, :, :, 0]
    wanted = naive(flat, [1.0], 2, (1, -1), gain=4)
    golden.close(convolutions.upsample(tf.constant(x), one)[0, :, :, 0], wanted)
    wanted = naive(flat, [1.0], 1, (0, -1), 2)
    golden.close(convolutions.downsample(tf.constant(x), one)[0, :, :, 0], wanted)


def test_official_modulation_and_minibatch_statistic():
    """The whole batch as one group of the statistic."""
    x = golden.nhwc(OPS["in/mbstd/gNone_c1"])
    spread = ops.minibatch_stddev(tf.constant(x), 4096, 1)
    found = tf.concat([x, spread], axis=-1)
    OPS.check("out/mbstd/gNone_c1/y", golden.nchw(found))
    x = tf.constant(golden.nhwc(OPS["in/modconv/x"]))
    style = tf.constant(OPS["in/modconv/s"])
    kernel = tf.constant(np.transpose(OPS["in/modconv/w"], [2, 3, 1, 0]))
    for name, demodulate in (("sg2_plain", True), ("sg2_nodemod", False)):
        found = convolutions.modulated_conv(x, kernel, style, demodulate)
        OPS.check(f"out/modconv/{name}", golden.nchw(found))
    turned = tf.reverse(kernel, [0, 1])
    found = convolutions.modulated_conv(x, turned, style, up=True, taps=(1, 3, 3, 1))
    OPS.check("out/modconv/sg2_up", golden.nchw(found))


def test_compiled_windows_have_second_derivatives():
    """Path lengths differentiate a gradient; XLA's own slices allow that once."""
    x = tf.constant(np.random.default_rng(0).normal(size=(2, 6, 5, 3)), tf.float32)

    def second(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = filters.pad_or_crop(convolutions.window(x, 1, 0, 4, 5), -1, 2, 2)
                y = filters.pad_or_crop(y, 1, -2, 1)
                total = tf.reduce_sum(y**3)
            norm = tf.reduce_sum(inner.gradient(total, x) ** 2)
        return y, outer.gradient(norm, x)

    found, expected = compiled_by_xla(second)(x), second(x)
    np.testing.assert_array_equal(expected[0][:, 1:, :4], x[:, 1:3, 1:])
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    assert tf.math.count_nonzero(expected[1]) == 2 * 2 * 4 * 3
