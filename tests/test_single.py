"""networks/single.py, networks/short.py: the numbers of the plain networks."""

import numpy as np
import pytest
import tensorflow as tf
from golden import load
from test_networks import GENERATORS, VARIANTS, generator, labels, nchw, nhwc, pairs

from stylegan_tf import ops
from stylegan_tf.networks import single
from stylegan_tf.networks.short import Doubling, Winograd

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
    check(Winograd(kernel)(tf.constant(x)), ops.conv(x, kernel).numpy())


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (1, 2)])
def test_doubling_is_the_convolution_of_doubled_pixels(shape):
    x, kernel = normal(1, *shape, 6), normal(3, 3, 6, 5)
    doubled = x.repeat(2, axis=1).repeat(2, axis=2)
    check(Doubling(kernel)(tf.constant(x)), ops.conv(doubled, kernel).numpy())


# ---------------------------------------------------------------------------
# The whole network, against the official numbers


def drawn(synthesis, ws, noise="const", maps=()) -> np.ndarray:
    """Pictures one by one, [N, C, H, W]."""
    draw = tf.function(single.Single(synthesis, synthesis.config.resolution, noise))
    rows = [[m[i : i + 1] if len(m) > 1 else m for m in maps] for i in range(len(ws))]
    pictures = [draw(ws[i : i + 1], own) for i, own in enumerate(rows)]
    return nchw(np.concatenate(pictures))


@pytest.mark.parametrize("case, name", pairs(GENERATORS, "out/images/"))
def test_official_images(case, name):
    golden, g = load(case), generator(case)
    if not single.suits(g.config):
        pytest.skip("a rung of the ladder that Single does not draw")
    how = dict(VARIANTS.get(name, {}))
    noise, maps = how.pop("noise", "const"), []
    if name == "explicit_noise":
        maps = [nhwc(golden[f"in/noise{i}"]) for i in range(g.config.num_layers)]
    ws = g.broadcast(g.mapping(golden["in/z"], labels(golden)))
    ws = g.truncate(ws, how.pop("psi", 1.0), how.pop("cutoff", None))
    assert not how
    golden.check(f"out/images/{name}", drawn(g.synthesis, ws, noise, maps))
