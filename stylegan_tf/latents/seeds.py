"""Seeds to latents: the same seed is the same picture, in every program and batch.

A seed's z is `numpy.random.RandomState(seed).randn(z_dim)`, the convention of the
official releases, so that published seeds name the same latents here. Its noise maps
are drawn from the seed too. Styles that do not come from a seed, found by projection or
made by editing, travel as `Latents` in an `.npz` file.

What is done with latents, in plain NumPy: paths between them (`path`), truncation with
a number a layer (`truncate`), and the exchange of layers (`mix`, `mixing_table`; style
mixing, Karras et al. 2019, section 3.1). Layers are named by `parse_layers`.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stylegan_tf.errors import UserError
from stylegan_tf.files import float_array, load_arrays, save_arrays

PATHS = ("z", "linear", "cubic")
BLOCK = 256  # points of a path that are held as float64


def z_of(seeds: list[int], z_dim: int) -> np.ndarray:
    """Latents of these seeds, float32 [len(seeds), z_dim]."""
    rows = [np.random.RandomState(seed).randn(z_dim) for seed in seeds]
    return np.asarray(rows, np.float32).reshape(len(seeds), z_dim)


def noise_of(seeds: list[int], shapes: list[tuple[int, int]]) -> list[np.ndarray]:
    """Noise maps of these seeds, one float32 [len(seeds), H, W, 1] a layer.

    Args:
        seeds: one an example.
        shapes: height and width of every layer's map.
    """
    generators = [np.random.default_rng([seed, 1]) for seed in seeds]
    return [
        np.stack([g.standard_normal((*s, 1), np.float32) for g in generators])
        for s in shapes
    ]


def one_hot(classes: list[int], count: int) -> np.ndarray:
    """Class numbers -> float32 [len(classes), count]."""
    return np.eye(count, dtype=np.float32)[np.asarray(classes, int)]


def truncate(ws: np.ndarray, center: np.ndarray, psi) -> np.ndarray:
    """Styles pulled towards a center: center + psi (ws - center).

    Args:
        ws: float [..., num_styles, w_dim].
        center: float that fits it, such as [w_dim] or [N, 1, w_dim].
        psi: a number, or one a layer.

    Returns:
        float32 [..., num_styles, w_dim].
    """
    scale = np.asarray(psi, np.float32)
    scale = scale[:, None] if scale.ndim else scale
    ws, center = np.asarray(ws, np.float32), np.asarray(center, np.float32)
    return np.where(scale == 1, ws, center + (ws - center) * scale)


def layer_psi(psi, cutoff: int | None, count: int) -> np.ndarray:
    """psi of each of `count` layers: as given below the cut-off, 1 from there on."""
    psis = np.ones(count, np.float32)
    below = slice(0, count if cutoff is None else cutoff)
    psis[below] = np.broadcast_to(np.asarray(psi, np.float32), count)[below]
    return psis


def mix(ws: np.ndarray, other: np.ndarray, layers: list[int]) -> np.ndarray:
    """`ws` with these layers' styles taken from `other`, [..., num_styles, w_dim]."""
    ws, other = np.broadcast_arrays(ws, other)
    mixed = ws.copy()
    mixed[..., layers, :] = other[..., layers, :]
    return mixed


def mixing_table(
    rows: np.ndarray, columns: np.ndarray, layers: list[list[int]]
) -> np.ndarray:
    """Every row's styles with some layers of every column's (figure 3).

    Args:
        rows: float [R, num_styles, w_dim].
        columns: float [C, num_styles, w_dim].
        layers: the layers taken from the columns, a list a row.

    Returns:
        float [R, C, num_styles, w_dim].
    """
    pairs = zip(rows, layers, strict=True)
    return np.stack([mix(row[None], columns, own) for row, own in pairs])


# ---------------------------------------------------------------------------
# Paths


def slerp(a: np.ndarray, b: np.ndarray, t) -> np.ndarray:
    """Along the great circle from `a` to `b`, whose lengths are blended with it.

    A straight line would lead through latents that are too short to be drawn from a
    normal distribution. Where a and b point the same way, or opposite ways, so that no
    circle is the shortest, it is the straight line.

    Args:
        a, b: float [..., D].
        t: float that fits [..., 1], 0 = a, 1 = b.

    Returns:
        float64 [..., D].
    """
    a, b, t = (np.asarray(x, np.float64) for x in (a, b, t))
    lengths = [
        np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12) for x in (a, b)
    ]
    cosine = np.sum(a / lengths[0] * b / lengths[1], axis=-1, keepdims=True)
    angle = np.arccos(np.clip(cosine, -1, 1))
    sine = np.sin(angle)
    straight = sine < 1e-6
    sine = np.where(straight, 1, sine)
    first = np.where(straight, 1 - t, np.sin((1 - t) * angle) / sine)
    last = np.where(straight, t, np.sin(t * angle) / sine)
    return first * a + last * b


