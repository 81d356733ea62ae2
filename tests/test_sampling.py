"""sampling.py: a seed is a picture, whatever is drawn beside it."""

import numpy as np
import pytest
import reference
import tensorflow as tf
import tiny

from stylegan_tf import figures, latents, models, sampling
from stylegan_tf.config import Growth
from stylegan_tf.errors import UserError
from stylegan_tf.networks.generator import Generator
from stylegan_tf.sampling import centers, renderer


def generator(changes=None) -> Generator:
    return tiny.noisy(Generator(tiny.config(changes).generator))


@pytest.fixture(scope="module")
def model():
    return generator()


def pictures(model, seeds, **options) -> dict[int, np.ndarray]:
    return dict(sampling.draw(model, seeds, **options))


@pytest.mark.parametrize("noise", ["const", "random"])
def test_a_seed_is_the_same_picture_in_every_batch(model, noise):
    many = pictures(model, range(11), psi=0.7, noise=noise)
    assert list(many) == list(range(11))
    for seeds in ([9], [10, 3, 9]):
        for seed, picture in pictures(model, seeds, psi=0.7, noise=noise).items():
            np.testing.assert_array_equal(picture, many[seed])
    assert np.any(many[0] != many[1])


def test_pictures_are_those_of_the_generator(model):
    drawn = pictures(model, [4, 7], psi=0.5, cutoff=2)
    z = tf.constant(latents.z_of([4, 7], 8))
    expected = figures.to_uint8(model(z, psi=0.5, cutoff=2, noise="const"))
    found = np.stack([drawn[4], drawn[7]])
    assert (found.dtype, found.shape) == (np.uint8, (2, 8, 8, 3))
    np.testing.assert_allclose(found.astype(int), expected, atol=1)


@pytest.mark.parametrize("small", [sampling.SMALL, 0])
@pytest.mark.parametrize("final", [8, 16])
def test_a_resolution_that_fades_in_is_blended(final, small, monkeypatch):
    monkeypatch.setattr(renderer, "SMALL", small)  # 0: one at a time
    config = tiny.config({"resolution": final}).generator
    model = tiny.noisy(Generator(config, Growth(8, 0.3)))
    ws = model.truncate(model.broadcast(model.mapping(latents.z_of([4, 7], 8))), 0.5)
    below, new = (
        model.synthesis(ws, noise="const", resolution=r, alpha=1.0).numpy()
        for r in (4, 8)
    )
    expected = figures.to_uint8(reference.faded(below, new, 0.3)).astype(int)
    found = np.stack(list(pictures(model, [4, 7], psi=0.5).values()))
    np.testing.assert_allclose(found.astype(int), expected, atol=1)
    assert np.abs(found - figures.to_uint8(new).astype(int)).max() > 5
    found = np.stack(list(pictures(model, [4, 7], psi=0.5, resolution=4).values()))
    np.testing.assert_allclose(found.astype(int), figures.to_uint8(below), atol=1)


def test_noise_modes_and_resolutions_differ(model):
    const, random, none = (
        pictures(model, [1], noise=noise)[1] for noise in ("const", "random", "none")
    )
    assert np.any(const != random) and np.any(const != none) and np.any(random != none)
    again = pictures(model, [1], noise="random")[1]
    np.testing.assert_array_equal(again, random)
    assert pictures(model, [1], resolution=4, noise="random")[1].shape == (4, 4, 3)


def test_psi_zero_is_one_picture(model):
    drawn = pictures(model, [1, 2], psi=0.0)
    np.testing.assert_array_equal(drawn[1], drawn[2])


def test_styles_and_renderer_are_what_draw_is_made_of(model):
    how = {"psi": 0.6, "cutoff": 2}
    drawn = np.stack(list(pictures(model, range(11), **how).values()))
    ws = sampling.styles(model, range(11), **how)
    assert (ws.dtype, ws.shape) == (np.float32, (11, 4, 8))
    np.testing.assert_array_equal(sampling.Renderer(model)(ws), drawn)
    render = sampling.Renderer(model)
    random = np.stack(list(pictures(model, range(11), noise="random", **how).values()))
    np.testing.assert_array_equal(render(ws, render.noise_of(range(11))), random)
    one = [m[:1] for m in render.noise_of([3])]  # maps that all pictures share
    np.testing.assert_array_equal(render(ws, one)[3], random[3])
    assert render(ws[:0]).shape == (0, 8, 8, 3)


def test_psi_may_differ_from_layer_to_layer(model):
    full, none = (sampling.styles(model, [1, 2], psi=p) for p in (1.0, 0.0))
    ws = sampling.styles(model, [1, 2], psi=[1.0, 0.0, 1.0, 0.5])
    np.testing.assert_allclose(ws[:, [0, 2]], full[:, [0, 2]], atol=1e-6)
    np.testing.assert_allclose(ws[:, 1], none[:, 1], atol=1e-6)
    np.testing.assert_allclose(ws[:, 3], (full + none)[:, 3] / 2, atol=1e-6)


def test_random_noise_of_a_model_that_has_none():
    plain = Generator(tiny.config({"generator.use_noise": False}).generator)
    with pytest.raises(UserError, match="has no noise inputs; leave --noise out"):
        pictures(plain, [1], noise="random")
    np.testing.assert_array_equal(
        pictures(plain, [1], noise="const")[1], pictures(plain, [1], noise="none")[1]
    )


