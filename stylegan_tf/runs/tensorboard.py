"""TensorBoard event files of a run."""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf

from stylegan_tf import config as configs
from stylegan_tf import figures, sampling
from stylegan_tf.runs.previews import Studio, real_cells
from stylegan_tf.runs.reports import Report
from stylegan_tf.sampling.lineup import _fit, cells

PANEL_ROWS = 10  # classes that TensorBoard shows in rows of their own
PANEL_LATENTS = 1000  # behind a class's mean w there


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
