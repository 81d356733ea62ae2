"""step.py: official training steps, rounds, penalties, inputs, what is left alone.

Runs eagerly; the compiled iteration is the business of `test_trainer.py`.
"""

import dataclasses
import re

import golden
import numpy as np
import pytest
import tensorflow as tf
import tiny

from stylegan_tf.config import TrainConfig, update
from stylegan_tf.data.pipeline import process_reals
from stylegan_tf.networks import recompute
from stylegan_tf.networks.discriminator import Discriminator
from stylegan_tf.networks.generator import Generator
from stylegan_tf.official import names
from stylegan_tf.training import losses, passes
from stylegan_tf.training.objectives import Regularization
from stylegan_tf.training.optimizer import Adam
from stylegan_tf.training.passes import Clock, Networks
from stylegan_tf.training.randomness import StepInputs
from stylegan_tf.training.step import METRICS, Step
from stylegan_tf.training.trainer import make_networks

CASE = "v1_train_r16_logistic_r1"


# ---------------------------------------------------------------------------
# Three whole steps of the official training


def official_networks(case) -> tuple[Networks, TrainConfig]:
    g, d = golden.config_of(case, "G"), golden.config_of(case, "D")
    changes = {"schedule.initial_resolution": 16}
    changes["loss.r1_gamma"] = case.meta["D_loss_args"]["r1_gamma"]
    changes["ema_kimg"] = case.meta["smoothing_kimg"]
    config = update(TrainConfig(g, d), changes)
    generator, discriminator, average = Generator(g), Discriminator(d), Generator(g)
    for name, net in (("G", generator), ("D", discriminator), ("Gs", average)):
        names.assign_official(net, case.variables(name))
    optimizers = [Adam(n.trainable_variables) for n in (generator, discriminator)]
    return Networks(generator, discriminator, average, *optimizers), config


def check_changes(case, k: int, name: str, network) -> None:
    """What the steps up to the k-th changed, weight by weight."""
    before = case.variables(name)
    for weight, slot in names.name_map(network).items():
        if name == "Gs" and re.search(r"ToRGB_lod2|/noise\d", weight):
            continue  # seen by no picture any more; made as a copy, and never changed
        out = f"out/step{k}/{name}/{weight}"
        actual, expected = case.pair(out, slot.to_official(slot.weight.numpy()))
        start, _ = case.pair(out, before[weight])
        mapping = weight.startswith("G_mapping") and weight.endswith("weight")
        size = np.linalg.norm(expected - start)
        off = np.linalg.norm(actual - expected)
        tolerance = 1e-2 if mapping else 1e-3
        assert off <= tolerance * size + 1e-7, f"{out}: off by {off:.3g} of {size:.3g}"


def test_official_training_steps():
    case = golden.load(CASE)
    nets, config = official_networks(case)
    step = tiny.make_step(nets, config, resolution=16, batch=8)
    cutoff = tf.constant(config.generator.num_layers)

    def inputs(z):
        return StepInputs(z, z, cutoff, tf.zeros([8, 0]), noise="const")

    for k in range(3):
        given = {n: case[f"in/step{k}/{n}"] for n in ("zd", "zg", "reals", "lr")}
        lr = tf.constant(given["lr"])
        clock = Clock(tf.constant(8 * k, tf.int64), 1.0, lr, 0.0)
        reals = tf.constant(golden.nhwc(given["reals"]))
        step.update_average()
        d = step.update_discriminator(reals, inputs(given["zd"]), clock)
        g = step.update_generator(inputs(given["zg"]), clock)

        d_loss = d["loss/d"] + config.loss.r1_gamma * d["penalty/r1"]
        case.check(f"out/step{k}/D_loss", d_loss.numpy())
        case.check(f"out/step{k}/G_loss", g["loss/g"].numpy())
        if k in (0, 2):  # only these are in the file
            check_changes(case, k, "G", nets.generator)
            check_changes(case, k, "D", nets.discriminator)
            check_changes(case, k, "Gs", nets.average)


