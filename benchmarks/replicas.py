"""Two replicas on two logical CPU devices against one device, the same global batch.

    python benchmarks/replicas.py
    python benchmarks/replicas.py --sizes=32,64 --batch=16 --rounds=7

What distribution costs where it gains nothing: both programs have all cores and do
the same sums on the same pictures. Each is a process of its own that makes steps of D
and G as a run does, in turns with the other. Two logical devices share one pool of
threads: wall time is what the cores do and what they wait for, CPU time the work alone.
"""

from collections.abc import Sequence

from stylegan_tf_launch import cli
from workers import matched
from workers.pairing import Results, Worker, in_turns, serve

FLAGS, define = cli.flag_set()
define.list("sizes", ["32", "64"], "Sides of the pictures.")
define.integer("batch", 16, "Pictures of all devices.")
define.integer("steps", 3, "Steps a turn.")
define.integer("rounds", 5, "Turns of each.")
define.string("json", None, "Also write the rows here.")
define.integer("devices", None, "For the script itself.")


def main(argv: Sequence[str]) -> int:
    """Times both and prints the table."""
    if FLAGS.devices:
        return _work(int(FLAGS.sizes[0]), FLAGS.devices)
    columns = ["size", "one device, s", "two replicas, s", "wall", "CPU"]
    results = Results(columns, FLAGS.json)
    for size in FLAGS.sizes:
        row = _compare(int(size))
        results.add(row.values(), row)
    return 0


def _compare(size: int) -> dict:
    """Seconds a step, and the ratios of two replicas to one device."""
    asked = [f"--sizes={size}", f"--batch={FLAGS.batch}"]
    with (
        Worker(__file__, [*asked, "--devices=1"]) as one,
        Worker(__file__, [*asked, "--devices=2"]) as two,
    ):
        turns = {
            1: lambda: one.run(FLAGS.steps),
            2: lambda: two.run(FLAGS.steps),
        }
        times = in_turns(turns, FLAGS.rounds)
    return {
        "size": size,
        "one": times[1].wall / FLAGS.steps,
        "two": times[2].wall / FLAGS.steps,
        "wall": times[2].wall / times[1].wall,
        "cpu": times[2].cpu / times[1].cpu,
    }


# ---------------------------------------------------------------------------
# One of the processes


def _work(size: int, devices: int) -> int:
    import tensorflow as tf  # not by `cli`: devices must be cut up before they start

    cpu = tf.config.list_physical_devices("CPU")[0]
    logical = [tf.config.LogicalDeviceConfiguration() for _ in range(devices)]
    tf.config.set_logical_device_configuration(cpu, logical)
    serve(stepper(size, FLAGS.batch, devices))
    return 0


def stepper(size: int, batch: int, count: int = 1, changes: dict | None = None):
    """A function that makes so many steps at `size`, on `count` devices.

    Args:
        size: side of the pictures.
        batch: pictures a step.
        count: devices; the process must have as many logical ones.
        changes: settings of the run, by dotted name; those of `matched` if not given.
    """
    import numpy as np
    import tensorflow as tf

    from stylegan_tf import config as configs
    from stylegan_tf import devices
    from stylegan_tf.training.objectives import Objectives
    from stylegan_tf.training.passes import Clock, Passes
    from stylegan_tf.training.step import Step
    from stylegan_tf.training.trainer import make_networks

    final = max(size, 8)  # the smallest that a network can have
    changes = matched.settings(size) if changes is None else changes
    config = configs.update(configs.TrainConfig(), changes | {"resolution": final})
    strategy = devices.make_strategy("one" if count == 1 else "mirrored")
    with strategy.scope():
        networks = make_networks(config)
    passes = Passes(networks, config, size)
    step = Step(passes, Objectives(passes), batch)
    shape = (batch, size, size, 3)
    pictures = np.random.RandomState(0).randint(0, 256, shape)

    def share(context) -> tf.Tensor:
        mine = pictures[context.replica_id_in_sync_group :: count]
        return tf.constant(mine, tf.uint8)

    images = strategy.experimental_distribute_values_from_function(share)
    alpha, lr, p = (tf.constant(value) for value in (1.0, 0.001, 0.0))
    clock = Clock(tf.constant(0, tf.int64), alpha, lr, p)

    @tf.function(autograph=False)
    def iterate(images, clock):
        labels = tf.zeros([batch // count, 0])
        metrics = strategy.run(step, args=(images, labels, clock))
        return strategy.reduce("MEAN", metrics, axis=None)

    def steps(n: int) -> None:
        for _ in range(n):
            metrics = iterate(images, clock)
        metrics.numpy()

    return steps


if __name__ == "__main__":
    cli.run(main, FLAGS)
