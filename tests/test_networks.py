"""The networks against the official numbers, a NumPy twin, and their own contracts."""

import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
from golden import (
    cases,
    close,
    discriminator,
    generator,
    labels,
    load,
    nchw,
    nhwc,
    stage,
)
from small import SMALL, SMALL_G, random, small_discriminator, small_generator

from stylegan_tf.config import DiscriminatorConfig, GeneratorConfig, levels, to_dict
from stylegan_tf.networks import convolutions, ops
from stylegan_tf.networks.discriminator import Discriminator
from stylegan_tf.networks.generator import Generator
from stylegan_tf.networks.layers import EqualizedConv2D, FromRGB

GENERATORS = cases("v1_G")
DISCRIMINATORS = cases("v1_D")


def test_reference_cases_are_there():
    """What a clone must contain for the tests below to mean anything."""
    g = {"r128_fusedauto", "r16_cond4", "r16_fusedTrue_noblur", "r16_pixelnorm"}
    g |= {"r32_traditional8"}
    assert {f"v1_G_{name}" for name in g} <= set(GENERATORS)
    d = {"r128_fusedauto", "r16_nombstd_fusedTrue", "r32_cond4"}
    assert {f"v1_D_{name}" for name in d} <= set(DISCRIMINATORS)


# ---------------------------------------------------------------------------
# Generator, official numbers

# Official image -> our arguments. `cutnone`: there, a cutoff of None switches
# truncation off; here, it means all layers. Validation mode does not truncate.
VARIANTS = {
    "psi_none": {},
    "psi0.7_cut8": {"psi": 0.7, "cutoff": 8},
    "psi0.5_cutall": {"psi": 0.5},
    "psi-1_cut3": {"psi": -1.0, "cutoff": 3},
    "psi0.5_cutnone": {},
    "is_validation": {},
    "fixed": {},
}


def pairs(names, prefix):
    """(file, name under prefix) for every value there is."""
    return [(case, name) for case in names for name in load(case).names(prefix)]


@pytest.mark.parametrize("case", GENERATORS)
def test_official_dlatents(case):
    golden, g = load(case), generator(case)
    w = g.mapping(golden["in/z"], labels(golden))
    golden.check("out/dlatents", g.broadcast(w))


@pytest.mark.parametrize("case, name", pairs(GENERATORS, "out/images/"))
def test_official_images(case, name):
    golden, g = load(case), generator(case)
    arguments = VARIANTS.get(name, {})
    noise = "const"
    if name == "explicit_noise":
        layers = range(g.config.num_layers)
        noise = [nhwc(golden[f"in/noise{i}"]) for i in layers]
    else:
        assert name in VARIANTS
    images = g(golden["in/z"], labels(golden), noise=noise, **arguments)
    golden.check(f"out/images/{name}", nchw(images))


@pytest.mark.parametrize("case, lod", pairs(GENERATORS, "out/lod/recursive/"))
def test_official_images_while_growing(case, lod):
    golden, g = load(case), generator(case)
    resolution, alpha = stage(g.config.resolution, float(lod))
    arguments = {"noise": "const", "resolution": resolution, "alpha": alpha}
    images = g(golden["in/z"], labels(golden), **arguments).numpy()
    factor = g.config.resolution // resolution  # official pictures are always full size
    images = images.repeat(factor, axis=1).repeat(factor, axis=2)
    golden.check(f"out/lod/recursive/{lod}", nchw(images))


@pytest.mark.parametrize("case, name", pairs(GENERATORS, "out/synthesis/"))
def test_official_images_of_a_style_a_layer(case, name):
    golden, g = load(case), generator(case)
    images = g.synthesis(golden["in/dlatents_free"], noise="const")
    golden.check(f"out/synthesis/{name}", nchw(images))


def test_cutoff_none_means_all_layers_here_and_none_there():
    golden, g = load("v1_G_r16_cond4"), generator("v1_G_r16_cond4")
    z, one_hot = golden["in/z"], labels(golden)
    images = nchw(g(z, one_hot, psi=0.5, cutoff=None, noise="const"))
    golden.check("out/images/psi0.5_cutall", images)
    _, untruncated = golden.pair("out/images/psi_none", images)
    actual, cutnone = golden.pair("out/images/psi0.5_cutnone", images)
    np.testing.assert_array_equal(cutnone, untruncated)
    assert np.abs(actual - cutnone).max() > 0.1


