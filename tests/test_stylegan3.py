"""networks/stylegan3.py: what StyleGAN3 is, and what it has not."""

import dataclasses

import ada_golden
import golden
import numpy as np
import pytest
import small
import tensorflow as tf

from stylegan_tf import config as configs
from stylegan_tf import latents as latent_files
from stylegan_tf import projector, sampling
from stylegan_tf.config import DiscriminatorConfig, GeneratorConfig
from stylegan_tf.config.stylegan3 import StyleGAN3Config
from stylegan_tf.errors import UserError
from stylegan_tf.export.program import Program
from stylegan_tf.figures.outputs import ImageWriter
from stylegan_tf.networks.generator import Generator
from stylegan_tf.networks.stylegan3 import FilteredLayer, rotation_and_shift
from stylegan_tf.official import networks

SMALL = GeneratorConfig(
    architecture="stylegan3",
    resolution=32,
    z_dim=8,
    w_dim=8,
    mapping_width=8,
    mapping_layers=2,
    fmap_base=64,
    fmap_max=12,
    conv_clamp=256.0,
    stylegan3=StyleGAN3Config(layers=5, critical=1),
)
RADIAL = dataclasses.replace(
    SMALL, stylegan3=StyleGAN3Config(layers=5, critical=1, kernel_size=1, radial=True)
)
CASE = "sg3t_r16_cond3"


@pytest.fixture(scope="module")
def official():
    """A generator of the official program, and its numbers."""
    path = ada_golden.FOLDER / f"{CASE}.pkl"
    return networks.load_pickle(path).networks["Gs"], ada_golden.load(CASE)


@pytest.fixture(scope="module")
def model():
    return Generator(SMALL)


def latents(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, SMALL.z_dim)).astype("f4")


def test_it_draws_at_every_batch_size(model):
    z = latents(5)
    alone = [model(z[i : i + 1]) for i in range(5)]
    for n in (1, 2, 3, 5):
        golden.close(model(z[:n]), np.concatenate(alone[:n]), 1e-5)


def test_the_parts_are_those_of_every_generator(model):
    z = latents(3)
    ws = model.broadcast(model.mapping(z))
    assert ws.shape == (3, SMALL.num_styles, 8) and SMALL.num_styles == 5 + 2
    golden.close(model.synthesis(ws), model(z), 1e-6)
    some = model.truncate(ws, 0.5, cutoff=3)
    assert np.array_equal(some[:, 3:], ws[:, 3:])
    half = model.truncate(ws, 0.5)
    golden.close(some[:, :3], half[:, :3], 1e-6)


def test_it_has_no_noise_and_no_growth(model):
    ws = model.broadcast(model.mapping(latents(1)))
    same = [model.synthesis(ws, noise=mode) for mode in ("random", "const", "none")]
    assert np.array_equal(same[0], same[1]) and np.array_equal(same[0], same[2])
    assert SMALL.noise_shapes(32) == []
    with pytest.raises(ValueError, match="no noise inputs"):
        model.synthesis(ws, noise=[np.zeros((1, 4, 4, 1))])
    with pytest.raises(ValueError, match="no noise inputs"):
        model.synthesis(ws, noise="loud")
    with pytest.raises(ValueError, match="draws at 32 only, not at 16"):
        model.synthesis(ws, resolution=16)
    with pytest.raises(ValueError, match="nothing to fade in"):
        model.synthesis(ws, alpha=0.5)
    assert model.synthesis(ws, resolution=32, alpha=1.0).shape == (1, 32, 32, 3)


BARE = GeneratorConfig(
    architecture="skip", use_noise=False, **small.SMALL_G | {"resolution": 8}
)
WITHOUT_NOISE = {"stylegan3": SMALL, "skip": BARE}


@pytest.mark.parametrize("architecture", WITHOUT_NOISE)
def test_who_asks_for_random_noise_is_told_that_there_is_none(architecture, tmp_path):
    g = Generator(WITHOUT_NOISE[architecture])
    targets = np.zeros((1, *g.config.shape(g.config.resolution), 3), np.uint8)
    weighs = projector.ProjectionSettings(noise_weight=1.0)
    kept = latent_files.Latents(
        np.zeros((1, g.config.num_styles, g.config.w_dim), "f4"),
        [np.zeros((1, 4, 4, 1), "f4")],
        ("a",),
    ).save(tmp_path / "a.npz")
    for asks in (
        lambda: sampling.Renderer(g, "random"),
        lambda: next(sampling.draw(g, [0], noise="random")),
        lambda: ImageWriter(g, [0], noise="random"),
        lambda: Program(g, noise="random"),
        lambda: projector.project(g, targets, steps=1, settings=weighs),
    ):
        with pytest.raises(UserError, match=f"{architecture}. has no noise inputs"):
            asks()
    with pytest.raises(UserError, match="that the model has no layers for"):
        sampling.StyleBatch.from_file(g, kept)
    with pytest.raises(UserError, match="noise is 'loud'; choose random, const, none"):
        sampling.Renderer(g, "loud")
    for mode in ("const", "none"):  # the default, and what it is
        assert sampling.Renderer(g, mode).noise_of([0]) == []


