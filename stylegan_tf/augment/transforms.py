"""ADA's transforms as matrices: geometry in the plane, colors in RGB space.

Karras et al. 2020, "Training GANs with limited data", appendix B. All geometric
transforms of an example make one matrix and one resampling, all color transforms one
matrix of its colors. Everything is linear in the images, so any order of derivative
exists.
"""

import math
from collections.abc import Collection

import numpy as np
import tensorflow as tf

from stylegan_tf.augment import wavelets
from stylegan_tf.augment.randomness import (
    gated,
    to_choice,
    to_normal,
    to_power_of_two,
    to_range,
)
from stylegan_tf.errors import UserError

Probability = float | tf.Tensor

TRANSLATION = 0.125  # of the image's size: limit if integer, else standard deviation
SCALE = 0.2  # standard deviation, octaves
BRIGHTNESS = 0.2  # standard deviation; images span [-1, 1]
CONTRAST, SATURATION = 0.5, 1.0  # standard deviations, octaves


# ---------------------------------------------------------------------------
# Matrices: homogeneous coordinates, one matrix per example


def matrix(*rows: tuple) -> tf.Tensor:
    """Builds [N, k, k] from rows of 0, 1 and tensors [N], at least one of them."""
    entries = [e for row in rows for e in row]
    tensors = [e for e in entries if tf.is_tensor(e)]
    zero = tf.zeros_like(tensors[0])
    values = tf.stack([zero, zero + 1, *tensors], axis=1)
    places = iter(range(2, 2 + len(tensors)))
    index = [next(places) if tf.is_tensor(e) else int(e) for e in entries]
    return tf.gather(values, np.reshape(index, [len(rows), -1]), axis=1)


