"""Maps the official names and layouts of StyleGAN and StyleGAN2 to our weights.

`name_map(network)` lists, for every official variable of a generator or discriminator,
our weight and the conversion of its array between the layouts: NCHW there, NHWC here.
Weights are the stored values, before the equalized learning rate's multiplier, on both
sides.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import keras
import numpy as np

from stylegan_tf.config import Growth, levels
from stylegan_tf.config.networks import GROWING, STYLEGAN2
from stylegan_tf.networks.discriminator import Discriminator
from stylegan_tf.networks.generator import Generator


def _identity(x: np.ndarray) -> np.ndarray:
    return x


def _flip(x: np.ndarray) -> np.ndarray:
    return x[::-1, ::-1]


@dataclass(frozen=True)
class Slot:
    """One of our weights, and the conversion of its array to and from official files.

    Attributes:
        weight: our weight.
        to_ours: official array -> our array.
        to_official: our array -> official array.
    """

    weight: keras.Variable
    to_ours: Callable[[np.ndarray], np.ndarray] = _identity
    to_official: Callable[[np.ndarray], np.ndarray] = _identity


def name_map(
    network: Generator | Discriminator, fused_scale: str | bool = "auto"
) -> dict[str, Slot]:
    """Returns official variable name -> `Slot` for every weight of a network.

    Args:
        network: a generator or discriminator with a square start block of 4 x 4.
        fused_scale: the official option: "auto", True or False. Where the official
            graph fuses upsampling and convolution, its kernel is ours rotated by 180
            degrees.
    """
    if isinstance(network, Generator):
        return _generator(network, fused_scale)
    return _discriminator(network)


def assign_official(
    network: Generator | Discriminator,
    arrays: Mapping[str, np.ndarray],
    fused_scale: str | bool = "auto",
) -> list[str]:
    """Sets every weight of a network from official arrays.

    Args:
        network: see `name_map`.
        arrays: official name -> array. `lod` entries hold no weight and are ignored.
        fused_scale: see `name_map`.

    Returns:
        Names in `arrays` without a weight in this network.

    Raises:
        KeyError: an official variable is missing from `arrays`.
    """
    slots = name_map(network, fused_scale)
    for name, slot in slots.items():
        slot.weight.assign(slot.to_ours(np.asarray(arrays[name])))
    skip = {"lod", "G_synthesis/lod"}
    return [name for name in arrays if name not in slots and name not in skip]


# ---------------------------------------------------------------------------


def _nchw() -> dict:
    """Converts between [N, C, H, W] (official) and [N, H, W, C] (ours)."""
    return {
        "to_ours": lambda x: np.transpose(x, [0, 2, 3, 1]),
        "to_official": lambda x: np.transpose(x, [0, 3, 1, 2]),
    }


def _fused(resolution: int, fused_scale) -> dict:
    fused = resolution >= 128 if fused_scale == "auto" else bool(fused_scale)
    return {"to_ours": _flip, "to_official": _flip} if fused else {}


def _flattened_columns(h: int, w: int, maps: int) -> dict:
    """Converts a dense kernel whose outputs are a block C, H, W (ours: H, W, C)."""
    return {
        "to_ours": lambda x: (
            x.reshape(-1, maps, h, w).transpose(0, 2, 3, 1).reshape(len(x), -1)
        ),
        "to_official": lambda x: (
            x.reshape(-1, h, w, maps).transpose(0, 3, 1, 2).reshape(len(x), -1)
        ),
    }


def _flattened_rows(h: int, w: int, maps: int) -> dict:
    """Converts a dense kernel whose inputs are a block C, H, W (ours: H, W, C)."""
    return {
        "to_ours": lambda x: (
            x.reshape(maps, h, w, -1).transpose(1, 2, 0, 3).reshape(len(x), -1)
        ),
        "to_official": lambda x: (
            x.reshape(h, w, maps, -1).transpose(2, 0, 1, 3).reshape(len(x), -1)
        ),
    }


def _generator(g: Generator, fused_scale) -> dict[str, Slot]:
    c, synthesis = g.config, g.synthesis
    slots = {"dlatent_avg": Slot(g.w_avg)}
    if c.classes and c.label_norm == "own":
        slots |= _with_bias("G_mapping/LabelEmbed", g.mapping.embedding)
    elif c.classes:
        weight = g.mapping.label_embedding
        slots["G_mapping/LabelConcat/weight"] = Slot(weight)
    for i in range(c.mapping_layers):
        dense = getattr(g.mapping, f"dense{i}")
        slots |= _with_bias(f"G_mapping/Dense{i}", dense)
    for i in range(len(c.noise_shapes(c.resolution))):
        noise = getattr(synthesis, f"noise{i}")
        slots[f"G_synthesis/noise{i}"] = Slot(noise, **_nchw())
    for r in levels(c.resolution):
        block = getattr(synthesis, f"block{r}")
        to_rgb = getattr(synthesis, f"to_rgb{r}", None)
        lod = Growth(r).lod(c.resolution)
        if c.architecture in STYLEGAN2:
            slots |= _stylegan2_block(block)
            slots |= _to_rgb(c, r, to_rgb) if to_rgb else {}
        else:
            slots |= _synthesis_block(c, block, fused_scale)
            slots |= _with_bias(f"G_synthesis/ToRGB_lod{lod:g}", to_rgb)
    return slots


def _stylegan2_block(block) -> dict[str, Slot]:
    r = block.resolution
    scope = f"G_synthesis/{r}x{r}"
    if r == 4:
        slots = {f"{scope}/Const/const": Slot(block.const.const, **_nchw())}
        return slots | _styled(f"{scope}/Conv", block.conv1)
    slots = _styled(f"{scope}/Conv0_up", block.conv0)
    if block.config.architecture == "residual":
        slots[f"{scope}/Skip/weight"] = Slot(block.skip.kernel)
    return slots | _styled(f"{scope}/Conv1", block.conv1)


def _styled(scope: str, layer) -> dict[str, Slot]:
    slots = _modulated(scope, layer.conv)
    if layer.config.use_noise:
        slots[f"{scope}/noise_strength"] = Slot(layer.noise.weight)
    return slots | {f"{scope}/bias": Slot(layer.bias.weight)}


def _to_rgb(c, r: int, to_rgb) -> dict[str, Slot]:
    scope = f"G_synthesis/{r}x{r}/ToRGB"
    if c.architecture == "revised":
        scope = f"G_synthesis/ToRGB_lod{Growth(r).lod(c.resolution):g}"
    bias = {f"{scope}/bias": Slot(to_rgb.rgb_bias.weight)}
    return _modulated(scope, to_rgb) | bias


def _modulated(scope: str, conv) -> dict[str, Slot]:
    return {
        f"{scope}/weight": Slot(conv.kernel),
        f"{scope}/mod_weight": Slot(conv.affine.kernel),
        f"{scope}/mod_bias": Slot(conv.affine.bias),
    }


def _synthesis_block(c, block, fused_scale) -> dict[str, Slot]:
    r = block.resolution
    scope = f"G_synthesis/{r}x{r}"
    if r > 4:
        names = ("Conv0_up", "Conv1")
        first = Slot(block.conv0.kernel, **_fused(r, fused_scale))
        slots = {f"{scope}/Conv0_up/weight": first}
    elif c.const_input:
        names = ("Const", "Conv")
        slots = {f"{scope}/Const/const": Slot(block.const.const, **_nchw())}
    else:
        names = ("Dense", "Conv")
        layout = _flattened_columns(*c.shape(4), c.fmaps(4))
        slots = {f"{scope}/Dense/weight": Slot(block.dense.kernel, **layout)}
    slots[f"{scope}/{names[1]}/weight"] = Slot(block.conv1.kernel)
    for name, tail in zip(names, (block.epilogue0, block.epilogue1), strict=True):
        slots |= _epilogue(f"{scope}/{name}", tail)
    return slots


def _epilogue(scope: str, tail) -> dict[str, Slot]:
    slots = {f"{scope}/bias": Slot(tail.bias.weight)}
    if tail.use_noise:
        slots[f"{scope}/Noise/weight"] = Slot(tail.noise.weight)
    if tail.use_styles:
        slots |= _with_bias(f"{scope}/StyleMod", tail.style.affine)
    return slots


def _discriminator(d: Discriminator) -> dict[str, Slot]:
    c, slots = d.config, {}
    for r in levels(c.resolution):
        scope = f"{r}x{r}/FromRGB"
        if c.architecture in GROWING:
            scope = f"FromRGB_lod{Growth(r).lod(c.resolution):g}"
        if hasattr(d, f"from_rgb{r}"):
            slots |= _with_bias(scope, getattr(d, f"from_rgb{r}"))
    for r in levels(c.resolution, first=8):
        block = getattr(d, f"block{r}")
        slots |= _with_bias(f"{r}x{r}/Conv0", block.conv0)
        slots |= _with_bias(f"{r}x{r}/Conv1_down", block.conv1)
        if c.architecture == "residual":
            slots[f"{r}x{r}/Skip/weight"] = Slot(block.skip.kernel)
    slots |= _with_bias("4x4/Conv", d.head.conv)
    layout = _flattened_rows(*c.start_shape, c.fmaps(4))
    slots |= _with_bias("4x4/Dense0", d.head.dense0, **layout)
    last = "Output" if c.architecture in STYLEGAN2 else "4x4/Dense1"
    slots |= _with_bias(last, d.head.dense1)
    if c.classes and c.conditioning == "projection":
        slots |= _with_bias("LabelEmbed", d.head.embedding)
        for i in range(c.mapping_layers):
            slots |= _with_bias(f"Mapping{i}", getattr(d.head, f"mapping{i}"))
    return slots


def _with_bias(scope: str, layer, **layout) -> dict[str, Slot]:
    return {
        f"{scope}/weight": Slot(layer.kernel, **layout),
        f"{scope}/bias": Slot(layer.bias),
    }
