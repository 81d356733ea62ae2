"""The released training settings of StyleGAN2-ADA and of StyleGAN3's configs T and R.

Karras et al. 2020b ("auto", by resolution and number of devices) and 2021. A function
returns changes of `TrainConfig` by dotted name; `config/presets.py` names them.
"""

_ADA = {
    "augment.kind": "ada",
    "loss.lazy": True,
    "loss.d_reg_interval": 16,
    "generator.label_norm": "own",
    "discriminator.architecture": "residual",
    "discriminator.conditioning": "projection",
    "discriminator.mapping_layers": 8,
    "ema_rampup": 0.05,
    "schedule.tick_kimg": 4.0,
    "snapshot_ticks": 50,
    "generator.conv_clamp": 256.0,
    "discriminator.conv_clamp": 256.0,
    "generator.half_resolutions": 4,  # where `precision` is not float32
    "discriminator.half_resolutions": 4,
}
FINE_TUNING = {
    "augment.kimg": 100.0,
    "augment.blur_init_sigma": 0.0,
    "ema_rampup": 0.0,
}


def stylegan2_ada(resolution: int, devices: int) -> dict:
    """Returns the settings that the script derives from resolution and devices."""
    devices = max(devices, 1)
    batch = max(min(devices * min(4096 // resolution, 32), 64), devices)
    width = 16384 if resolution >= 512 else 8192
    return _ADA | {
        "generator.architecture": "skip",
        "generator.fmap_base": width,
        "generator.mapping_layers": 2,
        "discriminator.fmap_base": width,
        "discriminator.mbstd_group": min(batch // devices, 4),
        "loss.pl_weight": 2.0,
        "loss.g_reg_interval": 4,
        "loss.r1_gamma": 0.0002 * resolution**2 / batch,
        "schedule.initial_resolution": resolution,
        "schedule.batch": batch,
        "schedule.lr": 0.002 if resolution >= 1024 else 0.0025,
        "ema_kimg": batch * 10 / 32,
    }


def stylegan3(kind: str, resolution: int, devices: int) -> dict:
    """Returns the settings of config "t" or "r".

    Below 128 pixels, where the paper has no networks, there are two layers per octave
    of frequencies, as at 256.
    """
    batch, octaves = 32, resolution.bit_length() - 3  # from 4 pixels on
    layers = 14 if resolution >= 128 else 2 + 2 * octaves
    changes = _ADA | {
        "generator.architecture": "stylegan3",
        "generator.fmap_base": 16384,
        "generator.mapping_layers": 2,
        "generator.style_mixing_prob": 0.0,
        "generator.w_avg_beta": 0.998,
        "generator.stylegan3.layers": layers,
        "generator.stylegan3.magnitude_beta": 0.5 ** (batch / 20000),
        "discriminator.fmap_base": 16384,
        "loss.r1_gamma": 8.0 * (resolution / 512) ** 2,
        "schedule.initial_resolution": resolution,
        "schedule.batch": batch,
        "schedule.lr": 0.0025,
        "schedule.d_lr_ratio": 0.8,
        "ema_kimg": batch * 10 / 32,
    }
    if resolution > 128:  # four images per device and round, as on eight devices
        changes["accumulate"] = max(8 // max(devices, 1), 1)
    if kind == "t":
        return changes
    return changes | {
        "generator.fmap_base": 32768,
        "generator.fmap_max": 1024,
        "generator.stylegan3.kernel_size": 1,
        "generator.stylegan3.radial": True,
        "augment.blur_init_sigma": 10.0,
        "augment.blur_fade_kimg": batch * 200 / 32,
    }