# ---------------------------------------------------------------------------
# A tiny run of our own


@pytest.fixture(scope="module")
def networks():
    return make_networks(tiny.config())


@pytest.fixture
def nets(networks):
    """The tiny networks; what a test changes in them is undone."""
    saved = tiny.state(networks)
    yield networks
    tiny.restore(networks, saved)


def make(nets, changes=None, resolution=8, batch=4, **options) -> Step:
    return tiny.make_step(nets, tiny.config(changes), resolution, batch, **options)


def reals(n=4, size=8) -> tf.Tensor:
    rng = np.random.default_rng(0)
    return tf.constant(rng.integers(0, 256, (n, size, size, 3)), tf.uint8)


def floats(n=4, size=8) -> tf.Tensor:
    return tf.cast(reals(n, size), tf.float32) / 127.5 - 1


def clock(nimg=0, alpha=0.5, lr=0.002) -> Clock:
    alpha, lr, p = (tf.constant(value) for value in (alpha, lr, 0.0))
    return Clock(tf.constant(nimg, tf.int64), alpha, lr, p)


FULL = clock()._replace(alpha=1.0)


def some(step: Step, nimg=0, which=0, labels=None) -> StepInputs:
    return step.sample(tf.constant(nimg, tf.int64), which, labels)


def iterate(step: Step, labels=None, **moment) -> dict[str, float]:
    images = reals(step.batch, step.passes.resolution)
    labels = tf.zeros([step.batch, 0]) if labels is None else labels
    metrics = step(images, labels, clock(**moment))
    return dict(zip(METRICS, metrics.numpy().tolist(), strict=True))


# ---------------------------------------------------------------------------
# One pass of G for both steps; one pass of D for both kinds of pictures

# A large epsilon makes Adam's step nearly proportional to the gradient: rounding stays
# rounding, where the usual step of one learning rate keeps the sign alone.
SMOOTH = {"adam_epsilon": 0.1}


def test_an_iteration_is_average_then_discriminator_then_generator():
    """Up to rounding: it maps the latents of both steps in one pass."""
    nets = make_networks(tiny.config(SMOOTH))
    tiny.shake(nets)
    start, moment = tiny.state(nets), clock(nimg=8, lr=0.1)
    step = make(nets, SMOOTH)
    step(reals(), tf.zeros([4, 0]), moment)
    found = tiny.state(nets)
    tiny.restore(nets, start)

    with recompute.enabled(False):
        step.update_average()
        inputs = some(step, 8, 0, tf.zeros([4, 0]))
        step.update_discriminator(process_reals(reals(), moment.alpha), inputs, moment)
        step.update_generator(some(step, 8, 1), moment)
    tiny.check_close(start, found, tiny.state(nets), 1e-3)


def test_reused_pictures_are_those_of_the_discriminators_step():
    changes = SMOOTH | {"loss.reuse_fakes": True}
    nets = make_networks(tiny.config(changes))
    tiny.shake(nets)
    start, moment = tiny.state(nets), clock(nimg=8, lr=0.1)
    step = make(nets, changes)
    step(reals(), tf.zeros([4, 0]), moment)
    found = tiny.state(nets)

    tiny.restore(nets, start)
    step.update_average()
    inputs = some(step, 8, 0, tf.zeros([4, 0]))
    step.update_discriminator(process_reals(reals(), moment.alpha), inputs, moment)
    step.update_generator(inputs, moment)
    tiny.check_close(start, found, tiny.state(nets), 1e-4)

    # One pass of G has one w to average, which D's step has seen.
    tiny.restore(nets, start)
    step.update_discriminator(process_reals(reals(), moment.alpha), inputs, moment)
    seen = nets.generator.w_avg.numpy()
    assert np.any(seen != start["generator/w_avg"])
    np.testing.assert_allclose(found["generator/w_avg"], seen, rtol=1e-5)


