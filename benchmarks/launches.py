"""Operations that a device launches in one iteration, the average, D's and G's step.

    python benchmarks/launches.py
    python benchmarks/launches.py --presets=paper256,stylegan2-ada --resolutions=64,256
    python benchmarks/launches.py --kinds=60

On an H100 a step of 2,300 took 100 ms at 64x64, 128x128 and 256x256 alike, about 40
microseconds for each, whatever its size. They are counted
in the optimized graph, without XLA, as `workers/launched.py` says. Widths are divided
by 32, which changes no operation and makes a count a matter of seconds; --factor=1
counts at full width. No time is measured, so the machine may be busy.
"""

from collections.abc import Sequence

from stylegan_tf_launch import cli
from workers.pairing import Results

FLAGS, define = cli.flag_set()
define.list("presets", ["paper256"], "Presets whose iteration is counted.")
define.list("resolutions", ["64"], "Sizes.")
define.integer("batch", 4, "Pictures a step.", lower_bound=1)
define.integer("factor", 32, "Widths are divided by it.", lower_bound=1)
define.integer("kinds", 12, "Kinds of operations that are shown.", lower_bound=0)
define.string("json", None, "File for the rows.")

COLUMNS = ("preset", "size", "regularized", "launches", "kinds")


def main(argv: Sequence[str]) -> int:
    """Counts, and prints the table."""
    cli.load_tensorflow()
    results = Results(COLUMNS, FLAGS.json)
    for preset in FLAGS.presets:
        for resolution in map(int, FLAGS.resolutions):
            for regularized in (True, False):
                found = count(preset, resolution, regularized)
                kinds = ", ".join(f"{n} {k}" for k, n in found.most_common(FLAGS.kinds))
                size, total = f"{resolution}x{resolution}", found.total()
                row = {"preset": preset, "resolution": resolution, "launches": total}
                row |= {"regularized": regularized, "kinds": dict(found)}
                yes = "yes" if regularized else "no"
                results.add((preset, size, yes, total, kinds), row)
    return 0


def count(preset: str, resolution: int, regularized: bool):
    """The operations of a preset's iteration, by kind."""
    from workers.launched import launched, narrowed
    from workers.one_step import one_step

    from stylegan_tf.config import presets
    from stylegan_tf.training.objectives import Regularization

    config = narrowed(presets.make_config(preset, None), FLAGS.factor)
    regularization = Regularization.at(config.loss, 0)
    if not regularized:
        regularization = Regularization(False, False)
    return launched(one_step(config, resolution, FLAGS.batch, regularization))


if __name__ == "__main__":
    cli.run(main, FLAGS)
