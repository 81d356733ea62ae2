"""Float32 that is float32, also on NVIDIA GPUs.

There TensorFlow rounds what goes into float32 convolutions and matrix products to TF32,
10 bits of mantissa. Training does not mind, and is faster; but pictures are then off by
up to 0.03 (from -1 to 1), which hides what comparisons look for.
"""

import contextlib
from collections.abc import Iterator

import tensorflow as tf


@contextlib.contextmanager
def exact_float32() -> Iterator[None]:
    """No TF32 in here; afterwards it is as it was."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)
