"""StyleGAN3 and StyleGAN2-ADA under the trainer: running means, blur, rates, resume."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tiny

from stylegan_tf import devices
from stylegan_tf.augment.blur import gaussian_blur
from stylegan_tf.config import AugmentConfig, cost, presets, update
from stylegan_tf.training.passes import Clock
from stylegan_tf.training.trainer import Trainer, make_networks

TINY = (
    tiny.SETTINGS
    | {
        "generator.stylegan3.layers": 2,
        "generator.stylegan3.critical": 1,
        "generator.stylegan3.margin": 2,
        "generator.stylegan3.magnitude_beta": 0.75,
        "generator.fmap_base": 32,
        "loss.d_reg_interval": 2,
        "discriminator.mapping_layers": 1,
        "augment.kind": "none",
        "ema_kimg": 0.1,
        "snapshot_ticks": 1,
    }
    | tiny.FIXED
)


def config(preset: str = "stylegan3-t", **changes):
    return update(presets.make_config(preset, 8), TINY | changes)


@pytest.fixture
def eagerly():
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def images(n: int = 4) -> tf.Tensor:
    return tf.random.stateless_uniform([n, 8, 8, 3], [1, 2], -1, 1)


@pytest.fixture(scope="module")
def made():
    nets = make_networks(config())
    return nets, tiny.state(nets)


@pytest.fixture
def nets(made):
    """New networks, made once for all tests."""
    tiny.restore(*made)
    return made[0]


CLOCK = Clock(tf.constant(0, tf.int64), 1.0, 0.01, 0.0)
NO_LABELS = tf.zeros([4, 0])


# ---------------------------------------------------------------------------
# Running means of the magnitudes


def layers_of(generator) -> list:
    count = generator.config.num_layers
    return [getattr(generator.synthesis, f"layer{i}") for i in range(count)]


def magnitudes(generator) -> np.ndarray:
    return np.array([layer.magnitude.numpy() for layer in layers_of(generator)])


def test_a_step_of_d_moves_each_magnitude_before_it_is_used(nets):
    step, g = tiny.make_step(nets, config()), nets.generator
    for layer, value in zip(layers_of(g), (2.0, 0.5, 3.0), strict=True):
        layer.magnitude.assign(value)
    inputs = step.sample(CLOCK.nimg, 0, NO_LABELS)
    ws = g.broadcast(g.mapping(inputs.z))
    x, expected = g.synthesis.input_features(ws[:, 0]), []
    for i, layer in enumerate(layers_of(g)):  # in NumPy: q + beta (m - q)
        q = np.mean(np.square(x.numpy(), dtype=np.float64))
        expected.append(q + 0.75 * (layer.magnitude.numpy() - q))
        x = layer(x, ws[:, i + 1], magnitude=tf.constant(expected[-1], tf.float32))
    drawn = step.passes.generate(inputs, CLOCK, measure=True)
    np.testing.assert_allclose(drawn.images, 0.25 * x, rtol=1e-4, atol=1e-5)
    step.update_discriminator(images(), inputs, CLOCK)
    np.testing.assert_allclose(magnitudes(g), expected, rtol=1e-5)
    step.update_generator(inputs, CLOCK)
    np.testing.assert_allclose(magnitudes(g), expected, rtol=1e-5)
    assert np.all(magnitudes(nets.average) == 1)
    step.update_average()
    np.testing.assert_array_equal(magnitudes(nets.average), magnitudes(g))


def test_what_is_not_finite_moves_no_magnitude(nets):
    layer = layers_of(nets.generator)[0]
    for bad in (np.nan, np.inf):
        assert layer.moved_magnitude(tf.constant(bad, tf.float32)) == 1.0
    assert layer.moved_magnitude(tf.constant(5.0)) == 2.0


def test_rounds_measure_the_whole_batch(nets):
    means = []
    for rounds in (1, 2):
        start = tiny.state(nets)
        step = tiny.make_step(nets, config(accumulate=rounds), batch=8)
        inputs = step.sample(CLOCK.nimg, 0, tf.zeros([8, 0]))
        step.update_discriminator(images(8), inputs, CLOCK)
        means.append(magnitudes(nets.generator))
        tiny.restore(nets, start)
    # Layers behind the first one see maps scaled by what their own round measures.
    np.testing.assert_allclose(means[1][0], means[0][0], rtol=1e-5)
    np.testing.assert_allclose(means[1], means[0], rtol=0.02)


def test_replicas_measure_the_whole_batch():
    """Each measures its share; all move by the mean."""
    strategy = devices.make_strategy("mirrored")
    with strategy.scope():
        nets = make_networks(config())
    step = tiny.make_step(nets, config(), batch=8)

    @tf.function(autograph=False)
    def measured():
        def move():
            inputs = step.sample(CLOCK.nimg, 0, NO_LABELS)
            fakes = step.passes.generate(inputs, CLOCK, measure=True)
            step._update_magnitudes(fakes.squares)
            return tf.stack(fakes.squares)

        return strategy.experimental_local_results(strategy.run(move))

    squares = np.stack(measured())
    assert len(squares) == 2 and np.all(squares[0, 1:] != squares[1, 1:])
    expected = 0.75 + 0.25 * squares.mean(axis=0)
    for layer, value in zip(layers_of(nets.generator), expected, strict=True):
        for on_replica in tiny.on_each(layer.magnitude):
            np.testing.assert_allclose(on_replica, value, rtol=1e-5)


# ---------------------------------------------------------------------------
# Blur, rates, resume


@pytest.mark.parametrize("sigma", [0.5, 1.3, 10.0])
def test_blur_is_the_filter_of_its_formula(sigma):
    x = np.random.default_rng(0).normal(size=(2, 7, 9, 3)).astype(np.float32)
    reach = int(3 * sigma)
    i = np.arange(-reach, reach + 1)
    taps = 2.0 ** -((i / sigma) ** 2)
    taps /= taps.sum()
    full = [lambda v: np.convolve(v, taps)[reach : reach + len(v)]]
    expected = np.apply_along_axis(full[0], 1, x)
    expected = np.apply_along_axis(full[0], 2, expected)
    found = gaussian_blur(tf.constant(x), tf.constant(sigma))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_blur_fades_to_none():
    c = AugmentConfig(blur_init_sigma=10.0, blur_fade_kimg=200.0)
    widths = [c.blur_at(1000 * kimg) for kimg in (0, 100, 193, 194, 200, 1000)]
    assert widths == pytest.approx([10.0, 5.0, 0.35, 0.0, 0.0, 0.0])
    assert (
        AugmentConfig().blur_at(0) == AugmentConfig(blur_init_sigma=3).blur_at(0) == 0
    )


def test_d_sees_reals_and_fakes_blurred(nets):
    step = tiny.make_step(nets, config())
    inputs, clock = step.sample(CLOCK.nimg, 0, NO_LABELS), CLOCK._replace(blur=2.0)
    step.passes.blurred = True
    for score in (step.passes.score_reals, step.passes.score_fakes):
        expected = nets.discriminator(gaussian_blur(images(), 2.0), NO_LABELS)
        np.testing.assert_allclose(score(images(), inputs, clock), expected, atol=1e-5)
        sharp = nets.discriminator(images(), NO_LABELS)
        assert np.abs(expected - sharp).max() > 1e-3


def test_d_has_a_rate_of_its_own(nets):
    moved = []
    for ratio in (1.0, 0.25):
        start = tiny.state(nets)
        step = tiny.make_step(nets, config(**{"schedule.d_lr_ratio": ratio}))
        before = nets.discriminator.head.conv.kernel.numpy()
        inputs = step.sample(CLOCK.nimg, 0, NO_LABELS)
        step.update_discriminator(images(), inputs, CLOCK)
        moved.append(nets.discriminator.head.conv.kernel.numpy() - before)
        tiny.restore(nets, start)
    assert np.abs(moved[0]).max() > 1e-4
    np.testing.assert_allclose(moved[1], 0.25 * moved[0], rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("preset", ["stylegan3-r", "stylegan2-ada"])
def test_a_resumed_run_is_the_whole_run_bit_for_bit(
    preset, pictures, tmp_path, eagerly
):
    """Of three steps: one before the kill, two after it, the last one not blurred."""
    c = config(preset, **{"augment.blur_fade_kimg": 0.008, "ema_rampup": 0.5})
    whole = Trainer(c, pictures, tmp_path / "whole")
    whole.step()
    whole.state.save()
    tiny.copy_run(whole.run_dir, tmp_path / "killed", 4)
    again = Trainer(c, pictures, tmp_path / "killed")
    assert again.restore() and again.state.nimg == 4
    for trainer in (whole, again):
        trainer.step()
        trainer.step()
    tiny.check_equal(tiny.state(whole.networks), tiny.state(again.networks))
    means = whole.networks.generator.running_means
    assert all(np.all(v.numpy() != 1) for v in means)


# ---------------------------------------------------------------------------
# On paper


def test_style_mixing_may_cross_over_at_any_of_its_styles(nets):
    c = config(**{"generator.style_mixing_prob": 1.0})
    step = tiny.make_step(nets, c)
    cuts = {
        int(step.sample(tf.constant(i, tf.int64), 0, NO_LABELS).cutoff)
        for i in range(30)
    }
    assert cuts == set(range(1, c.generator.num_styles))


def test_costs_are_those_of_the_filtered_layers():
    c = update(presets.make_config("stylegan3-t", 256), {"accumulate": 1})
    layers = c.generator.filtered_layers
    total = sum(p.multiplications for p in layers)
    assert cost.generator_macs(c.generator, 256) == total
    split = dataclasses.replace(c, accumulate=4)
    counts = {"generator": 23_000_000, "discriminator": 29_000_000}
    more, less = (
        cost.memory_bytes(x, counts, 256, 8)["activations"] for x in (c, split)
    )
    assert more == pytest.approx(4 * less) and less > 1e9
