"""Cost of a run, counted from its configuration: operations, memory and disk.

Operations are the multiply-adds of the convolutions that are executed, fused ones
counted as fused: they decide the time.
"""

import dataclasses
import math
from typing import NamedTuple

from stylegan_tf.config import DiscriminatorConfig, GeneratorConfig, TrainConfig, levels
from stylegan_tf.config.networks import STYLEGAN2, Network
from stylegan_tf.config.schedule import phase_at, schedule_rows
from stylegan_tf.config.weights import count_weights

BYTES = 4  # weights, statistics and slots are float32


def generator_macs(c: GeneratorConfig, resolution: int) -> float:
    """Returns the multiply-adds of one image at `resolution`."""
    if c.architecture == "stylegan3":
        return float(sum(p.multiplications for p in c.filtered_layers))
    total = _macs_at(c, 4)
    for r in levels(resolution, first=8):
        total += _macs_at(c, r) + _macs_between(c, r)
    if c.architecture == "dcgan":
        h, w = c.shape(4)
        total += h * w * c.w_dim * c.fmaps(4)
    return total


def discriminator_macs(c: DiscriminatorConfig, resolution: int) -> float:
    """Returns the multiply-adds of one score at `resolution`."""
    h, w = c.shape(4)
    hidden = 1 if c.architecture == "dcgan" else c.fmaps(2)
    total = _macs_at(c, 4) + h * w * c.fmaps(4) * hidden
    for r in levels(resolution, first=8):
        total += _macs_at(c, r) + _macs_between(c, r)
    return total


def _macs_at(c: Network, r: int) -> float:
    """Returns multiply-adds of the 3 x 3 convolution that keeps the size."""
    h, w = c.shape(r)
    return 0.0 if c.architecture == "dcgan" else 9.0 * h * w * c.fmaps(r) ** 2


def _macs_between(c: Network, r: int) -> float:
    """Returns multiply-adds of the convolution that doubles or halves the size.

    StyleGAN's is fused and has 4 x 4 taps on the smaller side. StyleGAN2's has 3 x 3
    taps and stride 2; the skip of a residual block has one tap. DCGAN's has 5 x 5 taps,
    and at the final resolution its feature maps are the image and, in the
    discriminator, the planes of the label.
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
    """Returns multiply-adds per image of one D and one G step.

    A gradient costs two forward passes. D's step forwards G once and trains on two
    batches (6 D); R1 on top of it differentiates a gradient (3 D more). G's step trains
    G (3 G) through D (2 D). In a step of its own R1 trains as well (6 D), and so does
    the path length (6 G, on a smaller batch); R2 and WGAN-GP need fakes there.
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
    """Returns multiply-adds from `nimg` images to the end of the run."""
    total = 0.0
    for row in schedule_rows(config, devices):
        images = 1000 * row.end - max(1000 * row.start, nimg)
        if images > 0:
            total += images * iteration_macs(config, row.phase.resolution)
    return total


# ---------------------------------------------------------------------------
# Memory: weights, Adam's slots, the moving average, gradients, and the activations that
# gradients need. Activations are counted layer by layer from the gradients of the
# operations:
#
#     convolution         its input (for the gradient in the kernel)
#     leaky ReLU          its input (for the sign)
#     x * scale           x, here in the instance norm: x less its mean
#     filter, bias, sum   nothing
#
# R1 keeps the gradients in the convolutions' outputs as well. With `recompute` only the
# inputs of checkpointed layers are kept, and D's gradients are two sets.


class Activations(NamedTuple):
    """Activations kept per image, in units of a block's feature maps.

    Attributes:
        edge: at the layer where an image enters D or leaves G.
        block: in the layers of one resolution.
        gradients: at one resolution, for a gradient that is differentiated again.
        exact: how many of `block` are float32 under any precision.
    """

    edge: float
    block: float
    gradients: float
    exact: float = 0


