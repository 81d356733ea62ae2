"""Reports of a projection: a comparison sheet, a film, a table, a summary.

A strip of the sheet shows target, projection and their absolute difference times
`DIFFERENCE`; black is no difference. With a tuned model, the tuned image follows the
projection, and the difference is its.
"""

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from stylegan_tf import figures
from stylegan_tf.figures.facts import picture_texts
from stylegan_tf.files import atomic_write
from stylegan_tf.projector.search import Projection, Snapshot
from stylegan_tf.projector.tuning import Tuning

DIFFERENCE = 4
SHEET, FILM = (1600, 1600), (1920, 1080)  # largest width and height
LARGEST, GAP = 256, 8  # pixels: side up to which images are enlarged; between strips
FPS, HOLD = 24, 1.5  # frames per second; seconds the last frame is repeated


def comparison_sheet(
    projection: Projection, tuning: Tuning | None = None
) -> np.ndarray:
    """Returns target, projection and difference of all images, uint8 [H, W, 3]."""
    shown = [projection.targets, projection.images]
    shown = [figures.rgb(x) for x in (*shown, *([tuning.images] if tuning else []))]
    difference = np.abs(shown[0].astype(int) - shown[-1]) * DIFFERENCE
    difference = np.minimum(difference, 255).astype(np.uint8)
    return _strips([*shown, difference], SHEET)


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


def _columns(projection: Projection, tuning: Tuning | None) -> dict[str, np.ndarray]:
    """Returns the numbers of each image, by column."""
    columns = {
        "distance": projection.distances,
        "start": projection.start_distances,
        "psnr": projection.psnr,
    }
    if tuning is not None:
        columns |= {"tuned_distance": tuning.distances, "tuned_psnr": tuning.psnr}
    return columns


def projection_rows(projection: Projection, tuning: Tuning | None = None) -> list[dict]:
    """Returns name, distance, start distance and PSNR (None = equal) per image.

    With a tuned model also `tuned_distance` and `tuned_psnr`.
    """
    columns = _columns(projection, tuning)
    return [
        {"name": name} | {key: _finite(column[i]) for key, column in columns.items()}
        for i, name in enumerate(projection.latents.names)
    ]


def projection_totals(
    projection: Projection, tuning: Tuning | None = None
) -> dict[str, dict[str, float | None]]:
    """Returns {"mean" or "median": {column of `projection_rows`: value}}."""
    columns = _columns(projection, tuning)
    return {
        name: {key: _finite(function(column)) for key, column in columns.items()}
        for name, function in (("mean", np.mean), ("median", np.median))
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def projection_table(projection: Projection, tuning: Tuning | None = None) -> str:
    """Returns `projection_rows` and `projection_totals` as lines of text."""
    entries = projection_rows(projection, tuning)
    totals = projection_totals(projection, tuning)
    entries += [{"name": name, **values} for name, values in totals.items()]
    heads = {"start": "start", "distance": "distance", "psnr": "PSNR"}
    if tuning is not None:
        heads |= {"tuned_distance": "tuned", "tuned_psnr": "PSNR"}
    width = max(len("picture"), *(len(e["name"]) for e in entries))
    lines = [f"distance [{projection.loss}], PSNR in dB"]
    lines.append(
        f"{'picture':{width}}  " + "  ".join(f"{h:>8}" for h in heads.values())
    )
    for e in entries:
        cells = [_cell(key, e[key]) for key in heads]
        lines.append(f"{e['name']:{width}}  {'  '.join(cells)}")
    return "\n".join(lines)


def _cell(key: str, value: float | None) -> str:
    if value is None:
        return f"{'equal':>8}"
    return f"{value:8.2f}" if key.endswith("psnr") else f"{value:8.4f}"


# ---------------------------------------------------------------------------
# Files


def save_projection(
    projection: Projection,
    folder: Path | str,
    about: dict,
    tuning: Tuning | None = None,
) -> Path:
    """Writes latents, images, the comparison sheet and `projection.json`.

    The images tell how launch/generate.py draws all of the projection again.

    Args:
        projection: its names become file names.
        folder: created if need be.
        about: further entries of the summary: the `model`, the `tuned` one, settings.
        tuning: of a model tuned to the images, whose images are then written.

    Returns:
        The folder.
    """
    folder = Path(folder)
    styles = projection.latents.save(folder / "projected.npz")
    images = tuning.images if tuning else projection.images
    drawn_by = about.get("tuned" if tuning else "model")
    flags = {"model": drawn_by, "latents": str(styles), "enlarge": 1}
    texts = picture_texts("picture", flags, Psi=1, Styles=styles)
    sheet = comparison_sheet(projection, tuning)
    figures.save_image(folder / "comparison.png", sheet, texts)
    pairs = zip(projection.targets, images, strict=True)
    for name, (target, image) in zip(projection.latents.names, pairs, strict=True):
        figures.save_image(folder / f"{name}-target.png", target)
        figures.save_image(folder / f"{name}.png", image, texts)
    summary = {
        **about,
        "loss": projection.loss,
        "pictures": projection_rows(projection, tuning),
    }
    summary |= projection_totals(projection, tuning)
    with atomic_write(folder / "projection.json") as draft:
        draft.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return folder
