"""Seeds to latents, and operations on latents and styles in plain NumPy.

A seed gives the same image in every program and batch. Its z is
`numpy.random.RandomState(seed).randn(z_dim)`, the convention of the official releases,
so that published seeds name the same latents here. Its noise maps are drawn from the
seed, too. Styles without a seed are kept in files, see `latents.files`.

The operations are those of StyleGAN (Karras et al. 2019): truncation in W, with a psi
per layer (`truncate`; appendix B), style mixing (`mix_styles`, `mixing_table`; section
3.1), and interpolation (`interpolate`; section 4.1).
"""

from collections.abc import Sequence

import numpy as np

from stylegan_tf.errors import UserError

PATHS = ("z", "linear", "cubic")
BLOCK = 256  # points of a path that are held as float64 at once


def z_of(seeds: list[int], z_dim: int) -> np.ndarray:
    """Returns the latents of seeds, float32 [len(seeds), z_dim]."""
    rows = [np.random.RandomState(seed).randn(z_dim) for seed in seeds]
    return np.asarray(rows, np.float32).reshape(len(seeds), z_dim)


def noise_of(seeds: list[int], shapes: list[tuple[int, int]]) -> list[np.ndarray]:
    """Returns the noise maps of seeds, one float32 [len(seeds), H, W, 1] per layer.

    Args:
        seeds: one per example.
        shapes: height and width of each layer's map.
    """
    generators = [np.random.default_rng([seed, 1]) for seed in seeds]
    return [
        np.stack([g.standard_normal((*s, 1), np.float32) for g in generators])
        for s in shapes
    ]


def one_hot(classes: Sequence[int] | np.ndarray, count: int) -> np.ndarray:
    """Returns one-hot labels, float32 [len(classes), count]."""
    return np.eye(count, dtype=np.float32)[np.asarray(classes, int)]


def truncate(
    ws: np.ndarray, center: np.ndarray, psi: float | Sequence[float] | np.ndarray
) -> np.ndarray:
    """Moves styles towards a center: w' = center + psi (w - center).

    Args:
        ws: float [..., num_styles, w_dim].
        center: float that broadcasts to `ws`, such as [w_dim] or [N, 1, w_dim].
        psi: a number, or one per layer.

    Returns:
        float32 [..., num_styles, w_dim].
    """
    scale = np.asarray(psi, np.float32)
    scale = scale[:, None] if scale.ndim else scale
    ws, center = np.asarray(ws, np.float32), np.asarray(center, np.float32)
    return np.where(scale == 1, ws, center + (ws - center) * scale)


def layer_psi(
    psi: float | Sequence[float], cutoff: int | None, count: int
) -> np.ndarray:
    """Returns psi per layer, float32 [count]: as given below `cutoff`, 1 from there."""
    psis = np.ones(count, np.float32)
    below = slice(0, count if cutoff is None else cutoff)
    psis[below] = np.broadcast_to(np.asarray(psi, np.float32), count)[below]
    return psis


def mix_styles(ws: np.ndarray, other: np.ndarray, layers: list[int]) -> np.ndarray:
    """Returns `ws` with the styles of `layers` from `other`, [..., layers, w_dim]."""
    ws, other = np.broadcast_arrays(ws, other)
    mixed = ws.copy()
    mixed[..., layers, :] = other[..., layers, :]
    return mixed


def mixing_table(
    rows: np.ndarray, columns: np.ndarray, layers: list[list[int]]
) -> np.ndarray:
    """Mixes every row's styles with some layers of every column's (figure 3).

    Args:
        rows: float [R, num_styles, w_dim].
        columns: float [C, num_styles, w_dim].
        layers: the layers taken from the columns, one list per row.

    Returns:
        float [R, C, num_styles, w_dim].
    """
    pairs = zip(rows, layers, strict=True)
    return np.stack([mix_styles(row[None], columns, own) for row, own in pairs])


# ---------------------------------------------------------------------------
# Paths


def slerp(a: np.ndarray, b: np.ndarray, t: float | np.ndarray) -> np.ndarray:
    """Interpolates along the great circle from `a` to `b`, and between their lengths.

    A straight line would lead through latents that are too short for a normal
    distribution. Where a and b are parallel, so that no great circle is the shortest,
    the path is the straight line.

    Args:
        a: float [..., D].
        b: float [..., D].
        t: float that broadcasts to [..., 1]: 0 = a, 1 = b.

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


def interpolate(
    points: np.ndarray, kind: str, frames: int, loop: bool = False
) -> np.ndarray:
    """Returns a path through points, which passes every one of them.

    Args:
        points: float [K, ...], at least two; z for "z", w or ws for the others.
        kind: "z", great circles; "linear"; or "cubic", a spline, natural at its ends
            or periodic for a loop.
        frames: steps from a point to the next.
        loop: continue from the last point to the first. The first is not repeated at
            the end, so that a film loops without a stop.

    Returns:
        float32 [F, ...]; F = K frames for a loop, else (K - 1) frames + 1.

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
    out = np.empty((len(times), *points.shape[1:]), np.float32)
    for start in range(0, len(times), BLOCK):
        own = times[start : start + BLOCK]
        before = np.minimum(own.astype(int), steps - 1)
        t = (own - before).reshape(-1, *[1] * (points.ndim - 1))
        out[start : start + BLOCK] = between(points[before], points[before + 1], t)
    return out
