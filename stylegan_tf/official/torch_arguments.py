"""Configs from the arguments of PyTorch's StyleGAN classes.

A pickle keeps the arguments that were given; what was not given has the default of the
repository that wrote the file, and the two repositories differ:

    stylegan2-ada-pytorch    synthesis arguments in `synthesis_kwargs`; no clamp
    stylegan3                synthesis arguments beside the others; clamp 256

Both call their classes `Generator` and `Discriminator`, so that the content tells them
apart. StyleGAN3's discriminator is StyleGAN2's.
"""

from collections.abc import Mapping

from stylegan_tf.config import DiscriminatorConfig, GeneratorConfig, from_dict
from stylegan_tf.config.limits import shortened
from stylegan_tf.errors import UserError
from stylegan_tf.official.arguments import ARCHITECTURES, WHOLE_BATCH, filter_taps
from stylegan_tf.official.torch_pickles import ModuleState

DEFAULT_TAPS = (1, 3, 3, 1)

# Argument -> our field. Arguments in IGNORED do not change the results.
MAPPING = {
    "num_layers": "mapping_layers",
    "lr_multiplier": "mapping_lrmul",
    "layer_features": "mapping_width",
    "embed_features": "label_width",
}
OUTER = {
    "c_dim": "classes",
    "img_resolution": "resolution",
    "img_channels": "channels",
    "channel_max": "fmap_max",
}
STYLEGAN3 = {
    "num_layers": "layers",
    "num_critical": "critical",
    "first_cutoff": "first_cutoff",
    "first_stopband": "first_stopband",
    "last_stopband_rel": "last_stopband",
    "margin_size": "margin",
    "output_scale": "output_scale",
    "conv_kernel": "kernel_size",
    "filter_size": "filter_size",
    "lrelu_upsampling": "upsampling",
    "use_radial_filters": "radial",
    "magnitude_ema_beta": "magnitude_beta",
}
IGNORED = {"num_fp16_res", "fp16_channels_last", "fused_modconv_default"}
IGNORED |= {"freeze_layers"}
KERNEL_SIZE = 3  # of StyleGAN2's convolutions


class _Arguments:
    """Arguments of one call, taken one by one until none is left.

    Args:
        name: of the network.
        values: name -> value.
    """

    def __init__(self, name: str, values: Mapping):
        if not isinstance(values, Mapping):
            raise UserError(f"{name} has arguments that are no names and values.")
        self.name, self.values = name, dict(values)

    def take(self, key: str, default=None):
        """Takes an argument; missing and None give the default."""
        value = self.values.pop(key, None)
        return default if value is None else value

    def given(self, key: str, default):
        """Takes an argument, None included; only missing gives the default."""
        return self.values.pop(key, default)

    def fields(self, names: Mapping[str, str]) -> dict:
        """Takes the given ones of several arguments as our fields."""
        found = {ours: self.take(key) for key, ours in names.items()}
        return {ours: value for ours, value in found.items() if value is not None}

    def part(self, key: str) -> "_Arguments":
        """Takes the arguments of a part of the network."""
        return _Arguments(self.name, self.take(key, {}))

    def finish(self) -> None:
        """Refuses arguments that are left over."""
        left = sorted(set(self.values) - IGNORED)
        if left:
            raise UserError(
                f"{self.name} was made with {', '.join(map(str, left[:3]))}, which "
                f"networks of StyleGAN2 and StyleGAN3 do not take."
            )


def torch_generator_config(state: ModuleState) -> GeneratorConfig:
    """The config of a generator.

    Raises:
        UserError: it is of a kind that we do not have.
    """
    outer = _Arguments(state.name, state.arguments)
    ada = state.repository == "ada"
    mapping = outer.part("mapping_kwargs")
    inner = outer.part("synthesis_kwargs") if ada else outer
    fields = outer.fields(OUTER | {"z_dim": "z_dim", "w_dim": "w_dim"})
    three = state.kind == "stylegan3"
    fields |= _mapping_fields(mapping, fields, three)
    fields |= {"w_avg_beta": mapping.take("w_avg_beta", 0.995 if ada else 0.998)}
    fields |= inner.fields({"channel_max": "fmap_max"})
    fields |= _shared(inner, None if ada else 256)
    if three:
        own = inner.fields(STYLEGAN3)
        for key in ("first_cutoff", "first_stopband", "last_stopband", "output_scale"):
            own |= {key: float(own[key])} if key in own else {}
        fields |= {"architecture": "stylegan3", "stylegan3": own}
        fields |= {"style_mixing_prob": 0.0, "use_noise": False}
    else:
        fields["architecture"] = _architecture(
            state, inner.take("architecture", "skip")
        )
        fields["use_noise"] = inner.take("use_noise", True)
        _check_kernel(inner)
        fields |= _resampling(inner)
        fields["start_shape"] = state.start_shape
        _check_activation(inner, fields)
    for part in (outer, mapping, inner):
        part.finish()
    return from_dict(GeneratorConfig, fields)


