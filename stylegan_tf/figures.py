"""Pictures for people: floats to uint8, grids, files. No TensorFlow."""

import os
from pathlib import Path

import numpy as np
from PIL import Image


def to_uint8(images: np.ndarray) -> np.ndarray:
    """[-1, 1] -> 0..255, rounded half up, clipped, as the official networks do."""
    return np.clip(
        np.floor(np.asarray(images, np.float32) * 127.5 + 128), 0, 255
    ).astype(np.uint8)


def grid(images: np.ndarray, columns: int, gap: int = 0) -> np.ndarray:
    """Pictures laid out in rows.

    Args:
        images: uint8 [N, H, W, C].
        columns: int; a last row that is not full is filled with white.
        gap: white pixels between pictures.

    Returns:
        uint8 [rows H, columns W, C].
    """
    n, h, w, c = images.shape
    rows = -(-n // columns)
    sheet = np.full((rows * columns, h + gap, w + gap, c), 255, np.uint8)
    sheet[:n, :h, :w] = images
    sheet = sheet.reshape(rows, columns, h + gap, w + gap, c).swapaxes(1, 2)
    sheet = sheet.reshape(rows * (h + gap), columns * (w + gap), c)
    return sheet[: sheet.shape[0] - gap or None, : sheet.shape[1] - gap or None]


def enlarge(images: np.ndarray, factor: int) -> np.ndarray:
    """Every pixel `factor` times in each direction: [N, H, W, C]."""
    return images.repeat(factor, axis=1).repeat(factor, axis=2)


def layout(height: int, width: int) -> tuple[int, int, int]:
    """Columns, rows and enlargement of a sheet that fills a screen."""
    factor = max(1, 80 // max(height, width))
    columns = int(np.clip(1280 // (width * factor), 4, 16))
    rows = int(np.clip(800 // (height * factor), 2, 10))
    return columns, rows, factor


def save(path: Path | str, picture: np.ndarray) -> Path:
    """Writes one uint8 [H, W, C] picture as PNG, in one step."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if picture.shape[-1] == 1:
        picture = picture[..., 0]
    temporary = path.with_name(f".{path.name}.tmp")
    Image.fromarray(picture).save(temporary, format="PNG")
    os.replace(temporary, path)
    return path
