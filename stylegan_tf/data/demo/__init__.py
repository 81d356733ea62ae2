"""The built-in data set `demo`: cartoon faces, drawn here, with nothing to download.

Every face comes from a handful of named factors (`FACTORS`), so the factors that a
generator has learned can be compared with the true ones. Freckles, hair strands and
specks in the background come from a separate detail seed: no factor explains them. They
are the stochastic variation that StyleGAN leaves to its noise inputs (Karras et al.
2019, section 3.2).

    image = draw_face(7, size=64)                    # uint8 [64, 64, 3]
    label = factors(7)["class"]                      # an index into CLASSES
    calm = draw_face({**factors(7), "smile": 0.0})   # one factor changed
    again = draw_face(factors(7), detail_seed=8)     # the same face, other freckles

A scene is described once, as closed curves in a frame whose x (right) and y (down)
both run from about -1 to 1, and rasterized at the size asked for.
"""

import operator
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from numbers import Real

import numpy as np
from PIL import Image

from stylegan_tf.data.demo.painting import (
    CIRCLE,
    Canvas,
    Mask,
    band,
    blend_colors,
    curve,
    dark,
    ellipse,
    points,
)

CLASSES: tuple[str, ...] = ("short hair", "long hair", "curls", "hat", "cat hood")
SHORT, LONG, CURLS, HAT, HOOD = range(len(CLASSES))
SIZES = 16, 512  # side of the smallest and the largest image, in pixels

# ---------------------------------------------------------------------------
# Colors. The order within a table is the order of the factor's values.


def _rgb(*codes: str) -> np.ndarray:
    return np.array([list(bytes.fromhex(code)) for code in codes], float)


def _table(**codes: str) -> dict[str, np.ndarray]:
    return {name: _rgb(*code.split()).squeeze() for name, code in codes.items()}


HAIR = _table(black="3a3142", brown="6b4230", chestnut="a0592f", ginger="e2762b")
HAIR |= _table(blond="f4c95d", silver="c9ced8", pink="f27fa5", blue="4a86d8")
IRIS = _table(brown="6e3f22", green="3f9150", blue="3a86d6", violet="8d5bd0")
CLOTH = _table(coral="f0655a", mustard="f0ad2e", leaf="64a84a")
CLOTH |= _table(teal="229a94", denim="4668b4", plum="8b4c9c")
BACKGROUND = _table(sky="d3eefa 8cc6ee", mint="dcf5e1 90d6b2", peach="ffe9d6 ffb994")
BACKGROUND |= _table(lilac="ebe0fa b9a2e6", lemon="fff7cf fbd976", rose="ffe3ea f6a3ba")
BACKGROUND |= _table(lagoon="9edad3 44a3a3", dusk="8c9bcc 47548c")  # above, below
RIMS = _table(none="000000", round="b8752a", square="3b3350", shades="2b2430")
SKIN = _rgb("ffe3d0", "fbcfae", "eab086", "c98a5d", "98603f", "684030")  # light to deep
WHITE, INK, ROSE, WINE = _rgb("ffffff", "35262e", "f2606a", "8a2c3c")

# ---------------------------------------------------------------------------
# Factors


@dataclass(frozen=True)
class Factor:
    """One thing about a face that can be varied alone: categorical, or continuous."""

    meaning: str
    names: tuple[str, ...] = ()  # a categorical factor's values; empty if continuous
    weights: tuple[float, ...] = ()  # relative probability of each name; empty = equal
    low: float = -1.0  # a continuous factor's range, where it is uniform
    high: float = 1.0

    def pick(self, quantile: float) -> int | float:
        """Returns the value at `quantile` in [0, 1) of this factor's distribution."""
        if not self.names:
            return self.low + (self.high - self.low) * float(quantile)
        edges = list(accumulate(self.weights or (1,) * len(self.names)))
        return bisect_right(edges, quantile * edges[-1])

    def check(self, name: str, value: int | float | str) -> int | float:
        """Returns `value` as an index or a float.

        Args:
            name: of the factor, for the error message.
            value: index, name or number.

        Raises:
            ValueError: the factor has no such value.
        """
        if value in self.names:
            return self.names.index(value)
        if isinstance(value, Real):
            if self.names and value in range(len(self.names)):
                return int(value)
            if not self.names and self.low <= value <= self.high:
                return float(value)
        known = ", ".join(f"{i} ({n})" for i, n in enumerate(self.names))
        known = known or f"a number from {self.low:g} to {self.high:g}"
        raise ValueError(f"factor {name!r} is {value!r}, expected {known}")


