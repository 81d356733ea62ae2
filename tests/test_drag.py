"""projector/drag.py: tracking, motion supervision, and `generate.py --drag`."""

import json

import keras
import numpy as np
import pytest
import small
import tensorflow as tf
from launching import call
from PIL import Image

import stylegan_tf
from stylegan_tf import latents, sampling
from stylegan_tf.errors import UserError
from stylegan_tf.networks.generator import Generator
from stylegan_tf.projector import Dragger, DragSettings, drag_points
from stylegan_tf.projector.drag import check_points
from stylegan_tf.projector.points import (
    features_at,
    motion_loss,
    patch_offsets,
    track_points,
)
from stylegan_tf.projector.targets import read_mask

STYLEGAN2 = {"architecture": "skip"}
SHAPE = (16, 24)  # of a picture that the closed forms are about


def maps(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def points(*pairs) -> tf.Tensor:
    return tf.constant(pairs, tf.float32)


# ---------------------------------------------------------------------------
# Closed forms


def test_features_between_pixels_are_bilinear():
    x = maps(8, 12, 3)
    same = features_at(x, points((0, 0), (11, 7), (-9, 99)), (8, 12))
    np.testing.assert_array_equal(same, [x[0, 0], x[7, 11], x[7, 0]])
    middle = features_at(x, points((4.25, 2.5)), (8, 12))[0]
    rows = [0.75 * x[y, 4] + 0.25 * x[y, 5] for y in (2, 3)]
    np.testing.assert_allclose(middle, np.mean(rows, axis=0), atol=1e-6)
    # Pixels of an image twice as large lie at quarters of those of the maps.
    fine = features_at(x, points((7, 7)), SHAPE)[0]
    rows = [0.75 * x[y, 3] + 0.25 * x[y, 4] for y in (3, 4)]
    np.testing.assert_allclose(fine, 0.75 * rows[0] + 0.25 * rows[1], atol=1e-6)


@pytest.mark.parametrize("scale", [1, 2])
def test_tracking_finds_the_shift_of_a_feature_map(scale):
    h, w = SHAPE[0] // scale, SHAPE[1] // scale
    x, offsets = maps(h, w, 5), patch_offsets(5)
    handles = points((8, 7), (13, 9), (0, 15))
    patch = patch_offsets(1)
    features = features_at(x, handles[:, None] + patch, SHAPE)
    for right, down in ((2, -2), (-4, 2), (0, 0)):
        moved = np.roll(x, (down // scale, right // scale), axis=(0, 1))
        found = track_points(moved, handles[:2], features[:2], patch, offsets, SHAPE)
        np.testing.assert_array_equal(found, handles[:2] + points((right, down)))
    # What has left the picture is not looked for outside of it.
    found = track_points(
        np.roll(x, 1, axis=0), handles, features, patch, offsets, SHAPE
    )
    assert np.all((found >= 0) & (found <= [23, 15]))


def test_equal_features_are_found_where_they_were():
    flat = np.ones((8, 8, 2), np.float32)
    at = points((3, 4))
    around = patch_offsets(0)
    found = track_points(flat, at, flat[:1, :1], around, patch_offsets(3), (8, 8))
    np.testing.assert_array_equal(found, at)


def test_the_loss_is_that_of_equation_one():
    x, at, to = maps(8, 8, 3), points((3, 3), (5, 2)), points((3, 6), (5, 2))
    with tf.GradientTape() as tape:
        maps_ = tf.constant(x)
        tape.watch(maps_)
        loss = motion_loss(maps_, at, to, None, patch_offsets(1), (8, 8))
    here = [(3, 3), (2, 3), (4, 3), (3, 2), (3, 4)]  # the second point is there
    moved = [np.abs(x[b + 1, a] - x[b, a]).mean() for a, b in here]
    assert float(loss) == pytest.approx(np.mean(moved), rel=1e-5)
    gradient = tape.gradient(loss, maps_).numpy()
    pulled = {(b, a) for b, a in np.argwhere(np.abs(gradient).sum(-1) > 0)}
    assert pulled == {(b + 1, a) for a, b in here}  # not at q, only at q + d
    content = tf.zeros([2, 5, 3])
    loss = motion_loss(x, at, to, content, patch_offsets(1), (8, 8))
    expected = np.mean([np.abs(x[b + 1, a]).mean() for a, b in here])
    assert float(loss) == pytest.approx(expected, rel=1e-5)


class Sliding(keras.layers.Layer):
    """Features linear in w: where a pixel's content was before w moved it."""

    def __init__(self, config, **kwargs):
        super().__init__(**kwargs)

    def feature_maps(self, ws, resolution, noise="const"):
        x, y = tf.meshgrid(tf.range(16.0), tf.range(16.0))
        moved = tf.reduce_mean(ws, axis=1)[0, :2]
        return (tf.stack([x, y], axis=-1) - moved)[None]

    def call(self, ws, noise=None, resolution=None, alpha=None, seed=None):
        x = self.feature_maps(ws, 16) / 16
        return tf.concat([x, x[..., :1]], axis=-1) + 0 * ws[:, :1, :1, None]


@pytest.mark.parametrize(("space", "content"), [("w", "first"), ("wplus", "now")])
def test_a_linear_generators_content_is_dragged_to_its_target(space, content):
    stylegan_tf.register(generator=Sliding)
    changes = {"network": "custom:Sliding", "use_noise": False}
    model = Generator(stylegan_tf.GeneratorConfig(**(small.SMALL_G | changes)))
    ws = np.zeros((1, model.config.num_styles, 6), np.float32)
    settings = DragSettings(space, resolution=16, lr=0.1, content=content)
    found = drag_points(model, ws, [(5, 8)], [(9, 6)], settings=settings)
    assert found.arrived and 3 <= found.steps < 300
    np.testing.assert_array_equal(found.points, [[9, 6]])
    moved = found.ws.mean(axis=1)[0]
    np.testing.assert_allclose(moved[:2], [4, -2], atol=0.51)  # pixels
    np.testing.assert_allclose(moved[2:], 0, atol=1e-6)


# ---------------------------------------------------------------------------
# Models

KINDS = {
    "stylegan": {},
    "stylegan2, gray and wide": STYLEGAN2 | {"channels": 1, "start_shape": (4, 6)},
    "stylegan3": {"architecture": "stylegan3", "use_noise": False},
}


@pytest.mark.parametrize("kind", KINDS)
def test_points_of_every_stylegan_move_and_what_is_held_stays(kind):
    model = small.small_generator(**KINDS[kind])
    height, width = model.config.shape(16)
    ws = sampling.styles(model, [3], psi=0.7)
    dragger = Dragger(model, DragSettings(lr=0.05, layers=3))
    first = sampling.Renderer(model)(ws)
    assert first.shape[1:3] == (height, width)
    still = drag_points(model, ws, [(4, 5)], [(4, 5)], dragger=dragger)
    np.testing.assert_array_equal(still.ws, ws)
    assert still.arrived and still.steps == 0
    seen = []
    found = drag_points(
        model,
        ws,
        [(4, 5), (width - 1, 0)],
        [(9, 6), (width - 1, 0)],
        steps=6,
        dragger=dragger,
        watch=lambda d: seen.append(d.points),
    )
    assert found.steps == len(seen) <= 6 and found.ws.shape == ws.shape
    assert np.all(found.ws[:, 3:] == ws[:, 3:]) and np.any(found.ws != ws)
    np.testing.assert_array_equal(seen[0], [(4, 5), (width - 1, 0)])
    held = drag_points(
        model,
        ws,
        [(4, 5)],
        [(9, 6)],
        mask=np.zeros((height, width), bool),
        steps=6,
        dragger=dragger,
    )
    free = drag_points(model, ws, [(4, 5)], [(9, 6)], steps=6, dragger=dragger)
    off = [
        np.abs(features(dragger, x.ws) - features(dragger, ws)) for x in (held, free)
    ]
    assert off[0].mean() < off[1].mean()
    assert dragger._step.experimental_get_tracing_count() == 1


def features(dragger: Dragger, ws: np.ndarray) -> np.ndarray:
    return dragger._features(tf.constant(ws), dragger._fixed[0]).numpy()


def test_the_noise_of_the_picture_is_drawn_with():
    model = small.small_generator()
    ws = sampling.styles(model, [3])
    dragger = Dragger(model)
    dragger.start(ws, [(4, 5)], [(9, 6)])
    shapes = model.config.noise_shapes(16)
    stored = features(dragger, ws)
    zero = [np.zeros((1, *s, 1), np.float32) for s in shapes]
    dragger.start(ws, [(4, 5)], [(9, 6)], noise=zero)
    assert np.any(features(dragger, ws) != stored)
    with pytest.raises(UserError, match="noise maps are not those of one picture"):
        dragger.start(ws, [(4, 5)], [(9, 6)], noise=zero[:2])


@pytest.mark.parametrize(
    ("handles", "targets", "message"),
    [
        ([(3, 4)], [(16, 4)], "16,4 is outside of the picture, where x is 0 to 15"),
        ([(3, -1)], [(3, 4)], "3,-1 is outside"),
        ([(np.nan, 1)], [(3, 4)], "nan,1 is outside"),
        ([(3, 4), (5, 6)], [(3, 4)], "2 points and 1 targets"),
        ([], [], "0 points and 0 targets"),
        ([(3, 4)] * 2, [(3, 4), (5, 6)], "dragged to two places"),
    ],
)
def test_points_that_cannot_be_dragged(handles, targets, message):
    with pytest.raises(UserError, match=message):
        check_points(handles, targets, (16, 16))


def test_what_cannot_be_dragged_is_said():
    model = small.small_generator()
    dcgan = small.small_generator(architecture="dcgan", w_dim=6)
    with pytest.raises(UserError, match="dcgan.* does not show its feature maps"):
        Dragger(dcgan)
    with pytest.raises(UserError, match="resolution is 12"):
        Dragger(model, DragSettings(resolution=12))
    with pytest.raises(UserError, match="space is 'z'"):
        DragSettings(space="z")
    dragger = Dragger(model)
    with pytest.raises(UserError, match="styles are 2 x 6 x 6"):
        dragger.start(np.zeros((2, 6, 6)), [(1, 1)], [(2, 2)])
    with pytest.raises(UserError, match="mask is 8 x 8; the picture is 16 x 16"):
        mask = np.ones((8, 8), bool)
        dragger.start(np.zeros((1, 6, 6)), [(1, 1)], [(2, 2)], mask)


# ---------------------------------------------------------------------------
# generate.py --drag


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("drag") / "a.keras"
    small.small_generator().save(path)
    return path


def done(*flags) -> str:
    code, out, error = call("generate", *map(str, flags))
    assert code == 0, error
    return out


def test_generate_drags_and_its_files_draw_the_picture_again(file, tmp_path):
    white = np.full((32, 32), 255, np.uint8)
    white[:8] = 0
    Image.fromarray(white).save(tmp_path / "mask.png")
    out, mask = tmp_path / "out", f"--drag_mask={tmp_path / 'mask.png'}"
    flags = [f"--model={file}", "--seeds=3,5", "--edit=pca0:1", "--noise=random"]
    drags = ["--drag=4,5:9,6", "--drag=2,13:2,13", mask, "--drag_steps=3"]
    text = done(*flags, *drags, f"--out={out}")
    assert "seed0003: 3 steps" in text and "pixels to go" in text
    picture = np.asarray(Image.open(out / "seed0003.png"))
    stored = latents.load_latents(out / "dragged.npz", 6, 6)
    assert stored.names == ("seed0003", "seed0005")
    done(*flags, f"--out={tmp_path / 'before'}")
    before = np.asarray(Image.open(tmp_path / "before" / "seed0003.png"))
    assert np.any(picture != before)
    again = tmp_path / "again"
    done(f"--model={file}", f"--latents={out / 'dragged.npz'}", f"--out={again}")
    np.testing.assert_array_equal(
        np.asarray(Image.open(again / "seed0003.png")), picture
    )
    with Image.open(out / "seed0003.png") as image:
        recipe = json.loads(image.info["stylegan_tf"])["flags"]
    assert recipe["drag"] == ["4,5:9,6", "2,13:2,13"] and recipe["drag_steps"] == 3
    done(f"--from={out / 'seed0003.png'}", f"--out={tmp_path / 'recipe'}")
    redrawn = np.asarray(Image.open(tmp_path / "recipe" / "seed0003.png"))
    np.testing.assert_array_equal(redrawn, picture)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--drag=4,5:20,6"], "the point 20,6 is outside of the picture"),
        (["--drag=4,5"], "--drag='4,5' is not X,Y:X,Y"),
        (["--drag=4,5:-1,6"], "is not X,Y:X,Y"),
        (["--drag=4,5:4,5"], "goes nowhere"),
        (["--drag=4,5:5,5", "--drag=4,5:6,5"], "dragged to two places"),
        (["--drag_mask=x.png"], "--drag_mask is of --drag=X,Y:X,Y"),
        (["--drag=4,5:5,5", "--video=x.mp4"], "--video does not go together"),
        (["--drag=4,5:5,5", "--drag_mask=none.png"], "none.png"),
    ],
)
def test_generate_says_in_a_line_what_cannot_be_dragged(file, tmp_path, flags, message):
    code, _, error = call("generate", f"--model={file}", *flags, f"--out={tmp_path}")
    assert code == 2 and message in error and len(error.strip().splitlines()) == 1


def test_masks(tmp_path):
    path = tmp_path / "mask.png"
    deep = np.zeros((16, 16), np.uint16)
    deep[:, 8:] = 40_000
    Image.fromarray(deep).save(path)
    np.testing.assert_array_equal(
        read_mask(path, (8, 8)), [[False] * 4 + [True] * 4] * 8
    )
    with pytest.raises(UserError, match="16 x 16 pixels; it must have the .* 8 x 12"):
        read_mask(path, (8, 12))
    Image.fromarray(0 * deep).save(path)
    with pytest.raises(UserError, match="is black: white is what may move"):
        read_mask(path, (8, 8))
    path.write_text("no picture")
    with pytest.raises(UserError, match="cannot be used: not a picture"):
        read_mask(path, (8, 8))
