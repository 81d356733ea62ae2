"""ADA's pixel blits and geometric transforms: one matrix, one resampling.

Karras et al. 2020, "Training GANs with limited data", appendix B. Pictures are taken
to twice the resolution, looked up bilinearly, and taken back, both ways through sym6.
Outside their borders they go on as their mirror image, however far away.
"""

import math

import numpy as np
import tensorflow as tf

from stylegan_tf.augment import wavelets
from stylegan_tf.augment.randomness import between, choice, gated, normal, power_of_two
from stylegan_tf.errors import UserError

TRANSLATION = 0.125  # of the picture's size
SCALE = 0.2  # standard deviation, octaves


# ---------------------------------------------------------------------------
# The matrix. If the picture undergoes G = ... A3 A2 A1, then the pixel at q shows what
# was at G^-1 q = A1^-1 A2^-1 A3^-1 ... q: inverses, multiplied in the order of the
# transforms. Coordinates are pixels from the middle of the picture.


def inverse_matrix(
    uniforms: tf.Tensor, p, height: int, width: int, groups
) -> tf.Tensor:
    """Where each pixel of the transformed picture comes from.

    Args:
        uniforms: float32 [N, UNIFORMS].
        p: probability of each transform.
        height, width: of the picture.
        groups: those of "blit" and "geom" that are wanted.

    Returns:
        float32 [N, 3, 3], exactly the identity where nothing was to be done.
    """
    steps = _blits(uniforms, p, height, width) if "blit" in groups else []
    if "geom" in groups:
        steps += _transforms(uniforms, p, height, width)
    total = steps[0]
    for step in steps[1:]:
        total = product(total, step)
    return total


def _blits(uniforms, p, height, width) -> list[tf.Tensor]:
    """Mirror image, quarter turns, whole pixels: the inverse of each."""
    on, u = gated(uniforms, "flip", p)
    flip = scaling2(1 - 2 * tf.where(on, choice(u, 2), 0.0), 1)
    on, u = gated(uniforms, "turn", p)
    turn = _quarter_turns(-tf.where(on, choice(u, 4), 0.0))
    on, u, v = gated(uniforms, "shift", p)
    x = tf.round(between(u, -TRANSLATION, TRANSLATION) * width)
    y = tf.round(between(v, -TRANSLATION, TRANSLATION) * height)
    shift = translation2(-tf.where(on, x, 0.0), -tf.where(on, y, 0.0))
    return [flip, turn, shift]


def _transforms(uniforms, p, height, width) -> list[tf.Tensor]:
    """Scale, rotation, stretch, rotation, translation: the inverse of each."""
    on, u = gated(uniforms, "scale", p)
    s = 1 / tf.where(on, power_of_two(u, SCALE), 1.0)
    scale = scaling2(s, s)
    before, after = (
        _rotation(uniforms, f"rotation_{w}", p) for w in ("before", "after")
    )
    on, u = gated(uniforms, "stretch", p)
    s = tf.where(on, power_of_two(u, SCALE), 1.0)
    stretch = scaling2(1 / s, s)
    on, u, v = gated(uniforms, "slide", p)
    x, y = normal(u, TRANSLATION) * width, normal(v, TRANSLATION) * height
    slide = translation2(-tf.where(on, x, 0.0), -tf.where(on, y, 0.0))
    return [scale, before, stretch, after, slide]


def _rotation(uniforms, name, p):
    """Two rotations at probability 1 - sqrt(1 - p) each: at least one at p."""
    p = 1 - tf.sqrt(tf.maximum(1 - tf.cast(p, tf.float32), 0))
    on, u = gated(uniforms, name, p)
    return rotation2(-tf.where(on, between(u, -math.pi, math.pi), 0.0))


def _quarter_turns(turns):
    """`rotation2` of 0, 1, 2, 3 times 90 degrees, in whole numbers."""
    c, s = tf.round(tf.cos(turns * math.pi / 2)), tf.round(tf.sin(turns * math.pi / 2))
    return matrix((c, -s, 0), (s, c, 0), (0, 0, 1))


# ---------------------------------------------------------------------------
# The resampling


