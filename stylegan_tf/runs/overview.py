"""Runs at a glance: state, settings that differ, best metrics. No TensorFlow."""

import contextlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stylegan_tf import config as configs
from stylegan_tf.config import RESUMABLE, SETTLED, TrainConfig, presets
from stylegan_tf.errors import UserError
from stylegan_tf.metrics import results, suite
from stylegan_tf.runs import owner, rundir

# Settings that the data decide, or that have a column of their own.
_OF_DATA = ("resolution", "start_shape", "channels", "classes")
_SHOWN = ("preset", "data", "labels", "init", *RESUMABLE, *SETTLED)
MOST_CHANGES = 3  # settings of a run in a line


@dataclass(frozen=True)
class Score:
    """A metric of a run.

    Attributes:
        label: such as `fid5k[builtin-v1]`.
        best: the best value.
        kimg: thousands of images at which the best was measured; NaN if unknown.
        last: the newest value.
        points: (thousands of images, value) of each measurement.
    """

    label: str
    best: float
    kimg: float
    last: float
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Summary:
    """A run at a glance.

    Attributes:
        run: the run.
        state: "training ...", "finished", "stopped", "diverged", "killed" or "new".
        scores: by label, the chosen metric first.
    """

    run: rundir.Run
    state: str
    scores: dict[str, Score]

    @property
    def settings(self) -> dict[str, object]:
        """All settings by dotted name."""
        return configs.flat(self.run.config)

    @property
    def size(self) -> str:
        """HEIGHTxWIDTH of the finished images."""
        g = self.run.config.generator
        return "x".join(map(str, g.shape(g.resolution)))

    @property
    def kimg(self) -> float:
        """Thousands of images seen."""
        return self.run.nimg / 1000


def find_run_folders(places: Iterable[str | Path]) -> list[Path]:
    """Returns the run directories that are named, or lie in named folders.

    Args:
        places: run directories, folders of runs, or folders of these.

    Raises:
        UserError: there is no run at a place.
    """
    found: list[Path] = []
    for place in map(Path, places):
        if (place / "config.json").is_file():
            found.append(place)
            continue
        runs = [p for p in _below(place) if (p / "config.json").is_file()]
        if not runs:
            why = "has no runs in it" if place.is_dir() else "is not there"
            raise UserError(
                f"{place} {why}; give a folder of runs, or a run's folder such as "
                f"runs/00000-demo-demo."
            )
        found += runs
    return list(dict.fromkeys(found))


def _below(place: Path) -> list[Path]:
    """The folders in a folder, and those in them, in the order of their names."""
    with contextlib.suppress(OSError):
        first = sorted(p for p in place.iterdir() if p.is_dir())
        return [q for p in first for q in [p, *sorted(p.glob("[0-9]*-*"))]]
    return []


def summarize_run(path: Path | str) -> Summary:
    """Reads a run directory.

    Raises:
        UserError: its settings cannot be read.
    """
    run = rundir.read_run(path)
    return Summary(run, run_state(run), read_scores(run))


def run_state(run: rundir.Run) -> str:
    """Returns what a run is doing, or has come to."""
    if holder := owner.holder(run.path):
        return holder
    if run.finished:
        return "finished"
    with contextlib.suppress(OSError):
        last = (run.path / "log.txt").read_text("utf-8", "replace")[-2000:]
        if rundir.DIVERGED in last.splitlines()[-4:]:
            return "diverged"
    return "stopped" if run.nimg else "new"


def read_scores(run: rundir.Run) -> dict[str, Score]:
    """Reads the metrics of a run by label, those that it was to measure first."""
    rows: dict[str, list[dict]] = {}
    for row in results.read_results(run.path):
        if isinstance(row["value"], int | float) and math.isfinite(row["value"]):
            rows.setdefault(results.metric_label(row), []).append(row)
    order = run.config.metrics

    def rank(label: str) -> int:
        name = label.partition("[")[0]
        return next((i for i, m in enumerate(order) if name.startswith(m)), len(order))

    return {label: _score(label, rows[label]) for label in sorted(rows, key=rank)}


