"""Inception as it was in 2015, for the tests: its graph's nodes, and what they mean.

`walk` names every layer as the published graph does. `Graph` makes a frozen graph of
it, node for node and with the old operations; `Numbers` calculates it in NumPy float64.
"""

import numpy as np
import tensorflow as tf
from numpy.lib.stride_tricks import sliding_window_view

NAMES = {  # of layers in the PyTorch port, by the graph's
    "conv": "Conv2d_1a_3x3",
    "conv_1": "Conv2d_2a_3x3",
    "conv_2": "Conv2d_2b_3x3",
    "conv_3": "Conv2d_3b_1x1",
    "conv_4": "Conv2d_4a_3x3",
}
_ORDER = ["mixed", *(f"mixed_{i}" for i in range(1, 11))]
BLOCKS = dict(zip(_ORDER, "bcdabcdeabc", strict=True))


def _towers(block: str) -> dict[str, str]:
    """Layer in a block -> the port's name for it."""
    index = int(block.split("_")[1]) if "_" in block else 0
    pool = {"tower_2/conv": "branch_pool"}
    if index <= 2:
        found = {"conv": "branch1x1", "tower/conv": "branch5x5_1"}
        found |= {"tower/conv_1": "branch5x5_2", "tower_1/conv": "branch3x3dbl_1"}
        found |= {f"tower_1/conv_{i}": f"branch3x3dbl_{i + 1}" for i in (1, 2)}
        return found | pool
    if index == 3:
        found = {"conv": "branch3x3", "tower/conv": "branch3x3dbl_1"}
        return found | {f"tower/conv_{i}": f"branch3x3dbl_{i + 1}" for i in (1, 2)}
    if index <= 7:
        found = {"conv": "branch1x1", "tower/conv": "branch7x7_1"}
        found |= {f"tower/conv_{i}": f"branch7x7_{i + 1}" for i in (1, 2)}
        found |= {"tower_1/conv": "branch7x7dbl_1"}
        found |= {f"tower_1/conv_{i}": f"branch7x7dbl_{i + 1}" for i in (1, 2, 3, 4)}
        return found | pool
    if index == 8:
        found = {"tower/conv": "branch3x3_1", "tower/conv_1": "branch3x3_2"}
        found |= {"tower_1/conv": "branch7x7x3_1"}
        return found | {f"tower_1/conv_{i}": f"branch7x7x3_{i + 1}" for i in (1, 2, 3)}
    found = {"conv": "branch1x1", "tower/conv": "branch3x3_1"}
    found |= {"tower/mixed/conv": "branch3x3_2a", "tower/mixed/conv_1": "branch3x3_2b"}
    found |= {"tower_1/conv": "branch3x3dbl_1", "tower_1/conv_1": "branch3x3dbl_2"}
    found |= {"tower_1/mixed/conv": "branch3x3dbl_3a"}
    return found | {"tower_1/mixed/conv_1": "branch3x3dbl_3b"} | pool


for _i, (_block, _letter) in enumerate(BLOCKS.items()):
    _number = 5 if _i <= 2 else 6 if _i <= 7 else 7
    for _layer, _name in _towers(_block).items():
        NAMES[f"{_block}/{_layer}"] = f"Mixed_{_number}{_letter}.{_name}"


