"""Closed curves and a canvas to paint them on, for the `demo` faces.

Curves are float arrays [points, 2] in a frame whose x (right) and y (down) both run
from about -1 to 1, whatever the size of the image in pixels.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops, ImageDraw

SHADOW = np.array(
    [0.8, 1.05, 0.85]
)  # share of red, green and blue that shadow takes away


def blend_colors(a: np.ndarray, b: np.ndarray, t: float | np.ndarray) -> np.ndarray:
    """Interpolates two colors: `a` at t = 0, `b` at t = 1."""
    return a + (b - a) * t


def dark(color: np.ndarray, amount: float) -> np.ndarray:
    """Returns `color` in shadow, which leans to violet: gray would look dirty."""
    return color * (1 - amount * SHADOW)


# ---------------------------------------------------------------------------
# Curves. As text, a curve is the points x y that it runs through.

_TURN = np.linspace(0, 2 * np.pi, 28, endpoint=False)
CIRCLE = np.stack([np.sin(_TURN), np.cos(_TURN)], 1)


def points(x: np.ndarray, y: np.ndarray | float) -> np.ndarray:
    """Makes curves [..., points, 2] from x [..., points] and y, which broadcasts."""
    points = np.empty((*x.shape, 2))
    points[..., 0], points[..., 1] = x, y
    return points


def ellipse(
    x: float | np.ndarray,
    y: float | np.ndarray,
    rx: float | np.ndarray,
    ry: float | np.ndarray,
    every: int = 1,
) -> np.ndarray:
    """Makes an ellipse, [points, 2]; or several, [N, points, 2], from x [N, 1]."""
    return points(x + rx * CIRCLE[::every, 0], y + ry * CIRCLE[::every, 1])


def band(x: np.ndarray, above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Makes the curve around the area between two heights along `x`."""
    return np.concatenate([points(x, above), points(x, below)[..., ::-1, :]], -2)


def curve(text: str, mirror: bool = False, closed: bool = True) -> np.ndarray:
    """Makes a Catmull-Rom curve; `mirror` adds the reflections in x = 0."""
    p = np.array(text.split(), float).reshape(-1, 2)
    p = np.concatenate([p, p[::-1] * (-1, 1)]) if mirror else p
    first, last = (p[-1:], p[:2]) if closed else (p[:1], p[-1:])
    p = np.concatenate([first, p, last])[:, None]
    t = np.linspace(0, 1, 6, endpoint=False)[:, None]
    a, b, c, d = p[:-3], p[1:-2], p[2:-1], p[3:]
    bend = 2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)
    return (b + t * (c - a + t * bend) / 2).reshape(-1, 2)


# ---------------------------------------------------------------------------
# Painting: curves become covered pixels, covered pixels become paint.

NECK = np.array([0.0, 0.62])  # the head leans around this point
ZOOM, SHIFT = 1.13, (0.0, -0.045)  # bring the frame close up to the head


class Mask(NamedTuple):
    """Coverage of the pixels in a box."""

    cover: Image.Image  # mode L, share of each pixel that is covered
    box: tuple[int, int, int, int]  # left, top, right, bottom in the image

    def within(self, other: "Mask") -> "Mask":
        """Returns this mask, clipped by another one."""
        (left, top, right, bottom), (x, y) = self.box, other.box[:2]
        clip = other.cover.crop((left - x, top - y, right - x, bottom - y))
        return Mask(ImageChops.multiply(self.cover, clip), self.box)


