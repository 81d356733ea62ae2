"""ADA's colors against vectors in NumPy, pixel by pixel."""

import augment_reference as reference
import numpy as np
import pytest
import tensorflow as tf

from stylegan_tf.augment import randomness, transforms
from stylegan_tf.augment.ada import ada
from stylegan_tf.errors import UserError

CASES = {
    "darker": {"brightness": 0.2},
    "brighter": {"brightness": 0.9},
    "more contrast": {"contrast": 0.8},
    "less contrast": {"contrast": 0.1},
    "luma flip": {"luma_flip": 0.7},
    "hue": {"hue": 0.6},
    "opposite hue": {"hue": 0.999},
    "saturated": {"saturation": 0.9},
    "pale": {"saturation": 0.05},
}
CASES["everything"] = {
    k: v for case in list(CASES.values())[::2] for k, v in case.items()
}


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("case", CASES)
def test_values(case, channels):
    row = reference.row(**CASES[case])
    image = np.random.default_rng(0).uniform(-1, 1, size=(5, 4, channels))
    actual = ada(image[None].astype("f4"), row[None], 0.5, "color")[0]
    np.testing.assert_allclose(actual, reference.recolor(image, row, 0.5), atol=5e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_random_numbers(channels):
    table = randomness.sample_uniforms(60, [1, 2])
    images = np.random.default_rng(0).uniform(-1, 1, size=(60, 2, 2, channels))
    actual = ada(images.astype("f4"), table, 0.7, "color")
    for image, row, y in zip(images, table.numpy(), actual, strict=True):
        np.testing.assert_allclose(y, reference.recolor(image, row, 0.7), atol=5e-5)


def test_alpha_is_left_alone():
    images = np.random.default_rng(0).uniform(-1, 1, size=(20, 3, 3, 4)).astype("f4")
    y = ada(images, randomness.sample_uniforms(20, [1, 2]), 1.0, "color").numpy()
    np.testing.assert_array_equal(y[..., 3], images[..., 3])
    assert (y[..., :3] != images[..., :3]).mean() > 0.99


def test_probabilities():
    p, table = 0.3, randomness.sample_uniforms(20000, [7, 8])
    for channels, operations in ((3, 4), (1, 2)):  # and half of the luma flips
        changed = transforms.differs_from_identity(
            transforms.color_matrix(table, p, channels)
        ).numpy()
        expected = 1 - (1 - p) ** operations * (1 - p / 2)
        assert changed.mean() == pytest.approx(expected, abs=0.01)


def test_hue_and_saturation_keep_gray_and_luma():
    rows = np.stack([reference.row(hue=0.7, saturation=0.8)])
    images = np.random.default_rng(0).uniform(-1, 1, size=(1, 4, 4, 3)).astype("f4")
    y = ada(images, rows, 0.5, "color")
    np.testing.assert_allclose(np.mean(y, -1), images.mean(axis=-1), atol=1e-6)
    gray = tf.repeat(images[..., :1], 3, axis=-1)
    np.testing.assert_allclose(ada(gray, rows, 0.5, "color"), gray, atol=1e-6)


def test_other_channels_are_refused():
    with pytest.raises(UserError, match="2 channels"):
        transforms.split_alpha(tf.zeros([1, 4, 4, 2]))
