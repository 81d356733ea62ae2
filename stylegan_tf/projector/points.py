"""Features at points of an image: read, followed and moved (Pan et al. 2023).

Points are x and y in pixels of the image, whose centers are whole numbers; feature maps
cover the same area with fewer pixels.
"""

import numpy as np
import tensorflow as tf


def features_at(
    maps: tf.Tensor, points: tf.Tensor, shape: tuple[int, int]
) -> tf.Tensor:
    """Reads feature maps between their pixels, bilinearly.

    Args:
        maps: float [h, w, C].
        points: float [..., 2]; outside of the image the nearest feature counts.
        shape: height and width of the image.

    Returns:
        float [..., C].
    """
    size = tf.cast(tf.shape(maps)[1::-1], tf.float32)  # width and height
    scale = size / tf.constant(shape[::-1], tf.float32)
    at = tf.clip_by_value((points + 0.5) * scale - 0.5, 0.0, size - 1)
    low = tf.floor(at)
    part = (at - low)[..., None]  # [..., 2, 1]
    x0, y0 = tf.unstack(tf.cast(low, tf.int32), axis=-1)
    x1 = tf.minimum(x0 + 1, tf.shape(maps)[1] - 1)
    y1 = tf.minimum(y0 + 1, tf.shape(maps)[0] - 1)
    right, down = part[..., 0, :], part[..., 1, :]

    def row(y: tf.Tensor) -> tf.Tensor:
        left = tf.gather_nd(maps, tf.stack([y, x0], axis=-1))
        return left + right * (tf.gather_nd(maps, tf.stack([y, x1], axis=-1)) - left)

    upper = row(y0)
    return upper + down * (row(y1) - upper)


def track_points(
    maps: tf.Tensor,
    points: tf.Tensor,
    features: tf.Tensor,
    patch: np.ndarray,
    offsets: np.ndarray,
    shape: tuple[int, int],
) -> tf.Tensor:
    """Finds where the features of points have gone (equation 2).

    Args:
        maps: float [h, w, C].
        points: float [K, 2], where they were last.
        features: float [K, P, C], those around the points that are looked for.
        patch: float32 [P, 2] from a point to the pixels of its features.
        offsets: float32 [M, 2] from a point to the pixels that are searched; of pixels
            that are equally near in features, the first wins.
        shape: height and width of the image.

    Returns:
        float [K, 2].
    """
    near = points[:, None] + offsets  # [K, M, 2]
    found = features_at(maps, near[:, :, None] + patch, shape)  # [K, M, P, C]
    distances = tf.reduce_sum(tf.abs(found - features[:, None]), axis=[2, 3])
    last = tf.constant([shape[1] - 1, shape[0] - 1], tf.float32)
    inside = tf.reduce_all((near >= 0) & (near <= last), axis=-1)
    distances = tf.where(inside, distances, np.float32(np.inf))
    best = tf.argmin(distances, axis=1, output_type=tf.int32)
    return tf.gather(near, best, batch_dims=1)


def motion_loss(
    maps: tf.Tensor,
    points: tf.Tensor,
    targets: tf.Tensor,
    content: tf.Tensor | None,
    offsets: np.ndarray,
    shape: tuple[int, int],
) -> tf.Tensor:
    """Asks for the content around points a step nearer to their targets (equation 1).

    Args:
        maps: float [h, w, C].
        points: float [K, 2].
        targets: float [K, 2].
        content: float [K, M, C], the features that shall come there; None = those that
            are around the points now, as in the paper.
        offsets: float32 [M, 2] from a point to the pixels that move with it.
        shape: height and width of the image.

    Returns:
        Scalar: the sum over points of a mean over pixels and channels.
    """
    way = targets - points
    length = tf.norm(way, axis=-1, keepdims=True)
    step = way / tf.maximum(length, 1.0)
    here = points[:, None] + offsets
    if content is None:
        content = features_at(tf.stop_gradient(maps), here, shape)
    after = features_at(maps, here + step[:, None], shape)
    moved = tf.reduce_mean(tf.abs(after - content), axis=[1, 2])
    # A point at its target asks for nothing; for equal features, |x| has a gradient.
    return tf.reduce_sum(tf.where(length[:, 0] > 0, moved, 0.0))


def patch_offsets(radius: int, step: int = 1) -> np.ndarray:
    """Returns every `step`-th pixel within a radius, the nearest first, [M, 2]."""
    side = np.arange(-(radius // step), radius // step + 1) * step
    xy = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    lengths = np.hypot(*xy.T)
    xy = xy[np.argsort(lengths, kind="stable")]
    return xy[np.sort(lengths) <= radius].astype(np.float32)
