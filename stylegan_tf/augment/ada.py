"""Pipeline of adaptive discriminator augmentation (ADA).

Karras et al. 2020, "Training generative adversarial networks with limited data",
appendix B. Reals and fakes pass through it on their way to the discriminator. Each
transform is applied to each example with probability p, which `controller` adapts; as
long as p stays below about 0.8 the generator does not learn to draw augmented images
(section 2).
"""

import tensorflow as tf

from stylegan_tf import stateless
from stylegan_tf.augment import transforms, wavelets
from stylegan_tf.augment.randomness import gated, to_normal, to_power_of_two
from stylegan_tf.augment.transforms import Probability
from stylegan_tf.errors import UserError

# In the order of application; names as in the paper's section 3.
SINGLE = ("blit", "geom", "color", "filter", "noise", "cutout")
GROUPS = {name: (name,) for name in SINGLE} | {
    "bg": SINGLE[:2],
    "bgc": SINGLE[:3],
    "bgcf": SINGLE[:4],
    "bgcfn": SINGLE[:5],
    "bgcfnc": SINGLE,
}
BAND_GAIN = 1.0  # standard deviation, octaves
BAND_POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)  # of natural images, lowest first
NOISE = 0.1  # standard deviation of the noise's standard deviation
CUTOUT = 0.5  # of the image's size


def ada(
    images: tf.Tensor, uniforms: tf.Tensor, p: Probability, groups: str = "bgc"
) -> tf.Tensor:
    """Augments images for the discriminator.

    Twice differentiable in the images. A stage returns an example bit for bit unless
    one of its transforms is applied; p = 0 is the identity.

    Args:
        images: float [N, H, W, C] in [-1, 1], H, W and C static.
        uniforms: float32 [N, UNIFORMS] from `sample_uniforms`.
        p: probability of each transform; 1 or more = always.
        groups: a name of `GROUPS`.

    Returns:
        [N, H, W, C] in the precision of `images`; not clipped.

    Raises:
        UserError: unknown name, or colors of neither 1, 3 nor 4 channels.
    """
    if groups not in GROUPS:
        raise UserError(
            f"Unknown augmentation {groups!r}; there are {', '.join(GROUPS)}."
        )
    wanted, x = GROUPS[groups], tf.cast(images, tf.float32)
    if "blit" in wanted or "geom" in wanted:
        x = _geometry(x, uniforms, p, wanted)
    for name, stage in STAGES.items():
        x = stage(x, uniforms, p) if name in wanted else x
    return tf.cast(x, images.dtype)


def _where(applied: tf.Tensor, new: tf.Tensor, old: tf.Tensor) -> tf.Tensor:
    """Returns the new image where a transform is applied, bool [N], else the old."""
    return tf.where(applied[:, None, None, None], new, old)


# ---------------------------------------------------------------------------


def _geometry(
    x: tf.Tensor, uniforms: tf.Tensor, p: Probability, groups: tuple[str, ...]
) -> tf.Tensor:
    inverse = transforms.inverse_matrix(uniforms, p, *x.shape[1:3], groups)
    return _where(
        transforms.differs_from_identity(inverse), transforms.resample(x, inverse), x
    )


def _color(x: tf.Tensor, uniforms: tf.Tensor, p: Probability) -> tf.Tensor:
    x, *alpha = transforms.split_alpha(x)
    matrix = transforms.color_matrix(uniforms, p, x.shape[-1])
    x = _where(
        transforms.differs_from_identity(matrix), transforms.recolor(x, matrix), x
    )
    return tf.concat([x, *alpha], axis=-1)


# ---------------------------------------------------------------------------
# Image-space filtering: amplifies or attenuates four bands of the spectrum


def _filter(x: tf.Tensor, uniforms: tf.Tensor, p: Probability) -> tf.Tensor:
    gains = band_gains(uniforms, p)
    rows, columns = (
        tf.tensordot(gains, wavelets.bands(size), 1)  # [N, size, size]
        for size in x.shape[1:3]
    )
    y = tf.einsum("njw,nhwc->nhjc", columns, tf.einsum("nih,nhwc->niwc", rows, x))
    return _where(tf.reduce_any(gains != 1, axis=1), y, x)


def band_gains(uniforms: tf.Tensor, p: Probability) -> tf.Tensor:
    """Returns the gain of each band, float32 [N, 4].

    For each band in turn a gain t is sampled, and all four gains are divided by
    sqrt(sum_k power_k t_k^2), t_k = 1 for the other bands, which keeps the power of a
    natural image.
    """
    gains = tf.ones([tf.shape(uniforms)[0], wavelets.BANDS])
    for band, power in enumerate(BAND_POWER):
        on, u = gated(uniforms, f"band{band}", p)
        t = tf.where(on, to_power_of_two(u, BAND_GAIN), 1.0)[:, None]
        one = 1 + (t - 1) * tf.one_hot(band, wavelets.BANDS)
        gains *= one / tf.sqrt(1 + power * (t * t - 1))
    return gains


# ---------------------------------------------------------------------------
# Corruptions


def _noise(x: tf.Tensor, uniforms: tf.Tensor, p: Probability) -> tf.Tensor:
    """Adds normal noise per pixel and channel, of strength |N(0, 0.1^2)|."""
    on, u, *pair = gated(uniforms, "noise", p)
    seeds = tf.cast(tf.stack(pair, axis=1) * 2**23, tf.int32)  # [N, 2], 46 random bits
    noise = tf.map_fn(
        lambda seed: stateless.normal(x.shape[1:], seed),
        seeds,
        fn_output_signature=tf.TensorSpec(x.shape[1:]),
    )
    return _where(on, x + noise * tf.abs(to_normal(u, NOISE))[:, None, None, None], x)


def _cutout(x: tf.Tensor, uniforms: tf.Tensor, p: Probability) -> tf.Tensor:
    """Sets a rectangle of half the size to zero, its center anywhere in the image."""
    on, u, v = gated(uniforms, "cutout", p)
    inside = []
    for center, size in ((u, x.shape[2]), (v, x.shape[1])):
        pixels = (tf.range(size, dtype=tf.float32) + 0.5) / size
        inside.append(tf.abs(pixels - center[:, None]) < CUTOUT / 2)  # [N, size]
    hole = inside[1][:, :, None] & inside[0][:, None] & on[:, None, None]
    return tf.where(hole[..., None], 0.0, x)


STAGES = {"color": _color, "filter": _filter, "noise": _noise, "cutout": _cutout}
