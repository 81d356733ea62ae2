"""Compares steps that XLA compiles with steps that it does not, for every network.

    python tests/faults/compiled_steps.py                  all of them, many minutes
    python tests/faults/compiled_steps.py stylegan2 mirrored
    python tests/faults/compiled_steps.py stylegan2@32     at 32x32 instead of 8x8
    python tests/faults/compiled_steps.py grown@16         of a run that grows to 32x32

Each line says by how much metrics and changes of weights differ at most, as a share of
themselves; rounding is 1e-3 or less. Where the highest resolution computes in bfloat16
(`mixed`), some small weights differ by half of themselves, from a step in float32 by
more: there the median of all weights counts, and rounding is 0.1 or less. `mirrored`
are two replicas, whose gradients are compiled and summed outside. `grown` is every
phase of a growing run, one after the other. Exits with 1 if any differs more.
"""

import sys
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1])]

import tensorflow as tf  # noqa: E402
import tiny  # noqa: E402

from stylegan_tf import devices  # noqa: E402
from stylegan_tf.config import TrainConfig  # noqa: E402
from stylegan_tf.training.build import make_networks  # noqa: E402
from stylegan_tf.training.passes import Clock  # noqa: E402
from stylegan_tf.training.step import METRICS  # noqa: E402

ROUNDING, BATCH, SIZE = 1e-3, 8, 8
HALF_ROUNDING = 0.1  # of metrics, and of half of the weights
# Adam's epsilon is large so that rounding of a gradient stays rounding in its step.
ALWAYS = {"adam_epsilon": 0.1, "schedule.lr": 0.1, "schedule.batch": BATCH}
STYLEGAN2 = {
    "generator.architecture": "skip",
    "discriminator.architecture": "residual",
    "generator.modulation": "maps",
    "loss.lazy": True,
    "loss.pl_weight": 2.0,
    "loss.g_reg_interval": 4,
    "loss.d_reg_interval": 16,
}
STYLEGAN3 = {
    "generator.architecture": "stylegan3",
    "discriminator.architecture": "residual",
    "generator.stylegan3.layers": 4,
    "generator.stylegan3.margin": 2,
    "generator.style_mixing_prob": 0.0,
    "loss.lazy": True,
    "loss.d_reg_interval": 16,
    "augment.blur_init_sigma": 2.0,
    "augment.blur_fade_kimg": 10.0,
}
GROWN = ("grown@4", "grown@8", "grown@16", "grown@32")
GROWN_TO = {
    f"{network}.{name}": value
    for network in ("generator", "discriminator")
    for name, value in {"resolution": 32, "fmap_base": 128}.items()
}
CASES = {
    "stylegan": {},
    "grown": GROWN_TO,
    "reused-fakes": {"loss.reuse_fakes": True},
    "conditional-ada": {
        "augment.kind": "ada",
        "augment.groups": "bgcfnc",
        "classes": 3,
    },
    "stylegan2": STYLEGAN2,
    "stylegan2-kernels": STYLEGAN2 | {"generator.modulation": "kernels"},
    "stylegan3": STYLEGAN3,
    "stylegan3-paths": STYLEGAN3 | {"loss.pl_weight": 2.0, "loss.g_reg_interval": 4},
    "rounds": {"accumulate": 2},
    "recompute": {"recompute": True},
    "mirrored": {},
    "mirrored-stylegan2": STYLEGAN2,
}
MIXED = {"precision": "bfloat16"} | {
    f"{network}.{name}": value
    for network in ("generator", "discriminator")
    for name, value in {"half_resolutions": 1, "conv_clamp": 256.0}.items()
}
ADA = {"augment.kind": "ada", "augment.groups": "bgc"}
CASES |= {
    "mixed": MIXED | ADA | {"recompute": True},
    "mixed-stylegan2": MIXED | ADA | STYLEGAN2,
    "mixed-stylegan3": MIXED | ADA | STYLEGAN3,
    "mirrored-mixed": MIXED | STYLEGAN2,
}
SIZES = {"recompute": 32}  # below, nothing is recomputed


def config_of(name: str) -> tuple[TrainConfig, int]:
    """Returns the settings of "case" or "case@size", and the size that is trained."""
    case, _, size = name.partition("@")
    size = int(size or SIZES.get(case, SIZE))
    changes = ALWAYS | CASES[case]
    if case != "grown":
        width = {"resolution": size, "fmap_base": 8 * size}
        for network in ("generator", "discriminator"):
            changes |= {f"{network}.{k}": v for k, v in width.items()}
    if changes.get("generator.architecture") in ("skip", "stylegan3"):
        changes |= {"schedule.initial_resolution": size}
    return tiny.config(changes), size


def one_step(config: TrainConfig, size: int, strategy, jit: bool, start: dict | None):
    """Makes a step; returns its metrics, what it started from, and what it left."""
    with strategy.scope():
        nets = make_networks(config)
        if start is None:
            tiny.shake(nets)
            start = tiny.state(nets)
        tiny.restore(nets, start)
        classes = config.generator.classes
        table = np.eye(classes, dtype="f4") if classes else None
        step = tiny.make_step(nets, config, size, BATCH, table)
    step.jit = jit
    step.passes.blurred = config.augment.blur_init_sigma > 0
    shape = BATCH, size, size, 3
    images = np.random.RandomState(0).randint(0, 256, shape, np.uint8)
    labels = tf.one_hot(np.arange(BATCH) % max(classes, 1), classes)
    clock = Clock(tf.constant(1000, tf.int64), *map(tf.constant, (0.5, 0.1, 0.5, 1.0)))
    replicas = strategy.num_replicas_in_sync

    @tf.function(autograph=False)
    def iterate():
        def of_replica():
            k = tf.distribute.get_replica_context().replica_id_in_sync_group
            mine = tf.range(BATCH // replicas) * replicas + k
            return step(tf.gather(images, mine), tf.gather(labels, mine), clock)

        return strategy.reduce("MEAN", strategy.run(of_replica), axis=None)

    metrics = iterate().numpy()
    return metrics, start, tiny.state(nets)


def differs(name: str) -> bool:
    """Prints the largest differences of a case; True if they are not rounding."""
    config, size = config_of(name)
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    if "mirrored" in name:
        strategy = devices.make_strategy("mirrored")
    metrics, start, expected = one_step(config, size, strategy, False, None)
    compiled, _, found = one_step(config, size, strategy, True, start)
    kept = [i for i, n in enumerate(METRICS) if not n.startswith("spread/")]
    off = np.abs(metrics - compiled) / (np.abs(metrics) + 1e-2)
    changes = [
        np.linalg.norm(expected[n] - found[n])
        / (np.linalg.norm(expected[n] - start[n]) + 1e-6 * np.linalg.norm(start[n]))
        for n in start
        if np.any(expected[n] != start[n])
    ]
    metrics, weights, median = off[kept].max(), np.max(changes), np.median(changes)
    print(
        f"{name:20} metrics {metrics:.1e}  weights {weights:.1e}, median {median:.1e}"
    )
    if config.precision == "float32":
        return not np.max([metrics, weights]) <= ROUNDING  # nor is NaN rounding
    return not (np.isfinite(weights) and max(metrics, median) <= HALF_ROUNDING)


def main() -> int:
    """Compares the cases named, or all."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
    names = list(sys.argv[1:] or CASES)
    if "grown" in names:
        names = [*(n for n in names if n != "grown"), *GROWN]
    differ = [n for n in names if differs(n)]
    print("differ:", ", ".join(differ) or "none")
    return bool(differ)


if __name__ == "__main__":
    sys.exit(main())
