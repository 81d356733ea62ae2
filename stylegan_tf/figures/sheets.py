"""Pictures for people: floats to uint8, grids, tables with headings, pages, files.

No TensorFlow. `grid` lays pictures out bare; `table` gives rows and columns headings,
in words or in pictures, as the figures of the papers have them; `page` puts several
figures with their captions on one sheet.
"""

import itertools
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stylegan_tf.files import atomic_write

Heading = str | np.ndarray
INK, PAPER = (25, 25, 25), (255, 255, 255)
CELL = 128  # pixels: the least side of a picture in a table


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
    """Writes one uint8 [H, W, C] picture as PNG, or PDF by its name, in one step."""
    if picture.shape[-1] == 1:
        picture = picture[..., 0]
    how: dict = {"format": "PNG"}
    if Path(path).suffix.lower() == ".pdf":
        how = {"format": "PDF", "resolution": DPI, "quality": 95}
    with atomic_write(path) as draft:
        Image.fromarray(picture).save(draft, **how)
    return Path(path)


# ---------------------------------------------------------------------------
# Pictures in a figure


def rgb(images: np.ndarray) -> np.ndarray:
    """uint8 [..., 1, 3 or 4] -> [..., 3]: gray repeated, transparency over white."""
    channels = images.shape[-1]
    if channels == 3:
        return images
    if channels == 1:
        return np.repeat(images, 3, axis=-1)
    alpha = images[..., 3:].astype(np.float32) / 255
    flat = images[..., :3] * alpha + 255 * (1 - alpha)
    return np.floor(flat + 0.5).astype(np.uint8)


