"""What a run will cost, before it runs: operations, parameters, memory.

Everything here is counted from the configuration. Operations are the multiply-adds of
the convolutions that are executed, fused ones as fused: they decide the time.
"""

from stylegan_tf.config import DiscriminatorConfig, GeneratorConfig, TrainConfig, levels
from stylegan_tf.config.networks import STYLEGAN2
from stylegan_tf.schedule import phase_at, rows

BYTES = 4  # weights, statistics and slots are float32


def generator_macs(c: GeneratorConfig, resolution: int) -> float:
    """Multiply-adds of one picture at `resolution`."""
    total = _macs_at(c, 4)
    for r in levels(resolution, first=8):
        total += _macs_at(c, r) + _macs_between(c, r)
    if c.architecture == "dcgan":
        h, w = c.shape(4)
        total += h * w * c.w_dim * c.fmaps(4)
    return total


def discriminator_macs(c: DiscriminatorConfig, resolution: int) -> float:
    """Multiply-adds of one score at `resolution`."""
    h, w = c.shape(4)
    hidden = 1 if c.architecture == "dcgan" else c.fmaps(2)
    total = _macs_at(c, 4) + h * w * c.fmaps(4) * hidden
    for r in levels(resolution, first=8):
        total += _macs_at(c, r) + _macs_between(c, r)
    return total


def _macs_at(c, r: int) -> float:
    """Those of the 3 x 3 convolution that keeps the size; DCGAN has none."""
    h, w = c.shape(r)
    return 0.0 if c.architecture == "dcgan" else 9.0 * h * w * c.fmaps(r) ** 2


def _macs_between(c, r: int) -> float:
    """Those of the convolution that doubles or halves, on the smaller side.

    StyleGAN's is fused, 4 x 4 taps. StyleGAN2's steps by two with its 3 x 3 taps, and
    filters; a residual block's skip has one tap. DCGAN's has 5 x 5, and at the final
    resolution its maps are the picture and, in the discriminator, the label's planes.
    """
    h, w = c.shape(r // 2)
    maps, taps = c.fmaps(r), 16
    if c.architecture in STYLEGAN2 and c.resample_filter:
        taps = 9
    if c.architecture == "residual":
        taps += 1
    if c.architecture == "dcgan":
        taps = 25
        planes = c.classes if isinstance(c, DiscriminatorConfig) else 0
        maps = c.channels + planes if r == c.resolution else maps
    return float(taps * h * w * maps * c.fmaps(r // 2))


def iteration_macs(config: TrainConfig, resolution: int) -> float:
    """Multiply-adds an image of one D and one G step.

    A gradient costs two forward passes. D's step forwards G once and trains on two
    batches (6 D); R1 on top of it differentiates a gradient (3 D more). G's step trains
    G (3 G) through D (2 D). In a step of its own R1 trains as well (6 D), and so does
    the path length (6 G, on a smaller batch); R2 and WGAN-GP need pictures there.
    """
    c = config.loss
    of_fakes = (c.r2_gamma > 0) + 3 * (c.gp_weight > 0)
    extra = (6 if c.lazy else 3) * ((c.r1_gamma > 0) + of_fakes)
    d = 8 + extra / c.d_reg_interval
    shared = c.reuse_fakes and config.accumulate == 1
    g = (3 if shared else 4) + (
        6 / c.pl_shrink / c.g_reg_interval if c.pl_weight else 0
    )
    g += 1 / c.d_reg_interval if c.lazy and of_fakes else 0
    g_macs = generator_macs(config.generator, resolution)
    return g * g_macs + d * discriminator_macs(config.discriminator, resolution)


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
    """Values of all feature maps of one picture: two maps a layer and their input.

    A residual block has its skip besides, DCGAN one layer where others have two.
    """
    maps = {"residual": 3, "dcgan": 1}.get(c.architecture, 2)
    total = 0.0
    for r in levels(resolution):
        h, w = c.shape(r)
        last = c.architecture == "dcgan" and r == c.resolution
        total += h * w * (c.channels + (0 if last else maps * c.fmaps(r)))
    return total


def _kept(config: TrainConfig) -> tuple[float, float]:
    """How often a picture's maps of G and of D are held at once.

    D's step keeps D's maps of real and generated pictures with their pre-activations
    and blurred copies (2 x 3); R1 keeps the gradient's maps as well, and so does the
    path length. In a step of its own, each has one batch alone.
    """
    c = config.loss
    penalty = 6 if c.has_penalty else 0
    d = max(6, 3 + penalty) if c.lazy else 6 + penalty
    return (max(8, 16 / c.pl_shrink) if c.pl_weight else 8), d


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
    of_g, of_d = _kept(config)
    maps = of_d * _picture_floats(config.discriminator, resolution)
    maps = max(maps, of_g * _picture_floats(config.generator, resolution))
    return {
        "weights": (2 * g + d) * BYTES,
        "optimizer": 2 * (g + d) * BYTES,
        "gradients": max(g, d) * BYTES,
        "activations": share * maps * size,
    }
