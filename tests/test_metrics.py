"""metrics: distances of vectors in closed form and beside SciPy and scikit-learn."""

import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.neighbors import NearestNeighbors

from stylegan_tf.metrics.features.base import RandomFeatures
from stylegan_tf.metrics.scores import distribution, manifold, memorization
from stylegan_tf.metrics.scores.distribution import Moments, frechet_distance


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
    assert frechet_distance(a, b) == pytest.approx(5 + 1 + 4)
    assert frechet_distance(b, a) == pytest.approx(frechet_distance(a, b))


def test_frechet_of_gaussians_that_do_not_commute():
    """Two by two: tr (AB)^(1/2) = sqrt(tr AB + 2 sqrt det AB)."""
    a, b = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[4.0, -1.5], [-1.5, 1.0]])
    product = a @ b
    root = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    expected = np.trace(a) + np.trace(b) - 2 * root
    zero = np.zeros(2)
    assert frechet_distance(exact(zero, a), exact(zero, b)) == pytest.approx(expected)


def test_fewer_vectors_than_dimensions_still_give_a_number(vectors):
    few, more = moments(vectors[:4]), moments(vectors[4:8])
    assert 0 < frechet_distance(few, more) < np.inf
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-6)


def test_frechet_is_what_the_root_of_the_product_says(vectors):
    """The published formula, with SciPy's general matrix root."""
    a, b = vectors[:250], vectors[250:] @ np.diag([1, 2, 3, 1, 0.5, 1]) + 3
    ca, cb = np.cov(a.T), np.cov(b.T)
    root = scipy.linalg.sqrtm(ca @ cb)
    gap = a.mean(axis=0) - b.mean(axis=0)
    expected = gap @ gap + np.trace(ca + cb - 2 * root.real)
    assert frechet_distance(moments(a), moments(b)) == pytest.approx(expected, rel=1e-7)


def test_frechet_of_flat_gaussians_is_the_limit_of_thick_ones():
    """A line along x and one along y: no product of deviations is left."""
    line = np.array([[-3.0, 0.0], [0.0, 0.0], [3.0, 0.0]])
    other = line[:, ::-1] / 3
    assert frechet_distance(moments(line), moments(other)) == pytest.approx(9 + 1)
    assert frechet_distance(moments(line), moments(line / 3)) == pytest.approx(
        (3 - 1) ** 2
    )


def test_degenerate_covariances_are_flagged(vectors):
    assert distribution.singular_reason(moments(vectors)) is None
    few = distribution.singular_reason(moments(vectors[:6]))
    assert few == "6 vectors for 6 dimensions"
    flat = vectors.copy()
    flat[:, 5] = flat[:, 0] - 2 * flat[:, 1]
    assert distribution.singular_reason(moments(flat)) == "covariance of rank 5 of 6"


def test_moments_of_repeated_vectors_and_from_a_file(vectors):
    twice = Moments(6)
    twice.add(vectors[:100], 2)
    twice.add(vectors[100:])
    whole = np.concatenate([vectors[:100], vectors])
    assert twice.count == 600
    np.testing.assert_allclose(twice.mean, whole.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(twice.covariance, np.cov(whole.T), rtol=1e-8)
    again = Moments.restored(twice.state())
    np.testing.assert_array_equal(again.covariance, twice.covariance)
    assert again.count == 600


def test_nothing_is_measured_of_what_is_not_there(vectors):
    with pytest.raises(ValueError, match="two a side"):
        frechet_distance(moments(vectors), moments(vectors[:1]))
    vectors[7, 3] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        moments(vectors)


# ---------------------------------------------------------------------------
# Kernel distance


def test_kernel_distance_is_scikit_learns(vectors):
    x, y = vectors[:60] / 1000, vectors[60:110] / 900
    n, m = len(x), len(y)
    xx, yy, xy = (
        polynomial_kernel(a, b, degree=3, gamma=1 / 6, coef0=1)
        for a, b in ((x, x), (y, y), (x, y))
    )
    expected = (xx.sum() - np.trace(xx)) / (n * (n - 1)) - 2 * xy.mean()
    expected += (yy.sum() - np.trace(yy)) / (m * (m - 1))
    # 50 of the 60 in every subset: all of them on average.
    mean, deviation = distribution.kernel_distance(x, y, subsets=3000)
    assert mean == pytest.approx(expected, abs=5 * deviation / 3000**0.5)
    y, x = y[:50], x[:50]
    n = 50
    xx, xy = (polynomial_kernel(x, b, degree=3, gamma=1 / 6, coef0=1) for b in (x, y))
    expected = (xx.sum() - np.trace(xx) + yy.sum() - np.trace(yy)) / (n * (n - 1))
    found = distribution.kernel_distance(x, y, subsets=2)
    assert found == pytest.approx((expected - 2 * xy.mean(), 0), abs=1e-12)


def test_kernel_distance_is_unbiased_and_repeatable():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 2000, 5))
    mean, deviation = distribution.kernel_distance(a, b, subsets=50, size=200)
    assert abs(mean) < deviation
    assert (mean, deviation) == distribution.kernel_distance(a, b, 50, 200)
    assert distribution.kernel_distance(a, b + 1, 50, 200)[0] > 20 * deviation


