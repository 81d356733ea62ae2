"""The whole of ADA: order, groups, probability, identity, derivatives."""

import augment_reference as reference
import numpy as np
import pytest
import tensorflow as tf

from stylegan_tf.augment import randomness
from stylegan_tf.augment.ada import BAND_POWER, GROUPS, SINGLE, ada, band_gains
from stylegan_tf.errors import UserError

WITHOUT_NOISE = [name for name in GROUPS if "noise" not in GROUPS[name]]


def pictures(n, *shape):
    return np.random.default_rng(0).uniform(-1, 1, size=(n, *shape)).astype("f4")


def quiet(table):
    """The same uniforms without the noise, which NumPy does not know."""
    out = np.array(table)
    out[:, randomness.OFFSETS["noise"]] = 0.999
    return out


def expected(images, table, p, groups):
    pairs = zip(np.asarray(images, "f8"), np.array(table), strict=True)
    return np.stack([reference.ada(x, row, p, GROUPS[groups]) for x, row in pairs])


@pytest.mark.parametrize("shape", [(6, 6, 3), (5, 7, 1), (8, 4, 4)], ids=str)
@pytest.mark.parametrize("groups", [*WITHOUT_NOISE, "bgcfnc"])
def test_values(groups, shape):
    """Order and composition: p = 0.6 lets most operations meet in six examples."""
    x, table = pictures(6, *shape), quiet(randomness.sample_uniforms(6, [1, 2]))
    actual = ada(x, table, 0.6, groups)
    np.testing.assert_allclose(actual, expected(x, table, 0.6, groups), atol=1e-3)


def test_groups_nest():
    assert list(GROUPS)[:6] == list(SINGLE)
    for name in ("bg", "bgc", "bgcf", "bgcfn", "bgcfnc"):
        assert "".join(group[0] for group in GROUPS[name]) == name


def operations(groups):
    graph = tf.function(lambda x, uniforms: ada(x, uniforms, 0.5, groups))
    specs = tf.TensorSpec([None, 8, 8, 3]), tf.TensorSpec([None, randomness.UNIFORMS])
    return [
        op.type for op in graph.get_concrete_function(*specs).graph.get_operations()
    ]


def test_only_the_wanted_groups_are_built():
    geometric, filtered = operations("blit"), operations("filter")
    assert len(geometric) < len(operations("bg")) and "Floor" in geometric
    assert "Floor" not in filtered and not any("Random" in op for op in filtered)


# ---------------------------------------------------------------------------
# Identity


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
@pytest.mark.parametrize("groups", GROUPS)
def test_no_chance_is_the_identity_bit_by_bit(groups, dtype):
    x = tf.cast(pictures(4, 6, 5, 3), dtype)
    for p in (0.0, tf.constant(0.0)):
        y = ada(x, randomness.sample_uniforms(4, [1, 2]), p, groups)
        assert y.dtype == dtype
        np.testing.assert_array_equal(
            tf.bitcast(y, BITS[dtype]), tf.bitcast(x, BITS[dtype])
        )


BITS = {tf.float32: tf.int32, tf.bfloat16: tf.int16}


def test_untouched_examples_keep_their_pixels():
    x = pictures(5, 8, 6, 3)
    rows = [{}, {"scale": 0.9}, {}, {"hue": 0.2}, {"band2": 0.8}]
    y = ada(x, np.stack([reference.row(**row) for row in rows]), 0.5, "bgcfnc").numpy()
    touched = [(a != b).any() for a, b in zip(x, y, strict=True)]
    assert touched == [bool(row) for row in rows]


# ---------------------------------------------------------------------------
# Filter


@pytest.mark.parametrize("u", [0.1, 0.9])
@pytest.mark.parametrize("band", range(4))
def test_bands(band, u):
    rows = reference.row(**{f"band{band}": u})[None]
    x = pictures(1, 12, 9, 3)
    actual = ada(x, rows, 0.5, "filter")
    np.testing.assert_allclose(actual, expected(x, rows, 0.5, "filter"), atol=1e-5)
    gains = band_gains(tf.constant(rows), 0.5)[0].numpy()
    others = np.delete(gains, band)
    assert gains[band] / others[0] == pytest.approx(2 ** reference.normal(u), rel=1e-4)
    assert np.ptp(others) < 1e-6
    assert np.dot(BAND_POWER, gains**2) == pytest.approx(1, rel=1e-5)


# ---------------------------------------------------------------------------
# Noise and cutout


def test_noise_is_normal_of_the_drawn_strength():
    strengths = (0.6, 0.9, 0.05)
    rows = [reference.row(noise=(u, 0.3, 0.1 * i)) for i, u in enumerate(strengths)]
    x = pictures(3, 64, 48, 3)
    added = ada(x, np.stack(rows), 0.5, "noise").numpy() - x
    for noise, u in zip(added, strengths, strict=True):
        unit = noise / abs(reference.normal(u, 0.1))
        assert unit.mean() == pytest.approx(0, abs=0.03)
        assert unit.std() == pytest.approx(1, abs=0.02)
        assert (unit**4).mean() == pytest.approx(3, abs=0.2)
        for axis in range(3):
            neighbors = np.corrcoef(unit.ravel(), np.roll(unit, 1, axis).ravel())
            assert abs(neighbors[0, 1]) < 0.04
    assert abs(np.corrcoef(added.reshape(3, -1))[0, 1]) < 0.04


