"""The table of chance: open interval, independence, one meaning for each number."""

import numpy as np
import pytest
import tensorflow as tf
from augment_reference import normal

from stylegan_tf.augment import randomness

TABLE = randomness.sample_uniforms(20000, [3, 4])


def test_numbers_are_uniform_in_the_open_interval():
    table = TABLE.numpy()
    assert table.shape == (20000, randomness.UNIFORMS) and table.dtype == np.float32
    assert table.min() > 0 and table.max() < 1
    np.testing.assert_allclose(table.mean(axis=0), 0.5, atol=0.012)
    np.testing.assert_allclose(table.var(axis=0), 1 / 12, atol=0.003)
    off_diagonal = np.corrcoef(table, rowvar=False) - np.eye(randomness.UNIFORMS)
    assert np.abs(off_diagonal).max() < 0.04


def test_the_ends_of_the_interval_are_harmless():
    """Where float32 draws 0 and its largest number below 1."""
    ends = tf.constant([0.0, 1 - 1 / randomness.STEPS]) + 0.5 / randomness.STEPS
    assert ends[0] > 0 and ends[1] < 1
    assert np.isfinite(randomness.to_normal(ends)).all()
    for count in range(1, 300):
        np.testing.assert_array_equal(randomness.to_choice(ends, count), [0, count - 1])


def test_the_same_seed_is_the_same_table():
    np.testing.assert_array_equal(
        randomness.sample_uniforms(3, [1, 2]), randomness.sample_uniforms(3, [1, 2])
    )
    assert (
        randomness.sample_uniforms(3, [1, 2]) != randomness.sample_uniforms(3, [1, 3])
    ).numpy().mean() > 0.99


def test_each_number_belongs_to_one_operation():
    table = tf.range(randomness.UNIFORMS)[None]
    taken = [
        int(c[0])
        for name in randomness.NUMBERS
        for c in randomness.columns(table, name)
    ]
    assert taken == list(range(randomness.UNIFORMS))


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_gates_open_with_probability_p(p):
    for name in randomness.NUMBERS:
        on = randomness.gated(TABLE, name, p)[0].numpy()
        assert on.mean() == p if p in (0, 1) else abs(on.mean() - p) < 0.015


def test_uniform_to_other_distributions():
    u = np.float32([1e-6, 0.02, 0.3, 0.5, 0.8, 0.9999])
    exact = np.array([normal(float(x)) for x in u])
    np.testing.assert_allclose(randomness.to_normal(u), exact, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        randomness.to_normal(u, 0.2), 0.2 * exact, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        randomness.to_power_of_two(u, 0.5), 2 ** (exact / 2), rtol=1e-5
    )
    np.testing.assert_allclose(randomness.to_range(u, -2, 6), -2 + 8 * u, rtol=1e-6)
    np.testing.assert_array_equal(randomness.to_choice(u, 4), [0, 0, 1, 2, 3, 3])


def test_uniforms_of_an_unknown_batch():
    @tf.function(input_signature=[tf.TensorSpec([], tf.int32)])
    def traced(n):
        return randomness.sample_uniforms(n, [1, 2])

    np.testing.assert_array_equal(traced(5), randomness.sample_uniforms(5, [1, 2]))
