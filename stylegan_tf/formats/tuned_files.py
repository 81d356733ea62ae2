"""Tuned models as `.npz` files: differences from an original model's weights.

    about       JSON: the original's place and fingerprint, and how it was tuned
    NAME        the difference of the weight of that name, float16 where its range will
                do; weights that are not in the file are the original's

The place is stored as it is seen from the file and as an absolute path, so that both
may be moved together, or the file alone. The original is a file on this machine: a
tuned file cannot have anything fetched.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stylegan_tf.errors import UserError
from stylegan_tf.files import parse_json
from stylegan_tf.formats.arrays import float_array, load_arrays, save_arrays

SUFFIX = ".npz"
FORMAT = "stylegan_tf.tuned-v1"
ABOUT = "about"


@dataclass(frozen=True)
class TunedFile:
    """The content of a tuned model's file.

    Attributes:
        originals: where the original may be, the likeliest place first.
        fingerprint: of the original's weights, see `block.weights_fingerprint`.
        differences: name of a weight -> float32 array.
        about: how it was tuned.
    """

    originals: tuple[Path, ...]
    fingerprint: str
    differences: dict[str, np.ndarray]
    about: dict


def write_tuned(
    path: Path | str,
    original: Path,
    fingerprint: str,
    differences: dict[str, np.ndarray],
    about: dict,
) -> Path:
    """Writes a tuned model, in one step; returns the path.

    Args:
        path: of the file.
        original: the model's own file, or its checkpoint's prefix.
        fingerprint: of the original's weights.
        differences: name of a weight -> array; see `round_differences`.
        about: JSON values for people to read.
    """
    original, folder = Path(os.path.abspath(original)), Path(path).absolute().parent
    place = {"format": FORMAT, "fingerprint": fingerprint, "original": str(original)}
    try:
        place["beside"] = Path(os.path.relpath(original, folder)).as_posix()
    except ValueError:  # on another drive of Windows
        place["beside"] = str(original)
    text = json.dumps(about | place)
    return save_arrays(path, {ABOUT: np.array(text), **differences})


def round_differences(differences: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns differences as they are stored: float16, and those that are 0 left out.

    An array with numbers beyond float16 stays float32.
    """
    rounded = {}
    for name, exact in differences.items():
        with np.errstate(over="ignore"):
            half = exact.astype(np.float16)
        stored = half if np.isfinite(half).all() else exact.astype(np.float32)
        if stored.any():
            rounded[name] = stored
    return rounded


def read_tuned(path: Path | str) -> TunedFile:
    """Reads a tuned model's file.

    Raises:
        UserError: no such file, another kind of file, or a damaged one.
    """
    arrays = load_arrays(path)
    about = arrays.pop(ABOUT, np.array(""))
    try:
        known = parse_json(str(about)) if about.dtype.kind == "U" else None
    except ValueError:
        known = None
    if not isinstance(known, dict) or known.get("format") != FORMAT:
        raise UserError(
            f"{path} holds no tuned model; project.py --tune writes one. Styles are "
            f"given with --latents, directions with --directions."
        )
    wanted = [known.get(key) for key in ("fingerprint", "beside", "original")]
    if not all(isinstance(text, str) and text and "\0" not in text for text in wanted):
        raise UserError(f"{path} is damaged: it does not say what it was tuned from.")
    fingerprint, beside, original = map(str, wanted)
    if any("://" in place for place in (beside, original)):
        raise UserError(f"{path} names an original that is no file on this machine.")
    differences = {name: float_array(path, arrays, name) for name in arrays}
    places = (Path(path).absolute().parent / beside, Path(original))
    return TunedFile(places, fingerprint, differences, known)
