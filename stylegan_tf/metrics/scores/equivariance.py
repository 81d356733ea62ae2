"""Equivariance in decibels (Karras et al. 2021, section 2.2 and appendix E).

A generator is equivariant if its image shifts or rotates as its input does.
The score is the peak signal-to-noise ratio between the image of the transformed input
and the transformed image, 10 log10(2^2 / mean squared error), over the pixels that both
determine: whole pixels shift exactly, other shifts are sinc interpolations in a Lanczos
window, and a rotation keeps only the frequencies that both grids can hold.
"""

import numpy as np
import tensorflow as tf

REACH = 3  # pixels, half of the Lanczos window
SPAN = 2 * REACH  # pixels, half of a rotation's filter
FINE = 4  # samples per pixel of a rotated image's source
TAPS = 2 * SPAN + 1

Masked = tuple[tf.Tensor, tf.Tensor]


def squared_errors(
    images: tf.Tensor, expected: tf.Tensor, mask: tf.Tensor
) -> tf.Tensor:
    """Returns each image's sum of squared errors, and its number of values, [N, 2].

    Args:
        images: float [N, H, W, C].
        expected: float [N, H, W, C].
        mask: float [N, H, W, 1], 1 where pixels count.
    """
    errors = tf.reduce_sum(tf.square(images - expected) * mask, axis=[1, 2, 3])
    return tf.stack([errors, tf.reduce_sum(mask, [1, 2, 3]) * images.shape[-1]], axis=1)


def decibels(rows: np.ndarray) -> float:
    """Returns the peak signal-to-noise ratio of the rows of `squared_errors`.

    Raises:
        ValueError: no pixel counts.
    """
    errors, count = np.sum(rows, axis=0, dtype=np.float64)
    if not count:
        raise ValueError("the pictures are too small: no pixel is free of borders")
    return float(10 * np.log10(4 / max(errors / count, 1e-20)))


# ---------------------------------------------------------------------------
# Shifts


def shifted(images: tf.Tensor, shift: tf.Tensor, whole: bool) -> Masked:
    """Shifts images, zeros coming in.

    Args:
        images: float32 [N, H, W, C].
        shift: float32 [N, 2], pixels to the right and down.
        whole: the shifts are whole pixels; else pixels less than a window from the
            border do not count.

    Returns:
        The images, and a mask [N, H, W, 1] of the pixels that count.
    """
    rows, row_mask = _shift_matrix(images.shape[1], shift[:, 1], whole)
    columns, column_mask = _shift_matrix(images.shape[2], shift[:, 0], whole)
    images = tf.einsum("npq,nqwc->npwc", rows, images)
    images = tf.einsum("npq,nhqc->nhpc", columns, images)
    return images, (row_mask[:, :, None] * column_mask[:, None])[..., None]


def _shift_matrix(side: int, shift: tf.Tensor, whole: bool) -> Masked:
    """Interpolation along an axis, [N, side, side], and its valid places, [N, side]."""
    i = tf.range(side, dtype=tf.float32)
    source = i - shift[:, None]  # [N, side]
    u = source[:, :, None] - i
    weights = tf.where(tf.abs(u) < REACH, _sinc(u) * _sinc(u / REACH), 0.0)
    before = tf.range(1 - REACH, REACH + 1, dtype=tf.float32)  # all taps, none cut off
    u = (source - tf.floor(source))[:, :, None] - before
    total = tf.reduce_sum(
        tf.where(tf.abs(u) < REACH, _sinc(u) * _sinc(u / REACH), 0.0), axis=-1
    )
    border = 0 if whole else REACH - 1
    inside = (source >= border) & (source <= side - 1 - border)
    return weights / total[:, :, None], tf.cast(inside, tf.float32)


def _sinc(x: tf.Tensor) -> tf.Tensor:
    """Returns sin(pi x) / (pi x), and exactly 0 at whole numbers but 0."""
    safe = tf.where(x == 0, 1.0, np.pi * x)
    value = tf.where(x == tf.round(x), 0.0, tf.sin(safe) / safe)
    return tf.where(x == 0, 1.0, value)


# ---------------------------------------------------------------------------
# Rotations: M = [[cos, sin], [-sin, cos]] takes a place of the image, from its center,
# to its place in the rotated one (counterclockwise, as y points down).


def band_filter(angle: float) -> np.ndarray:
    """Returns the filter of the frequencies that two square grids can both hold.

    The ideal filter is the Fourier transform of the octagon in which the bands of the
    pixel grid and of the grid turned by `angle` overlap. Its window is the convolution
    of the Lanczos windows of both grids.

    Args:
        angle: radians; the turned grid's axes are (cos, sin) and (-sin, cos).

    Returns:
        float64 [2 SPAN FINE + 1, 2 SPAN FINE + 1], FINE samples per pixel, row y and
        column x.
    """
    from scipy import signal

    at = np.arange(-SPAN * FINE, SPAN * FINE + 1) / FINE
    y, x = np.meshgrid(at, at, indexing="ij")
    c, s = np.cos(angle), np.sin(angle)
    window = signal.fftconvolve(
        _lanczos(x) * _lanczos(y),
        _lanczos(c * x + s * y) * _lanczos(c * y - s * x),
        "same",
    )
    return _octagon_transform(x, y, angle) * window / window.max()


def _lanczos(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < REACH, np.sinc(x / REACH), 0)


