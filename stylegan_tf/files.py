"""Files written in one step, and arrays read from `.npz` files that anyone may send.

A reader never sees half a file, and a program that is stopped leaves none behind.
"""

import contextlib
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stylegan_tf.errors import UserError


@contextlib.contextmanager
def in_one_step(path: Path | str) -> Iterator[Path]:
    """Yields where to write; what stands there at the end is then moved to `path`.

    The folder is created if need be. The name keeps its suffix, which tells some
    libraries what to write.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield draft
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def save_arrays(path: Path | str, arrays: dict[str, np.ndarray]) -> Path:
    """Writes `.npz`, whatever the name's ending."""
    with in_one_step(path) as draft, open(draft, "wb") as file:
        np.savez(file, **arrays)
    return Path(path)


def load_arrays(path: Path | str) -> dict[str, np.ndarray]:
    """All arrays of an `.npz` file.

    Raises:
        UserError: no such file, another kind of file, or objects in it.
    """
    reason: object = "it is a single array"
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.lib.npyio.NpzFile):
            with found:
                return {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
    raise UserError(f"{path} cannot be read as .npz: {reason}.")


def reals(path: Path | str, arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    """One of a file's arrays, as finite float32 numbers.

    Raises:
        UserError: it holds something else.
    """
    found = arrays[name]
    if found.dtype.kind not in "fiub":
        raise UserError(f"{path} is damaged: `{name}` holds {found.dtype}, no numbers.")
    with np.errstate(over="ignore"):
        found = found.astype(np.float32)
    if not np.isfinite(found).all():
        raise UserError(f"{path} is damaged: `{name}` has numbers that are not finite.")
    return found


def write_atomically(path: Path, text: str) -> None:
    """Replaces a file in one step, so that a reader never sees half of it."""
    with in_one_step(path) as draft:
        draft.write_text(text)
