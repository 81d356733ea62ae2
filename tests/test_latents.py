"""latents.py: seeds, layers, paths, mixing, truncation, and styles in a file."""

import numpy as np
import pytest

from stylegan_tf import latents
from stylegan_tf.errors import UserError


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("7", [7]),
        ("0-3,100", [0, 1, 2, 3, 100]),
        (" 5 - 6 , 2,2", [5, 6, 2, 2]),
        ("4294967295", [2**32 - 1]),
    ],
)
def test_numbers_and_ranges(text, numbers):
    assert latents.parse_numbers(text) == numbers


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "'' is neither a number nor a range"),
        ("1,,2", "'' is neither"),
        ("-3", "'-3' is neither"),
        ("1.5", "'1.5' is neither"),
        ("a-b", "'a-b' is neither"),
        ("9-3", "the range 9-3 runs backwards"),
        ("4294967296", "4294967296 is above 4294967295"),
        ("0-4000000000", "too many at once"),
    ],
)
def test_what_is_no_seed_is_said(text, words):
    with pytest.raises(UserError, match=words):
        latents.parse_numbers(text)


def test_errors_name_what_was_asked_for():
    with pytest.raises(UserError, match="classes '7': 7 is above 4"):
        latents.parse_numbers("7", "classes", top=4)


def test_classes_by_number_and_by_name():
    names = ("cats", "big dogs", "7", "9-10")
    assert latents.parse_classes("big dogs, 0,2-3", names) == [1, 0, 2, 3]
    assert latents.parse_classes("7,9-10", names) == [7, 3]  # a number is a number
    with pytest.raises(UserError, match="no class 'cat'; there are 0 = cats, 1 = big"):
        latents.parse_classes("cat", names)
    with pytest.raises(UserError, match="neither a number nor a range"):
        latents.parse_classes("cats")


def test_z_is_that_of_the_official_releases():
    z = latents.z_of([5, 888], 512)
    assert (z.dtype, z.shape) == (np.float32, (2, 512))
    # np.random.RandomState(5).randn(512), as every published seed is meant.
    np.testing.assert_allclose(z[0, :3], [0.44122749, -0.33087015, 2.43077119], 1e-6)
    np.testing.assert_array_equal(z[1:], latents.z_of([888], 512))
    np.testing.assert_array_equal(z[1:, :8], latents.z_of([888], 8))


def test_noise_is_a_function_of_the_seed():
    shapes = [(4, 6), (8, 12)]
    maps = latents.noise_of([3, 4], shapes)
    assert [m.shape for m in maps] == [(2, 4, 6, 1), (2, 8, 12, 1)]
    assert {m.dtype for m in maps} == {np.dtype(np.float32)}
    alone = latents.noise_of([4], shapes)
    for together, one in zip(maps, alone, strict=True):
        np.testing.assert_array_equal(together[1:], one)
        assert np.all(together[0] != together[1])
    values = np.concatenate([m.ravel() for m in latents.noise_of(range(50), shapes)])
    assert abs(values.mean()) < 0.05 and abs(values.std() - 1) < 0.05


def test_one_hot():
    found = latents.one_hot([2, 0], 3)
    np.testing.assert_array_equal(found, [[0, 0, 1], [1, 0, 0]])
    assert found.dtype == np.float32


# ---------------------------------------------------------------------------
# Layers


@pytest.mark.parametrize(
    ("count", "cuts"),
    [(18, (4, 8)), (10, (4, 8)), (8, (4, 6)), (6, (2, 4)), (4, (2, 3))],
)
def test_groups_of_layers(count, cuts):
    groups = latents.layer_groups(count)
    assert list(groups) == ["coarse", "middle", "fine"]
    assert [*groups["coarse"], *groups["middle"], *groups["fine"]] == list(range(count))
    assert (groups["coarse"].stop, groups["middle"].stop) == cuts


def test_a_single_style_has_no_groups():
    with pytest.raises(UserError, match="1 style for the whole picture"):
        latents.parse_layers("fine", 1)
    assert latents.parse_layers("all", 1) == [0]


@pytest.mark.parametrize(
    ("text", "layers"),
    [
        ("0-3,7", [0, 1, 2, 3, 7]),
        ("coarse", [0, 1, 2, 3]),
        ("fine,middle", [*range(4, 18)]),
        ("16-,2,2", [2, 16, 17]),
        ("all", [*range(18)]),
        ("17-", [17]),
    ],
)
def test_layers(text, layers):
    assert latents.parse_layers(text, 18) == layers
    assert latents.parse_layers(latents.layers_text(layers), 18) == layers


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("18", "18 is above 17"),
        ("18-", "18 is above 17"),
        ("coars", "'coars' is no layer, range or group"),
        ("", "'' is no layer"),
        ("-1", "'-1' is no layer"),
        ("5-2", "runs backwards"),
    ],
)
def test_what_is_no_layer_is_said(text, words):
    with pytest.raises(UserError, match=words):
        latents.parse_layers(text, 18)


def test_layers_in_words():
    assert latents.layers_text([7, 0, 1, 2, 9]) == "0-2,7,9"
    assert latents.layers_text([]) == ""


