"""Sheets, films and the papers' figures."""

from stylegan_tf.figures.sheets import (
    CELL,
    crop,
    enlarge,
    figure_page,
    image_bytes,
    image_grid,
    image_table,
    resize_pixels,
    rgb,
    save_image,
    sheet_layout,
    shrink_pixels,
    text_image,
    to_uint8,
)

__all__ = [
    "CELL",
    "crop",
    "enlarge",
    "image_bytes",
    "image_grid",
    "sheet_layout",
    "figure_page",
    "resize_pixels",
    "rgb",
    "save_image",
    "shrink_pixels",
    "image_table",
    "text_image",
    "to_uint8",
]
