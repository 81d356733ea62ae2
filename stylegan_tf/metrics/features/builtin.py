"""`builtin`: a feature network that comes with the package, or learns from your data.

    network = builtin.load()                # builtin-v1, trained on the demo's factors
    network = builtin.load("data/photos")   # builtin-v1-3fa2b81c, trained on that set
    features = network(images)              # float32 [N, 128]

Published feature networks have to be downloaded, and know photographs. This one needs
no network: its weights lie beside this file and are checked by their hash, so that
numbers agree between machines. Five convolutions and a dense layer, 0.27 million
weights, see pictures of any size at 64 x 64: larger ones are shrunk with an
antialiasing filter, smaller ones enlarged bilinearly, others than squares stretched.

`builtin_training` trains the shipped weights, `builtin_own` those of other data sets.
"""

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from stylegan_tf.errors import UserError

NAME = "builtin-v1"  # another architecture or other weights need another version
WEIGHTS = Path(__file__).with_name(f"{NAME}.npz")
SHA256 = "90847688543586702a48f96c0ebb2f6d78a252b495ed9f2edbcc0c07dca1e7a8"
SIDE = 64  # pixels along each side, of what the network sees
SIZE = 128  # of a feature vector
# Kernel, stride, maps and the pooling that follows: 64 -> 32 -> 16 -> 8 -> 4 -> 4.
CONVOLUTIONS = ((4, 2, 32, 1), (3, 2, 48, 1), (3, 1, 64, 2), (3, 1, 96, 2))
CONVOLUTIONS += ((3, 1, 64, 1),)
BATCH = 250
_TINY = 1e-8


@dataclass(frozen=True)
class Head:
    """Something that the network says about a picture.

    Attributes:
        name: of the factor.
        values: how many it can take; 0 = a number from `low` to `high`.
    """

    name: str
    values: int = 0
    low: float = -1.0
    high: float = 1.0

    @property
    def width(self) -> int:
        """Outputs that it needs."""
        return self.values or 1


