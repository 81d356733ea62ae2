"""Every number of a model and of a training run, as frozen dataclasses. No TensorFlow.

`GeneratorConfig` and `DiscriminatorConfig` describe the networks of Karras et al. 2019
("A Style-Based Generator Architecture for GANs") and each switch of its ablation
ladder; `LossConfig`, `ScheduleConfig` and `TrainConfig` describe a run. All of them
travel through JSON, so that `config.json` in a run directory rebuilds everything.
The recipes made of them are in `presets.py`.

Sizes. A picture is a start block of h x w (4 x 4 unless said otherwise) doubled n
times. `resolution` names the level and is always 4 * 2^n: a start block of 4 x 6 at
resolution 512 is a picture of 512 x 768.
"""

import dataclasses
import json
import typing
from dataclasses import dataclass, field

from stylegan_tf.errors import UserError

MAX_RESOLUTION = 1024
GENERATOR_LOSSES = ("logistic_nonsaturating", "logistic_saturating", "wasserstein")
DISCRIMINATOR_LOSSES = ("logistic", "wasserstein", "hinge")
NOISE_POSITIONS = ("before_bias", "after_adain")
ACTIVATIONS = ("lrelu", "relu")
PRECISIONS = ("float32", "bfloat16")


# ---------------------------------------------------------------------------
# The networks


@dataclass(frozen=True)
class GeneratorConfig:
    """The mapping and synthesis networks; the defaults are the paper's config F."""

    resolution: int = 1024  # level of the output, 4 * 2^n
    start_shape: tuple[int, int] = (4, 4)  # height, width of the first block
    channels: int = 3
    classes: int = 0  # width of the one-hot labels, 0 = unconditional
    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 8  # 0 = w is the normalised z
    mapping_width: int = 512  # hidden layers of the mapping network
    mapping_lrmul: float = 0.01
    normalize_z: bool = True
    fmap_base: int = 8192  # channels at stage s: min(fmap_base / 2^(s decay), fmap_max)
    fmap_decay: float = 1.0
    fmap_max: int = 512
    use_styles: bool = True  # ladder C; False feeds w to the first block only
    const_input: bool = True  # ladder D; False starts from a dense layer on w
    use_noise: bool = True  # ladder E
    noise_position: str = "before_bias"  # or "after_adain"
    use_pixel_norm: bool = False  # ladder B
    use_instance_norm: bool = True
    blur_filter: tuple[int, ...] = (1, 2, 1)  # () = no blur
    activation: str = "lrelu"
    style_mixing_prob: float = 0.9  # ladder F
    w_avg_beta: float = 0.995

    def __post_init__(self):
        _check_sizes(self)
        if self.noise_position not in NOISE_POSITIONS:
            raise UserError(
                f"noise_position is {self.noise_position!r}; "
                f"choose one of {', '.join(NOISE_POSITIONS)}."
            )
        _check_range("style_mixing_prob", self.style_mixing_prob, 0, 1)
        _check_range("w_avg_beta", self.w_avg_beta, 0, 1)
        _check_range("mapping_layers", self.mapping_layers, 0, 64)
        if self.mapping_layers == 0 and self.w_dim != self.mapping_input_dim:
            raise UserError(
                f"mapping_layers=0 makes w the normalised input of "
                f"{self.mapping_input_dim} values, but w_dim is {self.w_dim}; "
                f"set w_dim={self.mapping_input_dim} or use a mapping layer."
            )

    @property
    def mapping_input_dim(self) -> int:
        """Width of the mapping network's input: z, and the label's embedding."""
        return self.z_dim * (2 if self.classes else 1)

    @property
    def num_layers(self) -> int:
        """Styled layers, two a resolution: 18 at 1024."""
        return 2 * len(levels(self.resolution))

    @property
    def num_styles(self) -> int:
        """Slots in ws: one a layer, or a single one when styles are off."""
        return self.num_layers if self.use_styles else 1

    def fmaps(self, resolution: int) -> int:
        """Channels of the block at `resolution`."""
        return _fmaps(self, resolution)

    def shape(self, resolution: int) -> tuple[int, int]:
        """Height and width of the pictures at `resolution`."""
        return picture_shape(self.start_shape, resolution)


