"""Turns the arguments of the official build functions into our configs, and back.

A pickle names the function that builds each network and the arguments that were given;
the others have the function's defaults. The functions differ by release:

    G_style, D_basic                      StyleGAN (Karras et al. 2019)
    G_main, D_stylegan2                   StyleGAN2, skip / resnet / orig
    G_main with G_synthesis_stylegan_revised, D_stylegan      StyleGAN2's growing ones
    G_main with G_synthesis, D_main       StyleGAN2-ADA (Karras et al. 2020b)

The 2018 pickles of progressive GAN (G_paper, D_paper) are refused by name.
"""

from stylegan_tf.config import DiscriminatorConfig, GeneratorConfig, from_dict
from stylegan_tf.config.limits import shortened
from stylegan_tf.config.networks import STYLEGAN2
from stylegan_tf.errors import UserError
from stylegan_tf.official.tf_pickles import ADA, NetworkState

# Official argument -> our field.
GENERATOR = {
    "num_channels": "channels",
    "resolution": "resolution",
    "label_size": "classes",
    "fmap_base": "fmap_base",
    "fmap_decay": "fmap_decay",
    "fmap_max": "fmap_max",
    "latent_size": "z_dim",
    "dlatent_size": "w_dim",
    "mapping_layers": "mapping_layers",
    "mapping_fmaps": "mapping_width",
    "mapping_lrmul": "mapping_lrmul",
    "normalize_latents": "normalize_z",
    "use_styles": "use_styles",
    "const_input_layer": "const_input",
    "use_noise": "use_noise",
    "use_pixel_norm": "use_pixel_norm",
    "use_instance_norm": "use_instance_norm",
    "blur_filter": "blur_filter",
    "resample_kernel": "resample_filter",
    "nonlinearity": "activation",
    "style_mixing_prob": "style_mixing_prob",
    "dlatent_avg_beta": "w_avg_beta",
    "conv_clamp": "conv_clamp",
    "label_fmaps": "label_width",
}
DISCRIMINATOR = {
    name: ours
    for name, ours in GENERATOR.items()
    if ours in DiscriminatorConfig.__dataclass_fields__
} | {"mbstd_group_size": "mbstd_group", "mbstd_num_features": "mbstd_features"}

ARCHITECTURES = {"skip": "skip", "resnet": "residual", "orig": "original"}
# Arguments of which one value is supported.
FIXED = {"use_wscale": True, "fmap_min": 1, "use_pixelnorm": True}
FIXED |= {"mapping_nonlinearity": "lrelu", "mapping_use_wscale": True}
FIXED |= {"use_leakyrelu": True}
OFF = {"style_mixing_prob": 0.0, "w_avg_beta": 1.0}  # our value for None
MAX_TAPS = 64
WHOLE_BATCH = 4096  # a group of the minibatch statistic larger than any batch


def generator_config(state: NetworkState) -> GeneratorConfig:
    """Returns the config of an official generator.

    Raises:
        UserError: the generator is not supported.
    """
    kind = _generator_kind(state)
    fields = _fields(state, GENERATOR)
    if state.version == ADA:
        fields = _ada_mapping(state, fields) | fields
    if kind != "stylegan":
        fields = {"fmap_base": 16384} | fields | {"use_styles": True}
    return from_dict(GeneratorConfig, fields | {"architecture": kind})


def _ada_mapping(state: NetworkState, fields: dict) -> dict:
    """StyleGAN2-ADA's own defaults of the mapping network."""
    if fields.get("classes") and not fields.get("normalize_z", True):
        raise UserError(f"{state.name} has labels beside a z that is not normalized.")
    return {"label_norm": "own", "mapping_width": fields.get("w_dim", 512)}


def _ada_discriminator(fields: dict) -> dict:
    """A discriminator's fields over StyleGAN2-ADA's own defaults."""
    fields = {"mbstd_group": WHOLE_BATCH} | fields
    if not fields.get("classes"):
        return fields
    width = fields.get("mapping_width", 0)
    fields = {"mapping_layers": 0, "mapping_lrmul": 0.1} | fields
    return fields | {"conditioning": "projection", "projection_width": width}


def discriminator_config(state: NetworkState) -> DiscriminatorConfig:
    """Returns the config of an official discriminator.

    Raises:
        UserError: the discriminator is not supported.
    """
    fields, given = _fields(state, DISCRIMINATOR), state.static_kwargs
    name = state.build_func_name
    if name == "D_basic":
        return from_dict(DiscriminatorConfig, fields)
    if name == "D_stylegan":
        kind = "revised"
    elif name in ("D_stylegan2", "D_main"):
        kind = _architecture(given.get("architecture", "resnet"))
    else:
        raise _unknown_builder(state)
    fields = _ada_discriminator(fields) if name == "D_main" else fields
    fields = {"fmap_base": 16384} | fields | {"architecture": kind}
    return from_dict(DiscriminatorConfig, fields)


_KNOWN = (
    "known are G_style and D_basic (StyleGAN), G_main, D_stylegan and D_stylegan2 "
    "(StyleGAN2), G_main and D_main (StyleGAN2-ADA)."
)


