"""Figures 4 and 5 of the StyleGAN paper: the effect of noise, and of its layers."""

from collections.abc import Sequence

import numpy as np

from stylegan_tf import latents, sampling
from stylegan_tf.figures import sheets
from stylegan_tf.figures.paper.painter import Figure, MissingPartError, Painter
from stylegan_tf.progress import ProgressBar

NOISE_SEEDS, NOISE_DRAWS = (1157, 1012), 100
NOISE_CROP = (180, 650)  # top, left of 256 x 256 pixels at 1024 x 1024
NOISE_GAIN = 4
NOISE_LAYERS_SEEDS = (1967, 1555)


def noise_figure(p: Painter) -> Figure:
    """Draws images, windows of them under four draws of noise, and the deviation."""
    _need_noise(p, "noise")
    batch = p.styles(NOISE_SEEDS, p.options.rows)
    ws = p.truncated(batch)
    parts = [noise_statistics(p, w) for w in ws]
    gain = _gain(p, [deviation for _, deviation in parts])
    rows = []
    for first, deviation in parts:
        windows = _windows(p, first, deviation)
        four = sheets.image_grid(np.stack([p.resize_to_cell(x, 2) for x in windows]), 2)
        half = four.shape[0] // 2, four.shape[1] // 2
        four[half[0] - 1 : half[0] + 1], four[:, half[1] - 1 : half[1] + 1] = 255, 255
        bright = np.clip(deviation * gain + 0.5, 0, 255).astype(np.uint8)
        rows.append(
            [p.resize_to_cell(first[0]), four, p.resize_to_cell(bright[..., None])]
        )
    tops = ["A picture", "Four draws of noise", f"Deviation x {gain}"]
    caption = (
        f"What noise does. Left to right: a picture; a window of it with four draws of "
        f"noise; each pixel's deviation over {NOISE_DRAWS} draws, times {gain}."
    )
    return Figure(sheets.image_table(rows, tops, batch.names), caption)


def noise_statistics(p: Painter, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Renders one style under many draws of noise, a batch at a time.

    Args:
        p: renders.
        w: float [num_styles, w_dim].

    Returns:
        The first four images, uint8 [4, H, W, C], and each pixel's standard deviation
        over all draws, of the mean of its channels: float64 [H, W], 0 to 255.
    """
    total, squares, first = 0.0, 0.0, []
    starts, shown = range(0, NOISE_DRAWS, sampling.BATCH), p.options.progress
    for start in ProgressBar(starts, shown=shown, unit="batch", leave=False):
        seeds = range(start, min(start + sampling.BATCH, NOISE_DRAWS))
        images = p.render(np.repeat(w[None], len(seeds), 0), p.render.noise_of(seeds))
        first += [*images[: max(4 - len(first), 0)]]
        gray = images.astype(np.float64).mean(axis=-1) - 128
        total, squares = total + gray.sum(axis=0), squares + np.square(gray).sum(axis=0)
    variance = squares / NOISE_DRAWS - np.square(total / NOISE_DRAWS)
    return np.stack(first), np.sqrt(np.maximum(variance, 0))


def _windows(
    p: Painter, images: Sequence[np.ndarray], change: np.ndarray
) -> list[np.ndarray]:
    """Returns the same window of several images.

    At 1024 x 1024 pixels it is the paper's, a quarter as high and wide. Elsewhere it is
    where noise changes most, and half as high and wide in images below 64 pixels.
    """
    zoom = 4 if min(p.shape) >= 64 else 2
    height, width = (side // zoom for side in p.shape)
    top, left = NOISE_CROP if p.large else busiest(change, height, width)
    return [sheets.crop(x, top, left, height, width) for x in images]


def busiest(values: np.ndarray, height: int, width: int) -> tuple[int, int]:
    """Returns top and left of the window of float [H, W] with the largest sum."""
    sums = np.pad(values, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    below, above = sums[height:], sums[:-height]
    found = below[:, width:] - below[:, :-width] - above[:, width:] + above[:, :-width]
    top, left = np.unravel_index(found.argmax(), found.shape)
    return int(top), int(left)


def _gain(p: Painter, deviations: list[np.ndarray]) -> int:
    """Returns 4, the paper's; below its size the power of two that fills the range."""
    if p.large:
        return NOISE_GAIN
    bright = max(np.percentile(np.stack(deviations), 97), 1e-6)
    return int(np.clip(2 ** np.floor(np.log2(255 / bright)), 1, 128))


def noise_layers_figure(p: Painter) -> Figure:
    """Draws noise on all layers, none, the fine or the coarse ones; with windows."""
    _need_noise(p, "noise_layers")
    batch = p.styles(NOISE_LAYERS_SEEDS, p.options.rows)
    ws = p.truncated(batch)
    stored = sampling.stored_noise(p.model)
    fine = _fine_noise(p, len(stored))
    coarse = [i for i in range(len(stored)) if i not in fine]
    tops = ["All layers", "No noise"]
    for own in (fine, coarse):
        tops.append(f"Layer{'s' * (len(own) != 1)} {latents.layers_text(own)}")
    rows, lefts = [], []
    for i in range(len(ws)):
        own = batch.noise_of(i) or stored
        modes = [own] + [_only(own, kept) for kept in ([], fine, coarse)]
        images = [p.render(ws[i : i + 1], maps)[0] for maps in modes]
        change = np.abs(images[0].astype(float) - images[1]).mean(axis=-1)
        rows.append([p.resize_to_cell(x) for x in images])
        windows = _windows(p, images, change)
        rows.append([p.resize_to_cell(x) for x in windows])
        lefts += [batch.names[i], "a window"]
    caption = (
        f"Noise on all layers, on none, on the fine layers only "
        f"({latents.layers_text(fine)}) and on the coarse ones only "
        f"({latents.layers_text(coarse)}), with the window that it changes most."
    )
    return Figure(sheets.image_table(rows, tops, lefts), caption)


def _fine_noise(p: Painter, count: int) -> list[int]:
    """Returns the fine layers that have noise: from 8 on, in a large model."""
    groups = latents.layer_groups(2 * ((count + 1) // 2))
    return [i for i in groups["fine"] if i < count] or [count - 1]


def _only(maps: Sequence[np.ndarray], kept: Sequence[int]) -> list[np.ndarray]:
    """Returns the maps of the layers `kept`, and zeros, no noise, for the others."""
    return [m if i in kept else np.zeros_like(m) for i, m in enumerate(maps)]


def _need_noise(p: Painter, figure: str) -> None:
    c = p.model.config
    if not c.noise_shapes(p.resolution):
        raise MissingPartError(
            f"{figure} needs noise inputs; this {c.architecture} has none."
        )
