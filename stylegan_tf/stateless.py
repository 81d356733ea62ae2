"""Random numbers of a seed, the same whether XLA compiles the program or not.

Philox (Salmon et al. 2011) gives the same bits to TensorFlow's kernels and to XLA, but
each makes numbers of them in its own way. Inside `under_xla` these functions do with
the bits what the kernels do, so that a compiled training step sees the latents, noise
and augmentations of one that is not.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import tensorflow as tf

Shape = Sequence[int | tf.Tensor] | tf.Tensor
_UNDER_XLA = ContextVar("under_xla", default=False)
SMALLEST = 1e-7  # that a uniform counts for in a logarithm
PHILOX = tf.random.Algorithm.PHILOX.value
SCRAMBLE = 0x02461E293EC8F720  # key with which the kernels mix the words of a seed


@contextmanager
def under_xla(on: bool = True) -> Iterator[None]:
    """Marks a function that XLA compiles, while it is traced."""
    token = _UNDER_XLA.set(on)
    try:
        yield
    finally:
        _UNDER_XLA.reset(token)


def is_under_xla() -> bool:
    """True while a function that XLA compiles is traced."""
    return _UNDER_XLA.get()


def uniform(shape: Shape, seed: tf.Tensor) -> tf.Tensor:
    """Returns uniform numbers in [0, 1), multiples of 2^-23.

    Args:
        shape: of the result.
        seed: int [2].
    """
    if not is_under_xla():
        return tf.random.stateless_uniform(shape, seed)
    return _to_uniform(_bits(shape, seed))


def normal(shape: Shape, seed: tf.Tensor) -> tf.Tensor:
    """Returns normal numbers of mean 0 and variance 1.

    Args:
        shape: of the result.
        seed: int [2].
    """
    if not is_under_xla():
        return tf.random.stateless_normal(shape, seed)
    shape = tf.cast(shape, tf.int32)
    size = tf.reduce_prod(shape)
    pairs = _to_uniform(_bits([(size + 1) // 2, 2], seed))
    u, v = tf.unstack(pairs, axis=1)  # Box & Muller 1958
    radius = tf.sqrt(-2 * tf.math.log(tf.maximum(u, SMALLEST)))
    angle = 2 * math.pi * v
    both = tf.stack([tf.sin(angle) * radius, tf.cos(angle) * radius], axis=1)
    return tf.reshape(tf.reshape(both, [-1])[:size], shape)


def integers(shape: Shape, seed: tf.Tensor, below: int) -> tf.Tensor:
    """Returns int32 numbers in [0, below).

    Args:
        shape: of the result.
        seed: int [2].
        below: at least 1.
    """
    if not is_under_xla():
        return tf.random.stateless_uniform(shape, seed, 0, below, tf.int32)
    return tf.cast(_bits(shape, seed) % tf.constant(below, tf.uint32), tf.int32)


def fold_in(seed: tf.Tensor, data: int | tf.Tensor) -> tf.Tensor:
    """Returns the seed of one of several uses of a seed, as `tf.random.fold_in` does.

    Args:
        seed: int [2].
        data: int scalar, the number of the use.
    """
    if not is_under_xla():
        return tf.random.fold_in(seed, data)
    data = tf.convert_to_tensor(data)
    if data.dtype == tf.int32:
        first = tf.bitcast(_bits([1], seed), tf.int32)
    else:
        first = tf.bitcast(_bits([1, 2], seed), tf.int64)
    return tf.stack([first[0], data])


def _bits(shape: Shape, seed: tf.Tensor) -> tf.Tensor:
    """Returns 32 random bits per element, as uint32.

    Philox's key and counter are made of the seed here, as TensorFlow's kernels do. XLA
    drops the upper half of a seed of 64 bits.
    """
    seed = tf.bitcast(tf.cast(seed, tf.int64), tf.uint64)
    mixed = _philox([4], tf.constant([SCRAMBLE], tf.uint64), seed)
    key, counter = tf.unstack(tf.bitcast(tf.reshape(mixed, [2, 2]), tf.uint64))
    return _philox(shape, key[None], tf.stack([tf.zeros([], tf.uint64), counter]))


def _philox(shape: Shape, key: tf.Tensor, counter: tf.Tensor) -> tf.Tensor:
    """Returns Philox's output of a key, uint64 [1], from a counter, uint64 [2], on."""
    return tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=shape, key=key, counter=counter, alg=PHILOX, dtype=tf.uint32
    )


def _to_uniform(bits: tf.Tensor) -> tf.Tensor:
    """Makes the low 23 bits the mantissa of a number in [1, 2), less 1."""
    mantissa = tf.bitwise.bitwise_and(tf.bitcast(bits, tf.int32), (1 << 23) - 1)
    return tf.bitcast(tf.bitwise.bitwise_or(mantissa, 127 << 23), tf.float32) - 1
