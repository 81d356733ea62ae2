"""projector/: the official projector's search, step by step, and what it finds."""

import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from stylegan_tf import latents, sampling
from stylegan_tf.config import Growth
from stylegan_tf.errors import UserError
from stylegan_tf.networks.generator import Generator
from stylegan_tf.projector import (
    MultiScale,
    ProjectionSettings,
    likeness,
    noise,
    project,
    search,
)

BARE = {"use_styles": False, "use_noise": False, "const_input": False}
BARE = {f"generator.{k}": v for k, v in BARE.items()}  # ladder B
OTHER = {"channels": 1, "start_shape": (4, 6), "classes": 3}
OTHER = {
    f"{net}.{k}": v for net in ("generator", "discriminator") for k, v in OTHER.items()
}
OTHER |= tiny.FIXED | {"generator.architecture": "residual"}


SMOOTH = tiny.FIXED | {"generator.architecture": "skip"}


def generator(changes=None, growth=None) -> Generator:
    """A tiny generator whose noise, styles and truncation show."""
    keras.utils.set_random_seed(2)
    model = Generator(tiny.config(changes).generator, growth)
    rng = np.random.default_rng(5)
    for v in model.trainable_variables:
        if v.path.endswith(("noise/weight", "noise/strength")):
            v.assign(np.full(v.shape, 0.02))
        elif np.ptp(v.numpy()) == 0:
            v.assign(v.numpy() + 0.3 * rng.normal(size=v.shape))
    model.w_avg.assign(search.w_statistics(model)[0])
    return model


@pytest.fixture(scope="module")
def model():
    return generator(SMOOTH)


@pytest.fixture(scope="module")
def targets(model):
    return np.stack([p for _, p in sampling.draw(model, range(3), psi=0.5)])


@pytest.fixture(scope="module")
def projector(model):
    return search.Projector(model, 3, "wplus", steps=20)


def run(projector, targets) -> list[np.ndarray]:
    means, deviations = search._start_points(projector.model, None, len(targets))
    assert list(projector.run(targets, means, deviations)) == []
    return projector.result()


# ---------------------------------------------------------------------------
# The official settings: numbers of the StyleGAN2 projector


@pytest.mark.parametrize(
    ("step", "rate", "strength"),
    [
        (0, 0.0, 0.05),
        (25, 0.05, 0.05 * (1 - 1 / 30) ** 2),
        (50, 0.1, 0.05 * (14 / 15) ** 2),
        (375, 0.1, 0.0125),
        (750, 0.1, 0.0),
        (875, 0.05, 0.0),
        (1000, 0.0, 0.0),
    ],
)
def test_ramps(step, rate, strength):
    t = step / 1000
    assert ProjectionSettings().learning_rate(t) == pytest.approx(rate, abs=1e-12)
    assert ProjectionSettings().noise_on_w(t) == pytest.approx(strength, abs=1e-12)


def test_ramps_are_those_of_a_formula_at_every_step():
    t = np.arange(1000) / 1000
    down = 0.5 - 0.5 * np.cos(np.pi * np.minimum(1, (1 - t) / 0.25))
    rates = [ProjectionSettings().learning_rate(x) for x in t]
    np.testing.assert_allclose(rates, 0.1 * np.minimum(1, t / 0.05) * down, atol=1e-12)
    noises = [ProjectionSettings().noise_on_w(x) for x in t]
    expected = 0.05 * np.maximum(0, 1 - t / 0.75) ** 2
    np.testing.assert_allclose(noises, expected, atol=1e-12)


def test_ramps_may_be_left_out():
    flat = ProjectionSettings(ramp_up=0, ramp_down=0, w_noise_ramp=0)
    assert flat.learning_rate(0.0) == flat.learning_rate(0.999) == 0.1
    assert flat.noise_on_w(0.0) == 0


@pytest.mark.parametrize(
    ("pixels", "weight"), [(1024**2, 1e5), (512**2, 25e3), (1 << 22, 1e5), (1, 0.09537)]
)
def test_the_penalty_of_white_noise_costs_the_same_at_every_size(pixels, weight):
    assert ProjectionSettings().penalty_weight(pixels) == pytest.approx(
        weight, rel=1e-4
    )
    assert ProjectionSettings(noise_weight=7).penalty_weight(pixels) == 7


def test_statistics_of_w(model):
    mean, deviation = search.w_statistics(model)
    z = np.random.RandomState(123).randn(10_000, 8).astype(np.float32)
    w = model.mapping(z).numpy().astype(np.float64)
    np.testing.assert_allclose(mean, w.mean(0), atol=1e-5)
    squares = ((w - w.mean(0)) ** 2).sum(1)
    assert deviation == pytest.approx(np.sqrt(squares.mean()), rel=1e-5)


# ---------------------------------------------------------------------------
# Noise maps


