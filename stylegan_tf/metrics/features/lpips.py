"""LPIPS with VGG16 (Zhang et al. 2018, section 3), the distance of published PPLs.

Two images go through the convolutions of VGG16. At five depths the activations of every
pixel are scaled to length 1. Their squared difference is weighted per channel (weights
fitted to human judgment), averaged over pixels and summed over depths:

    d(a, b) = sum_l mean_xy sum_c w_lc (a^_lcxy - b^_lcxy)^2

The same VGG16 gives the features of precision and recall (Kynkaanniemi et al. 2019,
section 3): the second fully connected layer, after its ReLU.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from stylegan_tf.errors import UserError
from stylegan_tf.files import checksum
from stylegan_tf.formats import torch_files
from stylegan_tf.metrics.features import files
from stylegan_tf.metrics.features.base import float_rgb, in_batches

NAME = "vgg16-lpips-0.1"
# Layer numbers in torchvision's `features`, per block; a pool separates two blocks.
BLOCKS = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
PUBLISHED = (64, 128, 256, 512, 512)  # channels of the blocks
# SHA-256 of version 0.1's weights; version 0.0 has weights of the same shapes.
LINEAR = "9153a2043dccf3b525d4f13db916e93ef040548ea923b6f2100de5ebac141a78"
# ImageNet's mean and deviation for images in [-1, 1], as LPIPS rounds them.
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
EPSILON = 1e-10
REDUCTION = 32  # by five pools
SMALLEST = 16  # pixels per side, one in the last block
BATCH = 32


def unit_length(x: tf.Tensor) -> tf.Tensor:
    """Divides vectors [..., C] by their length + 1e-10; all gradients are finite."""
    square = tf.reduce_sum(tf.square(x), axis=-1, keepdims=True)
    zero = square == 0  # where the root has no gradient
    length = tf.sqrt(tf.where(zero, tf.ones_like(square), square))
    return x / (tf.where(zero, tf.zeros_like(length), length) + EPSILON)


class VGG16:
    """The convolutions of VGG16, and its two fully connected layers if given.

    Args:
        weights: torchvision's state dict.
        path: of the file, for messages.

    Attributes:
        channels: of each block.
        hidden: (kernel, bias) of the fully connected layers; may be empty.
        side: pixels per side of the last pool that the first of them takes.
    """

    def __init__(self, weights: dict[str, np.ndarray], path: Path):
        self._weights, self._path = weights, path
        self._convolutions = [[self._layer(i) for i in block] for block in BLOCKS]
        self.channels = tuple(block[-1][1].shape[0] for block in self._convolutions)
        self.hidden, self.side = self._classifier()

    def _take(self, name: str, rank: int) -> np.ndarray:
        array = self._weights.get(name)
        if array is None or array.ndim != rank:
            problem = "is missing" if array is None else f"has shape {array.shape}"
            raise UserError(
                f"{self._path} has no VGG16 of torchvision: {name} {problem}."
            )
        return array.astype(np.float32)

    def _layer(self, index: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns kernel [3, 3, in, out] and bias of a convolution."""
        kernel = self._take(f"features.{index}.weight", 4).transpose(2, 3, 1, 0)
        return tf.constant(kernel), tf.constant(self._take(f"features.{index}.bias", 1))

    def _classifier(self) -> tuple[list[tuple], int]:
        """Returns the attributes `hidden` and `side`."""
        if not any(name.startswith("classifier.") for name in self._weights):
            return [], 1
        first, second = (self._take(f"classifier.{i}.weight", 2) for i in (0, 3))
        c = self.channels[-1]
        side = round(np.sqrt(first.shape[1] / c))
        if first.shape[1] != c * side * side or second.shape[1] != first.shape[0]:
            raise UserError(
                f"{self._path} has a VGG16 whose classifier takes {first.shape[1]} and "
                f"{second.shape[1]} numbers, which its other layers do not give."
            )
        # From PyTorch's order (channels, rows, columns) to (rows, columns, channels).
        first = first.reshape(-1, c, side, side).transpose(2, 3, 1, 0)
        first = first.reshape(side * side * c, -1)
        biases = (self._take(f"classifier.{i}.bias", 1) for i in (0, 3))
        pairs = zip((first, second.T), biases, strict=True)
        return [(tf.constant(w), tf.constant(b)) for w, b in pairs], side

    def activations(self, x: tf.Tensor) -> Iterator[tf.Tensor]:
        """Yields the last activations of each block for [N, H, W, 3] in [-1, 1]."""
        x = (x - SHIFT) / SCALE
        for i, block in enumerate(self._convolutions):
            if i:
                x = tf.nn.max_pool2d(x, 2, 2, "VALID")
            for kernel, bias in block:
                x = tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME") + bias)
            yield x