def _unknown_builder(state: NetworkState) -> UserError:
    name = state.build_func_name
    progan = ", a progressive GAN, which is not supported"
    kind = progan if name in ("G_paper", "D_paper") else ""
    return UserError(f"{state.name} is built by {name!r}{kind}; {_KNOWN}")


def _generator_kind(state: NetworkState) -> str:
    name = state.build_func_name
    if name == "G_style":
        return "stylegan"
    if name != "G_main":
        raise _unknown_builder(state)
    synthesis = state.components.get("synthesis")
    built = synthesis.build_func_name if synthesis else ""
    if built == "G_synthesis_stylegan_revised":
        return "revised"
    if built == ("G_synthesis" if state.version == ADA else "G_synthesis_stylegan2"):
        return _architecture(state.static_kwargs.get("architecture", "skip"))
    raise UserError(f"{state.name} has a synthesis network {built!r}; {_KNOWN}")


def _architecture(name) -> str:
    if name not in ARCHITECTURES:
        raise UserError(
            f"architecture is {shortened(name)}; known are {', '.join(ARCHITECTURES)}."
        )
    return ARCHITECTURES[name]


def _fields(state: NetworkState, names: dict[str, str]) -> dict:
    """Returns our config's fields for the given arguments."""
    given = state.static_kwargs
    for name, value in FIXED.items():
        if given.get(name, value) != value:
            raise UserError(
                f"{state.name} was built with {name}={shortened(given[name])}; only "
                f"{value!r} is read."
            )
    fields = {ours: given[name] for name, ours in names.items() if name in given}
    for ours in ("blur_filter", "resample_filter"):
        if ours in fields:
            fields[ours] = filter_taps(state.name, fields[ours])
    fields |= {k: v for k, v in OFF.items() if k in fields and fields[k] is None}
    return {k: v for k, v in fields.items() if v is not None}


def filter_taps(name: str, value: object) -> tuple[int, ...]:
    """Returns the taps of a filter; None becomes ().

    Args:
        name: of the network, for messages.
        value: a list or tuple of whole numbers, ints or floats, or None.

    Raises:
        UserError: it is something else.
    """
    if value is None:
        return ()
    fits = isinstance(value, (list, tuple)) and len(value) <= MAX_TAPS
    if not fits or any(type(v) not in (int, float) or v % 1 for v in value):
        raise UserError(
            f"{name} has a filter that is no list of up to {MAX_TAPS} whole numbers."
        )
    return tuple(int(v) for v in value)


# ---------------------------------------------------------------------------
# From our configs to official arguments


def official_arguments(c: GeneratorConfig | DiscriminatorConfig) -> tuple[str, dict]:
    """Returns the official build function and its arguments for a config.

    Raises:
        UserError: the official networks have no counterpart.
    """
    generator = isinstance(c, GeneratorConfig)
    _check_official(c)
    names = GENERATOR if generator else DISCRIMINATOR
    skip = ["resample_filter"] if c.architecture == "stylegan" else ["blur_filter"]
    skip += ["conv_clamp", "label_width"]  # of StyleGAN2-ADA, which is not written
    skip += [] if generator else ["mapping_layers", "mapping_width", "mapping_lrmul"]
    if generator and c.architecture != "stylegan":
        skip += ["use_styles", "const_input", "use_pixel_norm", "use_instance_norm"]
    arguments = {
        name: getattr(c, ours) for name, ours in names.items() if ours not in skip
    }
    for name in ("blur_filter", "resample_kernel"):
        if name in arguments:
            arguments[name] = list(arguments[name]) or None
    if c.architecture == "stylegan":
        return ("G_style" if generator else "D_basic"), arguments
    if c.architecture == "revised":
        extra = {"synthesis_func": "G_synthesis_stylegan_revised"} if generator else {}
        return ("G_main" if generator else "D_stylegan"), arguments | extra
    official = {ours: name for name, ours in ARCHITECTURES.items()}
    arguments["architecture"] = official[c.architecture]
    return ("G_main" if generator else "D_stylegan2"), arguments


def _check_official(c: GeneratorConfig | DiscriminatorConfig) -> None:
    reasons = {
        f"architecture={c.architecture}": c.architecture
        not in ("stylegan", *STYLEGAN2),
        "pictures that are not square or no power of two": c.start_shape != (4, 4),
        "StyleGAN2-ADA's clamp": c.conv_clamp,
        "StyleGAN2-ADA's labels, normalized on their own": c.classes
        and getattr(c, "label_norm", "") == "own",
        "that width of the last block": getattr(c, "head_width", 0)
        not in (0, c.fmaps(2)),
        "noise after AdaIN": getattr(c, "noise_position", "") == "after_adain",
        "a projection on the label": c.classes
        and getattr(c, "conditioning", "") == "projection",
    }
    refused = [reason for reason, holds in reasons.items() if holds]
    if refused:
        raise UserError(
            f"pickles are written as StyleGAN's and StyleGAN2's TensorFlow code wrote "
            f"them, and these do not know {refused[0]}; keep the model as .keras or "
            f".safetensors."
        )