def path(points: np.ndarray, kind: str, frames: int, loop: bool = False) -> np.ndarray:
    """A way through points, passing every one of them.

    Args:
        points: float [K, ...], at least two; z for "z", w or ws for the others.
        kind: "z", great circles; "linear"; or "cubic", a spline without a corner,
            natural at its ends, or periodic where it is a loop.
        frames: steps from a point to the next.
        loop: go on from the last point to the first. The first is not repeated at the
            end, so that the film runs on without a stop.

    Returns:
        float32 [F, ...], F = K frames of a loop, else (K - 1) frames + 1.

    Raises:
        UserError: another kind, or too few points.
    """
    if kind not in PATHS:
        raise UserError(f"path is {kind!r}; choose one of {', '.join(PATHS)}.")
    if len(points) < 2:
        raise UserError("a path leads through two pictures or more; give more seeds.")
    points = np.asarray(points, np.float64)
    if loop:
        points = np.concatenate([points, points[:1]])
    steps = len(points) - 1
    times = np.arange(steps * frames + (not loop)) / frames
    if kind == "cubic":
        from scipy import interpolate

        ends = "periodic" if loop else "natural"
        spline = interpolate.CubicSpline(np.arange(steps + 1), points, bc_type=ends)
        return spline(times).astype(np.float32)
    between = slerp if kind == "z" else lambda a, b, t: a + (b - a) * t
    found = np.empty((len(times), *points.shape[1:]), np.float32)
    for start in range(0, len(times), BLOCK):
        own = times[start : start + BLOCK]
        before = np.minimum(own.astype(int), steps - 1)
        t = (own - before).reshape(-1, *[1] * (points.ndim - 1))
        found[start : start + BLOCK] = between(points[before], points[before + 1], t)
    return found


# ---------------------------------------------------------------------------
# Styles in a file


@dataclass(frozen=True)
class Latents:
    """Styles of pictures, and the noise maps that go with them.

    Attributes:
        ws: float32 [N, num_styles, w_dim].
        noise: one float32 [N or 1, H, W, 1] a layer; None = whatever the model stores.
        names: what each picture is called.
    """

    ws: np.ndarray
    noise: list[np.ndarray] | None = None
    names: tuple[str, ...] = ()

    def save(self, path: Path | str) -> Path:
        """Writes `.npz`, in one step: `ws`, `names`, `noise0`, `noise1`, ..."""
        arrays = {f"noise{i}": m for i, m in enumerate(self.noise or [])}
        names = self.names or tuple(f"{i:04d}" for i in range(len(self.ws)))
        return save_arrays(
            path, {"ws": self.ws, "names": np.array(names, "U"), **arrays}
        )


def load_latents(path: Path | str, num_styles: int, w_dim: int) -> Latents:
    """Reads `.npz` that `Latents.save` wrote, for a model of these sizes.

    An array `w` of [N, w_dim], or one style for all layers, is repeated for each.

    Raises:
        UserError: no such file, another kind of file, numbers that are not finite, or
            another model's styles.
    """
    arrays = load_arrays(path)
    key = "ws" if "ws" in arrays else "w"
    if key not in arrays:
        found = ", ".join(arrays) or "nothing"
        raise UserError(f"{path} holds {found}, and no styles, `ws` or `w`.")
    ws = float_array(path, arrays, key)
    ws = ws[:, None] if ws.ndim == 2 else ws
    fits = ws.ndim == 3 and ws.shape[1] in (1, num_styles) and ws.shape[2] == w_dim
    if not fits:
        shape = " x ".join(map(str, ws.shape))
        raise UserError(
            f"{path} holds styles of {shape}; the model takes N x {num_styles} x "
            f"{w_dim}. Were they made with another model?"
        )
    ws = np.repeat(ws, num_styles, axis=1) if ws.shape[1] != num_styles else ws
    kept = sorted((n for n in arrays if re.fullmatch(r"noise\d+", n)), key=_number)
    maps = [float_array(path, arrays, name) for name in kept]
    numbers = np.array([f"{i:04d}" for i in range(len(ws))], "U")
    names = arrays.get("names", numbers)
    rows = {len(m) if m.ndim == 4 else 0 for m in maps} - {1, len(ws)}
    if names.shape != (len(ws),) or rows:
        raise UserError(
            f"{path} is damaged: it holds {len(ws)} styles, and names or noise of "
            f"another number of pictures."
        )
    return Latents(ws, maps or None, tuple(map(str, names)))


def _number(name: str) -> int:
    return int(name.removeprefix("noise"))