FACTORS: dict[str, Factor] = {
    "class": Factor("hair type or headwear", CLASSES),
    "yaw": Factor("head turned to the picture's left (-1) or right (1)"),
    "tilt": Factor("head leaning to the picture's left (-1) or right (1)"),
    "width": Factor("head narrow (-1) or wide (1)"),
    "jaw": Factor("chin pointed (-1) or square (1)"),
    "skin": Factor("skin tone from light (0) to deep (1)", low=0.0),
    "hair": Factor("color of hair and brows", tuple(HAIR)),
    "fringe": Factor("shape of the hairline", ("blunt", "swept", "parted")),
    "eyes": Factor("color of the iris", tuple(IRIS)),
    "eye_size": Factor("eyes small (-1) or large (1)"),
    "brows": Factor("brows stern and low (-1) or raised (1)"),
    "smile": Factor("mouth from earnest (0) to beaming (1)", low=0.0),
    "open": Factor("mouth from closed (0) to laughing (1)", low=0.0),
    "glasses": Factor("spectacles", tuple(RIMS), weights=(6, 2, 1, 1)),
    "clothes": Factor("color of jumper, hat and hood", tuple(CLOTH)),
    "background": Factor("colors of the background", tuple(BACKGROUND)),
}


def factors(index: int, seed: int = 0) -> dict[str, int | float]:
    """Draws the factors of face `index`, each independent of the others.

    Args:
        index: int, 0 or more, without an upper end.
        seed: int, 0 or more; each seed is another data set of the same kind.

    Returns:
        dict from the names of `FACTORS` to an int (categorical, an index into the
        factor's names) or a float. Every class is equally probable.

    Raises:
        ValueError: `index` or `seed` is negative.
    """
    quantiles = _stream(0, seed, index).random(len(FACTORS))
    pairs = zip(FACTORS.items(), quantiles, strict=True)
    return {name: factor.pick(quantile) for (name, factor), quantile in pairs}


