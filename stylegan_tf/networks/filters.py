"""Low-pass filters, and resampling with them (Karras et al. 2021).

`design_lowpass` makes StyleGAN3's filters, windowed by a Kaiser window and separable or
radial (section 3.2, appendix C.1). `upsample_by` and `downsample_by` apply them. Every
phase of the finer grid is a convolution of its own, so that no zeros between pixels are
stored or multiplied, and separable filters are applied along one axis after the other.
"""

import numpy as np
import tensorflow as tf

from stylegan_tf.networks.convolutions import window


def design_lowpass(
    taps: int, cutoff: float, width: float, rate: float, radial: bool = False
) -> np.ndarray:
    """Designs a low-pass filter of unit sum.

    Args:
        taps: length of the filter.
        cutoff: center of the transition, in the unit of `rate`.
        width: of the transition, in the unit of `rate`.
        rate: sampling rate of the maps that it filters.
        radial: filter alike in all directions.

    Returns:
        float32 [taps], for each axis, or [taps, taps] if radial.
    """
    from scipy import signal, special

    if not radial:
        h = signal.firwin(taps, cutoff=cutoff, width=width, fs=rate)
        return h.astype(np.float32)
    x = (np.arange(taps) - (taps - 1) / 2) / rate
    r = np.hypot(x, x[:, None])
    with np.errstate(invalid="ignore", divide="ignore"):
        h = special.j1(2 * np.pi * cutoff * r) / (np.pi * r)
    h[r == 0] = cutoff  # the limit, where the number of taps is odd
    attenuation = signal.kaiser_atten(taps, width / (rate / 2))
    window = np.kaiser(taps, signal.kaiser_beta(attenuation))
    h *= np.outer(window, window)
    return (h / h.sum()).astype(np.float32)


def upsample_by(
    x: tf.Tensor, taps: tf.Tensor, factor: int, padding: tuple[int, int]
) -> tf.Tensor:
    """Upsamples maps by a factor with a low-pass filter that keeps their mean.

    The result is that of zeros between pixels, `padding` around them, and the filter.

    Args:
        x: float [N, H, W, C].
        taps: float [k], for each axis.
        factor: int.
        padding: zeros before and after; negative = pixels cut off.

    Returns:
        float [N, H', W', C], H' = factor H + sum(padding) - k + 1.
    """
    taps = tf.cast(taps[::-1] * factor, x.dtype)
    for axis in (2, 1):
        x = _upsample_axis(x, taps, factor, padding, axis)
    return x


def _upsample_axis(x, taps, factor: int, padding, axis: int) -> tf.Tensor:
    """Upsamples along one axis.

    Phase p has each `factor`-th tap from t on, from pixel (p + t - low) / factor on.

    Args:
        x: float [N, H, W, C].
        taps: float [k], reversed, times the gain.
        factor: int.
        padding: see `upsample_by`.
        axis: 1 or 2.
    """
    low = padding[0]
    size = factor * x.shape[axis] + sum(padding) - taps.shape[0] + 1
    first = [(low - p) % factor for p in range(factor)]
    start = [(p + t - low) // factor for p, t in enumerate(first)]
    earliest, count = min(start), -(-size // factor)
    length = max(
        at - earliest + len(range(t, taps.shape[0], factor))
        for t, at in zip(first, start, strict=True)
    )
    after = earliest + count + length - 1 - x.shape[axis]
    x = pad_or_crop(x, -earliest, after, axis)
    phases = []
    for t, at in zip(first, start, strict=True):
        own, lead = taps[t::factor], at - earliest
        own = tf.pad(own, [[lead, length - lead - own.shape[0]]])
        phases.append(_correlate(x, own, axis))
    x = _interleave(phases, axis)
    return pad_or_crop(x, 0, size - count * factor, axis)


def downsample_by(x: tf.Tensor, taps: tf.Tensor, factor: int) -> tf.Tensor:
    """Downsamples maps by a factor behind a low-pass filter.

    Args:
        x: float [N, H, W, C].
        taps: float [k], for each axis, or [k, k].
        factor: int.

    Returns:
        float [N, H', W', C], H' = (H - k) // factor + 1.
    """
    taps = tf.cast(taps, x.dtype)
    if len(taps.shape) == 2:
        kernel = tf.tile(taps[::-1, ::-1, None, None], [1, 1, x.shape[-1], 1])
        return tf.nn.depthwise_conv2d(x, kernel, [1, factor, factor, 1], "VALID")
    for axis in (1, 2):
        x = _downsample_axis(x, taps[::-1], factor, axis)
    return x


def _downsample_axis(x, taps, factor: int, axis: int) -> tf.Tensor:
    """Downsamples along one axis: a sum of phases, each filtered by its own taps."""
    size = (x.shape[axis] - taps.shape[0]) // factor + 1
    length = -(-taps.shape[0] // factor)
    taps = tf.pad(taps, [[0, length * factor - taps.shape[0]]])
    x = pad_or_crop(x, 0, (size + length - 1) * factor - x.shape[axis], axis)
    phases = [
        _correlate(part, taps[p::factor], axis)
        for p, part in enumerate(_deinterleave(x, factor, axis))
    ]
    out = phases[0]
    for phase in phases[1:]:
        out += phase
    return out


def _correlate(x: tf.Tensor, taps: tf.Tensor, axis: int) -> tf.Tensor:
    """Correlates maps with taps along one axis, without padding."""
    shape = [-1, 1, 1, 1] if axis == 1 else [1, -1, 1, 1]
    kernel = tf.tile(tf.reshape(taps, shape), [1, 1, x.shape[-1], 1])
    return tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "VALID")


def _interleave(phases: list[tf.Tensor], axis: int) -> tf.Tensor:
    """Interleaves maps along one axis."""
    x = tf.stack(phases, axis=axis + 1)
    _, h, w, c = phases[0].shape
    h, w = (h * len(phases), w) if axis == 1 else (h, w * len(phases))
    return tf.reshape(x, [-1, h, w, c])


def _deinterleave(x: tf.Tensor, count: int, axis: int) -> list[tf.Tensor]:
    """Returns the maps that `_interleave` made one of."""
    _, h, w, c = x.shape
    if axis == 1:
        parts = tf.reshape(x, [-1, h // count, count, w, c])
    else:
        parts = tf.reshape(x, [-1, h, w // count, count, c])
    return tf.unstack(parts, axis=axis + 1)


def pad_or_crop(x: tf.Tensor, before: int, after: int, axis: int) -> tf.Tensor:
    """Pads maps with zeros along one axis; negative numbers cut off pixels."""
    if before < 0 or after < 0:
        start, size = [0, 0], [x.shape[1], x.shape[2]]
        start[axis - 1] = max(-before, 0)
        size[axis - 1] -= start[axis - 1] + max(-after, 0)
        x = window(x, *start, *size)
    pads = [[0, 0]] * 4
    pads[axis] = [max(before, 0), max(after, 0)]
    return tf.pad(x, pads) if any(pads[axis]) else x