# A convolution keeps its input, and an activation function its output: D's first
# convolution of a block takes that, its second one a filtered copy. G's layers also
# keep the input of the instance norm's scaling. StyleGAN2's G keeps x, x s and the
# convolution's output; a residual block the ends of its two branches and the skip's
# filtered input.
G_ACTIVATIONS = {"stylegan": Activations(0, 6, 6, 2), "dcgan": Activations(0, 1.5, 1.5)}
D_ACTIVATIONS = {"residual": Activations(1, 5, 3), "dcgan": Activations(0, 1.5, 1.5)}
# With `recompute`: G's convolutions and the outputs of its blocks; D's convolutions.
G_CHECKPOINTED = {"stylegan": Activations(0, 3, 3), "dcgan": G_ACTIVATIONS["dcgan"]}
D_CHECKPOINTED = {"residual": Activations(1, 3, 3), "dcgan": D_ACTIVATIONS["dcgan"]}
LEAST, LARGE = 32, 256  # as in recompute.py, which needs TensorFlow
# Copies of the largest layer's feature maps that its own gradient works on.
WORKING_COPIES, WORKING_COPIES_CHECKPOINTED = 6, 8


def _activation_counts(c: Network, recompute: bool) -> Activations:
    if isinstance(c, GeneratorConfig):
        table = G_CHECKPOINTED if recompute else G_ACTIVATIONS
        return table.get(
            c.architecture, Activations(0, 2, 4) if recompute else Activations(0, 6, 8)
        )
    table = D_CHECKPOINTED if recompute else D_ACTIVATIONS
    return table.get(
        c.architecture, Activations(1, 2, 2) if recompute else Activations(1, 3, 2)
    )


def _kept(config: TrainConfig, c: Network, resolution: int) -> tuple[float, float]:
    """Returns bytes per image of the activations and gradients that G or D keeps."""
    if c.architecture == "stylegan3":
        return _kept_by_filtered_layers(config, c)
    counts = _activation_counts(c, config.recompute)
    kept = gradients = 0.0
    for r in levels(resolution):
        (h, w), size = c.shape(r), _value_bytes(config, c, r)
        wide = counts.block * size + counts.exact * (BYTES - size)
        here = h * w * c.fmaps(r)
        kept += h * w * c.channels * BYTES
        if _in_chunks(config, c, r):  # a block of D ends at the next resolution
            kept += here * size if isinstance(c, GeneratorConfig) else 0
            continue
        kept += here * wide
        gradients += here * counts.gradients * size
    edge = 0 if _in_chunks(config, c, resolution) else counts.edge
    (h, w), size = c.shape(resolution), _value_bytes(config, c, resolution)
    return kept + h * w * c.fmaps(resolution) * edge * size, gradients


def _value_bytes(config: TrainConfig, c: Network, resolution: int) -> int:
    """Returns bytes of a number in the feature maps at a resolution."""
    half = config.precision == "bfloat16" and c.follows_precision(resolution)
    return 2 if half else BYTES


def _kept_by_filtered_layers(
    config: TrainConfig, c: GeneratorConfig
) -> tuple[float, float]:
    """Returns `_kept` of StyleGAN3, which has nothing to recompute.

    A layer keeps its input and the input times the style, the convolution's output,
    and at the activation's rate the inputs of the activation and of both clamps.
    """
    kept = fine = 0.0
    for p in c.filtered_layers:
        size = _value_bytes(config, c, p.after.rate)
        kept += 2 * p.before.size**2 * p.in_channels * size
        kept += (p.before.size + p.kernel_size - 1) ** 2 * p.out_channels * size
        fine += 3 * p.fine_size**2 * p.out_channels * size
    return kept + fine, fine


def _in_chunks(config: TrainConfig, c: Network, resolution: int) -> bool:
    """True if blocks of resolution r are recomputed whole, in chunks of the batch."""
    large = min(c.shape(resolution)) >= LARGE
    return config.recompute and large and c.architecture != "dcgan"


