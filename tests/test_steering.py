"""steering.py: what truncation, mixing, edits and walks do to styles, and what not."""

import numpy as np
import pytest
import tensorflow as tf
import tiny

from stylegan_tf import latents, sampling
from stylegan_tf.config import Growth
from stylegan_tf.errors import UserError
from stylegan_tf.latents import directions
from stylegan_tf.networks.generator import Generator
from stylegan_tf.sampling import steering


@pytest.fixture(scope="module")
def model():
    return tiny.noisy(Generator(tiny.config().generator))


@pytest.fixture(scope="module")
def conditional():
    return tiny.noisy(Generator(tiny.config({"classes": 3}).generator))


def test_subjects_are_the_pictures_of_draw(model):
    batch = sampling.StyleBatch.from_seeds(model, [4, 7])
    assert batch.names == ("seed 4", "seed 7") and len(batch) == 2
    np.testing.assert_array_equal(batch.ws, sampling.styles(model, [4, 7]))
    for psi, cutoff in ((0.7, None), (-1.0, 2), ([1, 0.5, 0, -1], None)):
        expected = sampling.styles(model, [4, 7], psi, cutoff)
        np.testing.assert_array_equal(batch.truncated(psi, cutoff), expected)
        by_model = model.truncate(tf.constant(batch.ws), tf.constant(psi), cutoff)
        np.testing.assert_allclose(expected, by_model, atol=1e-6)
    one = batch[[1]]
    assert one.names == ("seed 7",)
    np.testing.assert_array_equal(one.ws[0], batch.ws[1])


def test_subjects_of_classes_have_centers_of_their_own(conditional):
    batch = sampling.StyleBatch.from_seeds(conditional, [1, 2, 3, 4], classes=[2, 0])
    assert batch.class_ids.tolist() == [2, 0, 2, 0]
    expected = sampling.styles(conditional, [1, 2, 3, 4], 0.5, classes=[2, 0])
    np.testing.assert_array_equal(batch.truncated(0.5), expected)
    part = batch[[3, 0]]
    np.testing.assert_array_equal(part.truncated(0.5), expected[[3, 0]])
    assert part.class_ids.tolist() == [0, 2]


def test_latents_are_mapped_alike_however_many(model):
    z = latents.z_of([4, 7, 9], 8)
    batch = sampling.StyleBatch.from_z(model, z)
    np.testing.assert_allclose(batch.ws, sampling.styles(model, [4, 7, 9]), atol=1e-6)
    many = sampling.map_latents(model, np.random.default_rng(0).normal(size=(1001, 8)))
    assert many.shape == (1001, 8) and np.isfinite(many).all()
    assert sampling.map_latents(model, z[:0]).shape == (0, 8)


def test_styles_of_a_file_bring_their_noise(model, tmp_path):
    shapes = model.config.noise_shapes(8)
    noise = latents.noise_of([1, 2], shapes)
    ws = sampling.styles(model, [4, 7])
    path = latents.Latents(ws, noise, ("a", "b")).save(tmp_path / "a.npz")
    batch = sampling.StyleBatch.from_file(model, path)
    np.testing.assert_array_equal(batch.truncated(1.0), ws)
    for found, own in zip(batch.noise_of(1), noise, strict=True):
        np.testing.assert_array_equal(found, own[1:])
    draw = sampling.Renderer(model)
    pictures = list(draw.stream(batch.ws, batch.noise))
    expected = list(draw.stream(ws, seeds=[1, 2]))
    np.testing.assert_array_equal(pictures, expected)
    bad = latents.Latents(ws, noise[:3]).save(tmp_path / "b.npz")
    with pytest.raises(UserError, match="no layers for"):
        sampling.StyleBatch.from_file(model, bad)
    for other, words in ((ws * np.nan, "not finite"), (ws[:0], "holds no picture")):
        with pytest.raises(UserError, match=words):
            sampling.StyleBatch.from_file(
                model, latents.Latents(other).save(tmp_path / "c.npz")
            )


# ---------------------------------------------------------------------------
# Mixing and editing


