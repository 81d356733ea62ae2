"""Strips of style channels (StyleSpace; Wu et al. 2021, figure 4)."""

import numpy as np

from stylegan_tf.figures import sheets
from stylegan_tf.figures.paper.painter import Figure, FigureOptions, Painter
from stylegan_tf.networks.generator import Generator, plain_copy
from stylegan_tf.sampling.stylespace import AMOUNT, ChannelEditor, ChannelTable

CHANNELS_SEED, CHANNELS_COLUMNS = 1, 7


def channels_figure(
    model: Generator, table: ChannelTable, chosen: list[int], options: FigureOptions
) -> Figure:
    """Draws one image with channels moved, a row each.

    Args:
        model: the generator.
        table: of its channels.
        chosen: rows of the table.
        options: seed, psi, columns and cells.
    """
    copy = plain_copy(model)
    editor = ChannelEditor(copy)
    p = Painter(copy, options, fixed_weights=False)
    batch = p.styles((CHANNELS_SEED,), 1)
    ws, columns = p.truncated(batch), options.columns or CHANNELS_COLUMNS
    amounts, rows = np.linspace(-AMOUNT, AMOUNT, columns), []
    for k in chosen:
        row = []
        for amount in amounts:
            with editor.moved(table.names[k], float(amount)):
                row += p.cells(ws, batch.noise_of(0))
        rows.append(row)
    lefts = [f"{table.names[k]}: {table.describe(k)}" for k in chosen]
    tops = [f"{a:+.3g}" if abs(a) > 1e-9 else "0" for a in amounts]
    caption = (
        "Style channels, moved by so many of their standard deviations, and what they "
        "move most."
    )
    return Figure(sheets.image_table(rows, tops, lefts), caption)