def test_psi_is_a_number_or_one_a_layer():
    assert latents.parse_psi("-0.5", 4) == -0.5
    assert latents.parse_psi("0.5, 1,0", 5) == [0.5, 1, 0, 0, 0]
    assert latents.parse_sweep("-1,0,0.7") == [-1, 0, 0.7]
    with pytest.raises(UserError, match="5 numbers; the model has 4"):
        latents.parse_psi("1,1,1,1,1", 4)
    for text in ("nan", "a", "", "1,,2", "inf", "1e40"):
        with pytest.raises(UserError, match="no number to truncate by"):
            latents.parse_psi(text, 4)


def test_truncation_is_that_of_the_definition():
    rng = np.random.default_rng(0)
    ws, center = rng.normal(size=(3, 4, 8)), rng.normal(size=(3, 1, 8))
    psi = latents.layer_psi([0.5, -1, 2, 0.3], 3, 4)
    np.testing.assert_allclose(psi, [0.5, -1, 2, 1])
    found = latents.truncate(ws, center, psi)
    expected = center + (ws - center) * np.array([0.5, -1, 2, 1])[:, None]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(found[:, 3], ws[:, 3].astype(np.float32))
    np.testing.assert_array_equal(
        latents.layer_psi(0.7, None, 2), np.float32([0.7] * 2)
    )


def test_mixing_takes_the_layers_named_and_no_others():
    rng = np.random.default_rng(0)
    rows, columns = rng.normal(size=(2, 4, 8)), rng.normal(size=(3, 4, 8))
    table = latents.mixing_table(rows, columns, [[0, 1], [3]])
    assert table.shape == (2, 3, 4, 8)
    for c in range(3):
        np.testing.assert_array_equal(table[0, c, :2], columns[c, :2])
        np.testing.assert_array_equal(table[0, c, 2:], rows[0, 2:])
        np.testing.assert_array_equal(table[1, c, :3], rows[1, :3])
        np.testing.assert_array_equal(table[1, c, 3], columns[c, 3])
    np.testing.assert_array_equal(latents.mix_styles(rows, columns[:1], []), rows)


# ---------------------------------------------------------------------------
# Paths


def test_slerp_goes_along_the_great_circle():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 16))
    b *= (np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1))[:, None]
    for t in (0, 0.3, 0.5, 1):
        # Independently: turn a towards b in their plane.
        u = a / np.linalg.norm(a, axis=-1, keepdims=True)
        v = b - np.sum(b * u, axis=-1, keepdims=True) * u
        v /= np.linalg.norm(v, axis=-1, keepdims=True)
        angle = np.arctan2(np.sum(b * v, axis=-1), np.sum(b * u, axis=-1))[:, None]
        radius = np.linalg.norm(a, axis=-1, keepdims=True)
        expected = radius * (np.cos(t * angle) * u + np.sin(t * angle) * v)
        np.testing.assert_allclose(latents.slerp(a, b, t), expected, rtol=1e-12)


def test_slerp_where_there_is_no_circle():
    a = np.array([1.0, 2.0, 0.0])
    np.testing.assert_allclose(latents.slerp(a, 3 * a, 0.25), 1.5 * a)
    np.testing.assert_allclose(latents.slerp(a, -a, 0.5), 0 * a, atol=1e-12)
    assert np.isfinite(latents.slerp(0 * a, a, 0.5)).all()


@pytest.mark.parametrize("kind", latents.PATHS)
@pytest.mark.parametrize("loop", [False, True])
def test_paths_pass_every_point(kind, loop):
    points = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    way = latents.interpolate(points, kind, 5, loop)
    assert (way.dtype, way.shape) == (np.float32, (20 if loop else 16, 6))
    np.testing.assert_allclose(way[::5], points, atol=1e-6)
    if loop:  # the step from the last frame back to the first is like the others
        steps = np.linalg.norm(np.diff(np.concatenate([way, way[:1]]), axis=0), axis=1)
        assert steps[-1] < 1.5 * steps[-3] and steps.min() > 0


def test_straight_paths_are_straight():
    points = np.array([[0.0, 0.0], [1.0, 2.0], [1.0, 0.0]])
    way = latents.interpolate(points, "linear", 4)
    np.testing.assert_allclose(way[1], [0.25, 0.5])
    np.testing.assert_allclose(way[6], [1.0, 1.0])


def test_cubic_paths_are_smooth_and_periodic():
    """A spline through points of a circle stays near it, where lines do not."""
    turn = np.arange(8) / 8 * 2 * np.pi
    points = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    way = latents.interpolate(points, "cubic", 50, loop=True).astype(float)
    assert np.abs(np.linalg.norm(way, axis=1) - 1).max() < 3e-3
    lines = latents.interpolate(points, "linear", 50, loop=True)
    assert np.abs(np.linalg.norm(lines, axis=1) - 1).max() > 0.05
    second = np.roll(way, -1, 0) - 2 * way + np.roll(way, 1, 0)  # no corner anywhere
    assert np.linalg.norm(second, axis=1).max() < 2 * (2 * np.pi / 400) ** 2


def test_paths_of_styles_keep_their_shape():
    ws = np.random.default_rng(0).normal(size=(3, 4, 8))
    assert latents.interpolate(ws, "cubic", 2).shape == (5, 4, 8)
    for kind, points, words in (
        ("spline", ws, "choose one of z, linear, cubic"),
        ("z", ws[:1, 0], "two pictures or more"),
    ):
        with pytest.raises(UserError, match=words):
            latents.interpolate(points, kind, 2)
