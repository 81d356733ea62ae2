"""Lists training runs: state, progress, settings, best metrics.

    python launch/runs.py                                    those in runs/
    python launch/runs.py sweeps/ runs/00003-photos-demo     others

States: training (by a process on this machine, or on the one that is named), finished,
stopped (the same command continues it), killed (it had no time to save), diverged, and
new (nothing is trained yet). "changes" are the settings that differ from the preset.
"best" is the best value of each metric that was measured; see evaluate.py.
"""

import os
import shutil
import sys
from collections.abc import Sequence

from stylegan_tf_launch import cli

FLAGS, define = cli.flag_set()
define.boolean("wide", False, "Print whole lines, however long.")
ARGUMENTS = "[DIR...]"  # after the flags


def main(argv: Sequence[str]) -> int:
    """Prints the table; returns the exit code."""
    from stylegan_tf.errors import UserError
    from stylegan_tf.runs import overview

    places = list(argv[1:]) or ["runs"]
    summaries, unreadable = [], []
    for path in overview.find_run_folders(places):
        try:
            summaries.append(overview.summarize_run(path))
        except UserError as error:
            unreadable.append(str(error))
    whole = FLAGS.wide or not sys.stdout.isatty() or "COLUMNS" in os.environ
    width = None if whole else shutil.get_terminal_size().columns
    if summaries:
        print(overview.runs_table(summaries, width))
    for text in unreadable:
        print(text, file=sys.stderr)
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS)
