"""What all figures share: options, one compiled renderer, and the size of pictures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from stylegan_tf import sampling
from stylegan_tf.errors import UserError
from stylegan_tf.figures import sheets
from stylegan_tf.latents.directions import Directions
from stylegan_tf.networks.generator import Generator
from stylegan_tf.sampling import steering
from stylegan_tf.sampling.steering import Subjects

SMALL_PSI = 0.7  # for figures that the paper does not truncate


class Missing(UserError):
    """The model has no part that the figure shows."""


class Figure(NamedTuple):
    """A picture uint8 [H, W, 3] and what is written below it."""

    picture: np.ndarray
    caption: str


@dataclass(frozen=True)
class Options:
    """What a figure is drawn of; None = as in the paper.

    Attributes:
        seeds: the pictures; for mixing first the columns', then the rows'.
        who: styles of a file, in place of seeds (of the rows, for mixing).
        rows, columns: how many.
        psi: truncation, a number or one a layer; cutoff: the layers it reaches.
        sweep: psi of the truncation's columns.
        layers: that mixing takes from the columns, in every row.
        classes: that seeds take in turn.
        directions: for the figure of that name.
        cell: pixels of the shorter side of a picture, about.
        progress: show bars.
    """

    seeds: Sequence[int] | None = None
    who: Subjects | None = None
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
    """A model, its options, and one compiled renderer for all figures.

    Args:
        model: the generator.
        options: what is drawn.
        noise: of pictures that bring none: "const" or "none".
    """

    def __init__(self, model: Generator, options: Options, noise: str = "const"):
        self.model, self.options = model, options
        self.resolution = model.growth.resolution
        self.shape = model.config.shape(self.resolution)
        self.large = self.shape == (1024, 1024)  # as the paper's
        self.styles = sampling.drawn_styles(model)
        self.render = sampling.Renderer(model, noise)
        self.cell = _cell(self.shape, options.cell)

    def subjects(self, seeds: Sequence[int], count: int | None = None) -> Subjects:
        """The options' pictures, or else those of these seeds; `count` of them."""
        o = self.options
        if o.who is not None:
            return o.who[:count] if count else o.who
        chosen = list(o.seeds if o.seeds is not None else seeds)
        chosen = list(np.resize(chosen, count)) if count else chosen
        return self.of(map(int, chosen))

    def of(self, seeds) -> Subjects:
        o = self.options
        return steering.of_seeds(self.model, list(seeds), o.classes, None, o.progress)

    def styles_of(self, who: Subjects) -> np.ndarray:
        """Truncated, at the options' psi; by default not at all at 1024 x 1024."""
        o = self.options
        psi = o.psi if o.psi is not None else 1.0 if self.large else SMALL_PSI
        return who.truncated(psi, o.cutoff)

    def cells(self, ws: np.ndarray, maps=None) -> list[np.ndarray]:
        """Pictures of styles, at the size of a table's cells."""
        return [self.fit(p) for p in self.pictures(ws, maps)]

    def pictures(self, ws: np.ndarray, maps=None) -> Iterator[np.ndarray]:
        bar = {"unit": "picture", "leave": False, "total": len(ws)}
        off = None if self.options.progress else True
        return iter(tqdm(steering.render(self.render, ws, maps), disable=off, **bar))

    def fit(self, picture: np.ndarray, part: int = 1) -> np.ndarray:
        """A picture, or a window, at 1 / part of the size of a table's cells."""
        height, width = (side // part for side in self.cell)
        return sheets.rgb(sheets.resized(picture, height, width))


def _cell(shape: tuple[int, int], least: int | None) -> tuple[int, int]:
    """Height and width of pictures in a table, both even.

    Args:
        shape: of the model's pictures.
        least: pixels of the shorter side, about; None = as they are, but not too small.
    """
    side = min(shape)
    least = least or max(sheets.CELL, side)
    if side <= least:
        return tuple(x * max(round(least / side / 2) * 2, 1) for x in shape)
    return tuple(x // (side // least) // 2 * 2 for x in shape)
