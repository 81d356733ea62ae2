"""What people see of a run: progress bar, log, pictures, TensorBoard.

Each report answers to `start`, `step`, `tick` and `end`, as the trainer's docstring
says, and only looks. A new panel or periodic action is a new class here.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from stylegan_tf import config as configs
from stylegan_tf import figures, latents
from stylegan_tf.data import pipeline
from stylegan_tf.training import planning

SHEET_SEED = 0


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
        self.macs = planning.remaining_macs(
            trainer.config, trainer.state.nimg, trainer.replicas
        )

    def step(self, trainer):
        if self.bar.disable:
            return
        p = trainer.phase
        self._clock(p.batch)
        self.done += p.batch * planning.iteration_macs(trainer.config, p.resolution)
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
        return (
            f"kimg {s['progress/kimg']:<8.1f} {height}x{width} "
            f"alpha {s['progress/alpha']:.2f}  batch {s['progress/batch']:<4}"
            f"loss G {s['loss/g']:.3f} D {s['loss/d']:.3f}  "
            f"scores {s['scores/real']:+.2f} {s['scores/fake']:+.2f}  "
            f"r1 {s['penalty/r1']:.3f}  "
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


# ---------------------------------------------------------------------------


class Studio:
    """Draws with the moving average: fixed latents and noise, the current stage.

    Args:
        trainer: whose average is drawn.
    """

    def __init__(self, trainer):
        self.trainer = trainer
        self.config = trainer.config.generator
        self._compiled: dict[int, tf.types.experimental.PolymorphicFunction] = {}

    def styles(self, seeds: list[int]) -> tf.Tensor:
        """ws [N, num_styles, w_dim] of these seeds; labels run through the classes."""
        average = self.trainer.networks.average
        labels = None
        if self.config.classes:
            turn = [i % self.config.classes for i in range(len(seeds))]
            labels = tf.constant(latents.one_hot(turn, self.config.classes))
        z = tf.constant(latents.z_of(seeds, self.config.z_dim))
        return average.broadcast(average.mapping(z, labels))

    def draw(self, ws: tf.Tensor, batch: int = 16) -> np.ndarray:
        """uint8 [N, H, W, C] at the final size, whatever the stage."""
        p = self.trainer.phase
        alpha = tf.constant(p.alpha, tf.float32)
        parts = []
        for i in range(0, len(ws), batch):
            part = ws[i : i + batch]
            pad = [[0, batch - len(part)], [0, 0], [0, 0]]
            images = self._function(p.resolution)(tf.pad(part, pad), alpha)
            parts.append(images.numpy()[: len(part)])
        pictures = figures.to_uint8(np.concatenate(parts))
        return figures.enlarge(pictures, self.config.resolution // p.resolution)

    def _function(self, resolution: int):
        if resolution not in self._compiled:
            synthesis = self.trainer.networks.average.synthesis
            self._compiled[resolution] = tf.function(
                lambda ws, alpha: synthesis(
                    ws, noise="const", resolution=resolution, alpha=alpha
                )
            )
        return self._compiled[resolution]


class Sheets(Report):
    """`reals.png` once, `fakes-000123.png` (thousands of images) every few ticks."""

    def __init__(self):
        self.ticks, self.latest = 0, None

    def start(self, trainer):
        g = trainer.config.generator
        self.columns, self.rows, self.factor = figures.layout(*g.shape(g.resolution))
        self.seeds = list(range(SHEET_SEED, SHEET_SEED + self.columns * self.rows))
        self.studio = Studio(trainer)
        reals = trainer.run_dir / "reals.png"
        if not reals.exists():
            pictures = pipeline.first_images(
                trainer.data, g.resolution, len(self.seeds)
            )
            self._save(reals, pictures)
        if trainer.state.nimg == 0:
            self._fakes(trainer)

    def tick(self, trainer, stats):
        self.ticks += 1
        done = trainer.state.nimg >= trainer.total
        if done or self.ticks % trainer.config.image_ticks == 0:
            self._fakes(trainer)

    def _fakes(self, trainer):
        kimg = trainer.state.nimg // 1000
        pictures = self.studio.draw(self.studio.styles(self.seeds))
        path = trainer.run_dir / f"fakes-{kimg:06d}.png"
        self.latest = self._save(path, pictures)

    def _save(self, path: Path, pictures: np.ndarray) -> Path:
        pictures = figures.enlarge(pictures, self.factor)
        return figures.save(path, figures.grid(pictures, self.columns))


# ---------------------------------------------------------------------------


class TensorBoard(Report):
    """Event files: every number of a tick, pictures, settings.

    Panels: `samples` (the moving average, fixed latents), `mixing` (style mixing, the
    row's coarse layers with the column's fine ones), `truncation` (psi from 1 to -1)
    and `reals`.
    """

    PSIS = (1.0, 0.7, 0.5, 0.0, -0.5, -1.0)

    def __init__(self):
        self.ticks = 0

    def start(self, trainer):
        self.studio = Studio(trainer)
        self.writer = tf.summary.create_file_writer(str(trainer.run_dir))
        g = trainer.config.generator
        with self.writer.as_default(step=trainer.state.nimg):
            text = json.dumps(configs.to_dict(trainer.config), indent=2)
            tf.summary.text("config", f"```\n{text}\n```")
            self._hparams(trainer)
            reals = pipeline.first_images(trainer.data, g.resolution, 32)
            self._panel("reals", reals, 8)
        self.writer.flush()

    @staticmethod
    def _hparams(trainer):
        from tensorboard.plugins.hparams import api as hparams

        kinds = (bool, int, float, str)
        flat = configs.flat(trainer.config)
        scalars = {k: v for k, v in flat.items() if isinstance(v, kinds)}
        hparams.hparams(scalars, trial_id=Path(trainer.run_dir).name)

    def tick(self, trainer, stats):
        self.ticks += 1
        with self.writer.as_default(step=trainer.state.nimg):
            for name, value in stats.items():
                tf.summary.scalar(name, value)
            done = trainer.state.nimg >= trainer.total
            if done or self.ticks % trainer.config.image_ticks == 0:
                self._pictures()
        self.writer.flush()

    def _pictures(self):
        styles = self.studio.styles(list(range(32)))
        self._panel("samples", self.studio.draw(styles), 8)
        self._panel("mixing", self.studio.draw(self._mixed(styles[:4], styles[4:9])), 6)
        self._panel("truncation", self.studio.draw(self._truncated(styles[:4])), 6)

    def _mixed(self, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
        """A table of ws: the row's below the middle layer, the column's from there."""
        average = self.studio.trainer.networks.average
        middle = self.studio.trainer.phase.resolution.bit_length() - 2
        out = [tf.reduce_mean(rows, 0)[None], columns]
        for row in rows:
            mixed = average.mix(row[None] + 0 * columns, columns, middle)
            out += [row[None], mixed]
        return tf.concat(out, axis=0)

    def _truncated(self, styles: tf.Tensor) -> tf.Tensor:
        average = self.studio.trainer.networks.average
        rows = [
            average.truncate(styles[i : i + 1], p) for i in range(4) for p in self.PSIS
        ]
        return tf.concat(rows, axis=0)

    @staticmethod
    def _panel(name: str, pictures: np.ndarray, columns: int) -> None:
        factor = max(1, 64 // pictures.shape[1])
        sheet = figures.grid(figures.enlarge(pictures, factor), columns)
        tf.summary.image(name, sheet[None])

    def end(self, trainer, reason):
        self.writer.close()


def default_reports() -> list[Report]:
    """What `train` shows unless told otherwise."""
    return [Log(), Sheets(), TensorBoard(), Progress()]
