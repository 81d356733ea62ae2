"""Lays images out for people: grids, tables with headings, pages, PNG and PDF files.

`image_grid` lays images out bare. `image_table` gives rows and columns headings, words
or images, like the figures of the papers. `figure_page` puts several figures with
their captions on one sheet. No TensorFlow.
"""

import io
import itertools
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from stylegan_tf.files import atomic_write

Heading = str | np.ndarray
INK, PAPER = (25, 25, 25), (255, 255, 255)
CELL = 128  # least pixels of an image's side in a table


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Converts [-1, 1] to uint8: rounded half up, clipped, like the official code."""
    return np.clip(
        np.floor(np.asarray(images, np.float32) * 127.5 + 128), 0, 255
    ).astype(np.uint8)


def image_grid(images: np.ndarray, columns: int, gap: int = 0) -> np.ndarray:
    """Lays images out in rows.

    Args:
        images: uint8 [N, H, W, C].
        columns: per row; the rest of the last row is white.
        gap: white pixels between images.

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
    """Repeats every pixel `factor` times in each direction: [N, H, W, C]."""
    return images.repeat(factor, axis=1).repeat(factor, axis=2)


def sheet_layout(height: int, width: int) -> tuple[int, int, int]:
    """Returns columns, rows and enlargement of a sheet that fills a screen."""
    factor = max(1, 80 // max(height, width))
    columns = int(np.clip(1280 // (width * factor), 4, 16))
    rows = int(np.clip(800 // (height * factor), 2, 10))
    return columns, rows, factor


def save_image(
    path: Path | str, image: np.ndarray, facts: Mapping[str, str] | None = None
) -> Path:
    """Writes uint8 [H, W, C] as PNG, or as PDF if its name says so, in one step.

    Args:
        path: the file.
        image: its pixels.
        facts: texts that a PNG carries, by name.
    """
    how: dict = {"format": "PNG", "pnginfo": _png_texts(facts)}
    if Path(path).suffix.lower() == ".pdf":
        how = {"format": "PDF", "resolution": DPI, "quality": 95}
    with atomic_write(path) as draft:
        _pillow(image).save(draft, **how)
    return Path(path)


def image_bytes(
    image: np.ndarray, kind: str = "png", facts: Mapping[str, str] | None = None
) -> bytes:
    """Returns the bytes of a PNG or JPEG file.

    Args:
        image: uint8 [H, W, C]. JPEG shows transparency over white.
        kind: "png" or "jpeg".
        facts: texts that a PNG carries, by name.
    """
    file = io.BytesIO()
    if kind == "jpeg":
        flat = image if image.shape[-1] == 1 else rgb(image)
        _pillow(flat).save(file, format="JPEG", quality=95, subsampling=0)
    else:
        _pillow(image).save(file, format="PNG", pnginfo=_png_texts(facts))
    return file.getvalue()


def _pillow(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def _png_texts(facts: Mapping[str, str] | None) -> PngInfo:
    info = PngInfo()
    for name, text in (facts or {}).items():
        info.add_text(name, text)
    return info


# ---------------------------------------------------------------------------
# Images in a figure


def rgb(images: np.ndarray) -> np.ndarray:
    """Converts uint8 [..., 1, 3 or 4] to RGB, transparency over white."""
    channels = images.shape[-1]
    if channels == 3:
        return images
    if channels == 1:
        return np.repeat(images, 3, axis=-1)
    alpha = images[..., 3:].astype(np.float32) / 255
    flat = images[..., :3] * alpha + 255 * (1 - alpha)
    return np.floor(flat + 0.5).astype(np.uint8)


def shrink_pixels(image: np.ndarray, factor: int) -> np.ndarray:
    """Shrinks uint8 [H, W, C] by means over factor x factor pixels."""
    h, w, _ = image.shape
    return resize_pixels(image, max(h // factor, 1), max(w // factor, 1))


def resize_pixels(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes uint8 [H, W, C]: by whole pixels, or their means, where sizes allow."""
    h, w, _ = image.shape
    if height % h == 0 and height // h == width / w:
        return enlarge(image[None], height // h)[0]
    how = Image.BOX if height < h else Image.NEAREST
    parts = [Image.fromarray(c) for c in np.moveaxis(image, -1, 0)]
    parts = [np.asarray(part.resize((width, height), how)) for part in parts]
    return np.stack(parts, axis=-1)


def factor_to(height: int, width: int, least: int = CELL) -> int:
    """Returns the enlargement that gives the shorter side about `least` pixels."""
    return max(1, round(least / min(height, width)))


def crop(image: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
    """Crops an image [H, W, C]; a window that sticks out is moved inside."""
    top = int(np.clip(top, 0, image.shape[0] - height))
    left = int(np.clip(left, 0, image.shape[1] - width))
    return image[top : top + height, left : left + width]


# ---------------------------------------------------------------------------
# Words


def text_image(
    words: str, size: int, width: int | None = None, center: bool = True
) -> np.ndarray:
    """Draws words in Pillow's own font, black on white.

    Args:
        words: may have several lines.
        size: of the letters, pixels.
        width: break longer lines between words; None = do not.
        center: center the lines; else they begin at the left.

    Returns:
        uint8 [H, W, 3].
    """
    font = ImageFont.load_default(size)
    lines = _break_lines(words, font, width) if width else words.split("\n")
    block, align = "\n".join(lines), "center" if center else "left"
    scratch = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    how = {"font": font, "align": align, "spacing": size // 3}
    _, _, right, _ = scratch.multiline_textbbox((0, 0), block, **how)
    height = len(lines) * size + (len(lines) - 1) * (size // 3) + size // 3
    picture = Image.new("RGB", (int(np.ceil(right)) + 2, height), PAPER)
    ImageDraw.Draw(picture).multiline_text((1, 0), block, fill=INK, **how)
    return np.asarray(picture)


def _break_lines(
    words: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int
) -> list[str]:
    """Breaks lines between words, to at most `width` pixels."""
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
    """Pastes an image into the middle of a box: top, left, height, width."""
    top, left, height, width = box
    h, w = min(picture.shape[0], height), min(picture.shape[1], width)
    y, x = top + (height - h) // 2, left + (width - w) // 2
    sheet[y : y + h, x : x + w] = picture[:h, :w]


# ---------------------------------------------------------------------------
# Tables


def image_table(
    cells: Sequence[Sequence[np.ndarray | None]],
    top: Sequence[Heading] = (),
    left: Sequence[Heading] = (),
    bands: Sequence[tuple[str, int]] = (),
    corner: str = "",
    gap: int | None = None,
    apart: int | None = None,
) -> np.ndarray:
    """Lays images out in rows and columns, with headings.

    Args:
        cells: rows of uint8 [H, W, 1, 3 or 4], all of one size; None = an empty cell.
        top: headings of the columns, words or images of the cells' size.
        left: headings of the rows, likewise.
        bands: words at the far left, turned by 90 degrees, and their number of rows.
        corner: words above `left`, where `top` and `left` are given.
        gap: white pixels between cells; None = 1/32 of a cell.
        apart: white pixels between cells and headings; None = two gaps.

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
    corner_text = [text_image(corner, size)] if corner else []
    x_heading = max((p.shape[1] for p in [*lefts, *corner_text]), default=0)
    y_heading = max((p.shape[0] for p in [*tops, *corner_text]), default=0)
    turned = [np.rot90(text_image(words, size)) for words, _ in bands]
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
    """Returns a heading as an image; words get a margin at their sides."""
    if not isinstance(heading, str):
        return rgb(heading)
    words = text_image(heading, size, width)
    side = 0 if width else size // 2
    return np.pad(words, ((0, 0), (side, side), (0, 0)), constant_values=255)


def _paint_bands(
    sheet: np.ndarray,
    turned: Sequence[np.ndarray],
    counts: Sequence[int],
    where: tuple[list[int], int, int],
) -> None:
    """Paints turned words at the far left, each with a line along its rows."""
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


def figure_page(figures: Sequence[tuple[str, np.ndarray]], title: str) -> np.ndarray:
    """Lays figures and captions out in two columns, on one long sheet.

    Args:
        figures: caption and uint8 [H, W, 3] of each, in reading order.
        title: above them.

    Returns:
        uint8 [H', W', 3].
    """
    width = 2 * MARGIN + 2 * COLUMN + GUTTER
    head = text_image(title, 2 * LETTERS, width - 2 * MARGIN)
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
    """Returns a figure about as wide as a column, with its caption and a margin."""
    figure = fit_width(figure, min(COLUMN, 3 * figure.shape[1] // 2))
    words = text_image(caption, LETTERS, COLUMN - 4, center=False)  # as it adds an edge
    space = LETTERS // 2, 2 * LETTERS
    height = figure.shape[0] + words.shape[0] + sum(space)
    block = np.full((height, COLUMN, 3), 255, np.uint8)
    left = (COLUMN - figure.shape[1]) // 2
    block[: figure.shape[0], left : left + figure.shape[1]] = figure
    top = figure.shape[0] + space[0]
    block[top : top + words.shape[0], : words.shape[1]] = words
    return block


def _balanced(heights: list[int]) -> list[int]:
    """Returns each block's column, 0 or 1, so that both columns end alike."""
    total, choices = sum(heights), itertools.product((0, 1), repeat=len(heights))
    return min(
        (c for c in choices if not c or c[0] == 0),
        key=lambda c: abs(
            total - 2 * sum(h for h, k in zip(heights, c, strict=True) if k)
        ),
    )


def fit_width(image: np.ndarray, width: int) -> np.ndarray:
    """Resizes an image [H, W, 3] to a width, by Lanczos."""
    h, w, _ = image.shape
    size = width, max(round(h * width / w), 1)
    return np.asarray(Image.fromarray(image).resize(size, Image.LANCZOS))
