"""metrics/applications.py: Keras' networks as feature networks, without a download."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from stylegan_tf.errors import UserError
from stylegan_tf.metrics import applications


def pictures(n=2, height=40, width=50, channels=3):
    rng = np.random.default_rng(n)
    return rng.integers(0, 256, (n, height, width, channels), np.uint8)


@pytest.fixture(scope="module")
def vgg():
    return applications.load("vgg16", input_size=32, weights=None)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A MobileNet, whole and without its last layer, in Keras' formats."""
    folder = tmp_path_factory.mktemp("weights")
    keras.utils.set_random_seed(3)
    whole = keras.applications.MobileNet(weights=None)
    rng = np.random.default_rng(0)
    for v in whole.weights:
        if "kernel" in v.path:
            v.assign(rng.normal(size=v.shape) * np.sqrt(2 / np.prod(v.shape[:2])))
            if "depthwise" not in v.path:
                v.assign(v / np.sqrt(v.shape[2]))
    whole.save(folder / "whole.h5")  # the format that ImageNet's weights are in
    body = keras.Model(whole.inputs, whole.get_layer("conv_pw_13_relu").output)
    body.save(folder / "body.h5")
    body.save_weights(folder / "body.weights.h5")
    return whole, body, folder


def test_the_networks_that_there_are():
    found = applications.names()
    assert {"InceptionV3", "VGG16", "EfficientNetB0", "ConvNeXtTiny"} <= set(found)
    with pytest.raises(UserError, match="no network 'Inception'; it has ConvNeXtBase"):
        applications.load("Inception", weights=None)


def test_random_weights_are_the_same_everywhere(vgg):
    assert vgg.name == "keras-VGG16-random-32px" and vgg.size == 512
    keras.utils.set_random_seed(99)
    again = applications.load("VGG16", input_size=32, weights=None)
    images = pictures()
    np.testing.assert_array_equal(again(images), vgg(images))
    assert not hasattr(vgg, "probabilities")
    assert vgg(images).dtype == np.float32 and 0.1 < vgg(images).std() < 10


def test_features_are_of_resized_and_prepared_pictures(vgg):
    """Beside Keras' own body: antialiased to 32 x 32, BGR without ImageNet's mean."""
    images = pictures(3, 80, 33)
    body = vgg._body
    resized = tf.image.resize(images, [32, 32], antialias=True).numpy()
    prepared = resized[..., ::-1] - [103.939, 116.779, 123.68]
    maps = keras.Model(body.inputs, body.get_layer("block5_pool").output)(prepared)
    want = np.mean(maps, axis=(1, 2))
    scale = vgg(images)[0] @ want[0] / (want[0] @ want[0])
    np.testing.assert_allclose(vgg(images), scale * want, rtol=1e-4, atol=1e-5)
    grey = pictures(channels=1)
    np.testing.assert_array_equal(vgg(grey), vgg(grey.repeat(3, -1)))
    assert vgg(images[:0]).shape == (0, 512)


def test_parts_do_not_matter(vgg, monkeypatch):
    images = pictures(5)
    want = vgg(images)
    monkeypatch.setattr(applications, "BATCH", 2)
    np.testing.assert_allclose(vgg(images), want, rtol=1e-5, atol=1e-6)


def test_distance_of_activations(vgg):
    """Beside NumPy: vectors of length 1, squares summed over channels."""
    a, b = pictures(2).astype(np.float32), pictures(3)[:2].astype(np.float32)
    body = vgg._body
    taps = [body.get_layer(tap).output for tap in applications.TAPS]
    inner, want = keras.Model(body.inputs, taps), 0
    mean = [103.939, 116.779, 123.68]
    parts = zip(inner(a[..., ::-1] - mean), inner(b[..., ::-1] - mean), strict=True)
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
    slope = tape.gradient(value, x).numpy()
    moved = vgg.distance(a - 0.5 * np.sign(slope), b)
    assert np.isfinite(slope).all() and np.all(moved < value)


def test_a_whole_file_gives_features_and_classes(saved):
    whole, body, folder = saved
    path = folder / "whole.h5"
    network = applications.load("MobileNet", weights=path)
    assert network.name == f"keras-MobileNet-file-{network.checksum[:8]}"
    assert network.side == 224 and network.size == 1024
    images = pictures()
    resized = tf.image.resize(images, [224, 224], antialias=True) / 127.5 - 1
    want = np.mean(body(resized, training=False), axis=(1, 2))
    assert want.std() > 1e-3 and np.ptp(want, 0).max() > 1e-3
    np.testing.assert_allclose(network(images), want, rtol=1e-4, atol=1e-5)
    odds = network.probabilities(images)
    np.testing.assert_allclose(odds, whole(resized, training=False), atol=1e-6)
    np.testing.assert_allclose(odds.sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize("file", ["body.h5", "body.weights.h5"])
def test_a_file_without_the_last_layer(saved, file):
    path = saved[2] / file
    network = applications.load("MobileNet", 64, weights=str(path))
    assert network.name == f"keras-MobileNet-file-{network.checksum[:8]}-64px"
    assert not hasattr(network, "probabilities")
    images = pictures()
    resized = tf.image.resize(images, [64, 64], antialias=True) / 127.5 - 1
    small = keras.applications.MobileNet(
        include_top=False, weights=None, input_shape=(64, 64, 3)
    )
    small.set_weights(saved[1].get_weights())
    want = np.mean(small(resized, training=False), axis=(1, 2))
    np.testing.assert_allclose(network(images), want, rtol=1e-4, atol=1e-5)


def test_files_and_sizes_that_do_not_fit(saved, tmp_path):
    with pytest.raises(UserError, match="there is no such file"):
        applications.load("VGG16", weights=tmp_path / "no.h5")
    broken = tmp_path / "broken.weights.h5"
    broken.write_bytes(b"no weights")
    with pytest.raises(UserError, match="has no weights of Keras' MobileNet"):
        applications.load("MobileNet", weights=broken)
    with pytest.raises(UserError, match="cannot be built.*at least 32"):
        applications.load("MobileNet", 16, weights=None)


def test_a_failed_download_says_where_the_file_goes(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody answers
    file = "mobilenet_1_0_224_tf_no_top.h5"
    with pytest.raises(UserError, match="put it there") as caught:
        applications.load("MobileNet")
    assert str(caught.value).endswith(str(tmp_path / "models" / file))


def test_the_dtype_of_a_training_beside_does_not_matter(vgg):
    images, before = pictures(), keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        found = applications.load("VGG16", input_size=32, weights=None)(images)
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy(before)
    np.testing.assert_array_equal(found, vgg(images))
