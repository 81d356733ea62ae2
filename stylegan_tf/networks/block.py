"""Bases of the layers and networks: parts, and a config that is saved with them."""

import hashlib
from typing import TypeVar

import keras
import numpy as np
import tensorflow as tf

from stylegan_tf import config
from stylegan_tf.config import DiscriminatorConfig, GeneratorConfig
from stylegan_tf.config.weights import check_size

PACKAGE = "stylegan_tf"  # Keras registers the classes as "stylegan_tf>Name"
LayerT = TypeVar("LayerT", bound=keras.layers.Layer)


def weight_name(variable: keras.Variable) -> str:
    """Returns a weight's path without the name of its network."""
    return variable.path.split("/", 1)[1]


def weights_fingerprint(network: keras.Model) -> str:
    """Returns the SHA-256 of a network's weights and their names, in hexadecimal.

    Equal weights have one fingerprint, whatever file they were read from.
    """
    digest = hashlib.sha256()
    for name, v in sorted((weight_name(v), v) for v in network.weights):
        array = np.ascontiguousarray(v.numpy(), np.float32)
        digest.update(f"{name} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def check_shape(name: str, value: tf.Tensor, *sizes: int | str) -> None:
    """Checks the sizes of a network's input behind the first axis, where known.

    Args:
        name: of the input, for the error.
        value: of the shape [N, *sizes].
        *sizes: that the network was made for; the name of one that may be any.

    Raises:
        ValueError: it has another rank or other sizes.
    """
    takes = tf.TensorShape([None, *(n if isinstance(n, int) else None for n in sizes)])
    if not takes.is_compatible_with(value.shape):
        shown = ", ".join(map(str, ("N", *sizes)))
        given = ", ".join("N" if n is None else str(n) for n in value.shape)
        raise ValueError(
            f"{name} has the shape [{given}]; this network takes [{shown}]."
        )


class Composite(keras.layers.Layer):
    """A layer made of other layers, its parts.

    Parts are direct attributes: a TensorFlow checkpoint silently skips layers in a list
    or dict of a Keras object.
    """

    def part(self, name: str, layer: LayerT, *shapes: tuple[int | None, ...]) -> LayerT:
        """Sets attribute `name` to a layer and builds it.

        Args:
            name: name of the attribute; the layer's own name may differ.
            layer: not yet built.
            shapes: shapes of the layer's inputs, as `layer.build` takes them.

        Returns:
            The layer.
        """
        setattr(self, name, layer)
        layer.build(*shapes)
        return layer


class Block(Composite):
    """A layer or network that is made from a config.

    Args:
        config: an instance of `config_class`, or its dict, from `get_config`.

    Raises:
        UserError: the config asks for a network that is too large, see
            `config.weights`.
    """

    config_class: type[GeneratorConfig | DiscriminatorConfig] = GeneratorConfig

    def __init__(
        self,
        config: GeneratorConfig | DiscriminatorConfig | dict[str, object],
        **kwargs,
    ):
        super().__init__(**({"autocast": False} | kwargs))
        self.config = self._from_dict(config) if isinstance(config, dict) else config
        check_size(self.config)

    def dtype_at(self, resolution: int) -> keras.DTypePolicy:
        """Returns the policy of the layers at a resolution.

        Below the config's `half_resolutions` they compute in the type of their weights.
        """
        if self.config.follows_precision(resolution):
            return self.dtype_policy
        return keras.DTypePolicy(self.variable_dtype)

    def _from_dict(self, values: dict[str, object]):
        return config.from_dict(self.config_class, values)

    def get_config(self):
        return super().get_config() | {"config": config.to_dict(self.config)}
