"""Strips along directions in W (GANSpace, SeFa, InterFaceGAN), after the paper."""

import numpy as np

from stylegan_tf import sampling
from stylegan_tf.figures import sheets
from stylegan_tf.figures.paper.painter import Figure, MissingPartError, Painter
from stylegan_tf.latents.directions import Directions
from stylegan_tf.sampling import steering

DIRECTIONS_SEED, DIRECTIONS_ROWS = 1, 3
DIRECTIONS_COLUMNS, DIRECTIONS_REACH = 5, 2.0  # standard deviations to either side


def directions_figure(p: Painter) -> Figure:
    """Draws one image moved along directions, a row each."""
    given = p.options.directions
    found = [given] if given is not None else _model_directions(p)
    strips = [strip for own in found for strip in _strips(p, own).items()]
    caption = (
        f"Directions in W: what so many standard deviations of w along each make of a "
        f"picture ({'; '.join(d.source for d in found)})."
    )
    tops = [f"{a:+.3g}" if a else "0" for a in _amounts(p)]
    rows, lefts = [cells for _, cells in strips], [name for name, _ in strips]
    return Figure(sheets.image_table(rows, tops, lefts), caption)


def direction_strips(p: Painter, own: Directions) -> dict[str, np.ndarray]:
    """Returns a strip of one image moved along each direction, uint8 [H, W, 3]."""
    return {n: sheets.image_table([cells]) for n, cells in _strips(p, own).items()}


def _amounts(p: Painter) -> np.ndarray:
    columns = p.options.columns or DIRECTIONS_COLUMNS
    return np.linspace(-DIRECTIONS_REACH, DIRECTIONS_REACH, columns)


def _strips(p: Painter, own: Directions) -> dict[str, list[np.ndarray]]:
    """Returns the cells of one image at all amounts, by direction."""
    batch = p.styles((DIRECTIONS_SEED,), 1)
    base, every = p.truncated(batch), p.options.directions is not None
    names = own.names[: p.options.rows or (None if every else DIRECTIONS_ROWS)]
    amounts = _amounts(p)
    return {
        n: p.cells(move_styles(base, own, n, amounts), batch.noise_of(0)) for n in names
    }


def move_styles(
    base: np.ndarray, own: Directions, name: str, amounts: np.ndarray
) -> np.ndarray:
    """Moves the styles of one image along a direction.

    Args:
        base: float32 [1, num_styles, w_dim].
        own: the directions.
        name: one of them.
        amounts: float [A], standard deviations.

    Returns:
        float32 [A, num_styles, w_dim].
    """
    layers = list(own.layers or range(base.shape[1]))
    ws = np.repeat(base, len(amounts), axis=0)
    ws[:, layers] += np.asarray(amounts, np.float32)[:, None, None] * own.step(name)
    return ws


def _model_directions(p: Painter) -> list[Directions]:
    """Finds directions without labels, of as many kinds as the model allows."""
    if p.model.config.mapping_layers == 0:
        raise MissingPartError(
            "directions need a mapping network; in this model w is z."
        )
    w = sampling.sample_w(p.model)
    kinds = ["pca"] + ["sefa"] * (p.num_styles > 1)
    return [steering.find_directions(p.model, kind, w=w) for kind in kinds]