@dataclass(frozen=True)
class DiscriminatorConfig:
    """The discriminator; the defaults are the paper's."""

    resolution: int = 1024
    start_shape: tuple[int, int] = (4, 4)
    channels: int = 3
    classes: int = 0
    fmap_base: int = 8192
    fmap_decay: float = 1.0
    fmap_max: int = 512
    mbstd_group: int = 4  # examples a group of the minibatch statistic, <= 1 = off
    mbstd_features: int = 1
    blur_filter: tuple[int, ...] = (1, 2, 1)
    activation: str = "lrelu"

    def __post_init__(self):
        _check_sizes(self)

    def fmaps(self, resolution: int) -> int:
        """Channels of the block at `resolution`."""
        return _fmaps(self, resolution)

    def shape(self, resolution: int) -> tuple[int, int]:
        """Height and width of the pictures at `resolution`."""
        return picture_shape(self.start_shape, resolution)


# ---------------------------------------------------------------------------
# The run


@dataclass(frozen=True)
class LossConfig:
    """Losses and penalties (appendix C of the paper; R1 from Mescheder et al. 2018)."""

    g_loss: str = "logistic_nonsaturating"
    d_loss: str = "logistic"
    r1_gamma: float = 10.0  # at the final resolution; at r it is gamma (r / R)^2
    r2_gamma: float = 0.0
    gp_weight: float = 0.0  # WGAN-GP's lambda, usually 10
    gp_target: float = 1.0
    drift: float = 0.0  # weight of E[D(real)^2], usually 0.001 with Wasserstein
    d_reg_interval: int = 1  # penalties every so many steps; 1 = the paper

    def __post_init__(self):
        _check_choice("g_loss", self.g_loss, GENERATOR_LOSSES)
        _check_choice("d_loss", self.d_loss, DISCRIMINATOR_LOSSES)
        _check_range("d_reg_interval", self.d_reg_interval, 1, 1024)
        for name in ("r1_gamma", "r2_gamma", "gp_weight", "drift"):
            _check_range(name, getattr(self, name), 0, float("inf"))


@dataclass(frozen=True)
class ScheduleConfig:
    """Growth, batch size and learning rate as functions of the images seen."""

    initial_resolution: int = 8
    stable_kimg: float = 600.0  # thousands of images at each resolution
    fade_kimg: float = 600.0  # and while the next one fades in
    total_kimg: float = 25000.0
    batch: int = 4  # over all devices
    batch_at: dict[int, int] = field(default_factory=dict)  # resolution -> batch
    max_batch_per_device: dict[int, int] = field(default_factory=dict)
    lr: float = 0.001
    lr_at: dict[int, float] = field(default_factory=dict)
    lr_rampup_kimg: float = 0.0
    tick_kimg: float = 160.0  # one log line and one sheet of pictures
    tick_kimg_at: dict[int, float] = field(default_factory=dict)

    def __post_init__(self):
        _check_power(self.initial_resolution, "initial_resolution", least=4)
        _check_range("batch", self.batch, 1, 1 << 20)
        _check_range("total_kimg", self.total_kimg, 0, float("inf"))
        for name, values in (("lr", [self.lr]), ("lr_at", self.lr_at.values())):
            for value in values:
                _check_range(name, value, 0, 1)
        if self.stable_kimg < 0 or self.fade_kimg < 0:
            raise UserError("stable_kimg and fade_kimg cannot be negative.")


@dataclass(frozen=True)
class TrainConfig:
    """A whole run: what it trains, on what, how, and what it tells."""

    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    preset: str = "custom"
    data: str = "demo"
    labels: str = "none"  # "auto" trains a conditional model
    init: str = ""  # model that the weights start from
    mirror: bool = False  # flip half of the real pictures
    adam_beta1: float = 0.0
    adam_beta2: float = 0.99
    adam_epsilon: float = 1e-8
    ema_kimg: float = 10.0  # half-life of the generator's moving average
    accumulate: int = 1  # rounds a step is split into, to fit a small device
    precision: str = "float32"
    seed: int = 0
    deterministic: bool = False
    snapshot_ticks: int = 10  # ticks between checkpoints
    image_ticks: int = 1  # ticks between sheets of pictures

    def __post_init__(self):
        _check_choice("precision", self.precision, PRECISIONS)
        _check_range("accumulate", self.accumulate, 1, 4096)
        g, d = self.generator, self.discriminator
        for name in ("resolution", "start_shape", "channels", "classes"):
            if getattr(g, name) != getattr(d, name):
                raise UserError(
                    f"generator.{name} is {getattr(g, name)} but discriminator.{name} "
                    f"is {getattr(d, name)}; they see the same pictures."
                )
        if self.schedule.initial_resolution > g.resolution:
            raise UserError(
                f"growth starts at {self.schedule.initial_resolution}, above the final "
                f"resolution {g.resolution}; lower schedule.initial_resolution."
            )


