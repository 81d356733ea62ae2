"""sampling.py: a seed is a picture, whatever is drawn beside it."""

import numpy as np
import pytest
import tensorflow as tf
import tiny

from stylegan_tf import figures, latents, sampling
from stylegan_tf.errors import UserError
from stylegan_tf.networks.generator import Generator


def generator(changes=None) -> Generator:
    return tiny.noisy(Generator(tiny.config(changes).generator))


@pytest.fixture(scope="module")
def model():
    return generator()


def pictures(model, seeds, **options) -> dict[int, np.ndarray]:
    return dict(sampling.draw(model, seeds, **options))


@pytest.mark.parametrize("noise", ["const", "random"])
def test_a_seed_is_the_same_picture_in_every_batch(model, noise):
    many = pictures(model, range(11), psi=0.7, noise=noise)
    assert list(many) == list(range(11))
    for seeds in ([9], [10, 3, 9]):
        for seed, picture in pictures(model, seeds, psi=0.7, noise=noise).items():
            np.testing.assert_array_equal(picture, many[seed])
    assert np.any(many[0] != many[1])


def test_pictures_are_those_of_the_generator(model):
    drawn = pictures(model, [4, 7], psi=0.5, cutoff=2)
    z = tf.constant(latents.z_of([4, 7], 8))
    expected = figures.to_uint8(model(z, psi=0.5, cutoff=2, noise="const"))
    found = np.stack([drawn[4], drawn[7]])
    assert (found.dtype, found.shape) == (np.uint8, (2, 8, 8, 3))
    np.testing.assert_allclose(found.astype(int), expected, atol=1)


def test_noise_modes_and_resolutions_differ(model):
    const, random, none = (
        pictures(model, [1], noise=noise)[1] for noise in ("const", "random", "none")
    )
    assert np.any(const != random) and np.any(const != none) and np.any(random != none)
    again = pictures(model, [1], noise="random")[1]
    np.testing.assert_array_equal(again, random)
    assert pictures(model, [1], resolution=4, noise="random")[1].shape == (4, 4, 3)


def test_psi_zero_is_one_picture(model):
    drawn = pictures(model, [1, 2], psi=0.0)
    np.testing.assert_array_equal(drawn[1], drawn[2])


def test_random_noise_of_a_model_that_has_none():
    plain = Generator(tiny.config({"generator.use_noise": False}).generator)
    np.testing.assert_array_equal(
        pictures(plain, [1], noise="random")[1], pictures(plain, [1], noise="none")[1]
    )


def test_classes_take_turns():
    model = generator({"classes": 3})
    seeds = [5] * 6
    turns = [p for _, p in sampling.draw(model, seeds)]
    for i in range(3):
        np.testing.assert_array_equal(turns[i], turns[i + 3])
        assert np.any(turns[i] != turns[(i + 1) % 3])
    chosen = [p for _, p in sampling.draw(model, seeds[:3], classes=[2, 0])]
    for i, c in enumerate((2, 0, 2)):
        np.testing.assert_array_equal(chosen[i], turns[c])
    with pytest.raises(UserError, match="class 3 was asked for; the model has 0 to 2"):
        pictures(model, [1], classes=[0, 3])


def test_classes_of_a_model_without_any_are_refused(model):
    with pytest.raises(UserError, match="the model has no classes"):
        pictures(model, [1], classes=[0])