class LPIPS:
    """The LPIPS distance, and VGG16's fc7 features.

    Args:
        vgg: the network.
        weights: LPIPS' channel weights of the five depths.
        checksum: SHA-256 of the two files, VGG16's first, with a "+" between them.

    Attributes:
        name: "vgg16-lpips-0.1". "-pooled" is added if the file lacks fc7; features are
            then mean activations of the last block. "-like-" and the first digits of
            the checksum are added for weights other than the published ones.
        size: length of a feature vector.
        checksum: SHA-256 of the two files.
        side: pixels per side that images are resized to for fc7, or None.
    """

    def __init__(self, vgg: VGG16, weights: list[np.ndarray], checksum: str):
        self.checksum = checksum
        data = b"".join(w.astype("<f4").tobytes() for w in weights)
        known = vgg.channels == PUBLISHED and hashlib.sha256(data).hexdigest() == LINEAR
        kind = "" if vgg.hidden else "-pooled"
        short = "".join(part[:4] for part in checksum.split("+"))
        self.name = NAME + kind + ("" if known else f"-like-{short}")
        self._vgg, self._weights = vgg, [tf.constant(w, tf.float32) for w in weights]
        layers = vgg.hidden
        self.size = layers[-1][1].shape[0] if layers else vgg.channels[-1]
        self.side = REDUCTION * vgg.side if layers else None
        self._compiled = tf.function(
            self._features,
            input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)],
        )

    def distance(self, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        """Returns the LPIPS distance of two batches, differentiable.

        Args:
            a: float [N, H, W, 1 or 3] in [0, 255], sides of at least 16.
            b: the same shape.

        Returns:
            float32 [N].

        Raises:
            ValueError: the shapes differ or are too small.
        """
        a, b = float_rgb(a), float_rgb(b)
        sides = [side for side in a.shape[1:3] if side is not None]
        if not a.shape.is_compatible_with(b.shape) or min(sides, default=16) < SMALLEST:
            raise ValueError(
                f"pictures to compare have one shape and sides of at least {SMALLEST}, "
                f"not {tuple(a.shape)} and {tuple(b.shape)}."
            )
        both = tf.concat([a, b], axis=0) / 127.5 - 1
        total = 0.0
        for x, weight in zip(self._vgg.activations(both), self._weights, strict=True):
            x_a, x_b = tf.split(unit_length(x), 2)
            squares = tf.reduce_sum(weight * tf.square(x_a - x_b), axis=-1)
            total += tf.reduce_mean(squares, axis=[1, 2])
        return total

    def _features(self, images: tf.Tensor) -> tf.Tensor:
        x = tf.cast(images, tf.float32)
        if self.side:
            x = tf.image.resize(x, [self.side, self.side], antialias=True)
        *_, x = self._vgg.activations(x / 127.5 - 1)
        if not self._vgg.hidden:
            return tf.reduce_mean(x, axis=[1, 2])
        x = tf.nn.max_pool2d(x, 2, 2, "VALID")
        x = tf.reshape(x, [-1, self._vgg.side**2 * self._vgg.channels[-1]])
        for kernel, bias in self._vgg.hidden:
            x = tf.nn.relu(tf.matmul(x, kernel) + bias)
        return x

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Maps uint8 [N, H, W, 1 or 3] to features, float32 [N, size]."""
        return in_batches(self._compiled, images, BATCH, self.size)


def load_lpips(place: str | Path, cache: str | Path | None = None) -> LPIPS:
    """Opens LPIPS from its two published files.

    Args:
        place: a folder that has torchvision's `vgg16-397923af.pth` and LPIPS' `vgg.pth`
            (version 0.1), or "A,B": the paths or URLs of the two, in either order.
        cache: folder of downloads, see `fetch_file`.

    Raises:
        UserError: a file is not there, damaged, or of another network.
    """
    paths = _two_files(str(place), cache)
    states = {path: torch_files.read_state_dict(path) for path in paths}
    linear = [path for path in paths if any("lin0." in n for n in states[path])]
    if len(linear) != 1:
        number = "none" if not linear else "both"
        raise UserError(
            f"of {paths[0]} and {paths[1]}, {number} has LPIPS' own layers (lin0 to "
            f"lin4); give vgg16-397923af.pth and vgg.pth, one of each."
        )
    other = next(path for path in paths if path not in linear)
    vgg = VGG16(states[other], other)
    weights = _linear(states[linear[0]], vgg.channels, linear[0])
    sums = [checksum(path) for path in (other, linear[0])]
    return LPIPS(vgg, weights, "+".join(sums))


def _two_files(place: str, cache: str | Path | None) -> list[Path]:
    """Returns the two files that `place` names."""
    parts = [part for part in place.split(",") if part.strip()]
    if len(parts) == 1:
        folder = files.fetch_file(parts[0], cache)
        found = [folder] if folder.is_file() else sorted(folder.glob("*.pth"))
        found = [p for p in found if p.name == "vgg.pth" or p.name.startswith("vgg16")]
        if len(found) != 2:
            raise UserError(
                f"{folder} holds {len(found)} of the two files of LPIPS; it needs "
                f"vgg16-397923af.pth and vgg.pth, or give both as A.pth,B.pth."
            )
        return found
    if len(parts) != 2:
        raise UserError(f"{place!r} names {len(parts)} files; LPIPS has two: A,B.")
    return [files.fetch_file(part, cache) for part in parts]


def _linear(
    weights: dict[str, np.ndarray], channels: tuple[int, ...], path: Path
) -> list[np.ndarray]:
    """Returns LPIPS' weights of the five depths, [channels] each, checked."""
    arrays = []
    for i, count in enumerate(channels):
        name = f"lin{i}.model.1.weight"
        value = weights.get(name)
        if value is None or value.shape != (1, count, 1, 1):
            problem = "is missing" if value is None else f"has shape {value.shape}"
            raise UserError(
                f"{path}: {name} {problem}; for this VGG16 it is (1, {count}, 1, 1)."
            )
        arrays.append(value.reshape(count))
    return arrays
