"""What a run would do, printed without training."""

from pathlib import Path

import tensorflow as tf

from stylegan_tf import config as configs
from stylegan_tf import devices
from stylegan_tf.config import TrainConfig, cost, schedule
from stylegan_tf.data import pipeline
from stylegan_tf.data.manifest import Manifest
from stylegan_tf.networks.discriminator import discriminator_of
from stylegan_tf.networks.generator import Generator
from stylegan_tf.runs.settings import Request, settle

# ---------------------------------------------------------------------------
# --dry_run


def describe(request: Request) -> str:
    """Schedule, sizes, memory and first batches of what `train` would do."""
    strategy = devices.make_strategy(request.strategy)
    base = devices.resident_bytes()
    config, data = settle(request, strategy)
    replicas = strategy.num_replicas_in_sync
    parameters = {
        "generator": Generator(config.generator).count_params(),
        "discriminator": discriminator_of(config.discriminator).count_params(),
    }
    lines = [f"data        {Manifest.load(data)}", f"devices     {replicas}", ""]
    lines += [schedule.table(config, replicas), ""]
    lines += [f"{name:<14}{n:>12,} parameters" for name, n in parameters.items()]
    lines += ["", "size        what one device must hold while training"]
    for r in configs.levels(
        config.generator.resolution, config.schedule.initial_resolution
    ):
        parts = cost.memory_bytes(config, parameters, r, replicas)
        total = sum(parts.values())
        inside = ", ".join(f"{k} {v / 1e9:.2f}" for k, v in parts.items())
        size = "x".join(map(str, config.generator.shape(r)))
        host = base + cost.program_bytes(config, r)
        resident = (total + host) / 1e9
        lines.append(
            f"{size:<11} {total / 1e9:.2f} GB ({inside}); on a CPU {resident:.2f} GB "
            f"resident"
        )
    lines.append(f"{'base':<11} {base / 1e9:.2f} GB resident of TensorFlow alone")
    return "\n".join([*lines, "", _first_batches(config, data, replicas)])


def _first_batches(config: TrainConfig, data: Path, replicas: int) -> str:
    lines = ["first batches"]
    for r in configs.levels(
        config.generator.resolution, config.schedule.initial_resolution
    ):
        row = [x for x in schedule.rows(config, replicas) if x.phase.resolution == r]
        if not row:
            continue
        batch = row[0].phase.batch
        images = next(iter(pipeline.dataset(data, r, batch, seed=config.seed)))["image"]
        values = tf.cast(images, tf.float32)
        lines.append(
            f"  {'x'.join(map(str, images.shape)):<20} {images.dtype.name} mean "
            f"{tf.reduce_mean(values):.1f} of 255, deviation "
            f"{tf.math.reduce_std(values):.1f}"
        )
    return "\n".join(lines)
