"""What TensorFlow and Keras do wrong in silence, and that it does not happen here.

a layer kept in a list is not in the checkpoint     here; test_state.py
a layer put into a list's slot is not trained       here
what is built after a restore is not restored       here
replicas draw the same random numbers               test_distribution.py
an assigned weight differs between replicas         test_distribution.py
the gradient of a slice is slow                     test_trainer.py
a mirrored counter cannot become a number           test_distribution.py (it saves)
slots made in a replica, or outside the scope       test_distribution.py
a collective inside a branch                        test_optimizer.py, test_trainer.py
tf.summary and TFDS need packages they do not list  test_house.py
a weight that joins a running Adam leaps            test_optimizer.py
a fused kernel has to be turned round               test_ops.py, test_official.py
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from stylegan_tf.networks.discriminator import Discriminator
from stylegan_tf.networks.generator import Generator

CONFIG = tiny.config({"classes": 3})
NETWORKS = {
    "generator": lambda: Generator(CONFIG.generator),
    "discriminator": lambda: Discriminator(CONFIG.discriminator),
}
EACH = pytest.mark.parametrize("name", NETWORKS)


def layers_of(layer: keras.Layer) -> list[keras.Layer]:
    """A layer and every layer that is a direct attribute, down to the last."""
    own = [v for k, v in vars(layer).items() if isinstance(v, keras.Layer)]
    return [layer] + [inner for child in own for inner in layers_of(child)]


@EACH
def test_every_layer_is_a_direct_attribute(name):
    model = NETWORKS[name]()
    reached = layers_of(model)
    known = [model, *model._flatten_layers(include_self=False)]
    assert {id(layer) for layer in reached} == {id(layer) for layer in known}
    direct = [v for layer in reached for v in layer._trainable_variables]
    direct += [v for layer in reached for v in layer._non_trainable_variables]
    assert {v.path for v in direct} == {v.path for v in model.weights}


def test_the_trap_is_still_there(tmp_path):
    """When this fails TensorFlow saves what is in a list, and the rule may go."""

    class Trapped(keras.Model):
        def __init__(self):
            super().__init__()
            self.parts = [keras.layers.Dense(2)]
            self.parts[0].build((None, 2))

    model = Trapped()
    path = tf.train.Checkpoint(model=model).save(str(tmp_path / "ckpt"))
    saved = [name for name, _ in tf.train.list_variables(path) if "model" in name]
    assert len(model.weights) == 2 and not saved
    assert layers_of(model) == [model]  # this is how such a list is found above


@EACH
def test_everything_is_built_before_the_first_call(name):
    model = NETWORKS[name]()
    before = [v.path for v in model.weights]
    labels = np.eye(3, dtype=np.float32)[:2]
    inputs = np.zeros((2, 8) if name == "generator" else (2, 8, 8, 3), np.float32)
    model(inputs, labels)
    assert all(layer.built for layer in layers_of(model))
    assert [v.path for v in model.weights] == before and before