def test_classes_take_turns():
    model = generator({"classes": 3})
    seeds = [5] * 6
    turns = [p for _, p in sampling.draw(model, seeds)]
    for i in range(3):
        np.testing.assert_array_equal(turns[i], turns[i + 3])
        assert np.any(turns[i] != turns[(i + 1) % 3])
    chosen = [p for _, p in sampling.draw(model, seeds[:3], classes=[2, 0])]
    for i, c in enumerate((2, 0, 2)):
        np.testing.assert_array_equal(chosen[i], turns[c])
    with pytest.raises(UserError, match="class 3 was asked for; the model has 0 to 2"):
        pictures(model, [1], classes=[0, 3])


def test_classes_of_a_model_without_any_are_refused(model):
    with pytest.raises(UserError, match="the model has no classes"):
        pictures(model, [1], classes=[0])


# ---------------------------------------------------------------------------
# Centers of truncation

PLAIN = {"generator.mapping_layers": 0, "generator.normalize_z": False}
PLAIN |= {"classes": 3, "generator.w_dim": 16}


@pytest.fixture(scope="module")
def conditional():
    return generator({"classes": 3})


def test_a_center_is_the_mean_w_of_its_class(conditional):
    z = np.random.RandomState(0).randn(10_000, 8).astype(np.float32)
    for k in range(3):
        w = conditional.mapping(z, latents.one_hot([k] * 10_000, 3)).numpy()
        (found,) = sampling.class_centers(conditional, [k])
        np.testing.assert_allclose(found, w.mean(axis=0, dtype=float), atol=1e-6)


def test_centers_of_a_mapping_that_does_nothing_are_the_embeddings():
    model = Generator(tiny.config(PLAIN).generator)
    centers = sampling.class_centers(model)
    assert (centers.shape, centers.dtype) == ((3, 16), np.float32)
    np.testing.assert_allclose(
        centers[:, 8:], model.mapping.label_embedding.numpy(), rtol=1e-6
    )
    assert np.abs(centers[:, :8]).max() < 0.05  # five times 1 / sqrt(10,000)


def test_centers_are_the_same_beside_others_and_from_a_file(conditional, tmp_path):
    centers = sampling.class_centers(conditional)
    for classes in ([2], [1, 0], [2, 2]):
        found = sampling.class_centers(conditional, classes)
        np.testing.assert_array_equal(found, centers[classes])
    conditional.save(tmp_path / "a.keras")
    again = models.load(tmp_path / "a.keras")
    np.testing.assert_array_equal(sampling.class_centers(again), centers)


@pytest.mark.parametrize(("center", "colors"), [("class", 3), ("global", 1), (None, 3)])
def test_psi_zero_is_the_average_of_the_center(conditional, center, colors):
    drawn = list(
        sampling.draw(conditional, range(6), psi=0, psi_center=center, classes=None)
    )
    kinds = {picture.tobytes() for _, picture in drawn}
    assert len(kinds) == colors
    for i in range(3):
        np.testing.assert_array_equal(drawn[i][1], drawn[i + 3][1])
    if center == "class":
        w = sampling.class_centers(conditional)
        ws = conditional.broadcast(tf.constant(w))
        expected = figures.to_uint8(conditional.synthesis(ws, noise="const"))
        found = np.stack([picture for _, picture in drawn[:3]]).astype(int)
        np.testing.assert_allclose(found, expected, atol=1)


def test_the_global_center_is_the_stored_one(conditional):
    drawn = [p for _, p in sampling.draw(conditional, [1, 2], 0.5, psi_center="global")]
    z, labels = latents.z_of([1, 2], 8), latents.one_hot([0, 1], 3)
    expected = figures.to_uint8(conditional(z, labels, psi=0.5, noise="const"))
    np.testing.assert_allclose(np.stack(drawn).astype(int), expected, atol=1)


def test_psi_one_needs_no_center(conditional, monkeypatch):
    monkeypatch.setattr(centers, "class_centers", None)
    a, b = (pictures(conditional, [3], psi_center=c) for c in sampling.PSI_CENTERS)
    np.testing.assert_array_equal(a[3], b[3])


def test_a_seed_of_a_class_is_the_same_picture_in_every_batch(conditional):
    many = [p for _, p in sampling.draw(conditional, range(12), psi=0.7)]
    for seed in (1, 11):
        alone = pictures(conditional, [seed], psi=0.7, classes=[seed % 3])
        np.testing.assert_array_equal(alone[seed], many[seed])


def test_a_center_that_is_not_there_is_refused(model, conditional):
    with pytest.raises(UserError, match="no per-class.*use --psi_center=global"):
        pictures(model, [1], psi_center="class")
    with pytest.raises(UserError, match="no per-class.*use --psi_center=global"):
        sampling.class_centers(model)
    with pytest.raises(UserError, match="psi_center is 'mean'; choose global or class"):
        pictures(conditional, [1], psi_center="mean")
    with pytest.raises(UserError, match="class -1 was asked for"):
        sampling.class_centers(conditional, [-1])
