"""Functions that XLA compiles, and names by which it finds them compiled already.

XLA's persistent cache knows a function by its name, among other things, and TensorFlow
numbers names by all that a process has made before: a run that goes on would not find
what it has compiled. `number_from` makes the numbers those of the stage of training.
"""

import functools
from collections.abc import Callable

import tensorflow as tf

from stylegan_tf import stateless

SPACING = 1 << 21  # numbers of a stage: 20 for each step, thousands for a function
CHUNK = 1 << 15  # numbers that are used up at once


def compiled_by_xla(function: Callable) -> Callable:
    """Returns a function of tensors that XLA compiles.

    TensorFlow counts how often a function is traced by its code, and a `partial` by
    itself: one code makes a function per resolution, replica and run.
    """

    def traced(*args):
        with stateless.under_xla():
            return function(*args)

    return tf.function(functools.partial(traced), autograph=False, jit_compile=True)


def number_from(stage: int) -> bool:
    """Uses up TensorFlow's numbers up to those of a stage; takes a second or more.

    Args:
        stage: 0 or more; a process that calls this for a stage names what it makes next
            as every other process does.

    Returns:
        False if the numbers are used up already: names are then of this process alone.
    """
    end = SPACING * (stage + 1)
    if _number() > end:
        return False
    while (left := end - _number()) > CHUNK:
        tf.unstack(tf.zeros([CHUNK]))  # each tensor takes a number
    tf.unstack(tf.zeros([max(left, 1)]))
    return True


def _number() -> int:
    """Returns the number of a new function's name."""
    name = tf.function(lambda: None, autograph=False).get_concrete_function().name
    return int(name.decode().rsplit("_", 1)[1])
