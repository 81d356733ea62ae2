"""Seeds to latents: the same seed is the same picture, in every program and batch.

A seed's z is `numpy.random.RandomState(seed).randn(z_dim)`, the convention of the
official releases, so that published seeds name the same latents here. Its noise maps
are drawn from the seed too. Styles that do not come from a seed, found by projection or
made by editing, travel as `Latents` in an `.npz` file.
"""

import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stylegan_tf.errors import UserError

MAX_SEED = 2**32 - 1


def parse_numbers(text: str, what: str = "seeds", top: int = MAX_SEED) -> list[int]:
    """`"0-31,100"` -> [0, 1, ..., 31, 100].

    Raises:
        UserError: not numbers and ranges separated by commas, or one above `top`.
    """
    out: list[int] = []
    for part in str(text).split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        if not match:
            raise UserError(
                f"{what} {text!r}: {part.strip()!r} is neither a number nor a range; "
                f"write them like 0-31,100."
            )
        first = int(match[1])
        last = int(match[2] or first)
        if last < first:
            raise UserError(
                f"{what} {text!r}: the range {part.strip()} runs backwards."
            )
        if last > top:
            raise UserError(f"{what} {text!r}: {last} is above {top}, the largest.")
        if last - first > 10_000_000:
            raise UserError(f"{what} {text!r}: {part.strip()} are too many at once.")
        out += range(first, last + 1)
    return out


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
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {f"noise{i}": m for i, m in enumerate(self.noise or [])}
        names = self.names or tuple(f"{i:04d}" for i in range(len(self.ws)))
        temporary = path.with_name(f".{path.name}.tmp")
        with open(temporary, "wb") as f:
            np.savez(f, ws=self.ws, names=np.array(names, "U"), **arrays)
        os.replace(temporary, path)
        return path


def load_latents(path: Path | str, num_styles: int, w_dim: int) -> Latents:
    """Reads `.npz` that `Latents.save` wrote, for a model of these sizes.

    An array `w` of [N, w_dim], or one style for all layers, is repeated for each.

    Raises:
        UserError: no such file, another kind of file, or another model's styles.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read as .npz: {error}") from error
    ws = arrays.get("ws", arrays.get("w"))
    if ws is None:
        found = ", ".join(arrays) or "nothing"
        raise UserError(f"{path} holds {found}, and no styles, `ws` or `w`.")
    ws = np.asarray(ws, np.float32)
    ws = ws[:, None] if ws.ndim == 2 else ws
    fits = ws.ndim == 3 and ws.shape[1] in (1, num_styles) and ws.shape[2] == w_dim
    if not fits:
        shape = " x ".join(map(str, ws.shape))
        raise UserError(
            f"{path} holds styles of {shape}; the model takes N x {num_styles} x "
            f"{w_dim}. Were they made with another model?"
        )
    ws = np.repeat(ws, num_styles, axis=1) if ws.shape[1] != num_styles else ws
    maps = sorted((n for n in arrays if re.fullmatch(r"noise\d+", n)), key=_number)
    names = tuple(map(str, arrays.get("names", [f"{i:04d}" for i in range(len(ws))])))
    return Latents(ws, [arrays[n] for n in maps] or None, names)


def _number(name: str) -> int:
    return int(name.removeprefix("noise"))
