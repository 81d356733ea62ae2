"""What a run will cost, before it runs: operations, memory, time.

Everything here is counted from the configuration. Operations are the multiply-adds of
the convolutions that are executed, fused ones as fused: they decide the time.
"""

from typing import NamedTuple

from stylegan_tf.config import DiscriminatorConfig, GeneratorConfig, TrainConfig, levels
from stylegan_tf.config.networks import STYLEGAN2
from stylegan_tf.config.schedule import phase_at, rows

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
    g = 3 if config.shares_pass else 4
    g += 6 / c.pl_shrink / c.g_reg_interval if c.pl_weight else 0
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
# Memory. What must be held are weights, Adam's slots, the moving average, gradients,
# and the feature maps that derivatives ask for. Those are counted layer by layer from
# the derivatives of the operations:
#
#     convolution         its input (for the slope in the kernel)
#     leaky ReLU          its input (for the sign)
#     x * scale           x, here in the instance norm: x less its mean
#     filter, bias, sum   nothing
#
# and R1 keeps the slopes in the convolutions' outputs besides. With `recompute` only
# the ends of the stretches in `networks/` are kept, and D's gradients are two sets.


class Maps(NamedTuple):
    """Maps of a level's size that one picture keeps, in the networks' precision.

    Attributes:
        entrance: where a picture enters D or leaves G, once.
        level: of the layers at one resolution.
        slopes: of a derivative that is differentiated again, at one resolution.
        exact: how many of `level` are float32 in any precision.
    """

    entrance: float
    level: float
    slopes: float
    exact: float = 0


# A convolution's input and what leaves an activation: D's first convolution of a level
# takes that, its second one what it filtered of it. G's layers keep what the instance
# norm scales as well. StyleGAN2's G keeps x, x s and the convolution; a residual block
# its two branches' ends, and what the skip filtered.
KEPT_BY_G = {"stylegan": Maps(0, 6, 6, 2), "dcgan": Maps(0, 1.5, 1.5)}
KEPT_BY_D = {"residual": Maps(1, 5, 3), "dcgan": Maps(0, 1.5, 1.5)}
# Recomputed: G's convolutions and what leaves a block; D's convolutions.
AGAIN_BY_G = {"stylegan": Maps(0, 3, 3), "dcgan": KEPT_BY_G["dcgan"]}
AGAIN_BY_D = {"residual": Maps(1, 3, 3), "dcgan": KEPT_BY_D["dcgan"]}
LEAST, LARGE = 32, 256  # of recompute.py, which needs TensorFlow
# Maps of the largest layer that its own derivative works on, kept or recomputed.
IN_HAND, IN_HAND_AGAIN = 6, 8


def _maps(c, again: bool) -> Maps:
    if isinstance(c, GeneratorConfig):
        table = AGAIN_BY_G if again else KEPT_BY_G
        return table.get(c.architecture, Maps(0, 2, 4) if again else Maps(0, 6, 8))
    table = AGAIN_BY_D if again else KEPT_BY_D
    return table.get(c.architecture, Maps(1, 2, 2) if again else Maps(1, 3, 2))


def _kept(config: TrainConfig, c, resolution: int) -> tuple[float, float]:
    """Bytes a picture of G's or D's maps: those kept, and those of slopes."""
    maps = _maps(c, config.recompute)
    size = 2 if config.precision == "bfloat16" else BYTES
    wide = maps.level * size + maps.exact * (BYTES - size)
    kept = slopes = 0.0
    for r in levels(resolution):
        h, w = c.shape(r)
        here = h * w * c.fmaps(r)
        kept += h * w * c.channels * BYTES
        if _in_parts(config, c, r):  # D's block leaves its maps at the next level
            kept += here * size if isinstance(c, GeneratorConfig) else 0
            continue
        kept += here * wide
        slopes += here * maps.slopes * size
    entrance = 0 if _in_parts(config, c, resolution) else maps.entrance
    h, w = c.shape(resolution)
    return kept + h * w * c.fmaps(resolution) * entrance * size, slopes


def _in_parts(config: TrainConfig, c, resolution: int) -> bool:
    """Whether a block's inside is computed again, in parts of the batch."""
    large = min(c.shape(resolution)) >= LARGE
    return config.recompute and large and c.architecture != "dcgan"


def _in_hand(config: TrainConfig, resolution: int) -> float:
    """Bytes a picture of what the derivative of the largest layer works on."""
    size = 2 if config.precision == "bfloat16" else BYTES
    largest = 0.0
    for c in (config.generator, config.discriminator):
        sides = [(c.shape(r), c.fmaps(r)) for r in levels(resolution)]
        largest = max(largest, *(h * w * maps for (h, w), maps in sides))
    return (IN_HAND_AGAIN if config.recompute else IN_HAND) * largest * size


def _activations(config: TrainConfig, resolution: int) -> float:
    """Bytes a picture at the step that holds most.

    D's step holds D's maps of real and of generated pictures, or with `recompute` one
    after the other, and the slopes of its penalty; a penalty's own step holds one batch
    alone. G's step holds G's maps and D's, and most of D's are gone before it comes to
    large layers; with one pass of G for both, D's holds G's, too. The path length holds
    G's maps and slopes, of a smaller batch.
    """
    c = config.loss
    d, d_slopes = _kept(config, config.discriminator, resolution)
    g, g_slopes = _kept(config, config.generator, resolution)
    both = d if config.recompute else 2 * d
    penalty = d_slopes if c.has_penalty else 0
    hand = _in_hand(config, resolution)
    steps = [both, d + penalty] if c.lazy else [both + penalty]
    if c.pl_weight:
        steps.append((g + g_slopes) / c.pl_shrink)
    held = g if config.shares_pass else 0.0  # for G's step, while D's works
    return max(max(steps) + hand + held, g + max(d, hand))


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
    share = batch_at(config, resolution, devices) / devices / config.accumulate
    return {
        "weights": (2 * g + d) * BYTES,
        "optimizer": 2 * (g + d) * BYTES,
        "gradients": max(g, 2 * d if config.recompute else d) * BYTES,
        "activations": share * _activations(config, resolution),
    }


# What TensorFlow 2.21 holds of a compiled step on the host, measured on a CPU: the
# package and tf.data, then a share for every operation of the first step that is
# compiled (traced, optimized, its kernels generated), and less for each further one.
PACKAGE_BYTES, OPERATION_BYTES, FUNCTION_BYTES = 30e6, 32e3, 35e6


def program_bytes(config: TrainConfig, resolution: int) -> float:
    """What a process holds of its own program, beside TensorFlow itself."""
    operations = 1100 + 1000 * len(levels(resolution))  # of a D and a G step
    c = config.loss
    intervals = [c.d_reg_interval if c.has_penalty else 1]
    intervals += [c.g_reg_interval if c.pl_weight else 1]
    further = sum(interval > 1 for interval in intervals)
    return PACKAGE_BYTES + operations * OPERATION_BYTES + further * FUNCTION_BYTES


def batch_at(config: TrainConfig, resolution: int, devices: int = 1) -> int:
    """Images a step, over all devices, at a resolution."""
    s, nimg = config.schedule, 0
    for row in rows(config, devices):
        if row.phase.resolution == resolution:
            nimg = row.phase.nimg
    return phase_at(s, config.generator.resolution, nimg, devices).batch