def reference_penalty(x: np.ndarray) -> np.ndarray:
    """Of [N, H, W], in float64 and in as many words."""
    x, total = x.astype(np.float64), np.zeros(len(x))
    while True:
        n, h, w = x.shape
        right = np.concatenate([x[:, :, -1:], x[:, :, :-1]], axis=2)
        below = np.concatenate([x[:, -1:], x[:, :-1]], axis=1)
        for size, moved in ((w, right), (h, below)):
            if size > 1:
                total += (x * moved).mean((1, 2)) ** 2
        if min(h, w) < 16 or h % 2 or w % 2:
            return total
        x = x.reshape(n, h // 2, 2, w // 2, 2).mean((2, 4))


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 4), (4, 4), (8, 8), (8, 12), (16, 16), (64, 96), (20, 20)]
)
def test_penalty(shape):
    maps = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    maps[1] = np.sin(np.arange(maps[1].size)).reshape(shape)  # far from noise
    found = noise.noise_penalty(tf.constant(maps[..., None]))
    np.testing.assert_allclose(found, reference_penalty(maps), rtol=1e-4, atol=1e-9)


def test_penalty_sees_what_is_smooth_at_any_size():
    rng = np.random.default_rng(0)
    white = rng.normal(size=(1, 64, 64, 1)).astype(np.float32)
    coarse = rng.normal(size=(1, 8, 8, 1)).repeat(8, 1).repeat(8, 2)
    both = noise.normalize_noise(tf.constant(white + 0.5 * coarse, tf.float32))
    assert float(noise.noise_penalty(both)[0]) > 20 * float(
        noise.noise_penalty(white)[0]
    )


