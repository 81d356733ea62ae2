"""metrics: moments in parts, the Frechet distance in closed form, random features."""

import numpy as np
import pytest

from stylegan_tf.metrics import features
from stylegan_tf.metrics.distribution import Moments, frechet
from stylegan_tf.metrics.features import RandomFeatures


def moments(*parts) -> Moments:
    made = Moments(parts[0].shape[1])
    for part in parts:
        made.add(part)
    return made


@pytest.fixture
def vectors():
    rng = np.random.default_rng(0)
    return rng.normal(size=(500, 6)) @ rng.normal(size=(6, 6)) + 1000


def test_moments_in_parts_are_those_of_the_whole(vectors):
    found = moments(vectors[:3], vectors[3:200], vectors[200:])
    assert found.count == 500
    np.testing.assert_allclose(found.mean, vectors.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(vectors.T), rtol=1e-8)


def exact(mean, covariance) -> Moments:
    """Vectors with just these moments: a scaled simplex."""
    size = len(mean)
    whole = np.eye(size + 1) - 1 / (size + 1)
    basis = np.linalg.svd(whole)[0][:, :size] * np.sqrt(size)
    return moments(basis @ np.linalg.cholesky(covariance).T + mean)


def test_frechet_of_gaussians_that_commute():
    a = exact(np.array([1.0, 2.0, 3.0]), np.diag([1.0, 4.0, 9.0]))
    b = exact(np.array([0.0, 2.0, 5.0]), np.diag([4.0, 4.0, 1.0]))
    # |mu|^2 = 1 + 4; (1 - 2)^2 + 0 + (3 - 1)^2
    assert frechet(a, b) == pytest.approx(5 + 1 + 4)
    assert frechet(b, a) == pytest.approx(frechet(a, b))


def test_frechet_of_gaussians_that_do_not_commute():
    """Two by two: tr (AB)^(1/2) = sqrt(tr AB + 2 sqrt det AB)."""
    a, b = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[4.0, -1.5], [-1.5, 1.0]])
    product = a @ b
    root = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    expected = np.trace(a) + np.trace(b) - 2 * root
    zero = np.zeros(2)
    assert frechet(exact(zero, a), exact(zero, b)) == pytest.approx(expected)


def test_fewer_vectors_than_dimensions_still_give_a_number(vectors):
    few, more = moments(vectors[:4]), moments(vectors[4:8])
    assert 0 < frechet(few, more) < np.inf
    assert frechet(few, few) == pytest.approx(0, abs=1e-6)


def test_nothing_is_measured_of_what_is_not_there(vectors):
    with pytest.raises(ValueError, match="two a side"):
        frechet(moments(vectors), moments(vectors[:1]))
    vectors[7, 3] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        moments(vectors)


# ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures():
    from stylegan_tf.data import demo

    return np.stack([demo.draw(i, 32) for i in range(300)])


def distance(network, a, b) -> float:
    return frechet(moments(network(a)), moments(network(b)))


def test_random_features_are_the_same_everywhere(pictures):
    network = RandomFeatures()
    found = network(pictures[:4])
    assert found.shape == (4, network.size)
    np.testing.assert_allclose(RandomFeatures()(pictures[2:3]), found[2:3], rtol=1e-4)
    # One number, so that another network cannot carry this one's name.
    assert found[0].mean() == pytest.approx(EXPECTED, rel=1e-3)


EXPECTED = -0.0103958


def test_distance_rises_with_damage(pictures):
    network, (a, b) = RandomFeatures(), (pictures[::2], pictures[1::2])
    rng = np.random.default_rng(0)
    start = distance(network, a, b)
    for damage in (
        lambda x, k: x + rng.normal(0, 15 * k, x.shape),
        lambda x, k: x * (1 - 0.2 * k),
        lambda x, k: np.where(np.arange(32)[:, None, None] < 6 * k, 128, x),
        lambda x, k: x[np.arange(len(x)) // 8**k * 8**k],  # fewer different ones
    ):
        found = [start]
        for k in (1, 2):
            worse = np.clip(damage(b.astype(float), k), 0, 255).astype(np.uint8)
            found.append(distance(network, a, worse))
        assert found == sorted(found), found


def test_batches_hold_everything():
    single = [np.full((2, 2, 3), i) for i in range(7)]
    stacks = list(features.in_batches(single, 3))
    assert [len(s) for s in stacks] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate(stacks), np.stack(single))
