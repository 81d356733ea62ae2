"""The feature network `builtin`, which comes with the package.

    network = load_builtin()                # builtin-v1, trained on the demo's factors
    network = load_builtin("data/photos")   # builtin-v1-3fa2b81c, trained on that set
    features = network(images)              # float32 [N, 128]

It needs no download: the weights lie beside this file, and their hash is checked, so
that scores agree between machines. Five convolutions and a dense layer (0.27 million
weights) see every image at 64 x 64. Larger images are shrunk with an antialiasing
filter, smaller ones enlarged bilinearly, images that are not square stretched.

`builtin_training` trains the shipped weights, `builtin_own` the weights for other data.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from stylegan_tf.errors import UserError
from stylegan_tf.formats.arrays import load_arrays

NAME = "builtin-v1"  # another architecture or other weights need another version
WEIGHTS = Path(__file__).with_name(f"{NAME}.npz")
SHA256 = "90847688543586702a48f96c0ebb2f6d78a252b495ed9f2edbcc0c07dca1e7a8"
SIDE = 64  # pixels per side of the network's input
SIZE = 128  # of a feature vector
# (kernel, stride, feature maps, pooling after it): 64 -> 32 -> 16 -> 8 -> 4 -> 4.
CONVOLUTIONS = ((4, 2, 32, 1), (3, 2, 48, 1), (3, 1, 64, 2), (3, 1, 96, 2))
CONVOLUTIONS += ((3, 1, 64, 1),)
BATCH = 250
_TINY = 1e-8


@dataclass(frozen=True)
class Head:
    """An output of the network: one factor of an image.

    Attributes:
        name: of the factor.
        values: number of values of a categorical factor; 0 = a number.
        low: smallest value of a number.
        high: largest value of a number.
    """

    name: str
    values: int = 0
    low: float = -1.0
    high: float = 1.0

    @property
    def width(self) -> int:
        """Number of outputs: one logit per value, or one number."""
        return self.values or 1


class BuiltinFeatures:
    """The feature network `builtin`.

    Args:
        name: stands with every score made with it.
        weights: float arrays: `conv0/kernel`, `conv0/bias` and so on, `dense`, `heads`.
        heads: the factors, in the order of the columns of `heads`.

    Call arguments:
        images: uint8 [N, H, W, channels] of any size.

    Returns:
        float32 [N, 128], never negative.
    """

    size = SIZE

    def __init__(
        self, name: str, weights: Mapping[str, np.ndarray], heads: Sequence[Head]
    ):
        self.name, self.heads = name, tuple(heads)
        self.channels = int(weights["conv0/kernel"].shape[2])
        self._weights = {n: tf.constant(w, tf.float32) for n, w in weights.items()}
        self._features = _compiled(self._penultimate)
        self._outputs = _compiled(self._heads)
        # Metrics ask for a network's abilities by its callable methods.
        if not self.heads:
            self.factors = None
        if "class" not in {head.name for head in self.heads}:
            self.probabilities = None

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Maps uint8 [N, H, W, channels] to features, float32 [N, 128]."""
        return self._in_batches(self._features, images, self.size)

    def factors(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Reads the factors of images; None in place of a method without heads.

        Args:
            images: uint8 [N, H, W, channels].

        Returns:
            Factor -> float32 [N] within its range, or [N, values] probabilities.
        """
        width = sum(head.width for head in self.heads)
        outputs = self._in_batches(self._outputs, images, width)
        factors, start = {}, 0
        for head in self.heads:
            columns = outputs[:, start : start + head.width]
            values = _softmax(columns) if head.values else _scaled(columns, head)
            factors[head.name] = values
            start += head.width
        return factors

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Returns class probabilities for the inception score, float32 [N, classes].

        None in place of a method where the data set has no classes.
        """
        return self.factors(images)["class"]

    def distance(self, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        """Returns a distance like LPIPS (Zhang et al. 2018, equation 1).

        Activations of each convolution are scaled to length 1 at every pixel; their
        squared difference is averaged over pixels, then over layers. Layers and
        channels weigh the same: there are no human judgments to fit weights to.

        Args:
            a: float [N, H, W, channels] in [0, 255]; gradients reach it.
            b: the same shape; gradients reach it.

        Returns:
            float32 [N].
        """
        layers = zip(self._activations(a), self._activations(b), strict=True)
        parts = [
            tf.reduce_mean(
                tf.reduce_sum(tf.math.squared_difference(_unit(x), _unit(y)), axis=-1),
                axis=[1, 2],
            )
            for x, y in layers
        ]
        return tf.add_n(parts) / len(parts)

    def _activations(self, images: tf.Tensor) -> list[tf.Tensor]:
        """Returns the activations of the five convolutions, float [N, H, W, maps].

        Gray images are repeated where the network takes three channels.
        """
        channels = self._weights["conv0/kernel"].shape[2]
        if images.shape[-1] == 1 < channels:
            images = tf.repeat(images, channels, axis=-1)
        if images.shape[-1] != channels:
            raise UserError(
                f"{self.name} compares pictures of {channels} channels; these have "
                f"{images.shape[-1]}."
            )
        x, activations = resize_inputs(images) / 127.5 - 1, []
        for i, (_, stride, _, pool) in enumerate(CONVOLUTIONS):
            kernel, bias = (self._weights[f"conv{i}/{w}"] for w in ("kernel", "bias"))
            x = tf.nn.relu(tf.nn.conv2d(x, kernel, stride, "SAME") + bias)
            activations.append(x)
            x = tf.nn.avg_pool2d(x, pool, pool, "VALID") if pool > 1 else x
        return activations

    def _penultimate(self, images: tf.Tensor) -> tf.Tensor:
        last = self._activations(images)[-1]
        flat = tf.reshape(last, [-1, int(np.prod(last.shape[1:]))])
        return tf.nn.relu(self._dense("dense", flat))

    def _heads(self, images: tf.Tensor) -> tf.Tensor:
        return self._dense("heads", self._penultimate(images))

    def _dense(self, name: str, x: tf.Tensor) -> tf.Tensor:
        return x @ self._weights[f"{name}/kernel"] + self._weights[f"{name}/bias"]

    def _in_batches(self, function, images: np.ndarray, width: int) -> np.ndarray:
        images = np.asarray(images)
        if images.ndim != 4 or images.shape[-1] != self.channels:
            shape = " x ".join(map(str, images.shape))
            raise UserError(
                f"{self.name} sees pictures [N, H, W, {self.channels}], and was given "
                f"{shape}; load the network of their own data set."
            )
        starts = range(0, len(images), BATCH)
        parts = [function(tf.constant(images[i : i + BATCH])).numpy() for i in starts]
        return np.concatenate(parts or [np.zeros((0, width), np.float32)])


def _compiled(function):
    return tf.function(function, autograph=False, reduce_retracing=True)


def resize_inputs(images: tf.Tensor) -> tf.Tensor:
    """Resizes [N, H, W, C] to the network's input, float32 [N, 64, 64, C]."""
    images = tf.cast(images, tf.float32)
    if tuple(images.shape[1:3]) == (SIDE, SIDE):
        return images
    return tf.image.resize(images, [SIDE, SIDE], antialias=True)


def _unit(x: tf.Tensor) -> tf.Tensor:
    """Scales every pixel's vector to length 1; gradients are finite at zero."""
    return x * tf.math.rsqrt(tf.reduce_sum(tf.square(x), -1, keepdims=True) + _TINY)


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _scaled(columns: np.ndarray, head: Head) -> np.ndarray:
    """Maps an output in [-1, 1] to the factor's range, clipped to it."""
    share = (np.clip(columns[:, 0], -1, 1) + 1) / 2
    return (head.low + share * (head.high - head.low)).astype(np.float32)


# ---------------------------------------------------------------------------
# Files


def save_builtin(
    path: Path | str, weights: Mapping[str, np.ndarray], heads: Sequence[Head]
) -> str:
    """Writes a network's weights as float16, atomically; returns their digest."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: np.asarray(w, np.float16) for name, w in weights.items()}
    arrays["about"] = np.array(json.dumps([asdict(head) for head in heads]))
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with open(draft, "wb") as f:
        np.savez_compressed(f, **arrays)
    draft.replace(path)
    return digest(arrays)


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Returns the SHA-256 of names, dtypes, shapes and values, not of the packing."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def read_builtin(
    path: Path | str, name: str, expected: str | None = None
) -> BuiltinFeatures:
    """Reads a network that `save_builtin` wrote.

    Args:
        path: of the file.
        name: of the network.
        expected: the digest that its weights must have.

    Raises:
        UserError: the file cannot be read, or has another digest.
    """
    try:
        arrays = load_arrays(path)
        heads = [Head(**values) for values in json.loads(str(arrays["about"]))]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"{path} cannot be read: {error}; delete it.") from error
    if expected and digest(arrays) != expected:
        raise UserError(
            f"{path} does not hold the weights of {name}: numbers made with it would "
            f"not compare. Install the package again."
        )
    return BuiltinFeatures(
        name, {n: w for n, w in arrays.items() if n != "about"}, heads
    )
