"""metrics/applications.py: Keras' networks as feature networks, without a download."""

import types
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from stylegan_tf.errors import UserError
from stylegan_tf.metrics.features import keras_applications


def pictures(n=2, height=40, width=50, channels=3):
    rng = np.random.default_rng(n)
    return rng.integers(0, 256, (n, height, width, channels), np.uint8)


@pytest.fixture(scope="module")
def vgg():
    return keras_applications.load("vgg16", input_size=32, weights=None)


def tiny_net(include_top=True, weights="imagenet", input_shape=None, pooling=None):
    """What a function of `keras.applications` does, in a few layers."""
    inputs = keras.Input(input_shape or (224, 224, 3))
    x = keras.layers.Conv2D(6, 5, strides=4)(inputs)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.DepthwiseConv2D(3, activation="relu")(x)
    x = keras.layers.Conv2D(8, 1, activation="relu")(x)
    if include_top:
        x = keras.layers.GlobalAveragePooling2D()(x)
        x = keras.layers.Dense(10, "softmax")(x)
    elif pooling == "avg":
        x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, x)
    if weights is not None:
        model.load_weights(weights)
    return model


@pytest.fixture
def tiny(monkeypatch):
    """Keras has a small network more."""
    tiny_net.__module__ = "keras.src.applications.tiny"
    place = types.SimpleNamespace(preprocess_input=lambda x: x / 100 - 1)
    monkeypatch.setattr(keras.applications, "TinyNet", tiny_net, raising=False)
    monkeypatch.setattr(keras.applications, "tiny", place, raising=False)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The small network, whole and without its last layer, in Keras' formats."""
    folder = tmp_path_factory.mktemp("weights")
    whole = tiny_net(weights=None)
    rng = np.random.default_rng(0)
    for v in whole.weights:  # moments of the normalization included
        v.assign(np.abs(rng.normal(size=v.shape)) + 0.1 if v.ndim == 1 else v)
    body = tiny_net(False, None, pooling="avg")
    body.set_weights(whole.get_weights()[: len(body.weights)])
    for name, model in {"whole": whole, "body": body}.items():
        model.save(folder / f"{name}.h5")  # the format of the published weights
        model.save_weights(folder / f"{name}.weights.h5")
    return whole, body, folder


def test_the_networks_that_there_are():
    found = keras_applications.names()
    assert {"InceptionV3", "VGG16", "EfficientNetB0", "ConvNeXtTiny"} <= set(found)
    with pytest.raises(UserError, match="no network 'Inception'; it has ConvNeXtBase"):
        keras_applications.load("Inception", weights=None)


def test_random_weights_are_the_same_everywhere(tiny, vgg):
    one = keras_applications.load("tinynet", weights=None)
    keras.utils.set_random_seed(99)
    again = keras_applications.load("TinyNet", weights=None)
    images = pictures()
    assert one.name == "keras-TinyNet-random" and one.size == 8 and one.side == 224
    np.testing.assert_array_equal(again(images), one(images))
    assert vgg.name == "keras-VGG16-random-32px" and vgg.size == 512
    for network in (one, vgg):
        found = network(images)
        assert not hasattr(network, "probabilities")
        assert found.dtype == np.float32 and 0.1 < found.std() < 10
        assert np.ptp(found, 0).max() > 0.01


def test_features_are_of_resized_and_prepared_pictures(vgg):
    """Beside Keras' own body: antialiased to 32 x 32, BGR without ImageNet's mean."""
    images = pictures(3, 80, 33)
    body = vgg._body
    resized = tf.image.resize(images, [32, 32], antialias=True).numpy()
    prepared = np.float32(resized[..., ::-1] - [103.939, 116.779, 123.68])
    maps = keras.Model(body.inputs, body.get_layer("block5_pool").output)(prepared)
    want = np.mean(maps, axis=(1, 2))
    scale = vgg(images)[0] @ want[0] / (want[0] @ want[0])
    np.testing.assert_allclose(vgg(images), scale * want, rtol=1e-4, atol=1e-5)
    gray = pictures(channels=1)
    np.testing.assert_array_equal(vgg(gray), vgg(gray.repeat(3, -1)))
    assert vgg(images[:0]).shape == (0, 512)


def test_parts_do_not_matter(vgg, monkeypatch):
    images = pictures(5)
    want = vgg(images)
    monkeypatch.setattr(keras_applications, "BATCH", 2)
    # Processors choose another convolution for another batch: rounding differs.
    np.testing.assert_allclose(vgg(images), want, rtol=1e-5, atol=1e-5)


