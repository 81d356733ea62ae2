"""Figure 8 of the StyleGAN paper: the truncation trick."""

from collections.abc import Callable, Sequence

import numpy as np

from stylegan_tf import sampling
from stylegan_tf.figures import sheets
from stylegan_tf.figures.paper.painter import Figure, Painter, psi_text
from stylegan_tf.sampling import StyleBatch

TRUNCATION_SEEDS = (91, 388)
TRUNCATION_PSI = (1.0, 0.7, 0.5, 0.0, -0.5, -1.0)


def truncation_figure(p: Painter) -> Figure:
    """Draws images from psi = 1 over the average, 0, to their opposites."""
    batch = p.styles(TRUNCATION_SEEDS, p.options.rows)
    psis = list(p.options.sweep or TRUNCATION_PSI)
    p.psi = psi_text(psis)
    rows = psi_sweep(batch, psis, p.options.cutoff, p.cells)
    caption = (
        "Truncation. psi = 0 is the average picture; a negative psi gives the opposite "
        "of the picture with the same positive one."
    )
    return Figure(psi_table(rows, psis, batch.names), caption)


def psi_sweep(
    batch: StyleBatch,
    psis: Sequence[float],
    cutoff: int | None,
    cells: Callable[[np.ndarray, list[np.ndarray] | None], list[np.ndarray]],
    steer: sampling.Steer | None = None,
) -> list[list[np.ndarray]]:
    """Returns a row of images per style, a column per psi; w is computed once.

    Args:
        batch: the styles.
        psis: truncation, one per column.
        cutoff: number of layers to truncate; None = all.
        cells: renders styles [N, num_styles, w_dim] with noise maps.
        steer: changes the truncated styles.
    """
    rows = []
    for i in range(len(batch)):
        one = batch[[i]]
        ws = np.concatenate([one.truncated(psi, cutoff) for psi in psis])
        if steer is not None:
            ws = steer(ws, np.repeat(one.class_ids, len(psis)))
        rows.append(cells(ws, batch.noise_of(i)))
    return rows


def psi_table(
    rows: Sequence[Sequence[np.ndarray]], psis: Sequence[float], names: Sequence[str]
) -> np.ndarray:
    """Returns the sheet of a `psi_sweep`, uint8 [H, W, 3]."""
    return sheets.image_table(rows, [f"psi = {psi:g}" for psi in psis], names)
