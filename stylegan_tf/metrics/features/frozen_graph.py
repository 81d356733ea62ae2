"""A frozen graph of TensorFlow 1, made a function of TensorFlow 2.

Only what leads from one tensor to another is taken, for any number of pictures, and
only operations that calculate: a graph is a program, and could write files. The old
batch normalization, which TensorFlow 2 refuses, becomes the fused one.
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


def parse(data: bytes, path: Path) -> GraphDef:
    """The graph in the bytes of a `.pb` file.

    Raises:
        UserError: they are none.
    """
    graph = GraphDef()
    try:
        graph.ParseFromString(data)
    except Exception as e:  # DecodeError, of whichever protobuf is installed
        raise UserError(f"{path} is no frozen TensorFlow graph, or damaged.") from e
    if not graph.node:
        raise UserError(f"{path} is a TensorFlow graph without nodes; download again.")
    return graph


def constant(graph: GraphDef, name: str, path: Path) -> np.ndarray:
    """The value of a node.

    Raises:
        UserError: there is no such node, or it is no constant.
    """
    for node in graph.node:
        if node.name == name and node.op == "Const":
            return _value(node, path)
    raise UserError(f"{path} has no constant {name!r}: it is another graph; {WHOLE}")


def _value(node, path: Path) -> np.ndarray:
    """A constant as an array."""
    _sized(node, path)
    try:
        return tf.make_ndarray(node.attr["value"].tensor)
    except Exception as e:  # ValueError, TypeError: what does not fit
        raise UserError(f"{path} has a damaged constant {node.name!r}.") from e


def _sized(node, path: Path) -> None:
    """A few bytes may stand for a constant of any size; here they may not."""
    tensor = node.attr["value"].tensor
    count = np.prod([float(d.size) for d in tensor.tensor_shape.dim])
    if not 0 <= count <= max(len(tensor.tensor_content), 1 << 20):
        raise UserError(f"{path} has a damaged constant {node.name!r}.")


def function(
    graph: GraphDef, feed: str, fetch: str, path: Path
) -> Callable[[tf.Tensor], tf.Tensor]:
    """What a graph makes of float pictures.

    Args:
        graph: with its weights in it.
        feed: node in whose place [N, H, W, 3] goes, N, H and W free.
        fetch: node whose output comes out.
        path: of the file, for messages.

    Raises:
        UserError: no way leads from one to the other, or it has operations that a
            network of pictures does not need.
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
    """The part of a graph between two nodes, in today's operations."""
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
            _sized(nodes[name], path)
        cut.node.extend(_modern(nodes[name]))
    return cut


def _reached(nodes: dict, feed: str, fetch: str, path: Path) -> set[str]:
    """The names of all nodes that `fetch` needs, back to `feed`."""
    found, open_ends = set(), [fetch]
    while open_ends:
        name = open_ends.pop()
        if name in found:
            continue
        found.add(name)
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
        open_ends += [_source(i) for i in nodes[name].input if not i.startswith("^")]
    return found


def _source(name: str) -> str:
    """The node that an input comes from."""
    return name.split(":", 1)[0]


def _modern(node) -> list:
    """A node as TensorFlow 2 takes it, without what only orders the old runtime."""
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
    made = [new]
    if not node.attr["scale_after_normalization"].b:
        gamma = f"{node.name}/ones"
        ones = tf.compat.v1.NodeDef(name=gamma, op="OnesLike", input=[beta])
        ones.attr["T"].type = tf.float32.as_datatype_enum
        made.append(ones)
    new.op = "FusedBatchNormV3"
    new.input.extend([x, gamma, beta, mean, variance])
    new.attr.clear()
    for name in ("T", "U"):
        new.attr[name].type = tf.float32.as_datatype_enum
    new.attr["epsilon"].f = node.attr["variance_epsilon"].f
    new.attr["is_training"].b = False
    return made
