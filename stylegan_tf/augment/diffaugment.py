"""Differentiable augmentation: color, translation and cutout of every image.

Zhao et al. 2020, "Differentiable augmentation for data-efficient GAN training",
section 3. Reals and fakes are augmented alike on their way to the discriminator, and
the generator's gradient passes through the augmentation.
"""

import tensorflow as tf

from stylegan_tf.augment.randomness import columns, to_choice, to_range
from stylegan_tf.augment.transforms import split_alpha
from stylegan_tf.errors import UserError

BRIGHTNESS = 0.5  # at most, up and down; images span [-1, 1]
SATURATION = (0.0, 2.0)  # factor
CONTRAST = (0.5, 1.5)  # factor
TRANSLATION = 0.125  # of the image's size, at most
CUTOUT = 0.5  # of the image's size


def diffaugment(
    images: tf.Tensor,
    uniforms: tf.Tensor,
    policy: tuple[str, ...] = ("color", "translation", "cutout"),
) -> tf.Tensor:
    """Augments images for the discriminator.

    Args:
        images: float [N, H, W, C] in [-1, 1], H, W and C static.
        uniforms: float32 [N, UNIFORMS] from `sample_uniforms`.
        policy: names of `POLICIES`, applied in this order.

    Returns:
        [N, H, W, C] in the precision of `images`; not clipped.

    Raises:
        UserError: unknown name, or colors of neither 1, 3 nor 4 channels.
    """
    unknown = [name for name in policy if name not in POLICIES]
    if unknown:
        raise UserError(
            f"Unknown augmentation {unknown[0]!r}; there are {', '.join(POLICIES)}."
        )
    x = tf.cast(images, tf.float32)
    for name in policy:
        x = POLICIES[name](x, uniforms)
    return tf.cast(x, images.dtype)


def _color(x: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
    """Changes brightness, saturation and contrast.

    Saturation scales the distance from the pixel's mean, which is gray, and contrast
    the distance from the image's mean. A gray image has no saturation.
    """
    x, *alpha = split_alpha(x)
    brightness, saturation, contrast = (
        columns(uniforms, name)[1][:, None, None, None]  # [N, 1, 1, 1]
        for name in ("brightness", "saturation", "contrast")
    )
    x += to_range(brightness, -BRIGHTNESS, BRIGHTNESS)
    if x.shape[-1] > 1:
        gray = tf.reduce_mean(x, axis=-1, keepdims=True)
        x = gray + (x - gray) * to_range(saturation, *SATURATION)
    mean = tf.reduce_mean(x, axis=[1, 2, 3], keepdims=True)
    x = mean + (x - mean) * to_range(contrast, *CONTRAST)
    return tf.concat([x, *alpha], axis=-1)


def _translation(x: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
    """Shifts by whole pixels, each distance as likely, and fills with zeros."""
    _, u, v = columns(uniforms, "shift")
    shown = []
    for axis, number in ((1, v), (2, u)):
        size = x.shape[axis]
        most = int(size * TRANSLATION + 0.5)
        shift = tf.cast(to_choice(number, 2 * most + 1), tf.int32) - most
        source = tf.range(size) - shift[:, None]  # [N, size]
        shown.append((source >= 0) & (source < size))
        x = tf.gather(x, tf.clip_by_value(source, 0, size - 1), axis=axis, batch_dims=1)
    return tf.where(_cells(*shown), x, 0.0)


def _cutout(x: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
    """Sets a rectangle of half the size to zero, cut off at the border.

    Its center is a pixel if its side is odd, and a corner of pixels if it is even. All
    centers are as likely, the border included.
    """
    _, u, v = columns(uniforms, "cutout")
    inside = []
    for number, size in ((v, x.shape[1]), (u, x.shape[2])):
        side = int(size * CUTOUT + 0.5)
        centers = size if side % 2 else size + 1
        first = to_choice(number, centers)[:, None] - side // 2
        pixels = tf.range(size, dtype=tf.float32)
        inside.append((pixels >= first) & (pixels < first + side))  # [N, size]
    return tf.where(_cells(*inside), 0.0, x)


def _cells(rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Returns bool [N, H, W, 1], True in rows [N, H] and columns [N, W] alike."""
    return (rows[:, :, None] & columns[:, None])[..., None]


POLICIES = {"color": _color, "translation": _translation, "cutout": _cutout}
