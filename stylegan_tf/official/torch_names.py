"""The tensors of PyTorch's StyleGAN2 and StyleGAN3 networks, and our weights.

`entries(config)` lists every tensor of such a network: the official name and shape, and
the weight of ours that holds it. Official layouts have channels first, ours have them
last. Official kernels behind an upsampling are rotated by 180 degrees. The bias of a
style's official affine layer includes the one that our layers add to the style.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stylegan_tf.config import DiscriminatorConfig, GeneratorConfig, levels


def _same(x: np.ndarray) -> np.ndarray:
    return x


def _conv(x: np.ndarray) -> np.ndarray:
    """[O, I, k, k] -> [k, k, I, O]."""
    return np.transpose(x, [2, 3, 1, 0])


def _turned(x: np.ndarray) -> np.ndarray:
    return _conv(x)[::-1, ::-1]


def _minus_one(x: np.ndarray) -> np.ndarray:
    return x - np.float32(1)


def _still(x: np.ndarray) -> np.ndarray:
    """The Fourier features' affine bias less that of no rotation and no shift."""
    return x - np.array([1, 0, 0, 0], np.float32)


def _constant(x: np.ndarray) -> np.ndarray:
    return np.transpose(x, [1, 2, 0])[None]


def _noise(x: np.ndarray) -> np.ndarray:
    return x[None, :, :, None]


@dataclass(frozen=True)
class Entry:
    """An official tensor.

    Attributes:
        name: official name.
        shape: official shape.
        weight: attributes that lead from our network to our weight.
        to_ours: from the official layout to ours.
        optional: a file may lack it.
    """

    name: str
    shape: tuple[int, ...]
    weight: str
    to_ours: Callable[[np.ndarray], np.ndarray] = _same
    optional: bool = False


def entries(c: GeneratorConfig | DiscriminatorConfig) -> list[Entry]:
    """Lists every tensor of a network except its resampling filters."""
    if isinstance(c, DiscriminatorConfig):
        return _discriminator(c)
    found = _mapping(c) + [Entry("mapping.w_avg", (c.w_dim,), "w_avg")]
    return found + (_stylegan3(c) if c.architecture == "stylegan3" else _stylegan2(c))


def _dense(name: str, weight: str, units: int, width: int) -> list[Entry]:
    return [
        Entry(f"{name}.weight", (units, width), f"{weight}.kernel", np.transpose),
        Entry(f"{name}.bias", (units,), f"{weight}.bias"),
    ]


def _affine(name: str, weight: str, units: int, width: int) -> list[Entry]:
    return [
        Entry(f"{name}.weight", (units, width), f"{weight}.kernel", np.transpose),
        Entry(f"{name}.bias", (units,), f"{weight}.bias", _minus_one),
    ]


def _mapping(c: GeneratorConfig) -> list[Entry]:
    found, width = [], c.mapping_input_dim
    if c.classes:
        embedded = c.embedding_dim
        found += _dense("mapping.embed", "mapping.embedding", embedded, c.classes)
    for i in range(c.mapping_layers):
        units = c.w_dim if i == c.mapping_layers - 1 else c.mapping_width
        found += _dense(f"mapping.fc{i}", f"mapping.dense{i}", units, width)
        width = units
    return found


# ---------------------------------------------------------------------------
# StyleGAN2