def test_mixes_and_edits_are_read():
    assert latents.parse_mix("639@0-1,3", 4) == latents.Mix(639, (0, 1, 3))
    assert latents.parse_mix("7@fine", 4) == latents.Mix(7, (3,))
    assert latents.parse_edit("pca0:-2.5", 4) == latents.Edit("pca0", -2.5)
    edit = latents.parse_edit("a:b:1@2-", 4)
    assert edit == latents.Edit("a:b", 1.0, (2, 3))
    assert latents.parse_edit("a@b:1@3", 4) == latents.Edit("a@b", 1.0, (3,))
    for text in ("639", "@0", "1,2@0", "x@0"):
        with pytest.raises(UserError, match="SEED@LAYERS|neither a number"):
            latents.parse_mix(text, 4)
    for text in ("pca0", "pca0:", ":1", "pca0:much", "pca0:nan", "pca0:1e39"):
        with pytest.raises(UserError, match="is not DIRECTION:AMOUNT"):
            latents.parse_edit(text, 4)
    with pytest.raises(UserError, match="4 is above 3"):
        latents.parse_edit("pca0:1@4", 4)


def test_edits_move_the_layers_named_and_nothing_else(model):
    ws = sampling.styles(model, [1, 2], 0.7)
    none = np.zeros(0, int)
    edit = latents.Edit("pca1", 1.5, (0, 3))
    found = steering.Steering(model, edits=[edit])(ws, none)
    np.testing.assert_array_equal(found[:, 1:3], ws[:, 1:3])
    w = sampling.sample_w(model)
    axes = np.linalg.svd(w - w.mean(axis=0), full_matrices=False)[2]
    step = (found - ws)[:, [0, 3]].reshape(4, 8)
    np.testing.assert_allclose(np.abs(step @ axes[1]), 1.5 * (w @ axes[1]).std(), 1e-4)
    np.testing.assert_allclose(step @ axes[0], 0, atol=1e-5)
    zero = steering.Steering(model, edits=[latents.Edit("pca1", 0.0)])(ws, none)
    np.testing.assert_array_equal(zero, ws)
    back = steering.Steering(model, edits=[edit, latents.Edit("pca1", -1.5, (0, 3))])
    np.testing.assert_allclose(back(ws, none), ws, atol=1e-6)


def test_directions_come_from_a_file_or_the_model(model):
    w = sampling.sample_w(model)
    side = (w[:, 0] > np.median(w[:, 0])).astype(int)
    known = directions.label_directions(w, {"first": side, "pca0": side})
    find = steering.DirectionFinder(model, known)
    step, layers = find("first")
    np.testing.assert_array_equal(step, known.step("first"))
    assert layers == (0, 1, 2, 3)
    np.testing.assert_array_equal(find("pca0")[0], known.step("pca0"))  # the file's
    step, layers = find("sefa0", (1, 2))
    own = directions.sefa(steering.style_affines(model), w, 8, (1, 2))
    np.testing.assert_array_equal(step, own.step("sefa0"))
    assert layers == (1, 2)
    with pytest.raises(
        UserError, match="no direction 'smile'; there are first, pca0, "
    ):
        find("smile")
    with pytest.raises(UserError, match="no direction 'pca99' among"):
        find("pca99")


def test_mixing_is_that_of_the_truncated_styles(model):
    a, b = (sampling.styles(model, [s], 0.6) for s in (3, 5))
    mix = steering.Steering(model, [latents.Mix(5, (1, 2))], psi=0.6)
    found = mix(np.repeat(a, 3, axis=0), np.zeros(0, int))
    for row in found:
        np.testing.assert_array_equal(row[[1, 2]], b[0, [1, 2]])
        np.testing.assert_array_equal(row[[0, 3]], a[0, [0, 3]])
    by_model = model.mix(tf.constant(a), tf.constant(b), 2)  # the training's own
    mix = steering.Steering(model, [latents.Mix(5, (2, 3))], psi=0.6)
    np.testing.assert_array_equal(mix(a, np.zeros(0, int)), by_model)


def test_what_is_mixed_in_has_the_class_of_the_picture(conditional):
    how = {"psi": 0.6, "psi_center": "class"}
    mix = steering.Steering(conditional, [latents.Mix(5, (0,))], **how)
    drawn = sampling.styles(conditional, [1, 2, 3], steer=mix, **how)
    for k in range(3):
        other = sampling.styles(conditional, [5], classes=[k], **how)[0]
        np.testing.assert_array_equal(drawn[k, 0], other[0])


