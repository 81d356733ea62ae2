"""Reads rosinality's StyleGAN2 checkpoints (`.pt`), and gives weights in that layout.

Tools that edit images with StyleGAN2 in PyTorch share this format. A checkpoint is a
dict of state dicts, {"g_ema": ..., "g": ..., "d": ..., "latent_avg": ...}; trainings
add optimizers and settings, and leave `latent_avg` out. Kernels are stored before the
equalized learning rate's multiplier, like ours, with channels first; those behind an
upsampling are rotated by 180 degrees. The bias of a style includes the one that our
layers add to the style.

A checkpoint stores no arguments: sizes follow from the shapes. What shapes do not tell
is what every such program has: skip connections in the generator, residual ones in the
discriminator, leaky ReLU, no clamp, a learning rate of 0.01 in the mapping network, and
groups of 4 in the minibatch statistic.
"""

import dataclasses
import operator
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stylegan_tf.config import DiscriminatorConfig, GeneratorConfig, levels
from stylegan_tf.errors import UserError
from stylegan_tf.formats import torch_files
from stylegan_tf.official.torch_names import Entry
from stylegan_tf.official.torch_pickles import ModuleState, TrainingSnapshot

if TYPE_CHECKING:
    from stylegan_tf.networks.discriminator import Discriminator
    from stylegan_tf.networks.generator import Generator

REPOSITORY = "rosinality"
KEYS = {"g": "G", "d": "D", "g_ema": "Gs"}  # of a checkpoint -> ours
AVERAGE, AUGMENT = "latent_avg", "ada_aug_p"
TAPS = (1, 3, 3, 1)
START = "input.input"  # the constant that every generator has
LAST = "final_linear.1.weight"  # the layer that every discriminator has


@dataclass(frozen=True)
class Layout:
    """A conversion between their arrays and ours, and back."""

    to_ours: Callable[[np.ndarray], np.ndarray]
    to_theirs: Callable[[np.ndarray], np.ndarray]


SAME = Layout(lambda x: x, lambda x: x)
DENSE = Layout(np.transpose, np.transpose)
ADDED = Layout(lambda x: x - np.float32(1), lambda x: x + np.float32(1))
CONV = Layout(lambda x: x.transpose(2, 3, 1, 0), lambda x: x.transpose(3, 2, 0, 1))
STYLED = Layout(  # [1, O, I, k, k] <-> [k, k, I, O]
    lambda x: x[0].transpose(2, 3, 1, 0), lambda x: x.transpose(3, 2, 0, 1)[None]
)
TURNED = Layout(
    lambda x: STYLED.to_ours(x)[::-1, ::-1], lambda x: STYLED.to_theirs(x[::-1, ::-1])
)
MAPS = Layout(  # [1, C, H, W] <-> [1, H, W, C]
    lambda x: x.transpose(0, 2, 3, 1), lambda x: x.transpose(0, 3, 1, 2)
)
COLORS = Layout(np.ravel, lambda x: x.reshape(1, -1, 1, 1))
SCALAR = Layout(lambda x: x.reshape(()), lambda x: x.reshape(1))


@dataclass(frozen=True)
class StateEntry(Entry):
    """A tensor of a state dict, see `torch_names.Entry`.

    Attributes:
        to_theirs: from our layout to theirs.
    """

    to_theirs: Callable[[np.ndarray], np.ndarray] = SAME.to_theirs


# ---------------------------------------------------------------------------
# Files


def read_rosinality(path: Path | str) -> TrainingSnapshot:
    """Reads the networks of a checkpoint, or of the state dict of a generator.

    Raises:
        UserError: the file is missing, damaged, or holds anything but such networks.
    """
    content = torch_files.read_checkpoint(
        path, lambda name: name in (*KEYS, AVERAGE, AUGMENT) or "." in name
    )
    p = content.get(AUGMENT)
    fits = isinstance(p, (int, float, np.ndarray)) and np.size(p) == 1
    augment_p = float(np.ravel(p)[0]) if fits else None
    return TrainingSnapshot(networks_of(path, content), augment_p)


