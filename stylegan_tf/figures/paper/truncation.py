"""Figure 8 of the StyleGAN paper, truncation; ways between pictures; directions."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from stylegan_tf import sampling
from stylegan_tf.errors import UserError
from stylegan_tf.figures import sheets
from stylegan_tf.figures.paper.painter import Figure, Missing, Options, Painter
from stylegan_tf.latents.directions import Directions
from stylegan_tf.networks.generator import Generator
from stylegan_tf.sampling import steering
from stylegan_tf.sampling.steering import Subjects

TRUNCATION_SEEDS = (91, 388)
TRUNCATION_PSI = (1.0, 0.7, 0.5, 0.0, -0.5, -1.0)
INTERPOLATION_SEEDS, INTERPOLATION_STEPS = (1, 2, 3, 4), 8
DIRECTIONS_SEED, DIRECTIONS_ROWS = 1, 3
DIRECTIONS_COLUMNS, DIRECTIONS_REACH = 5, 2.0  # standard deviations to either side


def truncation(p: Painter) -> Figure:
    """The same pictures from psi = 1 over the average, 0, to their opposites."""
    who = p.subjects(TRUNCATION_SEEDS, p.options.rows)
    psis = list(p.options.sweep or TRUNCATION_PSI)
    rows = psi_sweep(who, psis, p.options.cutoff, p.cells)
    tops = [f"psi = {psi:g}" for psi in psis]
    caption = (
        "Truncation. psi = 0 is the average picture; a negative psi gives the opposite "
        "of the picture with the same positive one."
    )
    return Figure(sheets.table(rows, tops, who.names), caption)


def psi_sweep(
    who: Subjects,
    psis: Sequence[float],
    cutoff: int | None,
    cells: Callable,
    steer: sampling.Steer | None = None,
) -> list[list[np.ndarray]]:
    """A row a picture, a column a psi; w is not computed again.

    Args:
        who: the pictures.
        psis, cutoff: truncation.
        cells: styles [N, num_styles, w_dim] and noise maps -> N pictures.
        steer: what is done to truncated styles.
    """
    rows = []
    for i in range(len(who)):
        one = who[[i]]
        ws = np.concatenate([one.truncated(psi, cutoff) for psi in psis])
        if steer is not None:
            ws = steer(ws, np.repeat(one.turns, len(psis)))
        rows.append(list(cells(ws, who.maps(i))))
    return rows


def interpolation(p: Painter) -> Figure:
    """From picture to picture, along a great circle in Z and straight in W."""
    o, steps = p.options, (p.options.columns or INTERPOLATION_STEPS) - 1
    who = p.subjects(INTERPOLATION_SEEDS)
    pairs = [(i, i + 1) for i in range(0, len(who) - 1, 2)][: o.rows]
    if not pairs or steps < 1:
        raise UserError("interpolation takes two pictures or more, and two columns.")
    rows, lefts, bands = [], [], []
    for a, b in pairs:
        count = len(rows)
        for kind in ("z", "linear"):
            if kind == "z" and o.who is not None:
                continue  # styles of a file have no z
            walk = _between(p, who, (a, b), kind, steps)
            rows.append(p.cells(p.styles_of(walk), who.maps(a)))
            lefts.append("in Z" if kind == "z" else "in W")
        bands.append((f"{who.names[a]} to {who.names[b]}", len(rows) - count))
    ways = ["in W along a straight line"]
    if o.who is None:
        ways.insert(0, "in Z along a great circle")
    caption = f"Interpolation between pictures: {', '.join(ways)}."
    bands = [(t if n > 1 else "", n) for t, n in bands]
    return Figure(sheets.table(rows, (), lefts, bands), caption)


def _between(p: Painter, who: Subjects, pair, kind: str, steps: int) -> Subjects:
    """The styles from one picture to another, in steps; in Z of the first's class."""
    ends = who[list(pair)]
    if kind == "z" and len(ends.turns):
        ends = steering.of_latents(p.model, ends.z, [int(ends.turns[0])])
    return steering.walk(p.model, ends, kind, steps, loop=False)


def film(
    model: Generator, options: Options, kind: str, frames: int, loop: bool
) -> tuple[Iterator[np.ndarray], int]:
    """A walk through the interpolation's pictures.

    Args:
        model: the generator.
        options: pictures and truncation.
        kind, frames, loop: as in `latents.path`.

    Returns:
        The frames, drawn as they are asked for, and how many there are.
    """
    p = Painter(model, options)
    who = p.subjects(INTERPOLATION_SEEDS)
    ws = p.styles_of(steering.walk(model, who, kind, frames, loop))
    return steering.render(p.render, ws, who.maps(0)), len(ws)


def directions(p: Painter) -> Figure:
    """One picture moved along directions, a row each."""
    o, rows, lefts = p.options, [], []
    found = [o.directions] if o.directions is not None else _found(p)
    for own in found:
        for name, cells in _moved(p, own).items():
            rows.append(cells)
            lefts.append(name)
    caption = (
        f"Directions in W: what so many standard deviations of w along each make of a "
        f"picture ({'; '.join(d.source for d in found)})."
    )
    tops = [f"{a:+.3g}" if a else "0" for a in _amounts(p)]
    return Figure(sheets.table(rows, tops, lefts), caption)


def strips_of(p: Painter, own: Directions) -> dict[str, np.ndarray]:
    """A strip of one picture moved along each direction, uint8 [H, W, 3]."""
    return {n: sheets.table([cells]) for n, cells in _moved(p, own).items()}


def _amounts(p: Painter) -> np.ndarray:
    columns = p.options.columns or DIRECTIONS_COLUMNS
    return np.linspace(-DIRECTIONS_REACH, DIRECTIONS_REACH, columns)


def _moved(p: Painter, own: Directions) -> dict[str, list[np.ndarray]]:
    """Cells of one picture at all amounts, by direction."""
    who = p.subjects((DIRECTIONS_SEED,), 1)
    base, every = p.styles_of(who), p.options.directions is not None
    names = own.names[: p.options.rows or (None if every else DIRECTIONS_ROWS)]
    amounts = _amounts(p)
    return {n: p.cells(strip(base, own, n, amounts), who.maps(0)) for n in names}


def strip(
    base: np.ndarray, own: Directions, name: str, amounts: np.ndarray
) -> np.ndarray:
    """Styles of one picture, [1, num_styles, w_dim], moved along: [amounts, ...]."""
    layers = list(own.layers or range(base.shape[1]))
    ws = np.repeat(base, len(amounts), axis=0)
    ws[:, layers] += np.asarray(amounts, np.float32)[:, None, None] * own.step(name)
    return ws


def _found(p: Painter) -> list[Directions]:
    """Directions that need no labels, as many kinds of them as the model allows."""
    if p.model.config.mapping_layers == 0:
        raise Missing("directions need a mapping network; in this model w is z.")
    w = sampling.sample_w(p.model)
    kinds = ["pca"] + ["sefa"] * (p.styles > 1)
    return [steering.find(p.model, kind, w=w) for kind in kinds]