class Builtin:
    """The network.

    Args:
        name: stands with every number that is made with it.
        weights: float arrays: `conv0/kernel`, `conv0/bias` and so on, `dense`, `heads`.
        heads: what it says, in the order of the columns of `heads`.

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
        self._outputs = _compiled(self._said)
        # Metrics ask whether a network is able to do something; see `factors`.
        if not self.heads:
            self.factors = None
        if "class" not in {head.name for head in self.heads}:
            self.probabilities = None

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return self._batches(self._features, images, self.size)

    # -----------------------------------------------------------------------
    # What it says

    def factors(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """What the heads say; None in place of a method where there are none.

        Args:
            images: as of the call.

        Returns:
            By factor, float32: [N] within its range, or [N, values] probabilities.
        """
        columns = self._batches(self._outputs, images, sum(h.width for h in self.heads))
        found, at = {}, 0
        for head in self.heads:
            own = columns[:, at : at + head.width]
            found[head.name] = (
                _probabilities(own) if head.values else _scaled(own, head)
            )
            at += head.width
        return found

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Of each class: float32 [N, classes]; what an Inception score is made of.

        None in place of a method where the data set has no classes.
        """
        return self.factors(images)["class"]

    # -----------------------------------------------------------------------
    # How different two pictures look

    def distance(self, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        """A distance in the manner of LPIPS (Zhang et al. 2018, equation 1).

        Activations of each convolution, scaled to length 1 at every place; their
        squared difference, averaged over places, then over layers. Layers and maps
        weigh the same: there are no human judgments here to fit weights to.

        Args:
            a, b: float [N, H, W, channels] in [0, 255]; gradients reach them.

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

    # -----------------------------------------------------------------------
    # The network itself

    def _activations(self, images: tf.Tensor) -> list[tf.Tensor]:
        """After each convolution: five float [N, H, W, maps].

        Gray pictures are gray ones in color, where the network knows colors.
        """
        wanted = self._weights["conv0/kernel"].shape[2]
        if images.shape[-1] == 1 < wanted:
            images = tf.repeat(images, wanted, axis=-1)
        if images.shape[-1] != wanted:
            raise UserError(
                f"{self.name} compares pictures of {wanted} channels; these have "
                f"{images.shape[-1]}."
            )
        x, found = resized(images) / 127.5 - 1, []
        for i, (_, stride, _, pool) in enumerate(CONVOLUTIONS):
            kernel, bias = (self._weights[f"conv{i}/{w}"] for w in ("kernel", "bias"))
            x = tf.nn.relu(tf.nn.conv2d(x, kernel, stride, "SAME") + bias)
            found.append(x)
            x = tf.nn.avg_pool2d(x, pool, pool, "VALID") if pool > 1 else x
        return found

    def _penultimate(self, images: tf.Tensor) -> tf.Tensor:
        last = self._activations(images)[-1]
        flat = tf.reshape(last, [-1, int(np.prod(last.shape[1:]))])
        return tf.nn.relu(self._dense("dense", flat))

    def _said(self, images: tf.Tensor) -> tf.Tensor:
        return self._dense("heads", self._penultimate(images))

    def _dense(self, name: str, x: tf.Tensor) -> tf.Tensor:
        return x @ self._weights[f"{name}/kernel"] + self._weights[f"{name}/bias"]

    def _batches(self, what, images: np.ndarray, width: int) -> np.ndarray:
        images = np.asarray(images)
        if images.ndim != 4 or images.shape[-1] != self.channels:
            shape = " x ".join(map(str, images.shape))
            raise UserError(
                f"{self.name} sees pictures [N, H, W, {self.channels}], and was given "
                f"{shape}; load the network of their own data set."
            )
        starts = range(0, len(images), BATCH)
        parts = [what(tf.constant(images[i : i + BATCH])).numpy() for i in starts]
        return np.concatenate(parts or [np.zeros((0, width), np.float32)])


def _compiled(what):
    return tf.function(what, autograph=False, reduce_retracing=True)


def resized(images: tf.Tensor) -> tf.Tensor:
    """What the network sees of [N, H, W, C]: float32 [N, 64, 64, C], same range."""
    images = tf.cast(images, tf.float32)
    if tuple(images.shape[1:3]) == (SIDE, SIDE):
        return images
    return tf.image.resize(images, [SIDE, SIDE], antialias=True)


def _unit(x: tf.Tensor) -> tf.Tensor:
    """Length 1 at every place, and a gradient even where x is zero."""
    return x * tf.math.rsqrt(tf.reduce_sum(tf.square(x), -1, keepdims=True) + _TINY)


def _probabilities(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _scaled(columns: np.ndarray, head: Head) -> np.ndarray:
    """[-1, 1] to the factor's range; never outside it."""
    share = (np.clip(columns[:, 0], -1, 1) + 1) / 2
    return (head.low + share * (head.high - head.low)).astype(np.float32)


# ---------------------------------------------------------------------------
# Files


def save(
    path: Path | str, weights: Mapping[str, np.ndarray], heads: Sequence[Head]
) -> str:
    """Writes a network, as float16, in one step; returns its digest."""
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
    """SHA-256 over names, types, shapes and values; not over how they are packed."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def read(path: Path | str, name: str, expected: str | None = None) -> Builtin:
    """A network that `save` wrote.

    Args:
        path: its file.
        name: what to call it.
        expected: the digest that it must have.

    Raises:
        UserError: it cannot be read, or is not what was expected.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {n: file[n] for n in file.files}
        heads = [Head(**values) for values in json.loads(str(arrays["about"]))]
    except (OSError, ValueError, LookupError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read: {error}; delete it.") from error
    if expected and digest(arrays) != expected:
        raise UserError(
            f"{path} does not hold the weights of {name}: numbers made with it would "
            f"not compare. Install the package again."
        )
    return Builtin(name, {n: w for n, w in arrays.items() if n != "about"}, heads)
