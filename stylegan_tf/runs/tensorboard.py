"""TensorBoard event files of a run."""

import contextlib
import json
import math
from pathlib import Path

import numpy as np
import tensorflow as tf

from stylegan_tf import config as configs
from stylegan_tf import figures, files, latents, sampling
from stylegan_tf.runs.event_files import EventFiles
from stylegan_tf.runs.previews import StagePreview, real_images
from stylegan_tf.runs.reports import Report
from stylegan_tf.sampling.lineup import fit_rows, sheet_cells
from stylegan_tf.training.trainer import Trainer

PANEL_ROWS = 10  # classes that TensorBoard shows in rows of their own
PANEL_SIDE = 256  # pixels of an image in a panel, at most
PANEL_LATENTS = 1000  # latents per class whose mean w is the center of truncation


def shrinkage(height: int, width: int) -> int:
    """Returns the power of two that makes an image fit PANEL_SIDE."""
    return 1 << ((max(height, width) - 1) // PANEL_SIDE).bit_length()


def panel_images(rows: int) -> int:
    """Returns the number of images in the panels of a tick."""
    return 8 * rows + 5 * 6 + rows * len(TensorBoard.PSIS)


class TensorBoard(Report):
    """Event files: every number of a tick, images, settings.

    Panels: `samples` (the moving average, fixed latents), `mixing` (style mixing, the
    row's coarse layers with the column's fine ones), `truncation` (psi from 1 to -1)
    and `reals`. Each of up to ten classes has its own row, except in
    `mixing`. No image is larger than 256 x 256 there; the sheets have all pixels.
    """

    PSIS = (1.0, 0.7, 0.5, 0.0, -0.5, -1.0)

    def __init__(self):
        self.ticks = 0
        self._folder = contextlib.ExitStack()

    def start(self, trainer: Trainer) -> None:
        """Opens an event file; writes settings, and real images into the first."""
        self.preview = StagePreview(trainer)
        alias = files.plain_alias(trainer.run_dir)
        self.files = EventFiles(self._folder.enter_context(alias))
        g = trainer.config.generator
        with self.files.writing(trainer.state.nimg):
            text = json.dumps(configs.to_dict(trainer.config), indent=2)
            tf.summary.text("config", f"```\n{text}\n```")
            self._hparams(trainer)
            table = g.label_choices, 8, self._rows()
            if self.files.first:
                images = real_images(trainer.data, g.resolution, *table)
                self._panel("reals", images, 8)

    @staticmethod
    def _hparams(trainer: Trainer) -> None:
        from tensorboard.plugins.hparams import api as hparams

        kinds = (bool, int, float, str)
        flat = configs.flat(trainer.config)
        scalars = {k: v for k, v in flat.items() if isinstance(v, kinds)}
        hparams.hparams(scalars, trial_id=Path(trainer.run_dir).name)

    def record(self, trainer: Trainer, stats: dict[str, float]) -> None:
        """Writes the stats."""
        with self.files.writing(trainer.state.nimg):
            for name, value in stats.items():
                if math.isfinite(value):
                    tf.summary.scalar(name, value)

    def tick(self, trainer: Trainer, stats: dict[str, float]) -> None:
        """Writes the panels, every `image_ticks` ticks and at the end."""
        self.ticks += 1
        done = trainer.state.nimg >= trainer.total
        if done or self.ticks % trainer.config.image_ticks == 0:
            with self.files.writing(trainer.state.nimg):
                self._panels()

    def _rows(self) -> int:
        classes = self.preview.config.label_choices
        return classes if fit_rows(classes, PANEL_ROWS) else 4

    def _panels(self) -> None:
        preview, rows = self.preview, self._rows()
        styles = preview.styles(*sheet_cells(preview.config.label_choices, 8, rows))
        self._panel("samples", preview.render(styles), 8)
        for name, table in (("mixing", self.mixing()), ("truncation", self.sweep())):
            images = preview.render(table.reshape(-1, *table.shape[2:]))
            self._panel(name, images, table.shape[1])

    def mixing(self, rows: int = 4, columns: int = 5) -> np.ndarray:
        """Returns the styles of figure 3: the row's coarse layers, the column's fine.

        Row 0 holds the columns' own styles, column 0 those of the rows, and their
        corner the mean of the rows: [1 + rows, 1 + columns, num_styles, w_dim].
        """
        styles = self.preview.styles(list(range(rows + columns)))
        left, top = styles[:rows], styles[rows:]
        middle = self.preview.trainer.phase.resolution.bit_length() - 2
        fine = list(range(middle, styles.shape[1]))
        mixed = latents.mixing_table(left, top, [fine] * rows)
        corner = left.mean(axis=0, keepdims=True)
        first = np.concatenate([corner, left])[:, None]
        return np.concatenate([first, np.concatenate([top[None], mixed])], axis=1)

    def sweep(self) -> np.ndarray:
        """Returns styles at every psi of PSIS, one row per class or seed.

        A conditional model is truncated towards the mean w of each class.

        Returns:
            float32 [rows, len(PSIS), num_styles, w_dim].
        """
        average, rows = self.preview.trainer.networks.average, self._rows()
        styles = self.preview.styles(list(range(rows)))
        centers = average.w_avg.numpy()[None, None]
        if classes := self.preview.config.label_choices:
            class_ids = [i % classes for i in range(rows)]
            centers = sampling.class_centers(average, class_ids, PANEL_LATENTS)[:, None]
        psis = [latents.truncate(styles, centers, psi) for psi in self.PSIS]
        return np.stack(psis, axis=1)

    @staticmethod
    def _panel(name: str, images: np.ndarray, columns: int) -> None:
        if (factor := shrinkage(*images.shape[1:3])) > 1:
            images = np.stack([figures.shrink_pixels(i, factor) for i in images])
        factor = max(1, 64 // max(images.shape[1:3]))
        sheet = figures.image_grid(figures.enlarge(images, factor), columns)
        tf.summary.image(name, sheet[None])

    def warn(self, trainer: Trainer, text: str) -> None:
        """Writes the warning where TensorBoard shows texts."""
        with self.files.writing(trainer.state.nimg):
            tf.summary.text("warnings", text)

    def end(self, trainer: Trainer, reason: str) -> None:
        """Closes the event file."""
        self.files.close()
        self._folder.close()