def test_kernel_distance_takes_no_part_of_nothing():
    with pytest.raises(ValueError, match="two a side"):
        distribution.kernel_distance(np.ones((5, 2)), np.ones((1, 2)))
    with pytest.raises(ValueError, match="not finite"):
        distribution.kernel_distance(np.full((5, 2), np.inf), np.ones((5, 2)))


# ---------------------------------------------------------------------------
# Inception score


def test_inception_score_in_closed_form():
    """Sure of one of five, all alike often: 5. Always the same answer: 1."""
    sure = np.eye(5)[np.arange(500) % 5]
    assert distribution.inception_score(sure) == pytest.approx((5, 0))
    same = np.tile([0.1, 0.2, 0.3, 0.4, 0.0], (500, 1))
    assert distribution.inception_score(same) == pytest.approx((1, 0))
    # Three of four pictures of a split sure of class 0: exp of the entropy.
    split = np.eye(2)[[0, 0, 0, 1] * 5]
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert distribution.inception_score(split, 5) == pytest.approx((np.exp(entropy), 0))


def test_inception_score_of_splits_that_differ():
    halves = np.eye(2)[[0] * 10 + [0, 1] * 5]
    mean, deviation = distribution.inception_score(halves, 2)
    assert (mean, deviation) == pytest.approx((1.5, 0.5))


@pytest.mark.parametrize("bad", [[[0.7, 0.7]], [[1.5, -0.5]], [[np.nan, 1]]])
def test_inception_score_is_of_probabilities(bad):
    with pytest.raises(ValueError, match="probabilities must|not finite"):
        distribution.inception_score(np.repeat(bad, 10, axis=0))
    with pytest.raises(ValueError, match="3 pictures cannot"):
        distribution.inception_score(np.ones((3, 1)))


# ---------------------------------------------------------------------------
# Precision and recall


def test_cover_is_what_scikit_learns_neighbors_say():
    rng = np.random.default_rng(5)
    real, fake = rng.normal(size=(300, 4)), rng.normal(0.5, 0.8, size=(200, 4))

    def radius(x):
        return NearestNeighbors(n_neighbors=4).fit(x).kneighbors(x)[0][:, 3]

    d = np.linalg.norm(real[:, None] - fake, axis=-1)
    inside = d <= radius(real)[:, None]
    expected = {
        "precision": inside.any(axis=0).mean(),
        "recall": (d <= radius(fake)).any(axis=1).mean(),
        "density": inside.sum() / (3 * 200),
        "coverage": inside.any(axis=1).mean(),
    }
    np.testing.assert_allclose(
        manifold.neighbor_radii(real) ** 0.5, radius(real), rtol=1e-9
    )
    for block in (2000, 37):
        assert manifold.precision_recall(real, fake, block=block) == pytest.approx(
            expected
        )


def test_cover_of_what_is_plain():
    rng = np.random.default_rng(5)
    real = rng.normal(size=(100, 3))
    itself = manifold.precision_recall(real, real)
    assert itself["precision"] == itself["recall"] == itself["coverage"] == 1
    far = manifold.precision_recall(real, real + 1000)
    assert far == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}
    # All pictures the same real one: precise, of no variety.
    one = manifold.precision_recall(real, np.repeat(real[:1], 50, axis=0))
    assert one["precision"] == 1 and one["recall"] == 0.01


