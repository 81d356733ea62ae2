"""networks/generator.py: truncation, mixing, styles and labels."""

import numpy as np
import pytest
import reference
import tensorflow as tf
from golden import close
from small import SMALL_G, random, small_discriminator, small_generator

from stylegan_tf.config import GeneratorConfig
from stylegan_tf.networks.generator import Generator


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


def test_examples_of_the_generator_are_independent():
    g, z = small_generator(), random(5, 6)
    close(g(z[1:3], noise="const"), g(z, noise="const")[1:3], 1e-5)
