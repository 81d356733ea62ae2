"""The Inception network of 2015 from the PyTorch file that ports of FID share.

`pt_inception-2015-12-05-6726825d.pth` has the weights of the frozen graph under the
names of torchvision's `inception_v3`. This module is their network (Szegedy et al.
2016, figures 4 to 7) with the two differences of the graph of 2015: average pools do
not count padding, and the last block has a maximum where the paper has a mean.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from stylegan_tf.errors import UserError

EPSILON = 1e-3  # of the batch normalization
# The branches of each block, as layer names; a block concatenates their outputs. A
# tuple within a branch is two layers side by side.
_A = (
    ("branch1x1",),
    ("branch5x5_1", "branch5x5_2"),
    ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"),
)
_C = (
    ("branch1x1",),
    tuple(f"branch7x7_{i}" for i in (1, 2, 3)),
    tuple(f"branch7x7dbl_{i}" for i in (1, 2, 3, 4, 5)),
)
_HALF_6 = (("branch3x3",), tuple(f"branch3x3dbl_{i}" for i in (1, 2, 3)))
_HALF_7 = (
    ("branch3x3_1", "branch3x3_2"),
    tuple(f"branch7x7x3_{i}" for i in (1, 2, 3, 4)),
)
_E = (
    ("branch1x1",),
    ("branch3x3_1", ("branch3x3_2a", "branch3x3_2b")),
    ("branch3x3dbl_1", "branch3x3dbl_2", ("branch3x3dbl_3a", "branch3x3dbl_3b")),
)
BLOCKS = {
    "Mixed_5b": (_A, "mean"),
    "Mixed_5c": (_A, "mean"),
    "Mixed_5d": (_A, "mean"),
    "Mixed_6a": (_HALF_6, "half"),
    "Mixed_6b": (_C, "mean"),
    "Mixed_6c": (_C, "mean"),
    "Mixed_6d": (_C, "mean"),
    "Mixed_6e": (_C, "mean"),
    "Mixed_7a": (_HALF_7, "half"),
    "Mixed_7b": (_E, "mean"),
    "Mixed_7c": (_E, "max"),
}


def inception_from_torch(
    weights: dict[str, np.ndarray], path: Path
) -> tuple[Callable[[tf.Tensor], tf.Tensor], np.ndarray]:
    """Builds the network of a state dict.

    Args:
        weights: name -> array.
        path: of the file, for messages.

    Returns:
        A function of float [N, 299, 299, 3] in [-1, 1] to [N, features], and the kernel
        of the last layer, [features, classes].

    Raises:
        UserError: a tensor is missing or does not fit.
    """
    net = _Network(weights, path)
    classes = net.take("fc.weight", 2).T
    try:
        features = net(tf.zeros([1, 75, 75, 3])).shape[-1]
    except (ValueError, tf.errors.InvalidArgumentError) as e:
        reason = str(e).strip().splitlines()[0]
        raise UserError(f"{path} has weights that do not fit: {reason}") from e
    if features != len(classes):
        raise UserError(
            f"{path}: fc.weight takes {len(classes)} numbers, not {features}."
        )
    return net, classes


class _Network:
    """Maps [N, 299, 299, 3] in [-1, 1] to mean activations, [N, features]."""

    def __init__(self, weights: dict[str, np.ndarray], path: Path):
        self._weights, self._path = weights, path
        self._layers: dict[str, tuple] = {}

    def take(self, name: str, rank: int) -> np.ndarray:
        """Returns a tensor of the file, of `rank` dimensions, or raises UserError."""
        array = self._weights.get(name)
        if array is None or array.ndim != rank:
            problem = "is missing" if array is None else f"has shape {array.shape}"
            raise UserError(f"{self._path} has no Inception of 2015: {name} {problem}.")
        return array

    def _layer(self, name: str) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns a layer's kernel (HWIO) and bias, batch normalization folded in."""
        if name not in self._layers:
            kernel = self.take(f"{name}.conv.weight", 4).astype(np.float64)
            norm = ("weight", "bias", "running_mean", "running_var")
            gamma, beta, mean, variance = (
                self.take(f"{name}.bn.{part}", 1).astype(np.float64) for part in norm
            )
            scale = gamma / np.sqrt(variance + EPSILON)
            folded = kernel.transpose(2, 3, 1, 0) * scale
            bias = beta - mean * scale
            with tf.init_scope():  # the constants outlive the traced function
                layer = [tf.constant(a, tf.float32) for a in (folded, bias)]
            self._layers[name] = tuple(layer)
        return self._layers[name]

    def _conv(self, x: tf.Tensor, name: str, stride: int = 1, padding="SAME"):
        kernel, bias = self._layer(name)
        return tf.nn.relu(tf.nn.conv2d(x, kernel, stride, padding) + bias)

    def _branch(self, x: tf.Tensor, layers: tuple, half: bool) -> tf.Tensor:
        for i, name in enumerate(layers):
            if isinstance(name, tuple):
                x = tf.concat([self._conv(x, part) for part in name], axis=-1)
            elif half and i == len(layers) - 1:
                x = self._conv(x, name, 2, "VALID")
            else:
                x = self._conv(x, name)
        return x

    def _block(self, x: tf.Tensor, block: str) -> tf.Tensor:
        branches, pool = BLOCKS[block]
        half = pool == "half"
        outputs = [
            self._branch(x, [_full_name(block, name) for name in branch], half)
            for branch in branches
        ]
        if half:
            return tf.concat([*outputs, tf.nn.max_pool2d(x, 3, 2, "VALID")], axis=-1)
        pooling = tf.nn.avg_pool2d if pool == "mean" else tf.nn.max_pool2d
        last = self._conv(pooling(x, 3, 1, "SAME"), f"{block}.branch_pool")
        return tf.concat([*outputs, last], axis=-1)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        x = self._conv(x, "Conv2d_1a_3x3", 2, "VALID")
        x = self._conv(x, "Conv2d_2a_3x3", 1, "VALID")
        x = self._conv(x, "Conv2d_2b_3x3")
        x = tf.nn.max_pool2d(x, 3, 2, "VALID")
        x = self._conv(x, "Conv2d_3b_1x1", 1, "VALID")
        x = self._conv(x, "Conv2d_4a_3x3", 1, "VALID")
        x = tf.nn.max_pool2d(x, 3, 2, "VALID")
        for block in BLOCKS:
            x = self._block(x, block)
        return tf.reduce_mean(x, axis=[1, 2])


def _full_name(block: str, name: str | tuple) -> str | tuple:
    """Returns the full name of a layer, or of each of two layers side by side."""
    if isinstance(name, tuple):
        return tuple(_full_name(block, part) for part in name)
    return f"{block}.{name}"