def test_distance_of_activations(vgg):
    """Beside NumPy: vectors of length 1, squares summed over channels."""
    a, b = pictures(2).astype(np.float32), pictures(3)[:2].astype(np.float32)
    body = vgg._body
    taps = [body.get_layer(tap).output for tap in keras_applications.TAPS]
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


@pytest.mark.parametrize("kind", [".h5", ".weights.h5"])
def test_a_whole_file_gives_features_and_classes(tiny, saved, kind):
    whole, body, folder = saved
    network = keras_applications.load("TinyNet", weights=folder / f"whole{kind}")
    assert network.name == f"keras-TinyNet-file-{network.checksum[:8]}"
    assert not hasattr(network, "distance")
    images = pictures()
    resized = tf.image.resize(images, [224, 224], antialias=True) / 100 - 1
    want = body(resized, training=False)
    assert np.ptp(want, 0).max() > 0.003
    np.testing.assert_allclose(network(images), want, rtol=1e-5, atol=1e-6)
    odds = network.probabilities(images)
    assert np.ptp(odds, 0).max() > 1e-5
    np.testing.assert_allclose(odds, whole(resized, training=False), rtol=1e-5)
    np.testing.assert_allclose(odds.sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize("kind", [".h5", ".weights.h5"])
def test_a_file_without_the_last_layer(tiny, saved, kind):
    path = saved[2] / f"body{kind}"
    network = keras_applications.load("TinyNet", 64, weights=str(path))
    assert network.name == f"keras-TinyNet-file-{network.checksum[:8]}-64px"
    assert not hasattr(network, "probabilities")
    images = pictures()
    resized = tf.image.resize(images, [64, 64], antialias=True) / 100 - 1
    small = tiny_net(False, None, (64, 64, 3), "avg")
    small.set_weights(saved[1].get_weights())
    want = small(resized, training=False)
    np.testing.assert_allclose(network(images), want, rtol=1e-5, atol=1e-6)


def test_files_and_sizes_that_do_not_fit(tiny, saved, tmp_path):
    with pytest.raises(UserError, match="there is no such file"):
        keras_applications.load("VGG16", weights=tmp_path / "no.h5")
    broken = tmp_path / "broken.weights.h5"
    broken.write_bytes(b"no weights")
    keras.Sequential([keras.Input([3]), keras.layers.Dense(2)]).save_weights(
        tmp_path / "other.weights.h5"
    )
    short = tiny_net(False, None)  # a layer less, which Keras would leave at random
    part = keras.Model(short.inputs, short.layers[-2].output)
    part.save_weights(tmp_path / "part.weights.h5")
    for path in (broken, *tmp_path.glob("*t*.weights.h5")):
        with pytest.raises(UserError, match="has no weights of Keras' TinyNet"):
            keras_applications.load("TinyNet", weights=path)
    with pytest.raises(UserError, match="at least 32 pixels a side, not 16"):
        keras_applications.load("VGG16", 16, weights=None)
    with pytest.raises(UserError, match="InceptionV3 cannot be built.*at least 75"):
        keras_applications.load("InceptionV3", 74, weights=None)


def test_files_that_lack_some_layers_are_refused(tiny, saved, monkeypatch):
    """Keras warns, and leaves those layers at random."""

    def warn(model, path):
        warnings.warn("Skipping nested container at 'layers'", stacklevel=2)

    monkeypatch.setattr(keras.Model, "load_weights", warn)
    with pytest.raises(UserError, match="Skipping nested"):
        keras_applications.load("TinyNet", weights=saved[2] / "whole.h5")


def test_a_failed_download_says_where_the_file_goes(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody answers
    file = "mobilenet_1_0_224_tf_no_top.h5"
    with pytest.raises(UserError, match="put it there") as caught:
        keras_applications.load("MobileNet")
    assert str(caught.value).endswith(str(tmp_path / "models" / file))


def test_the_dtype_of_a_training_beside_does_not_matter(tiny, saved):
    path, images = saved[2] / "whole.h5", pictures()
    want, before = (
        keras_applications.load("TinyNet", weights=path),
        keras.config.dtype_policy(),
    )
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        found = keras_applications.load("TinyNet", weights=path)
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        np.testing.assert_array_equal(found(images), want(images))
        np.testing.assert_array_equal(
            found.probabilities(images), want.probabilities(images)
        )
    finally:
        keras.config.set_dtype_policy(before)
