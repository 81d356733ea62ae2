"""Turns a frozen graph of TensorFlow 1 into a function of TensorFlow 2.

Only the nodes between two tensors are imported, for any batch size, and only operations
that calculate: a graph is a program and could write files. The old batch normalization,
which TensorFlow 2 refuses, becomes the fused one.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from stylegan_tf.errors import UserError

GraphDef = tf.compat.v1.GraphDef
OLD_NORM = "BatchNormWithGlobalNormalization"
ALLOWED = {"Const", "Identity", "CheckNumerics", "Conv2D", "BiasAdd", "Relu"}
ALLOWED |= {"MaxPool", "AvgPool", "Concat", "ConcatV2", "ResizeBilinear", OLD_NORM}
ALLOWED |= {"FusedBatchNorm", "FusedBatchNormV3", "Add", "AddV2", "Sub", "Mul"}
WHOLE = "give the file as published."


def parse_graph(data: bytes, path: Path) -> GraphDef:
    """Parses the bytes of a `.pb` file.

    Args:
        data: the bytes.
        path: of the file, for messages.

    Raises:
        UserError: the bytes are no graph.
    """
    graph = GraphDef()
    try:
        graph.ParseFromString(data)
    except Exception as e:  # protobuf's DecodeError has no stable import path
        raise UserError(f"{path} is no frozen TensorFlow graph, or damaged.") from e
    if not graph.node:
        raise UserError(f"{path} is a TensorFlow graph without nodes; download again.")
    return graph


def graph_constant(graph: GraphDef, name: str, path: Path) -> np.ndarray:
    """Returns the value of a constant.

    Args:
        graph: a parsed graph.
        name: of the node.
        path: of the file, for messages.

    Raises:
        UserError: there is no such node, or it is no constant.
    """
    for node in graph.node:
        if node.name == name and node.op == "Const":
            return _value(node, path)
    raise UserError(f"{path} has no constant {name!r}: it is another graph; {WHOLE}")


def _value(node, path: Path) -> np.ndarray:
    """Returns a constant as an array."""
    _check_size(node, path)
    try:
        return tf.make_ndarray(node.attr["value"].tensor)
    except Exception as e:  # ValueError or TypeError
        raise UserError(f"{path} has a damaged constant {node.name!r}.") from e


def _check_size(node, path: Path) -> None:
    """Refuses a constant whose few bytes unfold to a large array."""
    tensor = node.attr["value"].tensor
    count = np.prod([float(d.size) for d in tensor.tensor_shape.dim])
    if not 0 <= count <= max(len(tensor.tensor_content), 1 << 20):
        raise UserError(f"{path} has a damaged constant {node.name!r}.")


def graph_function(
    graph: GraphDef, feed: str, fetch: str, path: Path
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a function of float images from a part of a graph.

    Args:
        graph: a graph with its weights as constants.
        feed: node that is replaced by the input, [N, H, W, 3] of any N, H and W.
        fetch: node whose output is returned.
        path: of the file, for messages.

    Raises:
        UserError: `fetch` does not depend on `feed`, or a node between them has an
            operation that image networks do not need.
    """
    cut = _cut(graph, feed, fetch, path)
    try:
        wrapped = tf.compat.v1.wrap_function(
            lambda: tf.graph_util.import_graph_def(cut, name=""), []
        )
    except (ValueError, tf.errors.OpError) as e:
        reason = str(e).strip().splitlines()[0]
        raise UserError(f"{path} holds a graph that does not fit: {reason}") from e
    ends = [wrapped.graph.get_tensor_by_name(f"{name}:0") for name in (feed, fetch)]
    return wrapped.prune(*ends)


def _cut(graph: GraphDef, feed: str, fetch: str, path: Path) -> GraphDef:
    """Returns the nodes between `feed` and `fetch`, in operations of TensorFlow 2."""
    nodes = {node.name: node for node in graph.node}
    cut = GraphDef()
    cut.versions.producer = tf.version.GRAPH_DEF_VERSION
    entry = cut.node.add(name=feed, op="Placeholder")
    entry.attr["dtype"].type = tf.float32.as_datatype_enum
    for size in (-1, -1, -1, 3):
        entry.attr["shape"].shape.dim.add(size=size)
    reached = _reached(nodes, feed, fetch, path)
    if feed not in reached:
        raise UserError(f"{path}: nothing leads from {feed!r} to {fetch!r}; {WHOLE}")
    for name in sorted(reached - {feed}):
        if nodes[name].op == "Const":
            _check_size(nodes[name], path)
        cut.node.extend(_modern(nodes[name]))
    return cut


def _reached(nodes: dict, feed: str, fetch: str, path: Path) -> set[str]:
    """Returns the names of all nodes that `fetch` depends on, back to `feed`."""
    reached, pending = set(), [fetch]
    while pending:
        name = pending.pop()
        if name in reached:
            continue
        reached.add(name)
        if name == feed and feed in nodes:
            continue
        if name not in nodes:
            raise UserError(
                f"{path} has no node {name!r}: it is another graph; {WHOLE}"
            )
        if nodes[name].op not in ALLOWED:
            raise UserError(
                f"{path} needs the operation {nodes[name].op!r} (node {name!r}), which "
                f"no network of pictures needs; it is not run."
            )
        inputs = [i for i in nodes[name].input if not i.startswith("^")]
        pending += [i.split(":", 1)[0] for i in inputs]  # NODE:OUTPUT -> NODE
    return reached


def _modern(node) -> list:
    """Returns a node in operations of TensorFlow 2, without control inputs."""
    new = tf.compat.v1.NodeDef()
    new.CopyFrom(node)
    inputs = [i for i in node.input if not i.startswith("^")]
    del new.input[:]
    new.attr.pop("_output_shapes", None)
    new.device = ""
    if node.op != OLD_NORM:
        new.input.extend(inputs)
        return [new]
    x, mean, variance, beta, gamma = inputs
    nodes = [new]
    if not node.attr["scale_after_normalization"].b:
        gamma = f"{node.name}/ones"
        ones = tf.compat.v1.NodeDef(name=gamma, op="OnesLike", input=[beta])
        ones.attr["T"].type = tf.float32.as_datatype_enum
        nodes.append(ones)
    new.op = "FusedBatchNormV3"
    new.input.extend([x, gamma, beta, mean, variance])
    new.attr.clear()
    for name in ("T", "U"):
        new.attr[name].type = tf.float32.as_datatype_enum
    new.attr["epsilon"].f = node.attr["variance_epsilon"].f
    new.attr["is_training"].b = False
    return nodes
