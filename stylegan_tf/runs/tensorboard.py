"""TensorBoard event files of a run."""

import contextlib
import json
import math
from collections.abc import Callable, Sequence
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


# Panel -> what it shows.
DESCRIPTIONS = {
    "loss/g": "Loss of the generator.",
    "loss/d": "Loss of the discriminator, without penalties.",
    "scores/real": "Mean score that D gives real images; higher is more real.",
    "scores/fake": "Mean score that D gives generated images.",
    "signs/real": "Mean sign of D's scores of real images: 1 if D knows them all, 0 if "
    "it guesses. ADA holds it at its target.",
    "signs/fake": "The same of generated images: -1 if D knows them all.",
    "penalty/r1": "R1: half the squared gradient of D at real images, without gamma.",
    "penalty/r2": "R2: the same at generated images.",
    "penalty/gp": "Gradient penalty of WGAN-GP, between real and generated images.",
    "penalty/path_length": "Squared difference of path lengths from their mean.",
    "path_length/mean": "Running mean of path lengths.",
    "grad_norm/g": "Norm of the generator's gradient.",
    "grad_norm/d": "Norm of the discriminator's gradient.",
    "skipped/g": "Share of G's steps whose gradient was not finite.",
    "skipped/d": "Share of D's steps whose gradient was not finite.",
    "spread/real": "Deviation of a pixel over the batch, of real images.",
    "spread/fake": "The same of generated images; near 0 if they are all alike.",
    "progress/kimg": "Thousands of images seen.",
    "progress/resolution": "Resolution that is trained.",
    "progress/alpha": "Weight of the resolution that fades in; 1 = it has.",
    "progress/lod": "Level of detail of the official code: doublings that are missing.",
    "progress/batch": "Images per step, over all devices.",
    "progress/lr": "Learning rate.",
    "progress/skipped_steps": "Steps whose gradient was not finite, since the start.",
    "progress/skipped_in_tick": "The same, since the line of the log before.",
    "timing/images_per_second": "Speed of the tick, pauses left out.",
    "timing/seconds_per_kimg": "Time for a thousand images.",
    "timing/total_seconds": "Time of training, of all its parts.",
    "augment/p": "Probability of ADA's transforms.",
    "memory/cpu_gb": "Most memory that the process has held, in GB.",
    "memory/gpu_gb": "Most memory that a GPU has held, in GB.",
    "reals": "Real images, a row per class if the classes are few.",
    "samples": "Images of the moving average, the same latents each time.",
    "mixing": "Style mixing: the row's coarse layers, the column's fine layers.",
    "truncation": "Each row's image at psi 1, 0.7, 0.5, 0, -0.5 and -1.",
}


class TensorBoard(Report):
    """Event files: every number of a tick, images, settings.

    A number that has been 0 in every tick has no panel: a penalty that the run does not
    take, steps that were never skipped.

    Panels: `samples` (the moving average, fixed latents), `mixing` (style mixing, the
    row's coarse layers with the column's fine ones), `truncation` (psi from 1 to -1)
    and `reals`. Each of up to ten classes has its own row, except in
    `mixing`. No image is larger than 256 x 256 there; the sheets have all pixels.

    Args:
        measured: returns the names of the metrics that are measured, the chosen one
            first, once the run has started.
    """

    PSIS = (1.0, 0.7, 0.5, 0.0, -0.5, -1.0)

    def __init__(self, measured: Callable[[], Sequence[str]] = tuple):
        self.measured = measured
        self.ticks = 0
        self.recorded = False
        self.shown: set[str] = set()  # numbers that were not 0
        self._folder = contextlib.ExitStack()

    def start(self, trainer: Trainer) -> None:
        """Opens an event file; writes settings, and real images into the first."""
        self.preview = StagePreview(trainer)
        alias = files.plain_alias(trainer.run_dir)
        self.files = EventFiles(self._folder.enter_context(alias))
        g = trainer.config.generator
        with self.files.writing(trainer.state.nimg):
            text = json.dumps(configs.to_dict(trainer.config), indent=2)
            about = "All settings of the run, as in its config.json."
            tf.summary.text("config", f"```\n{text}\n```", description=about)
            table = g.label_choices, 8, self._rows()
            if self.files.first:
                images = real_images(trainer.data, g.resolution, *table)
                self._panel("reals", images, 8)

    def _hparams(self, trainer: Trainer) -> None:
        """Writes the settings, and the columns of the HParams table: metrics first."""
        from tensorboard.plugins.hparams import api as hparams

        kinds = (bool, int, float, str)
        flat = configs.flat(trainer.config)
        scalars = {k: v for k, v in flat.items() if isinstance(v, kinds)}
        columns = {f"metrics/{label}": label for label in self.measured()}
        columns |= {name: name for name in ("loss/g", "loss/d")}
        hparams.hparams_config(
            hparams=[hparams.HParam(name) for name in scalars],
            metrics=[hparams.Metric(k, display_name=v) for k, v in columns.items()],
        )
        hparams.hparams(scalars, trial_id=Path(trainer.run_dir).name)

    def record(self, trainer: Trainer, stats: dict[str, float]) -> None:
        """Writes the stats, and the settings before the first of them."""
        with self.files.writing(trainer.state.nimg):
            if not self.recorded:  # not before the reports that measure have started
                self._hparams(trainer)
                self.recorded = True
            for name, value in stats.items():
                self.shown |= {name} if value else set()
                if name in self.shown and math.isfinite(value):
                    text = DESCRIPTIONS.get(name)
                    tf.summary.scalar(name, value, description=text)

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
        tf.summary.image(name, sheet[None], description=DESCRIPTIONS[name])

    def warn(self, trainer: Trainer, text: str) -> None:
        """Writes the warning where TensorBoard shows texts."""
        with self.files.writing(trainer.state.nimg):
            about = "What needed a person's eye, as in log.txt."
            tf.summary.text("warnings", text, description=about)

    def end(self, trainer: Trainer, reason: str) -> None:
        """Closes the event file."""
        self.files.close()
        self._folder.close()