@pytest.mark.parametrize("classes", [0, 3])
def test_one_pass_of_the_discriminator_gives_the_scores_of_two(classes):
    changes = {"classes": classes}
    nets = make_networks(tiny.config(changes))
    tiny.shake(nets)
    step = make(nets, changes, batch=8)
    labels = tf.one_hot(np.arange(8) % max(classes, 1), classes)
    inputs = some(step, labels=labels)
    images, others = floats(8), floats(8)[::-1] * 0.5
    real, fake = step.passes.score_both(images, others, inputs, clock())
    expected = step.passes.score_reals(images, inputs, clock())
    np.testing.assert_allclose(real, expected, rtol=1e-4, atol=1e-6)
    expected = step.passes.score_fakes(others, inputs, clock())
    np.testing.assert_allclose(fake, expected, rtol=1e-4, atol=1e-6)


def test_batches_that_would_mix_are_scored_apart(nets, monkeypatch):
    """Two pictures are one group; four would be one group as well."""
    monkeypatch.setattr(passes.ops, "join_batches", None)
    step = make(nets, batch=2)
    inputs = some(step, labels=tf.zeros([2, 0]))
    step.passes.score_both(floats(2), floats(2), inputs, clock())


# ---------------------------------------------------------------------------
# Rounds


@pytest.mark.parametrize("reused", [(), ("fakes",)])
def test_rounds_add_up_to_the_large_batch(reused):
    """Of 16 pictures, groups of the minibatch statistic included."""
    smooth = SMOOTH | {"generator.use_noise": False}
    smooth |= {f"loss.reuse_{name}": True for name in reused}
    nets = make_networks(tiny.config(smooth))
    tiny.shake(nets)
    start = tiny.state(nets)
    expected = iterate(make(nets, smooth, batch=16), lr=0.1)
    after = tiny.state(nets)
    for rounds in (2, 4):
        tiny.restore(nets, start)
        found = iterate(make(nets, smooth | {"accumulate": rounds}, batch=16), lr=0.1)
        for name in ("spread/real", "spread/fake"):  # rough: of fewer pictures
            assert found[name] == pytest.approx(expected[name], rel=0.3)
            found[name] = expected[name]
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)
        tiny.check_close(start, after, tiny.state(nets), 1e-3)


def test_one_bad_round_skips_the_whole_step(nets):
    step = make(nets, {"accumulate": 2})
    before = tiny.state(nets)
    images = floats().numpy()
    images[3, 0, 0, 0] = np.nan
    stats = step.update_discriminator(tf.constant(images), some(step), FULL)
    assert stats["skipped/d"].numpy() == 1
    after = tiny.state(nets)
    name = "generator/w_avg"  # is no part of D's step
    assert np.any(before.pop(name) != after.pop(name))
    tiny.check_equal(before, after)
    assert step.update_generator(some(step), FULL)["skipped/g"].numpy() == 0


# ---------------------------------------------------------------------------
# Losses and penalties

ALL = {"loss.r1_gamma": 3.0, "loss.r2_gamma": 5.0, "loss.gp_weight": 7.0}


def total(step: Step) -> tuple[float, dict]:
    """What D pays for some pictures and their mirror images."""
    fakes = -floats()[:, ::-1]
    loss, stats = step.objectives.discriminator_loss(floats(), fakes, some(step), FULL)
    return loss.numpy(), {k: v.numpy() for k, v in stats.items()}


@pytest.mark.parametrize("name", losses.DISCRIMINATOR)
def test_discriminator_pays_loss_drift_and_penalties(nets, name):
    found, stats = total(make(nets, ALL | {"loss.d_loss": name, "loss.drift": 0.5}))
    score = nets.discriminator
    real, fake = score(floats()), score(-floats()[:, ::-1])
    loss = tf.reduce_mean(losses.DISCRIMINATOR[name](real, fake) + 0.5 * real**2)
    assert stats["loss/d"] == pytest.approx(loss.numpy(), rel=1e-5)
    weights = {"penalty/r1": 3, "penalty/r2": 5, "penalty/gp": 7}
    penalties = sum(stats[p] * w for p, w in weights.items())
    assert found == pytest.approx(loss.numpy() + penalties, rel=1e-5)


