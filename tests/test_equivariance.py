"""Equivariance in decibels: closed forms, the official networks, a row of the suite."""

import ada_golden
import numpy as np
import pytest
import tensorflow as tf
import tiny

from stylegan_tf import devices, models
from stylegan_tf.errors import UserError
from stylegan_tf.metrics import suite
from stylegan_tf.metrics.evaluation import Evaluation
from stylegan_tf.metrics.pictures import Moved
from stylegan_tf.metrics.scores import equivariance
from stylegan_tf.networks.generator import Generator

SIDE = 32


@pytest.fixture(autouse=True)
def eagerly():
    """Nothing is worth compiling here."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def waves(matrix=((1, 0), (0, 1)), shift=(0, 0), highest: float = 0.3) -> tf.Tensor:
    """A band-limited signal that is moved, then sampled: [1, SIDE, SIDE, 1].

    What an exactly equivariant generator draws.
    """
    rng = np.random.default_rng(0)
    frequencies = rng.uniform(-highest, highest, (40, 2))
    frequencies = frequencies[np.hypot(*frequencies.T) < highest][:15]
    phases = rng.uniform(0, 2 * np.pi, len(frequencies))
    i = np.arange(SIDE) - (SIDE - 1) / 2
    x, y = np.meshgrid(i - shift[0], i - shift[1])
    (a, b), (c, d) = np.linalg.inv(matrix)
    x, y = a * x + b * y, c * x + d * y
    parts = [
        np.sin(2 * np.pi * (u * x + v * y) + p)
        for (u, v), p in zip(frequencies, phases, strict=True)
    ]
    return tf.constant(sum(parts)[None, ..., None] / 4, tf.float32)


def counterclockwise(angle: float) -> np.ndarray:
    a = np.deg2rad(angle)
    return np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])


def score(images, expected, mask) -> float:
    return equivariance.decibels(
        equivariance.squared_errors(images, expected, mask).numpy()
    )


@pytest.mark.parametrize(
    ("shift", "whole", "least", "pixels"),
    [((3, -4), True, 150, 29 * 28), ((2.3, -1.6), False, 42, 27 * 27)],
)
def test_exact_shifts_score_high(shift, whole, least, pixels):
    shifts = tf.constant([shift], tf.float32)
    expected, mask = equivariance.shifted(waves(), shifts, whole)
    assert score(waves(shift=shift), expected, mask) > least
    assert tf.reduce_sum(mask) == pixels
    assert score(waves(shift=(-shift[0], shift[1])), expected, mask) < 15
    assert score(waves(), expected, mask) < 15


@pytest.mark.parametrize("angle", [0.0, 30.0, -75.0, 90.0, 170.0])
def test_exact_rotations_score_high(angle):
    kernels = equivariance.rotation_kernels(angle)
    fine, same = (tf.constant(kernels[k][None]) for k in ("fine", "same"))
    expected, mask = equivariance.rotated(waves(), tf.constant([angle]), fine)

    def of(images):
        images, more = equivariance.band_limited(images, same)
        return score(images, expected, mask * more)

    assert of(waves(counterclockwise(angle))) > 48
    if angle:
        assert of(waves(counterclockwise(-angle))) < 15


def test_a_checkerboard_that_stays_scores_nothing():
    """Shifted by a pixel each value is off by 2, the whole range: 0 dB."""
    board = (-1.0) ** np.add.outer(np.arange(8), np.arange(8))[None, ..., None]
    board = tf.constant(board, tf.float32)
    one = tf.constant([[1.0, 0.0]])
    assert score(board, *equivariance.shifted(board, one, True)) == pytest.approx(0)
    two = tf.constant([[2.0, 0.0]])
    assert score(board, *equivariance.shifted(board, two, True)) > 150
    half = 0.5 * board  # of the range: 20 log10(2 / 1)
    assert score(half, *equivariance.shifted(half, one, True)) == pytest.approx(6.0206)
    with pytest.raises(ValueError, match="too small"):
        equivariance.decibels(np.zeros((3, 2)))


def images_of(seed: int, side: int, n: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (n, side, side, 2))


def plain_decibels(errors: list[float]) -> float:
    """The published score: one mean over images, places and channels, 2 the range."""
    return 10 * np.log10(2**2 / np.mean(np.square(errors)))


def lanczos(u: float) -> float:
    return np.sinc(u) * np.sinc(u / 3) if abs(u) < 3 else 0.0


@pytest.mark.parametrize("whole", [True, False])
def test_shifts_are_scored_as_the_definition_says(whole):
    """Pixel by pixel in float64; the images are random, each is shifted on its own."""
    side, images, moved = 12, images_of(0, 12), images_of(1, 12)
    shifts = [(1, -1), (0, 1), (-1, 0)] if whole else [(0.4, -1.2), (1.5, 0), (-0.7, 1)]
    errors = []
    for image, other, (right, down) in zip(images, moved, shifts, strict=True):
        for y, x in np.ndindex(side, side):
            source = y - down, x - right
            border = 0 if whole else 2
            if not all(border <= at <= side - 1 - border for at in source):
                continue
            taps = [[lanczos(at - k) for k in range(side)] for at in source]
            rows, columns = (np.array(t) / np.sum(t) for t in taps)
            expected = np.einsum("q,r,qrc->c", rows, columns, image)
            errors += list(other[y, x] - expected)
    args = tf.constant(images, tf.float32), tf.constant(shifts, tf.float32), whole
    expected, mask = equivariance.shifted(*args)
    found = score(tf.constant(moved, tf.float32), expected, mask)
    assert found == pytest.approx(plain_decibels(errors), abs=1e-4)


@pytest.mark.parametrize("turns", [1, 2, -1])
def test_quarter_turns_are_scored_as_the_definition_says(turns):
    """The filters of both grids then pass every frequency, so pixels change places."""
    side, images, moved = 20, images_of(2, 20), images_of(3, 20)
    kernels = equivariance.rotation_kernels(90.0 * turns)
    fine, same = (tf.constant(np.stack([kernels[k]] * 3)) for k in ("fine", "same"))
    angles = tf.constant([90.0 * turns] * 3)
    expected, mask = equivariance.rotated(tf.constant(images, tf.float32), angles, fine)
    limited, more = equivariance.band_limited(tf.constant(moved, tf.float32), same)
    inside = slice(6, side - 6)
    errors = (np.rot90(images, turns, (1, 2)) - moved)[:, inside, inside]
    found = score(limited, expected, mask * more)
    assert found == pytest.approx(plain_decibels(errors), abs=1e-4)


def test_a_rotation_keeps_the_frequencies_of_both_grids():
    """The octagon's transform is the integral; no other frequency passes."""
    f = np.linspace(-0.75, 0.75, 601)
    x, y = np.meshgrid(f, f)
    for angle in (0.0, 0.4, 2.0):
        c, s = np.cos(angle), np.sin(angle)
        sides = [x, y, c * x + s * y, c * y - s * x]
        inside = np.max(np.abs(sides), axis=0) < 0.5
        for u, v in ((0.0, 0.0), (0.5, 0.2), (-1.3, 2.1)):
            wave = np.cos(2 * np.pi * (u * x + v * y))
            expected = np.sum(inside * wave) * (f[1] - f[0]) ** 2
            at = np.array([u]), np.array([v])
            found = equivariance._octagon_transform(*at, angle)
            assert found == pytest.approx(expected, abs=5e-3)


