"""Presets: named changes of `TrainConfig`, with expected time and memory.

A preset is a function of resolution and number of devices that returns its changes by
dotted name. `python launch/train.py --preset=NAME` trains one. No TensorFlow.
"""

import difflib
import functools
from collections.abc import Callable
from dataclasses import dataclass, field

from stylegan_tf.config import TrainConfig, ada_presets, update
from stylegan_tf.errors import UserError

# Karras et al. 2019, released training script, by resolution. The learning rate rises
# with the size, and the batch shrinks to what a device of 16 GB holds.
PAPER_LR = {128: 0.0015, 256: 0.002, 512: 0.003, 1024: 0.003}
PAPER_BATCH = {
    1: (4, {4: 128, 8: 128, 16: 128, 32: 64, 64: 32, 128: 16, 256: 8, 512: 4}),
    2: (8, {4: 256, 8: 256, 16: 128, 32: 64, 64: 32, 128: 16, 256: 8}),
    4: (16, {4: 512, 8: 256, 16: 128, 32: 64, 64: 32, 128: 16}),
    8: (32, {4: 512, 8: 256, 16: 128, 32: 64, 64: 32}),
}
PAPER2_BATCH = {8: 256, 16: 128, 32: 64, 64: 32}
PAPER2_TICKS = {8: 28, 16: 24, 32: 20, 64: 16, 128: 12, 256: 8, 512: 6, 1024: 4}
PAPER_TICKS = {4: 160, 8: 140, 16: 120, 32: 100, 64: 80, 128: 60, 256: 40, 512: 30}


@dataclass(frozen=True)
class Preset:
    """A named set of changes.

    Attributes:
        summary: one line on its purpose.
        resolution: resolution that it is made for, unless the user names another.
        max_auto: highest resolution for a user's images if none is named.
        expect: time and memory, in words.
        changes: function of resolution and devices -> changes by dotted name.
        fine_tuning: further changes for a run that starts from a model.
        name: of a preset of your own, which `config.json` keeps.
        fits_memory: its batch is for a large GPU; on a smaller one a new run makes its
            steps in rounds, unless the user names batch or rounds.
    """

    summary: str
    resolution: int
    max_auto: int
    expect: str
    changes: Callable[[int, int], dict[str, object]]
    fine_tuning: dict[str, object] = field(default_factory=dict)
    name: str = ""
    fits_memory: bool = False


class Presets(dict[str, Preset]):
    """The presets by name, in the order of the manual.

    list(presets)                               their names
    print(presets)                              what each is for
    presets.make("demo", resolution=64)         a preset's settings
    """

    def make(
        self,
        name: str,
        resolution: int | None = None,
        devices: int = 1,
        **changes: object,
    ) -> TrainConfig:
        """Returns the settings of a preset.

        Args:
            name: of the preset.
            resolution: resolution to train to; None = the preset's own.
            devices: replicas that share the batch; the paper's batch grows with them.
            **changes: further settings, by name; those with a dot in a dict, as
                `**{"loss.r1_gamma": 1.0}`.

        Raises:
            UserError: no such preset or setting.
        """
        return update(make_config(name, resolution, devices), changes)

    def __str__(self) -> str:
        return preset_table()


NETWORKS = ("generator", "discriminator")


def for_both(name: str, value: object) -> dict[str, object]:
    """Returns the same change for both networks."""
    return {f"{network}.{name}": value for network in NETWORKS}


def _small(resolution: int) -> dict:
    """Returns a narrow StyleGAN and a short schedule: faces in minutes on a CPU."""
    kimg = {8: 6, 16: 24, 32: 48, 64: 48, 128: 80, 256: 120}
    width = for_both("fmap_base", max(8 * resolution, 256)) | for_both("fmap_max", 64)
    return width | {
        "generator.z_dim": 64,
        "generator.w_dim": 64,
        "generator.mapping_width": 64,
        "loss.r1_gamma": 4.0 * (resolution / 32) ** 2,
        "loss.d_reg_interval": 4,
        "loss.reuse_fakes": True,
        "schedule.stable_kimg": 6.0,
        "schedule.fade_kimg": 4.0,
        "schedule.total_kimg": float(kimg.get(resolution, 200)),
        "schedule.batch": 8,
        "schedule.lr": 0.003,
        "schedule.tick_kimg": 2.0,
        "ema_kimg": 1.0,
        "precision": "auto",
        "snapshot_ticks": 4,
    }