def test_penalties_and_scores_are_those_of_the_right_pictures(nets):
    _, stats = total(make(nets, ALL))
    for which, penalty, images in (
        ("real", "penalty/r1", floats()),
        ("fake", "penalty/r2", -floats()[:, ::-1]),
    ):
        scores, gradient = losses.scores_and_gradients(nets.discriminator, images)
        expected = losses.zero_centered(gradient).numpy().mean()
        assert stats[penalty] == pytest.approx(expected, rel=1e-5)
        assert stats[f"scores/{which}"] == pytest.approx(scores.numpy().mean())
        assert stats[f"signs/{which}"] == np.sign(scores).mean()
    assert stats["penalty/gp"] > 0
    assert stats["penalty/r1"] != pytest.approx(stats["penalty/r2"], rel=1e-3)


@pytest.mark.parametrize("name", losses.GENERATOR)
def test_generator_pays_what_it_is_told_to(nets, name):
    step = make(nets, {"loss.g_loss": name})
    inputs = dataclasses.replace(some(step), noise="const")
    fakes = step.passes.generate(inputs, FULL).images
    expected = losses.GENERATOR[name](nets.discriminator(fakes)).numpy().mean()
    found = step.update_generator(inputs, FULL)["loss/g"]
    assert found.numpy() == pytest.approx(expected, rel=1e-5)


def test_lazy_penalties_weigh_as_often_as_they_are_left_out(nets):
    lazy = ALL | {"loss.d_reg_interval": 4}
    every, stats = total(make(nets, ALL))
    now, now_stats = total(make(nets, lazy))
    without, none = total(make(nets, lazy, regularization=Regularization(False, False)))
    assert without == pytest.approx(stats["loss/d"], rel=1e-6)
    assert now - without == pytest.approx(4 * (every - without), rel=1e-4)
    assert now_stats == pytest.approx(stats, rel=1e-5)  # told as they are
    assert not [name for name in none if name.startswith("penalty/")]


def test_gamma_means_the_same_at_every_resolution(nets):
    step = make(nets, resolution=4)
    images = floats(size=4)
    _, stats = step.objectives.discriminator_loss(images, images, some(step), FULL)
    _, gradient = losses.scores_and_gradients(nets.discriminator, images)
    full = losses.zero_centered(gradient).numpy().mean()
    assert stats["penalty/r1"].numpy() == pytest.approx(full / 4, rel=1e-5)


# ---------------------------------------------------------------------------
# What changes, and when


def changed(step: Step, **moment) -> list[str]:
    before = tiny.state(step.networks)
    iterate(step, **moment)
    after = tiny.state(step.networks)
    return [name for name in before if np.any(before[name] != after[name])]


def test_a_resolution_that_has_not_joined_is_left_alone(nets):
    names = changed(make(nets, resolution=4))
    assert "generator/synthesis/block4/conv1/kernel" in names
    assert not [n for n in names if "block8" in n or "rgb8" in n]


def test_a_resolution_that_joins_trains_with_the_one_below(nets):
    names = changed(make(nets, resolution=8))
    for part in ("to_rgb4", "to_rgb8", "block8", "from_rgb4", "from_rgb8"):
        assert [n for n in names if part in n and n[:7] != "average"], part


def test_without_growth_alpha_counts_for_nothing(nets):
    start = tiny.state(nets)
    step = make(nets, tiny.FIXED)
    stats, after = iterate(step, alpha=0.0), tiny.state(nets)
    tiny.restore(nets, start)
    assert iterate(step, alpha=1.0) == stats
    tiny.check_equal(after, tiny.state(nets))


def test_average_is_half_way_after_its_half_life(nets):
    step = make(nets, {"ema_kimg": 0.008}, batch=4)
    before = [v.numpy() for v in nets.average.trainable_variables]
    for v in nets.generator.weights:
        v.assign(v + 1)
    step.update_average()
    step.update_average()
    for average, start in zip(nets.average.trainable_variables, before, strict=True):
        np.testing.assert_allclose(
            average.numpy(), start + 0.5, rtol=1e-5, atol=1e-5, err_msg=average.path
        )
    # It is an average already.
    np.testing.assert_array_equal(nets.average.w_avg, nets.generator.w_avg)


