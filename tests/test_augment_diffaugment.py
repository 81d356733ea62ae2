"""DiffAugment against plain loops, with the same uniforms."""

import augment_reference as reference
import numpy as np
import pytest
import tensorflow as tf

from stylegan_tf.augment import randomness
from stylegan_tf.augment.diffaugment import diffaugment
from stylegan_tf.errors import UserError

POLICIES = [
    ("color",),
    ("translation",),
    ("cutout",),
    ("color", "translation", "cutout"),
]
POLICIES += [("cutout", "color"), ()]
SHAPES = [(8, 8, 3), (9, 14, 1), (6, 5, 4), (4, 4, 3)]


def pictures(shape, n=6):
    return np.random.default_rng(0).uniform(-1, 1, size=(n, *shape)).astype("f4")


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("policy", POLICIES, ids="-".join)
def test_values(policy, shape):
    x, table = pictures(shape, 24), randomness.sample_uniforms(24, [1, 2])
    pairs = zip(x.astype("f8"), table.numpy(), strict=True)
    expected = [reference.diffaugment(image, row, policy) for image, row in pairs]
    np.testing.assert_allclose(diffaugment(x, table, policy), expected, atol=2e-6)


def test_ranges():
    """Extremes of every distribution, and that all shifts are as likely."""
    table = randomness.sample_uniforms(4000, [5, 6])
    dot = np.zeros([4000, 16, 16, 1], "f4")
    dot[:, 8, 8] = 1
    moved = diffaugment(dot, table, ("translation",)).numpy()
    rows, columns = moved.sum(axis=(2, 3)).mean(axis=0), moved.sum(axis=(1, 3)).mean(0)
    for share in (rows, columns):
        np.testing.assert_allclose(share[6:11], 0.2, atol=0.03)
        assert share.sum() == pytest.approx(1)
    holes = (
        1 - diffaugment(np.ones([4000, 16, 16, 1], "f4"), table, ("cutout",)).numpy()
    )
    assert holes.sum(axis=(1, 2, 3)).max() == 64
    np.testing.assert_allclose(holes.mean(axis=0)[4:12, 4:12], (8 / 17) ** 2, atol=0.04)
    flat = diffaugment(np.zeros([4000, 2, 2, 3], "f4"), table, ("color",)).numpy()
    assert -0.5 < flat.min() < -0.49 and 0.49 < flat.max() < 0.5


def test_translation_and_cutout_keep_the_pixels_they_show():
    x, table = pictures((8, 8, 3)), randomness.sample_uniforms(6, [1, 2])
    y = diffaugment(x, table, ("translation", "cutout")).numpy()
    assert np.isin(y[y != 0], x).all()


def test_an_example_does_not_depend_on_its_place():
    x, table = pictures((8, 8, 3)), randomness.sample_uniforms(6, [1, 2])
    order = [4, 2, 5, 0, 1, 3]
    y = diffaugment(x, table).numpy()
    again = diffaugment(x[order], tf.gather(table, order)).numpy()
    np.testing.assert_allclose(again, y[order], atol=1e-6)
    np.testing.assert_allclose(diffaugment(x[:1], table[:1])[0], y[0], atol=1e-6)


def test_first_and_second_derivatives():
    """Of sum(c y^2), along a direction; y is affine in x, so a difference is exact."""
    shape = (5, 6, 3)
    x, table = pictures(shape, 3), randomness.sample_uniforms(3, [1, 2])
    rng = np.random.default_rng(1)
    weight, v = rng.normal(size=[2, 3, *shape]).astype("f4")

    def y(x):
        policy = ("color", "translation", "cutout")
        rows = zip(x.astype("f8"), table.numpy(), strict=True)
        return np.stack([reference.diffaugment(*pair, policy) for pair in rows])

    along = (y(x + 0.5 * v) - y(x - 0.5 * v)).astype("f8")
    exact = 2 * np.sum(weight * y(x) * along), 2 * np.sum(weight * along**2)
    images = tf.constant(x)
    with tf.GradientTape() as outer:
        outer.watch(images)
        with tf.GradientTape() as inner:
            inner.watch(images)
            total = tf.reduce_sum(weight * diffaugment(images, table) ** 2)
        slope = tf.reduce_sum(inner.gradient(total, images) * v)
    np.testing.assert_allclose(slope, exact[0], rtol=1e-3)
    np.testing.assert_allclose(
        tf.reduce_sum(outer.gradient(slope, images) * v), exact[1], rtol=1e-3
    )


def test_unknown_batch_and_bfloat16():
    specs = [
        tf.TensorSpec([None, 8, 6, 3], tf.bfloat16),
        tf.TensorSpec([None, randomness.UNIFORMS]),
    ]
    traced = tf.function(diffaugment, input_signature=specs)
    x, table = (
        tf.cast(pictures((8, 6, 3)), tf.bfloat16),
        randomness.sample_uniforms(6, [1, 2]),
    )
    y = diffaugment(tf.cast(x, tf.float32), table)
    assert traced(x, table).dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(traced(x, table), tf.float32), y, rtol=0.01)


def test_unknown_names_and_channels():
    with pytest.raises(UserError, match="'colour'; there are color, translation"):
        diffaugment(
            pictures((4, 4, 3)), randomness.sample_uniforms(6, [1, 2]), ("colour",)
        )
    with pytest.raises(UserError, match="2 channels"):
        diffaugment(pictures((4, 4, 2)), randomness.sample_uniforms(6, [1, 2]))