def networks_of(path: Path | str, content: dict) -> dict[str, ModuleState | None]:
    """Returns the networks "G", "D" and "Gs" of a checkpoint's content.

    Args:
        path: for messages.
        content: dicts of arrays by the names in `KEYS`, or the arrays of a generator.

    Raises:
        UserError: there is none.
    """
    networks: dict[str, ModuleState | None] = dict.fromkeys(KEYS.values())
    if f"module.{START}" in content:  # of a model that was spread over several GPUs
        content = {name.removeprefix("module."): x for name, x in content.items()}
    if START in content:
        content = {"g_ema": {k: v for k, v in content.items() if k != AVERAGE}} | {
            k: v for k, v in content.items() if k == AVERAGE
        }
    elif LAST in content:
        content = {"d": content}
    for theirs, ours in KEYS.items():
        tensors = content.get(theirs)
        if not isinstance(tensors, dict):
            continue
        tensors = {name.removeprefix("module."): x for name, x in tensors.items()}
        if ours != "D" and isinstance(content.get(AVERAGE), np.ndarray):
            tensors |= {AVERAGE: np.ravel(content[AVERAGE])}
        kind = "Discriminator" if ours == "D" else "Generator"
        state = ModuleState(ours, kind, {}, REPOSITORY, tensors)
        networks[ours] = dataclasses.replace(state, start_shape=_start(content))
    if not any(networks.values()):
        raise UserError(
            f"{path} holds no StyleGAN2 that is known here: neither g_ema, g or d, nor "
            f"the tensors of a generator ({START} and others)."
        )
    return networks


def _start(content: dict) -> tuple[int, int]:
    """Height and width of the generators' constant."""
    for key in ("g_ema", "g"):
        state = content.get(key)
        constant = state.get(START) if isinstance(state, dict) else None
        if constant is not None and constant.ndim == 4:
            return int(constant.shape[2]), int(constant.shape[3])
    return 4, 4


# ---------------------------------------------------------------------------
# Settings, by the shapes of tensors


def shaped_config(state: ModuleState) -> GeneratorConfig | DiscriminatorConfig:
    """Returns the config of a network, from the shapes of its tensors.

    Raises:
        UserError: a tensor that tells a size is missing, or the sizes are of another
            network.
    """
    return _discriminator_config(state) if state.name == "D" else _config(state)


def _shape(state: ModuleState, name: str, rank: int) -> tuple[int, ...]:
    found = state.tensors.get(name)
    if found is None or found.ndim != rank or not found.size:
        has = "missing" if found is None else list(found.shape)
        raise UserError(
            f"{state.name}'s {name} is {has}; this is no checkpoint of rosinality's "
            f"StyleGAN2."
        )
    return found.shape


def _count(state: ModuleState, form: str, first: int = 0) -> int:
    """Number of tensors "a.0.b", "a.1.b", ... without a gap."""
    n = first
    while form.format(n) in state.tensors:
        n += 1
    return n - first


