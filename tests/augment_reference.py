"""Augmentation written a second time: one picture, NumPy, float64, plain loops.

Different from the package wherever it can be: forward matrices inverted at the end,
convolutions of padded rows, colors as vectors, bands of the spectrum by FFT.
"""

from statistics import NormalDist

import numpy as np

from stylegan_tf.augment import randomness, wavelets

TAPS = np.array(wavelets.SYM6)


def numbers(row, name):
    first = randomness.OFFSETS[name]
    return [float(u) for u in row[first : first + randomness.NUMBERS[name]]]


def normal(u, deviation=1.0):
    return deviation * NormalDist().inv_cdf(u)


def row(**wanted):
    """A row of uniforms with which only the wanted operations happen, at p = 0.5.

    row(flip=0.7) gives the flip the parameter 0.7; all others are gated off.
    """
    out = np.full(randomness.UNIFORMS, 0.97, np.float32)
    for name, parameters in wanted.items():
        first = randomness.OFFSETS[name]
        values = (0.01, *np.atleast_1d(parameters))
        assert len(values) == randomness.NUMBERS[name]
        out[first : first + len(values)] = values
    return out


# ---------------------------------------------------------------------------
# Geometry


def forward_matrix(row, p, height, width, groups):
    total = np.eye(3)
    for name in ("flip", "turn", "shift") if "blit" in groups else ():
        gate, *parameters = numbers(row, name)
        if gate < p:
            total = BLITS[name](height, width, *parameters) @ total
    rotation = 1 - np.sqrt(max(1 - p, 0))
    for name in TRANSFORMS if "geom" in groups else ():
        gate, *parameters = numbers(row, name)
        if gate < (rotation if "rotation" in name else p):
            total = TRANSFORMS[name](height, width, *parameters) @ total
    return total


def affine(a, b, x, c, d, y):
    return np.array([[a, b, x], [c, d, y], [0, 0, 1.0]])


def turned(angle):
    c, s = np.cos(angle), np.sin(angle)
    return affine(c, -s, 0, s, c, 0)


def rotation(h, w, u):
    return turned(2 * np.pi * (u - 0.5))


def shift(h, w, u, v):
    return affine(1, 0, round((u - 0.5) / 4 * w), 0, 1, round((v - 0.5) / 4 * h))


def slide(h, w, u, v):
    return affine(1, 0, normal(u, w / 8), 0, 1, normal(v, h / 8))


def scale(h, w, u):
    return np.diag([2 ** normal(u, 0.2)] * 2 + [1])


def stretch(h, w, u):
    s = 2 ** normal(u, 0.2)
    return np.diag([s, 1 / s, 1])


BLITS = {
    "flip": lambda h, w, u: np.diag([-1.0 if u > 0.5 else 1.0, 1, 1]),
    "turn": lambda h, w, u: turned(int(4 * u) * np.pi / 2),
    "shift": shift,
}
TRANSFORMS = {
    "scale": scale,
    "rotation_before": rotation,
    "stretch": stretch,
    "rotation_after": rotation,
    "slide": slide,
}


def mirrored(image, border, axis):
    """Reflected at the border pixels as often as `border` needs."""
    size = image.shape[axis]
    order = [*range(size), *range(size - 2, 0, -1)]  # one period
    index = [order[i % len(order)] for i in range(-border, size + border)]
    return np.take(image, index, axis)


def enlarged(image, axis):
    """Zeros between the pixels of the mirrored picture, then the filter.

    Fine point j stands at index j + 6, with 6 points before the first pixel.
    """
    padded = mirrored(image, 12, axis)
    zeros = np.zeros_like(np.repeat(padded, 2, axis))
    np.moveaxis(zeros, axis, 0)[::2] = np.moveaxis(padded, axis, 0)
    smooth = np.apply_along_axis(np.convolve, axis, zeros, TAPS * np.sqrt(2))
    start, count = 24 + 5 - 6, 2 * image.shape[axis] + 12
    return np.take(smooth, range(start, start + count), axis)


def reduced(fine, axis):
    filtered = np.apply_along_axis(np.correlate, axis, fine, TAPS / np.sqrt(2), "valid")
    return np.moveaxis(np.moveaxis(filtered, axis, 0)[::2], 0, axis)


def resample(image, inverse):
    h, w, c = image.shape
    fine = enlarged(enlarged(image, 0), 1)
    center = np.sum(TAPS * np.arange(12)) / np.sum(TAPS) - 5
    out = np.zeros([2 * h + 10, 2 * w + 10, c])
    for i in range(2 * h + 10):
        for j in range(2 * w + 10):
            q = [(j - 5 - center) / 2 - (w - 1) / 2, (i - 5 - center) / 2 - (h - 1) / 2]
            x, y, _ = inverse @ [*q, 1]
            x = fine_index(x + (w - 1) / 2, w, center)
            y = fine_index(y + (h - 1) / 2, h, center)
            out[i, j] = bilinear(fine, y, x)
    return reduced(reduced(out, 0), 1)


def fine_index(x, size, center):
    if not -5.5 < 2 * x + center < 2 * size + 4.5:
        while not 0 <= x <= size - 1:
            x = (-x if x < 0 else 2 * (size - 1) - x) if size > 1 else 0
    return 2 * x + center + 6


def bilinear(fine, y, x):
    i, j = int(np.floor(y)), int(np.floor(x))
    above = fine[i, j] + (x - j) * (fine[i, j + 1] - fine[i, j])
    below = fine[i + 1, j] + (x - j) * (fine[i + 1, j + 1] - fine[i + 1, j])
    return above + (y - i) * (below - above)


