"""latent.py: the official path lengths, and what they are made of."""

import golden
import numpy as np
import pytest
import tensorflow as tf

from stylegan_tf.metrics.scores import path_length
from stylegan_tf.metrics.scores.distribution import trimmed_mean
from stylegan_tf.networks.generator import Generator
from stylegan_tf.official import names

# Only in a full folder of reference numbers.
CASES = sorted(path.stem for path in golden.FOLDER.glob("v?_ppl.npz"))
full = pytest.mark.skipif(not CASES, reason="the files are not in a clone")


def generator(case) -> Generator:
    g = Generator(golden.config_of(case, "G"))
    names.assign_official(g, case.variables("Gs"))
    return g


def squares(a, b):
    """What stood in for LPIPS when the reference numbers were made."""
    return tf.reduce_mean(tf.square(a - b), axis=[1, 2, 3])


@full
@pytest.mark.parametrize("sampling", path_length.SAMPLINGS)
@pytest.mark.parametrize("space", path_length.SPACES)
@pytest.mark.parametrize("name", CASES)
def test_official_path_lengths(name, space, sampling):
    case = golden.load(name)
    crop = name == "v1_ppl" or space == "w"
    t = case["in/lerp_t"] * (sampling == "full")
    found = path_length.path_distances(
        generator(case), case["in/latents_t01"], t, squares, space, crop
    )
    expected = case[f"out/distances/{space}_{sampling}"]
    np.testing.assert_allclose(found, expected, rtol=5e-2)
    mean = trimmed_mean(found)
    assert mean == pytest.approx(float(case[f"out/ppl/{space}_{sampling}"]), rel=5e-3)


@full
@pytest.mark.parametrize("name", CASES)
def test_official_ways(name):
    case = golden.load(name)
    a, b, t = (tf.constant(case[f"in/{n}"]) for n in "abt")
    golden.close(path_length.unit_vectors(a), case["out/normalize"], 1e-6)
    golden.close(path_length.slerp_directions(a, b, t), case["out/slerp"], 1e-5)
    golden.close(
        path_length.slerp_directions(a, b, t + 1e-4), case["out/slerp_eps"], 1e-5
    )


def test_an_arc_goes_round_evenly():
    a, b = tf.constant([[3.0, 0.0]]), tf.constant([[0.0, 0.5]])
    for t in (0.0, 0.3, 1.0):
        angle = t * np.pi / 2
        expected = [[np.cos(angle), np.sin(angle)]]
        np.testing.assert_allclose(
            path_length.slerp_directions(a, b, t), expected, atol=1e-6
        )


class Line:
    """Pictures whose every pixel is 2 w / 255: a known slope."""

    def mapping(self, z, labels=None):
        return z

    def broadcast(self, w):
        return w[:, None]

    def synthesis(self, ws, noise, resolution=None):
        assert noise == "const"
        plane = ws[:, 0, None, :1, None] * (2 / 255)
        return plane + tf.zeros([1, 16, 16, 1])


def test_length_of_a_known_slope():
    """From 0 to 300 a step of 1e-4 changes pixels by 0.03: 90000 a squared step."""
    z = tf.constant([[0.0], [300.0], [100.0], [150.0]])
    found = path_length.path_distances(Line(), z, [0.0, 0.0], squares)
    np.testing.assert_allclose(found, [90000.0, 2500.0], rtol=1e-2)


def test_only_the_face_is_compared():
    seen = []

    def distance(a, b):
        seen.append(a.shape)
        return squares(a, b)

    z = tf.ones([2, 1])
    for crop in (True, False):
        path_length.path_distances(Line(), z, [0.5], distance, crop=crop)
    assert seen == [(1, 8, 8, 1), (1, 16, 16, 1)]


def test_extremes_do_not_count():
    values = np.arange(1000.0)
    values[-1] = 1e9
    # "lower" and "higher" keep the values at the percentiles themselves.
    assert trimmed_mean(values) == pytest.approx(np.arange(9, 991).mean())
