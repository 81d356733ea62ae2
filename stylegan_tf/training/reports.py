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
from stylegan_tf import figures, latents, sampling
from stylegan_tf.data import pipeline
from stylegan_tf.training import planning

SHEET_SEED = 0
PANEL_ROWS = 10  # classes that TensorBoard shows in rows of their own
PANEL_LATENTS = 1000  # behind a class's mean w there


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


# ---------------------------------------------------------------------------


def cells(classes: int, columns: int, rows: int) -> tuple[list[int], list[int]]:
    """Seeds and classes of a sheet's pictures, row by row.

    If the classes fit, each has one row, and all rows have the same seeds. Else there
    is another seed in every place, and the classes, if any, take turns.
    """
    if _fit(classes, rows):
        seeds = list(range(SHEET_SEED, SHEET_SEED + columns))
        return seeds * classes, [k for k in range(classes) for _ in seeds]
    n = columns * rows
    turns = [i % classes for i in range(n)] if classes else []
    return list(range(SHEET_SEED, SHEET_SEED + n)), turns


def _fit(classes: int, rows: int) -> bool:
    return 1 < classes <= rows


def real_cells(data, resolution: int, classes: int, columns: int, rows: int):
    """Real pictures in the places of `cells`, the first ones in stored order.

    Args:
        data: a data set's folder or its manifest.

    Returns:
        uint8 [N, H, W, C]; white where a class has too few pictures.
    """
    labels = pipeline.labels(data) if _fit(classes, rows) else np.zeros((0, 0))
    one_hot = np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all()
    if not len(labels) or labels.shape[1] != classes or not one_hot:
        return pipeline.first_images(data, resolution, columns * rows)
    shape = pipeline.first_images(data, resolution, 1).shape[1:]
    table = np.full((classes, columns, *shape), 255, np.uint8)
    for k in range(classes):
        places = np.flatnonzero(labels[:, k])[:columns]
        for i, picture in enumerate(_stored(data, resolution, places)):
            table[k, i] = picture
    return table.reshape(-1, *shape)


def _stored(data, resolution: int, places: np.ndarray, batch: int = 64):
    """The pictures at these places of the stored order, ascending: uint8 [H, W, C]."""
    if not len(places):
        return
    first = int(places[0])
    stream = pipeline.dataset(
        data, resolution, batch, start=first, shuffle=False, repeat=False
    )
    for element in stream.as_numpy_iterator():
        for picture in element["image"]:
            if first in places:
                yield picture
            first += 1
        if first > places[-1]:
            return


class Studio:
    """Draws with the moving average: fixed latents and noise, the current stage.

    Args:
        trainer: whose average is drawn.
    """

    def __init__(self, trainer):
        self.trainer = trainer
        self.config = trainer.config.generator
        self._compiled: dict[int, tf.types.experimental.PolymorphicFunction] = {}

    def styles(self, seeds: list[int], classes: list[int] | None = None) -> tf.Tensor:
        """ws [N, num_styles, w_dim] of these seeds and classes; None = all in turn."""
        average = self.trainer.networks.average
        labels = None
        if self.config.classes:
            turn = classes or [i % self.config.classes for i in range(len(seeds))]
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
                ),
                autograph=False,
            )
        return self._compiled[resolution]


class Sheets(Report):
    """`reals.png` once, `fakes-000123.png` (thousands of images) every few ticks.

    Those of a conditional model have one row a class, if the classes fit.
    """

    def __init__(self):
        self.ticks, self.latest = 0, None

    def start(self, trainer):
        g = trainer.config.generator
        self.columns, rows, self.factor = figures.layout(*g.shape(g.resolution))
        self.seeds, self.classes = cells(g.classes, self.columns, rows)
        self.studio = Studio(trainer)
        reals = trainer.run_dir / "reals.png"
        if not reals.exists():
            pictures = real_cells(
                trainer.data, g.resolution, g.classes, self.columns, rows
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
        styles = self.studio.styles(self.seeds, self.classes)
        pictures = self.studio.draw(styles)
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
    and `reals`. Up to ten classes have a row each, except in `mixing`.
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
            table = g.classes, 8, self._rows()
            self._panel("reals", real_cells(trainer.data, g.resolution, *table), 8)
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

    def _rows(self) -> int:
        classes = self.studio.config.classes
        return classes if _fit(classes, PANEL_ROWS) else 4

    def _pictures(self):
        studio, rows = self.studio, self._rows()
        styles = studio.styles(*cells(studio.config.classes, 8, rows))
        self._panel("samples", studio.draw(styles), 8)
        few = studio.styles(list(range(9)))
        self._panel("mixing", studio.draw(self._mixed(few[:4], few[4:])), 6)
        self._panel("truncation", studio.draw(self._truncated(*self._lines(rows))), 6)

    def _lines(self, rows: int) -> tuple[tf.Tensor, np.ndarray | None]:
        """The styles that truncation starts from, one a row, and where it leads to."""
        average, classes = (
            self.studio.trainer.networks.average,
            self.studio.config.classes,
        )
        styles = self.studio.styles(list(range(rows)))
        if not classes:
            return styles, None
        turn = [i % classes for i in range(rows)]
        return styles, sampling.class_centers(average, turn, PANEL_LATENTS)

    def _mixed(self, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
        """A table of ws: the row's below the middle layer, the column's from there."""
        average = self.studio.trainer.networks.average
        middle = self.studio.trainer.phase.resolution.bit_length() - 2
        out = [tf.reduce_mean(rows, 0)[None], columns]
        for row in rows:
            mixed = average.mix(row[None] + 0 * columns, columns, middle)
            out += [row[None], mixed]
        return tf.concat(out, axis=0)

    def _truncated(self, styles: tf.Tensor, centers=None) -> tf.Tensor:
        """A row of every psi for each of the styles."""
        average = self.studio.trainer.networks.average
        table = []
        for i in range(len(styles)):
            center = None if centers is None else centers[i, None, None]
            row = styles[i : i + 1]
            table += [average.truncate(row, p, center=center) for p in self.PSIS]
        return tf.concat(table, axis=0)

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
