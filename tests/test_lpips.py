"""metrics/features/lpips.py: the published distance, beside NumPy."""

import hashlib

import numpy as np
import pytest
import tensorflow as tf
import torch_files as writer
from inception_reference import pictures
from numpy.lib.stride_tricks import sliding_window_view

from stylegan_tf.errors import UserError
from stylegan_tf.metrics.features import files, lpips

CHANNELS, HIDDEN = (4, 5, 6, 7, 6), 9
COUNTS = (2, 2, 3, 3, 3)


def vgg_weights(classifier=True):
    """A narrow VGG16 under torchvision's names; its fc layers see 2 x 2 pixels."""
    rng = np.random.default_rng(3)
    found, index, c = {}, 0, 3
    for count, out in zip(COUNTS, CHANNELS, strict=True):
        for _ in range(count):
            kernel = rng.normal(size=(out, c, 3, 3)) * np.sqrt(2 / (9 * c))
            found[f"features.{index}.weight"] = np.float32(kernel)
            found[f"features.{index}.bias"] = np.float32(rng.normal(size=out) * 0.1)
            index, c = index + 2, out
        index += 1
    sizes = {0: (HIDDEN, c * 4), 3: (HIDDEN + 1, HIDDEN), 6: (11, HIDDEN + 1)}
    for i, shape in sizes.items() if classifier else ():
        kernel = rng.normal(size=shape) * np.sqrt(2 / shape[1])
        found[f"classifier.{i}.weight"] = np.float32(kernel)
        found[f"classifier.{i}.bias"] = np.float32(rng.normal(size=shape[0]) * 0.1)
    return found


def linear_weights():
    rng = np.random.default_rng(4)
    return {
        f"lin{i}.model.1.weight": np.float32(rng.uniform(0, 1, (1, c, 1, 1)))
        for i, c in enumerate(CHANNELS)
    }


def activations(weights, x):
    """The five depths in float64, NCHW as PyTorch has it; x is [N, 3, H, W]."""
    index, found = 0, []
    for block, count in enumerate(COUNTS):
        if block:
            windows = sliding_window_view(x, (2, 2), (2, 3))[:, :, ::2, ::2]
            x = windows.max((-2, -1))
        for _ in range(count):
            kernel = weights[f"features.{index}.weight"].astype(np.float64)
            bias = weights[f"features.{index}.bias"].astype(np.float64)
            padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)])
            windows = sliding_window_view(padded, (3, 3), (2, 3))
            x = np.einsum("nchwij,ocij->nohw", windows, kernel, optimize=True)
            x = np.maximum(x + bias[:, None, None], 0)
            index += 2
        index += 1
        found.append(x)
    return found


def as_torch(images):
    """[N, H, W, 3] in [0, 255] as torchvision prepares it."""
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    x = (np.asarray(images, np.float64) / 255 - mean) / deviation
    return x.transpose(0, 3, 1, 2)


