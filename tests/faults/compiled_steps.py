"""Compares steps that XLA compiles with steps that it does not, for every network.

    python tests/faults/compiled_steps.py                  all of them, many minutes
    python tests/faults/compiled_steps.py stylegan2 mirrored

Each line says by how much metrics and changes of weights differ at most, as a share of
themselves; rounding is 1e-3 or less. `mirrored` compares two replicas, whose gradients
are compiled and summed outside, with one device. Exits with 1 if any differs more.
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

ROUNDING, BATCH = 1e-3, 8
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
    "schedule.initial_resolution": 8,
}
STYLEGAN3 = {
    "generator.architecture": "stylegan3",
    "discriminator.architecture": "residual",
    "generator.stylegan3.layers": 4,
    "generator.stylegan3.margin": 2,
    "generator.style_mixing_prob": 0.0,
    "loss.lazy": True,
    "loss.d_reg_interval": 16,
    "schedule.initial_resolution": 8,
    "augment.blur_init_sigma": 2.0,
    "augment.blur_fade_kimg": 10.0,
}
CASES = {
    "stylegan": {},
    "reused-fakes": {"loss.reuse_fakes": True},
    "conditional-ada": {
        "augment.kind": "ada",
        "augment.groups": "bgcfnc",
        "classes": 3,
    },
    "stylegan2": STYLEGAN2,
    "stylegan2-kernels": STYLEGAN2 | {"generator.modulation": "kernels"},
    "stylegan3": STYLEGAN3,
    "rounds": {"accumulate": 2},
    "recompute": {"recompute": True},
    "mirrored": {"generator.use_noise": False},  # noise is each replica's own
    "mirrored-stylegan2": STYLEGAN2 | {"generator.use_noise": False},
}


def one_step(config: TrainConfig, strategy, jit: bool, start: dict | None):
    """Makes a step; returns its metrics, what it started from, and what it left."""
    with strategy.scope():
        nets = make_networks(config)
        if start is None:
            tiny.shake(nets)
            start = tiny.state(nets)
        tiny.restore(nets, start)
        classes = config.generator.classes
        table = np.eye(classes, dtype="f4") if classes else None
        step = tiny.make_step(nets, config, 8, BATCH, table)
    step.jit = jit
    step.passes.blurred = config.augment.blur_init_sigma > 0
    images = np.random.RandomState(0).randint(0, 256, (BATCH, 8, 8, 3), np.uint8)
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


def compare(name: str) -> float:
    """Prints and returns the largest difference of a case."""
    config = tiny.config(ALWAYS | CASES[name])
    one = tf.distribute.OneDeviceStrategy("/cpu:0")
    several = devices.make_strategy("mirrored") if "mirrored" in name else one
    metrics, start, expected = one_step(config, one, False, None)
    compiled, _, found = one_step(config, several, True, start)
    kept = [i for i, n in enumerate(METRICS) if not n.startswith("spread/")]
    off = np.abs(metrics - compiled) / (np.abs(metrics) + 1e-2)
    changes = [
        np.linalg.norm(expected[n] - found[n])
        / (np.linalg.norm(expected[n] - start[n]) + 1e-6 * np.linalg.norm(start[n]))
        for n in start
        if np.any(expected[n] != start[n])
    ]
    print(f"{name:20} metrics {off[kept].max():.1e}  weights {max(changes):.1e}")
    return max(off[kept].max(), *changes)


def main() -> int:
    """Compares the cases named, or all."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
    differ = [n for n in sys.argv[1:] or CASES if compare(n) > ROUNDING]
    print("differ:", ", ".join(differ) or "none")
    return bool(differ)


if __name__ == "__main__":
    sys.exit(main())
