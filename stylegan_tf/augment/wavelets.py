"""Wavelet filters as matrices that act on one axis of an image. No TensorFlow.

Karras et al. 2020, "Training GANs with limited data", appendix B: sym6 upsamples and
downsamples around a geometric transform, sym2 splits the spectrum into four bands. A
matrix includes its border, so any size works, even one pixel.
"""

import functools

import numpy as np

# Least asymmetric orthogonal wavelets (Daubechies 1992, section 6.4) with 2 and 6
# vanishing moments: the low-pass filter h, sum h = sqrt 2, sum h^2 = 1, orthogonal to
# its own even shifts.
SYM2 = (
    -0.12940952255092145,
    0.22414386804185735,
    0.836516303737469,
    0.48296291314469025,
)
SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
BANDS = 4


def reflect(index: int | np.ndarray, size: int) -> np.ndarray:
    """Reflects integers into 0 ... size - 1, without repeating the border pixel."""
    period = max(2 * size - 2, 1)
    index = np.mod(index, period)
    return np.minimum(index, period - index) if size > 1 else index


# ---------------------------------------------------------------------------
# Twice the resolution and back. Point j of the fine axis is sum_i h[j - 2 i + 5] x[i],
# so that pixel i is centered at j = 2 i + CENTER, where h has its center of mass.

MARGIN = len(SYM6) // 2 - 1  # fine points before the first pixel that `down` reads
EDGE = MARGIN + 1  # fine points before the first pixel that `up` makes
CENTER = float(np.dot(SYM6, np.arange(len(SYM6))) / np.sum(SYM6)) - MARGIN  # 0.098


@functools.cache
def up(size: int) -> np.ndarray:
    """Returns the upsampling matrix [2 size + 2 EDGE, size], from point -EDGE on."""
    matrix = np.zeros([2 * size + 2 * EDGE, size])
    for row in range(len(matrix)):
        j = row - EDGE
        for tap in range((j + MARGIN) % 2, len(SYM6), 2):
            i = (j + MARGIN - tap) // 2
            matrix[row, reflect(i, size)] += np.sqrt(2) * SYM6[tap]
    return matrix.astype(np.float32)


@functools.cache
def down(size: int) -> np.ndarray:
    """Returns the downsampling matrix [size, 2 size + 2 MARGIN], from point -MARGIN on.

    The adjoint filter undoes `up` exactly, as h is orthogonal to its even shifts.
    """
    matrix = np.zeros([size, 2 * size + 2 * MARGIN])
    for i in range(size):
        matrix[i, 2 * i : 2 * i + len(SYM6)] = np.divide(SYM6, np.sqrt(2))
    return matrix.astype(np.float32)


# ---------------------------------------------------------------------------
# Four bands, [0, pi/8], [pi/8, pi/4], [pi/4, pi/2], [pi/2, pi], which add up to one


def band_filters() -> np.ndarray:
    """Returns symmetric kernels [4, 43] of the bands, lowest first.

    L = h * reversed(h) / 2 and H = delta - L are half-band filters; with z^k for
    zeros put between the taps, the bands are L(z) L(z^2) L(z^4), L(z) L(z^2) H(z^4),
    L(z) H(z^2) and H(z).
    """
    low = np.convolve(SYM2, SYM2[::-1]) / 2  # [7]
    high = -low
    high[3] += 1
    kernels, above = [], np.ones(1)
    for k in (1, 2, 4):
        kernels.insert(0, np.convolve(above, _spread(high, k)))
        above = np.convolve(above, _spread(low, k))
    kernels.insert(0, above)
    longest = len(above)
    return np.stack([np.pad(b, (longest - len(b)) // 2) for b in kernels])


def _spread(kernel: np.ndarray, k: int) -> np.ndarray:
    out = np.zeros(k * (len(kernel) - 1) + 1)
    out[::k] = kernel
    return out


@functools.cache
def bands(size: int) -> np.ndarray:
    """Returns band-pass matrices [4, size, size] of an axis with reflected borders."""
    kernels = band_filters()
    matrix = np.zeros([BANDS, size, size])
    reach = kernels.shape[1] // 2
    for i in range(size):
        for offset in range(-reach, reach + 1):
            matrix[:, i, reflect(i + offset, size)] += kernels[:, reach + offset]
    return matrix.astype(np.float32)