def resample(images: tf.Tensor, inverse: tf.Tensor) -> tf.Tensor:
    """Pictures whose pixel q shows what was at `inverse` q.

    Linear in the pictures, built of matrix products and gathers, so that every
    derivative is of the same kind.

    Args:
        images: float32 [N, H, W, C], H and W static.
        inverse: float32 [N, 3, 3], pixels from the middle.

    Returns:
        float32 [N, H, W, C].
    """
    h, w = images.shape[1:3]
    x, y = _sources(inverse, h, w)  # [N, 2H + 10, 2W + 10]
    fine = _look_up(images, _on_fine_axis(x, w), _on_fine_axis(y, h))
    fine = tf.einsum("iq,nqpc->nipc", wavelets.down(h), fine)
    return tf.einsum("jp,nipc->nijc", wavelets.down(w), fine)


def _sources(inverse, h: int, w: int):
    """Where the points of the fine output grid lie in the input: pixels, corner = 0.

    The grid has a margin, for the filter that takes it down.
    """
    (a, b, c), (d, e, f), _ = (
        tf.unstack(row[:, None, None, :], axis=-1)
        for row in tf.unstack(inverse, axis=1)
    )  # each [N, 1, 1]
    x, y = _fine_points(w)[None, :], _fine_points(h)[:, None]
    return a * x + b * y + c + (w - 1) / 2, d * x + e * y + f + (h - 1) / 2


def _fine_points(size: int) -> tf.Tensor:
    """[2 size + 10] pixels from the middle."""
    j = tf.range(-wavelets.MARGIN, 2 * size + wavelets.MARGIN, dtype=tf.float32)
    return (j - wavelets.CENTER) / 2 - (size - 1) / 2


def _on_fine_axis(x, size: int) -> tf.Tensor:
    """Pixels -> rows of `wavelets.up`, which reach a filter's length past the borders.

    What lies farther out is mirrored at the centers of the border pixels into the
    picture. Rows at its border have to be real ones: `down` undoes them exactly.
    """
    last = size - 1.0
    mirrored = last - tf.abs(tf.math.floormod(x, 2 * last) - last) if last else 0 * x
    reach = wavelets.MARGIN + 0.5
    j = 2 * x + wavelets.CENTER
    near = (j > -reach) & (j < 2 * size - 1 + reach)
    return wavelets.EDGE + tf.where(near, j, 2 * mirrored + wavelets.CENTER)


def _look_up(images, x, y) -> tf.Tensor:
    """Bilinear interpolation of the fine picture at row y, column x: [N, Q, P, C]."""
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


BRIGHTNESS = 0.2  # standard deviation; pictures span [-1, 1]
CONTRAST, SATURATION = 0.5, 1.0  # standard deviations, octaves


def color_matrix(uniforms: tf.Tensor, p, channels: int = 3) -> tf.Tensor:
    """Brightness, contrast, luma flip, hue, saturation, in this order.

    Args:
        uniforms: float32 [N, UNIFORMS].
        p: probability of each transform.
        channels: colors; one does not have hue and saturation.

    Returns:
        float32 [N, 4, 4], exactly the identity where nothing was to be done.
    """
    steps = _levels(uniforms, p) + (_tints(uniforms, p) if channels > 1 else [])
    total = steps[0]
    for step in steps[1:]:
        total = product(step, total)
    return total


def _levels(uniforms, p) -> list[tf.Tensor]:
    on, u = gated(uniforms, "brightness", p)
    brightness = translation3(tf.where(on, normal(u, BRIGHTNESS), 0.0))
    on, u = gated(uniforms, "contrast", p)
    contrast = shared(tf.where(on, power_of_two(u, CONTRAST), 1.0), 0)
    on, u = gated(uniforms, "luma_flip", p)
    # I - 2 v v^T, a mirror: what is light becomes dark, of the same hue.
    flip = shared(1, -2 * tf.where(on, choice(u, 2), 0.0))
    return [brightness, contrast, flip]


