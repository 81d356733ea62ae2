"""The operations of a compiled step that a device would have to launch, by kind.

They are counted in the graph that TensorFlow runs, after its optimizer. Left out is
what launches nothing: constants, arguments and results, views of the same numbers
(Reshape and its kin), reads of variables, control flow, and identities. All else
counts, small or large, also an assignment, which mostly just hands over a buffer.
"""

import operator
from collections import Counter
from collections.abc import Callable

from stylegan_tf.config import TrainConfig, update

_NETWORKS = "generator", "discriminator"
FREE = frozenset(
    [
        "_Arg",
        "_Retval",
        "Const",
        "Placeholder",
        "VarHandleOp",
        "ReadVariableOp",
        "Reshape",
        "Squeeze",
        "ExpandDims",
        "Shape",
        "Identity",
        "IdentityN",
        "StopGradient",
        "PreventGradient",
        "NoOp",
        "Switch",
        "Merge",
    ]
)


def narrowed(config: TrainConfig, factor: int) -> TrainConfig:
    """Returns a run with widths divided by `factor`: the same operations, sooner."""
    names = [f"{n}.fmap_{w}" for n in _NETWORKS for w in ("base", "max")]
    names += [f"generator.{w}" for w in ("z_dim", "w_dim", "mapping_width")]
    widths = {n: operator.attrgetter(n)(config) // factor for n in names}
    return update(config, {name: max(width, 4) for name, width in widths.items()})


def launched(step: Callable[[], object]) -> Counter[str]:
    """Returns the operations of a `tf.function` by kind.

    Args:
        step: calls the function, for the first time.
    """
    from tensorflow.python.eager import context  # no public name tells the graph

    context.enable_run_metadata()
    try:
        step()
        graphs = context.export_run_metadata().function_graphs
    finally:
        context.disable_run_metadata()
    nodes = max((g.post_optimization_graph.node for g in graphs), key=len)
    return Counter(node.op for node in nodes if node.op not in FREE)
