"""Reports of a projection: a comparison sheet, a film, a table, a summary.

A strip of the sheet shows target, projection and their absolute difference times
`DIFFERENCE`; black is no difference.
"""

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from stylegan_tf import figures
from stylegan_tf.files import atomic_write
from stylegan_tf.projector.search import Projection, Snapshot

DIFFERENCE = 4
SHEET, FILM = (1600, 1600), (1920, 1080)  # largest width and height
LARGEST, GAP = 256, 8  # pixels: side up to which images are enlarged; between strips
FPS, HOLD = 24, 1.5  # frames per second; seconds the last frame is repeated


def comparison_sheet(projection: Projection) -> np.ndarray:
    """Returns target, projection and difference of all images, uint8 [H, W, 3]."""
    targets, images = (figures.rgb(x) for x in (projection.targets, projection.images))
    difference = np.abs(targets.astype(int) - images) * DIFFERENCE
    difference = np.minimum(difference, 255).astype(np.uint8)
    return _strips([targets, images, difference], SHEET)


def search_frames(
    targets: np.ndarray, snapshots: Iterable[Snapshot]
) -> Iterator[np.ndarray]:
    """Yields the frames of a film of the search, uint8 [H, W, 3].

    Args:
        targets: uint8 [n, H, W, C].
        snapshots: of the search, read one at a time.
    """
    targets, frame = figures.rgb(targets), None
    for snapshot in snapshots:
        frame = _strips([targets, figures.rgb(snapshot.images)], FILM)
        yield frame
    if frame is not None:
        yield from [frame] * round(FPS * HOLD)


def _strips(parts: list[np.ndarray], room: tuple[int, int]) -> np.ndarray:
    """Arranges images [n, H, W, 3] of one index side by side, as large as fits."""
    strips = np.concatenate(parts, axis=2)
    scales = [_scale(strips, columns, room) for columns in range(1, len(strips) + 1)]
    columns = 1 + int(np.argmax(scales))
    side = min(parts[0].shape[1:3])
    strips = figures.enlarge(strips, max(1, min(int(max(scales)), LARGEST // side)))
    while _scale(strips, columns, room) < 1 and min(strips.shape[1:3]) > 1:
        strips = _halved(strips)
    return figures.image_grid(strips, columns, GAP)


def _scale(strips: np.ndarray, columns: int, room: tuple[int, int]) -> float:
    """Returns the factor by which strips in so many columns can be enlarged."""
    n, height, width, _ = strips.shape
    projection_rows = -(-n // columns)
    across = (room[0] - (columns - 1) * GAP) / (columns * width)
    down = (room[1] - (projection_rows - 1) * GAP) / (projection_rows * height)
    return min(across, down)


def _halved(images: np.ndarray) -> np.ndarray:
    """Returns means of 2 x 2 pixels, uint8 [n, H/2, W/2, C]."""
    n, h, w, c = images.shape
    cells = images[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c)
    return np.rint(cells.mean(axis=(2, 4))).astype(np.uint8)


# ---------------------------------------------------------------------------
# Numbers


def projection_rows(projection: Projection) -> list[dict]:
    """Returns name, distance, start distance and PSNR (None = equal) per image."""
    columns = (projection.distances, projection.start_distances, projection.psnr)
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


def projection_totals(projection: Projection) -> dict[str, dict[str, float | None]]:
    """Returns {"mean" or "median": {column of `projection_rows`: value}}."""
    columns = {
        "distance": projection.distances,
        "start": projection.start_distances,
        "psnr": projection.psnr,
    }
    totals = {}
    for name, function in (("mean", np.mean), ("median", np.median)):
        values = {key: float(function(column)) for key, column in columns.items()}
        totals[name] = {k: v if math.isfinite(v) else None for k, v in values.items()}
    return totals


def projection_table(projection: Projection) -> str:
    """Returns `projection_rows` and `projection_totals` as lines of text."""
    entries = projection_rows(projection)
    entries += [{"name": k, **v} for k, v in projection_totals(projection).items()]
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


def save_projection(projection: Projection, folder: Path | str, about: dict) -> Path:
    """Writes latents, images, the comparison sheet and `projection.json`.

    Args:
        projection: its names become file names.
        folder: created if need be.
        about: further entries of the summary, such as model and settings.

    Returns:
        The folder.
    """
    folder = Path(folder)
    projection.latents.save(folder / "projected.npz")
    figures.save_image(folder / "comparison.png", comparison_sheet(projection))
    pairs = zip(projection.targets, projection.images, strict=True)
    for name, (target, image) in zip(projection.latents.names, pairs, strict=True):
        figures.save_image(folder / f"{name}-target.png", target)
        figures.save_image(folder / f"{name}.png", image)
    summary = {
        **about,
        "loss": projection.loss,
        "pictures": projection_rows(projection),
    }
    summary |= projection_totals(projection)
    with atomic_write(folder / "projection.json") as draft:
        draft.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return folder
