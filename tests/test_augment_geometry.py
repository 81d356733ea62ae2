"""ADA's blits and geometric transforms against matrices and loops in NumPy."""

import augment_reference as reference
import numpy as np
import pytest
import tensorflow as tf

from stylegan_tf.augment import randomness, transforms

BOTH = ("blit", "geom")
SHAPES = [(6, 6, 1), (5, 8, 3), (7, 4, 4), (2, 3, 1), (1, 4, 1)]

# One operation at a time, its parameters, and all of them together.
CASES = {
    "flip": {"flip": 0.7},
    "quarter turn": {"turn": 0.3},
    "half turn": {"turn": 0.6},
    "three quarter turn": {"turn": 0.9},
    "whole pixels": {"shift": (0.95, 0.1)},
    "smaller": {"scale": 0.1},
    "larger": {"scale": 0.9},
    "rotation": {"rotation_before": 0.6},
    "later rotation": {"rotation_after": 0.2},
    "wider": {"stretch": 0.8},
    "parts of pixels": {"slide": (0.7, 0.4)},
    "far away": {"slide": (0.9999, 0.0001)},
}
CASES["everything"] = {
    "flip": 0.7,
    "turn": 0.3,
    "shift": (0.95, 0.1),
    "scale": 0.4,
    "rotation_before": 0.6,
    "stretch": 0.8,
    "rotation_after": 0.2,
    "slide": (0.6, 0.4),
}


def pictures(n, *shape):
    return np.random.default_rng(0).uniform(-1, 1, size=(n, *shape)).astype("f4")


def warp(images, rows, p=0.5, groups=BOTH):
    matrix = transforms.inverse_matrix(tf.constant(rows), p, *images.shape[1:3], groups)
    return transforms.resample(tf.constant(images), matrix).numpy()


@pytest.mark.parametrize("case", CASES)
def test_matrices(case):
    row = reference.row(**CASES[case])
    for h, w in ((8, 8), (40, 24)):
        expected = np.linalg.inv(reference.forward_matrix(row, 0.5, h, w, BOTH))
        actual = transforms.inverse_matrix(tf.constant(row[None]), 0.5, h, w, BOTH)
        np.testing.assert_allclose(actual[0], expected, rtol=1e-4, atol=1e-5)
        assert transforms.differs_from_identity(actual)[0]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_pixels(shape):
    """All cases at once, a row each."""
    rows = np.stack([reference.row(**case) for case in CASES.values()])
    images = pictures(len(rows), *shape)
    actual = warp(images, rows)
    for i, name in enumerate(CASES):
        matrix = reference.forward_matrix(rows[i], 0.5, *shape[:2], BOTH)
        expected = reference.resample(images[i].astype("f8"), np.linalg.inv(matrix))
        np.testing.assert_allclose(actual[i], expected, atol=2e-4, err_msg=name)


def test_random_matrices():
    """At p = 0.7 everything meets; groups keep to their own transforms."""
    table = randomness.sample_uniforms(40, [1, 2])
    for groups in (("blit",), ("geom",), BOTH):
        actual = transforms.inverse_matrix(table, 0.7, 12, 20, groups)
        for row, matrix in zip(table.numpy(), actual, strict=True):
            forward = reference.forward_matrix(row, 0.7, 12, 20, groups)
            np.testing.assert_allclose(matrix @ forward, np.eye(3), atol=1e-4)


# ---------------------------------------------------------------------------
# What is exact. Whole pixels come through the filters untouched, up to the picture's
# border. A mirror image does not: sym6 is not quite symmetric. Smooth pictures agree
# to a few thousandths away from the border, white noise, much of which lies at the
# filter's edge, to less than half of its amplitude.


def test_no_movement_is_perfect_reconstruction():
    images = pictures(3, 9, 12, 3)
    identity = tf.eye(3, batch_shape=[3])
    assert not transforms.differs_from_identity(identity).numpy().any()
    np.testing.assert_allclose(transforms.resample(images, identity), images, atol=2e-6)


def test_whole_pixels_are_moved_exactly():
    images = pictures(1, 16, 24, 3)
    y = warp(images, reference.row(shift=(0.95, 0.1))[None])  # 3 right, 2 up
    np.testing.assert_allclose(y[:, :-2, 3:], images[:, 2:, :-3], atol=5e-6)
    np.testing.assert_allclose(y[:, :-2, 0], images[:, 2:, 3], atol=0.5)  # mirrored


