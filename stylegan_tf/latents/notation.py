"""Parses seeds, layers, psi, mixes, edits, moves and drags of command lines."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stylegan_tf.config.classes import numbered_names
from stylegan_tf.config.limits import shortened
from stylegan_tf.errors import UserError

MAX_SEED = 2**32 - 1
MOST_NUMBERS = 1_000_000  # in one list
MAX_PSI = 100  # images stop to change long before
MAX_AMOUNT = 1000  # standard deviations of an edit
MAX_SHIFT, MAX_ANGLE = 100, 36_000  # widths of the picture, degrees
GROUPS = ("coarse", "middle", "fine")  # of layers; figure 3 of the paper


def parse_numbers(text: str, what: str = "seeds", top: int = MAX_SEED) -> list[int]:
    """Parses numbers: `"0-31,100"` -> [0, 1, ..., 31, 100].

    Raises:
        UserError: not numbers and ranges separated by commas, or one above `top`.
    """
    out: list[int] = []
    shown = shortened(str(text))
    for part in str(text).split(","):
        match = re.fullmatch(r"\s*([0-9]+)\s*(?:-\s*([0-9]+)\s*)?", part)
        if not match:
            raise UserError(
                f"{what} {shown}: {shortened(part.strip())} is neither a number nor a "
                f"range; write them like 0-31,100."
            )
        digits = [match[1], match[2] or match[1]]
        first, last = (int(number.lstrip("0")[:12] or 0) for number in digits)
        if last < first:
            raise UserError(
                f"{what} {shown}: the range {part.strip()[:80]} runs backwards."
            )
        if last > top:
            raise UserError(f"{what} {shown}: {last} is above {top}, the largest.")
        if len(out) + last - first >= MOST_NUMBERS:
            raise UserError(
                f"{what} {shown}: {part.strip()} are too many at once; the most are "
                f"{MOST_NUMBERS:,}."
            )
        out += range(first, last + 1)
    return out


def parse_classes(text: str, names: Sequence[str] = ()) -> list[int]:
    """Parses classes by number and by name: `"cats,2-3"` -> [0, 2, 3].

    Args:
        text: numbers, ranges and names, separated by commas.
        names: of the model's classes, in the order of their numbers. A part that is a
            number is not taken as a name.

    Raises:
        UserError: a part is neither a number, a range nor a name.
    """
    out: list[int] = []
    for part in text.split(","):
        name = part.strip()
        if name in names and not name.isdecimal():
            out.append(names.index(name))
        elif names and not re.fullmatch(r"[\d\s-]+", name):
            raise UserError(
                f"there is no class {shortened(name)}; there are "
                f"{numbered_names(names)}."
            )
        else:
            out += parse_numbers(part, "classes")
    return out


# ---------------------------------------------------------------------------
# Layers


def layer_groups(count: int) -> dict[str, range]:
    """Returns the layers of "coarse", "middle" and "fine" in a model of `count`.

    In the paper they are layers 0-3 (4x4 and 8x8 pixels), 4-7 (16x16 and 32x32), and
    all from 8 on. A model of at most 8 layers has none of the last, so there "coarse"
    is the lower half, in whole resolutions, and the other two halve the rest: 0-3, 4-5,
    6-7 at 32x32 pixels; 0-1, 2-3, 4-5 at 16x16.

    Raises:
        UserError: the model has a single style, so no groups.
    """
    if count < 2:
        raise UserError(
            f"this model has {count} style for the whole picture, not one per layer; "
            f"there is no {', '.join(GROUPS[:2])} or {GROUPS[2]}."
        )
    first, second = 4, 8
    if count <= 8:
        first = max(count // 4 * 2, 1)
        second = max(first + (count - first) // 2, first)
    return {
        "coarse": range(first),
        "middle": range(first, second),
        "fine": range(second, count),
    }


def parse_layers(text: str, count: int) -> list[int]:
    """Parses layers: `"0-3,7"`, `"coarse,7"`, `"8-"` (to the last) or `"all"`.

    Args:
        text: numbers, ranges and names of `layer_groups`, separated by commas.
        count: layers of the model.

    Returns:
        Layer numbers, ascending, each once.

    Raises:
        UserError: neither of these, or a layer that the model does not have.
    """
    layers: set[int] = set()
    for part in (p.strip() for p in str(text).split(",")):
        if part == "all":
            layers |= set(range(count))
        elif part in GROUPS:
            layers |= set(layer_groups(count)[part])
        else:
            if re.fullmatch(r"[0-9]{1,9}\s*-", part):
                part = f"{part}{max(count - 1, int(part.rstrip(' -')))}"
            if not re.fullmatch(r"[0-9]+(\s*-\s*[0-9]+)?", part):
                raise UserError(
                    f"layers {shortened(text)}: {shortened(part)} is no layer, range "
                    f"or group; write 0-3,7 or 8- or one of {', '.join(GROUPS)}, all."
                )
            layers |= set(parse_numbers(part, "layers", top=count - 1))
    return sorted(layers)


def layers_text(layers: list[int]) -> str:
    """Writes layers as text: [0, 1, 2, 3, 7] -> "0-3,7"."""
    parts: list[list[int]] = []
    for k in sorted(layers):
        if parts and parts[-1][1] == k - 1:
            parts[-1][1] = k
        else:
            parts.append([k, k])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in parts)


def parse_psi(text: str, count: int) -> float | list[float]:
    """Parses psi: `"0.7"` -> 0.7; `"0.5,0.5,1"` -> one number per layer of `count`.

    The last number of a short list serves the remaining layers.

    Raises:
        UserError: no finite numbers, or more than there are layers.
    """
    values = _reals(text, "psi")
    if len(values) == 1:
        return values[0]
    if len(values) > count:
        raise UserError(
            f"psi {text!r} has {len(values)} numbers; the model has {count} layers."
        )
    return values + values[-1:] * (count - len(values))


def parse_sweep(text: str) -> list[float]:
    """Parses a sweep of psi: `"-1,0,0.7"` -> [-1.0, 0.0, 0.7].

    Raises:
        UserError: no finite numbers.
    """
    return _reals(text, "psi")


def _reals(text: str, what: str) -> list[float]:
    try:
        values = [float(part) for part in str(text).split(",")]
    except ValueError:
        values = [np.nan]
    if not np.all(np.abs(values) <= MAX_PSI):
        raise UserError(
            f"{what} {shortened(text)} is no number to truncate by, at most {MAX_PSI} "
            f"away from 0; write 0.7, or 0.5,0.5,1."
        )
    return values


# ---------------------------------------------------------------------------
# Mixing and editing


@dataclass(frozen=True)
class Mix:
    """Style mixing: the styles of `layers` come from `seed`."""

    seed: int
    layers: tuple[int, ...]


@dataclass(frozen=True)
class Edit:
    """Moves a style `amount` standard deviations along a named direction.

    `layers=None` uses the direction's own layers.
    """

    name: str
    amount: float
    layers: tuple[int, ...] | None = None


def parse_mix(text: str, count: int) -> Mix:
    """Parses a mix: `"639@0-3"` -> Mix(639, (0, 1, 2, 3)).

    Raises:
        UserError: no seed, or no layers of `count`.
    """
    seed, at, layers = str(text).partition("@")
    numbers = parse_numbers(seed, "seed") if seed.strip() else []
    if len(numbers) != 1 or not at:
        raise UserError(f"--mix={text} is not SEED@LAYERS, such as 639@0-3 or 7@fine.")
    return Mix(numbers[0], tuple(parse_layers(layers, count)))


def parse_edit(text: str, count: int) -> Edit:
    """Parses an edit: `"pca0:2@0-3"` -> Edit("pca0", 2.0, (0, 1, 2, 3)).

    Raises:
        UserError: not DIRECTION:AMOUNT, or no layers of `count`.
    """
    name, colon, rest = str(text).rpartition(":")  # names may have an @
    amount, at, layers = rest.partition("@")
    try:
        number = float(amount)
    except ValueError:
        number = np.nan
    if not name or not colon or not abs(number) <= MAX_AMOUNT:
        raise UserError(
            f"--edit={text} is not DIRECTION:AMOUNT or DIRECTION:AMOUNT@LAYERS, such "
            f"as pca0:2@0-3, of an amount from -{MAX_AMOUNT} to {MAX_AMOUNT}."
        )
    own = tuple(parse_layers(layers, count)) if at else None
    return Edit(name, number, own)


# ---------------------------------------------------------------------------
# Moves of StyleGAN3's pictures


def parse_moves(translate: str | None, rotate: str | None) -> np.ndarray | None:
    """Parses places that a picture takes: `("0,0:0.25,0", "90")`.

    Args:
        translate: X,Y in widths and heights of the picture, to the right and down; or
            several of them, separated by colons, that a film passes.
        rotate: degrees, counterclockwise; or several of them.

    Returns:
        float64 [K, 3], x, y and degrees of K places; None if nothing is given.

    Raises:
        UserError: no such numbers, or lists of different lengths.
    """
    if translate is None and rotate is None:
        return None
    shifts = _places(
        "translate", "0,0" if translate is None else translate, 2, MAX_SHIFT, "0.25,0"
    )
    angles = _places("rotate", "0" if rotate is None else rotate, 1, MAX_ANGLE, "90")
    counts = {len(shifts), len(angles)} - {1}
    if len(counts) > 1:
        raise UserError(
            f"--translate has {len(shifts)} places and --rotate {len(angles)}; give as "
            f"many of each, or one."
        )
    count = max(counts, default=1)
    return np.array(
        [(*shifts[i % len(shifts)], *angles[i % len(angles)]) for i in range(count)]
    )


def parse_drags(texts: Sequence[str]) -> np.ndarray:
    """Parses points and their targets: `["20,31:26,31"]`.

    Args:
        texts: X,Y:X,Y each, whole pixels to the right and down from 0,0.

    Returns:
        int64 [K, 2, 2]: of each text the point and its target, x and y.

    Raises:
        UserError: no such numbers, or no point that moves.
    """
    number = r"\s*(\d{1,6})\s*"
    matches = [
        re.fullmatch(f"{number},{number}:{number},{number}", str(t)) for t in texts
    ]
    for text, match in zip(texts, matches, strict=True):
        if match is None:
            raise UserError(
                f"--drag={shortened(str(text))} is not X,Y:X,Y in pixels, such as "
                f"20,31:26,31, from where to where."
            )
    found = [[int(n) for n in match.groups()] for match in matches if match]
    drags = np.array(found, np.int64).reshape(-1, 2, 2)
    if len(drags) and np.array_equal(drags[:, 0], drags[:, 1]):
        raise UserError(
            f"--drag={texts[0]} goes nowhere; name another place after the colon."
        )
    return drags


def _places(
    name: str, text: str, width: int, most: float, example: str
) -> list[list[float]]:
    try:
        places = [[float(v) for v in p.split(",")] for p in str(text).split(":")]
    except ValueError:
        places = [[]]
    good = all(len(p) == width and np.all(np.abs(p) <= most) for p in places)
    if not good or len(places) > 1000:
        raise UserError(
            f"--{name}={shortened(str(text))} is not like {example}, or "
            f"{':'.join([example] * 2)} in a film, with numbers up to {most}."
        )
    return places
