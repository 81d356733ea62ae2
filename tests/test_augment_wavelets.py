"""The typed-in wavelets are what they are said to be, and so are their matrices."""

import numpy as np
import pytest

from stylegan_tf.augment import wavelets


@pytest.mark.parametrize("taps, moments", [(wavelets.SYM2, 2), (wavelets.SYM6, 6)])
def test_wavelets_are_orthonormal(taps, moments):
    h = np.array(taps)
    assert len(h) == 2 * moments
    np.testing.assert_allclose(h.sum(), np.sqrt(2), rtol=1e-10)
    for shift in range(0, len(h), 2):
        np.testing.assert_allclose(
            h[shift:] @ h[: len(h) - shift], float(shift == 0), atol=1e-10
        )
    # The high-pass filter is blind to polynomials: what defines the family.
    signs = (-1.0) ** np.arange(len(h))
    positions = np.arange(len(h)) / len(h)
    for k in range(moments):
        assert abs((signs * h) @ positions**k) < 1e-9


def test_sym2_has_a_closed_form():
    r = np.sqrt(3)
    exact = np.array([1 - r, 3 - r, 3 + r, 1 + r]) / (4 * np.sqrt(2))
    np.testing.assert_allclose(wavelets.SYM2, exact, atol=1e-11)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 32])
def test_down_undoes_up(size):
    up, down = wavelets.up(size), wavelets.down(size)
    inner = slice(wavelets.EDGE - wavelets.MARGIN, -1)
    np.testing.assert_allclose(down @ up[inner], np.eye(size), atol=1e-6)
    np.testing.assert_allclose(up.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(down.sum(axis=1), 1, atol=1e-6)


def test_up_keeps_positions():
    """A ramp stays a ramp: fine point j stands at pixel (j - CENTER) / 2."""
    j = np.arange(-wavelets.EDGE, 64 + wavelets.EDGE)
    fine = wavelets.up(32) @ np.arange(32)
    inside = (j > 12) & (j < 50)
    ramp = (j - wavelets.CENTER) / 2
    np.testing.assert_allclose(fine[inside], ramp[inside], atol=2e-2)
    pairs = fine[inside][:-1] + fine[inside][1:]  # odd and even filters off both ways
    np.testing.assert_allclose(pairs, (ramp[inside][:-1] + ramp[inside][1:]), atol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 5, 8, 64])
def test_bands_add_up_to_the_picture(size):
    np.testing.assert_allclose(
        wavelets.bands(size).sum(axis=0), np.eye(size), atol=1e-6
    )


def test_each_band_passes_its_octave():
    filters = wavelets.band_filters()
    assert filters.shape == (4, 43)
    np.testing.assert_allclose(filters, filters[:, ::-1], atol=1e-15)
    middles = np.pi * np.array([1 / 32, 3 / 16, 3 / 8, 7 / 8])
    waves = np.cos(np.outer(np.arange(-21, 22), middles))
    assert (np.diag(filters @ waves) > 0.7).all()
    np.testing.assert_allclose(filters.sum(axis=1), [1, 0, 0, 0], atol=1e-10)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_reflection_repeats_no_border(size):
    index = list(wavelets.reflect(np.arange(-4, 9), size))
    assert index[4 : 4 + size] == list(range(size))
    expected = {1: [0] * 13, 2: [0, 1] * 6 + [0]}
    expected[5] = [4, 3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1, 0]
    assert index == expected[size]
