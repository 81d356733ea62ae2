"""networks/recompute.py: the same values and gradients of any order, less memory."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny
from stylegan_tf_launch import train

from stylegan_tf import config
from stylegan_tf.networks import convolutions, recompute
from stylegan_tf.networks.layers import EqualizedConv2D
from stylegan_tf.training import trainer
from stylegan_tf.training.passes import Clock

X = tf.random.stateless_normal([2, 16, 16, 4], [1, 2])


@pytest.fixture(autouse=True)
def small_maps_count(monkeypatch):
    monkeypatch.setattr(recompute, "MIN_SIDE", 8)


def conv() -> EqualizedConv2D:
    layer = EqualizedConv2D(4)
    layer.build((None, None, None, 4))
    return layer


def segments(on: bool, layers: list, chunks: bool = False) -> callable:
    """Activations and convolutions in turn; in chunks, as one segment."""

    def chain(x):
        for layer in layers:
            x = layer(convolutions.blur(tf.math.tanh(x)))
        return x

    def net(x):
        with recompute.enabled(on):
            if chunks:
                return recompute.checkpointed_in_chunks(
                    chain, [x], layers, recompute.CHUNKED_SIDE
                )
            for layer in layers:

                def segment(x, layer=layer):
                    return layer(convolutions.blur(tf.math.tanh(x)))

                x = recompute.checkpointed(segment, [x], [layer])
            return x

    return net


def gradients(net, layers: list, orders: int) -> list:
    """A mean of squares and its gradients in x and the weights, of an order."""

    @tf.function(autograph=False)
    def compute(x):
        weights = [v.value for layer in layers for v in layer.trainable_variables]

        def value(x, order):
            if not order:
                return tf.reduce_mean(net(x) ** 2)
            with tf.GradientTape() as tape:
                tape.watch(x)
                below = value(x, order - 1)
            return tf.reduce_sum(tape.gradient(below, x) ** 2)

        with tf.GradientTape() as tape:
            tape.watch(x)
            total = value(x, orders - 1)
        return [total, *tape.gradient(total, [x, *weights])]

    return [y.numpy() for y in compute(X)]


@pytest.mark.parametrize(
    ("orders", "chunks"), [(1, False), (2, False), (3, False), (1, True), (2, True)]
)
def test_gradients_of_any_order(orders, chunks):
    layers = [conv(), conv()]
    expected = gradients(segments(False, layers), layers, orders)
    found = gradients(segments(True, layers, chunks), layers, orders)
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(b, a, rtol=2e-5, atol=2e-6 * np.abs(a).max())


def peak_bytes(on: bool, count: int, runs: int = 4) -> int:
    """Peak memory of a second derivative through `count` layers.

    The least of some runs: operations that happen to run side by side add their
    feature maps.
    """
    keras.utils.set_random_seed(0)
    layers = [conv() for _ in range(count)]
    net = segments(on, layers)

    @tf.function(autograph=False)
    def step(x):
        with tf.GradientTape() as tape:
            with tf.GradientTape(watch_accessed_variables=False) as inner:
                inner.watch(x)
                total = tf.reduce_sum(net(x) ** 2)
            gradient = inner.gradient(total, x)
            loss = tf.reduce_sum(gradient**2)
        weights = [v.value for layer in layers for v in layer.trainable_variables]
        return tape.gradient(loss, weights)

    big = tf.tile(X, [8, 4, 4, 1])
    step(big)
    peaks = []
    for _ in range(runs):
        tf.config.experimental.reset_memory_stats("CPU:0")
        before = tf.config.experimental.get_memory_info("CPU:0")["current"]
        step(big)
        peaks.append(tf.config.experimental.get_memory_info("CPU:0")["peak"] - before)
    return min(peaks)


def test_it_holds_less():
    """Each layer stores two feature maps, its input and the gradient, not more."""
    size = 8 * 2 * 64 * 64 * 4 * 4
    grown = {
        on: (peak_bytes(on, 5) - peak_bytes(on, 2)) / 3 / size for on in (False, True)
    }
    assert grown[True] < 3 < 3.5 < grown[False]


@pytest.mark.parametrize("kind", ["lrelu", "relu"])
def test_activation_by_its_output(kind):
    """In a step, and outside of one."""

    def all_of(x):
        with tf.GradientTape(persistent=True) as outer:
            outer.watch(x)
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = recompute.activate(x, kind, 2**0.5)
                total = tf.reduce_sum(y**3)
            gradient = tape.gradient(total, x)
        return y, gradient, outer.gradient(gradient, x)

    expected = all_of(X)
    with recompute.enabled(False):
        found = all_of(X)
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-6)


def test_a_second_derivative_adds_no_zeros():
    def of(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = tf.reduce_sum(recompute.activate(tf.math.tanh(x), "lrelu"))
            norm = tf.reduce_sum(inner.gradient(y, x) ** 2)
        return tape.gradient(norm, x)

    def sums() -> int:
        graph = tf.function(of, autograph=False).get_concrete_function(X).graph
        return sum(op.type == "AddN" for op in graph.get_operations())

    plain = sums()
    with recompute.enabled(False):
        assert sums() < plain


# ---------------------------------------------------------------------------
# Whole steps


FINAL = {"schedule.initial_resolution": 8, "loss.r1_gamma": 10.0}
SKIP = FINAL | {
    "generator.architecture": "skip",
    "generator.modulation": "maps",
    "discriminator.architecture": "residual",
    "loss.lazy": True,
    "loss.pl_weight": 2.0,
    "loss.r1_gamma": 0.0,
}
LARGE = {"R1": 8, "path length": 256}
KINDS = {
    "R1": FINAL | {"loss.d_loss": "hinge"},
    "path length": SKIP,
}


def after_a_step(changes: dict):
    """All that a step changes: before it, and after it; and its metrics."""
    c = tiny.config(changes)
    nets = trainer.make_networks(c)
    tiny.shake(nets)
    before = tiny.state(nets)
    step = tiny.make_step(nets, c)
    images = np.random.default_rng(1).integers(0, 255, (4, 8, 8, 3), np.uint8)
    alpha, lr, p = (tf.constant(value) for value in (0.5, 0.001, 0.5))
    clock = Clock(tf.constant(16, tf.int64), alpha, lr, p)

    @tf.function(autograph=False)
    def run():
        args = (tf.constant(images), tf.zeros([4, 0]), clock)
        return tf.distribute.get_strategy().run(step, args=args)

    return before, run(), tiny.state(nets)


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_changes_the_same(kind, monkeypatch):
    """Both where blocks run in chunks and where single segments run again."""
    monkeypatch.setattr(recompute, "CHUNKED_SIDE", LARGE[kind])
    changes = KINDS[kind] | {"adam_epsilon": 0.1}  # Adam makes 1 of any rounding
    before, metrics, expected = after_a_step(changes)
    _, again, found = after_a_step(changes | {"recompute": True})
    np.testing.assert_allclose(again, metrics, rtol=2e-4, atol=1e-5)
    tiny.check_close(before, expected, found, 2e-4)


# ---------------------------------------------------------------------------
# The setting


def test_the_setting_is_kept_and_may_change():
    c = tiny.config({"recompute": "true"})
    assert c.recompute is True
    assert config.from_dict(config.TrainConfig, config.to_dict(c)) == c
    assert "recompute" in config.RESUMABLE
    assert train.SETTINGS["recompute"] == "recompute"
    assert dataclasses.replace(c, recompute=False) == tiny.config()