@pytest.mark.parametrize("case", cases("v1_trainfwd"))
def test_official_mixing(case):
    golden, g = load(case), generator(case)
    mixes = golden["in/mix_uniform"] < g.config.style_mixing_prob
    cutoff = int(golden["in/mixing_cutoff"]) if mixes else g.config.num_layers
    ws, other = (
        g.broadcast(g.mapping(golden[name], labels(golden)))
        for name in ("in/z", "in/z2")
    )
    noise = [nhwc(golden[f"in/noise{i}"]) for i in range(g.config.num_layers)]
    images = g.synthesis(g.mix(ws, other, cutoff), noise=noise)
    golden.check("out/images", nchw(images))


@pytest.mark.parametrize("case", cases("v1_trainfwd") + cases("v1_loss"))
def test_official_running_mean_of_w(case):
    """One training-mode forward moves w_avg towards the mean of w, before mixing."""
    golden, g = load(case), generator(case)
    name = "in/labels" if "trainfwd" in case else "in/labels_G"
    mean = tf.reduce_mean(g.mapping(golden["in/z"], labels(golden, name)), axis=0)
    updated = mean + (g.w_avg - mean) * g.config.w_avg_beta
    golden.check("out/dlatent_avg_after", updated)


# ---------------------------------------------------------------------------
# Generator, official activations: every step inside every layer


def check_stages(golden, scope, stages):
    """The steps that the file kept; returns how many."""
    kept = golden.names(f"act/{scope}/")
    for name, x in stages.items():
        x = nchw(x) if len(x.shape) == 4 else x
        if name in kept:
            golden.check(f"act/{scope}/{name}", x)
    return len([name for name in stages if name in kept])


def epilogue_stages(tail, x, w, noise):
    """After a convolution, under the official names."""
    stages = {"1_linear": x}
    if tail.use_noise:
        stages["2_noise"] = x = tail.noise(x, noise)
    stages["3_bias"] = x = tail.bias(x)
    stages["4_act"] = x = ops.lrelu(x)
    if tail.use_pixel_norm:
        stages["5_PixelNorm"] = x = ops.pixel_norm(x)
    if tail.use_instance_norm:
        stages["6_InstanceNorm"] = ops.instance_norm(x)
    if tail.use_styles:
        stages["7_StyleMod"] = tail.style(x, w)
    return stages


def first_linear(block, x, w):
    """What the first layer of a block does before its epilogue."""
    c = block.config
    if block.resolution > 4:
        return "Conv0_up", "Conv1", convolutions.blur(block.conv0(x), c.blur_filter)
    if c.const_input:
        return "Const", "Conv", block.const(w)
    dense = tf.reshape(block.dense(w), [-1, 4, 4, c.fmaps(4)])
    return "Dense", "Conv", dense