def _demo(resolution: int, devices: int) -> dict:
    """Returns modulated convolutions that grow, and noise that learns slowly.

    They draw clean pictures early, where AdaIN amplifies what little there is in flat
    areas. Growing begins at 16x16, the lowest resolutions have more feature maps, which
    cost little there, the learning rate is twice that of the others, and styles are not
    mixed: each of these brings more variety in the same time. See docs/recipe.md.
    """
    changes = _small(resolution) | for_both("architecture", "revised")
    kimg = changes["schedule.total_kimg"]
    changes |= for_both("fmap_max", 128)
    changes |= {f"generator.{n}": 128 for n in ("z_dim", "w_dim", "mapping_width")}
    return changes | {
        "generator.noise_lrmul": 0.001,
        "generator.style_mixing_prob": 0.0,
        "loss.r1_gamma": (resolution / 32) ** 2,
        "schedule.initial_resolution": min(16, resolution),
        "schedule.total_kimg": 32.0 if resolution == 64 else kimg,
        "schedule.batch": 16,
        "schedule.lr": 0.006,
        "ema_kimg": 2.0,
    }


def _paper(resolution: int, devices: int) -> dict:
    """Returns configuration F of the paper with its released schedule."""
    table = PAPER_BATCH[max(n for n in PAPER_BATCH if n <= max(devices, 1))]
    return {
        "schedule.batch": table[0],
        "schedule.batch_at": dict(table[1]),
        "schedule.lr_at": dict(PAPER_LR),
        "schedule.tick_kimg": 20.0,
        "schedule.tick_kimg_at": dict(PAPER_TICKS),
        "mirror": True,
    }


def _small_data(resolution: int, devices: int) -> dict:
    """Returns half the width, shorter phases and ADA, for a few thousand images."""
    return (
        _paper(resolution, devices)
        | for_both("fmap_base", 4096)
        | for_both("fmap_max", 256)
        | {
            "generator.mapping_layers": 4,
            "loss.d_reg_interval": 4,
            "loss.r1_gamma": 20.0,
            "augment.kind": "ada",
            "schedule.stable_kimg": 150.0,
            "schedule.fade_kimg": 150.0,
            "schedule.total_kimg": 3000.0,
        }
    )


# StyleGAN2 (Karras et al. 2020, table 1; released training script): each row adds one
# idea to the one before, from B, the modulated convolutions under StyleGAN's growing
# and losses, to F, the full network.
_LAZY = {"loss.lazy": True, "loss.d_reg_interval": 16}
_PATHS = {"loss.pl_weight": 2.0, "loss.g_reg_interval": 4}
STYLEGAN2 = {
    "b": "with growing: modulated convolutions in place of AdaIN",
    "c": "B, lazy regularization",
    "d": "C, path length regularization",
    "e": "D, no growing: skip generator, residual discriminator",
    "f": "E, large networks: the paper's",
}


