"""Figures 2, 10 to 12 and 3 of the StyleGAN paper: uncurated pictures, style mixing."""

from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from stylegan_tf import latents
from stylegan_tf.errors import UserError
from stylegan_tf.figures import sheets
from stylegan_tf.figures.paper.painter import Figure, Missing, Painter
from stylegan_tf.sampling import steering
from stylegan_tf.sampling.steering import Subjects

UNCURATED_SEED, UNCURATED_PSI, UNCURATED_CUTOFF = 5, 0.7, 8
UNCURATED_HALVINGS = (0, 1, 2, 2, 3, 3)  # of each column
MIXING_COLUMNS = (639, 701, 687, 615, 2268)
MIXING_ROWS = (888, 829, 1898, 1733, 1614, 845)
MIXING_ORDER = ("coarse", "middle", "fine", "coarse", "middle", "coarse")  # 3, 2, 1


def uncurated(p: Painter) -> Figure:
    """Columns of pictures that halve in size, none of them chosen."""
    o, (h, w) = p.options, p.shape
    rows, halvings = o.rows or 3, UNCURATED_HALVINGS[: o.columns]
    largest = 1  # how many times the pictures of the first column are enlarged
    while min(h, w) * largest * 2 <= 2 * (o.cell or sheets.CELL):
        largest *= 2
    count = sum(rows << k for k in halvings)
    who = _uncurated_subjects(p, count)
    if o.psi is None:
        ws, psi = who.truncated(UNCURATED_PSI, UNCURATED_CUTOFF), UNCURATED_PSI
    else:
        ws, psi = who.truncated(o.psi, o.cutoff), o.psi
    sizes = [(max(h * largest >> k, 1), max(w * largest >> k, 1)) for k in halvings]
    sheet = np.full((rows * sizes[0][0], sum(x for _, x in sizes), 3), 255, np.uint8)
    pictures, x = _with_random_noise(p, ws), 0
    for k, (height, width) in zip(halvings, sizes, strict=True):
        for row in range(rows << k):
            y, picture = row * height, next(pictures)
            sheet[y : y + height, x : x + width] = _halved(picture, largest, k)
        x += width
    who_text = "in the order of their seeds" if o.seeds else "in the order they came"
    psi_text = f"{psi:g}" if np.ndim(psi) == 0 else f"{list(psi)} by layer"
    caption = (
        f"Uncurated pictures, {who_text}, psi = {psi_text}, each with noise of its own."
    )
    return Figure(sheet, caption)


def _uncurated_subjects(p: Painter, count: int) -> Subjects:
    o = p.options
    if o.who is not None or o.seeds is not None:
        who = p.subjects(())
        return who[list(np.resize(np.arange(len(who)), count))]
    z = np.random.RandomState(UNCURATED_SEED).randn(count, p.model.config.z_dim)
    return steering.of_latents(p.model, z, o.classes)


def _with_random_noise(p: Painter, ws: np.ndarray) -> Iterator[np.ndarray]:
    off = None if p.options.progress else True
    pictures = steering.render(p.render, ws, seeds=range(len(ws)))
    return iter(tqdm(pictures, total=len(ws), unit="picture", leave=False, disable=off))


def _halved(picture: np.ndarray, largest: int, k: int) -> np.ndarray:
    """Enlarged `largest` times, then halved k times, of pixels where it can."""
    if largest >> k:
        return sheets.rgb(sheets.enlarge(picture[None], largest >> k)[0])
    return sheets.rgb(sheets.shrink(picture, (1 << k) // largest))


# ---------------------------------------------------------------------------
# Figure 3


def mixing(p: Painter) -> Figure:
    """Rows of pictures that take some layers' styles from those of the columns."""
    if p.styles == 1:
        raise Missing(
            f"mixing needs a style a layer; this model "
            f"({p.model.config.architecture}) has one for all."
        )
    above, below = _mixing_subjects(p)
    bands = _mixing_bands(p, len(below))
    top, left = p.styles_of(above), p.styles_of(below)
    layers = [own for _, count, own in bands for _ in range(count)]
    table = latents.mixing_table(left, top, layers)
    count = len(top)
    noise = [np.repeat(m, count if len(m) > 1 else 1, 0) for m in below.noise or []]
    cells = p.cells(table.reshape(-1, *left.shape[1:]), noise or None)
    rows = [cells[i : i + count] for i in range(0, len(cells), count)]
    headings = p.cells(left, below.noise)
    words = [(_band_text(name, own), count) for name, count, own in bands]
    picture = sheets.table(rows, p.cells(top), headings, words)
    caption = (
        "Style mixing. Each picture is the one at its left, but for the styles of the "
        "layers that are named there, which it has from the picture above it."
    )
    return Figure(picture, caption)


def _mixing_subjects(p: Painter) -> tuple[Subjects, Subjects]:
    """The pictures of the columns, and those of the rows."""
    o = p.options
    seeds = o.seeds if o.seeds is not None else (*MIXING_COLUMNS, *MIXING_ROWS)
    if o.who is not None:
        columns = list(o.seeds or MIXING_COLUMNS)[: o.columns]
        return p.of(columns), o.who[: o.rows]
    columns = o.columns or min(len(MIXING_COLUMNS), max(len(seeds) - 1, 1))
    above, below = list(seeds[:columns]), list(seeds[columns:])[: o.rows]
    if not below or (o.rows or 0) > len(below) or len(above) < columns:
        raise UserError(
            f"mixing takes seeds for its columns, here {columns}, and then "
            f"{o.rows or 'some'} for its rows; {len(seeds)} in all were given."
        )
    return p.of(above), p.of(below)


def _mixing_bands(p: Painter, rows: int) -> list[tuple[str, int, list[int]]]:
    """Name, number of rows, and layers of each band."""
    if p.options.layers is not None:
        return [("", rows, list(p.options.layers))]
    groups = {n: own for n, own in latents.layer_groups(p.styles).items() if own}
    known = [name for name in MIXING_ORDER if name in groups]
    order = [known[i % len(known)] for i in range(rows)]
    return [(n, order.count(n), list(groups[n])) for n in groups if n in order]


def _band_text(name: str, layers: list[int]) -> str:
    what = f"{name.capitalize()} styles" if name else "Styles"
    return f"{what}\n(layers {latents.layers_text(layers)})"
