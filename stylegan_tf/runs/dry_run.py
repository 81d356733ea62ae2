"""The report of `--dry_run`: what a run would do and leave, without training."""

import tensorflow as tf

from stylegan_tf import config as configs
from stylegan_tf import devices, figures
from stylegan_tf.config import TrainConfig, cost, schedule
from stylegan_tf.data import pipeline
from stylegan_tf.data.manifest import Manifest
from stylegan_tf.networks.discriminator import discriminator_of
from stylegan_tf.networks.generator import generator_of
from stylegan_tf.runs import tensorboard
from stylegan_tf.runs.plan import plan_run
from stylegan_tf.runs.request import RunRequest
from stylegan_tf.sampling.lineup import fit_rows


def dry_run_report(request: RunRequest) -> str:
    """Data, schedule, parameters, memory and first batches of a run.

    Raises:
        UserError: the request cannot be met, see `plan_run`.
    """
    strategy = devices.make_strategy(request.strategy)
    base = devices.resident_bytes()
    plan = plan_run(request, strategy)
    config, replicas = plan.config, strategy.num_replicas_in_sync
    parameters = {
        "generator": generator_of(config.generator).count_params(),
        "discriminator": discriminator_of(config.discriminator).count_params(),
    }
    lines = [f"data        {plan.data}", f"devices     {replicas}", ""]
    lines += [schedule.schedule_table(config, replicas), ""]
    lines += [f"{name:<14}{n:>12,} parameters" for name, n in parameters.items()]
    lines += ["", *_memory(config, parameters, replicas, base)]
    lines += [plan.note] if plan.note else []
    lines += ["", *_disk(config, parameters, replicas, plan.data)]
    lines += ["", *_first_batches(config, plan.data, replicas)]
    return "\n".join(lines)


def _memory(
    config: TrainConfig, parameters: dict[str, int], replicas: int, base: int | None
) -> list[str]:
    """A line per resolution; `base` is what TensorFlow alone holds, in bytes.

    None is a system that does not tell.
    """
    lines = ["size        what one device must hold while training"]
    for r in _resolutions(config):
        parts = cost.memory_bytes(config, parameters, r, replicas)
        total = sum(parts.values())
        inside = ", ".join(f"{k} {v / 1e9:.2f}" for k, v in parts.items())
        size = "x".join(map(str, config.generator.shape(r)))
        line = f"{size:<11} {total / 1e9:.2f} GB ({inside})"
        if base is not None:
            resident = (total + base + cost.program_bytes(config, r)) / 1e9
            line += f"; on a CPU {resident:.2f} GB resident"
        lines.append(line)
    if base is not None:
        alone = f"{base / 1e9:.2f} GB resident of TensorFlow alone"
        lines.append(f"{'base':<11} {alone}")
    return lines


def _disk(
    config: TrainConfig, parameters: dict[str, int], replicas: int, data: Manifest
) -> list[str]:
    """Lines on what the run leaves in its folder, and what its data takes."""
    parts = run_disk_bytes(config, parameters, replicas)
    total = sum(parts.values())
    inside = ", ".join(f"{k} {_gigabytes(v)}" for k, v in parts.items())
    one_more = parts["checkpoints"] / cost.CHECKPOINTS
    stored = sum(sum(level.sizes) for level in data.levels.values())
    return [
        f"disk        {_gigabytes(total)} in the run's folder at its end ({inside}), "
        f"{_gigabytes(one_more)} more while a checkpoint is written",
        f"data        {_gigabytes(stored)} in {data.folder}",
    ]


def run_disk_bytes(
    config: TrainConfig, parameters: dict[str, int], replicas: int = 1
) -> dict[str, float]:
    """Bytes that a run leaves in its folder, see `cost.disk_bytes`."""
    g = config.generator
    height, width = g.shape(g.resolution)
    # Small images are enlarged by whole pixels, which compression takes back.
    columns, rows, _ = figures.sheet_layout(height, width)
    sheet = columns * rows * height * width * g.channels
    in_rows = (
        g.label_choices if fit_rows(g.label_choices, tensorboard.PANEL_ROWS) else 4
    )
    shrunk = tensorboard.shrinkage(height, width)
    pixels = height // shrunk * (width // shrunk)
    panels = tensorboard.panel_images(in_rows) * pixels * g.channels
    return cost.disk_bytes(config, parameters, sheet, panels, replicas)


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e7 else f"{size / 1e6:.2f} MB"


def _first_batches(config: TrainConfig, data: Manifest, replicas: int) -> list[str]:
    """A line per resolution that is trained: shape, type and brightness."""
    lines = ["first batches"]
    batches = {}  # resolution -> images per step, as its first phase has it
    for row in schedule.schedule_rows(config, replicas):
        batches.setdefault(row.phase.resolution, row.phase.batch)
    for r in (r for r in _resolutions(config) if r in batches):
        batch = pipeline.dataset(data.folder, r, batches[r], seed=config.seed)
        images = next(iter(batch))["image"]
        values = tf.cast(images, tf.float32)
        lines.append(
            f"  {'x'.join(map(str, images.shape)):<20} {images.dtype.name} mean "
            f"{tf.reduce_mean(values):.1f} of 255, deviation "
            f"{tf.math.reduce_std(values):.1f}"
        )
    return lines


def _resolutions(config: TrainConfig) -> list[int]:
    first = config.schedule.initial_resolution
    return configs.levels(config.generator.resolution, first)
