"""Known changes of a picture: what a feature network is trained to bear, or to read.

Eight numbers say how a picture is changed (`NAMES`). The shipped network sees pictures
slightly changed, so that it does not lean on exact pixels. A network that learns
without labels tells pictures apart through changes, and tells the changes themselves.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

NAMES = ("right", "down", "zoom", "turn", "light", "contrast", "blur", "noise")
ONE_SIDED = ("blur", "noise")  # from 0 up; the others go both ways
# The largest change: pixels of 64, pixels, log of the factor, radians, steps of 0..255,
# log of the factor, share of the blurred picture, standard deviation in 0..255.
SLIGHT = (1.0, 1.0, 0.02, 0.0, 6.0, 0.06, 0.5, 6.0)
STRONG = (8.0, 8.0, 0.2, 0.25, 30.0, 0.3, 1.0, 24.0)


def draw(rng: np.random.Generator, n: int, largest: Sequence[float]) -> np.ndarray:
    """Changes of n pictures, each uniform: float32 [n, 8]."""
    low = [0.0 if name in ONE_SIDED else -1.0 for name in NAMES]
    return (rng.uniform(low, 1.0, (n, len(NAMES))) * largest).astype(np.float32)


def apply(images: tf.Tensor, changes: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Changes pictures.

    Args:
        images: [N, H, W, C] in 0..255.
        changes: float [N, 8], as of `NAMES`.
        seed: int [2], of the noise.

    Returns:
        float32 [N, H, W, C] in [0, 255].
    """
    x = tf.cast(images, tf.float32)
    changes = tf.cast(changes, tf.float32)
    *_, light, contrast, blur, noise = (
        c[:, None, None, None] for c in tf.unstack(changes, axis=1)
    )
    x = _moved(x, changes)
    x += blur * (_blurred(x) - x)
    x = (x - 127.5) * tf.exp(contrast) + 127.5 + light
    x += noise * tf.random.stateless_normal(tf.shape(x), seed)
    return tf.clip_by_value(x, 0.0, 255.0)


def _moved(x: tf.Tensor, changes: tf.Tensor) -> tf.Tensor:
    """Turned and zoomed about the centre, then shifted; mirrored beyond the edge."""
    right, down, zoom, turn = tf.unstack(changes[:, :4], axis=1)
    middle_x, middle_y = ((s - 1) / 2 for s in (x.shape[2], x.shape[1]))
    # Rows of the inverse map, from a place in the result to one in the picture.
    cos, sin = (f(turn) * tf.exp(-zoom) for f in (tf.cos, tf.sin))
    from_x, from_y = middle_x + right, middle_y + down
    zero = tf.zeros_like(cos)
    rows = [cos, sin, middle_x - cos * from_x - sin * from_y]
    rows += [-sin, cos, middle_y + sin * from_x - cos * from_y, zero, zero]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=x,
        transforms=tf.stack(rows, axis=1),
        output_shape=tf.constant(list(x.shape[1:3])),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )


def _blurred(x: tf.Tensor) -> tf.Tensor:
    """Two means over 3 x 3, of which the edge pixels are averages of what is there."""
    for _ in range(2):
        x = tf.nn.avg_pool2d(x, 3, 1, "SAME")
    return x