def test_noise_follows_its_two_numbers():
    rows = [reference.row(noise=(0.8, *pair)) for pair in ((0.3, 0.4), (0.3, 0.4))]
    rows += [reference.row(noise=(0.8, *pair)) for pair in ((0.3, 0.41), (0.4, 0.3))]
    rows += [
        reference.row(noise=(0.2, 0.3, 0.4))
    ]  # the same strength, not its opposite
    y = ada(np.zeros([5, 6, 6, 1], "f4"), np.stack(rows), 0.5, "noise").numpy()
    np.testing.assert_allclose(y[4], y[0], rtol=1e-5)
    np.testing.assert_array_equal(y[0], y[1])
    assert (y[2] != y[0]).all() and (y[3] != y[0]).all() and (y[3] != y[2]).all()


def test_cutout_takes_a_quarter_around_its_center():
    rows = np.stack([reference.row(cutout=at) for at in ((0.5, 0.5), (0.01, 0.5))])
    y = ada(np.ones([2, 16, 24, 1], "f4"), rows, 0.5, "cutout").numpy()[..., 0]
    assert (y[0, 4:12, 6:18] == 0).all() and y[0].sum() == 16 * 24 - 8 * 12
    assert (y[1, 4:12, :6] == 0).all() and y[1].sum() == 16 * 24 - 8 * 6


# ---------------------------------------------------------------------------
# Probability and place


@pytest.mark.parametrize(
    "groups, operations", [("noise", 1), ("cutout", 1), ("filter", 4)]
)
def test_share_of_touched_examples(groups, operations):
    x = np.ones([4000, 4, 4, 1], "f4")
    x[:, 1::2] = -1
    y = tf.function(ada)(
        x, randomness.sample_uniforms(4000, [5, 6]), 0.2, groups
    ).numpy()
    share = (x != y).any(axis=(1, 2, 3)).mean()
    assert share == pytest.approx(1 - 0.8**operations, abs=0.025)


def test_an_example_does_not_depend_on_its_place():
    x, table = pictures(6, 8, 8, 3), randomness.sample_uniforms(6, [1, 2])
    order = [4, 2, 5, 0, 1, 3]
    y = ada(x, table, 0.7, "bgcfnc").numpy()
    again = ada(x[order], tf.gather(table, order), 0.7, "bgcfnc")
    np.testing.assert_allclose(again, y[order], atol=1e-5)
    alone = ada(x[3:4], table[3:4], 0.7, "bgcfnc")
    np.testing.assert_allclose(alone[0], y[3], atol=1e-5)


# ---------------------------------------------------------------------------
# Derivatives


def derivatives(images, table, weight, v):
    """Along v, of sum(c y^2): one tape for the first, another around it."""
    with tf.GradientTape() as outer:
        outer.watch(images)
        with tf.GradientTape() as inner:
            inner.watch(images)
            total = tf.reduce_sum(weight * ada(images, table, 0.6, "bgcfnc") ** 2)
        slope = tf.reduce_sum(inner.gradient(total, images) * v)
    return slope, tf.reduce_sum(outer.gradient(slope, images) * v)


@pytest.mark.parametrize("compiled", [False, True])
def test_first_and_second_derivatives(compiled):
    """ADA is affine in the pictures, so a difference of the reference is exact."""
    shape = (3, 6, 5, 3)
    x, table = pictures(*shape), quiet(randomness.sample_uniforms(3, [2, 2]))
    weight, v = np.random.default_rng(1).normal(size=[2, *shape]).astype("f4")
    here = expected(x, table, 0.6, "bgcfnc")
    ahead = expected(x + v.astype("f8"), table, 0.6, "bgcfnc") - here
    exact = 2 * np.sum(weight * here * ahead), 2 * np.sum(weight * ahead**2)
    call = tf.function(derivatives) if compiled else derivatives
    ours = call(*(tf.constant(a) for a in (x, table, weight, v)))
    np.testing.assert_allclose(ours, exact, rtol=2e-3, atol=2e-2)


def test_a_gradient_penalty_passes_through():
    """R1 of a one-layer score: finite, and differentiable by its kernel."""
    x, table = tf.constant(pictures(4, 8, 8, 3)), randomness.sample_uniforms(4, [1, 2])
    kernel = tf.Variable(pictures(3, 3, 3, 2))
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            inner.watch(x)
            seen = ada(x, table, 0.8, "bgcfnc")
            score = tf.reduce_sum(tf.nn.softplus(tf.nn.conv2d(seen, kernel, 1, "SAME")))
        penalty = tf.reduce_sum(inner.gradient(score, x) ** 2)
    gradient = outer.gradient(penalty, kernel)
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0


# ---------------------------------------------------------------------------
# In a compiled step


def test_unknown_batch_and_probability():
    traces = []

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 8, 6, 3]),
            tf.TensorSpec([None, randomness.UNIFORMS]),
            tf.TensorSpec([]),
        ]
    )
    def step(images, table, p):
        traces.append(1)
        return ada(images, table, p, "bgcfnc")

    for n, p in ((1, 0.3), (5, 1.0), (3, 0.0)):
        x, table = pictures(n, 8, 6, 3), randomness.sample_uniforms(n, [n, 1])
        y = step(x, table, p)
        np.testing.assert_allclose(y, ada(x, table, p, "bgcfnc"), atol=1e-5)
    assert len(traces) == 1


def test_bfloat16_is_rounded_once():
    x, table = (
        tf.cast(pictures(5, 8, 8, 3), tf.bfloat16),
        randomness.sample_uniforms(5, [1, 2]),
    )
    exact = ada(tf.cast(x, tf.float32), table, 0.7)
    y = ada(x, table, 0.7)
    assert y.dtype == tf.bfloat16
    np.testing.assert_array_equal(
        tf.cast(y, tf.float32), tf.cast(tf.cast(exact, tf.bfloat16), tf.float32)
    )


def test_unknown_names():
    with pytest.raises(UserError, match="'bgx'; there are blit, geom"):
        ada(pictures(1, 4, 4, 3), randomness.sample_uniforms(1, [1, 2]), 0.5, "bgx")
