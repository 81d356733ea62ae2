"""Gradient checkpointing: less memory for more time.

A gradient needs the feature maps between a network's layers, which are most of what
training holds. A checkpointed segment of layers stores only its inputs and runs once
more when its gradient is taken (Chen et al. 2016). That gradient is a checkpointed
segment too, so a second derivative, as R1 and path lengths need it, stores as little;
`tf.recompute_grad` stops at the first order.

A segment that ends in a convolution costs next to nothing: the gradient of a linear
operation does not depend on its output, so what runs again is the blur, the activation
and the normalization before it, and never the convolution. Where feature maps are
large, the gradient of one layer is itself most of the memory: whole blocks then run
again, convolutions included, a few examples at a time.

The operations and the numbers are the same; results differ by rounding alone.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import NamedTuple

import keras
import tensorflow as tf

from stylegan_tf.networks import ops

MIN_SIDE = 32  # pixels on the shorter side from which a segment is checkpointed
CHUNKED_SIDE = 256  # pixels on the shorter side from which a block runs in chunks
CHUNKS = 4  # that the batch is split into
_ENABLED = ContextVar("recompute", default=None)  # None outside of a training step
_INPUTS_ONLY = ContextVar("inputs_only", default=False)


# ---------------------------------------------------------------------------
# Switches, set by the training step


@contextlib.contextmanager
def enabled(on: bool) -> Iterator[None]:
    """Marks a training step; `on` says if its networks checkpoint their segments."""
    token = _ENABLED.set(on)
    try:
        yield
    finally:
        _ENABLED.reset(token)


@contextlib.contextmanager
def inputs_only() -> Iterator[None]:
    """Marks a gradient with respect to inputs alone, such as R1's to the image.

    Elsewhere the gradient with respect to a segment's weights is computed before that
    of the segment below, or the feature maps that it needs would pile up.
    """
    token = _INPUTS_ONLY.set(True)
    try:
        yield
    finally:
        _INPUTS_ONLY.reset(token)


def in_training_step() -> bool:
    """True inside of `enabled`, whether segments are checkpointed or not."""
    return _ENABLED.get() is not None


# ---------------------------------------------------------------------------
# Segments, declared by decorators of a block's methods


def segment(*parts: str) -> Callable[[Callable], Callable]:
    """Makes a method of a block a checkpointed segment.

        @segment("epilogue0", "conv1")
        def lower(self, x, w, noise): ...

    Positional arguments of the method are float tensors that have gradients, or tuples
    of them, the first one [N, H, W, C]. Keyword arguments are constants without.

    Args:
        parts: attributes of the block, the layers that the method runs.
    """

    def decorate(method: Callable) -> Callable:
        @functools.wraps(method)
        def run(self, *inputs, **constants):
            layers = [getattr(self, part) for part in parts]

            def bound(*flat):
                args = tf.nest.pack_sequence_as(inputs, flat)
                return method(self, *args, **constants)

            return checkpointed(bound, tf.nest.flatten(inputs), layers)

        return run

    return decorate


def in_chunks(call: Callable) -> Callable:
    """Makes `call` of a `ResolutionBlock` run in chunks where it is large."""

    @functools.wraps(call)
    def run(self, x, styles, noise=(None, None)):
        side = min(self.config.shape(self.resolution))
        bound = functools.partial(call, self)
        return checkpointed_in_chunks(bound, [x, styles, noise], [self], side)

    return run


def checkpointed(
    segment: Callable, inputs: Sequence[tf.Tensor], layers: Sequence = ()
) -> tf.Tensor:
    """Returns `segment(*inputs)`, which runs again for gradients in `enabled(True)`.

    Args:
        segment: a function of tensors that draws no random numbers and changes no
            variables. What else it captures is taken as constant.
        inputs: float tensors that have gradients; the first one is [N, H, W, C].
        layers: Keras layers that it runs, whose weights have gradients.
    """
    if _ENABLED.get() and min(inputs[0].shape[1:3]) >= MIN_SIDE:
        return _checkpointed(segment, inputs, layers)
    return segment(*inputs)


def checkpointed_in_chunks(
    segment: Callable, inputs: Sequence, layers: Sequence, side: int
) -> tf.Tensor:
    """Like `checkpointed`, a few examples at a time, where `side` >= CHUNKED_SIDE.

    What a segment works on is then held for those examples alone. The segment may hold
    several layers, convolutions among them, which run once more.

    Args:
        segment: a function that treats each example on its own.
        inputs: tensors, or lists of tensors, each [N, ...] or one for all examples,
            [1, ...]; None stays None.
        layers: as in `checkpointed`.
        side: pixels on the shorter side of the largest feature maps inside.
    """
    if not _ENABLED.get() or side < CHUNKED_SIDE:
        return segment(*inputs)
    flat = tf.nest.flatten(inputs)
    given = [i for i, x in enumerate(flat) if x is not None]

    def run(*tensors):
        filled = dict(zip(given, tensors, strict=True))
        filled = [filled.get(i) for i in range(len(flat))]
        with enabled(False):
            return segment(*tf.nest.pack_sequence_as(inputs, filled))

    examples = flat[given[0]].shape[0] or 1
    return _checkpointed(
        run, [flat[i] for i in given], layers, math.gcd(examples, CHUNKS)
    )


# ---------------------------------------------------------------------------
# The gradient of a segment, of any order


def _checkpointed(
    segment: Callable, inputs: Sequence[tf.Tensor], layers: Sequence, chunks: int = 1
) -> tf.Tensor:
    weights = [v for layer in layers for v in layer.trainable_variables]
    values = [tf.convert_to_tensor(v.value) for v in weights]
    n = len(inputs)

    def pure(*args):
        with keras.StatelessScope(list(zip(weights, args[n:], strict=True))):
            return [segment(*args[:n])]

    examples = inputs[0].shape[0]
    split = [x.shape[0] == examples for x in inputs] + [False] * len(values)
    return _recomputed(pure, [*inputs, *values], n, _Chunks(chunks, split, [True]))[0]


class _Chunks(NamedTuple):
    """The way a function is computed a few examples at a time.

    Attributes:
        count: number of chunks.
        split: per argument, True if each chunk takes its own examples of it.
        joined: per result, True if the chunks' results are concatenated, False if they
            are summed.
    """

    count: int
    split: list[bool]
    joined: list[bool]

    def call(self, f: Callable, args: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Returns f(*args), computed chunk after chunk."""
        if self.count == 1:
            return f(*args)
        pieces = [
            tf.split(x, self.count) if split else [x] * self.count
            for x, split in zip(args, self.split, strict=True)
        ]
        out = []
        for chunk in zip(*pieces, strict=True):
            with tf.control_dependencies(out[-1] if out else []):
                out.append(f(*(tf.identity(x) for x in chunk)))
        return [
            tf.concat(xs, 0) if joined else tf.add_n(xs)
            for xs, joined in zip(zip(*out, strict=True), self.joined, strict=True)
        ]


