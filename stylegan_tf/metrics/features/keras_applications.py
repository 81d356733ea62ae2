"""Networks of `keras.applications` as feature networks, each under a name of its own.

What they see is not what Inception of 2015 sees, so no number made with one may be
compared with a published FID, whatever the network is called: `InceptionV3` here was
trained anew. Pictures are resized with an antialiased bilinear filter to the size that
the network was trained at, and prepared by its own `preprocess_input`.
"""

import contextlib
import os
import re
import warnings
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from stylegan_tf.errors import UserError
from stylegan_tf.metrics.features.base import colored, in_parts
from stylegan_tf.metrics.features.files import checksum
from stylegan_tf.metrics.features.lpips import unit

BATCH = 32
SEED = 7  # of random weights, which are the same everywhere
SIDES = {"InceptionV3": 299, "InceptionResNetV2": 299, "Xception": 299}
SIDES |= {"NASNetLarge": 331}
_B = (224, 240, 260, 300, 380, 456, 528, 600)
SIDES |= {f"EfficientNetB{i}": side for i, side in enumerate(_B)}
SIDES |= {f"EfficientNetV2B{i}": side for i, side in enumerate(_B[:4])}
SIDES |= {"EfficientNetV2S": 384, "EfficientNetV2M": 480, "EfficientNetV2L": 480}
SIDE = 224  # of all others
SMALLEST = 32  # some need more, and say so
TAPS = ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3")


def names() -> list[str]:
    """The networks that there are."""
    return sorted(n for n, f in vars(keras.applications).items() if _is_network(n, f))


def _is_network(name: str, value) -> bool:
    return name[0].isupper() and callable(value)


class KerasNetwork:
    """Pictures to what a network has before its last layer, averaged over the picture.

    Made by `load`.

    Attributes:
        name: such as "keras-InceptionV3-imagenet"; "-random" and "-file-CHECKSUM" for
            other weights, and "-128px" after them if pictures are resized to another
            size than the network was trained at.
        size: of a vector of features.
        side: pixels that pictures are resized to.
        checksum: SHA-256 of the user's file of weights, or None.
        probabilities: a function of uint8 [N, H, W, 1 or 3] to float32 [N, classes];
            absent where weights are random, or the user's file lacks the last layer.
        distance: of VGG16 only, see `activation_distance`.
    """

    def __init__(self, recipe: "_Recipe", side: int, name: str):
        self.name, self.side, self.checksum = name, side, recipe.checksum
        self._recipe, self._body = recipe, recipe.body(side)
        self.size = int(self._body.output_shape[-1])
        self._features = _on_pictures(self._body, recipe.prepare, side)
        self._scale = 1.0
        if recipe.weights is None:  # dozens of random layers make large or tiny numbers
            noise = np.random.RandomState(SEED).randint(0, 256, (8, 32, 32, 3))
            self._scale = np.float32(1) / np.std(self(noise.astype(np.uint8)))
        if recipe.has_top:
            self.probabilities = self._probabilities
        if recipe.name == "VGG16":
            taps = [self._body.get_layer(tap).output for tap in TAPS]
            inner = keras.Model(self._body.inputs, taps)
            self.distance = activation_distance(inner, recipe.prepare)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """uint8 [N, H, W, 1 or 3] to float32 [N, size]."""
        return in_parts(self._features, images, BATCH, self.size) * self._scale

    @cached_property
    def _classes(self) -> tuple[Callable, int]:
        whole = self._recipe.whole()
        run = _on_pictures(whole, self._recipe.prepare, self._recipe.side)
        return run, int(whole.output_shape[-1])

    def _probabilities(self, images: np.ndarray) -> np.ndarray:
        run, count = self._classes
        return in_parts(run, images, BATCH, count)