def _tints(uniforms, p) -> list[tf.Tensor]:
    on, u = gated(uniforms, "hue", p)
    hue = rotation3(tf.where(on, between(u, -math.pi, math.pi), 0.0))
    on, u = gated(uniforms, "saturation", p)
    s = tf.where(on, power_of_two(u, SATURATION), 1.0)
    return [hue, shared(s, 1 - s)]  # v v^T + s (I - v v^T)


def recolor(images: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """Every color (r, g, b, 1) multiplied by the example's matrix.

    A gray picture follows the mean of the three: images [N, H, W, 1 or 3], matrix
    float32 [N, 4, 4].
    """
    rows = matrix[:, :3]  # [N, 3, 4]
    if images.shape[-1] == 1:
        row = tf.reduce_mean(rows, axis=1)[:, None, None]  # [N, 1, 1, 4]
        scale = tf.reduce_sum(row[..., :3], axis=-1, keepdims=True)
        return images * scale + row[..., 3:]
    red, green, blue, offset = tf.unstack(rows[:, None, None], axis=-1)  # [N, 1, 1, 3]
    r, g, b = tf.split(images, 3, axis=-1)
    return r * red + g * green + b * blue + offset


# ---------------------------------------------------------------------------


def split_alpha(images: tf.Tensor) -> list[tf.Tensor]:
    """Colors [N, H, W, 1 or 3], and what is no color (alpha), if there is any.

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


def matrix(*rows) -> tf.Tensor:
    """Rows of 0, 1 and tensors [N], at least one of them a tensor: [N, k, k]."""
    entries = [e for row in rows for e in row]
    tensors = [e for e in entries if tf.is_tensor(e)]
    zero = tf.zeros_like(tensors[0])
    values = tf.stack([zero, zero + 1, *tensors], axis=1)
    places = iter(range(2, 2 + len(tensors)))
    index = [next(places) if tf.is_tensor(e) else int(e) for e in entries]
    return tf.gather(values, np.reshape(index, [len(rows), -1]), axis=1)


def product(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """a b, [N, k, k], in full float32 also where matrix units round their input."""
    return tf.reduce_sum(a[:, :, :, None] * b[:, None], axis=2)


def changed(a: tf.Tensor) -> tf.Tensor:
    """Which of [N, k, k] are not the identity: bool [N]."""
    return tf.reduce_any(a != tf.eye(a.shape[-1]), axis=[1, 2])


# ---------------------------------------------------------------------------
# The plane: x to the right, y down


def translation2(x, y) -> tf.Tensor:
    """By x pixels to the right and y down: [N, 3, 3]."""
    return matrix((1, 0, x), (0, 1, y), (0, 0, 1))


def scaling2(x, y) -> tf.Tensor:
    """By x across and y down: [N, 3, 3]."""
    return matrix((x, 0, 0), (0, y, 0), (0, 0, 1))


def rotation2(angle) -> tf.Tensor:
    """From x to y: clockwise on a screen."""
    c, s = tf.cos(angle), tf.sin(angle)
    return matrix((c, -s, 0), (s, c, 0), (0, 0, 1))


# ---------------------------------------------------------------------------
# Colors. `shared` is I a + v v^T b, v = (1, 1, 1) / sqrt 3 the direction of gray.


def translation3(t) -> tf.Tensor:
    """The same number added to red, green and blue."""
    return matrix((1, 0, 0, t), (0, 1, 0, t), (0, 0, 1, t), (0, 0, 0, 1))


def shared(a, b) -> tf.Tensor:
    """I a + v v^T b: [N, 4, 4]."""
    d, e = a + b / 3, b / 3
    return matrix((d, e, e, 0), (e, d, e, 0), (e, e, d, 0), (0, 0, 0, 1))


def rotation3(angle) -> tf.Tensor:
    """About the gray axis, from red to green: Rodrigues' formula."""
    c, s = tf.cos(angle), tf.sin(angle) / math.sqrt(3)
    d, e = c + (1 - c) / 3, (1 - c) / 3
    rows = (d, e - s, e + s, 0), (e + s, d, e - s, 0), (e - s, e + s, d, 0)
    return matrix(*rows, (0, 0, 0, 1))
