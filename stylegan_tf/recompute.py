"""Less memory for more time: what a gradient needs is computed again, not kept.

The derivative of a network needs the maps between its layers, which are most of what
training holds. `again` keeps the input of a stretch of layers alone and computes what
lies between once more when the derivative is taken (Chen et al. 2016). The derivative
is itself such a stretch, so that a derivative of it, as R1 and path lengths ask for,
keeps as little; `tf.recompute_grad` stops at the first order.

A stretch that ends in a convolution costs next to nothing: the derivative of a linear
operation does not ask for its value, so what runs again is the filter, the activation
and the normalisation before it, and never the convolution.

The same operations on the same numbers: results differ by rounding alone.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar

import keras
import tensorflow as tf

from stylegan_tf import ops

LEAST = 32  # pixels on the shorter side: smaller maps are not worth it
_ON = ContextVar("recompute", default=False)
_ALONE = ContextVar("maps_alone", default=False)


@contextlib.contextmanager
def when(on: bool) -> Iterator[None]:
    """Whether networks that are called inside compute again; else they keep all."""
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
    return _ON.get() and min(x.shape[1:3]) >= LEAST


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
    if not _worth(inputs[0]):
        return stretch(*inputs)
    weights = [v for layer in layers for v in layer.trainable_variables]
    values = [tf.convert_to_tensor(v.value) for v in weights]
    n = len(inputs)

    def pure(*args):
        with keras.StatelessScope(list(zip(weights, args[n:], strict=True))):
            return [stretch(*args[:n])]

    return _again(pure, [*inputs, *values], n)[0]


def _again(f: Callable, args: list[tf.Tensor], n: int) -> list[tf.Tensor]:
    """f(*args), a list; the first n of args are maps, the others weights.

    The slopes in maps and in weights are two functions: R1 asks for the former alone,
    and a graph drops only whole functions that nobody asks for.
    """

    @tf.custom_gradient
    def run(*args):
        def slope(*out):
            with tf.control_dependencies(out):  # not before it is asked for
                held = [tf.identity(x) for x in args]
            both = [*held, *out]
            k = len(args)
            of_maps = _again(_slope(f, k, range(n)), both, len(both)) if n else []
            of_weights = _again(_slope(f, k, range(n, k)), both, len(both))
            if of_weights and not _ALONE.get():
                with tf.control_dependencies(of_weights):
                    of_maps = [tf.identity(x) for x in of_maps]
            return [*of_maps, *of_weights]

        return f(*args), slope

    return list(run(*args)) if args else f()


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
    """As `ops.activate`; inside of `when(True)`, its slope is told from what comes out.

    The sign of a leaky ReLU is that of its input, and what comes out is what the next
    convolution keeps in any case.
    """
    if not _worth(x):
        return ops.activate(x, kind, gain)
    alpha = {"lrelu": 0.2, "relu": 0.0}[kind]

    @tf.custom_gradient
    def run(x):
        y = tf.nn.leaky_relu(x, alpha) * tf.cast(gain, x.dtype)

        def slope(out):
            out *= tf.cast(gain, out.dtype)
            return tf.raw_ops.LeakyReluGrad(gradients=out, features=y, alpha=alpha)

        return y, slope

    return run(x)
