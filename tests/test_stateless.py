"""stateless.py: XLA and TensorFlow's kernels make the same numbers of a seed."""

import numpy as np
import pytest
import tensorflow as tf

from stylegan_tf import stateless

SEEDS = ([3, 4], [-(2**40) + 17, 2**50 + 5])  # XLA itself drops the upper halves


def numbers(seed: tf.Tensor) -> dict[str, tf.Tensor]:
    used = stateless.fold_in(
        stateless.fold_in(seed, tf.constant(2**33 + 1, tf.int64)), 7
    )
    found = {"folded": used}
    for shape in ([], [3, 5], [2, 4, 16, 1]):
        found[f"uniform {shape}"] = stateless.uniform(shape, used)
        found[f"normal {shape}"] = stateless.normal(shape, used)
    found["integers"] = stateless.integers([50], used, 7)
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_a_compiled_function_makes_the_same_numbers(seed):
    seed = tf.constant(seed, tf.int64)

    @tf.function(autograph=False, jit_compile=True)
    def compiled():
        with stateless.under_xla():
            return numbers(seed)

    found, expected = compiled(), numbers(seed)
    for name, value in expected.items():
        tolerance = 1e-5 if name.startswith("normal") else 0
        np.testing.assert_allclose(found[name], value, rtol=0, atol=tolerance)
    assert np.ptp(expected["integers"]) > 1 and np.std(expected["normal [3, 5]"]) > 0.5


def test_they_are_those_of_tensorflow():
    seed = tf.constant(SEEDS[1], tf.int64)
    pairs = [
        (stateless.fold_in(seed, 7), tf.random.fold_in(seed, 7)),
        (stateless.normal([9], seed), tf.random.stateless_normal([9], seed)),
        (stateless.uniform([9], seed), tf.random.stateless_uniform([9], seed)),
    ]
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours, theirs)