SYMMETRIES = {
    "flip": ({"flip": 0.7}, lambda x: x[:, :, ::-1]),
    "quarter": ({"turn": 0.3}, lambda x: np.rot90(x, -1, (1, 2))),
    "half": ({"turn": 0.6}, lambda x: x[:, ::-1, ::-1]),
    "three quarters": ({"turn": 0.9}, lambda x: np.rot90(x, 1, (1, 2))),
}


@pytest.mark.parametrize("name", SYMMETRIES)
def test_symmetries(name):
    case, exact = SYMMETRIES[name]
    rows = reference.row(**case)[None]
    y, x = np.mgrid[:32, :32] / 32
    smooth = np.cos(2 * np.pi * x + 1) * np.sin(3 * np.pi * y + x)
    smooth = smooth[None, :, :, None].astype("f4")
    inner = np.s_[:, 6:-6, 6:-6]
    off = warp(smooth, rows) - exact(smooth)
    assert np.abs(off[inner]).max() < 3e-3
    assert np.abs(off).max() < 0.06  # the mirror has a kink at the border
    noise = pictures(1, 32, 32, 1)
    off = warp(noise, rows) - exact(noise)
    assert off.std() < 0.5 * noise.std()


def test_directions():
    """A dot goes right and down with positive shifts, clockwise, and outwards."""
    dot = np.zeros([1, 33, 33, 1], "f4")
    dot[:, 16, 24] = 1  # right of the middle

    def where(**case):
        y = np.abs(warp(dot, reference.row(**case)[None])[0, :, :, 0])
        return np.unravel_index(y.argmax(), y.shape)

    assert where(shift=(0.99, 0.99)) == (20, 28)
    assert where(turn=0.3) == (24, 16)
    assert where(rotation_before=0.75) == (24, 16)
    assert where(flip=0.7) == (16, 8)
    assert where(scale=0.99)[1] > 25
    assert where(stretch=0.99)[1] > 25
    assert where(slide=(0.7, 0.7)) == (18, 26)


def test_constant_pictures_stay_constant():
    """No border ever shows, wherever the picture is moved."""
    table = randomness.sample_uniforms(50, [3, 4])
    images = np.full([50, 6, 9, 1], 0.7, "f4")
    np.testing.assert_allclose(warp(images, table.numpy(), 1.0), 0.7, atol=1e-5)


# ---------------------------------------------------------------------------
# How often


def share(p, groups):
    table = randomness.sample_uniforms(20000, [7, 8])
    matrix = transforms.inverse_matrix(table, p, 64, 64, groups)
    return transforms.differs_from_identity(matrix).numpy().mean()


def test_probabilities():
    """Half the flips, a quarter of the turns are drawn as none at all."""
    p = 0.3
    still_blit = (1 - p / 2) * (1 - 3 * p / 4) * (1 - p * (1 - (1 / 16) ** 2))
    assert share(p, ("blit",)) == pytest.approx(1 - still_blit, abs=0.01)
    # Scale, stretch, slide, and the two rotations as one.
    assert share(p, ("geom",)) == pytest.approx(1 - (1 - p) ** 4, abs=0.01)
    assert share(0.0, BOTH) == 0
    assert share(1.0, ("geom",)) == 1
    assert share(1.3, ("geom",)) == 1


def test_rotations_happen_with_probability_p():
    table = randomness.sample_uniforms(20000, [7, 8]).numpy()
    for p in (0.2, 0.9):
        gates = table[
            :, [randomness.OFFSETS[f"rotation_{w}"] for w in ("before", "after")]
        ]
        rotated = (gates < 1 - np.sqrt(1 - p)).any(axis=1)
        assert rotated.mean() == pytest.approx(p, abs=0.01)
        others = [n for n in randomness.NUMBERS if "rotation" not in n]
        for name in others:
            table[:, randomness.OFFSETS[name]] = 0.99
        matrix = transforms.inverse_matrix(table, p, 64, 64, ("geom",))
        np.testing.assert_array_equal(transforms.differs_from_identity(matrix), rotated)