def shrink(image: np.ndarray, factor: int) -> np.ndarray:
    """uint8 [H, W, C] by means over factor x factor pixels, at least 1 x 1."""
    h, w, _ = image.shape
    return resized(image, max(h // factor, 1), max(w // factor, 1))


def resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """uint8 [H, W, C] at another size: whole pixels, or means of them, if it can."""
    h, w, _ = image.shape
    if height % h == 0 and height // h == width / w:
        return enlarge(image[None], height // h)[0]
    how = Image.BOX if height < h else Image.NEAREST
    parts = [Image.fromarray(c) for c in np.moveaxis(image, -1, 0)]
    parts = [np.asarray(part.resize((width, height), how)) for part in parts]
    return np.stack(parts, axis=-1)


def factor_to(height: int, width: int, least: int = CELL) -> int:
    """How many times to enlarge so that the shorter side has `least` pixels, about."""
    return max(1, round(least / min(height, width)))


def crop(image: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
    """A window of a picture [H, W, C], moved inside where it would stick out."""
    top = int(np.clip(top, 0, image.shape[0] - height))
    left = int(np.clip(left, 0, image.shape[1] - width))
    return image[top : top + height, left : left + width]


# ---------------------------------------------------------------------------
# Words


def text(
    words: str, size: int, width: int | None = None, center: bool = True
) -> np.ndarray:
    """Words as a picture, in Pillow's own font: uint8 [H, W, 3], black on white.

    Args:
        words: a new line where there is one.
        size: of the letters, pixels.
        width: break lines that are longer, if words allow it.
        center: lines, or else at the left.
    """
    font = ImageFont.load_default(size)
    lines = _broken(words, font, width) if width else words.split("\n")
    block, align = "\n".join(lines), "center" if center else "left"
    scratch = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    how = {"font": font, "align": align, "spacing": size // 3}
    _, _, right, _ = scratch.multiline_textbbox((0, 0), block, **how)
    height = len(lines) * size + (len(lines) - 1) * (size // 3) + size // 3
    picture = Image.new("RGB", (int(np.ceil(right)) + 2, height), PAPER)
    ImageDraw.Draw(picture).multiline_text((1, 0), block, fill=INK, **how)
    return np.asarray(picture)


def _broken(words: str, font, width: int) -> list[str]:
    """Lines of at most `width` pixels, broken between words."""
    lines = []
    for line in words.split("\n"):
        count = len(line)
        while count > 1 and any(
            font.getlength(part) > width and " " in part
            for part in textwrap.wrap(line, count, break_long_words=False)
        ):
            count -= 1
        lines += textwrap.wrap(line, max(count, 1), break_long_words=False) or [""]
    return lines


def paste(
    sheet: np.ndarray, picture: np.ndarray, box: tuple[int, int, int, int]
) -> None:
    """Puts a picture into the middle of a box: top, left, height, width."""
    top, left, height, width = box
    h, w = min(picture.shape[0], height), min(picture.shape[1], width)
    y, x = top + (height - h) // 2, left + (width - w) // 2
    sheet[y : y + h, x : x + w] = picture[:h, :w]


# ---------------------------------------------------------------------------
# Tables


def table(
    cells: Sequence[Sequence[np.ndarray | None]],
    top: Sequence[Heading] = (),
    left: Sequence[Heading] = (),
    bands: Sequence[tuple[str, int]] = (),
    corner: str = "",
    gap: int | None = None,
    apart: int | None = None,
) -> np.ndarray:
    """Pictures in rows and columns, with headings.

    Args:
        cells: rows of uint8 [H, W, 1, 3 or 4], all of a size, or None for none.
        top: what stands above each column, words or pictures of the cells' size.
        left: what stands before each row, likewise.
        bands: words, turned by 90 degrees, for so many rows each, at the far left.
        corner: words above `left`, where `top` and `left` are there.
        gap: white pixels between cells; by default 1/32 of a cell.
        apart: white pixels between cells and headings that are pictures.

    Returns:
        uint8 [H', W', 3].
    """
    h, w = next(c for row in cells for c in row if c is not None).shape[:2]
    columns = max(len(row) for row in cells)
    gap = max(h // 32, 1) if gap is None else gap
    apart = 2 * gap if apart is None else apart
    size = int(np.clip(min(h, w) / 7, 11, 56))
    tops = [_heading(x, size, w) for x in top]
    lefts = [_heading(x, size, None) for x in left]
    corner_text = [text(corner, size)] if corner else []
    x_heading = max((p.shape[1] for p in [*lefts, *corner_text]), default=0)
    y_heading = max((p.shape[0] for p in [*tops, *corner_text]), default=0)
    turned = [np.rot90(text(words, size)) for words, _ in bands]
    x_band = max((p.shape[1] + size // 2 for p in turned), default=0)
    x0 = x_band + x_heading + (apart if x_heading else 0)
    y0 = y_heading + (apart if y_heading else 0)
    xs = [x0 + i * (w + gap) for i in range(columns)]
    ys = [y0 + i * (h + gap) for i in range(len(cells))]
    sheet = np.full((ys[-1] + h, xs[-1] + w, 3), 255, np.uint8)
    for picture, x in zip(tops, xs, strict=False):
        paste(sheet, picture, (0, x, y_heading, w))
    for picture, y in zip(lefts, ys, strict=False):
        paste(sheet, picture, (y, x_band, h, x_heading))
    for picture in corner_text:
        paste(sheet, picture, (0, x_band, y_heading, x_heading))
    for row, y in zip(cells, ys, strict=True):
        for picture, x in zip(row, xs, strict=False):
            if picture is not None:
                sheet[y : y + h, x : x + w] = rgb(picture)
    _paint_bands(sheet, turned, [count for _, count in bands], (ys, h, x_band))
    return sheet


def _heading(heading: Heading, size: int, width: int | None) -> np.ndarray:
    """A heading as a picture; words with a little room around them."""
    if not isinstance(heading, str):
        return rgb(heading)
    words = text(heading, size, width)
    side = 0 if width else size // 2
    return np.pad(words, ((0, 0), (side, side), (0, 0)), constant_values=255)


def _paint_bands(sheet, turned, counts, where: tuple[list[int], int, int]) -> None:
    """Turned words at the far left, each with a line along its rows."""
    (ys, h, width), row = where, 0
    for words, count in zip(turned, counts, strict=True):
        first, last = ys[row], ys[row + count - 1] + h
        row += count
        line = max(width // 24, 1)
        paste(sheet, words, (first, 0, last - first, width - 4 * line))
        sheet[first:last, width - 3 * line : width - 2 * line] = 150


# ---------------------------------------------------------------------------
# Pages

DPI = 200  # of a page: 2,100 pixels are about the width of A4
COLUMN, GUTTER, MARGIN, LETTERS = 930, 60, 90, 25


def page(figures: Sequence[tuple[str, np.ndarray]], title: str) -> np.ndarray:
    """Figures and captions in two columns, as in a paper; one long sheet.

    Args:
        figures: caption and uint8 [H, W, 3] each, in the order to be read; a few.
        title: what stands above.

    Returns:
        uint8 [H', W', 3].
    """
    width = 2 * MARGIN + 2 * COLUMN + GUTTER
    head = text(title, 2 * LETTERS, width - 2 * MARGIN)
    start = MARGIN + head.shape[0] + 2 * LETTERS
    blocks = [_with_caption(*figure) for figure in figures]
    columns = _balanced([block.shape[0] for block in blocks])
    ends, placed = [start, start], [(MARGIN, (width - head.shape[1]) // 2, head)]
    for block, column in zip(blocks, columns, strict=True):
        placed.append((ends[column], MARGIN + column * (COLUMN + GUTTER), block))
        ends[column] += block.shape[0]
    sheet = np.full((max(ends) + MARGIN // 2, width, 3), 255, np.uint8)
    for y, x, picture in placed:
        sheet[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    return sheet


def _with_caption(caption: str, figure: np.ndarray) -> np.ndarray:
    """A figure about as wide as a column, words below it, and room below those."""
    figure = fit(figure, min(COLUMN, 3 * figure.shape[1] // 2))
    words = text(caption, LETTERS, COLUMN - 4, center=False)  # as it adds an edge
    space = LETTERS // 2, 2 * LETTERS
    height = figure.shape[0] + words.shape[0] + sum(space)
    block = np.full((height, COLUMN, 3), 255, np.uint8)
    left = (COLUMN - figure.shape[1]) // 2
    block[: figure.shape[0], left : left + figure.shape[1]] = figure
    top = figure.shape[0] + space[0]
    block[top : top + words.shape[0], : words.shape[1]] = words
    return block


def _balanced(heights: list[int]) -> list[int]:
    """Each block's column, 0 or 1, so that both end alike; the first one is at left."""
    total, choices = sum(heights), itertools.product((0, 1), repeat=len(heights))
    return min(
        (c for c in choices if not c or c[0] == 0),
        key=lambda c: abs(
            total - 2 * sum(h for h, k in zip(heights, c, strict=True) if k)
        ),
    )


def fit(picture: np.ndarray, width: int) -> np.ndarray:
    """A picture [H, W, 3] brought to a width, smoothly."""
    h, w, _ = picture.shape
    size = width, max(round(h * width / w), 1)
    return np.asarray(Image.fromarray(picture).resize(size, Image.LANCZOS))