def draw_face(
    values: Mapping[str, int | float | str] | int,
    size: int = 64,
    detail_seed: int | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Draws one face.

    Args:
        values: int, the index of a face; or a mapping from names of `FACTORS` to values
            (a categorical one as index or name). What a mapping leaves out is the
            factor's median.
        size: int in [16, 512], pixels along each side.
        detail_seed: int, 0 or more, of freckles, hair strands and specks. By default
            the index, or 0 for a mapping.
        seed: int, 0 or more, the data set that index and detail belong to.

    Returns:
        uint8 [size, size, 3], RGB. Same arguments, same image.

    Raises:
        ValueError: a factor that does not exist, a value it does not permit, a size
            out of range or a negative number; the message names it.
    """
    if not isinstance(values, Mapping):
        detail_seed = values if detail_seed is None else detail_seed
        values = factors(values, seed)
    if unknown := set(values) - set(FACTORS):
        raise ValueError(f"factor {unknown.pop()!r}, expected {', '.join(FACTORS)}")
    size = operator.index(size)
    if not SIZES[0] <= size <= SIZES[1]:
        raise ValueError(f"size is {size}, expected {SIZES[0]} to {SIZES[1]} pixels")
    known = {n: f.check(n, values.get(n, f.pick(0.5))) for n, f in FACTORS.items()}
    face = _Face(known, _stream(1, seed, detail_seed or 0))
    image = _backdrop(face, size)
    p = Canvas(image, tilt=0.12 * known["tilt"])
    _draw_back(p, face)
    _draw_body(Canvas(image), face)
    head = _draw_head(p, face)
    _draw_hair(p, face, head)
    _draw_headwear(p, face)
    _draw_glasses(p, face)
    return np.array(image)


def _stream(purpose: int, seed: int, index: int) -> np.random.Generator:
    for name, number in (("seed", seed), ("index or detail_seed", index)):
        if operator.index(number) < 0:
            raise ValueError(f"{name} is {number}, expected 0 or more")
    return np.random.default_rng((purpose, seed, index))


# ---------------------------------------------------------------------------
# The scene. A head is about one wide in a frame of two; curves that follow its
# outline are in half heads across.

EAR_LINE, CROWN, CHIN = 0.12, 0.68, 0.52  # widest there; so far up; so far down
SIDES = np.array([[-1.0], [1.0]])  # left and right, [2, 1]
TORSO = curve("0.2 0.72  0.5 0.79  0.78 0.9  0.95 1.2", mirror=True)
THROAT = curve("0.18 0.4  0.21 0.8  0.1 0.88", mirror=True)
MANE = curve("0.55 -0.62  1.12 -0.2  1.24 0.3  1.32 0.85  0.7 1", mirror=True)
BOB = curve("0.9 -0.3  1.14 0.1  1.2 0.4  1.04 0.56  0.6 0.6", mirror=True)
LOCK = curve(
    "1 -0.35  1.17 0.1  1.2 0.5  1.26 0.84  1.02 0.92  0.84 0.74  0.9 0.4  0.9 0.1"
)
TUFT = curve("-0.3 -0.55  -0.16 -0.7  0.08 -0.8  0.02 -0.7  0.26 -0.74  0.2 -0.55")
BRIM = curve(
    "0 -0.54  0.6 -0.5  1 -0.42  1.04 -0.32  0.95 -0.25  0.5 -0.34  0 -0.37",
    mirror=True,
)
OPENING = curve(
    "0 0.67  0.32 0.65  0.7 0.49  0.92 0.2  0.86 -0.1  0.5 -0.37  0 -0.42",
    mirror=True,
)
CAT_EAR = curve("0.35 -0.58  0.6 -0.74  0.9 -0.84  1.06 -0.6  1.05 -0.25")
BLUNT = "-1 0.02  -0.88 -0.2  -0.5 -0.24  0 -0.26  0.5 -0.24  0.88 -0.2  1 0.02"
SWEPT = "-1 0.02  -0.82 -0.25  -0.5 -0.48  -0.1 -0.38  0.4 -0.25  0.85 -0.11  1 0.08"
PARTED = "-1 0.08  -0.84 -0.1  -0.4 -0.3  0 -0.54  0.4 -0.3  0.84 -0.1  1 0.08"
HAIRLINES = [curve(line, closed=False) for line in (BLUNT, SWEPT, PARTED)]


class _Face:
    """Factor values turned into colors and proportions."""

    def __init__(self, values: Mapping[str, int | float], rng: np.random.Generator):
        self.values, self.kind, self.yaw = values, values["class"], values["yaw"]
        self.freckles, self.strands, self.specks = rng.random((3, 4, 14, 1))
        tone, tones = values["skin"] * (len(SKIN) - 1), np.arange(len(SKIN))
        self.skin = np.maximum(0, 1 - abs(tones - tone)) @ SKIN
        self.hair, self.cloth = self.color(HAIR, "hair"), self.color(CLOTH, "clothes")
        self.half = 0.53 + 0.05 * values["width"]  # of the head's width

    def color(self, table: dict[str, np.ndarray], factor: str) -> np.ndarray:
        return list(table.values())[self.values[factor]]

    def outline(self, grow=0.0, start=0.0, stop=2.0, n=48) -> np.ndarray:
        """The head from `start` to `stop`, in half turns: chin 0, right, crown 1."""
        t = np.linspace(start * np.pi, stop * np.pi, n)
        sin, cos = np.sin(t), np.cos(t)
        power = np.where(cos > 0, 0.95 - 0.35 * self.values["jaw"], 0.85)
        x = (self.half + grow) * np.sign(sin) * np.abs(sin) ** power
        y = EAR_LINE + (np.where(cos > 0, CHIN, CROWN) + grow) * cos
        return points(x, y)

    def turned(
        self, x: float | np.ndarray, out: float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Turns `x` of the frontal face, `out` above it, by the yaw; and its width."""
        angle, yaw = np.arcsin(x / self.half), 0.2 * self.yaw
        width = np.cos(angle + yaw) / np.cos(angle)
        return (self.half + out) * np.sin(angle + yaw), width


def _backdrop(face: _Face, size: int) -> Image.Image:
    above, below = face.color(BACKGROUND, "background")
    down = (np.arange(size)[:, None, None] + 0.5) / size
    column = blend_colors(above, below, down).astype(np.uint8)
    p = Canvas(Image.fromarray(np.repeat(column, size, 1)))
    p.glow((0, 0), (0.8, 0.8), blend_colors(above, WHITE, 0.6), 0.6)
    x, y, r, _ = face.specks
    r = 0.008 + 0.01 * r
    specks = ellipse(2 * x - 1, 2 * y - 1, r, r, every=4)
    p.paint(p.mask(*specks, strength=0.45), WHITE)
    return p.image


def _draw_back(p: Canvas, face: _Face) -> None:
    color = dark(face.cloth if face.kind == HOOD else face.hair, 0.25)
    if face.kind in (LONG, HAT):
        shape = MANE if face.kind == LONG else BOB
        p.solid(shape * (face.half, 1), color=color, depth=0.3)
    elif face.kind == CURLS:
        x, y = face.outline(0.1, 0.36, 1.64, 15).T[..., None]
        curls = ellipse(x, y, 0.18, 0.18)
        p.solid(face.outline(0.12), *curls, color=color, depth=0.3)
    elif face.kind == HOOD:
        p.flat((dark(color, 0.25), [face.outline(0.1)]))


def _draw_body(p: Canvas, face: _Face) -> None:
    cloth = p.solid(TORSO, color=face.cloth)
    collar = ellipse(0, 0.77, 0.28, 0.13)
    p.flat((dark(face.cloth, 0.35), [collar]), (dark(face.skin, 0.24), [THROAT]))
    p.glow((0, 0.68), (0.45, 0.12), dark(face.cloth, 0.6), 0.5, cloth)


def _draw_head(p: Canvas, face: _Face) -> Mask:
    x, y = SIDES * (face.half + 0.02) - 0.04 * face.yaw, EAR_LINE + 0.03
    ears, inner = ellipse(x, y, 0.1, 0.14), ellipse(x, y, 0.05, 0.08)
    p.flat((dark(face.skin, 0.08), ears), (dark(face.skin, 0.25), inner))
    head = p.solid(face.outline(), color=face.skin, depth=0.17)
    for x, width in np.hstack(face.turned(SIDES * 0.34)):
        p.glow((x, 0.3), (0.15 * width, 0.11), ROSE, 0.36, head)
    x, y, r, _ = face.freckles
    x, r = face.turned((x - 0.5) * 0.84)[0], 0.009 + 0.01 * r
    nose, _ = face.turned(0.0, out=0.12)
    p.flat(
        (dark(face.skin, 0.18), ellipse(x, 0.17 + 0.16 * y, r, r, every=4)),
        (dark(face.skin, 0.28), [ellipse(nose, 0.27, 0.062, 0.045)]),
        (
            blend_colors(face.skin, ROSE, 0.12),
            [ellipse(nose - 0.006, 0.255, 0.052, 0.04)],
        ),
        *_mouth(face),
        *_eyes(face),
    )
    return head


def _mouth(face: _Face) -> list[tuple]:
    smile, gap = face.values["smile"], 0.03 + 0.16 * face.values["open"]
    u = np.linspace(-1, 1, 17)
    x = face.turned(0.0, out=0.05)[0] + (0.115 + 0.12 * smile) * u
    drop = gap * np.sqrt(1 - u**2)
    top = 0.425 + 0.01 * smile + (0.005 - 0.12 * smile) * u**2
    low = top + drop
    lips = [band(x, top - 0.024, top + 0.024), band(x, low - 0.018, low + 0.018)]
    corners = ellipse(x[[0, -1], None], top[0], 0.024, 0.024)
    tongue = low - 0.45 * gap * np.maximum(0, 1 - 2.5 * u**2)
    return [
        (WINE, [band(x, top, low), *lips, *corners]),
        (ROSE, [band(x, tongue, low)]),
        (WHITE, [band(x, top, top + 0.3 * drop)]),
    ]


def _eyes(face: _Face) -> list[tuple]:
    x, width = face.turned(SIDES * 0.23)
    high, mood = 1 + 0.2 * face.values["eye_size"], face.values["brows"]
    wide, look = high * width, x + 0.02 * face.yaw
    shine = ellipse(look - 0.03, 0.055, 0.033 * wide, 0.038 * high)
    glint = ellipse(look + 0.03, 0.15, 0.016 * wide, 0.018 * high)
    u = np.linspace(-1, 1, 9)  # along a brow, from the nose outwards
    brow = -0.12 - 0.05 * mood - 0.035 * (1 - u**2) + 0.036 * mood * u
    thick = 0.035 - 0.01 * u - 0.015 * u**4
    brows = band(x * 1.04 + SIDES * 0.125 * width * u, brow - thick, brow + thick)
    return [
        (INK, ellipse(x, 0.07, 0.128 * wide, 0.14 * high)),
        (WHITE, ellipse(x, 0.1, 0.115 * wide, 0.135 * high)),
        (face.color(IRIS, "eyes"), ellipse(look, 0.1, 0.092 * wide, 0.115 * high)),
        (INK, ellipse(look, 0.09, 0.057 * wide, 0.073 * high)),
        (WHITE, [*shine, *glint]),
        (dark(face.hair, 0.35), brows),
    ]


def _fringe(face: _Face) -> list[np.ndarray]:
    """The shapes of the hair in front of the forehead."""
    line = HAIRLINES[face.values["fringe"]]
    bend = 0.08 * face.yaw * (1 - line[:, :1] ** 2)
    line = line * (face.half + 0.03, 1) + bend * (1, 0)
    if face.kind == CURLS:
        x, y = line[1::5].T[..., None]
        x2, y2 = face.outline(0.05, 0.62, 1.38, 9).T[..., None]
        cap = np.concatenate([face.outline(0.03, 0.58, 1.42), line - (0, 0.08)])
        return [cap, *ellipse(x, y - 0.06, 0.1, 0.1), *ellipse(x2, y2, 0.17, 0.17)]
    grow = 0.0 if face.kind in (HAT, HOOD) else 0.09
    cap = np.concatenate([face.outline(grow, 0.52, 1.48), line])
    if face.kind == LONG:
        return [cap, LOCK * (face.half, 1), LOCK * (-face.half, 1)]
    return [cap, TUFT + (0.05 * face.yaw, 0)] if face.kind == SHORT else [cap]


def _draw_hair(p: Canvas, face: _Face, head: Mask) -> None:
    shapes = _fringe(face)
    shadow = p.mask(*(shape + (0.01, 0.05) for shape in shapes), strength=0.5)
    p.paint(shadow.within(head), dark(face.skin, 0.45))
    hair = p.solid(*shapes, color=face.hair, depth=0.3)
    p.glow((-0.2, -0.42), (0.24, 0.1), WHITE, 0.25, hair)
    x, y, length, bend = face.strands  # single hairs, fanning out from the crown
    u = np.linspace(0, 1, 6)
    arc = np.sin(np.pi * u)
    x = (2 * x - 1) * 0.8 * face.half * (1 + 0.35 * u) + (bend - 0.5) * 0.12 * arc
    y = -0.64 + 0.35 * y + (0.2 + 0.3 * length) * u
    strands = band(y, x - 0.009 * arc, x + 0.009 * arc)[..., ::-1]
    p.paint(p.mask(*strands, strength=0.13).within(hair), WHITE)


def _draw_headwear(p: Canvas, face: _Face) -> None:
    if face.kind == HAT:
        turn = np.arange(1, 7)[:, None]
        x, y = 0.08 * np.sin(turn), -0.65 + 0.07 * np.cos(turn)
        p.solid(*ellipse(x, y, 0.1, 0.1), color=blend_colors(face.cloth, WHITE, 0.8))
        p.solid(face.outline(0.08, 0.72, 1.28), color=face.cloth, depth=0.25)
        brim = BRIM * (face.half + 0.1, 1)
        p.solid(brim, color=blend_colors(face.cloth, WHITE, 0.3))
    if face.kind == HOOD:
        ears = [CAT_EAR * (side * (face.half + 0.08), 1) for side in (-1, 1)]
        p.solid(*ears, color=face.cloth)
        inner = [0.55 * ear + 0.45 * ear.mean(0) for ear in ears]
        p.flat((blend_colors(ROSE, WHITE, 0.4), inner))
        opening = OPENING * (face.half, 1)
        # Both outlines start at the chin: the even-odd rule then cuts the opening out.
        ring = np.concatenate([face.outline(0.17), opening, opening[:1]])
        p.solid(ring, color=face.cloth, depth=0.3)


def _draw_glasses(p: Canvas, face: _Face) -> None:
    style = list(RIMS)[face.values["glasses"]]
    if style == "none":
        return
    x, width = face.turned(SIDES * 0.24, out=0.04)
    power, high = (1.0, 1.0) if style == "round" else (0.45, 0.85)
    unit = np.sign(CIRCLE) * np.abs(CIRCLE) ** power

    def lenses(r: float) -> list[np.ndarray]:
        return [unit * (r * w, r * high) + (c, 0.1) for c, w in np.hstack([x, width])]

    tint, strength = (INK, 0.6) if style == "shades" else (WHITE, 0.15)
    p.paint(p.mask(*lenses(0.2), strength=strength), tint)
    pairs = zip(lenses(0.215), lenses(0.175), strict=True)
    rims = [np.concatenate([a, a[:1], b, b[:1]]) for a, b in pairs]  # even-odd again
    x = np.linspace(*(x - SIDES * 0.18 * width)[:, 0], 3)
    y = np.array([0.05, 0.03, 0.05])
    p.flat((face.color(RIMS, "glasses"), [*rims, band(x, y, y + 0.044)]))
