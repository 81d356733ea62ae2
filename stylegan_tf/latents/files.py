"""Styles in a file: those without a seed, found by projection or made by editing.

`Latents.save` writes an `.npz` file. `load_latents` reads it, and what other tools
write, wherever it can mean one thing only.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stylegan_tf.errors import UserError
from stylegan_tf.formats.arrays import float_array, load_arrays, save_arrays
from stylegan_tf.formats.torch_files import read_tensors

# Names of styles in files of several arrays; "" is the only array of a file.
STYLES = ("ws", "w", "", "dlatents", "dlatent", "w_plus", "wp", "projected_w")
STYLES += ("latent", "latents", "latent_in", "latent_codes")
ONLY = "arr_0"  # the name that NumPy gives an array without one
TORCH = (".pt", ".pth")


@dataclass(frozen=True)
class Latents:
    """Styles of images, and the noise maps that go with them.

    Attributes:
        ws: float32 [N, num_styles, w_dim].
        noise: one float32 [N or 1, H, W, 1] per layer; None = the model's own.
        names: N names.
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
    """Reads styles for a model of these sizes, of `Latents.save` or of another tool.

    Args:
        path: `.npz`, `.npy`, or `.pt` of PyTorch: an array of styles, alone or by a
            usual name (`STYLES`). A `.pt` file may also hold a list of them, or a dict
            of them per picture.
        num_styles: of the model.
        w_dim: of the model.

    Returns:
        The styles of [N, num_styles, w_dim]. Those of [N, w_dim], [N, 1, w_dim] or
        [w_dim] are repeated for each layer; further axes of length 1 are dropped.
        Numbers become float32. Noise maps are read from files of `Latents.save` alone.

    Raises:
        UserError: no such file, another kind of file, numbers that are not finite,
            another model's styles, or what may mean two things.
    """
    if Path(path).suffix.lower() in TORCH:
        arrays = _torch_arrays(path)
    else:
        arrays = load_arrays(path)
    ws = _styles(path, arrays, num_styles, w_dim)
    kept = sorted((int(n[5:]), n) for n in arrays if re.fullmatch(r"noise\d+", n))
    maps = [float_array(path, arrays, name) for _, name in kept]
    names = arrays.get("names")
    if names is None:
        names = np.array([f"{i:04d}" for i in range(len(ws))], "U")
    rows = {len(m) if m.ndim == 4 else 0 for m in maps} - {1, len(ws)}
    if names.shape != (len(ws),) or rows:
        raise UserError(
            f"{path} is damaged: it holds {len(ws)} styles, and names or noise of "
            f"another number of pictures."
        )
    return Latents(ws, maps or None, tuple(map(str, names)))


def _styles(
    path: Path | str, arrays: Mapping[str, np.ndarray], num_styles: int, w_dim: int
) -> np.ndarray:
    """Returns the styles of a file, [N, num_styles, w_dim]."""
    names = [name for name in (*STYLES, ONLY) if name in arrays]
    if ONLY in names and len(arrays) > 1:
        names.remove(ONLY)  # one of several that nobody has named
    if not names:
        found = ", ".join(arrays) or "nothing"
        raise UserError(
            f"{path} holds {found[:200]}, and no styles; save them as `ws`, of "
            f"N x layers x width."
        )
    found = [
        _full_styles(path, float_array(path, arrays, name), num_styles, w_dim)
        for name in names
    ]
    if any(not np.array_equal(found[0], other) for other in found[1:]):
        raise UserError(
            f"{path} holds different styles as {' and '.join(names[:3])}; save "
            f"those that you mean alone, as `ws`."
        )
    return found[0]


def _full_styles(
    path: Path | str, ws: np.ndarray, num_styles: int, w_dim: int
) -> np.ndarray:
    """Returns styles of all layers, [N, num_styles, w_dim]."""
    shape = " x ".join(map(str, ws.shape)) or "a single number"
    if ws.ndim == 2 and len(ws) == num_styles > 1:
        raise UserError(
            f"{path} holds styles of {shape}: one for each layer of one picture, or of "
            f"{num_styles} pictures? Save them as 1 x {shape}, or as "
            f"{num_styles} x 1 x {w_dim}."
        )
    outer = ws.shape[:-2]
    if len(outer) > 1 and sum(n != 1 for n in outer) <= 1:
        ws = ws.reshape(-1, *ws.shape[-2:])
    ws = ws[None] if ws.ndim == 1 else ws
    ws = ws[:, None] if ws.ndim == 2 else ws
    if ws.ndim != 3 or ws.shape[1] not in (1, num_styles) or ws.shape[2] != w_dim:
        raise UserError(
            f"{path} holds styles of {shape}; the model takes N x {num_styles} x "
            f"{w_dim}. Were they made with another model?"
        )
    return np.repeat(ws, num_styles, axis=1) if ws.shape[1] != num_styles else ws


def _torch_arrays(path: Path | str) -> dict[str, np.ndarray]:
    """Returns what a file of PyTorch holds, as an `.npz` file of the same would."""
    content = read_tensors(path)
    if isinstance(content, np.ndarray):
        return {"": content}
    if isinstance(content, list):
        return {"": _stacked(path, content)}
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no tensor.")
    per_picture = [v for v in content.values() if isinstance(v, dict)]
    if content and len(per_picture) == len(content):  # {"a.png": {"latent": ...}}
        parts = [_named(path, part) for part in per_picture]
        stems = [re.split(r"[\\/]", str(key))[-1] for key in content]
        return {
            "": _stacked(path, [p[None] if p.ndim == 1 else p for p in parts]),
            "names": np.array([Path(stem).stem for stem in stems], "U"),
        }
    return {str(k): v for k, v in content.items() if isinstance(v, np.ndarray)}


def _named(path: Path | str, part: Mapping[str, object]) -> np.ndarray:
    found = [part[n] for n in STYLES if isinstance(part.get(n), np.ndarray)]
    if len(found) != 1:
        raise UserError(
            f"{path} holds {len(found) or 'no'} styles for a picture; save all of them "
            f"as one tensor of N x layers x width."
        )
    return found[0]


def _stacked(path: Path | str, parts: list) -> np.ndarray:
    """Returns arrays of one shape as one array with a further axis."""
    shapes = {p.shape if isinstance(p, np.ndarray) else None for p in parts}
    if len(shapes) != 1 or None in shapes:
        raise UserError(
            f"{path} holds a list of {len(parts)} things, and no tensors of one shape; "
            f"save the styles as one tensor of N x layers x width."
        )
    return np.stack(parts)
