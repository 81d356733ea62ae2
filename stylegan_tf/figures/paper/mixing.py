"""Figure 3 of the StyleGAN paper: style mixing."""

import numpy as np

from stylegan_tf import latents
from stylegan_tf.errors import UserError
from stylegan_tf.figures import sheets
from stylegan_tf.figures.paper.painter import Figure, MissingPartError, Painter
from stylegan_tf.sampling import StyleBatch

MIXING_COLUMNS = (639, 701, 687, 615, 2268)
MIXING_ROWS = (888, 829, 1898, 1733, 1614, 845)
MIXING_ORDER = ("coarse", "middle", "fine", "coarse", "middle", "coarse")  # 3, 2, 1


def mixing_figure(p: Painter) -> Figure:
    """Draws rows of images that take the styles of some layers from the columns."""
    if p.num_styles == 1:
        raise MissingPartError(
            f"mixing needs a style per layer; this model "
            f"({p.model.config.architecture}) has one for all."
        )
    columns, rows = _styles(p)
    bands = _mixing_bands(p, len(rows))
    top, left = p.truncated(columns), p.truncated(rows)
    layers = [own for _, count, own in bands for _ in range(count)]
    table = latents.mixing_table(left, top, layers)
    count = len(top)
    noise = [np.repeat(m, count if len(m) > 1 else 1, 0) for m in rows.noise or []]
    cells = p.cells(table.reshape(-1, *left.shape[1:]), noise or None)
    cells = [cells[i : i + count] for i in range(0, len(cells), count)]
    headings = p.cells(left, rows.noise)
    words = [(_band_text(name, own), count) for name, count, own in bands]
    image = sheets.image_table(cells, p.cells(top), headings, words)
    caption = (
        "Style mixing. Each picture is the one at its left, but for the styles of the "
        "layers that are named there, which it has from the picture above it."
    )
    return Figure(image, caption)


def _styles(p: Painter) -> tuple[StyleBatch, StyleBatch]:
    """Returns the styles of the columns, and of the rows."""
    o = p.options
    seeds = o.seeds if o.seeds is not None else (*MIXING_COLUMNS, *MIXING_ROWS)
    if o.styles is not None:
        columns = list(o.seeds or MIXING_COLUMNS)[: o.columns]
        return p.seed_styles(columns), o.styles[: o.rows]
    columns = o.columns or min(len(MIXING_COLUMNS), max(len(seeds) - 1, 1))
    above, below = list(seeds[:columns]), list(seeds[columns:])[: o.rows]
    if not below or (o.rows or 0) > len(below) or len(above) < columns:
        raise UserError(
            f"mixing takes seeds for its columns, here {columns}, and then "
            f"{o.rows or 'some'} for its rows; {len(seeds)} in all were given."
        )
    return p.seed_styles(above), p.seed_styles(below)


def _mixing_bands(p: Painter, rows: int) -> list[tuple[str, int, list[int]]]:
    """Returns name, number of rows, and layers of each band of rows."""
    if p.options.layers is not None:
        return [("", rows, list(p.options.layers))]
    groups = {n: own for n, own in latents.layer_groups(p.num_styles).items() if own}
    known = [name for name in MIXING_ORDER if name in groups]
    order = [known[i % len(known)] for i in range(rows)]
    return [(n, order.count(n), list(groups[n])) for n in groups if n in order]


def _band_text(name: str, layers: list[int]) -> str:
    what = f"{name.capitalize()} styles" if name else "Styles"
    return f"{what}\n(layers {latents.layers_text(layers)})"