@pytest.mark.parametrize("case", GENERATORS)
def test_official_activations_of_synthesis(case):
    golden, g = load(case), generator(case)
    c, x, seen = g.config, None, 0
    ws = golden["in/dlatents_free"][:1]
    styles = [ws[:, i if c.use_styles else 0] for i in range(c.num_layers)]
    maps = g.synthesis.noise_maps("const", c.resolution, 1)
    maps = maps or [None] * c.num_layers
    for i, r in enumerate(levels(c.resolution)):
        scope, block = f"G_synthesis/{r}x{r}", getattr(g.synthesis, f"block{r}")
        w, noise = styles[2 * i : 2 * i + 2], maps[2 * i : 2 * i + 2]
        name0, name1, linear = first_linear(block, x, w[0])
        stages0 = epilogue_stages(block.epilogue0, linear, w[0], noise[0])
        seen += check_stages(golden, f"{scope}/{name0}", stages0)
        stages0 = {list(stages0)[-1]: block.epilogue0(linear, w[0], noise[0])}
        seen += check_stages(golden, f"{scope}/{name0}", stages0)
        linear = block.conv1(*stages0.values())
        stages1 = epilogue_stages(block.epilogue1, linear, w[1], noise[1])
        seen += check_stages(golden, f"{scope}/{name1}", stages1)
        x = block(ws if x is None else x, w, noise)
        stages1 = {list(stages1)[-1]: x}
        seen += check_stages(golden, f"{scope}/{name1}", stages1)
        lod = (c.resolution // r).bit_length() - 1
        rgb = getattr(g.synthesis, f"to_rgb{r}")(x)
        seen += check_stages(golden, f"G_synthesis/ToRGB_lod{lod}", {"3_bias": rgb})
    assert seen > 15


@pytest.mark.parametrize("case", GENERATORS)
def test_official_activations_of_mapping(case):
    golden, mapping = load(case), generator(case).mapping
    x, one_hot = golden["in/z"], labels(golden)
    if one_hot is not None:
        x = tf.concat([x, one_hot @ np.asarray(mapping.label_embedding)], axis=-1)
    x = ops.pixel_norm(tf.convert_to_tensor(x))
    golden.check("act/G_mapping/PixelNorm", x)
    for i in range(8):
        biased = getattr(mapping, f"dense{i}")(x)
        x = ops.lrelu(biased)
        stages = {"3_bias": biased, "4_act": x}
        assert check_stages(golden, f"G_mapping/Dense{i}", stages) == 2


# ---------------------------------------------------------------------------
# Discriminator, official numbers


def pooled(images, resolution):
    """Means of cells, NHWC."""
    n, full, _, c = images.shape
    s = full // resolution
    return images.reshape(n, resolution, s, resolution, s, c).mean((2, 4))


@pytest.mark.parametrize("case, name", pairs(DISCRIMINATORS, "out/scores/"))
def test_official_scores(case, name):
    golden, d = load(case), discriminator(case)
    images, one_hot = nhwc(golden["in/images"]), labels(golden)
    if name == "first_3":
        images, one_hot = images[:3], None if one_hot is None else one_hot[:3]
    structure, _, lod = name.partition("/")
    assert structure in ("recursive", "linear", "fixed", "first_3")
    resolution, alpha = stage(d.config.resolution, float(lod or 0))
    scores = d(pooled(images, resolution), one_hot, alpha=alpha)
    golden.check(f"out/scores/{name}", scores)


@pytest.mark.parametrize("case, lod", pairs(DISCRIMINATORS, "out/grad_images/"))
def test_official_gradients_of_images(case, lod):
    golden, d = load(case), discriminator(case)
    images = tf.constant(nhwc(golden["in/images"]))
    _, alpha = stage(d.config.resolution, float(lod))
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(d(images, labels(golden), alpha=alpha))
    gradient = nchw(tape.gradient(total, images))
    golden.check_gradient(f"out/grad_images/{lod}", gradient)
    golden.check(f"out/grad_images/{lod}", gradient, 1e-3)


def conv_stages(layer, x):
    whole = isinstance(layer, FromRGB)  # has its activation inside
    biased = EqualizedConv2D.call(layer, x) if whole else layer(x)
    linear = biased - tf.convert_to_tensor(layer.bias)
    return {"1_linear": linear, "3_bias": biased, "4_act": ops.lrelu(biased)}


@pytest.mark.parametrize(
    "case", [c for c in DISCRIMINATORS if load(c).names("act/D/FromRGB_lod0/")]
)
def test_official_activations_of_the_discriminator(case):
    golden, d = load(case), discriminator(case)
    images, c, seen = nhwc(golden["in/images"]), d.config, 0

    def check(scope, stages):
        first = {k: v[:1] if len(v.shape) == 4 else v for k, v in stages.items()}
        return check_stages(golden, f"D/{scope}", first)

    x = None
    for r in reversed(levels(c.resolution)):
        lod = (c.resolution // r).bit_length() - 1
        from_rgb, block = getattr(d, f"from_rgb{r}"), getattr(d, f"block{r}", None)
        picture = pooled(images, r)
        stages = conv_stages(from_rgb, picture) | {"4_act": from_rgb(picture)}
        seen += check(f"FromRGB_lod{lod}", stages)
        x = stages["4_act"] if x is None else x
        if block:
            stages = conv_stages(block.conv0, x)
            seen += check(f"{r}x{r}/Conv0", stages)
            blurred = convolutions.blur(stages["4_act"], c.blur_filter)
            seen += check(f"{r}x{r}/Conv1_down", conv_stages(block.conv1, blurred))
            x = block(x)
            seen += check(f"{r}x{r}/Conv1_down", {"4_act": x})
    assert seen + check_head(check, d.head, x) > 20


def check_head(check, head, x):
    seen = 0
    if head.config.mbstd_group > 1:
        x = head.stddev(x)
        seen += check("4x4", {"MinibatchStddev": x})
    stages = conv_stages(head.conv, x)
    seen += check("4x4/Conv", stages)
    x = tf.reshape(stages["4_act"], [x.shape[0], -1])
    stages = conv_stages(head.dense0, x)
    seen += check("4x4/Dense0", stages)
    return seen + check("4x4/Dense1", conv_stages(head.dense1, stages["4_act"]))


# ---------------------------------------------------------------------------
# The NumPy twin: the whole network a second time, in float64


@pytest.mark.parametrize("position", ["before_bias", "after_adain"])
def test_synthesis_against_numpy(position):
    g = small_generator(noise_position=position).synthesis
    ws = random(3, g.config.num_layers, 6).numpy()
    noise = [random(3, 4 << i // 2, 4 << i // 2, 1).numpy() for i in range(6)]
    last = position == "after_adain"
    close(g(ws, noise=noise), reference.synthesis(g, ws, noise, noise_last=last))


def test_noise_positions_differ():
    """Else the test above would pass with one implementation for both."""
    g = small_generator().synthesis
    ws = random(1, g.config.num_layers, 6).numpy()
    noise = [random(1, 4 << i // 2, 4 << i // 2, 1).numpy() for i in range(6)]
    a, b = (reference.synthesis(g, ws, noise, last) for last in (False, True))
    assert np.abs(a - b).max() > 0.1


@pytest.mark.parametrize("batch", [2, 5, 8])
def test_discriminator_against_numpy(batch):
    d = small_discriminator()
    images = random(batch, 16, 16, 3).numpy()
    close(d(images), reference.discriminator(d, images))


# ---------------------------------------------------------------------------
# Sizes


@pytest.mark.parametrize(
    "network, config, parameters",
    [
        (Generator, GeneratorConfig(), 26_219_627),
        (Discriminator, DiscriminatorConfig(), 23_087_249),
        (Generator, GeneratorConfig(resolution=32, classes=10), 23_108_620),
        (Discriminator, DiscriminatorConfig(resolution=32, classes=10), 20_731_402),
    ],
)
def test_parameter_totals(network, config, parameters, monkeypatch):
    def zeros(self, shape, dtype=None):  # the values do not matter, and take seconds
        return tf.zeros(shape, dtype)

    monkeypatch.setattr(keras.initializers.RandomNormal, "__call__", zeros)
    weights = network(config).trainable_weights
    assert sum(int(np.prod(w.shape)) for w in weights) == parameters


@pytest.mark.parametrize("resolution", [8, 64, 256, 512, 1024])
def test_every_resolution(resolution):
    """16, 32 and 128 have reference numbers above."""
    changes = {"resolution": resolution, "fmap_base": 4096, "fmap_max": 2}
    g = Generator(GeneratorConfig(**SMALL_G | changes))
    d = Discriminator(DiscriminatorConfig(**SMALL | changes))
    assert g.config.num_layers == 2 * np.log2(resolution) - 2
    images = g(random(1, 6))
    assert images.shape == (1, resolution, resolution, 3)
    assert np.isfinite(images).all()
    assert d(images).shape == (1, 1)


@pytest.mark.parametrize(
    "start, channels", [((4, 4), 1), ((4, 6), 3), ((4, 6), 4), ((7, 5), 3)]
)
def test_any_start_block_and_channels(start, channels):
    changes = {"start_shape": start, "channels": channels}
    g, d = small_generator(**changes), small_discriminator(**changes)
    for r in (4, 16):
        images = g(random(2, 6), resolution=r)
        height, width = start[0] * r // 4, start[1] * r // 4
        assert images.shape == (2, height, width, channels)
        assert d.resolution_of(images) == r
        assert d(images).shape == (2, 1)


def test_start_block_of_a_dense_layer():
    g = small_generator(start_shape=(4, 6), const_input=False)
    assert g(random(2, 6)).shape == (2, 16, 24, 3)


def test_pictures_of_another_size_are_refused():
    with pytest.raises(ValueError, match="12, 16.*4x4, 8x8, 16x16"):
        small_discriminator()(random(2, 12, 16, 3))


def test_configs_may_be_dicts():
    g = Generator(to_dict(GeneratorConfig(**SMALL_G)))
    d = Discriminator(to_dict(DiscriminatorConfig(**SMALL)))
    assert g.config == GeneratorConfig(**SMALL_G)
    assert d.config == DiscriminatorConfig(**SMALL)
