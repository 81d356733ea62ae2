"""Curves as SVG, for a page that needs nothing else. No TensorFlow."""

import html
import math
from collections.abc import Mapping, Sequence

Point = tuple[float, float]
# Eight colors that people with any color vision tell apart (Okabe & Ito 2008).
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
COLORS += ("#56b4e9", "#e69f00", "#000000", "#999999")
DASHES = ("", "6 3", "2 3")  # after the colors are used up
WIDTH, HEIGHT = 460, 240
LEFT, RIGHT, TOP, BOTTOM = 62, 12, 28, 36  # margins around the axes


def line_style(i: int) -> tuple[str, str]:
    """Returns color and dashes of the i-th curve."""
    return COLORS[i % len(COLORS)], DASHES[i // len(COLORS) % len(DASHES)]


def curves_svg(title: str, curves: Mapping[str, Sequence[Point]]) -> str:
    """Returns a plot over thousands of images.

    Args:
        title: what is plotted.
        curves: name -> points, in ascending order; what is not finite is left out. The
            i-th curve has the i-th color, an empty one too.

    Returns:
        An <svg> element; "" if there is nothing to show.
    """
    clean = [
        [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
        for points in curves.values()
    ]
    every = [point for points in clean for point in points]
    if not every:
        return ""
    xs, ys = zip(*every, strict=True)
    x_ticks, y_ticks = nice_ticks(min(xs), max(xs)), nice_ticks(min(ys), max(ys))
    (x0, x1), (y0, y1) = (x_ticks[0], x_ticks[-1]), (y_ticks[0], y_ticks[-1])

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)
        up = (y - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM)
        return LEFT + across, HEIGHT - BOTTOM - up

    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    parts = [
        f'<svg {size} role="img"><title>{html.escape(title)}</title>',
        f'<text x="{LEFT}" y="18" class="head">{html.escape(title)}</text>',
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">kimg</text>',
    ]
    for value in y_ticks:
        x, y = place(x0, value)
        parts.append(_line((x, y), place(x1, value)))
        parts.append(f'<text x="{x - 6}" y="{y + 4:.1f}" class="y">{value:g}</text>')
    for value in x_ticks:
        x, y = place(value, y0)
        parts.append(f'<text x="{x:.1f}" y="{y + 16:.1f}" class="x">{value:g}</text>')
    for i, (name, points) in enumerate(zip(curves, clean, strict=True)):
        color, dashes = line_style(i)
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*p) for p in points))
        style = f'stroke="{color}" stroke-dasharray="{dashes}"'
        shown = f"<title>{html.escape(name)}</title>"
        if len(points) == 1:
            x, y = place(*points[0])
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>')
        elif points:
            parts.append(f'<polyline points="{drawn}" {style}>{shown}</polyline>')
    return "\n".join([*parts, "</svg>"])


def _line(a: tuple[float, float], b: tuple[float, float]) -> str:
    ends = f'x1="{a[0]:.1f}" y1="{a[1]:.1f}" x2="{b[0]:.1f}" y2="{b[1]:.1f}"'
    return f'<line {ends} class="grid"/>'


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Returns round numbers, evenly apart, that enclose a range.

    Args:
        low: least value.
        high: greatest value; may be the same.
        count: about how many.
    """
    if low == high:
        low, high = (low - 1, high + 1) if low else (0.0, 1.0)
    rough = (high - low) / count
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(m * unit for m in (1, 2, 5, 10) if m * unit >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]