def _octagon_transform(x: np.ndarray, y: np.ndarray, angle: float) -> np.ndarray:
    """The integral of exp(2 pi i f.x) over the octagon, by the divergence theorem.

    All edges are 1/2 from the origin. With normals n, midpoints m and lengths l it is
    the sum of (n.x) l exp(2 pi i m.x) sinc(l t.x) / (2 pi i x.x) over the edges.
    """
    turn = angle % (np.pi / 2)
    normals = np.arange(4) * np.pi / 2
    if min(turn, np.pi / 2 - turn) > 1e-6:
        normals = np.sort(np.concatenate([normals, normals + turn]))
    gaps = np.diff(normals, append=normals[0] + 2 * np.pi)
    after, before = np.tan(gaps / 2) / 2, np.tan(np.roll(gaps, 1) / 2) / 2
    square = np.where(x**2 + y**2 < 1e-12, 1, x**2 + y**2)
    total = np.zeros_like(x)
    for a, up, down in zip(normals, after, before, strict=True):
        across, along = np.cos(a) * x + np.sin(a) * y, np.cos(a) * y - np.sin(a) * x
        length, middle = up + down, across / 2 + along * (up - down) / 2
        wave = np.sin(2 * np.pi * middle)  # the other half of the octagon cancels cos
        total += across * length * wave * np.sinc(length * along) / (2 * np.pi * square)
    area = np.sum(after + before) / 4
    return np.where(x**2 + y**2 < 1e-12, area, total)


def rotation_kernels(angle: float) -> dict[str, np.ndarray]:
    """Returns the filters of `rotated` and `band_limited` for degrees.

    Returns:
        "fine", float32 [TAPS, TAPS, FINE^2], a kernel per place between pixels; and
        "same", float32 [TAPS, TAPS, 1]. Each has a sum of 1.
    """
    radians = np.deg2rad(angle)
    fine = np.pad(band_filter(radians), (0, FINE - 1))  # of the image's own grid
    taps = FINE * np.arange(TAPS)[::-1]
    phases = [
        fine[np.ix_(taps + i, taps + j)] for i in range(FINE) for j in range(FINE)
    ]
    same = band_filter(-radians)[::-FINE, ::-FINE]  # of the rotated image's grid
    kernels = {"fine": np.stack(phases, axis=-1), "same": same[..., None]}
    return {
        name: (k / k.sum(axis=(0, 1))).astype(np.float32) for name, k in kernels.items()
    }


def rotated(images: tf.Tensor, angles: tf.Tensor, kernels: tf.Tensor) -> Masked:
    """Rotates images around their centers.

    Args:
        images: float32 [N, S, S, C].
        angles: float32 [N], degrees, counterclockwise.
        kernels: float32 [N, TAPS, TAPS, FINE^2], "fine" of `rotation_kernels`.

    Returns:
        The images, and a mask [N, S, S, 1] of the pixels whose filters fit.
    """
    side = images.shape[1]
    center = (side - 1) / 2
    i = tf.range(side, dtype=tf.float32) - center
    a = angles[:, None, None] * (np.pi / 180)
    c, s = tf.cos(a), tf.sin(a)
    x = c * i - s * i[:, None] + center  # [N, S, S], where each pixel comes from
    y = s * i + c * i[:, None] + center

    def inside(v):
        return tf.cast((v >= SPAN) & (v <= side - 1 - SPAN), tf.float32)

    def rotate(parts):
        image, kernel, x, y = parts
        fine = tf.nn.conv2d(
            tf.transpose(image[None], [3, 1, 2, 0]), kernel[:, :, None], 1, "SAME"
        )
        fine = tf.nn.depth_to_space(fine, FINE)  # [C, FINE S, FINE S, 1]
        return _bilinear(tf.transpose(fine[..., 0], [1, 2, 0]), FINE * x, FINE * y)

    turned = tf.map_fn(rotate, (images, kernels, x, y), fn_output_signature=tf.float32)
    return tf.ensure_shape(turned, images.shape), (inside(x) * inside(y))[..., None]


def _bilinear(image: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Samples an image [H, W, C] at places [...] in pixels, clipped to the image."""
    h, w = image.shape[:2]
    x0 = tf.clip_by_value(tf.floor(x), 0, w - 2)
    y0 = tf.clip_by_value(tf.floor(y), 0, h - 2)
    right, down = (x - x0)[..., None], (y - y0)[..., None]
    x0, y0 = tf.cast(x0, tf.int32), tf.cast(y0, tf.int32)

    def pixel(dy, dx):
        return tf.gather_nd(image, tf.stack([y0 + dy, x0 + dx], axis=-1))

    top = pixel(0, 0) * (1 - right) + pixel(0, 1) * right
    bottom = pixel(1, 0) * (1 - right) + pixel(1, 1) * right
    return top * (1 - down) + bottom * down


def band_limited(images: tf.Tensor, kernels: tf.Tensor) -> Masked:
    """Removes the frequencies that a rotation into these images cannot bring.

    Args:
        images: float32 [N, S, S, C].
        kernels: float32 [N, TAPS, TAPS, 1], "same" of `rotation_kernels`.

    Returns:
        The images, and a mask [N, S, S, 1] of the pixels whose filters fit.
    """

    def smooth(parts):
        image, kernel = parts
        planes = tf.transpose(image[None], [3, 1, 2, 0])
        out = tf.nn.conv2d(planes, kernel[:, :, None], 1, "SAME")
        return tf.transpose(out[..., 0], [1, 2, 0])

    out = tf.map_fn(smooth, (images, kernels), fn_output_signature=tf.float32)
    side = images.shape[1]
    i = tf.range(side)
    inside = tf.cast((i >= SPAN) & (i < side - SPAN), tf.float32)
    mask = (inside[:, None] * inside)[None, ..., None]
    return tf.ensure_shape(out, images.shape), mask
