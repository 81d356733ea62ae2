"""Which pictures are drawn of some seeds and classes, how a sheet lays them out, and
what their files are called.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from stylegan_tf.errors import UserError
from stylegan_tf.networks.generator import Generator
from stylegan_tf.sampling import renderer

MOST_ROWS = 100  # of a sheet, unless its classes were named


class Lineup(NamedTuple):
    """What is drawn, picture by picture, and how it is laid out."""

    seeds: list[int]
    classes: list[int] | None  # one a seed; None without classes
    several: bool  # classes, so that a file's name has to say which
    columns: int | None  # of a sheet; None = as many as a screen has room for

    @property
    def names(self) -> list[str]:
        """Of the files: seed0000, or seed0000-class2."""
        pairs = zip(self.seeds, self.classes or self.seeds, strict=True)
        return [f"seed{s:04d}" + f"-class{k}" * self.several for s, k in pairs]


def lineup(
    model: Generator,
    seeds: list[int],
    classes: list[int] | None = None,
    each_class: bool = False,
    sheet: bool = False,
    columns: int | None = None,
) -> Lineup:
    """The pictures of seeds that take the classes in turn, or come in each of them.

    Args:
        model: the generator.
        seeds: numbers.
        classes: those that were asked for; None = all that the model has.
        each_class: every seed in every class.
        sheet: the pictures stand on one sheet: a row a class, unless `columns` says
            otherwise.
        columns: of the sheet.

    Raises:
        UserError: classes that the model does not have, or too many for a sheet.
    """
    if each_class and not model.config.classes:
        raise UserError("the model has no classes; leave --each_class out.")
    turns = renderer.classes_of(model, classes)
    asked = list(dict.fromkeys(turns))
    several = len(asked) > 1
    rows = several and sheet and not columns
    if rows and classes is None and len(asked) > MOST_ROWS:
        raise UserError(
            f"{len(asked)} classes are too many rows for a sheet; choose some with "
            f"--classes=0-9, or give --columns to draw them in turn."
        )
    if not (rows or (several and each_class)):
        own = [turns[i % len(turns)] for i in range(len(seeds))] if turns else None
        return Lineup(seeds, own, several, columns)
    each = [k for k in asked for _ in seeds]
    return Lineup(seeds * len(asked), each, several, columns or len(seeds))


def safe_names(names: Sequence[str]) -> list[str]:
    """Names from a file, without what has a meaning to a file system; each once."""
    safe = [re.sub(r"[^\w.-]+", "-", name).strip(".-") or "picture" for name in names]
    if len(set(safe)) < len(safe):
        safe = [f"{i:04d}-{name}" for i, name in enumerate(safe)]
    return safe


SHEET_SEED = 0


# ---------------------------------------------------------------------------


def sheet_seeds(classes: int, columns: int, rows: int) -> tuple[list[int], list[int]]:
    """Seeds and class_ids of a sheet's images, row by row.

    If the classes fit, each has one row, and all rows have the same seeds. Else there
    is another seed in every place, and the classes, if any, take turns.
    """
    if fit_rows(classes, rows):
        seeds = list(range(SHEET_SEED, SHEET_SEED + columns))
        return seeds * classes, [k for k in range(classes) for _ in seeds]
    n = columns * rows
    turns = [i % classes for i in range(n)] if classes else []
    return list(range(SHEET_SEED, SHEET_SEED + n)), turns


def fit_rows(classes: int, rows: int) -> bool:
    """True if each of several classes gets a row of its own."""
    return 1 < classes <= rows
