"""Reports of a run: progress bar and log.

A report answers to `start`, `step`, `record`, `tick`, `warn` and `end`, see
`training.trainer`, and changes nothing. A new panel or periodic action is a new class
here.
"""

import json
import math
import sys
import time
from pathlib import Path

from stylegan_tf import files
from stylegan_tf.config import cost, schedule
from stylegan_tf.progress import ProgressBar, print_above_bars
from stylegan_tf.runs.rundir import DIVERGED
from stylegan_tf.training.trainer import Trainer


class Report:
    """A report that does nothing; the base of all others."""

    def start(self, trainer: Trainer) -> None:
        """Called when the run starts or continues."""

    def step(self, trainer: Trainer) -> None:
        """Called after each iteration."""

    def record(self, trainer: Trainer, stats: dict[str, float]) -> None:
        """Called before a tick's checkpoint: what a kill just after must not lose.

        Called as well for a tick that a signal cuts short, which `tick` is not.
        """

    def tick(self, trainer: Trainer, stats: dict[str, float]) -> None:
        """Called at the end of a whole tick; `stats` are its means."""

    def warn(self, trainer: Trainer, text: str) -> None:
        """Called with something that needs a person's eye."""

    def end(self, trainer: Trainer, reason: str) -> None:
        """Called when the run is "finished", "interrupted" or "diverged"."""


class Progress(Report):
    """A progress bar in a terminal: images seen, size, alpha, speed, time left."""

    def start(self, trainer: Trainer) -> None:
        """Opens the bar, and sums the work that is left."""
        self.bar = ProgressBar(
            total=trainer.total / 1000,
            initial=trainer.state.nimg / 1000,
            unit="kimg",
            bar_format="{percentage:3.0f}% |{bar}| {n:.1f}/{total:g} kimg {postfix}",
        )
        self.began = self.last = time.perf_counter()
        self.done, self.speed = 0.0, 0.0
        self.macs = cost.remaining_macs(
            trainer.config, trainer.state.nimg, trainer.replicas
        )

    def step(self, trainer: Trainer) -> None:
        """Moves the bar; the time left follows from the multiply-adds left."""
        if self.bar.disable:
            return
        p = trainer.phase
        now = time.perf_counter()
        speed = p.batch / (now - self.last)  # images per second, over about 20 steps
        self.last, self.speed = now, self.speed + (speed - self.speed) * 0.05
        self.done += p.batch * cost.iteration_macs(trainer.config, p.resolution)
        self.bar.n = trainer.state.nimg / 1000
        height, width = trainer.config.generator.shape(p.resolution)
        self.bar.set_postfix_str(
            f"{height}x{width} alpha {p.alpha:.2f}, {self.speed:.0f} img/s, "
            f"{clock((now - self.began) * (self.macs / self.done - 1))} left",
            refresh=False,
        )
        self.bar.update(0)

    def end(self, trainer: Trainer, reason: str) -> None:
        """Closes the bar."""
        self.bar.close()


