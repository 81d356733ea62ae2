"""What a search found, for people: a sheet, a film, a table, a summary.

A strip of the sheet is target, projection and their difference, DIFFERENCE times as
strong; black is no difference at all.
"""

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from stylegan_tf import figures
from stylegan_tf.files import atomic_write

DIFFERENCE = 4
SHEET, FILM = (1600, 1600), (1920, 1080)  # width and height that they fit in
LARGEST, GAP = 256, 8  # pixels: a side that is not enlarged further; between strips
FPS, HOLD = 24, 1.5  # frames a second; seconds that a film rests on its end


def comparison(projection) -> np.ndarray:
    """Target, projection, difference of every picture: one uint8 [H, W, 3] sheet.

    Args:
        projection: `search.Projection`.
    """
    targets, found = (figures.rgb(x) for x in (projection.targets, projection.pictures))
    gap = np.abs(targets.astype(int) - found) * DIFFERENCE
    difference = np.minimum(gap, 255).astype(np.uint8)
    return _strips([targets, found, difference], SHEET)


def frames(targets: np.ndarray, snapshots: Iterable) -> Iterator[np.ndarray]:
    """Frames of a film, uint8 [H, W, 3]: targets, and the search as it goes on.

    Args:
        targets: uint8 [n, H, W, C].
        snapshots: `search.Snapshot`; one is held at a time.
    """
    targets, frame = figures.rgb(targets), None
    for snapshot in snapshots:
        frame = _strips([targets, figures.rgb(snapshot.pictures)], FILM)
        yield frame
    if frame is not None:
        yield from [frame] * round(FPS * HOLD)


def _strips(parts: list[np.ndarray], room: tuple[int, int]) -> np.ndarray:
    """Pictures [n, H, W, 3] of one index side by side, as large as there is room."""
    strips = np.concatenate(parts, axis=2)
    scales = [_scale(strips, columns, room) for columns in range(1, len(strips) + 1)]
    columns = 1 + int(np.argmax(scales))
    side = min(parts[0].shape[1:3])
    strips = figures.enlarge(strips, max(1, min(int(max(scales)), LARGEST // side)))
    while _scale(strips, columns, room) < 1 and min(strips.shape[1:3]) > 1:
        strips = _halved(strips)
    return figures.image_grid(strips, columns, GAP)


def _scale(strips: np.ndarray, columns: int, room: tuple[int, int]) -> float:
    """How many times larger strips could be, in so many columns."""
    n, height, width, _ = strips.shape
    rows = -(-n // columns)
    across = (room[0] - (columns - 1) * GAP) / (columns * width)
    down = (room[1] - (rows - 1) * GAP) / (rows * height)
    return min(across, down)


def _halved(images: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels: uint8 [n, H/2, W/2, C]."""
    n, h, w, c = images.shape
    cells = images[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c)
    return np.rint(cells.mean(axis=(2, 4))).astype(np.uint8)


# ---------------------------------------------------------------------------
# Numbers


def rows(projection) -> list[dict]:
    """A dict a picture: name, distance, distance of the start, PSNR (None = equal)."""
    columns = (projection.distances, projection.starts, projection.psnr)
    numbers = zip(projection.latents.names, *columns, strict=True)
    return [
        {
            "name": name,
            "distance": float(distance),
            "start": float(start),
            "psnr": float(decibel) if math.isfinite(decibel) else None,
        }
        for name, distance, start, decibel in numbers
    ]


def totals(projection) -> dict[str, dict[str, float | None]]:
    """Mean and median of what `rows` lists, by name of the statistic."""
    columns = {
        "distance": projection.distances,
        "start": projection.starts,
        "psnr": projection.psnr,
    }
    found = {}
    for name, how in (("mean", np.mean), ("median", np.median)):
        values = {key: float(how(column)) for key, column in columns.items()}
        found[name] = {k: v if math.isfinite(v) else None for k, v in values.items()}
    return found


def table(projection) -> str:
    """What `rows` and `totals` hold, in lines."""
    entries = rows(projection)
    entries += [{"name": k, **v} for k, v in totals(projection).items()]
    width = max(len("picture"), *(len(e["name"]) for e in entries))
    head = f"{'picture':{width}}  {'start':>8}  {'distance':>8}  {'PSNR':>8}"
    lines = [f"distance [{projection.loss}], PSNR in dB", head]
    for e in entries:
        psnr = "equal" if e["psnr"] is None else f"{e['psnr']:.2f}"
        numbers = f"{e['start']:8.4f}  {e['distance']:8.4f}  {psnr:>8}"
        lines.append(f"{e['name']:{width}}  {numbers}")
    return "\n".join(lines)


# ---------------------------------------------------------------------------
# Files


def save(projection, folder: Path | str, about: dict) -> Path:
    """Writes styles, pictures, the sheet and `projection.json`.

    Args:
        projection: `search.Projection`, with names fit for files.
        folder: created if need be.
        about: what else the summary shall say: model, settings.
    """
    folder = Path(folder)
    projection.latents.save(folder / "projected.npz")
    figures.save_image(folder / "comparison.png", comparison(projection))
    pairs = zip(projection.targets, projection.pictures, strict=True)
    for name, (target, found) in zip(projection.latents.names, pairs, strict=True):
        figures.save_image(folder / f"{name}-target.png", target)
        figures.save_image(folder / f"{name}.png", found)
    summary = {**about, "loss": projection.loss, "pictures": rows(projection)}
    summary |= totals(projection)
    with atomic_write(folder / "projection.json") as draft:
        draft.write_text(json.dumps(summary, indent=2) + "\n")
    return folder
