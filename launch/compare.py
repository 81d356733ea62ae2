"""Compares training runs: settings that differ, metrics, curves, pictures.

    python launch/compare.py runs/00000-demo-demo runs/00001-demo-demo-stylegan2
    python launch/compare.py sweep/ --out=report --seeds=none

Prints a table, and writes it to OUT.csv and, with curves and each run's pictures of the
same seeds, to OUT.html. The page is one file that loads nothing else. Runs that differ
in nothing but their seed are summed up by mean and deviation.
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from stylegan_tf_launch import cli

FLAGS, define = cli.flag_set()
define.path("out", "compare", "Name of the files, without .csv and .html.")
define.string(
    "seeds", "0-7", "Pictures of each run on the page: as in generate.py, or none."
)
define.float("psi", 0.7, "Truncation of the pictures.", lower_bound=-10, upper_bound=10)
ARGUMENTS = "RUN..."  # after the flags


def main(argv: Sequence[str]) -> int:
    """Prints and writes the comparison; returns the exit code."""
    from stylegan_tf import files, latents
    from stylegan_tf.runs import comparison, comparison_page

    if FLAGS.seeds != "none":
        cli.announce_loading()
    compared = comparison.compare_runs(argv[1:])
    seeds = [] if FLAGS.seeds == "none" else latents.parse_numbers(FLAGS.seeds)
    out = Path(FLAGS.out)
    cli.make_folder(out.parent)
    table = out.with_name(f"{out.name}.csv")
    page = out.with_name(f"{out.name}.html")
    terminal = sys.stdout.isatty()
    print(compared.text(shutil.get_terminal_size().columns if terminal else None))
    files.write_text(table, compared.csv_text())
    sheets = {}
    if seeds:
        cli.load_tensorflow(exact=True)
        from stylegan_tf.runs import comparison_sheets

        sheets, missing = comparison_sheets.draw_same_seeds(compared, seeds, FLAGS.psi)
        for name, why in missing.items():
            print(f"no pictures of {name}: {why}", file=sys.stderr)
    caption = f"Seeds {FLAGS.seeds}, psi {FLAGS.psi:g}."
    files.write_text(page, comparison_page.comparison_page(compared, sheets, caption))
    print(f"\n{table}\n{page}")
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS)