def test_equal_vectors_are_at_no_distance_whatever_the_rounding():
    x = np.random.default_rng(0).normal(1e4, 1, size=(20, 700))
    assert np.all(np.diag(manifold.squared_distances(x, x.copy())) == 0)
    assert manifold.squared_distances(x, x)[0, 1] == pytest.approx(
        np.sum((x[0] - x[1]) ** 2)
    )


def test_no_neighbors_no_number():
    few = np.eye(3)
    with pytest.raises(ValueError, match="3 vectors have no 3. neighbor"):
        manifold.precision_recall(few, np.ones((9, 3)))
    with pytest.raises(ValueError, match="not finite"):
        manifold.precision_recall(np.full((9, 3), np.nan), np.ones((9, 3)))


# ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures():
    from stylegan_tf.data import demo

    return np.stack([demo.draw_face(i, 32) for i in range(300)])


def distance(network, a, b) -> float:
    return frechet_distance(moments(network(a)), moments(network(b)))


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


def test_random_features_see_how_pictures_differ(pictures):
    network = RandomFeatures()
    a = tf.constant(pictures[:4], tf.float32)
    noise = np.random.default_rng(0).normal(size=a.shape)
    found = [network.distance(a, a + k * noise).numpy() for k in (0, 1, 4, 16)]
    np.testing.assert_array_equal(found[0], np.zeros(4))
    assert np.all(np.diff(found, axis=0) > 0)
    np.testing.assert_allclose(network.distance(a + noise, a), found[1], rtol=1e-4)
    with tf.GradientTape() as tape:
        x = tf.Variable(a + 4 * noise)
        away = tf.reduce_sum(network.distance(a, x))
    slope = tape.gradient(away, x)
    closer = tf.reduce_sum(network.distance(a, x - 1e3 * slope))
    assert closer < away


def test_random_distance_is_the_one_that_is_described(pictures):
    """Layer by layer in NumPy, from the two layers' activations."""
    network = RandomFeatures()
    pair = tf.constant(pictures[:2], tf.float32)
    expected = 0
    for layer in network._layers(pair):
        x = layer.numpy().astype(np.float64)
        x /= np.sqrt(np.square(x).sum(axis=-1, keepdims=True) + 1e-10)
        expected += np.square(x[0] - x[1]).sum(axis=-1).mean()
    found = network.distance(pair[:1], pair[1:])
    np.testing.assert_allclose(found, [expected], rtol=1e-5)


# ---------------------------------------------------------------------------
# Memorization


def test_copies_are_memorized_and_what_is_far_is_not():
    real = np.array([[0.0], [1.0], [3.0], [3.0]])  # the last one is there twice
    fake = np.array([[0.0], [0.4], [2.2], [3.0], [9.0]])
    found = memorization.nearest_neighbors(real, fake, k=2, block=2)
    np.testing.assert_array_equal(found.index[:2], [[0, 1], [0, 1]])
    np.testing.assert_allclose(found.distance[1], [0.4, 0.6])
    # To the nearest, over the distance from there to its own neighbor.
    np.testing.assert_allclose(found.ratio, [0.0, 0.4, np.inf, 0.0, np.inf])
    assert found.memorized == 3 / 5
    assert memorization.nearest_neighbors(real, real).memorized == 1


def mutual(d: int) -> float:
    """P(a vector and its nearest neighbor are mutual), of one distribution (Cox 1981).

    The volume of a ball over that of two balls, each through the other's center.
    """
    x = np.linspace(-1, 1, 200_001)[1:-1]
    slices = (1 - x * x) ** ((d - 1) / 2)
    overlap = 2 * slices[x >= 0.5].sum() / slices.sum()
    return 1 / (2 - overlap)


@pytest.mark.parametrize(("d", "known"), [(1, 2 / 3), (2, 0.6215), (3, 0.5926)])
def test_images_of_the_same_distribution_have_a_known_share(d, known):
    assert mutual(d) == pytest.approx(known, abs=1e-4)
    rng = np.random.default_rng(d)
    real, fake = rng.uniform(size=(2000, d)), rng.uniform(size=(4000, d))
    share = memorization.nearest_neighbors(real, fake).memorized
    assert share == pytest.approx(known, abs=0.03)
