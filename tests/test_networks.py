"""The networks against the official numbers, a NumPy twin, and their own contracts."""

import dataclasses
import functools

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

from stylegan_tf.config import (
    DiscriminatorConfig,
    GeneratorConfig,
    Growth,
    levels,
    to_dict,
)
from stylegan_tf.networks import ops
from stylegan_tf.networks.discriminator import Discriminator, discriminator_of
from stylegan_tf.networks.generator import Generator
from stylegan_tf.networks.layers import EqualizedConv2D, FromRGB

GENERATORS = cases("v1_G")
DISCRIMINATORS = cases("v1_D")
SMALL = {"resolution": 16, "fmap_base": 64, "fmap_max": 8}
SMALL_G = SMALL | {"z_dim": 6, "w_dim": 6, "mapping_width": 6, "mapping_layers": 2}


def random(*shape):
    return tf.random.stateless_normal(shape, [3, sum(shape)])


def shaken(network):
    """No weight left at the zeros and ones where it starts."""
    rng = np.random.default_rng(0)
    for weight in network.trainable_weights:
        moved = np.asarray(weight) + 0.3 * rng.normal(size=weight.shape)
        weight.assign(moved)
    return network


@functools.cache
def small_generator(**changes):
    """Shared by the tests, which leave it as it is."""
    g = shaken(Generator(GeneratorConfig(**(SMALL_G | changes))))
    g.w_avg.assign(random(*g.w_avg.shape))
    return g


@functools.cache
def small_discriminator(**changes):
    return shaken(Discriminator(DiscriminatorConfig(**(SMALL | changes))))


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
        return "Conv0_up", "Conv1", ops.blur(block.conv0(x), c.blur_filter)
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
            blurred = ops.blur(stages["4_act"], c.blur_filter)
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


# ---------------------------------------------------------------------------
# Noise


def test_random_noise_is_fresh_and_const_noise_is_not():
    g, z = small_generator(), random(2, 6)
    assert np.abs(g(z) - g(z)).max() > 0.1
    np.testing.assert_array_equal(g(z, noise="const"), g(z, noise="const"))
    assert np.abs(g(z, noise="const") - g(z, noise="none")).max() > 0.1


def test_random_noise_differs_between_examples_const_noise_does_not():
    g = small_generator()
    z = tf.repeat(random(1, 6), 2, axis=0)
    a, b = g(z)
    assert np.abs(a - b).max() > 0.1
    a, b = g(z, noise="const")
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_random_noise_of_a_seed():
    g, z = small_generator(), random(2, 6)
    np.testing.assert_array_equal(g(z, seed=[1, 2]), g(z, seed=[1, 2]))
    assert np.abs(g(z, seed=[1, 2]) - g(z, seed=[1, 3])).max() > 0.1
    maps = g.synthesis.noise_maps("random", 16, 2, [1, 2])
    flat = [tf.reshape(m, [-1])[:32].numpy() for m in maps]
    different = np.corrcoef(flat) - np.eye(6)  # no layer repeats another's
    assert np.abs(different).max() < 0.9


@pytest.mark.parametrize("seed", [None, (1, 2)])
def test_random_noise_is_standard_normal(seed):
    maps = small_generator().synthesis.noise_maps("random", 16, 400, seed)
    assert [m.shape[1] for m in maps] == [4, 4, 8, 8, 16, 16]
    for m in maps:
        assert m.shape[0] == 400 and m.shape[3] == 1
        assert abs(np.mean(m)) < 0.05 and abs(np.std(m) - 1) < 0.05


