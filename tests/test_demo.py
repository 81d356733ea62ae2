"""The built-in faces: repeatable, steered by their factors, the same at every size."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from stylegan_tf.data import demo
from stylegan_tf.data.demo import CLASSES, FACTORS, draw_face, factors

CONTINUOUS = [name for name, factor in FACTORS.items() if not factor.names]


def extremes(name):
    """Every value of a categorical factor, both ends of a continuous one."""
    factor = FACTORS[name]
    return range(len(factor.names)) if factor.names else (factor.low, factor.high)


def shrink(picture, times):
    """Box-filtered float [size / times, size / times, 3]."""
    size = len(picture) // times
    blocks = picture.astype(float).reshape(size, times, size, times, 3)
    return blocks.mean((1, 3))


def difference(a, b):
    """How far two pictures of 64 pixels lie apart in what 16 pixels can show."""
    return np.linalg.norm(shrink(a, 4) - shrink(b, 4))


# ---------------------------------------------------------------------------
# Repeatable


@pytest.mark.parametrize("size", [16, 64, 100])
def test_same_arguments_draw_the_same_picture(size):
    for index in range(5):
        np.testing.assert_array_equal(draw_face(index, size), draw_face(index, size))


def test_another_process_draws_the_same_pictures():
    pictures = [
        draw_face(i, size, seed=3).tobytes() for i in (0, 9) for size in (32, 64)
    ]
    code = (
        "import hashlib, runpy, sys; draw = runpy.run_path(sys.argv[1])['draw_face'];"
        "p = [draw(i, size, seed=3).tobytes() for i in (0, 9) for size in (32, 64)];"
        "assert 'tensorflow' not in sys.modules;"
        "print(hashlib.sha256(b''.join(p)).hexdigest())"
    )
    command = [sys.executable, "-c", code, demo.__file__]
    environment = {**os.environ, "PYTHONHASHSEED": "1", "STYLEGAN_TF_LAZY": "1"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == hashlib.sha256(b"".join(pictures)).hexdigest()


def test_an_index_stands_for_its_factors_and_its_detail():
    for index in (0, 7, np.int64(12345), 2**40):
        by_values = draw_face(factors(index, seed=2), detail_seed=index, seed=2)
        np.testing.assert_array_equal(draw_face(index, seed=2), by_values)


def test_indexes_and_seeds_give_different_pictures():
    pictures = {draw_face(i, 16, seed=s).tobytes() for i in range(60) for s in (0, 1)}
    assert len(pictures) == 120


def test_a_name_stands_for_its_index_and_a_missing_factor_for_its_median():
    named = draw_face({"class": "cat hood", "hair": "pink"}, 32)
    median = {name: factor.pick(0.5) for name, factor in FACTORS.items()}
    numbered = draw_face({**median, "class": 4, "hair": 6}, 32)
    np.testing.assert_array_equal(named, numbered)


# ---------------------------------------------------------------------------
# Factors


@pytest.fixture(scope="module")
def many():
    """Each factor's values over 3000 indexes."""
    values = [factors(index) for index in range(3000)]
    return {name: np.array([v[name] for v in values]) for name in FACTORS}


def test_classes_are_balanced(many):
    counts = np.bincount(many["class"], minlength=len(CLASSES))
    expected = 3000 / len(CLASSES)
    assert np.all(np.abs(counts - expected) < 4 * np.sqrt(expected))


def test_values_fill_their_range_and_keep_their_type(many):
    for name, factor in FACTORS.items():
        if factor.names:
            assert set(many[name]) == set(range(len(factor.names)))
            assert type(factors(0)[name]) is int
        else:
            spread = factor.high - factor.low
            assert factor.low <= many[name].min() < factor.low + 0.01 * spread
            assert factor.high - 0.01 * spread < many[name].max() <= factor.high
            assert type(factors(0)[name]) is float


def test_glasses_follow_their_weights(many):
    share = np.bincount(many["glasses"]) / 3000
    np.testing.assert_allclose(share, [0.6, 0.2, 0.1, 0.1], atol=0.04)


def test_factors_are_independent(many):
    correlation = np.corrcoef(list(many.values()))
    off_diagonal = correlation[~np.eye(len(FACTORS), dtype=bool)]
    assert np.abs(off_diagonal).max() < 0.09  # 5 standard deviations at 3000


@pytest.mark.parametrize("kind", range(len(CLASSES)), ids=CLASSES)
def test_every_factor_shows_more_than_the_detail_does(kind):
    detail = [draw_face({"class": kind}, detail_seed=s) for s in range(5)]
    noise = max(difference(detail[0], other) for other in detail[1:])
    assert noise > 0
    for name in FACTORS:
        pictures = [draw_face({"class": kind, name: value}) for value in extremes(name)]
        for i, picture in enumerate(pictures):
            for other in pictures[:i]:
                assert difference(picture, other) > 1.25 * noise, name


def test_detail_touches_little_and_only_finely():
    for index in range(10):
        a, b = (draw_face(factors(index), detail_seed=s).astype(float) for s in (1, 2))
        assert np.any(a != b)
        assert np.abs(a - b).mean() < 1.5
        assert np.abs(shrink(a, 16) - shrink(b, 16)).max() < 6


@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous_factors_move_the_picture_smoothly(name):
    factor = FACTORS[name]
    steps = np.linspace(factor.low, factor.high, 25)
    frames = np.stack([draw_face({**factors(1), name: v}).astype(float) for v in steps])
    moves = np.abs(np.diff(frames, axis=0)).mean((1, 2, 3))
    assert moves.min() > 0
    assert moves.max() < 3 * moves.mean()


# ---------------------------------------------------------------------------
# Sizes


@pytest.mark.parametrize("size", [16, 17, 48, 100, 256, 512])
def test_sizes(size):
    picture = draw_face(3, size)
    assert picture.shape == (size, size, 3)
    assert picture.dtype == np.uint8
    assert picture.flags.writeable
    assert picture.std() > 20


@pytest.mark.parametrize("size", [16, 32, 64, 128])
def test_a_larger_picture_shrinks_to_the_smaller_one(size):
    errors = [
        np.abs(shrink(draw_face(i, 2 * size), 2) - draw_face(i, size)) for i in range(8)
    ]
    assert np.mean(errors) < 2.5
    assert np.quantile(errors, 0.99) < 25


# ---------------------------------------------------------------------------
# What is refused


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"class": 5}, "'class' is 5, expected 0 .short hair., 1 .long hair."),
        ({"class": -1}, "'class' is -1"),
        ({"hair": "mauve"}, "'hair' is 'mauve', expected 0 .black."),
        ({"fringe": 0.5}, "'fringe' is 0.5"),
        ({"smile": 1.01}, "'smile' is 1.01, expected a number from 0 to 1"),
        ({"yaw": float("nan")}, "'yaw' is nan, expected a number from -1 to 1"),
        ({"tilt": "left"}, "'tilt' is 'left'"),
        ({"skin": None}, "'skin' is None"),
        ({"beard": 1}, "'beard', expected class, yaw"),
        (-1, "index or detail_seed is -1, expected 0 or more"),
    ],
)
def test_bad_values_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        draw_face(values, 16)


@pytest.mark.parametrize("size", [0, 15, 513])
def test_bad_sizes_are_refused(size):
    with pytest.raises(ValueError, match=f"size is {size}, expected 16 to 512 pixels"):
        draw_face(0, size)


def test_negative_seeds_are_refused():
    with pytest.raises(ValueError, match="seed is -2"):
        factors(0, seed=-2)
    with pytest.raises(ValueError, match="detail_seed is -3"):
        draw_face({}, 16, detail_seed=-3)
