"""Named recipes, each with its command, its expected time and memory. No TensorFlow.

A recipe is a function of the resolution that returns the changes it makes to
`TrainConfig`, by dotted name.
"""

from collections.abc import Callable
from dataclasses import dataclass

from stylegan_tf.config import TrainConfig, update
from stylegan_tf.errors import UserError

# Karras et al. 2019, released training script: one entry a resolution. The learning
# rate rises with the size, the batch shrinks to what a 16 GB device holds.
PAPER_LR = {128: 0.0015, 256: 0.002, 512: 0.003, 1024: 0.003}
PAPER_BATCH = {
    1: (4, {4: 128, 8: 128, 16: 128, 32: 64, 64: 32, 128: 16, 256: 8, 512: 4}),
    2: (8, {4: 256, 8: 256, 16: 128, 32: 64, 64: 32, 128: 16, 256: 8}),
    4: (16, {4: 512, 8: 256, 16: 128, 32: 64, 64: 32, 128: 16}),
    8: (32, {4: 512, 8: 256, 16: 128, 32: 64, 64: 32}),
}
PAPER_TICKS = {4: 160, 8: 140, 16: 120, 32: 100, 64: 80, 128: 60, 256: 40, 512: 30}


@dataclass(frozen=True)
class Preset:
    """A recipe.

    Attributes:
        summary: one line on what it is for.
        resolution: the one it is made for, unless the user names another.
        max_auto: with user's pictures and no named resolution, go no higher.
        expect: time and memory, in words.
        changes: resolution, devices -> changes by dotted name.
    """

    summary: str
    resolution: int
    max_auto: int
    expect: str
    changes: Callable[[int, int], dict]


def _demo(resolution: int, devices: int) -> dict:
    """A narrow network and a short schedule: faces in minutes, on a laptop's CPU."""
    kimg = {8: 6, 16: 24, 32: 48, 64: 48, 128: 80, 256: 120}
    both = {"fmap_base": max(8 * resolution, 256), "fmap_max": 64}
    changes = {f"{n}.{k}": v for n in NETWORKS for k, v in both.items()}
    return changes | {
        "generator.z_dim": 64,
        "generator.w_dim": 64,
        "generator.mapping_width": 64,
        "loss.r1_gamma": 4.0 * (resolution / 32) ** 2,
        "loss.d_reg_interval": 4,
        "schedule.stable_kimg": 6.0,
        "schedule.fade_kimg": 4.0,
        "schedule.total_kimg": float(kimg.get(resolution, 200)),
        "schedule.batch": 8,
        "schedule.lr": 0.003,
        "schedule.tick_kimg": 2.0,
        "ema_kimg": 1.0,
        "snapshot_ticks": 4,
    }


def _paper(resolution: int, devices: int) -> dict:
    """Configuration F of the paper with its released schedule."""
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
    """A few thousand pictures on one GPU: half the width, shorter phases, more R1."""
    both = {"fmap_base": 4096, "fmap_max": 256}
    changes = {f"{n}.{k}": v for n in NETWORKS for k, v in both.items()}
    return (
        _paper(resolution, devices)
        | changes
        | {
            "generator.mapping_layers": 4,
            "loss.d_reg_interval": 4,
            "loss.r1_gamma": 20.0,
            "schedule.stable_kimg": 150.0,
            "schedule.fade_kimg": 150.0,
            "schedule.total_kimg": 3000.0,
        }
    )


# The ablation ladder of Karras et al. 2019, table 1: each row adds one idea to the one
# before; F is the full network. (A, the progressive GAN, is another loss and schedule.)
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
LADDER = {"b": _B, "c": _C, "d": _D, "e": _E, "f": {}}
_IDEAS = {
    "b": "tuned progressive GAN: z enters at the first block, pixel norm",
    "c": "B with the mapping network and styles (AdaIN)",
    "d": "C with the learned constant in place of the input layer",
    "e": "D with noise inputs",
    "f": "E with style mixing: the paper's StyleGAN",
}
NETWORKS = ("generator", "discriminator")
_PAPER_TIME = "the authors report {} on 8 V100 GPUs; not measured here"

PRESETS = {
    "demo": Preset(
        "a small network that shows faces in minutes, no GPU needed",
        32,
        64,
        "12 minutes at 32x32 on two busy CPU cores, 34 at 64x64 on one; 1.3 GB",
        _demo,
    ),
    "small-data": Preset(
        "a few thousand pictures and one GPU",
        256,
        256,
        "not measured here; a fifth of paper256's multiply-adds an image",
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
}


def _rung(letter: str) -> Preset:
    return Preset(
        _IDEAS[letter],
        1024,
        1024,
        _PAPER_TIME.format("6 d 14 h"),
        lambda resolution, devices: _paper(resolution, devices) | LADDER[letter],
    )


PRESETS |= {f"ladder-{letter}": _rung(letter) for letter in LADDER}


def make(name: str, resolution: int | None = None, devices: int = 1) -> TrainConfig:
    """The configuration of a preset.

    Args:
        name: one of `PRESETS`.
        resolution: level to train to; None = the one the preset is made for.
        devices: replicas that share the batch; the paper's batch grows with them.

    Raises:
        UserError: no such preset.
    """
    if name not in PRESETS:
        raise UserError(f"there is no preset {name!r}; there are {', '.join(PRESETS)}.")
    preset = PRESETS[name]
    level = resolution or preset.resolution
    changes = {"preset": name, "resolution": level} | preset.changes(level, devices)
    return update(TrainConfig(), changes)


def table() -> str:
    """The presets for `--help`: what each is for, and what to expect."""
    lines = []
    for name, preset in PRESETS.items():
        lines += [f"  {name:<11} {preset.summary}", f"{'':14}({preset.expect})"]
    return "\n".join(lines)
