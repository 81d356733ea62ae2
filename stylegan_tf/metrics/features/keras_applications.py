"""Networks of `keras.applications` with ImageNet weights as feature networks.

Features are the activations before the classifier, averaged over the image. Images are
resized with an antialiased bilinear filter to the size that the network was trained at,
then prepared by the network's own `preprocess_input`.

No number made with one of these networks compares with a published FID: those use the
Inception network of 2015, and Keras' `InceptionV3` has other weights.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from stylegan_tf.errors import UserError
from stylegan_tf.metrics.features.base import float_rgb, in_batches
from stylegan_tf.metrics.features.lpips import unit_length

BATCH = 32
# Pixels per side in training; 224 for every network that is not listed.
SIDES = {"InceptionV3": 299, "InceptionResNetV2": 299, "Xception": 299}
SIDES |= {"NASNetLarge": 331}
_B = (224, 240, 260, 300, 380, 456, 528, 600)
SIDES |= {f"EfficientNetB{i}": side for i, side in enumerate(_B)}
SIDES |= {f"EfficientNetV2B{i}": side for i, side in enumerate(_B[:4])}
SIDES |= {"EfficientNetV2S": 384, "EfficientNetV2M": 480, "EfficientNetV2L": 480}
DISTANCE_LAYERS = tuple(f"block{i}_conv{n}" for i, n in enumerate((2, 2, 3, 3, 3), 1))


def application_names() -> list[str]:
    """Returns the names of the networks in `keras.applications`."""
    found = vars(keras.applications).items()
    return sorted(n for n, value in found if n[0].isupper() and callable(value))


class KerasApplication:
    """A network of `keras.applications` as a feature network.

    Args:
        name: such as "InceptionV3", in Keras' spelling.
        weights: "imagenet", or None for random weights (for tests).

    Attributes:
        name: such as "keras-InceptionV3-imagenet".
        size: length of a feature vector.
        side: pixels per side that images are resized to.
    """

    def __init__(self, name: str, weights: str | None = "imagenet"):
        self.name = f"keras-{name}-{weights or 'random'}"
        self.side = SIDES.get(name, 224)
        self._application, self._weights = getattr(keras.applications, name), weights
        module = self._application.__module__.rsplit(".", 1)[-1]
        self._prepare = getattr(keras.applications, module).preprocess_input
        sides = None if name == "VGG16" else self.side  # `distance` takes any size
        self._body = self._build(
            include_top=False, pooling="avg", input_shape=(sides, sides, 3)
        )
        self.size = int(self._body.output_shape[-1])
        self._features = self._on_images(self._body)
        if name == "VGG16":
            outputs = [self._body.get_layer(n).output for n in DISTANCE_LAYERS]
            inner = keras.Model(self._body.input, outputs)
            self.distance = activation_distance(inner, self._prepare)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Maps uint8 [N, H, W, 1 or 3] to features, float32 [N, size]."""
        return in_batches(self._features, images, BATCH, self.size)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Maps uint8 [N, H, W, 1 or 3] to class probabilities, float32 [N, classes]."""
        classify, classes = self._classifier
        return in_batches(classify, images, BATCH, classes)

    @cached_property
    def _classifier(self) -> tuple[Callable, int]:
        model = self._build()
        return self._on_images(model), int(model.output_shape[-1])

    def _build(self, **settings) -> keras.Model:
        try:
            with _float32_layers():
                model = self._application(weights=self._weights, **settings)
        except Exception as e:  # Keras raises a plain Exception for a failed download
            failed = re.search(r"URL fetch failure on (\S+?):? ", str(e))
            if not failed:
                raise
            home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
            place = home / "models" / failed[1].rsplit("/", 1)[-1]
            raise UserError(
                f"{failed[1]} could not be downloaded. Download it where there is a "
                f"network and put it there: {place}"
            ) from e
        model.trainable = False
        return model

    def _on_images(self, model: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
        """Returns a compiled function of uint8 images [N, H, W, 3] of any size."""

        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)])
        def run(images: tf.Tensor) -> tf.Tensor:
            x = tf.image.resize(images, [self.side, self.side], antialias=True)
            return model(self._prepare(x), training=False)

        return run


def load_keras_application(name: str) -> KerasApplication:
    """Opens a network of `keras.applications`, any case of its name.

    Keras downloads its ImageNet weights on first use and keeps them in its own folder.

    Raises:
        UserError: there is no such network, or its weights cannot be downloaded.
    """
    known = {n.lower(): n for n in application_names()}
    if name.lower() not in known:
        raise UserError(
            f"Keras has no network {name!r}; it has {', '.join(known.values())}."
        )
    return KerasApplication(known[name.lower()])


def activation_distance(
    inner: keras.Model, prepare: Callable[[tf.Tensor], tf.Tensor]
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Returns LPIPS (Zhang et al. 2018, equation 1) with all channel weights 1.

    Args:
        inner: maps images to activations [N, h, w, C] at several depths.
        prepare: maps images [N, H, W, 3] in [0, 255] to the input of `inner`.

    Returns:
        A differentiable function of two batches, float [N, H, W, 1 or 3] in [0, 255]
        with sides of at least 16, to distances [N].
    """

    def distance(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        both = prepare(tf.concat([float_rgb(a), float_rgb(b)], axis=0))
        total = 0.0
        for x in inner(both, training=False):
            x_a, x_b = tf.split(unit_length(x), 2)
            squares = tf.reduce_sum(tf.square(x_a - x_b), axis=-1)
            total += tf.reduce_mean(squares, axis=[1, 2])
        return total

    return distance


@contextlib.contextmanager
def _float32_layers() -> Iterator[None]:
    """Builds layers in float32 under any dtype policy of a training run."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
