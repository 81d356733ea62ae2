"""Differentiable augmentation: three fixed treatments of every picture.

Zhao et al. 2020, "Differentiable augmentation for data-efficient GAN training",
section 3. Real and generated pictures are treated alike on their way to the
discriminator, and the generator's gradient passes through the treatment.
"""

import tensorflow as tf

from stylegan_tf.augment.randomness import between, choice, columns
from stylegan_tf.augment.transforms import split_alpha
from stylegan_tf.errors import UserError

BRIGHTNESS = 0.5  # at most, up and down; pictures span [-1, 1]
SATURATION = (0.0, 2.0)  # factor
CONTRAST = (0.5, 1.5)  # factor
TRANSLATION = 0.125  # of the picture's size, at most
CUTOUT = 0.5  # of the picture's size


def diffaugment(
    images: tf.Tensor,
    uniforms: tf.Tensor,
    policy: tuple[str, ...] = ("color", "translation", "cutout"),
) -> tf.Tensor:
    """Pictures as the discriminator gets to see them.

    Args:
        images: float [N, H, W, C] in [-1, 1], H, W and C static.
        uniforms: float32 [N, UNIFORMS] from `randomness.draw`, a row an example.
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


def _color(x, uniforms):
    """Brightness, saturation, contrast: distances from the pixel's, the picture's mean.

    A pixel's mean is gray, so a gray picture has no saturation to change.
    """
    x, *alpha = split_alpha(x)
    brightness, saturation, contrast = (
        columns(uniforms, name)[1][:, None, None, None]  # [N, 1, 1, 1]
        for name in ("brightness", "saturation", "contrast")
    )
    x += between(brightness, -BRIGHTNESS, BRIGHTNESS)
    if x.shape[-1] > 1:
        gray = tf.reduce_mean(x, axis=-1, keepdims=True)
        x = gray + (x - gray) * between(saturation, *SATURATION)
    mean = tf.reduce_mean(x, axis=[1, 2, 3], keepdims=True)
    x = mean + (x - mean) * between(contrast, *CONTRAST)
    return tf.concat([x, *alpha], axis=-1)


def _translation(x, uniforms):
    """Whole pixels, each distance as likely; what comes into view is zero."""
    _, u, v = columns(uniforms, "shift")
    shown = []
    for axis, number in ((1, v), (2, u)):
        size = x.shape[axis]
        most = int(size * TRANSLATION + 0.5)
        shift = tf.cast(choice(number, 2 * most + 1), tf.int32) - most
        source = tf.range(size) - shift[:, None]  # [N, size]
        shown.append((source >= 0) & (source < size))
        x = tf.gather(x, tf.clip_by_value(source, 0, size - 1), axis=axis, batch_dims=1)
    return tf.where(_cells(*shown), x, 0.0)


def _cutout(x, uniforms):
    """A rectangle of half the size set to zero, cut off where it leaves the picture.

    Its middle is a pixel if its side is odd, a corner of pixels if it is even; all of
    them, those of the border included, are as likely.
    """
    _, u, v = columns(uniforms, "cutout")
    inside = []
    for number, size in ((v, x.shape[1]), (u, x.shape[2])):
        side = int(size * CUTOUT + 0.5)
        centers = size if side % 2 else size + 1
        first = choice(number, centers)[:, None] - side // 2
        pixels = tf.range(size, dtype=tf.float32)
        inside.append((pixels >= first) & (pixels < first + side))  # [N, size]
    return tf.where(_cells(*inside), 0.0, x)


def _cells(rows, columns) -> tf.Tensor:
    """Pixels in both: bool [N, H] and [N, W] -> [N, H, W, 1]."""
    return (rows[:, :, None] & columns[:, None])[..., None]


POLICIES = {"color": _color, "translation": _translation, "cutout": _cutout}
