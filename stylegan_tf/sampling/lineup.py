"""Orders seeds and classes on a sheet, and names the files of their images."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from stylegan_tf.errors import UserError
from stylegan_tf.networks.generator import Generator
from stylegan_tf.sampling import centers

MOST_ROWS = 100  # of a sheet, unless its classes were named
SHEET_SEED = 0  # the first seed of a run's sheets


class Lineup(NamedTuple):
    """Seeds and classes, image by image, and their layout.

    Attributes:
        seeds: one per image.
        classes: one per image; None for an unconditional model.
        several: True if file names have to tell the class.
        columns: of a sheet; None = as many as fill a screen.
        kind: "class", or "label" for label vectors.
    """

    seeds: list[int]
    classes: list[int] | None
    several: bool
    columns: int | None
    kind: str = "class"

    @property
    def names(self) -> list[str]:
        """Names of the files without suffix: seed0000, or seed0000-class2."""
        pairs = zip(self.seeds, self.classes or self.seeds, strict=True)
        return [f"seed{s:04d}" + f"-{self.kind}{k}" * self.several for s, k in pairs]


def arrange_images(
    model: Generator,
    seeds: list[int],
    classes: list[int] | None = None,
    each_class: bool = False,
    sheet: bool = False,
    columns: int | None = None,
) -> Lineup:
    """Orders the images of seeds and classes.

    Args:
        model: the generator.
        seeds: of the images.
        classes: class numbers; None = all of the model's.
        each_class: render every seed in every class; else the classes take turns.
        sheet: the images stand on one sheet: a row per class, unless `columns` is
            given.
        columns: of the sheet.

    Raises:
        UserError: classes that the model does not have, or too many for a sheet.
    """
    if each_class and not model.config.classes:
        raise UserError("the model has no classes; leave --each_class out.")
    chosen = list(dict.fromkeys(centers.chosen_classes(model, classes)))
    several = len(chosen) > 1
    vectors = centers.label_table(model) is not None
    kind = "label" if vectors else "class"
    # An image may have a label vector of its own: a row only for those that are named.
    rows = several and sheet and not columns and not (vectors and classes is None)
    if rows and classes is None and len(chosen) > MOST_ROWS:
        raise UserError(
            f"{len(chosen)} classes are too many rows for a sheet; choose some with "
            f"--classes=0-9, or give --columns to draw them in turn."
        )
    if not (rows or (several and each_class)):
        class_ids = centers.class_ids_of(model, len(seeds), classes).tolist()
        return Lineup(seeds, class_ids or None, several, columns, kind)
    each = [k for k in chosen for _ in seeds]
    return Lineup(seeds * len(chosen), each, several, columns or len(seeds), kind)


def safe_file_names(names: Sequence[str]) -> list[str]:
    """Replaces characters that mean something to a file system; all names differ."""
    safe = [re.sub(r"[^\w.-]+", "-", name).strip(".-") or "picture" for name in names]
    if len(set(safe)) < len(safe):
        safe = [f"{i:04d}-{name}" for i, name in enumerate(safe)]
    return safe


# ---------------------------------------------------------------------------
# Sheets of a training run


def sheet_cells(classes: int, columns: int, rows: int) -> tuple[list[int], list[int]]:
    """Returns seeds and classes of a sheet's images, row by row.

    If the classes fit, each has one row, and all rows have the same seeds. Else every
    place has its own seed, and the classes, if any, take turns.
    """
    if fit_rows(classes, rows):
        seeds = list(range(SHEET_SEED, SHEET_SEED + columns))
        return seeds * classes, [k for k in range(classes) for _ in seeds]
    n = columns * rows
    class_ids = [i % classes for i in range(n)] if classes else []
    return list(range(SHEET_SEED, SHEET_SEED + n)), class_ids


def fit_rows(classes: int, rows: int) -> bool:
    """True if there are several classes, and each gets a row of its own."""
    return 1 < classes <= rows
