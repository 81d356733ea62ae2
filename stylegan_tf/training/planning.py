"""What a run will cost, before it runs: operations, parameters, memory.

Everything here is counted from the configuration. Operations are the multiply-adds of
the convolutions that are executed, fused ones as fused: they decide the time.
"""

from stylegan_tf.config import DiscriminatorConfig, GeneratorConfig, TrainConfig, levels
from stylegan_tf.schedule import phase_at, rows

BYTES = 4  # weights, statistics and slots are float32


def generator_macs(c: GeneratorConfig, resolution: int) -> float:
    """Multiply-adds of one picture at `resolution`."""
    total = 0.0
    for r in levels(resolution):
        h, w = c.shape(r)
        total += 9 * h * w * c.fmaps(r) ** 2
        if r > 4:  # 4 x 4 taps on the smaller side
            total += 16 * (h // 2) * (w // 2) * c.fmaps(r // 2) * c.fmaps(r)
    return total


def discriminator_macs(c: DiscriminatorConfig, resolution: int) -> float:
    """Multiply-adds of one score at `resolution`."""
    h, w = c.shape(4)
    total = 9.0 * h * w * c.fmaps(4) ** 2 + h * w * c.fmaps(4) * c.fmaps(2)
    for r in levels(resolution, first=8):
        h, w = c.shape(r)
        total += 9 * h * w * c.fmaps(r) ** 2
        total += 16 * (h // 2) * (w // 2) * c.fmaps(r) * c.fmaps(r // 2)
    return total


def iteration_macs(config: TrainConfig, resolution: int) -> float:
    """Multiply-adds an image of one D and one G step.

    A gradient costs two forward passes. D's step forwards G once and trains on two
    batches (6 D); R1 on top of it differentiates a gradient (3 D more). G's step trains
    G (3 G) through D (2 D).
    """
    c = config.loss
    extra = 3 * ((c.r1_gamma > 0) + (c.r2_gamma > 0)) + 9 * (c.gp_weight > 0)
    d = 8 + extra / c.d_reg_interval
    g_macs = generator_macs(config.generator, resolution)
    return 4 * g_macs + d * discriminator_macs(config.discriminator, resolution)


def remaining_macs(config: TrainConfig, nimg: int, devices: int = 1) -> float:
    """Multiply-adds from `nimg` images to the end of the run."""
    total = 0.0
    for row in rows(config, devices):
        images = 1000 * row.end - max(1000 * row.start, nimg)
        if images > 0:
            total += images * iteration_macs(config, row.phase.resolution)
    return total


# ---------------------------------------------------------------------------


def _picture_floats(c, resolution: int) -> float:
    """Values of all feature maps of one picture: two maps a layer and their input."""
    total = 0.0
    for r in levels(resolution):
        h, w = c.shape(r)
        total += h * w * (2 * c.fmaps(r) + c.channels)
    return total


def memory_bytes(
    config: TrainConfig, parameters: dict[str, int], resolution: int, devices: int = 1
) -> dict[str, float]:
    """What one device must hold to train at `resolution`.

    Args:
        config: the run.
        parameters: weights of "generator" and "discriminator".
        resolution: level.
        devices: replicas.

    Returns:
        Bytes of "weights" (G, D and the moving average), "optimizer" (two slots a
        weight), "gradients", and "activations" of one round.
    """
    g, d = parameters["generator"], parameters["discriminator"]
    s, final = config.schedule, config.generator.resolution
    nimg = 0
    for row in rows(config, devices):
        if row.phase.resolution == resolution:
            nimg = row.phase.nimg
    share = phase_at(s, final, nimg, devices).batch / devices / config.accumulate
    size = 2 if config.precision == "bfloat16" else BYTES
    # D's step keeps G's picture, and D's maps of real and generated pictures with
    # their pre-activations and blurred copies; R1 keeps the gradient's maps as well.
    kept = 6 + (6 if config.loss.r1_gamma or config.loss.gp_weight else 0)
    maps = kept * _picture_floats(config.discriminator, resolution)
    maps = max(maps, 8 * _picture_floats(config.generator, resolution))
    return {
        "weights": (2 * g + d) * BYTES,
        "optimizer": 2 * (g + d) * BYTES,
        "gradients": max(g, d) * BYTES,
        "activations": share * maps * size,
    }