class Canvas:
    """An image, and the frame in which its shapes are given.

    Args:
        image: painted on in place.
        tilt: radians; turns the frame around the neck, so that a head can lean on a
            body that stays upright.
    """

    def __init__(self, image: Image.Image, tilt: float = 0.0):
        self.image, self.unit = image, image.width / 2
        self.fine = max(3, 256 // image.width)  # samples across a pixel
        cos, sin = np.cos(tilt), np.sin(tilt)
        turn = np.array([[cos, sin], [-sin, cos]])
        self.matrix = turn * (ZOOM * self.unit)
        self.offset = ((NECK - NECK @ turn) * ZOOM + SHIFT + 1) * self.unit

    def _trace(self, shapes: Sequence[np.ndarray]) -> tuple[tuple, tuple, list]:
        """Returns the box of pixels that `shapes` touch; size, outlines in samples."""
        points = np.concatenate(shapes) @ self.matrix + self.offset
        side, low, high = self.image.width, points.min(0), points.max(0)
        left, top = (min(max(int(a), 0), side - 1) for a in low.tolist())
        right, bottom = (min(max(int(a) + 1, 1), side) for a in high.tolist())
        flat = np.rint((points - (left, top)) * self.fine - 0.5).ravel().tolist()
        ends = [0, *accumulate(2 * len(shape) for shape in shapes)]
        size = (right - left) * self.fine, (bottom - top) * self.fine
        return (left, top, right, bottom), size, [flat[a:b] for a, b in pairwise(ends)]

    def mask(self, *shapes: np.ndarray, strength: float = 1.0) -> Mask:
        """Makes a mask of the union of `shapes`, as opaque as `strength`."""
        box, size, outlines = self._trace(shapes)
        cover = Image.new("L", size)
        pen = ImageDraw.Draw(cover)
        for outline in outlines:
            pen.polygon(outline, round(255 * strength))
        return Mask(cover.reduce(self.fine), box)

    def paint(self, mask: Mask, color: np.ndarray) -> None:
        """Lays `color` over the image where `mask` covers it."""
        self.image.paste(_ink(color), mask.box, mask.cover)

    def flat(self, *layers: tuple[np.ndarray, Sequence[np.ndarray]]) -> None:
        """Paints opaque (color, shapes), later ones on top, faster than by masks."""
        inks = [_ink(color) for color, shapes in layers for _ in shapes]
        box, size, outlines = self._trace([s for _, shapes in layers for s in shapes])
        canvas = self.image.crop(box).resize(size, Image.Resampling.NEAREST)
        pen = ImageDraw.Draw(canvas)
        for ink, outline in zip(inks, outlines, strict=True):
            pen.polygon(outline, ink)
        self.image.paste(canvas.reduce(self.fine), box)

    def glow(
        self,
        center: Sequence[float] | np.ndarray,
        radii: Sequence[float] | np.ndarray,
        color: np.ndarray,
        strength: float = 1.0,
        on: Mask | None = None,
    ) -> None:
        """Paints a soft spot on `on`, down to 1/e at one radius from its center."""
        x, y = center @ self.matrix + self.offset
        rx, ry = radii[0] * self.unit, radii[1] * self.unit
        left, top, right, bottom = on.box if on else (0, 0, *self.image.size)
        across = np.exp(-(((np.arange(left, right) + (0.5 - x)) / rx) ** 2))
        down = np.exp(-(((np.arange(top, bottom) + (0.5 - y)) / ry) ** 2))
        cover = np.outer(down * (255 * strength), across).astype(np.uint8)
        spot = Mask(Image.fromarray(cover), (left, top, right, bottom))
        self.paint(spot.within(on) if on else spot, color)

    def solid(self, *shapes: np.ndarray, color: np.ndarray, depth: float = 0.2) -> Mask:
        """Paints `shapes` as one round thing that is lit from the upper left."""
        mask, points = self.mask(*shapes), np.concatenate(shapes)
        low, high = points.min(0), points.max(0)
        self.paint(mask, dark(color, depth))
        self.glow(low + (high - low) * (0.4, 0.38), (high - low) / 1.8, color, on=mask)
        return mask


def _ink(color: np.ndarray) -> tuple[int, ...]:
    return tuple([min(max(round(c), 0), 255) for c in color.tolist()])
