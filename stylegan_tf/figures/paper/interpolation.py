"""Interpolation between images, in Z and in W (StyleGAN, section 4.1)."""

from collections.abc import Iterator

import numpy as np

from stylegan_tf import sampling
from stylegan_tf.errors import UserError
from stylegan_tf.figures import sheets
from stylegan_tf.figures.paper.painter import Figure, FigureOptions, Painter
from stylegan_tf.networks.generator import Generator
from stylegan_tf.sampling import StyleBatch

INTERPOLATION_SEEDS, INTERPOLATION_STEPS = (1, 2, 3, 4), 8


def interpolation_figure(p: Painter) -> Figure:
    """Draws the way between images, along a great circle in Z and straight in W."""
    o, steps = p.options, (p.options.columns or INTERPOLATION_STEPS) - 1
    batch = p.styles(INTERPOLATION_SEEDS)
    pairs = [(i, i + 1) for i in range(0, len(batch) - 1, 2)][: o.rows]
    if not pairs or steps < 1:
        raise UserError("interpolation takes two pictures or more, and two columns.")
    kinds = {"z": "in Z", "linear": "in W"}
    if o.styles is not None:
        del kinds["z"]  # styles of a file have no z
    rows, lefts, bands = [], [], []
    for a, b in pairs:
        for kind, text in kinds.items():
            between = _between(p, batch, (a, b), kind, steps)
            rows.append(p.cells(p.truncated(between), batch.noise_of(a)))
            lefts.append(text)
        name = f"{batch.names[a]} to {batch.names[b]}"
        bands.append((name if len(kinds) > 1 else "", len(kinds)))
    ways = ["in W along a straight line"]
    if o.styles is None:
        ways.insert(0, "in Z along a great circle")
    caption = f"Interpolation between pictures: {', '.join(ways)}."
    return Figure(sheets.image_table(rows, (), lefts, bands), caption)


def _between(
    p: Painter, batch: StyleBatch, pair: tuple[int, int], kind: str, steps: int
) -> StyleBatch:
    """Returns the styles from one image to another; in Z, of the first one's class."""
    ends = batch[list(pair)]
    if kind == "z" and len(ends.class_ids):
        ends = StyleBatch.from_z(p.model, ends.z, [int(ends.class_ids[0])])
    return sampling.interpolate_styles(p.model, ends, kind, steps, loop=False)


def interpolation_frames(
    model: Generator, options: FigureOptions, kind: str, frames: int, loop: bool
) -> tuple[Iterator[np.ndarray], int]:
    """Returns the frames of a film through the images of the interpolation figure.

    Args:
        model: the generator.
        options: images and truncation.
        kind: "z", "linear" or "cubic"; see `latents.interpolate`.
        frames: steps from an image to the next.
        loop: continue from the last image to the first.

    Returns:
        An iterator that renders each frame when it is asked for, and their number.
    """
    p = Painter(model, options)
    batch = p.styles(INTERPOLATION_SEEDS)
    way = sampling.interpolate_styles(model, batch, kind, frames, loop)
    ws = p.truncated(way)
    return p.render.stream(ws, batch.noise_of(0)), len(ws)
