"""optimizer.py: Adam as it is written, resets, skipped steps, and two replicas."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from stylegan_tf.devices import make_strategy
from stylegan_tf.training.optimizer import Adam

LR = tf.constant(0.01)


def variables():
    rng = np.random.default_rng(0)
    shapes = {"kernel": (3, 4), "bias": (4,)}
    return [
        keras.Variable(rng.normal(size=s), dtype="float32", name=n)
        for n, s in shapes.items()
    ]


def gradients(step: int) -> list[np.ndarray]:
    rng = np.random.default_rng(step + 1)
    return [rng.normal(size=s).astype(np.float32) for s in ((3, 4), (4,))]


def values(optimizer: Adam, weights: list) -> list[np.ndarray]:
    return [np.array(v) for v in (*weights, *optimizer.variables)]


def by_hand(x, steps, lr, beta1, beta2, epsilon) -> np.ndarray:
    """Kingma & Ba's algorithm with TensorFlow's place for epsilon, in float64."""
    x, m, v = x.astype(np.float64), 0.0, 0.0
    for t, g in enumerate(steps, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * np.square(g)
        rate = lr * np.sqrt(1 - beta2**t) / (1 - beta1**t)
        x = x - rate * m / (np.sqrt(v) + epsilon)
    return x


@pytest.mark.parametrize("betas", [(0.0, 0.99, 1e-8), (0.9, 0.95, 1e-2)])
def test_equals_the_algorithm_in_float64(betas):
    weights = variables()
    starts = [v.numpy() for v in weights]
    optimizer = Adam(weights, *betas)
    for step in range(30):
        norm, skipped = optimizer.apply(gradients(step), weights, LR)
        together = np.concatenate([g.ravel() for g in gradients(step)])
        assert norm.numpy() == pytest.approx(np.linalg.norm(together), rel=1e-5)
        assert skipped.numpy() == 0
    assert optimizer.step.numpy() == 30
    for i, (weight, start) in enumerate(zip(weights, starts, strict=True)):
        expected = by_hand(start, [gradients(s)[i] for s in range(30)], 0.01, *betas)
        np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_takes_steps_on_some_of_its_weights():
    kernel, bias = variables()
    before = bias.numpy()
    optimizer = Adam([kernel, bias])
    optimizer.apply(gradients(0)[:1], [kernel], LR)
    np.testing.assert_array_equal(bias.numpy(), before)
    assert not np.any(optimizer.v[1])
    assert np.all(optimizer.v[0].numpy() > 0)
    optimizer.apply(gradients(0)[1:], [bias], LR)
    assert np.all(bias.numpy() != before)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_changes_nothing(bad):
    weights = variables()
    optimizer = Adam(weights, beta1=0.5)
    optimizer.apply(gradients(0), weights, LR)
    before = values(optimizer, weights)

    broken = gradients(1)
    broken[1][2] = bad  # one value of the last tensor is enough
    norm, skipped = optimizer.apply(broken, weights, LR)
    assert not np.isfinite(norm) and skipped.numpy() == 1
    for old, new in zip(before, values(optimizer, weights), strict=True):
        np.testing.assert_array_equal(old, new)

    _, skipped = optimizer.apply(gradients(1), weights, LR)
    assert skipped.numpy() == 0 and optimizer.step.numpy() == 2


def first_step_of_a_newcomer(reset: bool) -> float:
    """Largest step, in learning rates, of a weight that joins after 200 others."""
    kernel, bias = variables()
    optimizer = Adam([kernel, bias])
    optimizer.step.assign(200)
    if reset:
        optimizer.reset()
    before = bias.numpy()
    optimizer.apply(gradients(0), [kernel, bias], LR)
    return np.abs(bias.numpy() - before).max() / LR.numpy()


def test_without_a_reset_a_newcomer_leaps():
    assert 9 < first_step_of_a_newcomer(reset=False) < 10
    assert first_step_of_a_newcomer(reset=True) == pytest.approx(1, rel=1e-4)


def test_reset_zeroes_every_slot_and_the_counter():
    weights = variables()
    optimizer = Adam(weights, beta1=0.5)
    optimizer.apply(gradients(0), weights, LR)
    assert len(optimizer.variables) == 5 and all(map(np.any, optimizer.variables))
    kept = [v.numpy() for v in weights]
    optimizer.reset()
    assert not any(map(np.any, optimizer.variables))
    for old, v in zip(kept, weights, strict=True):
        np.testing.assert_array_equal(old, v.numpy())


# ---------------------------------------------------------------------------
# Two replicas


@pytest.fixture
def mirrored():
    return make_strategy("mirrored")


def on_two(strategy, optimizer, weights, per_replica):
    """One step with another gradient on each replica; the skipped flag of each."""

    def step():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        mine = [
            tf.gather(tf.stack(pair), replica)
            for pair in zip(*per_replica, strict=True)
        ]
        return optimizer.apply(mine, weights, LR)[1]

    skipped = tf.function(lambda: strategy.run(step))()
    return [s.numpy() for s in strategy.experimental_local_results(skipped)]


def test_replicas_step_along_their_mean_gradient(mirrored):
    alone = variables()
    optimizer = Adam(alone)
    mean = [(a + b) / 2 for a, b in zip(gradients(0), gradients(1), strict=True)]
    optimizer.apply(mean, alone, LR)

    with mirrored.scope():
        weights = variables()
        shared = Adam(weights)
    assert on_two(mirrored, shared, weights, [gradients(0), gradients(1)]) == [0, 0]
    pairs = zip((*weights, *shared.variables), values(optimizer, alone), strict=True)
    for variable, expected in pairs:
        copies = tiny.on_each(variable)
        assert len(copies) == 2
        for copy in copies:
            np.testing.assert_allclose(copy, expected, rtol=1e-6)


def test_one_bad_replica_stops_the_step_on_all(mirrored):
    with mirrored.scope():
        weights = variables()
        optimizer = Adam(weights)
    before = [v.numpy() for v in weights]
    broken = gradients(1)
    broken[0][0, 0] = np.nan
    assert on_two(mirrored, optimizer, weights, [gradients(0), broken]) == [1, 1]
    for old, v in zip(before, weights, strict=True):
        for copy in tiny.on_each(v):
            np.testing.assert_array_equal(copy, old)
    assert optimizer.step.numpy() == 0
