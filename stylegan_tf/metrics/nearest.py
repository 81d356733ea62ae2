"""A figure of the generated images that are nearest to training images."""

import numpy as np

from stylegan_tf import figures
from stylegan_tf.metrics.evaluation import Evaluation
from stylegan_tf.metrics.pictures import Reals
from stylegan_tf.metrics.scores.memorization import nearest_neighbors

ROWS, COLUMNS = 8, 5  # generated images, and training images beside each


def nearest_figure(
    evaluation: Evaluation, num: int, rows: int = ROWS, columns: int = COLUMNS
) -> tuple[np.ndarray, float]:
    """Draws the most suspicious generated images, each beside its nearest real ones.

    Args:
        evaluation: of a model and its training data.
        num: generated images to choose from.
        rows: generated images to show, those nearest to a training image first, by the
            ratio in front: 1 or less counts as memorized.
        columns: training images beside each.

    Returns:
        uint8 [H, W, 3], and the share of the generated images that are memorized.
    """
    e, count = evaluation, evaluation.manifest.count
    column = e.column("manifold")
    real, fake = e.reals(column, count, mirror=False), e.fakes(column, num)
    found = nearest_neighbors(real, fake, k=min(columns, count))
    chosen = np.argsort(found.ratio, kind="stable")[:rows]
    source = Reals(e.data, e.resolution, mirror=False)
    table = []
    for i in map(int, chosen):
        image = e.generated(i)
        table.append(
            [image, *(source.inputs(range(j, j + 1))[0] for j in found.index[i])]
        )
    factor = figures.sheet_layout(*table[0][0].shape[:2])[2]
    cells = [[figures.enlarge(c[None], factor)[0] for c in row] for row in table]
    top = ["generated", "nearest", *[f"{n}." for n in range(2, len(cells[0]))]]
    left = [f"{found.ratio[i]:.2f}" for i in chosen]
    return figures.image_table(cells, top, left), found.memorized