def test_average_of_no_half_life_is_a_copy(nets):
    step = make(nets, {"ema_kimg": 0.0})
    iterate(step)
    step.update_average()
    for ours, v in zip(nets.average.weights, nets.generator.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), v.numpy())


# ---------------------------------------------------------------------------
# Sampled inputs: they need no networks


def test_inputs_are_a_function_of_seed_and_images_seen():
    first = some(make(None), 8)
    for again, same in (
        (some(make(None), 8), True),
        (some(make(None), 12), False),
        (some(make(None), 8, which=1), False),
        (some(make(None, {"seed": 1}), 8), False),
    ):
        for name in ("z", "z_mix", "seed"):
            equal = np.array_equal(getattr(first, name), getattr(again, name))
            assert equal == same, name
    assert not np.array_equal(first.z, first.z_mix)


def test_mixing_happens_as_often_as_asked_on_the_layers_in_use():
    def cutoffs(probability, resolution):
        step = make(None, {"generator.style_mixing_prob": probability}, resolution)
        return [int(some(step, n).cutoff) for n in range(40)]

    assert set(cutoffs(1.0, 4)) == {1}
    assert set(cutoffs(1.0, 8)) == {1, 2, 3}
    assert set(cutoffs(0.0, 8)) == {4}
    mixed = [cutoff < 4 for cutoff in cutoffs(0.5, 8)]
    assert 10 <= sum(mixed) <= 30


def test_mixed_pictures_take_the_other_latent_from_the_cutoff_on(nets):
    step = make(nets)
    inputs = dataclasses.replace(some(step), noise="const", cutoff=tf.constant(2))
    g = nets.generator
    w, other = g.broadcast(g.mapping(inputs.z)), g.broadcast(g.mapping(inputs.z_mix))
    ws = tf.concat([w[:, :2], other[:, 2:]], axis=1)
    expected = g.synthesis(ws, noise="const")
    images = step.passes.generate(inputs, FULL).images
    np.testing.assert_allclose(images, expected, rtol=1e-5, atol=1e-5)


def test_rounds_see_different_noise(nets):
    step = make(nets, {"accumulate": 2})
    strength = nets.generator.synthesis.block4.epilogue0.noise.weight
    strength.assign(np.ones(strength.shape))
    inputs = some(step)
    first, again, other = (step.passes.generate(inputs, FULL, k)[0] for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


# ---------------------------------------------------------------------------
# Classes


def test_generator_draws_labels_as_the_data_has_them():
    table = np.eye(5, dtype=np.float32)[[1, 1, 1, 3]]
    step = make(None, {"classes": 5}, batch=400, label_table=table)
    counts = some(step, which=1).labels.numpy().sum(axis=0)
    assert counts.sum() == 400 and counts[1] + counts[3] == 400
    assert 240 <= counts[1] <= 360


def test_a_conditional_step_trains_what_its_labels_name():
    config = {"classes": 5}
    nets = make_networks(tiny.config(config))
    scores, embedding = (
        nets.discriminator.head.dense1.kernel,  # a column for each class
        nets.generator.mapping.label_embedding,  # a row for each class
    )
    before = scores.numpy(), embedding.numpy()
    only_3 = np.eye(5, dtype=np.float32)[[3]]
    step = make(nets, config, label_table=only_3)
    stats = iterate(step, labels=tf.one_hot([2] * 4, 5))
    assert np.isfinite(list(stats.values())).all()
    d_changed = np.any(scores.numpy() != before[0], axis=0)
    g_changed = np.any(embedding.numpy() != before[1], axis=1)
    np.testing.assert_array_equal(d_changed, [0, 0, 1, 0, 0])
    np.testing.assert_array_equal(g_changed, [0, 0, 0, 1, 0])
