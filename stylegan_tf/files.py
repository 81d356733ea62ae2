"""Atomic writes, and arrays read from `.npz` files of unknown origin.

A reader never sees half a file, and a program that is stopped leaves none behind.
"""

import contextlib
import errno
import os
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stylegan_tf.errors import UserError

LOCK = "lock"  # file name
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


@contextlib.contextmanager
def lock_folder(folder: Path, action: str) -> Iterator[None]:
    """Creates a folder and holds it for one process at a time.

    The lock is the system's: it ends with its process, however that ends. Its holder
    may move or delete the folder; the next in turn then creates it anew.

    Args:
        folder: the lock is the file `LOCK` in it.
        action: what the holder does, for the line on standard error that says what a
            process waits for.
    """
    from filelock import FileLock, Timeout  # here: --help must not wait for it

    lock, seconds = FileLock(folder / LOCK), 0
    while not lock.is_locked:
        folder.mkdir(exist_ok=True)
        try:
            lock.acquire(timeout=seconds)
        except Timeout:
            print(f"Waiting for another process that {action}.", file=sys.stderr)
            seconds = -1  # without end
        except FileNotFoundError:  # moved or deleted by its holder
            continue
        except OSError as e:
            if e.errno not in _NO_LOCKS:
                raise
            break  # some network disks cannot lock
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def atomic_write(path: Path | str) -> Iterator[Path]:
    """Yields a temporary path to write to, then moves that file to `path`.

    The folder is created if need be. The temporary name has the same suffix, from
    which some libraries tell the format.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield draft
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replaces a text file atomically."""
    with atomic_write(path) as draft:
        draft.write_text(text)


def save_arrays(path: Path | str, arrays: dict[str, np.ndarray]) -> Path:
    """Writes `.npz`, whatever the name's suffix; returns the path."""
    with atomic_write(path) as draft, open(draft, "wb") as file:
        np.savez(file, **arrays)
    return Path(path)


def load_arrays(path: Path | str) -> dict[str, np.ndarray]:
    """Reads all arrays of an `.npz` file.

    Raises:
        UserError: no such file, another kind of file, or objects in it.
    """
    reason: object = "it is a single array"
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.lib.npyio.NpzFile):
            with loaded:
                return {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
    raise UserError(f"{path} cannot be read as .npz: {reason}.")


def float_array(
    path: Path | str, arrays: dict[str, np.ndarray], name: str
) -> np.ndarray:
    """One array of a file as float32, all numbers finite.

    Args:
        path: the file, for the message.
        arrays: all that it holds, see `load_arrays`.
        name: which one.

    Raises:
        UserError: the array holds something else.
    """
    array = arrays[name]
    if array.dtype.kind not in "fiub":
        raise UserError(f"{path} is damaged: `{name}` holds {array.dtype}, no numbers.")
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise UserError(f"{path} is damaged: `{name}` has numbers that are not finite.")
    return array