def _stylegan2(c: GeneratorConfig) -> list[Entry]:
    shape = (c.fmaps(4), *c.shape(4))
    weight = "synthesis.block4.const.const"
    found, layer = [Entry("synthesis.b4.const", shape, weight, _constant)], 0
    exits = levels(c.resolution) if c.architecture == "skip" else [c.resolution]
    for r in levels(c.resolution):
        maps, below = c.fmaps(r), c.fmaps(max(r // 2, 4))
        scope, block = f"synthesis.b{r}", f"synthesis.block{r}"
        if r > 4:
            found += _styled(c, r, f"{scope}.conv0", f"{block}.conv0", below, layer)
            layer += 1
        found += _styled(c, r, f"{scope}.conv1", f"{block}.conv1", maps, layer)
        layer += 1
        if r > 4 and c.architecture == "residual":
            skip = (maps, below, 1, 1)
            found.append(
                Entry(f"{scope}.skip.weight", skip, f"{block}.skip.kernel", _turned)
            )
        if r in exits:
            found += _to_rgb(c, r)
    return found


def _styled(
    c: GeneratorConfig, r: int, name: str, weight: str, width: int, index: int
) -> list[Entry]:
    """A styled convolution; the first one of a block doubles the size."""
    maps = c.fmaps(r)
    turn = _turned if name.endswith("conv0") else _conv
    shape = (maps, width, 3, 3)
    found = [Entry(f"{name}.weight", shape, f"{weight}.conv.kernel", turn)]
    found.append(Entry(f"{name}.bias", (maps,), f"{weight}.bias.weight"))
    found += _affine(f"{name}.affine", f"{weight}.conv.affine", width, c.w_dim)
    if c.use_noise:
        noise = f"synthesis.noise{index}"
        found.append(Entry(f"{name}.noise_const", c.shape(r), noise, _noise))
        found.append(Entry(f"{name}.noise_strength", (), f"{weight}.noise.weight"))
    return found


def _to_rgb(c: GeneratorConfig, r: int) -> list[Entry]:
    name, weight, maps = f"synthesis.b{r}.torgb", f"synthesis.to_rgb{r}", c.fmaps(r)
    shape = (c.channels, maps, 1, 1)
    return [
        Entry(f"{name}.weight", shape, f"{weight}.kernel", _conv),
        Entry(f"{name}.bias", (c.channels,), f"{weight}.rgb_bias.weight"),
        *_affine(f"{name}.affine", f"{weight}.affine", maps, c.w_dim),
    ]


# ---------------------------------------------------------------------------
# StyleGAN3


def _stylegan3(c: GeneratorConfig) -> list[Entry]:
    name, weight = "synthesis.input", "synthesis.input_features"
    count = c.filtered_layers[0].in_channels
    found = [
        Entry(f"{name}.weight", (count, count), f"{weight}.kernel", np.transpose),
        Entry(
            f"{name}.affine.weight",
            (4, c.w_dim),
            f"{weight}.affine_kernel",
            np.transpose,
        ),
        Entry(f"{name}.affine.bias", (4,), f"{weight}.affine_bias", _still),
        Entry(f"{name}.transform", (3, 3), f"{weight}.transform"),
        Entry(f"{name}.freqs", (count, 2), f"{weight}.frequencies"),
        Entry(f"{name}.phases", (count,), f"{weight}.phases"),
    ]
    for p in c.filtered_layers:
        name, weight = f"synthesis.{p.name}", f"synthesis.layer{p.index}"
        shape = (p.out_channels, p.in_channels, p.kernel_size, p.kernel_size)
        found.append(Entry(f"{name}.weight", shape, f"{weight}.kernel", _conv))
        found.append(Entry(f"{name}.bias", (p.out_channels,), f"{weight}.bias"))
        found += _affine(f"{name}.affine", f"{weight}.affine", p.in_channels, c.w_dim)
        found.append(Entry(f"{name}.magnitude_ema", (), f"{weight}.magnitude"))
        down = (p.down_taps,) * (2 if p.radial else 1)
        for kind, taps in (("up", (p.up_taps,)), ("down", down)):
            if taps[0] > 1:
                ours = f"{weight}.{kind}_filter"
                found.append(Entry(f"{name}.{kind}_filter", taps, ours))
    return found


# ---------------------------------------------------------------------------
# The discriminator of both


def _discriminator(c: DiscriminatorConfig) -> list[Entry]:
    found: list[Entry] = []
    entrances = levels(c.resolution) if c.architecture == "skip" else [c.resolution]
    for r in levels(c.resolution):
        maps, scope, block = c.fmaps(r), f"b{r}", f"block{r}"
        if r in entrances:
            found += _plain(
                f"{scope}.fromrgb", f"from_rgb{r}", (maps, c.channels, 1, 1)
            )
        if r == 4:
            continue
        less = c.fmaps(r // 2)
        found += _plain(f"{scope}.conv0", f"{block}.conv0", (maps, maps, 3, 3))
        found += _plain(f"{scope}.conv1", f"{block}.conv1", (less, maps, 3, 3))
        if c.architecture == "residual":
            shape, weight = (less, maps, 1, 1), f"{block}.skip.kernel"
            found.append(Entry(f"{scope}.skip.weight", shape, weight, _conv))
    return found + _head(c)


def _plain(name: str, weight: str, shape: tuple[int, ...]) -> list[Entry]:
    return [
        Entry(f"{name}.weight", shape, f"{weight}.kernel", _conv),
        Entry(f"{name}.bias", shape[:1], f"{weight}.bias"),
    ]


def _head(c: DiscriminatorConfig) -> list[Entry]:
    maps, (h, w) = c.fmaps(4), c.shape(4)
    extra = c.mbstd_features if c.mbstd_group > 1 else 0

    def rows(x: np.ndarray) -> np.ndarray:
        """Reorders inputs from C, H, W to H, W, C."""
        return x.reshape(-1, maps, h, w).transpose(2, 3, 1, 0).reshape(h * w * maps, -1)

    dense, outputs = c.head_width or c.fmaps(2), 1
    projects = bool(c.classes) and c.conditioning == "projection"
    if projects:
        outputs = c.projection_width or dense
    found = _plain("b4.conv", "head.conv", (maps, maps + extra, 3, 3))
    found += [
        Entry("b4.fc.weight", (dense, maps * h * w), "head.dense0.kernel", rows),
        Entry("b4.fc.bias", (dense,), "head.dense0.bias"),
    ]
    found += _dense("b4.out", "head.dense1", outputs, dense)
    return found + (_label_mapping(c, outputs) if projects else [])


def _label_mapping(c: DiscriminatorConfig, outputs: int) -> list[Entry]:
    width = c.label_width or outputs
    found = _dense("mapping.embed", "head.embedding", width, c.classes)
    for i in range(c.mapping_layers):
        last = i == c.mapping_layers - 1
        units = outputs if last else c.mapping_width or outputs
        found += _dense(f"mapping.fc{i}", f"head.mapping{i}", units, width)
        width = units
    return found
