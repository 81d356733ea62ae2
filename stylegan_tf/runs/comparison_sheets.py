"""Sheets of the same seeds by several runs."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from stylegan_tf import figures, models
from stylegan_tf.errors import UserError
from stylegan_tf.runs.comparison import Comparison


def draw_same_seeds(
    comparison: Comparison, seeds: Sequence[int], psi: float
) -> tuple[dict[str, bytes], dict[str, str]]:
    """Draws the same seeds with each run's newest model.

    Args:
        comparison: the runs.
        seeds: one per image.
        psi: truncation.

    Returns:
        Name of a run -> PNG; and name -> why it has none.
    """
    sheets, missing = {}, {}
    for name, run in zip(comparison.names, comparison.runs, strict=True):
        try:
            images = models.generate(run.run.path, seeds, psi)
        except UserError as error:
            missing[name] = str(error)
            continue
        columns, _, factor = figures.sheet_layout(*images.shape[1:3])
        columns, images = min(columns, len(images)), figures.enlarge(images, factor)
        grid = figures.image_grid(images, columns, gap=2)
        pixels = grid[..., 0] if grid.shape[-1] == 1 else grid
        out = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(pixels)).save(out, "PNG")
        sheets[name] = out.getvalue()
    return sheets, missing
