"""networks/discriminator.py: labels, projection, groups of examples."""

import keras
import numpy as np
import reference
import tensorflow as tf
from golden import close
from small import random, small_discriminator


def test_a_label_picks_its_score():
    d, images = small_discriminator(classes=3), random(4, 16, 16, 3)
    each = [d(images, tf.one_hot([k] * 4, 3)).numpy() for k in range(3)]
    mixed = d(images, tf.one_hot([2, 0, 1, 1], 3)).numpy()
    want = [each[k][n] for n, k in enumerate([2, 0, 1, 1])]
    np.testing.assert_allclose(mixed, want, rtol=1e-5)
    assert np.ptp(each, axis=0).min() > 1e-3


PROJECTION = {"classes": 3, "conditioning": "projection"}


def test_projection_against_numpy():
    """score = sum(x * normalized embedding of the label) / sqrt(width)"""
    d, images = small_discriminator(**PROJECTION), random(4, 16, 16, 3)
    one_hot = np.eye(3)[[2, 0, 1, 1]]
    x = reference.discriminator(d, images.numpy())  # [4, width]
    embedding = d.head.embedding
    label = one_hot @ reference.equalized(embedding, 1) + reference.array(
        embedding.bias
    )
    label /= np.sqrt(np.mean(label**2, axis=1, keepdims=True) + 1e-8)
    want = np.sum(x * label, axis=1, keepdims=True) / np.sqrt(x.shape[1])
    assert x.shape == label.shape == (4, 8)
    close(d(images, one_hot.astype(np.float32)), want)


def test_projection_trains_every_weight():
    d, images = small_discriminator(**PROJECTION), random(4, 16, 16, 3)
    weights = d.stage_variables(16, fading=False)
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(d(images, tf.one_hot([0, 1, 2, 0], 3)) ** 2)
    names = {w.path for w in weights}
    assert {f"discriminator/head/embedding/{n}" for n in ("kernel", "bias")} <= names
    for w, gradient in zip(
        weights, tape.gradient(y, [w.value for w in weights]), strict=True
    ):
        assert np.isfinite(gradient).all() and np.any(gradient != 0), w.path


def test_projection_scores_follow_the_labels():
    d, images = small_discriminator(**PROJECTION), random(2, 16, 16, 3)
    twice = tf.concat([images[:1], images[:1]], axis=0)
    a, b = tf.one_hot([0, 2], 3), tf.one_hot([2, 0], 3)
    assert np.abs(d(images, a) - d(images, b)).min() > 1e-3
    close(d(twice, a), d(twice, b).numpy()[::-1], 1e-5)


def test_projection_comes_back_from_a_file(tmp_path):
    d, images = small_discriminator(**PROJECTION), random(2, 16, 16, 3)
    d.save(tmp_path / "d.keras")
    again = keras.models.load_model(tmp_path / "d.keras")
    labels = tf.one_hot([1, 2], 3)
    np.testing.assert_array_equal(again(images, labels), d(images, labels))


def test_examples_of_the_discriminator_meet_only_in_their_group():
    images = random(8, 16, 16, 3)
    alone = small_discriminator(mbstd_group=1)
    close(alone(images[:3]), alone(images)[:3], 1e-5)
    d = small_discriminator()
    changed = tf.concat([images[:7], -images[7:]], axis=0)  # group 1, 3, 5, 7
    moved = np.abs(d(images) - d(changed))[:, 0] > 1e-6
    np.testing.assert_array_equal(moved, [False, True] * 4)