def _widths(state: ModuleState, maps: dict[int, int]) -> dict[str, int]:
    """Settings of feature maps by resolution that halve from block to block."""
    top, resolution = maps[4], max(maps)
    narrow = [r for r, count in maps.items() if count < top]
    base = maps[min(narrow)] * min(narrow) // 2 if narrow else 16384
    base = max(base, top * resolution // 2) if not narrow else base
    wanted = {r: min(2 * base // r, top) for r in maps}
    if maps != wanted:
        raise UserError(
            f"{state.name} has {list(maps.values())} feature maps; StyleGAN2's halve "
            f"with every block, as in {list(wanted.values())}."
        )
    return {"fmap_base": base, "fmap_max": top}


def _config(state: ModuleState) -> GeneratorConfig:
    _, top, height, width = _shape(state, START, 4)
    doublings = _count(state, "to_rgbs.{}.conv.weight")
    maps = {4: top}
    for i in range(doublings):
        name = f"convs.{2 * i}.conv.weight"
        maps[8 << i] = _shape(state, name, 5)[1]
    layers = _count(state, "style.{}.weight", 1)
    w, z = _shape(state, f"style.{max(layers, 1)}.weight", 2)
    return GeneratorConfig(
        architecture="skip",
        resolution=max(maps),
        start_shape=(height, width),
        channels=_shape(state, "to_rgb1.conv.weight", 5)[1],
        z_dim=_shape(state, "style.1.weight", 2)[1],
        w_dim=w,
        mapping_layers=layers,
        mapping_width=w,
        **_widths(state, maps),
    )


def _discriminator_config(state: ModuleState) -> DiscriminatorConfig:
    blocks = _count(state, "convs.{}.conv1.0.weight", 1)
    maps = {4: _shape(state, "final_conv.0.weight", 4)[0]}
    for i in range(1, blocks + 1):
        name = f"convs.{i}.conv1.0.weight"
        maps[4 << (blocks + 1 - i)] = _shape(state, name, 4)[0]
    maps = dict(sorted(maps.items()))
    extra = _shape(state, "final_conv.0.weight", 4)[1] - maps[4]
    return DiscriminatorConfig(
        architecture="residual",
        resolution=max(maps),
        start_shape=state.start_shape,
        channels=_shape(state, "convs.0.0.weight", 4)[1],
        mbstd_features=max(extra, 1),
        mbstd_group=4 if extra > 0 else 0,
        head_width=_shape(state, "final_linear.0.weight", 2)[0],
        **_widths(state, maps),
    )


# ---------------------------------------------------------------------------
# Tensors


def state_entries(c: GeneratorConfig | DiscriminatorConfig) -> list[StateEntry]:
    """Lists every tensor of a network except its resampling filters."""
    return _discriminator(c) if isinstance(c, DiscriminatorConfig) else _generator(c)


def _entry(name, shape, weight, layout=SAME, optional=False) -> StateEntry:
    return StateEntry(
        name, tuple(shape), weight, layout.to_ours, optional, layout.to_theirs
    )


def _generator(c: GeneratorConfig) -> list[StateEntry]:
    found, width = [_entry(AVERAGE, [c.w_dim], "w_avg", optional=True)], c.z_dim
    for i in range(c.mapping_layers):
        found += _dense(f"style.{i + 1}", f"mapping.dense{i}", c.w_dim, width)
        width = c.w_dim
    constant = "synthesis.block4.const.const"
    found.append(_entry(START, (1, c.fmaps(4), *c.shape(4)), constant, MAPS))
    found += _styled(c, 4, "conv1", "conv1", c.fmaps(4))
    found += _to_rgb(c, 4, "to_rgb1")
    for i, r in enumerate(levels(c.resolution, first=8)):
        found += _styled(c, r, f"convs.{2 * i}", "conv0", c.fmaps(r // 2))
        found += _styled(c, r, f"convs.{2 * i + 1}", "conv1", c.fmaps(r))
        found += _to_rgb(c, r, f"to_rgbs.{i}")
    for i, shape in enumerate(c.noise_shapes(c.resolution)):
        name, weight = f"noises.noise_{i}", f"synthesis.noise{i}"
        found.append(_entry(name, (1, 1, *shape), weight, MAPS, optional=True))
    return found


def _dense(name: str, weight: str, units: int, width: int) -> list[StateEntry]:
    return [
        _entry(f"{name}.weight", (units, width), f"{weight}.kernel", DENSE),
        _entry(f"{name}.bias", (units,), f"{weight}.bias"),
    ]


def _modulated(name, weight, shape, w_dim: int, layout: Layout) -> list[StateEntry]:
    width = shape[2]
    return [
        _entry(f"{name}.weight", shape, f"{weight}.kernel", layout),
        _entry(
            f"{name}.modulation.weight",
            (width, w_dim),
            f"{weight}.affine.kernel",
            DENSE,
        ),
        _entry(f"{name}.modulation.bias", (width,), f"{weight}.affine.bias", ADDED),
    ]


def _styled(
    c: GeneratorConfig, r: int, name: str, layer: str, width: int
) -> list[StateEntry]:
    weight, maps = f"synthesis.block{r}.{layer}", c.fmaps(r)
    layout, shape = TURNED if layer == "conv0" else STYLED, (1, maps, width, 3, 3)
    return [
        *_modulated(f"{name}.conv", f"{weight}.conv", shape, c.w_dim, layout),
        _entry(f"{name}.noise.weight", (1,), f"{weight}.noise.weight", SCALAR),
        _entry(f"{name}.activate.bias", (maps,), f"{weight}.bias.weight"),
    ]


def _to_rgb(c: GeneratorConfig, r: int, name: str) -> list[StateEntry]:
    weight, shape = f"synthesis.to_rgb{r}", (1, c.channels, c.fmaps(r), 1, 1)
    bias = _entry(
        f"{name}.bias", (1, c.channels, 1, 1), f"{weight}.rgb_bias.weight", COLORS
    )
    return [*_modulated(f"{name}.conv", weight, shape, c.w_dim, STYLED), bias]


def _discriminator(c: DiscriminatorConfig) -> list[StateEntry]:
    top = c.resolution
    shape = (c.fmaps(top), c.channels, 1, 1)
    found = _plain("convs.0.0.weight", "convs.0.1.bias", f"from_rgb{top}", shape)
    for i, r in enumerate(reversed(levels(top, first=8)), start=1):
        name, block, maps, less = f"convs.{i}", f"block{r}", c.fmaps(r), c.fmaps(r // 2)
        for of, weight, conv, shape in (
            ("conv1", "conv0", 0, (maps, maps, 3, 3)),
            ("conv2", "conv1", 1, (less, maps, 3, 3)),  # behind a blur
        ):
            weights, bias = f"{name}.{of}.{conv}.weight", f"{name}.{of}.{conv + 1}.bias"
            found += _plain(weights, bias, f"{block}.{weight}", shape)
        shape = (less, maps, 1, 1)
        found.append(
            _entry(f"{name}.skip.1.weight", shape, f"{block}.skip.kernel", CONV)
        )
    maps, hidden = c.fmaps(4), c.head_width or c.fmaps(2)
    extra = c.mbstd_features if c.mbstd_group > 1 else 0
    shape = (maps, maps + extra, 3, 3)
    found += _plain("final_conv.0.weight", "final_conv.1.bias", "head.conv", shape)
    h, w = c.shape(4)
    rows = Layout(  # inputs C, H, W <-> H, W, C
        lambda x: x.reshape(-1, maps, h, w).transpose(2, 3, 1, 0).reshape(-1, len(x)),
        lambda x: (
            x.reshape(h, w, maps, -1).transpose(3, 2, 0, 1).reshape(x.shape[1], -1)
        ),
    )
    first = "final_linear.0"
    return [
        *found,
        _entry(f"{first}.weight", (hidden, maps * h * w), "head.dense0.kernel", rows),
        _entry(f"{first}.bias", (hidden,), "head.dense0.bias"),
        *_dense("final_linear.1", "head.dense1", 1, hidden),
    ]


def _plain(weight: str, bias: str, ours: str, shape) -> list[StateEntry]:
    return [
        _entry(weight, shape, f"{ours}.kernel", CONV),
        _entry(bias, shape[:1], f"{ours}.bias"),
    ]


def state_filters(c: GeneratorConfig | DiscriminatorConfig) -> dict[str, np.ndarray]:
    """Returns the resampling filters that a network's state dict holds beside it."""
    taps = np.outer(TAPS, TAPS).astype(np.float32) / np.sum(TAPS) ** 2
    doublings = range(len(levels(c.resolution, first=8)))
    if isinstance(c, DiscriminatorConfig):
        names = ("convs.{}.conv2.0.kernel", "convs.{}.skip.0.kernel")
        return {name.format(i + 1): taps for i in doublings for name in names}
    blurs = {f"convs.{2 * i}.conv.blur.kernel": 4 * taps for i in doublings}
    return blurs | {f"to_rgbs.{i}.upsample.kernel": 4 * taps for i in doublings}


# ---------------------------------------------------------------------------
# From our networks


def state_dict_of(network: "Generator | Discriminator") -> dict[str, np.ndarray]:
    """Returns the state dict of one of our networks; a generator's has `latent_avg`.

    Raises:
        UserError: the layout has no counterpart of the network.
    """
    c = network.config
    _check_counterpart(c)
    found = {}
    for entry in state_entries(c):
        weight = operator.attrgetter(entry.weight)(network)
        found[entry.name] = entry.to_theirs(weight.numpy())
    return found | state_filters(c)


def _check_counterpart(c: GeneratorConfig | DiscriminatorConfig) -> None:
    generator = isinstance(c, GeneratorConfig)
    wanted = {
        "architecture": "skip" if generator else "residual",
        "start_shape": (4, 4),
        "classes": 0,
        "activation": "lrelu",
        "resample_filter": TAPS,
    }
    if generator:
        wanted |= {"use_noise": True, "mapping_lrmul": 0.01, "normalize_z": True}
        wanted |= {"mapping_width": c.w_dim, "z_dim": c.w_dim}
    else:
        wanted |= {"mbstd_group": 4, "mbstd_features": 1}
    for name, value in wanted.items():
        if getattr(c, name) != value:
            raise UserError(
                f"rosinality's layout has {name}={value} only, and this "
                f"{'generator' if generator else 'discriminator'} has "
                f"{getattr(c, name)}; keep the model as .keras."
            )