def _stylegan2(letter: str, resolution: int, devices: int) -> dict:
    changes = _paper(resolution, devices) | for_both("architecture", "revised")
    changes |= {"schedule.batch": 32, "schedule.batch_at": dict(PAPER2_BATCH)}
    changes |= {"schedule.tick_kimg": 4.0, "schedule.tick_kimg_at": dict(PAPER2_TICKS)}
    changes |= _LAZY if letter >= "c" else {}
    changes |= _PATHS if letter >= "d" else {}
    if resolution > 256:  # four images per device and round, as in the released script
        changes["accumulate"] = max(8 // max(devices, 1), 1)
    if letter < "e":
        return changes
    return (
        changes
        | for_both("fmap_base", 16384 if letter == "f" else 8192)
        | {
            "generator.architecture": "skip",
            "discriminator.architecture": "residual",
            "loss.r1_gamma": 10.0 if letter == "f" else 100.0,
            "schedule.initial_resolution": resolution,
            "schedule.batch_at": {},
            "schedule.lr": 0.002,
            "schedule.lr_at": {},
        }
    )


def _demo_stylegan2(resolution: int, devices: int) -> dict:
    """Returns StyleGAN2 as narrow as `demo`, which does not grow."""
    changes = _stylegan2("f", resolution, devices) | _small(resolution)
    return changes | {
        "schedule.batch": 16,
        "schedule.tick_kimg_at": {},
        "loss.d_reg_interval": 16,
        "precision": "float32",
        "mirror": False,
    }


def _demo_stylegan3(resolution: int, devices: int) -> dict:
    """Returns StyleGAN3-T half as wide as `demo`, with smaller margins."""
    names = ("generator.z_dim", "generator.w_dim", "generator.mapping_width")
    names += ("loss.r1_gamma", "schedule.total_kimg", "schedule.tick_kimg")
    demo = _small(resolution)
    changes = ada_presets.stylegan3("t", resolution, devices)
    changes |= {name: demo[name] for name in names}
    return changes | {
        "generator.fmap_base": max(4 * resolution, 128),
        "generator.fmap_max": 32,
        "discriminator.fmap_base": max(8 * resolution, 256),
        "discriminator.fmap_max": 64,
        "generator.stylegan3.margin": 4,
        "schedule.batch": 16,
        "augment.kind": "none",
        "snapshot_ticks": 4,
    }


def _dcgan(resolution: int, devices: int) -> dict:
    """Returns DCGAN (Radford et al. 2016) at half its width."""
    return (
        for_both("architecture", "dcgan")
        | for_both("fmap_base", 16 * resolution)
        | for_both("fmap_max", 512)
        | {
            "generator.z_dim": 100,
            "generator.w_dim": 100,
            "generator.mapping_layers": 0,
            "generator.normalize_z": False,
            "generator.style_mixing_prob": 0.0,
            "loss.r1_gamma": 0.0,
            "schedule.initial_resolution": resolution,
            "schedule.total_kimg": 200.0,
            "schedule.batch": 64,
            "schedule.lr": 0.0002,
            "schedule.tick_kimg": 10.0,
            "adam_beta1": 0.5,
            "adam_beta2": 0.999,
            "ema_kimg": 1.0,
            "snapshot_ticks": 4,
        }
    )


# The ablation ladder of Karras et al. 2019, table 1: each row adds one idea to the one
# before, from A, the progressive GAN (Karras et al. 2018), to F, the full network.
_B = {
    "generator.use_styles": False,
    "generator.use_pixel_norm": True,
    "generator.use_instance_norm": False,
    "generator.mapping_layers": 0,
    "generator.const_input": False,
    "generator.use_noise": False,
    "generator.style_mixing_prob": 0.0,
}
_C = {n: _B[n] for n in _B if n.split(".")[1] in ("const_input", "use_noise")}
_C["generator.style_mixing_prob"] = 0.0
_D = {n: v for n, v in _C.items() if n != "generator.const_input"}
_E = {"generator.style_mixing_prob": 0.0}
_A = (
    _B
    | for_both("blur_filter", ())
    | {
        "loss.g_loss": "wasserstein",
        "loss.d_loss": "wasserstein",
        "loss.r1_gamma": 0.0,
        "loss.gp_weight": 10.0,
        "loss.d_reg_interval": 1,
        "loss.drift": 0.001,
    }
)
LADDER = {"a": _A, "b": _B, "c": _C, "d": _D, "e": _E, "f": {}}
# Hyper-parameters of the progressive GAN's own training; B to F have the later ones.
_A_SCHEDULE = {"schedule.initial_resolution": 4, "schedule.total_kimg": 12000.0}
_IDEAS = {
    "a": "progressive GAN: WGAN-GP, z enters at the first block, no blur",
    "b": "tuned progressive GAN: z enters at the first block, pixel norm",
    "c": "B with the mapping network and styles (AdaIN)",
    "d": "C with the learned constant in place of the input layer",
    "e": "D with noise inputs",
    "f": "E with style mixing: the paper's StyleGAN",
}
_PAPER_TIME = "the authors report {} on 8 V100 GPUs; not measured here"

_TABLE: dict[str, Preset] = {
    "demo": Preset(
        "a small network that shows faces in minutes, no GPU needed",
        64,
        64,
        "9 minutes at 64x64 on two cores without AVX-512; 1.3 GB",
        _demo,
    ),
    "demo-stylegan2": Preset(
        "StyleGAN2 as small as demo",
        32,
        64,
        "15 minutes at 32x32 on one busy CPU core; 1.0 GB",
        _demo_stylegan2,
    ),
    "demo-stylegan3": Preset(
        "StyleGAN3-T as small as demo",
        32,
        64,
        "16 minutes for 13 kimg at 16x16 on one busy CPU core; 1.1 GB",
        _demo_stylegan3,
    ),
    "dcgan": Preset(
        "the baseline of 2016; with --labels a conditional GAN",
        32,
        64,
        "50 minutes at 32x32 on one busy CPU core; 0.8 GB",
        _dcgan,
    ),
    "small-data": Preset(
        "a few thousand pictures and one GPU",
        256,
        256,
        "not measured here; a fifth of paper256's multiply-adds per image",
        _small_data,
    ),
    "paper256": Preset(
        "the paper's network at 256x256",
        256,
        256,
        _PAPER_TIME.format("3 d 8 h"),
        _paper,
    ),
    "paper1024": Preset(
        "the paper's network at 1024x1024",
        1024,
        1024,
        _PAPER_TIME.format("6 d 14 h"),
        _paper,
    ),
    "stylegan2-ada": Preset(
        "StyleGAN2-ADA, set up by resolution and devices as its script is",
        256,
        1024,
        "not measured here",
        ada_presets.stylegan2_ada,
        ada_presets.FINE_TUNING,
        fits_memory=True,
    ),
    "stylegan3-t": Preset(
        "StyleGAN3, equivariant to translation: config T",
        256,
        1024,
        "not measured here",
        functools.partial(ada_presets.stylegan3, "t"),
        ada_presets.FINE_TUNING,
    ),
    "stylegan3-r": Preset(
        "StyleGAN3, equivariant to rotation too: config R",
        256,
        1024,
        "not measured here",
        functools.partial(ada_presets.stylegan3, "r"),
        ada_presets.FINE_TUNING,
    ),
}


def _rung(letter: str) -> Preset:
    return Preset(
        _IDEAS[letter],
        1024,
        1024,
        _PAPER_TIME.format("6 d 14 h") if letter == "f" else "not measured here",
        lambda resolution, devices: (
            _paper(resolution, devices)
            | LADDER[letter]
            | (_progan_schedule(devices) if letter == "a" else {})
        ),
    )


def _demo_rung(letter: str) -> Preset:
    return Preset(
        f"ladder-{letter} as small as demo, with a schedule as short",
        32,
        64,
        "6 to 12 minutes at 32x32 on two cores, 34 at 64x64 on one; 1.1 GB",
        lambda resolution, _: _small(resolution) | LADDER[letter],
    )


def _progan_schedule(devices: int) -> dict:
    rates = dict(PAPER_LR) if devices >= 8 else {1024: 0.0015}
    return _A_SCHEDULE | {"schedule.lr_at": rates}


def _rung2(letter: str) -> Preset:
    times = {"e": "5 d 6 h", "f": "9 d 18 h"}
    known = (
        _PAPER_TIME.format(times[letter]) if letter in times else "not measured here"
    )
    changes = functools.partial(_stylegan2, letter)
    return Preset(f"StyleGAN2 {STYLEGAN2[letter]}", 1024, 1024, known, changes)


_TABLE |= {f"stylegan2-{letter}": _rung2(letter) for letter in STYLEGAN2}
_TABLE |= {f"ladder-{letter}": _rung(letter) for letter in LADDER}
_TABLE |= {f"demo-ladder-{letter}": _demo_rung(letter) for letter in LADDER}
PRESETS: Presets = Presets(_TABLE)
presets = PRESETS  # its public name


def find_preset(name: str) -> Preset:
    """Returns the preset of a name.

    Raises:
        UserError: no such preset.
    """
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, 1)
        hint = f"did you mean {near[0]}? There" if near else "there"
        raise UserError(
            f"there is no preset {name!r}; {hint} are {', '.join(PRESETS)}."
        )
    return PRESETS[name]


def make_config(
    name: str, resolution: int | None = None, devices: int = 1
) -> TrainConfig:
    """Returns the configuration of a preset.

    Args:
        name: one of `PRESETS`.
        resolution: resolution to train to; None = the preset's own.
        devices: replicas that share the batch; the paper's batch grows with them.

    Raises:
        UserError: no such preset.
    """
    preset = find_preset(name)
    level = resolution or preset.resolution
    changes = {"preset": name, "resolution": level} | preset.changes(level, devices)
    return update(TrainConfig(), changes)


def preset_table() -> str:
    """Returns the presets as a text table for `--help`: purpose, time and memory."""
    lines = []
    for name, preset in PRESETS.items():
        lines += [f"  {name:<14} {preset.summary}", f"{'':17}({preset.expect})"]
    return "\n".join(lines)
