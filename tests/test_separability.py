"""separability.py: planes, bits, and which pictures count."""

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from stylegan_tf.metrics.scores import separability
from stylegan_tf.metrics.scores.separability import (
    attribute_logits,
    conditional_entropy,
)


def test_bits_are_scikit_learns():
    rng = np.random.default_rng(0)
    label = rng.random(500) < 0.3
    side = label ^ (rng.random(500) < 0.2)
    p = label.mean()
    entropy = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    expected = entropy - mutual_info_score(label, side) / np.log(2)
    assert conditional_entropy(label, side) == pytest.approx(expected)
    assert conditional_entropy(label, label) == 0
    half = np.arange(8) % 2 == 0
    assert conditional_entropy(half, np.arange(8) < 4) == pytest.approx(1)


def test_straight_attributes_cost_nothing_and_crooked_ones_a_bit():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(4000, 5))
    straight = separability.separability(x, {"a": x @ np.arange(5.0)})
    assert straight.score == pytest.approx(1, abs=0.05)
    circle = separability.separability(x, {"b": np.sum(x * x, axis=1) - 5})
    # No plane says anything of a ball: what is left is the entropy of the labels.
    assert circle.score > 1.8
    both = separability.separability(
        x, {"a": x @ np.arange(5.0), "b": np.sum(x * x, axis=1) - 5}
    )
    assert both.score == pytest.approx(straight.score * circle.score)
    assert list(both.entropies) == ["a", "b"]


def test_only_the_most_confident_half_counts():
    """The doubtful half is labeled at random; it must not show."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(2000, 3))
    sure = np.sort(rng.permutation(2000)[:1000])
    logit = np.where(rng.random(2000) < 0.5, 0.01, -0.01)
    logit[sure] = np.where(x[sure, 0] > 0, 5.0, -5.0)
    found = separability.separability(x, {"a": logit})
    assert found.score < 1.02
    assert separability.separability(x, {"a": logit}, keep=1.0).score > 1.4


def test_an_attribute_that_all_have_leaves_nothing_open():
    x = np.random.default_rng(0).normal(size=(50, 2))
    assert separability.separability(x, {"a": np.ones(50)}).score == 1


def test_factors_become_attributes():
    p = np.array([[0.2, 0.8], [0.9, 0.1], [0.5, 0.5]])
    three = np.array([[0.8, 0.1, 0.1], [0.1, 0.2, 0.7], [0.3, 0.4, 0.3]])
    found = attribute_logits({"on": p, "size": np.array([1.0, 5.0, 3.0]), "hat": three})
    assert list(found) == ["on", "size", "hat=0", "hat=1", "hat=2"]
    np.testing.assert_allclose(found["on"], np.log([4, 1 / 9, 1]), atol=1e-12)
    np.testing.assert_allclose(found["size"], [-2, 2, 0])
    np.testing.assert_allclose(found["hat=2"], np.log([1 / 9, 7 / 3, 3 / 7]))


def test_what_is_no_number_gives_none():
    x = np.zeros((4, 2))
    with pytest.raises(ValueError, match="no classifiers"):
        separability.separability(x, {})
    with pytest.raises(ValueError, match="logits of a are not 4 numbers"):
        separability.separability(x, {"a": np.array([1, 2, np.nan, 4])})
    with pytest.raises(ValueError, match="latent is not finite"):
        separability.separability(x + np.inf, {"a": np.ones(4)})
    with pytest.raises(ValueError, match="classifier of a says"):
        attribute_logits({"a": np.array([np.inf])})
    with pytest.raises(ValueError, match="classifier of a gives shape"):
        attribute_logits({"a": np.ones((4, 1))})