class Log(Report):
    """One line per tick, printed and in `log.txt`; all numbers in `stats.jsonl`.

    Lines that a full disk does not take are written when there is room.
    """

    def __init__(self):
        self._waiting: dict[Path, str] = {}  # file -> text

    def start(self, trainer: Trainer) -> None:
        """Says where the run starts; drops the rows of steps that are made again."""
        self.path = Path(trainer.run_dir)
        self._drop_after(trainer.state.nimg)
        for notice in trainer.state.notices:
            self.say(notice)
        kimg = trainer.state.nimg / 1000
        word = "continues" if trainer.state.nimg else "starts"
        self.say(
            f"{self.path} {word} at {kimg:g} kimg, ends at {trainer.total / 1000:g}"
        )
        if fitted := schedule.fit_text(trainer.config):
            self.say(fitted)

    def _drop_after(self, nimg: int) -> None:
        """Drops the rows logged after the checkpoint that the run continues from."""
        file = self.path / "stats.jsonl"
        if not file.is_file():
            return
        with open(file, "rb") as lines:
            if all(_nimg(line) <= nimg for line in lines):
                return
        with (
            files.atomic_write(file) as draft,
            open(draft, "wb") as kept,
            open(file, "rb") as lines,
        ):
            kept.writelines(line for line in lines if _nimg(line) <= nimg)

    def record(self, trainer: Trainer, stats: dict[str, float]) -> None:
        """Adds the stats to `stats.jsonl`, and prints a line."""
        # JSON has no NaN, which stands for a number that no step had.
        row = {"nimg": trainer.state.nimg} | {
            k: float(f"{float(v):.6g}") if math.isfinite(v) else None
            for k, v in stats.items()
        }
        self._append(self.path / "stats.jsonl", json.dumps(row))
        self.say(self._line(trainer, stats))

    def tick(self, trainer: Trainer, stats: dict[str, float]) -> None:
        """Writes what a full disk has not taken: the last row has none behind it."""
        self._write()

    @staticmethod
    def _line(trainer: Trainer, s: dict[str, float]) -> str:
        height, width = trainer.config.generator.shape(trainer.phase.resolution)
        memory = s.get("memory/gpu_gb", s.get("memory/cpu_gb"))
        memory = "" if memory is None else f"  {memory:.1f} GB"  # see peak_memory_gb
        p = f"p {s['augment/p']:.3f}  " if "augment/p" in s else ""
        skipped = s.get("progress/skipped_in_tick", 0)
        skipped = f"skipped {skipped:.0f}  " if skipped else ""
        return (
            f"kimg {s['progress/kimg']:<8.1f} {height}x{width} "
            f"alpha {s['progress/alpha']:.2f}  batch {s['progress/batch']:<4}"
            f"loss G {s['loss/g']:.3f} D {s['loss/d']:.3f}  "
            f"scores {s['scores/real']:+.2f} {s['scores/fake']:+.2f}  "
            f"r1 {s['penalty/r1']:.3f}  {p}{skipped}"
            f"{s['timing/images_per_second']:.1f} img/s  "
            f"{clock(s['timing/total_seconds'])}{memory}"
        )

    def end(self, trainer: Trainer, reason: str) -> None:
        """Says where the run ended, at what size, and how many steps were skipped."""
        kimg = trainer.state.nimg / 1000
        if reason == "diverged":
            self.say(DIVERGED)
        elif reason == "interrupted":
            self.say(
                f"stopped by {trainer.stopping} at {kimg:g} kimg; all is saved, "
                f"the same command continues"
            )
        else:
            self.say(f"finished at {kimg:g} kimg")
        self.say(schedule.drawn_size_text(trainer.config, trainer.state.nimg))
        if trainer.state.skipped:
            self.say(
                f"{trainer.state.skipped} steps had a gradient that was not finite"
            )

    def warn(self, trainer: Trainer, text: str) -> None:
        """Says it, and drops the rows of steps that will be made again."""
        self._drop_after(trainer.state.nimg)
        self.say(f"warning: {text}")

    def say(self, text: str) -> None:
        """Prints a line above the progress bar, and adds it to `log.txt`."""
        print_above_bars(text)
        sys.stdout.flush()
        self._append(self.path / "log.txt", text)

    def _append(self, file: Path, line: str) -> None:
        self._waiting[file] = self._waiting.get(file, "") + line + "\n"
        self._write()

    def _write(self) -> None:
        for file, text in list(self._waiting.items()):
            try:
                files.append_text(file, text)
            except OSError as error:
                if files.disk_trouble(error) is None:
                    raise
            else:
                del self._waiting[file]


def _nimg(line: bytes) -> float:
    """Images seen at a row; infinity for a line that is none, as a kill leaves it."""
    try:
        nimg = json.loads(line)["nimg"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return float("inf")
    return nimg if isinstance(nimg, int | float) else float("inf")


def clock(seconds: float) -> str:
    """Formats seconds as `1d 02h`, `3h 05m` or `4m 06s`."""
    s = max(int(seconds), 0)
    if s >= 86400:
        return f"{s // 86400}d {s % 86400 // 3600:02d}h"
    if s >= 3600:
        return f"{s // 3600}h {s % 3600 // 60:02d}m"
    return f"{s // 60}m {s % 60:02d}s"