def matrix_product(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Returns a b, [N, k, k], in full float32 where matrix units round, too."""
    return tf.reduce_sum(a[:, :, :, None] * b[:, None], axis=2)


def differs_from_identity(a: tf.Tensor) -> tf.Tensor:
    """Returns bool [N], True for each of [N, k, k] that is not the identity."""
    return tf.reduce_any(a != tf.eye(a.shape[-1]), axis=[1, 2])


# ---------------------------------------------------------------------------
# Geometry: x to the right, y down, in pixels from the center of the image. If an image
# undergoes G = ... A3 A2 A1, then pixel q shows the input at G^-1 q = A1^-1 A2^-1 A3^-1
# ... q: inverses, multiplied in the order of the transforms.


def inverse_matrix(
    uniforms: tf.Tensor,
    p: Probability,
    height: int,
    width: int,
    groups: Collection[str],
) -> tf.Tensor:
    """Returns the matrix from output pixels to input pixels.

    Args:
        uniforms: float32 [N, UNIFORMS].
        p: probability of each transform.
        height: height of the images.
        width: width of the images.
        groups: "blit", "geom" or both; other names are ignored.

    Returns:
        float32 [N, 3, 3], exactly the identity where no transform is applied.
    """
    inverses = _inverse_blits(uniforms, p, height, width) if "blit" in groups else []
    if "geom" in groups:
        inverses += _inverse_geometry(uniforms, p, height, width)
    total = inverses[0]
    for inverse in inverses[1:]:
        total = matrix_product(total, inverse)
    return total


def _inverse_blits(
    uniforms: tf.Tensor, p: Probability, height: int, width: int
) -> list[tf.Tensor]:
    """Returns the inverses of x-flip, 90 degree rotations, integer translation."""
    on, u = gated(uniforms, "flip", p)
    flip = scaling2(1 - 2 * tf.where(on, to_choice(u, 2), 0.0), 1)
    on, u = gated(uniforms, "turn", p)
    turn = _quarter_turns(-tf.where(on, to_choice(u, 4), 0.0))
    on, u, v = gated(uniforms, "shift", p)
    x = tf.round(to_range(u, -TRANSLATION, TRANSLATION) * width)
    y = tf.round(to_range(v, -TRANSLATION, TRANSLATION) * height)
    shift = translation2(-tf.where(on, x, 0.0), -tf.where(on, y, 0.0))
    return [flip, turn, shift]


def _inverse_geometry(
    uniforms: tf.Tensor, p: Probability, height: int, width: int
) -> list[tf.Tensor]:
    """Returns the inverses of scale, rotation, anisotropic scale, rotation, shift."""
    on, u = gated(uniforms, "scale", p)
    s = 1 / tf.where(on, to_power_of_two(u, SCALE), 1.0)
    scale = scaling2(s, s)
    before = _inverse_rotation(uniforms, "rotation_before", p)
    after = _inverse_rotation(uniforms, "rotation_after", p)
    on, u = gated(uniforms, "stretch", p)
    s = tf.where(on, to_power_of_two(u, SCALE), 1.0)
    stretch = scaling2(1 / s, s)
    on, u, v = gated(uniforms, "slide", p)
    x, y = to_normal(u, TRANSLATION) * width, to_normal(v, TRANSLATION) * height
    slide = translation2(-tf.where(on, x, 0.0), -tf.where(on, y, 0.0))
    return [scale, before, stretch, after, slide]


def _inverse_rotation(uniforms: tf.Tensor, name: str, p: Probability) -> tf.Tensor:
    """Rotates with probability 1 - sqrt(1 - p), so that one of two happens with p."""
    p = 1 - tf.sqrt(tf.maximum(1 - tf.cast(p, tf.float32), 0))
    on, u = gated(uniforms, name, p)
    return rotation2(-tf.where(on, to_range(u, -math.pi, math.pi), 0.0))


def _quarter_turns(turns: tf.Tensor) -> tf.Tensor:
    """Returns `rotation2` of 0, 1, 2, 3 times 90 degrees, exactly."""
    c, s = tf.round(tf.cos(turns * math.pi / 2)), tf.round(tf.sin(turns * math.pi / 2))
    return matrix((c, -s, 0), (s, c, 0), (0, 0, 1))


def translation2(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Returns the translation by x pixels to the right and y down: [N, 3, 3]."""
    return matrix((1, 0, x), (0, 1, y), (0, 0, 1))


def scaling2(x: tf.Tensor, y: tf.Tensor | int) -> tf.Tensor:
    """Returns the scaling by x across and y down: [N, 3, 3]."""
    return matrix((x, 0, 0), (0, y, 0), (0, 0, 1))


def rotation2(angle: tf.Tensor) -> tf.Tensor:
    """Returns the rotation from x to y, clockwise on a screen: [N, 3, 3]."""
    c, s = tf.cos(angle), tf.sin(angle)
    return matrix((c, -s, 0), (s, c, 0), (0, 0, 1))


def resample(images: tf.Tensor, inverse: tf.Tensor) -> tf.Tensor:
    """Transforms images by their matrices.

    Images are upsampled by two, interpolated bilinearly, and downsampled, both ways
    with sym6; beyond their borders they go on as their mirror image. Only matrix
    products and gathers are used, so every derivative is of the same kind.

    Args:
        images: float32 [N, H, W, C], H and W static.
        inverse: float32 [N, 3, 3], see `inverse_matrix`.

    Returns:
        float32 [N, H, W, C].
    """
    h, w = images.shape[1:3]
    x, y = _source_points(inverse, h, w)  # [N, 2H + 10, 2W + 10]
    fine = _interpolate(images, _fine_rows(x, w), _fine_rows(y, h))
    fine = tf.einsum("iq,nqpc->nipc", wavelets.down(h), fine)
    return tf.einsum("jp,nipc->nijc", wavelets.down(w), fine)


def _source_points(inverse: tf.Tensor, h: int, w: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns where the points of the fine output grid lie in the input.

    In pixels, the center of the corner pixel being 0. The grid has a margin for the
    filter that downsamples it.
    """
    (a, b, c), (d, e, f), _ = (
        tf.unstack(row[:, None, None, :], axis=-1)
        for row in tf.unstack(inverse, axis=1)
    )  # each [N, 1, 1]
    x, y = _fine_points(w)[None, :], _fine_points(h)[:, None]
    return a * x + b * y + c + (w - 1) / 2, d * x + e * y + f + (h - 1) / 2


def _fine_points(size: int) -> tf.Tensor:
    """Returns the fine axis, [2 size + 10], in pixels from the center."""
    j = tf.range(-wavelets.MARGIN, 2 * size + wavelets.MARGIN, dtype=tf.float32)
    return (j - wavelets.CENTER) / 2 - (size - 1) / 2


def _fine_rows(x: tf.Tensor, size: int) -> tf.Tensor:
    """Converts pixels to rows of `wavelets.up`, which reach past the borders.

    Points farther out are mirrored at the centers of the border pixels. Rows at the
    border must not be mirrored: `down` then undoes them exactly.
    """
    last = size - 1.0
    mirrored = last - tf.abs(tf.math.floormod(x, 2 * last) - last) if last else 0 * x
    reach = wavelets.MARGIN + 0.5
    j = 2 * x + wavelets.CENTER
    near = (j > -reach) & (j < 2 * size - 1 + reach)
    return wavelets.EDGE + tf.where(near, j, 2 * mirrored + wavelets.CENTER)


def _interpolate(images: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Interpolates the upsampled images at row y, column x: [N, Q, P, C]."""
    up_y, up_x = (wavelets.up(size) for size in images.shape[1:3])
    n, rows, columns, c = tf.shape(images)[0], len(up_y), len(up_x), images.shape[3]
    fine = tf.einsum("yh,nhwc->nywc", up_y, images)
    fine = tf.einsum("xw,nywc->nyxc", up_x, fine)
    fine = tf.reshape(fine, [n, rows * columns, c])
    left, top = tf.floor(x), tf.floor(y)
    index = tf.cast(top, tf.int32) * columns + tf.cast(left, tf.int32)
    x, y = (x - left)[..., None], (y - top)[..., None]
    corners = [
        ((1 - y) * (1 - x), index),
        ((1 - y) * x, index + 1),
        (y * (1 - x), index + columns),
        (y * x, index + columns + 1),
    ]
    return tf.add_n([s * tf.gather(fine, i, batch_dims=1) for s, i in corners])


# ---------------------------------------------------------------------------
# Colors: (r, g, b, 1). v = (1, 1, 1) / sqrt 3 is the direction of gray (luma).


def color_matrix(uniforms: tf.Tensor, p: Probability, channels: int = 3) -> tf.Tensor:
    """Returns the product of brightness, contrast, luma flip, hue and saturation.

    Args:
        uniforms: float32 [N, UNIFORMS].
        p: probability of each transform.
        channels: color channels; one has no hue and no saturation.

    Returns:
        float32 [N, 4, 4], exactly the identity where no transform is applied.
    """
    transforms = _luma_transforms(uniforms, p)
    if channels > 1:
        transforms += _chroma_transforms(uniforms, p)
    total = transforms[0]
    for transform in transforms[1:]:
        total = matrix_product(transform, total)
    return total


def _luma_transforms(uniforms: tf.Tensor, p: Probability) -> list[tf.Tensor]:
    on, u = gated(uniforms, "brightness", p)
    brightness = translation3(tf.where(on, to_normal(u, BRIGHTNESS), 0.0))
    on, u = gated(uniforms, "contrast", p)
    contrast = gray_axis_matrix(tf.where(on, to_power_of_two(u, CONTRAST), 1.0), 0)
    on, u = gated(uniforms, "luma_flip", p)
    # I - 2 v v^T, a reflection: light becomes dark, of the same hue.
    flip = gray_axis_matrix(1, -2 * tf.where(on, to_choice(u, 2), 0.0))
    return [brightness, contrast, flip]


def _chroma_transforms(uniforms: tf.Tensor, p: Probability) -> list[tf.Tensor]:
    on, u = gated(uniforms, "hue", p)
    hue = rotation3(tf.where(on, to_range(u, -math.pi, math.pi), 0.0))
    on, u = gated(uniforms, "saturation", p)
    s = tf.where(on, to_power_of_two(u, SATURATION), 1.0)
    return [hue, gray_axis_matrix(s, 1 - s)]  # v v^T + s (I - v v^T)


def translation3(t: tf.Tensor) -> tf.Tensor:
    """Returns the translation of red, green and blue by t: [N, 4, 4]."""
    return matrix((1, 0, 0, t), (0, 1, 0, t), (0, 0, 1, t), (0, 0, 0, 1))


def gray_axis_matrix(a: tf.Tensor | int, b: tf.Tensor | int) -> tf.Tensor:
    """Returns a I + b v v^T: [N, 4, 4]."""
    d, e = a + b / 3, b / 3
    return matrix((d, e, e, 0), (e, d, e, 0), (e, e, d, 0), (0, 0, 0, 1))


def rotation3(angle: tf.Tensor) -> tf.Tensor:
    """Returns the rotation about v from red to green, by Rodrigues' formula."""
    c, s = tf.cos(angle), tf.sin(angle) / math.sqrt(3)
    d, e = c + (1 - c) / 3, (1 - c) / 3
    rows = (d, e - s, e + s, 0), (e + s, d, e - s, 0), (e - s, e + s, d, 0)
    return matrix(*rows, (0, 0, 0, 1))


def recolor(images: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """Multiplies every color (r, g, b, 1) by the example's matrix.

    A gray image follows the mean of the three rows.

    Args:
        images: float32 [N, H, W, 1 or 3].
        matrix: float32 [N, 4, 4].
    """
    rows = matrix[:, :3]  # [N, 3, 4]
    if images.shape[-1] == 1:
        row = tf.reduce_mean(rows, axis=1)[:, None, None]  # [N, 1, 1, 4]
        scale = tf.reduce_sum(row[..., :3], axis=-1, keepdims=True)
        return images * scale + row[..., 3:]
    red, green, blue, offset = tf.unstack(rows[:, None, None], axis=-1)  # [N, 1, 1, 3]
    r, g, b = tf.split(images, 3, axis=-1)
    return r * red + g * green + b * blue + offset


def split_alpha(images: tf.Tensor) -> list[tf.Tensor]:
    """Splits colors [N, H, W, 1 or 3] from the alpha channel, if there is one.

    Raises:
        UserError: neither 1, 3 nor 4 channels.
    """
    channels = images.shape[-1]
    if channels not in (1, 3, 4):
        raise UserError(
            f"Colors cannot be augmented in pictures of {channels} channels; they "
            f"need 1 (gray), 3 (RGB) or 4 (RGBA)."
        )
    return tf.split(images, [3, 1], axis=-1) if channels == 4 else [images]
