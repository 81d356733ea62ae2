"""ADA's colour transforms: one 4 x 4 matrix in homogeneous coordinates.

Karras et al. 2020, "Training GANs with limited data", appendix B.
"""

import math

import tensorflow as tf

from stylegan_tf.augment import matrices
from stylegan_tf.augment.luck import between, choice, gated, normal, power_of_two
from stylegan_tf.errors import UserError

BRIGHTNESS = 0.2  # standard deviation; pictures span [-1, 1]
CONTRAST, SATURATION = 0.5, 1.0  # standard deviations, octaves


def color_matrix(luck: tf.Tensor, p, channels: int = 3) -> tf.Tensor:
    """Brightness, contrast, luma flip, hue, saturation, in this order.

    Args:
        luck: float32 [N, LUCK].
        p: probability of each transform.
        channels: colours; one does not have hue and saturation.

    Returns:
        float32 [N, 4, 4], exactly the identity where nothing was to be done.
    """
    steps = _levels(luck, p) + (_tints(luck, p) if channels > 1 else [])
    total = steps[0]
    for step in steps[1:]:
        total = matrices.product(step, total)
    return total


def _levels(luck, p) -> list[tf.Tensor]:
    on, u = gated(luck, "brightness", p)
    brightness = matrices.translation3(tf.where(on, normal(u, BRIGHTNESS), 0.0))
    on, u = gated(luck, "contrast", p)
    contrast = matrices.shared(tf.where(on, power_of_two(u, CONTRAST), 1.0), 0)
    on, u = gated(luck, "luma_flip", p)
    # I - 2 v v^T, a mirror: what is light becomes dark, of the same hue.
    flip = matrices.shared(1, -2 * tf.where(on, choice(u, 2), 0.0))
    return [brightness, contrast, flip]


def _tints(luck, p) -> list[tf.Tensor]:
    on, u = gated(luck, "hue", p)
    hue = matrices.rotation3(tf.where(on, between(u, -math.pi, math.pi), 0.0))
    on, u = gated(luck, "saturation", p)
    s = tf.where(on, power_of_two(u, SATURATION), 1.0)
    return [hue, matrices.shared(s, 1 - s)]  # v v^T + s (I - v v^T)


def recolor(images: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """Every colour (r, g, b, 1) multiplied by the example's matrix.

    A grey picture follows the mean of the three: images [N, H, W, 1 or 3], matrix
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
    """Colours [N, H, W, 1 or 3], and what is no colour (alpha), if there is any.

    Raises:
        UserError: neither 1, 3 nor 4 channels.
    """
    channels = images.shape[-1]
    if channels not in (1, 3, 4):
        raise UserError(
            f"Colours cannot be augmented in pictures of {channels} channels; they "
            f"need 1 (grey), 3 (RGB) or 4 (RGBA)."
        )
    return tf.split(images, [3, 1], axis=-1) if channels == 4 else [images]
