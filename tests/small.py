"""Small networks for the tests, no weight of which is a zero or a one."""

import functools

import numpy as np
import tensorflow as tf

from stylegan_tf.config import DiscriminatorConfig, GeneratorConfig
from stylegan_tf.networks.discriminator import Discriminator
from stylegan_tf.networks.generator import Generator

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
