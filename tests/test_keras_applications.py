"""metrics/features/keras_applications.py: Keras' networks, without a download."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from stylegan_tf.errors import UserError
from stylegan_tf.metrics.features import keras_applications
from stylegan_tf.metrics.features.keras_applications import (
    KerasApplication,
    load_keras_application,
)

MEAN = [103.939, 116.779, 123.68]  # of ImageNet, blue first


def pictures(n=2, height=40, width=50, channels=3):
    rng = np.random.default_rng(n)
    return rng.integers(0, 256, (n, height, width, channels), np.uint8)


@pytest.fixture(scope="module")
def vgg():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(keras_applications.SIDES, "VGG16", 32)
        return KerasApplication("VGG16", weights=None)


@pytest.fixture(scope="module")
def mobile():
    return KerasApplication("MobileNet", weights=None)


def test_the_networks_that_there_are():
    found = keras_applications.application_names()
    assert {"InceptionV3", "VGG16", "EfficientNetB0", "ConvNeXtTiny"} <= set(found)
    with pytest.raises(UserError, match="no network 'Inception'; it has ConvNeXtBase"):
        load_keras_application("Inception")


def test_features_are_of_resized_and_prepared_images(vgg):
    """Beside Keras' own body: antialiased to 32 x 32, BGR without ImageNet's mean."""
    images = pictures(3, 80, 33)
    body = vgg._body
    resized = tf.image.resize(images, [32, 32], antialias=True).numpy()
    prepared = np.float32(resized[..., ::-1] - MEAN)
    maps = keras.Model(body.input, body.get_layer("block5_pool").output)(prepared)
    want = np.mean(maps, axis=(1, 2))
    assert vgg.name == "keras-VGG16-random" and (vgg.size, vgg.side) == (512, 32)
    found = vgg(images)
    assert found.dtype == np.float32 and np.ptp(found, 0).max() > 0
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)
    gray = pictures(channels=1)
    np.testing.assert_array_equal(vgg(gray), vgg(gray.repeat(3, -1)))
    assert vgg(images[:0]).shape == (0, 512)


def test_batches_do_not_matter(vgg, monkeypatch):
    images = pictures(5)
    want = vgg(images)
    monkeypatch.setattr(keras_applications, "BATCH", 2)
    # Processors choose another convolution for another batch: rounding differs.
    np.testing.assert_allclose(vgg(images), want, rtol=1e-5, atol=1e-5)


def test_distance_of_activations(vgg):
    """Beside NumPy: vectors of length 1, squares summed over channels."""
    a, b = pictures(2).astype(np.float32), pictures(3)[:2].astype(np.float32)
    body = vgg._body
    taps = [body.get_layer(n).output for n in keras_applications.DISTANCE_LAYERS]
    inner, want = keras.Model(body.input, taps), 0
    parts = zip(inner(a[..., ::-1] - MEAN), inner(b[..., ::-1] - MEAN), strict=True)
    for x, y in parts:
        x, y = (np.asarray(v, np.float64) for v in (x, y))
        x, y = (v / (np.linalg.norm(v, axis=-1, keepdims=True) + 1e-10) for v in (x, y))
        want = want + np.sum((x - y) ** 2, axis=-1).mean((1, 2))
    found = vgg.distance(tf.constant(a), tf.constant(b))
    np.testing.assert_allclose(found, want, rtol=1e-4)
    np.testing.assert_array_equal(vgg.distance(a, a), 0)
    x = tf.Variable(a)
    with tf.GradientTape() as tape:
        value = vgg.distance(x, tf.constant(b))
    gradient = tape.gradient(value, x).numpy()
    moved = vgg.distance(a - 0.5 * np.sign(gradient), b)
    assert np.isfinite(gradient).all() and np.all(moved < value)


def test_probabilities_are_of_the_classifier(mobile):
    images = pictures()
    found = mobile.probabilities(images)
    assert mobile.name == "keras-MobileNet-random" and mobile.side == 224
    assert not hasattr(mobile, "distance")
    assert found.shape == (2, 1000) and found.dtype == np.float32
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)


def test_a_failed_download_says_where_the_file_goes(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody answers
    file = "mobilenet_1_0_224_tf_no_top.h5"
    with pytest.raises(UserError, match="put it there") as caught:
        load_keras_application("mobilenet")
    assert str(caught.value).endswith(str(tmp_path / "models" / file))


def test_the_dtype_of_a_training_beside_does_not_matter():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = KerasApplication("MobileNet", weights=None)
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        assert {layer.compute_dtype for layer in network._body.layers} == {"float32"}
        assert network(pictures()).dtype == np.float32
    finally:
        keras.config.set_dtype_policy(before)