def _score(label: str, rows: list[dict]) -> Score:
    points = [(_kimg(row), float(row["value"])) for row in rows]
    name = label.partition("[")[0]
    pick = max if suite.better_of(name) == suite.HIGHER else min
    kimg, best = pick(points, key=lambda point: point[1])
    return Score(label, best, kimg, points[-1][1], tuple(points))


def _kimg(row: dict) -> float:
    return math.nan if row["nimg"] is None else row["nimg"] / 1000


# ---------------------------------------------------------------------------
# Settings that differ


def changes_from_preset(config: TrainConfig) -> dict[str, object]:
    """Returns the settings by which a run differs from its preset, by dotted name.

    Empty for a preset of the user's own, which is not known here.
    """
    if config.preset not in presets.PRESETS:
        return {}
    base = presets.make_config(config.preset, config.generator.resolution)
    return _differences(configs.flat(config), configs.flat(base))


def _differences(ours: dict, theirs: dict) -> dict[str, object]:
    return {
        name: value
        for name, value in ours.items()
        if value != theirs[name]
        and theirs[name] != "auto"  # which the machine has settled
        and not _has_column(name)
    }


def _has_column(name: str) -> bool:
    return name in _SHOWN or name.split(".")[-1] in _OF_DATA


def differing_settings(runs: Sequence[Summary]) -> list[str]:
    """Returns the dotted names of the settings that are not the same in all runs.

    The preset, which most others follow from, comes first. What both networks share, as
    their resolution, is the generator's.
    """
    every = [run.settings for run in runs]
    found = [
        name
        for name in (every[0] if every else ())
        if any(one[name] != every[0][name] for one in every)
        and name not in (*RESUMABLE, *SETTLED)
        and not _repeats_the_generator(name, every)
    ]
    return sorted(found, key=lambda name: name != "preset")


def _repeats_the_generator(name: str, every: Sequence[dict]) -> bool:
    """True if a discriminator's setting is the generator's in each of some runs."""
    section, _, field = name.rpartition(".")
    if section != "discriminator":
        return False
    same = f"generator.{field}"
    return all(same in one and one[same] == one[name] for one in every)


def value_text(value: object) -> str:
    """Returns a setting's value as a person would write it."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ",".join(map(value_text, value))
    if isinstance(value, dict):
        return ",".join(f"{k}:{value_text(v)}" for k, v in value.items())
    return str(value)


# ---------------------------------------------------------------------------
# The list


def runs_table(runs: Sequence[Summary], width: int | None = None) -> str:
    """Returns a line per run, under a line of headings.

    Args:
        runs: the runs.
        width: characters of a line; longer ones are cut. None = no limit.
    """
    rows = [["run", "state", "kimg", "preset", "size", "data", "changes", "best"]]
    for summary in runs:
        c = summary.run.config
        changes = changes_from_preset(c)
        shown = [f"{k}={value_text(v)}" for k, v in [*changes.items()][:MOST_CHANGES]]
        if len(changes) > MOST_CHANGES:
            shown.append(f"and {len(changes) - MOST_CHANGES} more")
        every = [*summary.scores.values()]
        # FID and the like are not judged without a look at copies.
        scores = every[:2] + [s for s in every[2:] if s.label.startswith("mem")]
        best = [f"{score.label} {score.best:.4g}" for score in scores]
        rows.append(
            [
                str(summary.run.path),
                summary.state,
                f"{summary.kimg:g}/{c.schedule.total_kimg:g}",
                c.preset,
                summary.size,
                Path(c.data.rstrip("/")).name if "/" in c.data else c.data,
                " ".join(shown) or "-",
                ", ".join(best) or "-",
            ]
        )
    return aligned(rows, width)


def aligned(rows: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Returns rows as a text table whose columns are aligned.

    Args:
        rows: cells, the headings first.
        width: characters of a line; longer ones are cut. None = no limit.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    if width:
        lines = [n if len(n) <= width else n[: width - 3] + "..." for n in lines]
    return "\n".join(lines)