def walk(net, x):
    """Everything from the prepared picture to `pool_3`.

    Args:
        net: has `conv(name, x, kernel, stride, padding)`, `pool(name, x, kind, stride,
            padding)` and `join(name, parts)`.
        x: what `net` calculates with.
    """
    x = net.conv("conv", x, (3, 3), 2, "VALID")
    x = net.conv("conv_1", x, (3, 3), 1, "VALID")
    x = net.conv("conv_2", x, (3, 3), 1, "SAME")
    x = net.pool("pool", x, "MaxPool", 2, "VALID")
    x = net.conv("conv_3", x, (1, 1), 1, "VALID")
    x = net.conv("conv_4", x, (3, 3), 1, "VALID")
    x = net.pool("pool_1", x, "MaxPool", 2, "VALID")
    for block in ("mixed", "mixed_1", "mixed_2"):
        five = [("conv", (1, 1)), ("conv_1", (5, 5))]
        three = [("conv", (1, 1)), ("conv_1", (3, 3)), ("conv_2", (3, 3))]
        x = _block(net, block, x, {"tower": five, "tower_1": three}, "AvgPool")
    three = [("conv", (1, 1)), ("conv_1", (3, 3))]
    direct = net.conv("mixed_3/conv", x, (3, 3), 2, "VALID")
    long = _chain(net, "mixed_3/tower", x, three)
    long = net.conv("mixed_3/tower/conv_2", long, (3, 3), 2, "VALID")
    x = net.join("mixed_3", [direct, long, _halved(net, "mixed_3", x)])
    for block in ("mixed_4", "mixed_5", "mixed_6", "mixed_7"):
        kernels = ((1, 1), (1, 7), (7, 1))
        short = [(_nth(i), kernel) for i, kernel in enumerate(kernels)]
        kernels = ((1, 1), (7, 1), (1, 7), (7, 1), (1, 7))
        long = [(_nth(i), kernel) for i, kernel in enumerate(kernels)]
        x = _block(net, block, x, {"tower": short, "tower_1": long}, "AvgPool")
    short = net.conv("mixed_8/tower/conv", x, (1, 1), 1, "SAME")
    short = net.conv("mixed_8/tower/conv_1", short, (3, 3), 2, "VALID")
    seven = [("conv", (1, 1)), ("conv_1", (1, 7)), ("conv_2", (7, 1))]
    long = _chain(net, "mixed_8/tower_1", x, seven)
    long = net.conv("mixed_8/tower_1/conv_3", long, (3, 3), 2, "VALID")
    x = net.join("mixed_8", [short, long, _halved(net, "mixed_8", x)])
    x = _fork(net, "mixed_9", x, "AvgPool")
    x = _fork(net, "mixed_10", x, "MaxPool")
    return net.everything("pool_3", x)


def _nth(i: int) -> str:
    return f"conv_{i}" if i else "conv"


def _chain(net, tower, x, layers):
    for name, kernel in layers:
        x = net.conv(f"{tower}/{name}", x, kernel, 1, "SAME")
    return x


def _halved(net, block, x):
    return net.pool(f"{block}/pool", x, "MaxPool", 2, "VALID")


def _pooled(net, block, x, kind):
    x = net.pool(f"{block}/tower_2/pool", x, kind, 1, "SAME")
    return net.conv(f"{block}/tower_2/conv", x, (1, 1), 1, "SAME")


def _block(net, block, x, towers, kind):
    parts = [net.conv(f"{block}/conv", x, (1, 1), 1, "SAME")]
    parts += [_chain(net, f"{block}/{name}", x, ls) for name, ls in towers.items()]
    return net.join(block, [*parts, _pooled(net, block, x, kind)])


def _fork(net, block, x, kind):
    parts = [net.conv(f"{block}/conv", x, (1, 1), 1, "SAME")]
    for tower, layers in {
        "tower": [("conv", (1, 1))],
        "tower_1": [("conv", (1, 1)), ("conv_1", (3, 3))],
    }.items():
        end = _chain(net, f"{block}/{tower}", x, layers)
        for name, kernel in (("mixed/conv", (1, 3)), ("mixed/conv_1", (3, 1))):
            parts.append(net.conv(f"{block}/{tower}/{name}", end, kernel, 1, "SAME"))
    return net.join(block, [*parts, _pooled(net, block, x, kind)])


class Weights:
    """Random weights of a narrow network, by node; made in the order of a walk.

    Args:
        images: uint8 [N, H, W, 3] that its features tell apart.
    """

    def __init__(self, images: np.ndarray, seed: int = 0, classes: int = 7):
        self._rng, self.nodes = np.random.default_rng(seed), {}
        self.features = walk(self, 3)
        self.softmax = self._rng.normal(size=(self.features, classes))
        self.biases = self._rng.normal(size=classes)
        walk(Calibration(self), prepared(images))

    def conv(self, name, x, kernel, stride, padding):
        rng, out = self._rng, int(self._rng.integers(2, 5))
        kept = {
            "conv2d_params": rng.normal(size=(*kernel, x, out))
            * np.sqrt(1.5 / np.prod([*kernel, x])),
            "batchnorm/beta": rng.normal(size=out) * 0.3 + 0.2,
            "batchnorm/gamma": rng.uniform(0.5, 1.5, out),
            "batchnorm/moving_mean": rng.normal(size=out) * 0.2,
            "batchnorm/moving_variance": rng.uniform(0.5, 1.5, out),
        }
        self.nodes |= {f"{name}/{k}": np.float32(v) for k, v in kept.items()}
        return out

    def pool(self, name, x, kind, stride, padding):
        return x

    def join(self, name, parts):
        return sum(parts)

    def everything(self, name, x):
        return x

    def torch(self) -> dict[str, np.ndarray]:
        """The same, under the names and in the layout of the PyTorch port."""
        norm = {"beta": "bias", "gamma": "weight"}
        norm |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
        found = {"fc.weight": np.float32(self.softmax.T), "fc.bias": self.biases}
        for layer, name in NAMES.items():
            kernel = self.nodes[f"{layer}/conv2d_params"]
            found[f"{name}.conv.weight"] = kernel.transpose(3, 2, 0, 1).copy()
            for ours, theirs in norm.items():
                found[f"{name}.bn.{theirs}"] = self.nodes[f"{layer}/batchnorm/{ours}"]
        return found


