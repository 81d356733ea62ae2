"""Networks and optimizers of a run, before its first step."""

import tensorflow as tf

from stylegan_tf import devices
from stylegan_tf.config import TrainConfig
from stylegan_tf.networks.discriminator import discriminator_of
from stylegan_tf.networks.generator import generator_of
from stylegan_tf.training.optimizer import Adam
from stylegan_tf.training.passes import Networks


def make_networks(config: TrainConfig) -> Networks:
    """Builds G, D, G's average and both optimizers in the current strategy's scope."""
    policy = devices.dtype_policy(config.precision)
    tf.keras.utils.set_random_seed(config.seed)
    generator = generator_of(config.generator, dtype=policy)
    discriminator = discriminator_of(config.discriminator, dtype=policy)
    average = generator_of(config.generator, dtype=policy, name="average")
    average.set_weights(generator.get_weights())
    g_ratio, d_ratio = config.loss.lazy_rates
    mean = tf.Variable(0.0, trainable=False) if config.loss.pl_weight else None
    return Networks(
        generator,
        discriminator,
        average,
        _adam(config, generator.trainable_variables, g_ratio, "g_adam"),
        _adam(config, discriminator.trainable_variables, d_ratio, "d_adam"),
        mean,
    )


def _adam(config: TrainConfig, variables: list, ratio: float, name: str) -> Adam:
    """Returns Adam with betas^ratio, which corrects for the lazy steps."""
    betas = config.adam_beta1**ratio, config.adam_beta2**ratio
    return Adam(variables, *betas, config.adam_epsilon, name=name)
