"""Runs side by side: a table, a CSV file, means over seeds. No TensorFlow."""

import csv
import io
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from stylegan_tf.errors import UserError
from stylegan_tf.runs.overview import (
    Summary,
    aligned,
    differing_settings,
    find_run_folders,
    summarize_run,
    value_text,
)

SEED = "seed"


@dataclass(frozen=True)
class Comparison:
    """Some runs, and what they differ in.

    Attributes:
        runs: the runs.
        names: a short name of each, unlike all others.
        settings: dotted names of the settings that differ.
        labels: metrics that any of the runs has.
    """

    runs: tuple[Summary, ...]
    names: tuple[str, ...]
    settings: tuple[str, ...]
    labels: tuple[str, ...]

    def rows(self) -> list[list[str]]:
        """Returns the table: a row per run under the headings."""
        head = ["run", "state", "kimg", *self.settings]
        for label in self.labels:
            head += [label, "at kimg"]
        rows = [head]
        for name, run in zip(self.names, self.runs, strict=True):
            row = [name, run.state, f"{run.kimg:g}"]
            row += [value_text(run.settings[setting]) for setting in self.settings]
            for label in self.labels:
                score = run.scores.get(label)
                row += [f"{score.best:.5g}", f"{score.kimg:g}"] if score else ["", ""]
            rows.append(row)
        return rows

    def groups(self) -> dict[tuple[str, ...], list[Summary]]:
        """Returns values of the settings that differ, but for the seed -> runs."""
        found: dict[tuple[str, ...], list[Summary]] = {}
        for run in self.runs:
            key = tuple(value_text(run.settings[name]) for name in self.swept)
            found.setdefault(key, []).append(run)
        return found

    @property
    def swept(self) -> list[str]:
        """Settings that differ, but for the seed."""
        return [name for name in self.settings if name != SEED]

    @property
    def has_seeds(self) -> bool:
        """True if any runs differ in nothing but their seed."""
        return any(len(runs) > 1 for runs in self.groups().values())

    def group_rows(self) -> list[list[str]]:
        """Returns mean and deviation of each metric, over runs that differ in seed."""
        rows = [[*self.swept, "runs", *self.labels]]
        for values, runs in self.groups().items():
            row = [*values, str(len(runs))]
            for label in self.labels:
                best = [run.scores[label].best for run in runs if label in run.scores]
                row.append(mean_text(best))
            rows.append(row)
        return rows

    def text(self, width: int | None = None) -> str:
        """Returns the tables for a terminal."""
        parts = [aligned(self.rows(), width)]
        if self.has_seeds and self.labels:
            parts += ["", "mean and deviation over seeds, of the best values:"]
            parts.append(aligned(self.group_rows(), width))
        if not self.labels:
            parts += ["", "No run has metrics; measure with --metrics, or evaluate."]
        return "\n".join(parts)

    def csv_text(self) -> str:
        """Returns the table as CSV, each run's whole path in front."""
        out = io.StringIO()
        table = csv.writer(out, lineterminator="\n")
        head, *rows = self.rows()
        table.writerow(["path", *head[1:]])
        for run, row in zip(self.runs, rows, strict=True):
            table.writerow([str(run.run.path), *row[1:]])
        return out.getvalue()


def mean_text(values: Sequence[float]) -> str:
    """Returns the mean of values, with their standard deviation if there are two.

    The deviation is that of a sample, with n - 1.
    """
    if not values:
        return ""
    mean = f"{statistics.mean(values):.4g}"
    if len(values) < 2:
        return mean
    return f"{mean} +- {statistics.stdev(values):.2g}"


def compare_runs(places: Sequence[str]) -> Comparison:
    """Reads runs, to be laid side by side.

    Args:
        places: run directories, or folders of runs.

    Raises:
        UserError: there are no runs, or settings that cannot be read.
    """
    if not places:
        raise UserError("name runs, or a folder of runs: compare runs/00000-demo-demo")
    paths = find_run_folders(places)
    runs = tuple(summarize_run(path) for path in paths)
    short = [path.name for path in paths]
    names = [str(p) if short.count(p.name) > 1 else p.name for p in paths]
    labels = dict.fromkeys(label for run in runs for label in run.scores)
    return Comparison(runs, tuple(names), tuple(differing_settings(runs)), (*labels,))