@pytest.mark.parametrize("index", [2, 5])
def test_the_clamp_is_between_the_filters(index):
    """Overshoots of the second filter pass; those of the activation do not."""
    limit = 1e-3
    layer = FilteredLayer(dataclasses.replace(SMALL, conv_clamp=limit), index)
    plan, rng = layer.plan, np.random.default_rng(0)
    x = rng.normal(size=(1, plan.before.size, plan.before.size, plan.in_channels))
    y = layer(tf.constant(x, tf.float32), tf.zeros([1, SMALL.w_dim]))
    most = 1.0
    if layer.down_filter is not None:
        most = np.abs(layer.down_filter.numpy()).sum() ** 2
    highest = np.abs(y).max() / limit
    assert (highest > 1) == (most > 1) and 0.999 < highest < most + 1e-3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"start_shape": (4, 6)}, "square"),
        ({"stylegan3.layers": 1}, "stylegan3.layers=1"),
        ({"stylegan3.critical": 5}, "stylegan3.critical=5"),
        ({"stylegan3.first_stopband": 1.0}, "stylegan3.first_stopband"),
        ({"fmap_base": 4}, "leaves no channel"),
        ({"stylegan3.kernels": 1}, "no setting 'kernels'"),
    ],
)
def test_settings_that_cannot_be(changes, words):
    with pytest.raises(UserError, match=words):
        configs.update(SMALL, changes)


def test_its_discriminator_is_stylegan2s():
    with pytest.raises(UserError, match="takes StyleGAN2's"):
        DiscriminatorConfig(architecture="stylegan3")


def test_settings_travel_as_json():
    again = configs.from_dict(GeneratorConfig, configs.to_dict(RADIAL))
    assert again == RADIAL and again.stylegan3.radial


# ---------------------------------------------------------------------------
# Equivariance (section 2): what moves the input moves the picture


def middle(x: np.ndarray, margin: int = 6) -> np.ndarray:
    return np.asarray(x)[:, margin:-margin, margin:-margin]


def correlation(a, b) -> float:
    a, b = (np.asarray(x, np.float64).ravel() for x in (a, b))
    return float(np.corrcoef(a, b)[0, 1])


def test_pictures_move_with_the_transform(model):
    """By whole pixels, to the right and down."""
    ws = model.broadcast(model.mapping(latents(1)))
    still = model.synthesis(ws)
    for x, y in ((4, 0), (0, 4), (-3, 5)):
        moved = model.synthesis(ws, transform=rotation_and_shift(0, x / 32, y / 32))
        back = np.roll(moved, (-y, -x), (1, 2))
        assert correlation(middle(back), middle(still)) > 0.98


def test_radial_networks_turn_with_the_transform():
    model = Generator(RADIAL)
    ws = model.broadcast(model.mapping(latents(1)))
    still, turned = (
        model.synthesis(ws),
        model.synthesis(ws, transform=rotation_and_shift(90)),
    )
    turns = [
        correlation(middle(np.rot90(turned, k, (1, 2))), middle(still)) for k in (1, 3)
    ]
    assert max(turns) > 0.95


def test_the_stored_transform_is_used(model):
    other = Generator(SMALL)
    for mine, theirs in zip(other.weights, model.weights, strict=True):
        mine.assign(theirs)
    ws = model.broadcast(model.mapping(latents(2)))
    move = rotation_and_shift(20, 0.1, -0.05)
    other.synthesis.input_features.transform.assign(move)
    golden.close(other.synthesis(ws), model.synthesis(ws, transform=move), 1e-6)
    each = np.stack([np.eye(3, dtype="f4"), move])
    mixed = model.synthesis(ws, transform=each)
    golden.close(mixed[:1], model.synthesis(ws)[:1], 1e-5)
    golden.close(mixed[1:], other.synthesis(ws)[1:], 1e-5)


# ---------------------------------------------------------------------------
# Training


def test_magnitudes_take_in_a_batch_as_officially(official):
    g, numbers = official
    before = [v.numpy() for v in g.synthesis.running_means]
    z, labels = numbers["in/z"], ada_golden.labels(numbers, "in/c")
    ws = g.broadcast(g.mapping(z, labels))
    _, squares = g.synthesis.measure(ws)
    g.synthesis.move_magnitudes(squares)
    head = "out/train/magnitude_ema_after/synthesis."
    try:
        for plan in g.config.filtered_layers:
            layer = getattr(g.synthesis, f"layer{plan.index}")
            numbers.check(f"{head}{plan.name}", layer.magnitude)
    finally:
        for v, value in zip(g.synthesis.running_means, before, strict=True):
            v.assign(value)


def test_magnitudes_stay_otherwise(model):
    before = [v.numpy() for v in model.synthesis.running_means]
    model(latents(2), training=True)
    assert before == [v.numpy() for v in model.synthesis.running_means] == [1.0] * 6


def test_second_derivatives_exist(model):
    """Of a slope's length, as penalties on it take them."""
    ws = tf.constant(model.broadcast(model.mapping(latents(2))))
    kernel = model.synthesis.layer1.kernel
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            inner.watch(ws)
            total = tf.reduce_sum(model.synthesis(ws) ** 2)
        length = tf.reduce_sum(inner.gradient(total, ws) ** 2)
    found = outer.gradient(length, kernel.value)
    assert np.isfinite(found).all() and np.abs(found).max() > 0


def test_new_networks_start_as_the_paper_says():
    g = Generator(dataclasses.replace(SMALL, fmap_max=4096, fmap_base=512))
    features = g.synthesis.input_features
    length = np.linalg.norm(features.frequencies, axis=1)
    assert length.max() <= SMALL.stylegan3.first_cutoff + 1e-5
    assert np.mean(length < 2**0.5) == pytest.approx(0.5, abs=0.12)  # of the disk
    assert -0.5 <= features.phases.numpy().min() < features.phases.numpy().max() <= 0.5
    assert not features.affine_kernel.numpy().any()


def test_keras_files_keep_everything(official, tmp_path):
    from stylegan_tf import models

    g, numbers = official
    g.save(tmp_path / "model.keras")
    again = models.load(tmp_path / "model.keras")
    assert again.config == g.config
    ws = numbers["in/ws_free"]
    assert np.array_equal(again.synthesis(ws), g.synthesis(ws))