def test_maps_are_brought_back_to_noise():
    maps = np.random.default_rng(0).normal(3, 7, size=(2, 4, 6, 1)).astype(np.float32)
    found = noise.normalize_noise(tf.constant(maps)).numpy().astype(np.float64)
    np.testing.assert_allclose(found.mean((1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(found.var((1, 2)), 1, rtol=1e-5)
    one = noise.normalize_noise(tf.ones([2, 1, 1, 1]))
    np.testing.assert_array_equal(one, np.zeros((2, 1, 1, 1)))


# ---------------------------------------------------------------------------
# The loss without a download


def reference_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Of [H, W, C], float64."""
    x, levels = (a.astype(np.float64) - b) / 127.5, []
    while True:
        parts = [x, np.diff(x, axis=1), np.diff(x, axis=0)]
        h = [np.sqrt(p**2 + 1e-4) - 0.01 for p in parts]
        levels.append(sum(p.mean() for p in h))
        if min(x.shape[:2]) < 16:
            return np.mean(levels)
        m, n = x.shape[0] // 2, x.shape[1] // 2
        x = x[: 2 * m, : 2 * n].reshape(m, 2, n, 2, -1).mean((1, 3))


@pytest.mark.parametrize("shape", [(8, 8, 3), (32, 32, 1), (64, 48, 4), (4, 6, 3)])
def test_multiscale_distance(shape):
    a, b = np.random.default_rng(0).uniform(0, 255, size=(2, 2, *shape))
    found = MultiScale().distance(*(tf.constant(x, tf.float32) for x in (a, b)))
    expected = [reference_distance(x, y) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_equal_pictures_have_no_distance_and_a_gradient():
    a = tf.ones([1, 16, 16, 3])
    with tf.GradientTape() as tape:
        tape.watch(a)
        distance = MultiScale().distance(a, tf.ones_like(a))
    assert float(distance[0]) == pytest.approx(0, abs=1e-7)
    np.testing.assert_array_equal(tape.gradient(distance, a), np.zeros(a.shape))


@pytest.mark.parametrize(
    ("shape", "small"),
    [((1024, 1024), (256, 256)), ((512, 768), (256, 384)), ((160, 96), (160, 96))],
)
def test_large_pictures_are_compared_small(shape, small):
    images = np.random.default_rng(0).uniform(size=(1, *shape, 1)).astype(np.float32)
    found = likeness.downscale_images(tf.constant(images)).numpy()
    assert found.shape == (1, *small, 1)
    f = shape[0] // small[0]
    cells = images.reshape(1, small[0], f, small[1], f, 1).mean((2, 4))
    np.testing.assert_allclose(found, cells, rtol=1e-5)


def test_psnr():
    a = np.zeros((2, 4, 4, 3), np.uint8)
    b = a.copy()
    b[0] = 10
    found = likeness.psnr(a, b)
    assert found[0] == pytest.approx(20 * np.log10(25.5)) and found[1] == np.inf


# ---------------------------------------------------------------------------
# The search


class Pixels:
    """Somebody else's loss."""

    name = "pixels"

    def distance(self, a, b):
        return tf.reduce_mean(((a - b) / 255) ** 2, axis=[1, 2, 3])


def reference_search(model, target, steps: int) -> list[np.ndarray]:
    """W+ of one picture: eager, Keras' Adam, one step after the other."""
    mean, deviation = search.w_statistics(model)
    ws = tf.Variable(np.repeat(mean[None, None], model.config.num_styles, 1))
    rng = np.random.default_rng([7, 2])
    maps = [
        tf.Variable(rng.standard_normal((1, *shape, 1), np.float32))
        for shape in model.config.noise_shapes(8)
    ]
    adam = keras.optimizers.Adam(0.1, 0.9, 0.999, epsilon=1e-8)
    adam.build([ws, *maps])
    for step in range(steps):
        t = step / steps
        adam.learning_rate = 0.1 * min(1, t / 0.05)
        adam.learning_rate = adam.learning_rate * (
            0.5 - 0.5 * np.cos(np.pi * min(1, (1 - t) / 0.25))
        )
        luck = tf.random.stateless_normal(ws.shape, [7, step])
        with tf.GradientTape() as tape:
            shaken = ws + 0.05 * max(0, 1 - t / 0.75) ** 2 * deviation * luck
            images = model.synthesis(shaken, noise=[tf.identity(m) for m in maps])
            loss = Pixels().distance(127.5 * images + 127.5, np.float32(target[None]))
            for m in maps:
                for axis in (1, 2):
                    loss += 1e5 / 128**2 * tf.reduce_mean(m * tf.roll(m, 1, axis)) ** 2
        adam.apply(tape.gradient(loss, [ws, *maps]))
        for m in maps:
            m.assign((m - np.mean(m)) / np.std(m))
    return [ws.numpy(), *(m.numpy() for m in maps)]


def test_steps_are_those_of_a_plain_loop(model, targets):
    expected = reference_search(model, targets[0], steps=8)
    found = project(model, targets[:1], "wplus", 8, seed=7, loss=Pixels())
    start = search.w_statistics(model)[0]
    assert np.abs(expected[0] - start).max() > 0.1  # it went somewhere
    np.testing.assert_allclose(found.latents.ws, expected[0], atol=2e-3)
    for ours, theirs in zip(found.latents.noise, expected[1:], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=5e-3)
    assert found.loss == "pixels"


def test_own_pictures_are_found_again(model, targets):
    w = project(model, targets, "w", 100)
    wplus = project(model, targets, "wplus", 100)
    for found in (w, wplus):
        assert np.all(found.distances < found.start_distances / 3) and np.all(
            found.psnr > 32
        )
    c = model.config
    assert w.latents.ws.shape == wplus.latents.ws.shape == (3, c.num_styles, c.w_dim)
    assert np.all(w.latents.ws == w.latents.ws[:, :1])
    assert np.all(np.ptp(wplus.latents.ws, axis=1).max(axis=-1) > 0)
    for m in w.latents.noise:
        np.testing.assert_allclose(m.mean((1, 2)), 0, atol=1e-5)
        np.testing.assert_allclose(m.var((1, 2)), 1, rtol=1e-4)
        assert np.all(noise.noise_penalty(tf.constant(m)) < 1e-5)
    assert w.latents.names == ("0000", "0001", "0002")
    _check_files(model, w)


def _check_files(model, found):
    """Whoever loads the latents draws the same pictures again."""
    with tempfile.TemporaryDirectory() as folder:
        path = found.latents.save(Path(folder) / "x.npz")
        read = latents.load_latents(path, model.config.num_styles, model.config.w_dim)
    again = sampling.Renderer(model)(read.ws, read.noise)
    np.testing.assert_array_equal(again, found.images)
    np.testing.assert_array_equal(likeness.psnr(again, found.targets), found.psnr)
    distance = MultiScale().distance(
        again.astype(np.float32), found.targets.astype(np.float32)
    )
    np.testing.assert_allclose(distance, found.distances, rtol=1e-4)


def test_pictures_do_not_see_their_neighbors(model, targets, projector):
    together, again = run(projector, targets), run(projector, targets)
    others = run(projector, targets[[0, 2, 2]])
    for a, b, c in zip(together, again, others, strict=True):
        np.testing.assert_array_equal(a, b)  # and nothing is left of the first run
        np.testing.assert_array_equal(a[0], c[0])
        np.testing.assert_allclose(a[2], c[1], atol=1e-3)  # in another place
        assert np.abs(a[0] - a[2]).max() > 5e-3
    filled = project(model, targets, "wplus", 20, batch=2).latents
    for a, b in zip(together, [filled.ws, *filled.noise], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)


def test_another_seed_is_another_search(model, targets, projector):
    other = run(search.Projector(model, 3, "wplus", seed=1, steps=20), targets)
    for a, b in zip(run(projector, targets), other, strict=True):
        assert np.all(np.abs(a - b).max(axis=(1, 2)) > 1e-2)


def test_gradients_reach_w_and_every_noise_map(model, targets):
    free = ProjectionSettings(noise_weight=0)  # so that only the picture moves the maps
    found = project(model, targets[:1], "wplus", 3, seed=4, settings=free)
    rng = np.random.default_rng([4, 2])
    for m in found.latents.noise:
        start = rng.standard_normal(m.shape, np.float32)
        start = (start - start.mean()) / start.std()
        assert np.any(np.abs(m - start) > 1e-3)
    mean = search.w_statistics(model)[0]
    moved = np.abs(found.latents.ws[0] - mean).max(axis=-1)
    assert np.all(moved > 1e-3)


@pytest.mark.parametrize(
    ("changes", "growth"), [(OTHER, None), (BARE, None), ({}, Growth(4))]
)
def test_every_kind_of_model(changes, growth):
    model = generator(changes, growth)
    c = model.config
    drawn = sampling.draw(model, [1, 2], psi=0.5)
    pictures = np.stack([picture for _, picture in drawn])
    classes = [2, 0] if c.classes else None
    found = project(model, pictures, "wplus", 30, classes=classes)
    assert found.images.shape == pictures.shape
    assert np.all(found.distances < found.start_distances)
    shapes = c.noise_shapes(model.growth.resolution)
    assert len(found.latents.noise or []) == len(shapes)


def test_a_search_starts_at_the_mean_of_the_class():
    model = generator(OTHER)
    means, deviations = search._start_points(model, [2, 0], 3)
    z = np.random.RandomState(123).randn(10_000, 8).astype(np.float32)
    w = [
        model.mapping(z, latents.one_hot([k] * 10_000, 3)).numpy().astype(np.float64)
        for k in range(3)
    ]
    for i, k in enumerate([2, 0, 2]):
        np.testing.assert_allclose(means[i, 0], w[k].mean(0), atol=1e-5)
        gaps = ((w[k] - w[k].mean(0)) ** 2).sum(1)
        assert deviations[i] == pytest.approx(np.sqrt(gaps.mean()), rel=1e-4)
    assert np.abs(means[0] - means[1]).max() > 0.01
    (mixed,), _ = search._start_points(model, None, 1)  # every class has its third of z
    turns = np.choose(np.arange(10_000)[:, None] % 3, w)
    np.testing.assert_allclose(mixed[0], turns.mean(0), atol=1e-5)


def test_snapshots_are_made_as_they_are_asked_for(model, targets, projector):
    seen = []

    def watch(rows, snapshots):
        first = next(snapshots)
        seen.append((rows, first.step, first.images))

    found = project(model, targets, "wplus", 20, batch=2, every=2, watch=watch)
    assert [s[:2] for s in seen] == [(slice(0, 2), 0), (slice(2, 3), 0)]
    assert seen[1][2].shape == (1, 8, 8, 3)  # without what fills up the batch
    np.testing.assert_allclose(found.latents.ws, run(projector, targets)[0], atol=1e-3)
    own = projector.run(targets, *search._start_points(model, None, 3), every=8)
    seen = [(s.step, s.images) for s in own]
    assert [step for step, _ in seen] == [0, 8, 16, 20]
    gap = np.abs(seen[-1][1].astype(int) - found.images)
    assert gap.max() <= 1 < np.abs(seen[0][1].astype(int) - found.images).max()


class Broken(Pixels):
    name = "broken"

    def distance(self, a, b):
        return super().distance(a, b) * float("nan")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"space": "z"}, "space is 'z'; choose w or wplus"),
        ({"steps": 0}, "steps is 0; give at least 1"),
        ({"batch": 0}, "batch is 0"),
        ({"targets": np.zeros((1, 8, 9, 3), np.uint8)}, "uint8 of N x 8 x 8 x 3"),
        ({"targets": np.zeros((1, 8, 8, 3))}, "pictures are float64 of 1 x 8 x 8 x 3"),
        ({"targets": np.zeros((0, 8, 8, 3), np.uint8)}, "give at least one"),
        ({"names": ("a",)}, "1 names were given for 3 pictures"),
        ({"classes": [0]}, "no classes"),
        ({"loss": Broken(), "steps": 2}, r"\[broken\] is no number at step 0"),
    ],
)
def test_what_does_not_suit_the_model_is_refused(model, targets, options, words):
    with pytest.raises(UserError, match=words):
        project(model, **{"targets": targets} | options)


def test_settings_are_checked():
    with pytest.raises(UserError, match="lr is -1; give a number of at least 0"):
        ProjectionSettings(lr=-1)
    with pytest.raises(UserError, match="noise_weight is nan"):
        ProjectionSettings(noise_weight=float("nan"))