def torch_discriminator_config(state: ModuleState) -> DiscriminatorConfig:
    """The config of a discriminator.

    Raises:
        UserError: it is of a kind that we do not have.
    """
    outer = _Arguments(state.name, state.arguments)
    block, mapping, head = map(
        outer.part, ("block_kwargs", "mapping_kwargs", "epilogue_kwargs")
    )
    fields = outer.fields(OUTER)
    fields |= _shared(outer, None if state.repository == "ada" else 256)
    fields["architecture"] = _architecture(state, outer.take("architecture", "resnet"))
    fields |= _resampling(block)
    group = head.given("mbstd_group_size", 4)
    maps = head.take("mbstd_num_channels", 1)
    group = WHOLE_BATCH if group is None else group
    fields |= {"mbstd_group": group if maps else 0, "mbstd_features": maps or 1}
    _check_activation(block, fields)
    _check_activation(head, fields)
    narrow = from_dict(DiscriminatorConfig, fields).fmaps(4)
    fields |= {"head_width": narrow, "clamp_last_entry": False}
    fields |= {"start_shape": state.start_shape}
    wide = outer.take("cmap_dim", narrow)
    of_labels = {"mapping_layers": 8} | mapping.fields(MAPPING)
    mapping.take("w_avg_beta")  # of no effect: it keeps no average
    if fields.get("classes"):
        _check_activation(mapping, fields)
        fields |= {"conditioning": "projection", "projection_width": wide}
        fields |= of_labels
    mapping.take("activation")
    for part in (outer, block, mapping, head):
        part.finish()
    return from_dict(DiscriminatorConfig, fields)


def _mapping_fields(mapping: _Arguments, outer: dict, three: bool) -> dict:
    """Fields of the mapping network; its labels are normalized on their own."""
    w = outer.get("w_dim", 512)
    start = {"mapping_layers": 2 if three else 8, "mapping_width": w, "label_width": w}
    found = start | mapping.fields(MAPPING) | {"label_norm": "own"}
    _check_activation(mapping, found)
    return found


def _shared(inner: _Arguments, clamp: float | None) -> dict:
    """Widths and clamp; `channel_base` is twice `fmap_base`."""
    base = inner.take("channel_base", 32768)
    if type(base) is not int or base < 2:
        raise UserError(
            f"{inner.name} has channel_base {shortened(base)}, which is no width."
        )
    clamp = inner.given("conv_clamp", clamp)
    if clamp is not None and (type(clamp) not in (int, float) or clamp <= 0):
        raise UserError(
            f"{inner.name} has conv_clamp {shortened(clamp)}, which is no limit."
        )
    return {"fmap_base": base // 2, "conv_clamp": float(clamp or 0)}


def _architecture(state: ModuleState, name) -> str:
    if type(name) is not str or name not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise UserError(
            f"{state.name} has architecture {shortened(name)}; known are {known}."
        )
    return ARCHITECTURES[name]


def _resampling(arguments: _Arguments) -> dict:
    """The filter of the resampling; None = no filter, zeros between pixels."""
    taps = arguments.given("resample_filter", DEFAULT_TAPS)
    return {"resample_filter": filter_taps(arguments.name, taps) or (1,)}


def _check_kernel(arguments: _Arguments) -> None:
    size = arguments.take("kernel_size", KERNEL_SIZE)
    if size != KERNEL_SIZE:
        raise UserError(
            f"{arguments.name} has kernels of {shortened(size)} pixels; 3 are read."
        )


def _check_activation(arguments: _Arguments, fields: dict) -> None:
    """Refuses layers of different activations."""
    kind = arguments.take("activation", "lrelu")
    if fields.setdefault("activation", kind) != kind:
        raise UserError(f"{arguments.name} has layers of unlike activations.")