# ---------------------------------------------------------------------------
# Colors, one pixel at a time


def recolor(image, row, p):
    out = image.copy()
    for at in np.ndindex(image.shape[:2]):
        color = np.full(3, image[at][0]) if image.shape[2] == 1 else image[at][:3]
        for name, change in COLORS.items():
            gate, u = numbers(row, name)
            if gate < p and not (image.shape[2] == 1 and name in ("hue", "saturation")):
                color = change(color, u)
        out[at][:3] = color.mean() if image.shape[2] == 1 else color
    return out


def turned_hue(color, u):
    axis, angle = np.ones(3) / np.sqrt(3), 2 * np.pi * (u - 0.5)
    along = axis * (axis @ color)
    across = color - along
    return along + across * np.cos(angle) + np.cross(axis, across) * np.sin(angle)


COLORS = {
    "brightness": lambda v, u: v + normal(u, 0.2),
    "contrast": lambda v, u: v * 2 ** normal(u, 0.5),
    "luma_flip": lambda v, u: v - 2 * v.mean() if u > 0.5 else v,
    "hue": turned_hue,
    "saturation": lambda v, u: v.mean() + (v - v.mean()) * 2 ** normal(u),
}


# ---------------------------------------------------------------------------
# Bands, cutout, the whole pipeline (noise excepted)


def band_responses(frequencies):
    """[4, F]: products of half-band responses at w, 2w, 4w, lowest first."""

    def low(w):
        h = sum(t * np.exp(-1j * w * k) for k, t in enumerate(wavelets.SYM2))
        return np.abs(h) ** 2 / 2

    a, b, c = (low(k * frequencies) for k in (1, 2, 4))
    return np.stack([a * b * c, a * b * (1 - c), a * (1 - b), 1 - a])


def band_gains(row, p):
    gains = np.ones(4)
    power = np.array([10, 1, 1, 1]) / 13
    for band in range(4):
        gate, u = numbers(row, f"band{band}")
        if gate < p:
            t = np.ones(4)
            t[band] = 2 ** normal(u)
            gains *= t / np.sqrt(np.sum(power * t**2))
    return gains


def filtered(image, row, p):
    for axis in (0, 1):
        size = image.shape[axis]
        period = mirrored(image, size - 2, axis)  # ends one short of where it began
        period = np.take(period, range(size - 2, 3 * size - 4), axis)
        frequencies = 2 * np.pi * np.fft.fftfreq(2 * size - 2)
        response = band_gains(row, p) @ band_responses(frequencies)
        shape = [-1 if a == axis else 1 for a in range(3)]
        spectrum = np.fft.fft(period, axis=axis) * response.reshape(shape)
        image = np.take(np.fft.ifft(spectrum, axis=axis).real, range(size), axis)
    return image


def cutout(image, row, p):
    gate, u, v = numbers(row, "cutout")
    out = image.copy()
    h, w = image.shape[:2]
    for i, j in np.ndindex(h, w):
        hit = abs(i + 0.5 - v * h) < h / 4 and abs(j + 0.5 - u * w) < w / 4
        if gate < p and hit:
            out[i, j] = 0
    return out


def ada(image, row, p, groups):
    if "blit" in groups or "geom" in groups:
        matrix = forward_matrix(row, p, *image.shape[:2], groups)
        if not np.array_equal(matrix, np.eye(3)):
            image = resample(image, np.linalg.inv(matrix))
    image = recolor(image, row, p) if "color" in groups else image
    image = filtered(image, row, p) if "filter" in groups else image
    return cutout(image, row, p) if "cutout" in groups else image


# ---------------------------------------------------------------------------
# DiffAugment


def diff_color(image, row):
    brightness, saturation, contrast = (
        numbers(row, name)[1] for name in ("brightness", "saturation", "contrast")
    )
    out = image[:, :, :3] + brightness - 0.5
    if out.shape[2] == 3:
        for at in np.ndindex(out.shape[:2]):
            out[at] = out[at].mean() + (out[at] - out[at].mean()) * 2 * saturation
    out = out.mean() + (out - out.mean()) * (contrast + 0.5)
    return np.concatenate([out, image[:, :, 3:]], axis=2)


def diff_translation(image, row):
    h, w = image.shape[:2]
    _, u, v = numbers(row, "shift")
    most_x, most_y = int(w / 8 + 0.5), int(h / 8 + 0.5)
    x, y = int(u * (2 * most_x + 1)) - most_x, int(v * (2 * most_y + 1)) - most_y
    out = np.zeros_like(image)
    for i, j in np.ndindex(h, w):
        if 0 <= i + y < h and 0 <= j + x < w:
            out[i + y, j + x] = image[i, j]
    return out


def diff_cutout(image, row):
    _, u, v = numbers(row, "cutout")
    out = image.copy()
    corner = []
    for number, size in ((v, image.shape[0]), (u, image.shape[1])):
        side = int(size / 2 + 0.5)
        corner.append((int(number * (size + (side % 2 == 0))) - side // 2, side))
    (top, height), (left, width) = corner
    out[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = 0
    return out


DIFFAUGMENT = {
    "color": diff_color,
    "translation": diff_translation,
    "cutout": diff_cutout,
}


def diffaugment(image, row, policy):
    for name in policy:
        image = DIFFAUGMENT[name](image, row)
    return image
