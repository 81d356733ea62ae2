"""Trains a run for each combination of values, and compares them.

    python launch/sweep.py --set=loss.r1_gamma=1,4,16 --seeds=3 -- --metrics=fid2k
    python launch/sweep.py --set=preset=demo,demo-stylegan2 --jobs=2 -- --data=photos/

Behind -- stand flags of train.py, for all runs. The same command again goes on where it
was stopped: finished runs are left alone. At the end it prints a table, the metrics'
mean and deviation over seeds with it, and writes OUT/sweep.csv and OUT/sweep.html;
compare.py makes the page with pictures.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from stylegan_tf_launch import cli

FLAGS, define = cli.flag_set()
define.multi_string(
    "set",
    [],
    "A setting and its values, NAME=VALUE,VALUE,...; or preset=NAME,NAME. May be given "
    "several times: every combination is trained.",
)
define.integer(
    "seeds", 1, "Seeds of each combination, from 0.", lower_bound=1, upper_bound=1000
)
define.path("out", "sweep", "Folder of the runs.")
define.integer("jobs", 1, "Runs side by side, whose output goes to OUT/logs.", 1, 1000)
define.boolean("dry_run", False, "Print the commands, and train nothing.")
ARGUMENTS = "-- FLAGS OF TRAIN"


def main(argv: Sequence[str]) -> int:
    """Trains and compares; returns the exit code."""
    import shlex

    from stylegan_tf import files
    from stylegan_tf.runs import comparison, comparison_page, sweep

    points = sweep.sweep_points(FLAGS.set, FLAGS.seeds, argv[1:], FLAGS.out)
    program = sweep.train_program()
    if FLAGS.dry_run:
        for point in points:
            print(shlex.join([*program, *point.command]))
        return 0
    out = Path(FLAGS.out)
    work = sweep.Sweep(points, out, program, FLAGS.jobs)
    paths = work.run()
    if paths:
        compared = comparison.compare_runs([str(path) for path in paths])
        print(f"\n{compared.text()}")
        files.write_text(out / "sweep.csv", compared.csv_text())
        page = comparison_page.comparison_page(compared)
        files.write_text(out / "sweep.html", page)
        print(f"\n{out / 'sweep.csv'}\n{out / 'sweep.html'}")
    for name in work.failed:
        print(f"failed: {name}", file=sys.stderr)
    return 1 if work.failed else 0


if __name__ == "__main__":
    cli.run(main, FLAGS)