def test_draw_steers(model):
    def flip(ws, class_ids):
        assert class_ids.shape == (0,)
        return -ws

    drawn = [p for _, p in sampling.draw(model, range(11), steer=flip)]
    expected = sampling.Renderer(model)(-sampling.styles(model, range(11)))
    np.testing.assert_array_equal(drawn, expected)


def test_models_that_lack_it_say_so():
    plain = Generator(tiny.config({"generator.mapping_layers": 0}).generator)
    with pytest.raises(UserError, match="w is z, which has no main axes"):
        steering.DirectionFinder(plain)("pca0")
    plain = Generator(tiny.config({"generator.use_styles": False}).generator)
    with pytest.raises(UserError, match="no affines to factorize"):
        steering.DirectionFinder(plain)("sefa0")


def test_half_grown_models_are_steered_where_they_have_grown():
    small = Generator(tiny.config().generator, Growth(4))
    assert sampling.drawn_styles(small) == 2
    found = steering.find_directions(small, "sefa", 2)
    own = directions.sefa(
        steering.style_affines(small), sampling.sample_w(small), 2, (0, 1)
    )
    np.testing.assert_array_equal(found.vectors, own.vectors)


# ---------------------------------------------------------------------------
# Walks


def test_walks_pass_the_pictures(model):
    batch = sampling.StyleBatch.from_seeds(model, [1, 2, 3])
    for kind in latents.PATHS:
        way = sampling.interpolate_styles(model, batch, kind, 4, loop=True)
        assert len(way) == 12
        np.testing.assert_allclose(way.ws[::4], batch.ws, atol=1e-5)
        open_way = sampling.interpolate_styles(model, batch, kind, 4, loop=False)
        assert len(open_way) == 9
        np.testing.assert_allclose(open_way.ws[-1], batch.ws[-1], atol=1e-5)
    z = latents.interpolate(latents.z_of([1, 2, 3], 8), "z", 4, loop=True)
    way = sampling.interpolate_styles(model, batch, "z", 4)
    np.testing.assert_allclose(way.ws[:, 2], model.mapping(z), atol=1e-5)
    w = sampling.interpolate_styles(model, batch, "linear", 4).ws
    np.testing.assert_allclose(w[1], 0.75 * batch.ws[0] + 0.25 * batch.ws[1], atol=1e-6)


def test_walks_between_classes(conditional):
    batch = sampling.StyleBatch.from_seeds(conditional, [1, 2, 3])
    way = sampling.interpolate_styles(conditional, batch, "linear", 2, loop=False)
    expected = sampling.styles(conditional, [1, 2, 3], 0.5)
    np.testing.assert_allclose(way.truncated(0.5)[::2], expected, atol=1e-6)
    assert way.class_ids.tolist() == [0, 0, 1, 1, 2]
    with pytest.raises(UserError, match="stays in one class.*--classes=K"):
        sampling.interpolate_styles(conditional, batch, "z", 2)
    one = sampling.StyleBatch.from_seeds(conditional, [1, 2], classes=[2])
    way = sampling.interpolate_styles(conditional, one, "z", 2, loop=False)
    np.testing.assert_allclose(way.ws[::2], one.ws, atol=1e-5)
    assert set(way.class_ids.tolist()) == {2}


def test_styles_of_a_file_have_no_z(model, tmp_path):
    path = latents.Latents(sampling.styles(model, [1, 2])).save(tmp_path / "a.npz")
    with pytest.raises(UserError, match="no z; use --path=linear or cubic"):
        sampling.interpolate_styles(
            model, sampling.StyleBatch.from_file(model, path), "z", 2
        )


def test_pictures_are_drawn_as_they_are_asked_for(model):
    ws = sampling.styles(model, range(20), 0.7)
    calls = []

    class Counting(sampling.Renderer):
        def __call__(self, ws, *args, **kwargs):
            calls.append(len(ws))
            return super().__call__(ws, *args, **kwargs)

    pictures = Counting(model).stream(ws)
    next(pictures)
    assert calls == [8]
    assert len(list(pictures)) == 19 and calls == [8, 8, 4]
