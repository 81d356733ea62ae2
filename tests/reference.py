"""StyleGAN's arithmetic written a second time: NumPy, float64, plain loops, NHWC.

Slow and obvious on purpose: what the package computes fast is held against this.
"""

import numpy as np

EPSILON = 1e-8


def conv(x, kernel):
    """Stride 1, zero padding: one shifted matrix product a tap."""
    k = kernel.shape[0]
    h, w = x.shape[1:3]
    border = ((k - 1) // 2, k // 2)  # an even kernel hangs over at the end
    padded = np.pad(x, [(0, 0), border, border, (0, 0)])
    taps = [(i, j) for i in range(k) for j in range(k)]
    return sum(padded[:, i : i + h, j : j + w] @ kernel[i, j] for i, j in taps)


def upsample(x):
    return np.repeat(np.repeat(x, 2, axis=1), 2, axis=2)


def downsample(x):
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def blur(x, taps=(1, 2, 1)):
    kernel = np.outer(taps, taps) / np.sum(taps) ** 2
    return conv(x, kernel[:, :, None, None] * np.eye(x.shape[-1]))


def upsample_conv(x, kernel):
    return conv(upsample(x), kernel)


def conv_downsample(x, kernel):
    return downsample(conv(x, kernel))


def lrelu(x):
    return np.where(x > 0, x, 0.2 * x)


def pixel_norm(x):
    return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + EPSILON)


def instance_norm(x):
    x = x - x.mean(axis=(1, 2), keepdims=True)
    return x / np.sqrt(np.mean(x**2, axis=(1, 2), keepdims=True) + EPSILON)


def minibatch_stddev(x, group=4, features=1):
    """Example by example: its group is every (N / group)-th example."""
    n, h, w, c = x.shape
    size = max(g for g in range(1, min(group, n) + 1) if n % g == 0)
    out = np.zeros((n, h, w, features))
    for i in range(n):
        members = x[i % (n // size) :: n // size]
        spread = np.sqrt(members.var(axis=0) + EPSILON)  # [H, W, C]
        for f, maps in enumerate(np.split(spread, features, axis=-1)):
            out[i, :, :, f] = maps.mean()
    return out


# ---------------------------------------------------------------------------
# Networks, from the weights of ours


def array(weight):
    return np.asarray(weight, np.float64)


def equalized(layer, gain):
    """The kernel that an equalized layer works with."""
    kernel = array(layer.kernel)
    return kernel * gain / np.sqrt(np.prod(kernel.shape[:-1])) * layer.lrmul


def adain(x, w, style):
    affine = w @ equalized(style.affine, 1) + array(style.affine.bias)
    scale, shift = np.split(affine[:, None, None], 2, axis=-1)
    return instance_norm(x) * (1 + scale) + shift


def epilogue(tail, x, w, noise, noise_last=False):
    """Noise, bias, leaky ReLU, AdaIN; or the noise at the end."""
    added = noise * array(tail.noise.weight)
    x = lrelu(x + (0 if noise_last else added) + array(tail.bias.weight))
    return adain(x, w, tail.style) + (added if noise_last else 0)


def synthesis(g, ws, noise, noise_last=False):
    """A whole picture of the default architecture, fully faded in."""
    x = np.repeat(array(g.block4.const.const), len(ws), axis=0)
    for i, r in enumerate(r for r in (4, 8, 16, 32) if r <= g.config.resolution):
        block = getattr(g, f"block{r}")
        if r > 4:
            x = blur(conv(upsample(x), equalized(block.conv0, np.sqrt(2))))
        j = 2 * i
        x = epilogue(block.epilogue0, x, ws[:, j], noise[j], noise_last)
        x = conv(x, equalized(block.conv1, np.sqrt(2)))
        x = epilogue(block.epilogue1, x, ws[:, j + 1], noise[j + 1], noise_last)
    to_rgb = getattr(g, f"to_rgb{r}")
    return conv(x, equalized(to_rgb, 1)) + array(to_rgb.bias)


def discriminator(d, images):
    """The scores of pictures of the full resolution, without labels."""

    def layer(x, name):
        linear = conv(x, equalized(name, np.sqrt(2))) + array(name.bias)
        return lrelu(linear)

    r = d.config.resolution
    x = layer(images, getattr(d, f"from_rgb{r}"))
    while r > 4:
        block, r = getattr(d, f"block{r}"), r // 2
        x = blur(layer(x, block.conv0))
        down = conv_downsample(x, equalized(block.conv1, np.sqrt(2)))
        x = lrelu(down + array(block.conv1.bias))
    spread = minibatch_stddev(x, d.config.mbstd_group, d.config.mbstd_features)
    x = layer(np.concatenate([x, spread], axis=-1), d.head.conv)
    x = x.reshape(len(x), -1) @ equalized(d.head.dense0, np.sqrt(2))
    x = lrelu(x + array(d.head.dense0.bias))
    return x @ equalized(d.head.dense1, 1) + array(d.head.dense1.bias)


def faded(below: np.ndarray, new: np.ndarray, alpha: float) -> np.ndarray:
    """Pictures [N, H, W, C] that fade in over those of half the size."""
    old = below.repeat(2, axis=1).repeat(2, axis=2)
    return old * (1 - alpha) + new * alpha
