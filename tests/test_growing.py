"""networks/growing.py: noise inputs and progressive growing."""

import numpy as np
import pytest
import reference
import tensorflow as tf
from golden import close
from small import SMALL_G, random, shaken, small_discriminator, small_generator

from stylegan_tf.config import GeneratorConfig, Growth
from stylegan_tf.networks import convolutions
from stylegan_tf.networks.generator import Generator

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

    low, high = convolutions.upsample(images(r // 2, 1.0)).numpy(), images(r, 1.0)
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
    low = d(convolutions.downsample(images))
    close(d(images, alpha=0.0), low, 1e-5)
    close(d(images, alpha=tf.constant(0.0)), low, 1e-5)
    close(d(images, alpha=tf.constant(1.0)), d(images), 1e-5)
    assert np.abs(d(images, alpha=0.5) - d(images)).max() > 1e-3


def test_alpha_blends_features_not_scores():
    """At alpha 1/2 the score is that of half of either path's features."""
    d, images = small_discriminator(), random(4, 16, 16, 3)
    new = d.block16(d.from_rgb16(images))
    old = d.from_rgb8(convolutions.downsample(images))
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