# ---------------------------------------------------------------------------
# Generators


def no_labels(numbers: range) -> dict:
    return {}


def test_shifts_are_random_and_within_an_eighth():
    g = stylegan3()
    for kind, whole in (("int", True), ("frac", False)):
        moved = Moved(g, devices.make_strategy("one"), no_labels, kind)
        rows = moved.inputs(range(40))
        shift, side = rows["shift"], g.config.resolution
        assert np.abs(shift).max() <= side / 8 < 1.3 * np.abs(shift).max()
        assert np.all(shift == np.round(shift)) == whole
        np.testing.assert_allclose(
            -rows["transform"][:, :2, 2], shift / side, atol=1e-6
        )
        again = moved.inputs(range(30, 40))
        np.testing.assert_array_equal(again["shift"], shift[30:])


@pytest.mark.parametrize(
    ("case", "kind", "least", "most"),
    [
        ("sg3t_r16_cond3", "int", 70, 120),
        ("sg3t_r16_cond3", "frac", 50, 80),
        ("sg3r_r32_torch2", "rotation", 55, 80),
        ("sg3t_r16_cond3", "rotation", 5, 35),
    ],
)
def test_official_networks_are_equivariant_as_their_config_says(
    case, kind, least, most
):
    """T to shifts, R to rotation too; of random weights, so the numbers are high."""
    g = models.load(ada_golden.FOLDER / f"{case}.pkl")

    def labels(numbers):
        classes = g.config.classes
        return (
            {"labels": np.eye(classes, dtype="f4")[:1].repeat(4, 0)} if classes else {}
        )

    moved = Moved(g, devices.make_strategy("one"), labels, kind)
    rows = moved.measure(moved.inputs(range(4)))["error"]
    assert least < equivariance.decibels(rows) < most


def stylegan3() -> Generator:
    sizes = {f"{n}.resolution": 16 for n in ("generator", "discriminator")}
    changes = sizes | {
        "generator.architecture": "stylegan3",
        "generator.stylegan3.layers": 2,
        "generator.stylegan3.critical": 1,
        "generator.stylegan3.margin": 4,
        "schedule.initial_resolution": 16,
        "discriminator.architecture": "residual",
    }
    return Generator(tiny.config(changes).generator)


class Toy:
    """A feature network that these metrics do not need."""

    name, size = "toy", 1

    def __call__(self, images):
        return np.zeros((len(images), 1), np.float32)


def test_a_model_is_scored_by_name(pictures, tmp_path):
    (request,) = suite.parse_metrics("eqt6_int")
    how = {"cache": tmp_path / "cache", "batch": 4}
    parts = pictures, Toy(), devices.make_strategy("one"), tmp_path
    (row,) = Evaluation(stylegan3(), *parts, **how).run([request])
    assert row["metric"] == "eqt6_int" and 5 < row["value"] < 150
    sizes = {f"{n}.resolution": 16 for n in ("generator", "discriminator")}
    other = Evaluation(Generator(tiny.config(sizes).generator), *parts, **how)
    message = "eqt6_int cannot be computed: only StyleGAN3's input can be shifted"
    with pytest.raises(UserError, match=message):
        other.run([request])
