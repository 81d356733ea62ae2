"""Runs side by side as one HTML file, which loads nothing else. No TensorFlow."""

import base64
import html
from collections.abc import Mapping, Sequence

from stylegan_tf.runs import rundir
from stylegan_tf.runs.comparison import Comparison
from stylegan_tf.runs.curves import curves_svg, line_style

# Stats with a plot of their own, if a run has them.
PLOTTED = ("loss/g", "loss/d", "scores/real", "scores/fake", "penalty/r1", "augment/p")
MOST_POINTS = 400  # of a curve on the page

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1500px;
       padding: 0 1rem; color: #222; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; }
.wide { overflow-x: auto; }
td, th { border-bottom: 1px solid #ddd; padding: .25rem .7rem; text-align: left;
         white-space: nowrap; }
th { color: #555; font-weight: 600; }
.key { display: inline-block; width: 2.2rem; vertical-align: middle; }
svg text { font: 12px system-ui, sans-serif; fill: #555; }
svg .head { font-weight: 600; fill: #222; } svg .y { text-anchor: end; }
svg .x { text-anchor: middle; } svg .grid { stroke: #e5e5e5; }
svg polyline { fill: none; stroke-width: 1.6; }
figure { margin: 0 0 1.2rem; } figcaption { color: #555; }
img { max-width: 100%; image-rendering: pixelated; }
"""


def comparison_page(
    comparison: Comparison, sheets: Mapping[str, bytes] | None = None, caption: str = ""
) -> str:
    """Returns the page: settings that differ, metrics, curves, sheets.

    Args:
        comparison: the runs.
        sheets: name of a run -> PNG of its pictures of the same seeds.
        caption: what the sheets show.
    """
    names = comparison.names
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>{len(names)} runs compared</title><style>{STYLE}</style></head><body>",
        f"<h1>{len(names)} runs compared</h1>",
        "<h2>Settings that differ, and metrics</h2>",
        _table(comparison.rows(), keys=True),
    ]
    if comparison.has_seeds and comparison.labels:
        parts += ["<h2>Mean and deviation over seeds, of the best values</h2>"]
        parts += [_table(comparison.group_rows())]
    parts += ["<h2>Curves</h2>", *_curves(comparison)]
    if sheets:
        parts += ["<h2>Pictures</h2>", f"<p>{html.escape(caption)}</p>"]
        for name, png in sheets.items():
            data = base64.b64encode(png).decode()
            shown = html.escape(name)
            source = f"data:image/png;base64,{data}"
            image = f'<img alt="pictures by {shown}" src="{source}">'
            parts.append(f"<figure>{image}<figcaption>{shown}</figcaption></figure>")
    return "\n".join([*parts, "</body></html>\n"])


def _table(rows: Sequence[Sequence[str]], keys: bool = False) -> str:
    """A table, with the color of each row's curve if `keys` is set."""
    head, *rest = rows
    first = ["<th></th>"] if keys else []
    lines = ["<tr>", *first, *(f"<th>{html.escape(h)}</th>" for h in head), "</tr>"]
    for i, row in enumerate(rest):
        color, dashes = line_style(i)
        key = (
            f'<svg class="key" viewBox="0 0 30 6"><line x1="0" y1="3" x2="30" y2="3" '
            f'stroke="{color}" stroke-width="3" stroke-dasharray="{dashes}"/></svg>'
        )
        cells = [f"<td>{key}</td>"] if keys else []
        cells += [f"<td>{html.escape(cell)}</td>" for cell in row]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def _curves(comparison: Comparison) -> list[str]:
    """Plots of each metric and of the stats of training."""
    runs = dict(zip(comparison.names, comparison.runs, strict=True))
    plots = [
        curves_svg(
            label,
            {
                name: run.scores[label].points if label in run.scores else ()
                for name, run in runs.items()
            },
        )
        for label in comparison.labels
    ]
    stats = {name: rundir.read_stats(run.run.path) for name, run in runs.items()}
    for key in PLOTTED:
        curves = {
            name: thinned(
                [
                    (row["nimg"] / 1000, row[key])
                    for row in rows
                    if isinstance(row.get(key), int | float)
                ]
            )
            for name, rows in stats.items()
        }
        if any(y for points in curves.values() for _, y in points):
            plots.append(curves_svg(key, curves))
    return [plot for plot in plots if plot] or ["<p>No run has finished a tick.</p>"]


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Returns at most `MOST_POINTS` of a curve's points, the last one among them."""
    stride = -(-len(points) // MOST_POINTS) or 1
    return [*reversed([*reversed(points)][::stride])]
