"""sampling/fast_cpu.py: the numbers of the plain networks."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tiny
from golden import load
from test_networks import GENERATORS, VARIANTS, generator, labels, nchw, nhwc, pairs

from stylegan_tf import sampling
from stylegan_tf.networks import convolutions
from stylegan_tf.networks.generator import Generator
from stylegan_tf.sampling import fast_cpu, renderer
from stylegan_tf.sampling.fast_cpu import Doubling, Winograd

RNG = np.random.default_rng(3)


def normal(*shape) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def check(found, expected, tolerance: float = 2e-6) -> None:
    """The largest error, beside the numbers' size."""
    assert found.shape == expected.shape
    error = np.abs(np.asarray(found) - np.asarray(expected)).max()
    assert error <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("shape", [(8, 8), (4, 12), (5, 4)])
def test_winograd_is_the_convolution(shape):
    x, kernel = normal(1, *shape, 6), normal(3, 3, 6, 5)
    check(Winograd(kernel)(tf.constant(x)), convolutions.conv(x, kernel).numpy())


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (1, 2)])
def test_doubling_is_the_convolution_of_doubled_pixels(shape):
    x, kernel = normal(1, *shape, 6), normal(3, 3, 6, 5)
    doubled = x.repeat(2, axis=1).repeat(2, axis=2)
    check(Doubling(kernel)(tf.constant(x)), convolutions.conv(doubled, kernel).numpy())


# ---------------------------------------------------------------------------
# The whole network, against the official numbers


def drawn(synthesis, ws, noise="const", maps=()) -> np.ndarray:
    """Pictures one by one, [N, C, H, W]."""
    draw = tf.function(
        fast_cpu.SingleImageSynthesis(synthesis, synthesis.config.resolution, noise)
    )
    rows = [[m[i : i + 1] if len(m) > 1 else m for m in maps] for i in range(len(ws))]
    pictures = [draw(ws[i : i + 1], own) for i, own in enumerate(rows)]
    return nchw(np.concatenate(pictures))


@pytest.mark.parametrize("case, name", pairs(GENERATORS, "out/images/"))
def test_official_images(case, name):
    golden, g = load(case), generator(case)
    if not fast_cpu.supports(g.config):
        pytest.skip("a rung of the ladder that `fast_cpu` does not support")
    how = dict(VARIANTS.get(name, {}))
    noise, maps = how.pop("noise", "const"), []
    if name == "explicit_noise":
        maps = [nhwc(golden[f"in/noise{i}"]) for i in range(g.config.num_layers)]
    ws = g.broadcast(g.mapping(golden["in/z"], labels(golden)))
    ws = g.truncate(ws, how.pop("psi", 1.0), how.pop("cutoff", None))
    assert not how
    golden.check(f"out/images/{name}", drawn(g.synthesis, ws, noise, maps))


# ---------------------------------------------------------------------------
# As `sampling` uses it


def small(**changes) -> Generator:
    config = dataclasses.replace(tiny.config().generator, **changes)
    return tiny.noisy(Generator(config))


def pictures(model, seeds, **how) -> np.ndarray:
    return np.stack([p for _, p in sampling.draw(model, seeds, psi=0.7, **how)])


@pytest.mark.parametrize("noise", ["const", "random", "none"])
@pytest.mark.parametrize("start", [(4, 4), (5, 6)])
def test_pictures_are_those_of_the_batch(monkeypatch, noise, start):
    model = small(start_shape=start, channels=4, noise_lrmul=0.5)
    assert sampling.batch_size(model) == sampling.BATCH
    expected = pictures(model, range(11), noise=noise)
    monkeypatch.setattr(renderer, "SMALL", 0)
    assert sampling.batch_size(model) == 1
    found = pictures(model, range(11), noise=noise)
    np.testing.assert_allclose(found.astype(int), expected, atol=1)
    np.testing.assert_array_equal(pictures(model, [9, 3], noise=noise), found[[9, 3]])


def test_stored_maps_that_are_given_are_the_stored_maps(monkeypatch):
    """To the bit: the explorer gives them, `generate` does not."""
    model = small()
    monkeypatch.setattr(renderer, "SMALL", 0)
    render, ws = sampling.Renderer(model), sampling.styles(model, [1, 2])
    maps = sampling.stored_noise(model)
    np.testing.assert_array_equal(render(ws, maps), render(ws))
    none = [np.zeros_like(m) for m in maps]
    without = sampling.Renderer(model, "none")(ws)
    np.testing.assert_array_equal(render(ws, none), without)
    assert np.any(without != render(ws))


@pytest.mark.parametrize(
    "change",
    [
        {"use_pixel_norm": True},
        {"noise_position": "after_adain"},
        {"use_instance_norm": False},
        {"const_input": False},
        {"architecture": "skip"},
    ],
)
def test_other_networks_are_drawn_alone_by_themselves(monkeypatch, change):
    model = small(**change)
    expected = pictures(model, [4, 5])
    assert not fast_cpu.supports(model.config)
    monkeypatch.setattr(renderer, "SMALL", 0)
    np.testing.assert_allclose(pictures(model, [4, 5]).astype(int), expected, atol=1)


def test_batches_follow_from_the_size():
    """18 multiplications a pixel and pair of maps: 16 + 64 pixels, 8 maps."""
    model = Generator(tiny.config().generator)
    assert sampling.image_multiplications(model, 8) == 18 * (16 + 64) * 8 * 8
    wide = tiny.config({"generator.fmap_base": 8192, "generator.fmap_max": 512})
    wide = Generator(wide.generator)
    assert [sampling.batch_size(m) for m in (model, wide)] == [sampling.BATCH] * 2
    assert sampling.image_multiplications(wide, 32) > sampling.SMALL
