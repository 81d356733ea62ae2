"""Times training steps with one thread and with several: what more cores buy.

    python benchmarks/cores.py                               1 thread, and all cores
    python benchmarks/cores.py --threads=1,4,8 --sizes=64 --batches=8,32

Each number of threads is a process of its own, and they make the steps of a preset in
turns, its regularizations at their intervals, on random images. `times` is how many
times as fast as with one thread, by the clock; `cores used` is CPU seconds over those
of the clock. Keep the machine free of other work.
"""

import os
from collections.abc import Callable, Sequence

from stylegan_tf_launch import cli
from workers.pairing import Results, Worker, in_turns, serve

FLAGS, define = cli.flag_set()
define.string("preset", "demo", "Whose networks and regularizations.")
define.list("sizes", ["32", "64"], "Sides of the images.")
define.list("batches", ["8", "16"], "Images a step.")
define.list("threads", ["1", str(max(os.cpu_count() or 1, 2))], "The first is one.")
define.string("precision", "auto", "bfloat16, float32 or auto.")
define.integer("rounds", 5, "Turns of each.")
define.list("set", [], "Further settings of the run, NAME=VALUE.")
define.string("json", None, "Also write the rows here.")
define.bool("worker", False, "For the script itself.")

COLUMNS = ("size", "batch", "threads", "images/s", "times", "cores used")


def main(argv: Sequence[str]) -> int:
    """Times all and prints the table."""
    if FLAGS.worker:
        work, about = stepper(int(FLAGS.sizes[0]), int(FLAGS.batches[0]))
        serve(work, about)
        return 0
    results = Results(COLUMNS, FLAGS.json)
    for size in FLAGS.sizes:
        for batch in FLAGS.batches:
            for row in _rows(int(size), int(batch)):
                results.add(row.values(), row)
    return 0


def _rows(size: int, batch: int) -> list[dict]:
    """Returns a row per number of threads."""
    asked = ["--worker", f"--preset={FLAGS.preset}", f"--precision={FLAGS.precision}"]
    asked += [f"--sizes={size}", f"--batches={batch}"]
    asked += [f"--set={pair}" for pair in FLAGS.set]
    workers = {}
    try:
        for threads in FLAGS.threads:
            names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
            workers[threads] = Worker(__file__, asked, dict.fromkeys(names, threads))
        cycle = workers[FLAGS.threads[0]].about["cycle"]
        turns = {n: lambda w=w: w.run(cycle) for n, w in workers.items()}
        times = in_turns(turns, FLAGS.rounds)
    finally:
        for worker in workers.values():
            worker.close()
    slowest = times[FLAGS.threads[0]].wall
    return [
        {
            "size": size,
            "batch": batch,
            "threads": int(n),
            "images_per_second": cycle * batch / took.wall,
            "times": slowest / took.wall,
            "cores_used": took.cpu / took.wall,
        }
        for n, took in times.items()
    ]


def stepper(size: int, batch: int) -> tuple[Callable[[int], None], dict]:
    """Returns a function that makes so many steps, and what is to be known of it."""
    import math

    from workers.one_step import one_step

    from stylegan_tf import devices
    from stylegan_tf.config import presets, update
    from stylegan_tf.training.build import make_networks
    from stylegan_tf.training.objectives import Regularization

    changes = {"precision": devices.resolve_precision(FLAGS.precision)}
    changes |= dict(pair.split("=", 1) for pair in FLAGS.set)
    config = update(presets.make_config(FLAGS.preset, size), changes)
    loss, networks = config.loss, make_networks(config)
    cycle = math.lcm(loss.d_reg_interval, loss.g_reg_interval)
    kinds = [Regularization.at(loss, i) for i in range(cycle)]
    steps = {
        kind: one_step(config, size, batch, kind, networks)
        for kind in dict.fromkeys(kinds)
    }

    def work(count: int) -> None:
        for i in range(count):
            steps[kinds[i % cycle]]()

    return work, {"cycle": cycle}


if __name__ == "__main__":
    cli.run(main, FLAGS)
