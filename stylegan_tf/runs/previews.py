"""Sheets of real and generated images while training."""

from pathlib import Path

import numpy as np

from stylegan_tf import figures, sampling
from stylegan_tf.data import pipeline
from stylegan_tf.runs.reports import Report
from stylegan_tf.sampling.lineup import cells, fit_rows


def real_cells(data, resolution: int, classes: int, columns: int, rows: int):
    """Real pictures in the places of `cells`, the first ones in stored order.

    Args:
        data: a data set's folder or its manifest.

    Returns:
        uint8 [N, H, W, C]; white where a class has too few pictures.
    """
    labels = pipeline.labels(data) if fit_rows(classes, rows) else np.zeros((0, 0))
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


class StagePreview:
    """Renders the moving average as the stage under training draws it.

    Args:
        trainer: trains the networks.
    """

    def __init__(self, trainer):
        self.trainer = trainer
        self.config = trainer.config.generator
        self._renderers: dict[int, sampling.Renderer] = {}  # by resolution

    def styles(self, seeds: list[int], classes: list[int] | None = None) -> np.ndarray:
        """Returns ws [N, num_styles, w_dim]; classes=None: all of them in turn."""
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
        self.preview = StagePreview(trainer)
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
        styles = self.preview.styles(self.seeds, self.classes)
        pictures = self.preview.render(styles)
        path = trainer.run_dir / f"fakes-{kimg:06d}.png"
        self.latest = self._save(path, pictures)

    def _save(self, path: Path, pictures: np.ndarray) -> Path:
        pictures = figures.enlarge(pictures, self.factor)
        return figures.save(path, figures.grid(pictures, self.columns))