def test_no_noise_equals_maps_of_zeros():
    g, ws = small_generator().synthesis, random(2, 6, 6)
    zeros = [tf.zeros([1, 4 << i // 2, 4 << i // 2, 1]) for i in range(6)]
    np.testing.assert_allclose(g(ws, noise="none"), g(ws, noise=zeros), atol=1e-6)


def test_a_list_of_maps_is_used_in_order():
    g, ws = small_generator().synthesis, random(2, 6, 6)
    stored = [getattr(g, f"noise{i}") for i in range(6)]
    np.testing.assert_array_equal(g(ws, noise=stored), g(ws, noise="const"))
    short = g(ws, noise=stored[:4], resolution=8)
    np.testing.assert_array_equal(short, g(ws, noise="const", resolution=8))


@pytest.mark.parametrize(
    "noise, message",
    [("loud", "noise is 'loud'; use random, const, none"), ([0, 0], "2 maps.*uses 6")],
)
def test_impossible_noise_is_refused(noise, message):
    with pytest.raises(ValueError, match=message):
        small_generator()(random(1, 6), noise=noise)


def test_without_noise_there_are_no_noise_weights():
    g = small_generator(use_noise=False)
    assert not [w.path for w in g.weights if "noise" in w.path]
    np.testing.assert_array_equal(g(random(2, 6)), g(random(2, 6)))


def test_stored_noise_and_w_avg_are_not_trained_but_saved():
    g = small_generator()
    frozen = {w.path for w in g.non_trainable_weights}
    names = {f"generator/synthesis/noise{i}" for i in range(6)}
    assert frozen == names | {"generator/w_avg"}


# ---------------------------------------------------------------------------
# Growing


@pytest.mark.parametrize("r", [8, 16])
def test_alpha_blends_the_generator_with_the_resolution_below(r):
    g, z = small_generator(), random(2, 6)

    def images(resolution, alpha):
        return g(z, noise="const", resolution=resolution, alpha=alpha).numpy()

    low, high = ops.upsample(images(r // 2, 1.0)).numpy(), images(r, 1.0)
    close(images(r, 0.0), low, 1e-5)
    close(images(r, tf.constant(0.0)), low, 1e-5)
    close(images(r, tf.constant(1.0)), high, 1e-5)
    close(images(r, tf.constant(0.3)), low + 0.3 * (high - low), 1e-5)


@pytest.mark.parametrize("architecture", ["stylegan", "revised"])
@pytest.mark.parametrize("r", [8, 16])
def test_a_resolution_is_drawn_as_far_as_it_has_faded_in(architecture, r):
    c = GeneratorConfig(**SMALL_G, architecture=architecture)
    g = shaken(Generator(c, Growth(r, 0.3)))
    ws = g.broadcast(g.mapping(random(2, 6)))

    def images(resolution, **alpha):
        return g.synthesis(ws, noise="const", resolution=resolution, **alpha).numpy()

    blended = reference.faded(images(r // 2), images(r, alpha=1.0), 0.3)
    close(images(r), blended, 1e-5)
    assert np.abs(images(r) - images(r, alpha=1.0)).max() > 1e-3
    for other in {4, 8, 16} - {r}:
        assert g.growth.alpha_at(other) == 1
        np.testing.assert_array_equal(images(other), images(other, alpha=1.0))
    g.growth = Growth(r)
    np.testing.assert_array_equal(images(r), images(r, alpha=1.0))


def test_how_far_it_has_grown_is_a_setting_of_the_generator():
    g = Generator(GeneratorConfig(**SMALL_G), Growth(8, 0.3))
    again = Generator.from_config(g.get_config())
    assert again.growth == g.growth == (8, 0.3)
    again.growth = Growth(16, 0.5)
    assert again.growth == (16, 0.5) and again.growth.alpha_at(16) == 0.5
    assert Generator.from_config(again.get_config()).growth == (16, 0.5)
    assert Generator(g.config).growth == (16, 1.0)
    before = {k: v for k, v in g.get_config().items() if k != "alpha"}
    old = Generator.from_config(before)  # of a file that does not know of alpha
    assert old.growth == (8, 1.0)


@pytest.mark.parametrize("r", [8, 16])
def test_alpha_blends_the_discriminator_with_the_resolution_below(r):
    d, images = small_discriminator(), random(4, r, r, 3)
    low = d(ops.downsample(images))
    close(d(images, alpha=0.0), low, 1e-5)
    close(d(images, alpha=tf.constant(0.0)), low, 1e-5)
    close(d(images, alpha=tf.constant(1.0)), d(images), 1e-5)
    assert np.abs(d(images, alpha=0.5) - d(images)).max() > 1e-3


def test_alpha_blends_features_not_scores():
    """At alpha 1/2 the score is that of half of either path's features."""
    d, images = small_discriminator(), random(4, 16, 16, 3)
    new = d.block16(d.from_rgb16(images))
    old = d.from_rgb8(ops.downsample(images))
    close(d(images, alpha=0.5), d.head(d.block8((new + old) / 2)), 1e-5)


def test_default_resolution_is_the_final_one():
    g, z = small_generator(), random(2, 6)
    a, b = g(z, noise="const"), g(z, noise="const", resolution=16)
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("r, fading", [(4, False), (8, True), (8, False), (16, True)])
def test_stage_variables_are_those_with_a_gradient(r, fading):
    alpha = tf.constant(0.5) if fading else 1.0
    g, d = small_generator(), small_discriminator()
    with tf.GradientTape() as tape:
        images = g(random(4, 6), resolution=r, alpha=alpha)
    check_stage(tape, images, g, r, fading)
    with tf.GradientTape() as tape:
        scores = d(random(4, r, r, 3), alpha=alpha)
    check_stage(tape, scores, d, r, fading)


def check_stage(tape, y, network, r, fading):
    weights = network.trainable_variables
    gradients = tape.gradient(y, [w.value for w in weights])
    pairs = zip(weights, gradients, strict=True)
    used = {w.path for w, gradient in pairs if gradient is not None}
    assert {w.path for w in network.stage_variables(r, fading)} == used


# ---------------------------------------------------------------------------
# Latents, styles, labels, batches


def test_truncation():
    g, ws = small_generator(), random(2, 6, 6)
    w_avg = np.asarray(g.w_avg)
    assert g.truncate(ws, 1.0) is ws
    half = w_avg + (ws.numpy() - w_avg) / 2
    close(g.truncate(ws, 0.5), half, 1e-6)
    close(g.truncate(ws, tf.constant(0.5)), half, 1e-6)
    cut = g.truncate(ws, 0.5, cutoff=2).numpy()
    close(cut[:, :2], half[:, :2], 1e-6)
    np.testing.assert_array_equal(cut[:, 2:], ws[:, 2:])


def test_truncation_towards_a_center_of_each_example():
    g, ws, center = small_generator(), random(2, 6, 6), random(2, 1, 6)
    found = g.truncate(ws, 0.3, cutoff=4, center=center).numpy()
    near = center.numpy() + 0.3 * (ws.numpy() - center.numpy())
    close(found[:, :4], near[:, :4], 1e-6)
    np.testing.assert_array_equal(found[:, 4:], ws[:, 4:])
    assert g.truncate(ws, 1.0, center=center) is ws
    stored = g.truncate(ws, 0.3, center=g.w_avg[None, None])
    np.testing.assert_array_equal(stored, g.truncate(ws, 0.3))


def test_psi_zero_is_the_average_picture():
    g = small_generator()
    average = g.synthesis(g.broadcast(g.w_avg[None]), noise="const")
    images = g(random(3, 6), psi=0, noise="const")
    close(images, np.repeat(average, 3, axis=0), 1e-5)


@pytest.mark.parametrize("cutoff", [0, 2, 6])
def test_mixing(cutoff):
    g, a, b = small_generator(), random(2, 6, 6), -random(2, 6, 6)
    mixed = g.mix(a, b, cutoff)
    np.testing.assert_array_equal(mixed[:, :cutoff], a[:, :cutoff])
    np.testing.assert_array_equal(mixed[:, cutoff:], b[:, cutoff:])
    np.testing.assert_array_equal(mixed, g.mix(a, b, tf.constant(cutoff)))


def test_a_style_rules_its_own_layer_and_those_above():
    """Replacing the last two styles changes nothing at the resolutions below."""
    g, ws = small_generator(), random(1, 6, 6)
    other = g.mix(ws, -ws, 4)
    low, high = (
        [g.synthesis(w, noise="const", resolution=r) for w in (ws, other)]
        for r in (8, 16)
    )
    np.testing.assert_array_equal(*low)
    assert np.abs(high[0] - high[1]).max() > 0.1


def test_one_style_when_styles_are_off():
    g = small_generator(use_styles=False, const_input=False)
    assert g.broadcast(random(2, 6)).shape == (2, 1, 6)
    assert g(random(2, 6)).shape == (2, 16, 16, 3)


def test_no_mapping_layers_give_the_normalized_latent():
    z = random(3, 6)
    w = Generator(GeneratorConfig(**SMALL_G | {"mapping_layers": 0})).mapping(z)
    np.testing.assert_allclose(np.mean(w.numpy() ** 2, axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(w, reference.pixel_norm(z.numpy()), rtol=1e-5)
    raw = GeneratorConfig(**SMALL_G | {"mapping_layers": 0, "normalize_z": False})
    np.testing.assert_array_equal(Generator(raw).mapping(z), z)


def test_labels_share_the_norm_with_z():
    changes = {"classes": 3, "mapping_layers": 0, "w_dim": 12}
    mapping = small_generator(**changes).mapping
    z, one_hot = random(2, 6), tf.one_hot([0, 2], 3)
    joined = np.concatenate([z, one_hot @ mapping.label_embedding], axis=-1)
    close(mapping(z, one_hot), reference.pixel_norm(joined), 1e-5)


def test_no_labels_are_labels_of_zero():
    g, z = small_generator(classes=3), random(2, 6)
    np.testing.assert_array_equal(g.mapping(z), g.mapping(z, tf.zeros([2, 3])))
    d, images = small_discriminator(classes=3), random(2, 16, 16, 3)
    np.testing.assert_array_equal(d(images), np.zeros([2, 1]))


def test_a_label_picks_its_score():
    d, images = small_discriminator(classes=3), random(4, 16, 16, 3)
    each = [d(images, tf.one_hot([k] * 4, 3)).numpy() for k in range(3)]
    mixed = d(images, tf.one_hot([2, 0, 1, 1], 3)).numpy()
    want = [each[k][n] for n, k in enumerate([2, 0, 1, 1])]
    np.testing.assert_allclose(mixed, want, rtol=1e-5)
    assert np.ptp(each, axis=0).min() > 1e-3


PROJECTION = {"classes": 3, "conditioning": "projection"}


def test_projection_against_numpy():
    """score = sum(x * normalized embedding of the label) / sqrt(width)"""
    d, images = small_discriminator(**PROJECTION), random(4, 16, 16, 3)
    one_hot = np.eye(3)[[2, 0, 1, 1]]
    x = reference.discriminator(d, images.numpy())  # [4, width]
    embedding = d.head.embedding
    label = one_hot @ reference.equalized(embedding, 1) + reference.array(
        embedding.bias
    )
    label /= np.sqrt(np.mean(label**2, axis=1, keepdims=True) + 1e-8)
    want = np.sum(x * label, axis=1, keepdims=True) / np.sqrt(x.shape[1])
    assert x.shape == label.shape == (4, 8)
    close(d(images, one_hot.astype(np.float32)), want)


def test_projection_trains_every_weight():
    d, images = small_discriminator(**PROJECTION), random(4, 16, 16, 3)
    weights = d.stage_variables(16, fading=False)
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(d(images, tf.one_hot([0, 1, 2, 0], 3)) ** 2)
    names = {w.path for w in weights}
    assert {f"discriminator/head/embedding/{n}" for n in ("kernel", "bias")} <= names
    for w, gradient in zip(
        weights, tape.gradient(y, [w.value for w in weights]), strict=True
    ):
        assert np.isfinite(gradient).all() and np.any(gradient != 0), w.path


def test_projection_scores_follow_the_labels():
    d, images = small_discriminator(**PROJECTION), random(2, 16, 16, 3)
    twice = tf.concat([images[:1], images[:1]], axis=0)
    a, b = tf.one_hot([0, 2], 3), tf.one_hot([2, 0], 3)
    assert np.abs(d(images, a) - d(images, b)).min() > 1e-3
    close(d(twice, a), d(twice, b).numpy()[::-1], 1e-5)


def test_projection_comes_back_from_a_file(tmp_path):
    d, images = small_discriminator(**PROJECTION), random(2, 16, 16, 3)
    d.save(tmp_path / "d.keras")
    again = keras.models.load_model(tmp_path / "d.keras")
    labels = tf.one_hot([1, 2], 3)
    np.testing.assert_array_equal(again(images, labels), d(images, labels))


def test_examples_of_the_generator_are_independent():
    g, z = small_generator(), random(5, 6)
    close(g(z[1:3], noise="const"), g(z, noise="const")[1:3], 1e-5)


def test_examples_of_the_discriminator_meet_only_in_their_group():
    images = random(8, 16, 16, 3)
    alone = small_discriminator(mbstd_group=1)
    close(alone(images[:3]), alone(images)[:3], 1e-5)
    d = small_discriminator()
    changed = tf.concat([images[:7], -images[7:]], axis=0)  # group 1, 3, 5, 7
    moved = np.abs(d(images) - d(changed))[:, 0] > 1e-6
    np.testing.assert_array_equal(moved, [False, True] * 4)


def test_no_two_layers_of_dcgan_start_alike():
    """An initializer of Keras draws the same numbers each time that it is used."""
    c = {"architecture": "dcgan", "resolution": 16, "fmap_base": 64, "fmap_max": 8}
    own = {"z_dim": 8, "w_dim": 8, "mapping_layers": 0}

    def kernels(seed):
        keras.utils.set_random_seed(seed)
        nets = (
            Generator(GeneratorConfig(**c, **own)),
            discriminator_of(DiscriminatorConfig(**c)),
        )
        weights = [v for net in nets for v in net.trainable_weights]
        return [v.numpy().ravel()[:4] for v in weights if v.path.endswith("kernel")]

    first, again, other = kernels(1), kernels(1), kernels(2)
    np.testing.assert_array_equal(first, again)
    starts = [tuple(k) for k in first + other]
    assert len(set(starts)) == len(starts)


@pytest.mark.parametrize("kind", ["skip", "dcgan"])
def test_ladder_switches_are_nothing_to_other_architectures(kind):
    own = {"z_dim": 8, "w_dim": 8, "mapping_layers": 0}
    sizes = {"resolution": 8, "fmap_max": 8}
    for styles in (True, False):
        c = GeneratorConfig(architecture=kind, use_styles=styles, **own, **sizes)
        assert Generator(c)(tf.zeros([1, 8])).shape == (1, 8, 8, 3)


def test_the_label_of_a_conditional_dcgan_does_not_drown_z():
    """An embedding as long as z made it draw one picture a class."""
    c = GeneratorConfig(
        architecture="dcgan", resolution=8, classes=5, w_dim=200, z_dim=100,
        mapping_layers=0, normalize_z=False, fmap_max=8,
    )  # fmt: skip
    lengths = np.linalg.norm(Generator(c).mapping.label_embedding.numpy(), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=0.35)
    longer = Generator(dataclasses.replace(c, architecture="stylegan"))
    lengths = np.linalg.norm(longer.mapping.label_embedding.numpy(), axis=1)
    np.testing.assert_allclose(lengths, 10, atol=3.5)