def _recomputed(f: Callable, args: list, n: int, chunks: _Chunks) -> list[tf.Tensor]:
    """Returns the list f(*args); the first n of args are inputs, the others weights."""
    k = len(args)

    @tf.custom_gradient
    def run(*args):
        def gradient(*upstream):
            with tf.control_dependencies(upstream):  # not any earlier
                both = [*(tf.identity(x) for x in args), *upstream]

            def wrt(*which):
                split = chunks.split + chunks.joined
                deeper = _Chunks(chunks.count, split, [chunks.split[i] for i in which])
                return _recomputed(_gradient(f, k, which), both, len(both), deeper)

            # Two functions, as a graph prunes an unused function only as a whole.
            if _INPUTS_ONLY.get():
                return wrt(*range(n)) + (wrt(*range(n, k)) if n < k else [])
            gradients = wrt(*range(k))
            with tf.control_dependencies(gradients[n:]):
                return [tf.identity(x) for x in gradients[:n]] + gradients[n:]

        return chunks.call(f, args), gradient

    return list(run(*args))


def _gradient(f: Callable, k: int, which: Sequence[int]) -> Callable:
    """The gradient of f as a function.

    Args:
        f: a function of k tensors, to a list of tensors.
        k: number of arguments.
        which: indices of the arguments to differentiate with respect to.

    Returns:
        A function of the k arguments and of one upstream gradient per result of f.
    """

    def gradient(*both):
        args, upstream = list(both[:k]), list(both[k:])
        sources = [args[i] for i in which]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(sources)
            values = f(*args)
        zero = tf.UnconnectedGradients.ZERO
        return tape.gradient(values, sources, upstream, zero)

    return gradient


# ---------------------------------------------------------------------------
# Operations with other gradients in a training step than elsewhere. Saved programs have
# no such gradients, so that networks are saved with TensorFlow's own.


def concat(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Concatenates along the last axis.

    In a training step the gradient is one split. TensorFlow's is a slice per tensor.
    """
    if not in_training_step():
        return tf.concat(tensors, axis=-1)
    sizes = [x.shape[-1] for x in tensors]

    @tf.custom_gradient
    def run(*tensors):
        return tf.concat(tensors, -1), lambda y: tf.split(y, sizes, axis=-1)

    return run(*tensors)


def activate(x: tf.Tensor, kind: str, gain: float = 1.0) -> tf.Tensor:
    """Like `ops.activation`; in a training step its gradient needs the output alone.

    The sign of a leaky ReLU's output is that of its input, and the output is what the
    next layer stores in any case. This gradient has no second derivative, for which
    TensorFlow's own makes, stores and adds feature maps of zeros.
    """
    if not in_training_step():
        return ops.activation(x, kind, gain)
    alpha = {"lrelu": 0.2, "relu": 0.0}[kind]

    def scaled(y):
        return y if gain == 1 else y * tf.cast(gain, y.dtype)

    @tf.custom_gradient
    def run(x):
        y = scaled(tf.nn.leaky_relu(x, alpha))
        sign = tf.stop_gradient(y)

        def gradient(upstream):
            upstream = scaled(upstream)
            return tf.raw_ops.LeakyReluGrad(
                gradients=upstream, features=sign, alpha=alpha
            )

        return y, gradient

    return run(x)