def lpips_reference(weights, linear, a, b):
    total = 0
    for i, (x, y) in enumerate(
        zip(
            activations(weights, as_torch(a)),
            activations(weights, as_torch(b)),
            strict=True,
        )
    ):
        x, y = (v / (np.linalg.norm(v, axis=1, keepdims=True) + 1e-10) for v in (x, y))
        w = linear[f"lin{i}.model.1.weight"].astype(np.float64).reshape(1, -1, 1, 1)
        total = total + ((x - y) ** 2 * w).sum(1).mean((1, 2))
    return total


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A folder of the two files, one of each layout."""
    folder = tmp_path_factory.mktemp("lpips")
    writer.save(folder / "vgg16-397923af.pth", vgg_weights(), old=True)
    writer.save(folder / "vgg.pth", linear_weights())
    writer.save(folder / "bare.pth", vgg_weights(classifier=False))
    return folder


def test_lpips_is_the_reference(two):
    network = lpips.load_lpips(two)
    a, b = pictures(4, 33, 50).astype(np.float32), pictures(4, 33, 50)[::-1] + 0.5
    want = lpips_reference(vgg_weights(), linear_weights(), a, b)
    found = network.distance(tf.constant(a), tf.constant(b, tf.float32)).numpy()
    assert found.shape == (4,) and want.min() > 0.01
    np.testing.assert_allclose(found, want, rtol=2e-5)
    np.testing.assert_array_equal(network.distance(a, a), 0)
    swapped = network.distance(tf.constant(b, tf.float32), tf.constant(a))
    np.testing.assert_allclose(swapped, found, rtol=1e-6)
    sums = [files.checksum(two / n) for n in ("vgg16-397923af.pth", "vgg.pth")]
    assert network.checksum == "+".join(sums)
    assert network.name == f"vgg16-lpips-0.1-like-{sums[0][:4]}{sums[1][:4]}"


def test_lpips_has_the_slope_of_its_values(two):
    network = lpips.load_lpips(two)
    a, b = (tf.constant(x, tf.float32) for x in pictures(2, 16, 17)[:, None])
    step = tf.constant(np.random.default_rng(0).normal(size=a.shape), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(a)
        value = network.distance(a, b)
    slope = float(tf.reduce_sum(tape.gradient(value, a) * step))
    weights, linear, h = vgg_weights(), linear_weights(), 1e-4
    ends = [
        lpips_reference(weights, linear, a.numpy() + s * h * step.numpy(), b.numpy())
        for s in (np.float64(1), np.float64(-1))
    ]
    assert slope == pytest.approx(float(ends[0][0] - ends[1][0]) / (2 * h), rel=2e-2)


def test_where_nothing_is_active_the_slope_is_a_number():
    """By XLA, whose root has no guard of its own at 0."""

    @tf.function(jit_compile=True)
    def slope(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = tf.reduce_sum(lpips.unit_length(x))
        return tape.gradient(value, x)

    assert np.isfinite(slope(tf.zeros([1, 2, 2, 3]))).all()


def test_lpips_of_gray_and_of_small_pictures(two):
    network = lpips.load_lpips(two)
    a, b = pictures(2, 16, 16, 1).astype(np.float32)[:, None]
    want = network.distance(a.repeat(3, -1), b.repeat(3, -1))
    np.testing.assert_array_equal(network.distance(a, b), want)
    with pytest.raises(ValueError, match="at least 16"):
        network.distance(tf.zeros([1, 15, 16, 3]), tf.zeros([1, 15, 16, 3]))
    with pytest.raises(ValueError, match="one shape"):
        network.distance(tf.zeros([1, 16, 16, 3]), tf.zeros([1, 16, 17, 3]))


def test_lpips_inside_a_function_of_free_sizes(two):
    network = lpips.load_lpips(two)
    free = tf.TensorSpec([None, None, None, 3])
    inside = tf.function(network.distance, input_signature=[free, free])
    a, b = pictures(4, 20, 24).astype(np.float32).reshape(2, 2, 20, 24, 3)
    np.testing.assert_allclose(inside(a, b), network.distance(a, b), rtol=1e-6)


def test_features_of_the_hidden_layers(two):
    network = lpips.load_lpips(two)
    images = pictures(3, 64, 64)  # the size that two pixels a side come from
    weights = vgg_weights()
    last = activations(weights, as_torch(images))[-1]
    x = sliding_window_view(last, (2, 2), (2, 3))[:, :, ::2, ::2].max((-2, -1))
    x = x.reshape(3, -1)  # channels, rows, columns
    for i in (0, 3):
        x = x @ weights[f"classifier.{i}.weight"].T.astype(np.float64)
        x = np.maximum(x + weights[f"classifier.{i}.bias"], 0)
    found = network(images)
    assert network.side == 64 and found.shape == (3, HIDDEN + 1) == (3, network.size)
    np.testing.assert_allclose(found, x, rtol=1e-4, atol=1e-5)
    assert network(pictures(2, 7, 200, 1)).shape == (2, HIDDEN + 1)


def test_features_without_hidden_layers_are_called_so(two):
    network = lpips.load_lpips(f"{two / 'vgg.pth'},{two / 'bare.pth'}")
    assert network.name.startswith("vgg16-lpips-0.1-pooled-like-")
    images = pictures(3, 40, 24)
    want = activations(vgg_weights(), as_torch(images))[-1].mean((2, 3))
    assert network.size == CHANNELS[-1]
    np.testing.assert_allclose(network(images), want, rtol=1e-4, atol=1e-5)


def test_the_published_weights_have_the_published_name(two, monkeypatch):
    row = b"".join(w.tobytes() for w in linear_weights().values())
    monkeypatch.setattr(lpips, "PUBLISHED", CHANNELS)
    assert "like" in lpips.load_lpips(two).name  # other layers of LPIPS' own
    monkeypatch.setattr(lpips, "LINEAR", hashlib.sha256(row).hexdigest())
    assert lpips.load_lpips(two).name == "vgg16-lpips-0.1"
    bare = lpips.load_lpips(f"{two / 'bare.pth'},{two / 'vgg.pth'}")
    assert bare.name == "vgg16-lpips-0.1-pooled"


def test_pairs_that_are_no_lpips(two, tmp_path):
    vgg, linear = two / "vgg16-397923af.pth", two / "vgg.pth"
    short = linear_weights()
    short["lin2.model.1.weight"] = short["lin2.model.1.weight"][:, 1:].copy()
    writer.save(tmp_path / "short.pth", short)
    missing = vgg_weights()
    del missing["features.28.bias"]
    writer.save(tmp_path / "missing.pth", missing)
    odd = vgg_weights() | {"classifier.0.weight": np.zeros((HIDDEN, 25), "f4")}
    writer.save(tmp_path / "odd.pth", odd)
    for place, words in (
        (f"{vgg},{vgg}", "none has LPIPS' own layers"),
        (f"{linear},{linear}", "both has|both have|both"),
        (f"{vgg},{linear},{vgg}", "names 3 files"),
        (str(tmp_path), "holds 0 of the two files"),
        (str(vgg), "holds 1 of the two files"),
        (f"{vgg},{tmp_path / 'no.pth'}", "does not exist"),
        (f"{vgg},{tmp_path / 'short.pth'}", "lin2.model.1.weight has shape"),
        (f"{tmp_path / 'missing.pth'},{linear}", "features.28.bias is missing"),
        (f"{tmp_path / 'odd.pth'},{linear}", "whose classifier takes 25"),
    ):
        with pytest.raises(UserError, match=words):
            lpips.load_lpips(place)
