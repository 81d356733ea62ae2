"""Draws each figure of the StyleGAN paper (Karras et al. 2019) from any model.

    figure = draw_figure("mixing", model, FigureOptions())    # image and caption
    draw_all_figures(model, FigureOptions(), "figures")       # each, and a page

    uncurated      figures 2 and 10 to 12: images as they come, in several sizes
    mixing         figure 3: styles of some layers from other images
    noise          figure 4: one style, a hundred draws of noise
    noise_layers   figure 5: noise on some layers only
    truncation     figure 8: psi from 1 over 0 to -1
    interpolation  between two images, in Z and in W
    directions     along named directions (GANSpace, SeFa; after the paper)

Seeds, layers, windows and psi are the paper's, whose network draws 1024 x 1024 pixels.
Below that size, images are enlarged by whole pixels, the groups of layers are those of
`latents.layer_groups`, psi is 0.7 where the paper's is 1, since a small model was
rarely trained as long, and the windows are where noise changes most. A figure of a part
that the model lacks raises `MissingPartError`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from stylegan_tf.errors import UserError
from stylegan_tf.figures import sheets
from stylegan_tf.figures.paper.directions import direction_strips, directions_figure
from stylegan_tf.figures.paper.interpolation import (
    interpolation_figure,
    interpolation_frames,
)
from stylegan_tf.figures.paper.mixing import mixing_figure
from stylegan_tf.figures.paper.noise import noise_figure, noise_layers_figure
from stylegan_tf.figures.paper.painter import (
    Figure,
    FigureOptions,
    MissingPartError,
    Painter,
)
from stylegan_tf.figures.paper.truncation import truncation_figure
from stylegan_tf.figures.paper.uncurated import uncurated_figure
from stylegan_tf.networks.generator import Generator
from stylegan_tf.progress import ProgressBar

__all__ = [
    "FIGURES",
    "Figure",
    "FigureOptions",
    "MissingPartError",
    "Painter",
    "direction_strips",
    "draw_all_figures",
    "draw_figure",
    "interpolation_frames",
]
PAGE_CELL = 256  # most pixels of an image's side in `draw_all_figures`

FIGURES: dict[str, Callable[[Painter], Figure]] = {
    "uncurated": uncurated_figure,
    "mixing": mixing_figure,
    "noise": noise_figure,
    "noise_layers": noise_layers_figure,
    "truncation": truncation_figure,
    "interpolation": interpolation_figure,
    "directions": directions_figure,
}


def draw_figure(
    name: str,
    model: Generator,
    options: FigureOptions,
    painter: Painter | None = None,
) -> Figure:
    """Draws one figure.

    Args:
        name: one of FIGURES.
        model: the generator.
        options: images and layout.
        painter: lends its compiled renderer, and keeps seeds and psi; None = a new one.

    Raises:
        MissingPartError: the model lacks the part that the figure shows.
        UserError: no such figure, or options that do not fit.
    """
    if name not in FIGURES:
        raise UserError(f"no figure {name!r}; there are {', '.join(FIGURES)} and all.")
    painter = painter or Painter(model, options)
    painter.seeds, painter.psi = [], ""
    return FIGURES[name](painter)


def draw_all_figures(
    model: Generator,
    options: FigureOptions,
    folder: Path | str,
    title: str = "",
    say: Callable[[str], object] = print,
    describe: Callable[[str, Painter], Mapping[str, str]] | None = None,
) -> list[Path]:
    """Draws every figure that the model has the parts for, and a page of them all.

    Args:
        model: the generator.
        options: of all figures.
        folder: gets NAME.png each, page.png and page.pdf.
        title: of the page.
        say: is told, in a line, why a figure is left out.
        describe: returns the texts of a figure's PNG: of its name, and the painter
            that has just drawn it.

    Returns:
        The written files.
    """
    folder, drawn, files = Path(folder), [], []
    shape = model.config.shape(model.growth.resolution)
    cell = options.cell or min(PAGE_CELL, max(sheets.CELL, *shape))
    painter = Painter(model, replace(options, cell=cell))
    bar = ProgressBar(FIGURES, shown=options.progress, unit="figure")
    for name in bar:
        bar.set_description(name)
        try:
            figure = draw_figure(name, model, painter.options, painter)
        except MissingPartError as lack:
            say(f"{name} is left out: {lack}")
            continue
        drawn.append(figure)
        texts = describe(name, painter) if describe else None
        files.append(sheets.save_image(folder / f"{name}.png", figure.image, texts))
    captions = [f"Figure {i}. {f.caption}" for i, f in enumerate(drawn, start=1)]
    parts = [(c, f.image) for c, f in zip(captions, drawn, strict=True)]
    page = sheets.figure_page(parts, title or _title(model))
    for kind in ("png", "pdf"):
        files.append(sheets.save_image(folder / f"page.{kind}", page))
    return files


def _title(model: Generator) -> str:
    names = {"stylegan": "StyleGAN", "stylegan3": "StyleGAN3", "dcgan": "DCGAN"}
    h, w = model.config.shape(model.growth.resolution)
    kind = names.get(model.config.architecture, "StyleGAN2")
    return f"{kind}, {h}x{w} pixels"
