"""Sheets of real and generated images while training."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from stylegan_tf import figures, sampling
from stylegan_tf.config import cost
from stylegan_tf.data import pipeline
from stylegan_tf.data.manifest import Manifest
from stylegan_tf.runs.reports import Report
from stylegan_tf.sampling.lineup import fit_rows, sheet_cells
from stylegan_tf.training.trainer import Trainer

FAKES = re.compile(r"fakes-(\d{6,})\.png")


def real_images(
    data: Path | str | Manifest, resolution: int, classes: int, columns: int, rows: int
) -> np.ndarray:
    """Real images laid out like `sheet_cells`, the first ones in stored order.

    Args:
        data: a data set's folder or its manifest.
        resolution: one that the data set stores.
        classes: of the model; 0 if it is unconditional.
        columns: images per row.
        rows: rows of the sheet; with one row per class, those of the classes.

    Returns:
        uint8 [N, H, W, C]; white where a class has too few images.
    """
    labels = (
        pipeline.dataset_labels(data) if fit_rows(classes, rows) else np.zeros((0, 0))
    )
    one_hot = np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all()
    if not len(labels) or labels.shape[1] != classes or not one_hot:
        return pipeline.first_images(data, resolution, columns * rows)
    shape = pipeline.first_images(data, resolution, 1).shape[1:]
    table = np.full((classes, columns, *shape), 255, np.uint8)
    for k in range(classes):
        indices = np.flatnonzero(labels[:, k])[:columns]
        for i, image in enumerate(_images_at(data, resolution, indices)):
            table[k, i] = image
    return table.reshape(-1, *shape)


def _images_at(
    data: Path | str | Manifest, resolution: int, indices: np.ndarray, batch: int = 64
) -> Iterator[np.ndarray]:
    """Yields the images at ascending indices of the stored order: uint8 [H, W, C]."""
    if not len(indices):
        return
    index = int(indices[0])
    stream = pipeline.dataset(
        data, resolution, batch, start=index, shuffle=False, repeat=False
    )
    for element in stream.as_numpy_iterator():
        for image in element["image"]:
            if index in indices:
                yield image
            index += 1
        if index > indices[-1]:
            return


class StagePreview:
    """Renders the moving average as the stage under training draws it.

    Args:
        trainer: trains the networks.
    """

    def __init__(self, trainer: Trainer):
        self.trainer = trainer
        self.config = trainer.config.generator
        self._renderers: dict[int, sampling.Renderer] = {}  # by resolution

    def styles(self, seeds: list[int], classes: list[int] | None = None) -> np.ndarray:
        """Returns ws [N, num_styles, w_dim]; classes=None takes all classes in turn."""
        return sampling.styles(self.trainer.networks.average, seeds, classes=classes)

    def render(self, ws: np.ndarray) -> np.ndarray:
        """Returns uint8 [N, H, W, C] at the final size, whatever the stage."""
        p = self.trainer.phase
        if p.resolution not in self._renderers:
            average = self.trainer.networks.average
            self._renderers[p.resolution] = sampling.Renderer(
                average, resolution=p.resolution, fixed_weights=False
            )
        images = self._renderers[p.resolution](ws, alpha=p.alpha)
        return figures.enlarge(images, self.config.resolution // p.resolution)


def sheets_to_keep(kimgs: Iterable[int]) -> set[int]:
    """Returns which sheets stay: the last ten, then one for every doubling.

    The answer for a sheet never turns from gone to kept as more of them come.

    Args:
        kimgs: thousands of images at which the sheets there are were drawn.
    """
    kimgs = sorted(set(kimgs))
    kept, following = set(kimgs[-cost.LAST_SHEETS :]), 0
    for kimg in kimgs:
        if kimg >= following:
            kept.add(kimg)
            following = max(2 * kimg, 1)
    return kept


class Sheets(Report):
    """`reals.png` once, `fakes-000123.png` (thousands of images) every few ticks.

    The last ten sheets stay, and of the older ones one for every doubling. The sheets
    of a conditional model have one row per class, if the classes fit.
    """

    def __init__(self):
        self.ticks = 0
        self.latest: Path | None = None

    def start(self, trainer: Trainer) -> None:
        """Draws `reals.png` if there is none, and what an untrained model draws."""
        g = trainer.config.generator
        self.columns, rows, self.factor = figures.sheet_layout(*g.shape(g.resolution))
        self.seeds, self.classes = sheet_cells(g.label_choices, self.columns, rows)
        self.preview = StagePreview(trainer)
        reals = trainer.run_dir / "reals.png"
        if not reals.exists():
            images = real_images(
                trainer.data, g.resolution, g.label_choices, self.columns, rows
            )
            self._save(reals, images, trainer)
        if trainer.state.nimg == 0:
            self._fakes(trainer)

    def tick(self, trainer: Trainer, stats: dict[str, float]) -> None:
        """Draws a sheet every `image_ticks` ticks, and at the end of the run."""
        self.ticks += 1
        done = trainer.state.nimg >= trainer.total
        if done or self.ticks % trainer.config.image_ticks == 0:
            self._fakes(trainer)

    def _fakes(self, trainer: Trainer) -> None:
        kimg = trainer.state.nimg // 1000
        styles = self.preview.styles(self.seeds, self.classes)
        path = trainer.run_dir / f"fakes-{kimg:06d}.png"
        self.latest = self._save(path, self.preview.render(styles), trainer)
        self._thin(trainer.run_dir)

    @staticmethod
    def _thin(folder: Path) -> None:
        names = [FAKES.fullmatch(name) for name in os.listdir(folder)]
        sheets = {int(match[1]): match[0] for match in names if match}
        for kimg in sheets.keys() - sheets_to_keep(sheets):
            (folder / sheets[kimg]).unlink(missing_ok=True)

    def _save(self, path: Path, images: np.ndarray, trainer: Trainer) -> Path:
        images = figures.enlarge(images, self.factor)
        sheet = figures.image_grid(images, self.columns)
        return figures.save_image(path, sheet, trainer.state.shown_facts())
