"""Options, renderer and cell size that all figures of the paper share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stylegan_tf import sampling
from stylegan_tf.errors import UserError
from stylegan_tf.figures import sheets
from stylegan_tf.latents.directions import Directions
from stylegan_tf.networks.generator import Generator
from stylegan_tf.progress import ProgressBar
from stylegan_tf.sampling import StyleBatch

SMALL_PSI = 0.7  # for figures that the paper does not truncate


class MissingPartError(UserError):
    """The model lacks the part that the figure shows."""


class Figure(NamedTuple):
    """An image, uint8 [H, W, 3], and the caption below it."""

    image: np.ndarray
    caption: str


@dataclass(frozen=True)
class FigureOptions:
    """The images of a figure and their layout; None = as in the paper.

    Attributes:
        seeds: of the images; for mixing first those of the columns, then of the rows.
        styles: styles of a file, in place of seeds (for mixing, of the rows).
        rows, columns: of the figure.
        psi: truncation, a number or one per layer.
        cutoff: number of layers to truncate; None = all.
        sweep: psi of the columns of the truncation figure.
        layers: that mixing takes from the columns, in every row.
        classes: that seeds take in turn.
        directions: for the figure of that name.
        cell: approximate pixels of an image's shorter side.
        progress: show bars.
    """

    seeds: Sequence[int] | None = None
    styles: StyleBatch | None = None
    rows: int | None = None
    columns: int | None = None
    psi: float | Sequence[float] | None = None
    cutoff: int | None = None
    sweep: Sequence[float] | None = None
    layers: Sequence[int] | None = None
    classes: Sequence[int] | None = None
    directions: Directions | None = None
    cell: int | None = None
    progress: bool = False


class Painter:
    """Renders the cells of figures, with one compiled renderer for all of them.

    Args:
        model: the generator.
        options: images and layout.
        noise: of images that bring no noise maps: "const" or "none".
        fixed_weights: see `sampling.Renderer`.

    Attributes:
        shape: height and width of the model's images.
        large: True at the paper's 1024 x 1024 pixels.
        num_styles: styles of finished images.
        cell: height and width of a table's cells.
        seeds: of the latest figure; empty for styles of a file, or as they come.
        psi: of the latest figure, as one writes it.
    """

    def __init__(
        self,
        model: Generator,
        options: FigureOptions,
        noise: str = "const",
        fixed_weights: bool = True,
    ):
        self.model, self.options = model, options
        self.render = sampling.Renderer(model, noise, fixed_weights=fixed_weights)
        self.resolution = self.render.resolution
        self.shape = model.config.shape(self.resolution)
        self.large = self.shape == (1024, 1024)
        self.num_styles = sampling.drawn_styles(model)
        self.cell = cell_size(self.shape, options.cell)
        self.seeds: list[int] = []
        self.psi = ""

    def styles(self, seeds: Sequence[int], count: int | None = None) -> StyleBatch:
        """Returns the styles of the options, or else those of the paper's seeds.

        Args:
            seeds: of the paper.
            count: number of images; None = all.
        """
        o = self.options
        if o.styles is not None:
            return o.styles[:count] if count else o.styles
        chosen = list(o.seeds if o.seeds is not None else seeds)
        return self.seed_styles(list(np.resize(chosen, count)) if count else chosen)

    def seed_styles(self, seeds: Sequence[int]) -> StyleBatch:
        """Returns the styles of seeds, in the classes of the options."""
        o, seeds = self.options, list(map(int, seeds))
        self.seeds += seeds
        return StyleBatch.from_seeds(self.model, seeds, o.classes, progress=o.progress)

    def truncated(self, batch: StyleBatch) -> np.ndarray:
        """Returns styles truncated as the options say: [N, num_styles, w_dim].

        Without a psi in the options, images of 1024 x 1024 pixels are not truncated, as
        in the paper, and smaller ones by SMALL_PSI.
        """
        o = self.options
        psi = o.psi if o.psi is not None else 1.0 if self.large else SMALL_PSI
        self.psi = psi_text(psi)
        return batch.truncated(psi, o.cutoff)

    def images(
        self,
        ws: np.ndarray,
        maps: Sequence[np.ndarray] | None = None,
        seeds: Sequence[int] | None = None,
    ) -> Iterator[np.ndarray]:
        """Yields images of styles, with a bar; see `Renderer.stream`."""
        images, shown = self.render.stream(ws, maps, seeds), self.options.progress
        how = {"unit": "picture", "leave": False, "total": len(ws)}
        return iter(ProgressBar(images, shown=shown, **how))

    def cells(
        self, ws: np.ndarray, maps: Sequence[np.ndarray] | None = None
    ) -> list[np.ndarray]:
        """Returns images of styles, at the size of a table's cells."""
        return [self.resize_to_cell(image) for image in self.images(ws, maps)]

    def resize_to_cell(self, image: np.ndarray, part: int = 1) -> np.ndarray:
        """Resizes an image, or a window of one, to 1 / part of a cell's sides."""
        height, width = (side // part for side in self.cell)
        return sheets.rgb(sheets.resize_pixels(image, height, width))


def psi_text(psi: float | Sequence[float]) -> str:
    """Writes a psi, or one per layer or column, as flags take it."""
    return ",".join(f"{x:g}" for x in np.ravel(psi))


def cell_size(shape: tuple[int, int], least: int | None) -> tuple[int, int]:
    """Returns height and width of a table's cells, both even.

    Args:
        shape: of the model's images.
        least: approximate pixels of the shorter side; None = as the model draws them,
            but at least `sheets.CELL`.
    """
    side = min(shape)
    least = least or max(sheets.CELL, side)
    if side <= least:
        return tuple(x * max(round(least / side / 2) * 2, 1) for x in shape)
    return tuple(x // (side // least) // 2 * 2 for x in shape)