def _working_bytes(config: TrainConfig, resolution: int) -> float:
    """Returns bytes per image that the gradient of the largest layer works on."""
    copies = WORKING_COPIES_CHECKPOINTED if config.recompute else WORKING_COPIES
    largest = 0.0
    for c in (config.generator, config.discriminator):
        maps = [(r, *c.shape(r), c.fmaps(r)) for r in levels(resolution)]
        if c.architecture == "stylegan3":
            maps = [
                (p.after.rate, p.fine_size, p.fine_size, p.out_channels)
                for p in c.filtered_layers
            ]
        sizes = (h * w * n * _value_bytes(config, c, r) for r, h, w, n in maps)
        largest = max(largest, *sizes)
    return copies * largest


def _activations(config: TrainConfig, resolution: int) -> float:
    """Returns bytes per image at the step that holds most.

    D's step holds D's activations for reals and fakes, or with `recompute` one after
    the other, and the gradients of its penalty; a lazy penalty's step holds those of
    one batch. G's step holds the activations of G and D, and most of D's are freed
    before it comes to large layers. With one pass of G for both steps, D's step holds
    G's, too. The path length's step holds G's activations and gradients of a smaller
    batch.
    """
    c = config.loss
    d, d_gradients = _kept(config, config.discriminator, resolution)
    g, g_gradients = _kept(config, config.generator, resolution)
    both = d if config.recompute else 2 * d
    penalty = d_gradients if c.has_penalty else 0
    working = _working_bytes(config, resolution)
    steps = [both, d + penalty] if c.lazy else [both + penalty]
    if c.pl_weight:
        steps.append((g + g_gradients) / c.pl_shrink)
    held = g if config.shares_pass else 0.0  # for G's step, while D's works
    return max(max(steps) + working + held, g + max(d, working))


def memory_bytes(
    config: TrainConfig, parameters: dict[str, int], resolution: int, devices: int = 1
) -> dict[str, float]:
    """Returns what one device holds to train at `resolution`.

    Args:
        config: the run.
        parameters: number of weights of "generator" and "discriminator".
        resolution: the resolution that is trained.
        devices: replicas.

    Returns:
        Bytes of "weights" (G, D and the moving average), "optimizer" (two slots per
        weight), "vectors" (both once more while steps are made, and the weights'
        scales; less below the final resolution), "gradients", and "activations" of one
        round.
    """
    g, d = parameters["generator"], parameters["discriminator"]
    share = batch_at(config, resolution, devices) / devices / config.accumulate
    return {
        "weights": (2 * g + d) * BYTES,
        "optimizer": 2 * (g + d) * BYTES,
        "vectors": (5 * g + 4 * d) * BYTES,
        "gradients": max(g, 2 * d if config.recompute else d) * BYTES,
        "activations": share * _activations(config, resolution),
    }


# Of a device's memory that what is counted may take. On a CPU, up to 1.23 times what is
# counted was measured (docs/planning.md).
SHARE = 0.75