def activation_distance(
    inner: keras.Model, prepare: Callable
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """LPIPS' distance without its fitted weights: every channel counts the same.

    Args:
        inner: pictures to activations [N, h, w, C] at several depths.
        prepare: pictures [N, H, W, 3] in [0, 255] to what `inner` takes.

    Returns:
        A function of two float [N, H, W, 1 or 3] in [0, 255], sides of at least 16, to
        [N]: the squared difference of the pixels' vectors, each of length 1, averaged
        over the picture and summed over depths. It is differentiable.
    """

    def distance(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        a, b = colored(a), colored(b)
        both = prepare(tf.concat([a, b], axis=0))
        total = 0.0
        for x in inner(both, training=False):
            one, other = tf.split(unit(x), 2)
            squares = tf.reduce_sum(tf.square(one - other), axis=-1)
            total += tf.reduce_mean(squares, axis=[1, 2])
        return total

    return distance


def load(
    name: str,
    input_size: int | None = None,
    weights: str | os.PathLike | None = "imagenet",
) -> KerasNetwork:
    """A network of `keras.applications`.

    Args:
        name: such as "InceptionV3", in Keras' spelling (any case).
        input_size: pixels to resize pictures to; by default what it was trained at.
        weights: "imagenet" (downloaded by Keras on first use, and kept in its folder),
            the path of a file of weights with or without the last layer (an
            EfficientNet's ImageNet file belongs in Keras' folder: Keras scales its
            pictures for that word alone), or None for random weights.

    Raises:
        UserError: there is no such network or file, the weights do not fit or cannot be
            downloaded, or the size is too small.
    """
    known = {found.lower(): found for found in names()}
    if name.lower() not in known:
        raise UserError(f"Keras has no network {name!r}; it has {', '.join(names())}.")
    side = input_size or SIDES.get(known[name.lower()], SIDE)
    if side < SMALLEST:
        raise UserError(
            f"Keras' networks take pictures of at least {SMALLEST} pixels a side, not "
            f"{side}: the input size, to which pictures are resized."
        )
    recipe = _Recipe(known[name.lower()], weights)
    kind = {None: "random", "imagenet": "imagenet"}.get(recipe.weights)
    kind = kind or f"file-{recipe.checksum[:8]}"
    other = "" if side == recipe.side else f"-{side}px"
    return KerasNetwork(recipe, side, f"keras-{recipe.name}-{kind}{other}")


class _Recipe:
    """How the two forms of a network are built: with and without its last layer."""

    def __init__(self, name: str, weights: str | os.PathLike | None):
        self.name, self.side = name, SIDES.get(name, SIDE)
        self._make = getattr(keras.applications, name)
        module = self._make.__module__.rsplit(".", 1)[-1]
        self.prepare = getattr(keras.applications, module).preprocess_input
        self.weights, self.checksum, self._full = weights, None, None
        self.has_top = weights is not None
        if weights not in (None, "imagenet"):
            self.weights = str(Path(weights).expanduser())
            if not Path(self.weights).is_file():
                raise UserError(
                    f"weights are 'imagenet' or a file, not {weights}: there is no "
                    f"such file."
                )
            self.checksum = checksum(Path(self.weights))
            self._full = self._from_file()
            self.has_top = self._full is not None

    def body(self, side: int) -> keras.Model:
        """Without the last layer: pictures [N, side, side, 3] to [N, size]."""
        sides = (None, None, 3) if self.name == "VGG16" else (side, side, 3)
        settings = {"include_top": False, "pooling": "avg", "input_shape": sides}
        if self._full is None:
            return self._built(self.weights, **settings)
        body = self._built(None, **settings)
        values = self._full.get_weights()
        body.set_weights(values[: len(body.weights)])
        return body

    def whole(self) -> keras.Model:
        """To the probabilities of classes, at the size that it was trained at."""
        return self._full or self._built(self.weights)

    def _from_file(self) -> keras.Model | None:
        """The whole network, if the file has it."""
        try:
            return self._built(self.weights)
        except UserError:
            return None

    def _built(self, weights: str | None, **settings) -> keras.Model:
        try:
            with _float32(), warnings.catch_warnings():
                # Keras only warns where a file lacks the weights of some layers.
                warnings.filterwarnings("error", "Skipping|A total of", UserWarning)
                model = self._make(weights=weights, **settings)
        except Exception as e:  # Keras has no narrower one for a failed download
            raise _explained(e, self.name, weights) from e
        if self.weights is None:
            _randomize(model)
        model.trainable = False
        return model


@contextlib.contextmanager
def _float32() -> Iterator[None]:
    """Layers calculate in float32, whatever a training beside them does."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


def _explained(error: Exception, name: str, weights: str | None) -> Exception:
    """An error of Keras in words that help; or itself, if it is one of ours."""
    text = " ".join(str(error).split())
    failed = re.search(r"URL fetch failure on (\S+?):? ", text)
    if failed:
        home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
        file = failed[1].rsplit("/", 1)[-1]
        return UserError(
            f"{failed[1]} could not be downloaded. Download it where there is a "
            f"network and put it there: {home / 'models' / file}"
        )
    text = text if len(text) <= 200 else f"{text[:197]}..."
    if weights not in (None, "imagenet"):
        return UserError(f"{weights} has no weights of Keras' {name}: {text}")
    if isinstance(error, ValueError):
        return UserError(f"Keras' {name} cannot be built: {text}")
    return error


def _randomize(model: keras.Model) -> None:
    """Random kernels that keep the size of what passes, the same for every machine."""
    rng = np.random.RandomState(SEED)
    for v in model.weights:
        if len(v.shape) >= 2:
            own = "depthwise" in v.path
            fan = np.prod(v.shape[:2] if own else v.shape[:-1])
            v.assign(rng.standard_normal(v.shape) * np.sqrt(2 / fan))


def _on_pictures(model: keras.Model, prepare: Callable, side: int) -> Callable:
    """A model as a function of uint8 pictures [N, H, W, 3] of any size."""

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)])
    def run(images: tf.Tensor) -> tf.Tensor:
        x = tf.image.resize(images, [side, side], antialias=True)
        return model(prepare(x), training=False)

    return run
