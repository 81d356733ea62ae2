"""Less memory for more time: what a gradient needs is computed again, not kept.

The derivative of a network needs the maps between its layers, which are most of what
training holds. `again` keeps the input of a stretch of layers alone and computes what
lies between once more when the derivative is taken (Chen et al. 2016). The derivative
is itself such a stretch, so that a derivative of it, as R1 and path lengths ask for,
keeps as little; `tf.recompute_grad` stops at the first order.

A stretch that ends in a convolution costs next to nothing: the derivative of a linear
operation does not ask for its value, so what runs again is the filter, the activation
and the normalization before it, and never the convolution. Where pictures are large,
what one layer's derivative works on is itself most of the memory: whole blocks are then
computed again, convolutions too, a few examples at a time.

The same operations on the same numbers: results differ by rounding alone.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import NamedTuple

import keras
import tensorflow as tf

from stylegan_tf.networks import ops

LEAST = 32  # pixels on the shorter side: smaller maps are not worth it
LARGE, PARTS = 256, 4  # from this side on, in so many parts of the batch
_ON = ContextVar("recompute", default=None)  # None outside of a step
_ALONE = ContextVar("maps_alone", default=False)


@contextlib.contextmanager
def when(on: bool) -> Iterator[None]:
    """A training step inside: whether its networks compute again, or keep all."""
    token = _ON.set(on)
    try:
        yield
    finally:
        _ON.reset(token)


@contextlib.contextmanager
def maps_alone() -> Iterator[None]:
    """For a derivative that is taken in maps alone, such as R1's in the picture.

    Elsewhere the slope in a stretch's weights comes before the stretch below is
    entered, or the maps that it needs would pile up.
    """
    token = _ALONE.set(True)
    try:
        yield
    finally:
        _ALONE.reset(token)


def _worth(x: tf.Tensor) -> bool:
    return bool(_ON.get()) and min(x.shape[1:3]) >= LEAST


def again(
    stretch: Callable, inputs: Sequence[tf.Tensor], layers: Sequence = ()
) -> tf.Tensor:
    """`stretch(*inputs)`; inside of `when(True)`, it is run again for derivatives.

    Args:
        stretch: a function of tensors, which draws no random numbers and changes no
            variables. What else it captures is taken as constant.
        inputs: float tensors that have derivatives; the first one is [N, H, W, C].
        layers: Keras layers that it uses, whose weights have derivatives.
    """
    return (
        _stretched(stretch, inputs, layers) if _worth(inputs[0]) else stretch(*inputs)
    )


def in_parts(
    stretch: Callable, inputs: Sequence, layers: Sequence, side: int
) -> tf.Tensor:
    """As `again`, a few examples at a time, where maps reach `side` >= LARGE pixels.

    What a stretch works on is then held for those alone. It may hold several layers,
    convolutions among them, which are computed once more.

    Args:
        stretch: of examples that do not see each other.
        inputs: as of `again`, each of as many examples, or of one for all; or None.
        layers: as of `again`.
        side: of the largest maps inside.
    """
    if not _ON.get() or side < LARGE:
        return stretch(*inputs)
    there = [i for i, x in enumerate(inputs) if x is not None]

    def inside(*given):
        known = dict(zip(there, given, strict=True))
        with when(False):
            return stretch(*(known.get(i) for i in range(len(inputs))))

    examples = inputs[there[0]].shape[0] or 1
    parts = math.gcd(examples, PARTS)
    return _stretched(inside, [inputs[i] for i in there], layers, parts)


def _stretched(stretch: Callable, inputs: Sequence, layers: Sequence, parts: int = 1):
    weights = [v for layer in layers for v in layer.trainable_variables]
    values = [tf.convert_to_tensor(v.value) for v in weights]
    n = len(inputs)

    def pure(*args):
        with keras.StatelessScope(list(zip(weights, args[n:], strict=True))):
            return [stretch(*args[:n])]

    examples = inputs[0].shape[0]
    split = [x.shape[0] == examples for x in inputs] + [False] * len(values)
    return _again(pure, [*inputs, *values], n, _Parts(parts, split, [True]))[0]


class _Parts(NamedTuple):
    """How a function is computed a few examples at a time.

    Attributes:
        count: of parts.
        split: for every argument, whether each part takes its own examples of it.
        joined: for every result, whether it is the parts' one after the other, or
            their sum.
    """

    count: int
    split: list[bool]
    joined: list[bool]

    def call(self, f: Callable, args: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """f(*args), part after part."""
        if self.count == 1:
            return f(*args)
        pieces = [
            tf.split(x, self.count) if split else [x] * self.count
            for x, split in zip(args, self.split, strict=True)
        ]
        out = []
        for part in zip(*pieces, strict=True):
            with tf.control_dependencies(out[-1] if out else []):
                out.append(f(*(tf.identity(x) for x in part)))
        return [
            tf.concat(xs, 0) if joined else tf.add_n(xs)
            for xs, joined in zip(zip(*out, strict=True), self.joined, strict=True)
        ]


def _again(f: Callable, args: list, n: int, parts: _Parts) -> list[tf.Tensor]:
    """f(*args), a list; the first n of args are maps, the others weights."""
    k = len(args)

    @tf.custom_gradient
    def run(*args):
        def slope(*out):
            with tf.control_dependencies(out):  # not before it is asked for
                both = [*(tf.identity(x) for x in args), *out]

            def of(*which):
                split = parts.split + parts.joined
                deeper = _Parts(parts.count, split, [parts.split[i] for i in which])
                return _again(_slope(f, k, which), both, len(both), deeper)

            if _ALONE.get():  # two functions, as a graph drops only whole ones
                return of(*range(n)) + (of(*range(n, k)) if n < k else [])
            found = of(*range(k))
            with tf.control_dependencies(found[n:]):
                return [tf.identity(x) for x in found[:n]] + found[n:]

        return parts.call(f, args), slope

    return list(run(*args))


def _slope(f: Callable, k: int, which: Sequence[int]) -> Callable:
    """The function that takes k arguments of f and the slope of what it returns, to
    the slopes in the arguments `which`."""

    def slope(*both):
        args, out = list(both[:k]), list(both[k:])
        sources = [args[i] for i in which]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(sources)
            values = f(*args)
        zero = tf.UnconnectedGradients.ZERO
        return tape.gradient(values, sources, out, zero)

    return slope


def activate(x: tf.Tensor, kind: str, gain: float = 1.0) -> tf.Tensor:
    """As `ops.activate`; in a training step, its slope is told from what comes out.

    The sign of a leaky ReLU is that of its input, and what comes out is what the next
    layer keeps in any case. Nor does it know of a second derivative, for which
    TensorFlow's own makes, keeps and adds maps of zeros.
    """
    if _ON.get() is None:
        return ops.activate(x, kind, gain)
    alpha = {"lrelu": 0.2, "relu": 0.0}[kind]

    def scaled(y):
        return y if gain == 1 else y * tf.cast(gain, y.dtype)

    @tf.custom_gradient
    def run(x):
        y = scaled(tf.nn.leaky_relu(x, alpha))
        sign = tf.stop_gradient(y)

        def slope(out):
            out = scaled(out)
            return tf.raw_ops.LeakyReluGrad(gradients=out, features=sign, alpha=alpha)

        return y, slope

    return run(x)