# What may differ when a run continues: its length, and how much it reports.
RESUMABLE = ("schedule.total_kimg", "snapshot_ticks", "image_ticks", "data")


# ---------------------------------------------------------------------------
# Sizes


def levels(resolution: int, first: int = 4) -> list[int]:
    """The resolutions from `first` to `resolution`: 4, 8, 16, ..."""
    return [1 << k for k in range(first.bit_length() - 1, resolution.bit_length())]


def picture_shape(start_shape: tuple[int, int], resolution: int) -> tuple[int, int]:
    """Height and width at `resolution` of a model with that start block."""
    return start_shape[0] * resolution // 4, start_shape[1] * resolution // 4


def split_shape(height: int, width: int) -> tuple[int, tuple[int, int]]:
    """The level and start block whose pictures are height x width.

    The shorter side is halved down to between 4 and 7 pixels: 64 x 64 is level 64 of
    4 x 4, 512 x 768 is level 512 of 4 x 6, 96 x 96 is level 64 of 6 x 6.

    Raises:
        UserError: the sides cannot be halved that often without a remainder.
    """
    doublings = max(min(height, width).bit_length() - 3, 0)
    unit = 1 << doublings
    if min(height, width) < 8 or height % unit or width % unit:
        near = _nearest(height, width)
        raise UserError(
            f"pictures of {height}x{width} cannot be built by doubling a small start "
            f"block; the nearest size that can is {near[0]}x{near[1]}."
        )
    return 4 * unit, (height // unit, width // unit)


def _nearest(height: int, width: int) -> tuple[int, int]:
    """The possible size that differs least."""
    found = []
    for unit in levels(MAX_RESOLUTION // 4, first=2):
        h, w = (max(round(side / unit), 4) for side in (height, width))
        if min(h, w) <= 7:
            found.append((h * unit, w * unit))
    return min(found, key=lambda s: abs(s[0] - height) + abs(s[1] - width))


def parse_resolution(text: str) -> tuple[int, tuple[int, int]]:
    """`"64"` or `"512x768"` (height x width) -> level and start block.

    Raises:
        UserError: not a size, or one that no start block doubles to.
    """
    sides = str(text).lower().split("x")
    if len(sides) > 2 or not all(s.strip().isdecimal() for s in sides):
        raise UserError(f"resolution {text!r} is not N or HEIGHTxWIDTH, such as 64.")
    height, width = int(sides[0]), int(sides[-1])
    return split_shape(height, width)


def _fmaps(config, resolution: int) -> int:
    stage = resolution.bit_length() - 2  # 4 -> 1, 8 -> 2, ...
    return min(
        int(config.fmap_base / 2 ** (stage * config.fmap_decay)), config.fmap_max
    )


# ---------------------------------------------------------------------------
# JSON, and changes by dotted name


def to_dict(config) -> dict:
    """A config as plain JSON values."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_dict(cls, values: dict):
    """The config of class `cls` that `to_dict` wrote.

    Raises:
        UserError: a field that `cls` does not have.
    """
    hints = typing.get_type_hints(cls)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise UserError(f"{cls.__name__} has no field {', '.join(unknown)}.")
    return cls(**{k: _typed(hints[k], v, f"{k}={v!r}") for k, v in values.items()})


def save(config: TrainConfig, path) -> None:
    """Writes a config as readable JSON."""
    with open(path, "w", encoding="utf-8") as f:
        json.dump(to_dict(config), f, indent=2)
        f.write("\n")


def load(path, cls=TrainConfig):
    """Reads what `save` wrote."""
    with open(path, encoding="utf-8") as f:
        return from_dict(cls, json.load(f))


def flat(config) -> dict[str, object]:
    """Every field by its dotted name: `{"generator.z_dim": 512, ...}`."""
    out = {}
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if dataclasses.is_dataclass(value):
            out |= {f"{f.name}.{k}": v for k, v in flat(value).items()}
        else:
            out[f.name] = value
    return out


def update(config, changes: dict[str, object]):
    """A config with some fields, named by their dotted names, changed.

    Values may be text, as on a command line. `resolution`, `start_shape`, `channels`
    and `classes` belong to both networks: the bare name changes both at once.

    Raises:
        UserError: no such field, or a value of another type.
    """
    tree: dict = {}
    shared = ("resolution", "start_shape", "channels", "classes")
    for name, value in changes.items():
        both = name in shared and isinstance(config, TrainConfig)
        names = (
            [f"{n}.{name}" for n in ("generator", "discriminator")] if both else [name]
        )
        for dotted in names:
            head, _, rest = dotted.partition(".")
            tree.setdefault(head, {})[rest] = value
    replaced = {head: _changed(config, head, parts) for head, parts in tree.items()}
    return dataclasses.replace(config, **replaced)


def _changed(config, head: str, parts: dict):
    hints = typing.get_type_hints(type(config))
    if head not in hints:
        raise UserError(f"there is no setting {head!r}; there are: {', '.join(hints)}.")
    if "" not in parts:
        if not dataclasses.is_dataclass(hints[head]):
            raise UserError(
                f"{head!r} is one value; it has no field {next(iter(parts))!r}."
            )
        return update(getattr(config, head), parts)
    value = parts[""]
    if isinstance(value, str):
        return _parse(hints[head], value, head)
    return _typed(hints[head], value, f"{head}={value!r}")


def _parse(hint, text: str, name: str):
    """A value from a command line."""
    if hint is str:
        return text
    try:
        value = json.loads(text.lower() if hint is bool else text)
    except ValueError:
        value = text
    return _typed(hint, value, f"{name}={text!r}")


def _typed(hint, value, shown: str):
    """A plain value as the field of type `hint` that it shall become."""
    want = typing.get_origin(hint) or hint
    try:
        restored = _restore(hint, value)
    except (ValueError, TypeError, AttributeError) as error:
        if isinstance(error, UserError):
            raise
        restored = None
    if not isinstance(restored, want) or (
        isinstance(restored, bool) and want is not bool
    ):
        raise UserError(f"{shown} is not of type {want.__name__}.")
    return restored


def _restore(hint, value):
    """JSON's lists and string keys back to tuples and numbers."""
    origin = typing.get_origin(hint)
    if dataclasses.is_dataclass(hint):
        return from_dict(hint, value)
    if origin is tuple:
        return tuple(value)
    if origin is dict:
        key, item = typing.get_args(hint)
        return {key(k): item(v) for k, v in value.items()}
    return float(value) if hint is float and type(value) is int else value


# ---------------------------------------------------------------------------
# Checks


def _check_sizes(config) -> None:
    _check_power(config.resolution, "resolution", least=8)
    if config.channels not in (1, 3, 4):
        raise UserError(f"channels is {config.channels}; use 1, 3 or 4 (with alpha).")
    _check_range("classes", config.classes, 0, 1 << 20)
    _check_choice("activation", config.activation, ACTIVATIONS)
    start = config.start_shape
    if len(start) != 2 or not all(isinstance(s, int) and 1 <= s <= 64 for s in start):
        raise UserError(
            f"start_shape is {start}; give height and width, such as (4, 6)."
        )
    for name in ("fmap_base", "fmap_max"):
        _check_range(name, getattr(config, name), 1, 1 << 20)
    if config.fmaps(config.resolution) < 1:
        raise UserError(
            f"fmap_base={config.fmap_base} leaves no channel at "
            f"{config.resolution}; raise it."
        )


def _check_power(value: int, name: str, least: int) -> None:
    if value & (value - 1) or not least <= value <= MAX_RESOLUTION:
        raise UserError(
            f"{name} is {value}; use a power of two from {least} to {MAX_RESOLUTION}."
        )


def _check_range(name: str, value, least, most) -> None:
    if not least <= value <= most:
        raise UserError(f"{name} is {value}; it must lie between {least} and {most}.")


def _check_choice(name: str, value, choices) -> None:
    if value not in choices:
        raise UserError(f"{name} is {value!r}; choose one of {', '.join(choices)}.")
