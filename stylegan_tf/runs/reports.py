"""What people see of a run: progress bar, log, pictures, TensorBoard.

Each report answers to `start`, `step`, `tick` and `end`, as the trainer's docstring
says, and only looks. A new panel or periodic action is a new class here.
"""

import json
import sys
import time
from pathlib import Path

from tqdm import tqdm

from stylegan_tf.config import cost


class Report:
    """Does nothing at every occasion; the base of the others."""

    def start(self, trainer) -> None:
        """The run starts or continues."""

    def step(self, trainer) -> None:
        """One iteration is done."""

    def tick(self, trainer, stats: dict[str, float]) -> None:
        """A tick is over; `stats` are its means."""

    def end(self, trainer, reason: str) -> None:
        """The run is "finished" or "interrupted"."""


# ---------------------------------------------------------------------------


class Progress(Report):
    """A progress bar in a terminal: images, size, fade, speed, time left."""

    def start(self, trainer):
        self.bar = tqdm(
            total=trainer.total / 1000,
            initial=trainer.state.nimg / 1000,
            unit="kimg",
            disable=None,  # no bar where there is no terminal
            bar_format="{percentage:3.0f}% |{bar}| {n:.1f}/{total:g} kimg {postfix}",
        )
        self.began = self.last = time.perf_counter()
        self.done, self.speed = 0.0, 0.0
        self.macs = cost.remaining_macs(
            trainer.config, trainer.state.nimg, trainer.replicas
        )

    def step(self, trainer):
        if self.bar.disable:
            return
        p = trainer.phase
        self._clock(p.batch)
        self.done += p.batch * cost.iteration_macs(trainer.config, p.resolution)
        self.bar.n = trainer.state.nimg / 1000
        height, width = trainer.config.generator.shape(p.resolution)
        self.bar.set_postfix_str(
            f"{height}x{width} alpha {p.alpha:.2f}, {self.speed:.0f} img/s, "
            f"{self._left()} left",
            refresh=False,
        )
        self.bar.update(0)

    def _clock(self, images: int) -> None:
        """Speed in images a second, smoothed over about twenty steps."""
        now = time.perf_counter()
        speed = images / (now - self.last)
        self.last, self.speed = now, self.speed + (speed - self.speed) * 0.05

    def _left(self) -> str:
        seconds = time.perf_counter() - self.began
        return clock(seconds * (self.macs / self.done - 1)) if self.done else "?"

    def end(self, trainer, reason):
        self.bar.close()


class Log(Report):
    """One line a tick on the screen and in `log.txt`; all numbers in `stats.jsonl`."""

    def start(self, trainer):
        self.path = Path(trainer.run_dir)
        self._forget(trainer.state.nimg)
        kimg = trainer.state.nimg / 1000
        word = "continues" if trainer.state.nimg else "starts"
        self.say(
            f"{self.path} {word} at {kimg:g} kimg, ends at {trainer.total / 1000:g}"
        )

    def _forget(self, nimg: int) -> None:
        """Drops what was logged after the checkpoint that the run continues from."""
        file = self.path / "stats.jsonl"
        if file.exists():
            kept = [
                line for line in file.read_text().splitlines() if _nimg(line) <= nimg
            ]
            file.write_text("".join(line + "\n" for line in kept))

    def tick(self, trainer, stats):
        with open(self.path / "stats.jsonl", "a", encoding="utf-8") as f:
            row = {"nimg": trainer.state.nimg} | {
                k: _short(v) for k, v in stats.items()
            }
            f.write(json.dumps(row) + "\n")
        self.say(self._line(trainer, stats))

    @staticmethod
    def _line(trainer, s: dict[str, float]) -> str:
        height, width = trainer.config.generator.shape(trainer.phase.resolution)
        memory = s.get("memory/gpu_gb", s["memory/cpu_gb"])
        p = f"p {s['augment/p']:.3f}  " if "augment/p" in s else ""
        return (
            f"kimg {s['progress/kimg']:<8.1f} {height}x{width} "
            f"alpha {s['progress/alpha']:.2f}  batch {s['progress/batch']:<4}"
            f"loss G {s['loss/g']:.3f} D {s['loss/d']:.3f}  "
            f"scores {s['scores/real']:+.2f} {s['scores/fake']:+.2f}  "
            f"r1 {s['penalty/r1']:.3f}  {p}"
            f"{s['timing/images_per_second']:.1f} img/s  "
            f"{clock(s['timing/total_seconds'])}  {memory:.1f} GB"
        )

    def end(self, trainer, reason):
        kimg = trainer.state.nimg / 1000
        if reason == "interrupted":
            self.say(
                f"stopped by {trainer.stopping} at {kimg:g} kimg; all is saved, "
                f"the same command continues"
            )
        else:
            self.say(f"finished at {kimg:g} kimg")
        if trainer.state.skipped:
            self.say(
                f"{trainer.state.skipped} steps had a gradient that was not finite"
            )

    def say(self, text: str) -> None:
        """Prints a line above the progress bar, and keeps it."""
        tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()
        with open(self.path / "log.txt", "a", encoding="utf-8") as f:
            f.write(text + "\n")


def _nimg(line: str) -> float:
    try:
        return json.loads(line)["nimg"]
    except (ValueError, KeyError):
        return float("inf")  # a line cut short by a kill


def _short(value: float) -> float:
    return float(f"{float(value):.6g}")


def clock(seconds: float) -> str:
    """Seconds as `1d 02h`, `3h 05m` or `4m 06s`."""
    s = max(int(seconds), 0)
    if s >= 86400:
        return f"{s // 86400}d {s % 86400 // 3600:02d}h"
    if s >= 3600:
        return f"{s // 3600}h {s % 3600 // 60:02d}m"
    return f"{s // 60}m {s % 60:02d}s"