def fitting_rounds(
    config: TrainConfig, memory: float, devices: int = 1
) -> tuple[int, float]:
    """Returns into how many rounds a step must be split to fit a device.

    The fewest that fit, and of these first such that keep the groups of the minibatch
    statistic whole; where nothing fits, rounds of as few images as there can be.

    Args:
        config: the run.
        memory: bytes that a device has.
        devices: replicas.

    Returns:
        Rounds, and the bytes that are counted with them.
    """
    shares = [row.phase.batch // devices for row in schedule_rows(config, devices)]
    group = max(config.discriminator.mbstd_group, 1)
    most = math.gcd(*shares)
    rounds = [k for k in range(1, most + 1) if most % k == 0]
    rounds.sort(key=lambda k: any(share // k % group for share in shares))
    for k in rounds:
        held = most_memory(dataclasses.replace(config, accumulate=k), devices)
        if held <= SHARE * memory:
            return k, held
    return most, most_memory(dataclasses.replace(config, accumulate=most), devices)


def most_memory(config: TrainConfig, devices: int = 1) -> float:
    """Returns what one device holds at the resolution that takes most, in bytes."""
    networks = {"generator": config.generator, "discriminator": config.discriminator}
    parameters = {name: count_weights(c) for name, c in networks.items()}
    trained = {row.phase.resolution for row in schedule_rows(config, devices)}
    return max(
        sum(memory_bytes(config, parameters, r, devices).values()) for r in trained
    )


# Memory of a traced step in TensorFlow 2.21 on the host, measured on a CPU: the package
# and tf.data, a share for every operation of the first step that is traced (graph,
# optimized graph, generated kernels), and less for each further function.
PACKAGE_BYTES, OPERATION_BYTES, FUNCTION_BYTES = 30e6, 32e3, 35e6


def program_bytes(config: TrainConfig, resolution: int) -> float:
    """Returns bytes that a process holds of its program, besides TensorFlow itself."""
    operations = 1100 + 1000 * len(levels(resolution))  # of a D and a G step
    c = config.loss
    intervals = [c.d_reg_interval if c.has_penalty else 1]
    intervals += [c.g_reg_interval if c.pl_weight else 1]
    further = sum(interval > 1 for interval in intervals)
    return PACKAGE_BYTES + operations * OPERATION_BYTES + further * FUNCTION_BYTES


def batch_at(config: TrainConfig, resolution: int, devices: int = 1) -> int:
    """Returns images per step, over all devices, at a resolution."""
    s, nimg = config.schedule, 0
    for row in schedule_rows(config, devices):
        if row.phase.resolution == resolution:
            nimg = row.phase.nimg
    return phase_at(s, config.generator.resolution, nimg, devices).batch


# ---------------------------------------------------------------------------
# Disk: what stays in a run directory at its end. The shares were measured.

CHECKPOINTS = 2  # kept; a third one while it is written
PNG_SHARE = 0.6  # of the bytes of images
GRAPH_BYTES = 36e3  # checkpoint: its index and record, and the names of its parts
PROGRAM_FILE_BYTES = 0.14e6  # model: graphs and settings, per resolution
SCALAR_BYTES, ROW_BYTES = 90.0, 900.0  # a number in TensorBoard; a tick's log lines
SCALARS = 36  # numbers per tick
LAST_SHEETS = 10  # all of them are kept; the older ones as they double
PANEL_BYTES = 320 << 20  # event files that keep their images, and the open one


def disk_bytes(
    config: TrainConfig,
    parameters: dict[str, int],
    sheet: float,
    panels: float,
    devices: int = 1,
) -> dict[str, float]:
    """Returns what a run leaves in its directory.

    Args:
        config: the run.
        parameters: number of weights of "generator" and "discriminator".
        sheet: values of a sheet of images, a byte each before it is compressed.
        panels: values of TensorBoard's images of a tick.
        devices: replicas.

    Returns:
        Bytes of "checkpoints", "sheets", "events", "log" and "model".
    """
    g, d = parameters["generator"], parameters["discriminator"]
    ticks = count_ticks(config, devices)
    drawn = ticks // config.image_ticks
    names = min(drawn, int(config.schedule.total_kimg))  # a sheet is named by its kimg
    doublings = max(names - LAST_SHEETS, 0).bit_length() + 1
    sheets = min(names, LAST_SHEETS) + doublings + 2  # reals.png and sheet.png
    models = 2 if config.metrics else 1  # model/best
    programs = PROGRAM_FILE_BYTES * len(levels(config.generator.resolution))
    images = min(drawn * panels * PNG_SHARE, PANEL_BYTES)
    return {
        "checkpoints": CHECKPOINTS * ((4 * g + 3 * d) * BYTES + GRAPH_BYTES),
        "sheets": sheets * sheet * PNG_SHARE,
        "events": ticks * SCALARS * SCALAR_BYTES + images,
        "log": ticks * ROW_BYTES,
        "model": models * (2 * g * BYTES + programs),
    }


def count_ticks(config: TrainConfig, devices: int = 1) -> int:
    """Returns the number of log lines of the whole run."""
    total = 0.0
    for row in schedule_rows(config, devices):
        step = row.phase.batch / 1000
        total += (row.end - row.start) / max(row.phase.tick_kimg, step)
    return max(round(total), 1)
