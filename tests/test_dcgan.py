"""networks/dcgan.py, and the settings that other architectures ignore."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from stylegan_tf.config import DiscriminatorConfig, GeneratorConfig
from stylegan_tf.networks.discriminator import discriminator_of
from stylegan_tf.networks.generator import Generator


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
