"""Sheets, films and the papers' figures."""

from stylegan_tf.figures.sheets import (
    CELL,
    crop,
    enlarge,
    grid,
    layout,
    page,
    resized,
    rgb,
    save,
    shrink,
    table,
    text,
    to_uint8,
)

__all__ = [
    "CELL",
    "crop",
    "enlarge",
    "grid",
    "layout",
    "page",
    "resized",
    "rgb",
    "save",
    "shrink",
    "table",
    "text",
    "to_uint8",
]