class Numbers:
    """The walk in float64; x is [N, H, W, C]."""

    def __init__(self, weights: Weights):
        self._w = weights.nodes

    def conv(self, name, x, kernel, stride, padding):
        w = self._w[f"{name}/conv2d_params"].astype(np.float64)
        windows = self._windows(x, kernel, stride, padding, 0)
        y = np.einsum("nhwcij,ijco->nhwo", windows, w, optimize=True)
        norm = ("moving_mean", "moving_variance", "gamma", "beta")
        mean, var, gamma, beta = (
            self._w[f"{name}/batchnorm/{part}"].astype(np.float64) for part in norm
        )
        return np.maximum((y - mean) / np.sqrt(var + 0.001) * gamma + beta, 0)

    def _windows(self, x, kernel, stride, padding, fill):
        if padding == "SAME":  # odd sizes, stride 1
            sides = [((k - 1) // 2, (k - 1) // 2) for k in kernel]
            x = np.pad(x, [(0, 0), *sides, (0, 0)], constant_values=fill)
        return sliding_window_view(x, kernel, (1, 2))[:, ::stride, ::stride]

    def pool(self, name, x, kind, stride, padding):
        fill = np.nan if kind == "AvgPool" else -np.inf
        windows = self._windows(x, (3, 3), stride, padding, fill)
        mean = kind == "AvgPool"
        return np.nanmean(windows, (-2, -1)) if mean else windows.max((-2, -1))

    def join(self, name, parts):
        return np.concatenate(parts, axis=-1)

    def everything(self, name, x):
        return x.mean((1, 2))


class Calibration(Numbers):
    """Sets the normalizations' moments to those of the pictures that pass.

    Ninety random layers would otherwise make all pictures alike.
    """

    def conv(self, name, x, kernel, stride, padding):
        w = self._w[f"{name}/conv2d_params"]
        windows = self._windows(x, kernel, stride, padding, 0)
        y = np.einsum("nhwcij,ijco->nhwo", windows, w, optimize=True)
        mean, variance = y.mean((0, 1, 2)), y.var((0, 1, 2))
        self._w[f"{name}/batchnorm/moving_mean"][:] = mean
        self._w[f"{name}/batchnorm/moving_variance"][:] = variance
        return super().conv(name, x, kernel, stride, padding)


class Graph:
    """The walk as nodes of a frozen graph; x is the name of a node."""

    def __init__(self, weights: Weights, scaled: bool = True):
        self.definition = tf.compat.v1.GraphDef()
        self.definition.versions.producer = 8
        self._w, self._scaled = weights.nodes, scaled
        self._node("DecodeJpeg/contents", "Const", value=b"", dtype=tf.string)
        self._node("DecodeJpeg", "DecodeJpeg", ["DecodeJpeg/contents"], channels=3)
        kinds = {"SrcT": tf.uint8, "DstT": tf.float32}
        self._node("Cast", "Cast", ["DecodeJpeg"], **kinds)
        self._const("ExpandDims/dim", np.int32(0))
        self._node("ExpandDims", "ExpandDims", ["Cast", "ExpandDims/dim"], T=tf.float32)
        self._const("ResizeBilinear/size", np.int32([299, 299]))
        ends = ["ExpandDims", "ResizeBilinear/size"]
        self._node("ResizeBilinear", "ResizeBilinear", ends, T=tf.float32)
        for name, x, y in (("Sub", "ResizeBilinear", 128), ("Mul", "Sub", 1 / 128)):
            self._const(f"{name}/y", np.float32(y))
            self._node(name, name, [x, f"{name}/y"], T=tf.float32)
        pool = walk(self, "Mul")
        self._const("pool_3/_reshape/shape", np.int32([1, weights.features]))
        ends = [pool, "pool_3/_reshape/shape"]
        self._node("pool_3/_reshape", "Reshape", ends, T=tf.float32)
        self._const("softmax/weights", np.float32(weights.softmax))
        self._const("softmax/biases", np.float32(weights.biases))
        ends = ["pool_3/_reshape", "softmax/weights"]
        self._node("softmax/logits/MatMul", "MatMul", ends, T=tf.float32)
        ends = ["softmax/logits/MatMul", "softmax/biases"]
        self._node("softmax/logits", "BiasAdd", ends, T=tf.float32)
        self._node("softmax", "Softmax", ["softmax/logits"], T=tf.float32)

    def _node(self, name, op, inputs=(), **attributes):
        node = self.definition.node.add(name=name, op=op, input=list(inputs))
        for key, value in attributes.items():
            slot = node.attr[key]
            if isinstance(value, tf.DType):
                slot.type = value.as_datatype_enum
            elif isinstance(value, bool):
                slot.b = value
            elif isinstance(value, float):
                slot.f = value
            elif isinstance(value, int):
                slot.i = value
            elif isinstance(value, list):
                slot.list.i.extend(value)
            elif isinstance(value, str):
                slot.s = value.encode()
            else:
                slot.tensor.CopyFrom(tf.make_tensor_proto(value))
        return name

    def _const(self, name, value):
        dtype = tf.as_dtype(value.dtype)
        return self._node(name, "Const", dtype=dtype, value=value)

    def conv(self, name, x, kernel, stride, padding):
        parts = ("moving_mean", "moving_variance", "beta", "gamma")
        for part in ("conv2d_params", *(f"batchnorm/{p}" for p in parts)):
            self._const(f"{name}/{part}", self._w[f"{name}/{part}"])
        strides, kind = [1, stride, stride, 1], tf.float32
        ends = [x, f"{name}/conv2d_params"]
        conv = self._node(
            f"{name}/Conv2D", "Conv2D", ends, T=kind, strides=strides, padding=padding
        )
        norm = self._node(
            f"{name}/batchnorm",
            "BatchNormWithGlobalNormalization",
            [conv, *(f"{name}/batchnorm/{p}" for p in parts)],
            T=kind,
            variance_epsilon=0.001,
            scale_after_normalization=self._scaled,
        )
        check, text = f"{name}/CheckNumerics", "not a number"
        self._node(check, "CheckNumerics", [norm], T=kind, message=text)
        ends = [norm, f"^{check}"]
        held = self._node(f"{name}/control_dependency", "Identity", ends, T=kind)
        return self._node(name, "Relu", [held], T=kind)

    def pool(self, name, x, kind, stride, padding, side=3):
        sizes = {"ksize": [1, side, side, 1], "strides": [1, stride, stride, 1]}
        return self._node(name, kind, [x], T=tf.float32, padding=padding, **sizes)

    def join(self, name, parts):
        dim = self._const(f"{name}/join/concat_dim", np.int32(3))
        ends, kind = [dim, *parts], tf.float32
        return self._node(f"{name}/join", "Concat", ends, T=kind, N=len(parts))

    def everything(self, name, x):
        return self.pool(name, x, "AvgPool", 1, "VALID", 8)


def prepared(images: np.ndarray) -> np.ndarray:
    """Bilinear as TensorFlow 1 had it, to 299 x 299, and (x - 128) / 128; float64."""
    x = images.astype(np.float64)
    for axis in (1, 2):
        size = x.shape[axis]
        at = np.arange(299) * (size / 299)
        low = np.floor(at).astype(int)
        share = (at - low).reshape([-1 if i == axis else 1 for i in range(4)])
        high = np.minimum(low + 1, size - 1)
        x = x.take(low, axis) * (1 - share) + x.take(high, axis) * share
    return (x - 128) / 128


def features(weights: Weights, images: np.ndarray) -> np.ndarray:
    """float64 [N, features] of uint8 [N, H, W, 3]."""
    return walk(Numbers(weights), prepared(images))


def probabilities(weights: Weights, images: np.ndarray) -> np.ndarray:
    """float64 [N, classes]; the biases do not count."""
    logits = features(weights, images) @ weights.softmax
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return odds / odds.sum(1, keepdims=True)


def pictures(n=3, height=21, width=34, channels=3):
    """Soft noise: neighbors are alike, as in pictures."""
    rng = np.random.default_rng(n)
    coarse = rng.uniform(0, 255, (n, height // 4 + 2, width // 4 + 2, channels))
    fine = coarse.repeat(4, 1).repeat(4, 2)[:, :height, :width]
    return np.clip(fine + rng.normal(0, 20, fine.shape), 0, 255).astype(np.uint8)
