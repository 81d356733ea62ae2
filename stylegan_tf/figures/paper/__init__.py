"""Every figure of the StyleGAN paper (Karras et al. 2019), from any model, by its name.

    figure = draw("mixing", model, Options())        # picture and caption
    everything(model, Options(), "figures")          # all of them, and a page

    uncurated      figures 2 and 10 to 12: what comes, several sizes side by side
    mixing         figure 3: styles of some layers from other pictures
    noise          figure 4: one style, a hundred draws of noise
    noise_layers   figure 5: noise on some layers only
    truncation     figure 8: psi from 1 over 0 to -1
    interpolation  between two pictures, in Z and in W
    directions     along named directions (GANSpace, SeFa; after the paper)

Seeds, layers, windows and psi are the paper's, whose network draws 1024 x 1024 pixels.
Smaller pictures are enlarged by whole pixels, the layers' groups fitted to the model
(`latents.layer_groups`), psi is 0.7 where the paper's is 1, since a small model was
rarely trained as long, and the windows are where noise does most. What a model lacks is
a `Missing`.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from stylegan_tf import sampling
from stylegan_tf.errors import UserError
from stylegan_tf.figures import sheets
from stylegan_tf.figures.paper.mixing import mixing, uncurated
from stylegan_tf.figures.paper.noise import noise, noise_layers
from stylegan_tf.figures.paper.painter import Figure, Missing, Options, Painter
from stylegan_tf.figures.paper.truncation import (
    directions,
    film,
    interpolation,
    strips_of,
    truncation,
)
from stylegan_tf.networks.generator import Generator

__all__ = ["FIGURES", "Figure", "Missing", "Options", "Painter", "draw"]
__all__ += ["everything", "film", "strips_of"]
PAGE_CELL = 256  # pixels: the most of a picture in the figures of `everything`

FIGURES: dict[str, Callable[[Painter], Figure]] = {
    "uncurated": uncurated,
    "mixing": mixing,
    "noise": noise,
    "noise_layers": noise_layers,
    "truncation": truncation,
    "interpolation": interpolation,
    "directions": directions,
}


def draw(
    name: str, model: Generator, options: Options, painter: Painter | None = None
) -> Figure:
    """One figure.

    Args:
        name: one of FIGURES.
        model: the generator.
        options: what it is drawn of.
        painter: shares its compiled renderer.

    Raises:
        Missing: the model has no part that the figure shows.
        UserError: no such figure, or options that do not fit.
    """
    if name not in FIGURES:
        raise UserError(f"no figure {name!r}; there are {', '.join(FIGURES)} and all.")
    return FIGURES[name](painter or Painter(model, options))


def everything(
    model: Generator, options: Options, folder: Path | str, title: str = "", say=print
) -> list[Path]:
    """Every figure that the model can be drawn in, and a page with all of them.

    Args:
        model: the generator.
        options: of all figures.
        folder: gets NAME.png each, page.png and page.pdf.
        title: of the page.
        say: is told what a figure could not be drawn for, in a line.

    Returns:
        The files.
    """
    folder, drawn, files = Path(folder), [], []
    cell = options.cell or min(
        PAGE_CELL,
        max(sheets.CELL, *model.config.shape(sampling.drawn_resolution(model))),
    )
    painter = Painter(model, replace(options, cell=cell))
    bar = tqdm(FIGURES, unit="figure", disable=None if options.progress else True)
    for name in bar:
        bar.set_description(name)
        try:
            figure = draw(name, model, painter.options, painter)
        except Missing as lack:
            say(f"{name} is left out: {lack}")
            continue
        drawn.append(figure)
        files.append(sheets.save(folder / f"{name}.png", figure.picture))
    captions = [f"Figure {i}. {f.caption}" for i, f in enumerate(drawn, start=1)]
    parts = [(c, f.picture) for c, f in zip(captions, drawn, strict=True)]
    page = sheets.page(parts, title or _title(model))
    files += [sheets.save(folder / f"page.{kind}", page) for kind in ("png", "pdf")]
    return files


def _title(model: Generator) -> str:
    names = {"stylegan": "StyleGAN", "stylegan3": "StyleGAN3", "dcgan": "DCGAN"}
    h, w = model.config.shape(sampling.drawn_resolution(model))
    kind = names.get(model.config.architecture, "StyleGAN2")
    return f"{kind}, {w} x {h} pixels"
