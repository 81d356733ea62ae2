"""Sheets of real and generated images while training."""

from pathlib import Path
from stylegan_tf import figures
from stylegan_tf import latents
from stylegan_tf.data import pipeline
from stylegan_tf.runs.reports import Report
from stylegan_tf.sampling.lineup import _fit
from stylegan_tf.sampling.lineup import cells
import numpy as np
import tensorflow as tf


def real_cells(data, resolution: int, classes: int, columns: int, rows: int):
    """Real pictures in the places of `cells`, the first ones in stored order.

    Args:
        data: a data set's folder or its manifest.

    Returns:
        uint8 [N, H, W, C]; white where a class has too few pictures.
    """
    labels = pipeline.dataset_labels(data) if _fit(classes, rows) else np.zeros((0, 0))
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
