"""Figures 2 and 10 to 12 of the StyleGAN paper: uncurated images."""

import numpy as np

from stylegan_tf.figures import sheets
from stylegan_tf.figures.paper.painter import Figure, Painter, psi_text
from stylegan_tf.sampling import StyleBatch

UNCURATED_SEED, UNCURATED_PSI, UNCURATED_CUTOFF = 5, 0.7, 8
UNCURATED_HALVINGS = (0, 1, 2, 2, 3, 3)  # of each column


def uncurated_figure(p: Painter) -> Figure:
    """Draws columns of images that halve in size, none of them chosen."""
    o, (h, w) = p.options, p.shape
    rows, halvings = o.rows or 3, UNCURATED_HALVINGS[: o.columns]
    largest = 1  # enlargement of the first column
    while min(h, w) * largest * 2 <= 2 * (o.cell or sheets.CELL):
        largest *= 2
    batch = _styles(p, sum(rows << k for k in halvings))
    if o.psi is None:
        ws, psi = batch.truncated(UNCURATED_PSI, UNCURATED_CUTOFF), UNCURATED_PSI
    else:
        ws, psi = batch.truncated(o.psi, o.cutoff), o.psi
    p.psi = psi_text(psi)
    sizes = [(max(h * largest >> k, 1), max(w * largest >> k, 1)) for k in halvings]
    sheet = np.full((rows * sizes[0][0], sum(x for _, x in sizes), 3), 255, np.uint8)
    images, x = p.images(ws, seeds=range(len(ws))), 0
    for k, (height, width) in zip(halvings, sizes, strict=True):
        for row in range(rows << k):
            y, image = row * height, next(images)
            sheet[y : y + height, x : x + width] = _halved(image, largest, k)
        x += width
    order = "in the order of their seeds" if o.seeds else "in the order they came"
    shown = f"{psi:g}" if np.ndim(psi) == 0 else f"{list(psi)} by layer"
    caption = f"Uncurated pictures, {order}, psi = {shown}, each with noise of its own."
    return Figure(sheet, caption)


def _styles(p: Painter, count: int) -> StyleBatch:
    o = p.options
    if o.styles is not None or o.seeds is not None:
        batch = p.styles(())
        return batch[list(np.resize(np.arange(len(batch)), count))]
    z = np.random.RandomState(UNCURATED_SEED).randn(count, p.model.config.z_dim)
    return StyleBatch.from_z(p.model, z, o.classes)


def _halved(image: np.ndarray, largest: int, k: int) -> np.ndarray:
    """Enlarges an image `largest` times and halves it k times, by whole pixels."""
    if largest >> k:
        return sheets.rgb(sheets.enlarge(image[None], largest >> k)[0])
    return sheets.rgb(sheets.shrink_pixels(image, (1 << k) // largest))
