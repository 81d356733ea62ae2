"""Images that the input delivers and that training consumes, at every resolution.

    python benchmarks/data.py                        up to 64x64, of 64x64 pictures
    python benchmarks/data.py --preset=demo          the same for the demo's network
    python benchmarks/data.py --large                8x8 to 1024x1024, of 1024x1024

The pipeline runs alone, through the iterator that the trainer reads, with all cores.
Up to 64x64 training is timed: steps of D and G. With --large, consumption is counted:
the multiply-adds of `paper1024` at the rate of this machine's fastest convolution in
bfloat16, which no training reaches, and, in a column of its own, an H100's (328, 160
and 77 images a second at 64, 128 and 256, measured with `paper256`; in proportion to
the multiply-adds beyond). The large set is textured pictures, read from disk in windows
as a set of tens of thousands is.
"""

import functools
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from convert import Folder, paint
from replicas import stepper
from stylegan_tf_launch import cli
from workers.pairing import Timed, table, timed, write_json

FLAGS, define = cli.flag_set()
define.boolean("large", False, "Pictures of 1024x1024.")
define.string("preset", None, "The network, up to 64x64.")
define.string("data", None, "A data set instead.")
define.integer("pictures", 64, "Large pictures to make.")
define.integer("batch", 16, "Pictures a step, to 64x64.")
define.float("seconds", 2.0, "Length of a timing.")
define.integer("rounds", 3, "Timings; their best counts.")
define.string("json", None, "Also write the rows here.")

H100 = {64: 328.0, 128: 160.0, 256: 77.0}  # images a second, `paper256`, batch 32 to 8
WINDOWS = 4  # that the large set is cut into


def main(argv: Sequence[str]) -> int:
    """Times and prints the table."""
    cli.load_tensorflow()
    with tempfile.TemporaryDirectory() as scratch:
        folder = FLAGS.data or _data(scratch)
        rows = _large(folder) if FLAGS.large else _small(folder)
    write_json(FLAGS.json, rows)
    print(table(list(rows[0]), [list(row.values()) for row in rows]))
    return 0


def _data(scratch: str) -> Path:
    """The data set that is read: the demo's, or large pictures made for it."""
    from stylegan_tf.data import records, sources

    if not FLAGS.large:
        return records.prepare("demo", labels="none", resolution="64x64")
    paint(Folder("", ".png", FLAGS.pictures, (1024, 1024), 1024), Path(scratch) / "in")
    source = sources.open_source(str(Path(scratch) / "in"))
    return records.write_dataset(source, Path(scratch) / "out").folder


# ---------------------------------------------------------------------------


def _small(folder: Path) -> list[dict]:
    from stylegan_tf.config import presets
    from stylegan_tf.data.manifest import Manifest

    rows, changes = [], None  # the matched network
    if FLAGS.preset:
        changes = presets.PRESETS[FLAGS.preset].changes(64, 1)
    for size in Manifest.load(folder).levels:
        given = delivered(folder, size, FLAGS.batch)
        taken = consumed(size, changes)
        rows.append(_row(size, given) | {"training": taken})
        rows[-1]["ratio"] = rows[-1]["pipeline"] / taken
    return rows


def _large(folder: Path) -> list[dict]:
    from stylegan_tf.config import cost, presets
    from stylegan_tf.data import pipeline
    from stylegan_tf.data.manifest import Manifest

    manifest = Manifest.load(folder)
    top = sum(manifest.levels[manifest.resolution].sizes)
    pipeline.MEMORY_BYTES = min(pipeline.MEMORY_BYTES, top // WINDOWS)
    config, rate, rows = presets.make_config("paper1024"), convolution_rate(), []
    cost = {n: cost.iteration_macs(config, n) for n in manifest.levels}
    for size in [n for n in manifest.levels if n >= 8]:
        batch = config.schedule.batch_at.get(size, config.schedule.batch)
        given = delivered(folder, size, batch)
        row = _row(size, given)
        row["CPU takes"] = rate / cost[size]
        row["ratio"] = row["pipeline"] / row["CPU takes"]
        row["H100 takes"] = H100.get(size, H100[256] * min(cost[256] / cost[size], 4))
        row["ratio to H100"] = row["pipeline"] / row["H100 takes"]
        row["MB a picture"] = sum(manifest.levels[size].sizes) / manifest.count / 1e6
        rows.append(row)
    return rows


def _row(size: int, given: Timed) -> dict:
    return {
        "size": size,
        "pipeline": 1 / given.wall,
        "CPU us an image": 1e6 * given.cpu,
    }


def delivered(folder: Path, size: int, batch: int) -> Timed:
    """Seconds an image of the pipeline alone, as the trainer reads it."""
    from stylegan_tf import devices
    from stylegan_tf.data import pipeline
    from stylegan_tf.training.reals import ReplicaBatches

    iterator = ReplicaBatches(
        devices.make_strategy("one"),
        functools.partial(pipeline.dataset, folder, size, batch, mirror=True),
    )
    done = 0

    def work() -> None:
        nonlocal done
        done, end = 0, time.perf_counter() + FLAGS.seconds
        while time.perf_counter() < end:
            next(iterator)
            done += batch

    next(iterator)
    turns = []
    for _ in range(FLAGS.rounds):
        seconds = timed(work)
        turns.append(Timed(seconds.wall / done, seconds.cpu / done))
    return min(turns)


def consumed(size: int, changes: dict) -> float:
    """Images a second of steps of D and G at `size`."""
    step = stepper(size, FLAGS.batch, 1, changes)
    step(2)
    once = min(timed(lambda: step(1)).wall for _ in range(3))
    count = max(int(FLAGS.seconds / 2 / once), 1)
    seconds = min(timed(lambda: step(count)).wall for _ in range(FLAGS.rounds))
    return FLAGS.batch * count / seconds


def convolution_rate() -> float:
    """Multiply-adds a second of a 3 x 3 convolution in bfloat16."""
    import tensorflow as tf

    x = tf.cast(tf.random.normal([16, 32, 32, 128]), tf.bfloat16)
    kernel = tf.cast(tf.random.normal([3, 3, 128, 128]), tf.bfloat16)

    @tf.function
    def many():
        total = tf.zeros([], tf.bfloat16)
        for _ in range(10):
            with tf.control_dependencies([total]):
                total += tf.reduce_sum(tf.nn.conv2d(x, kernel, 1, "SAME")[0, 0, 0])
        return total

    many()
    seconds = min(timed(lambda: many().numpy()).wall for _ in range(10))
    return 10 * 16 * 32 * 32 * 9 * 128 * 128 / seconds


if __name__ == "__main__":
    cli.run(main, FLAGS)
