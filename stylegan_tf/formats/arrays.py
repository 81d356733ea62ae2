"""NumPy's `.npz` and `.npy` files, read with bounds and without pickles."""

import io
import math
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from stylegan_tf.errors import UserError
from stylegan_tf.files import (
    DAMAGED_ARCHIVE,
    atomic_write,
    open_archive,
    open_regular,
    read_member,
    size_text,
)

MOST_ARRAYS = 2 << 30  # bytes of all arrays in a file


def save_arrays(path: Path | str, arrays: dict[str, np.ndarray]) -> Path:
    """Writes `.npz`, whatever the name's suffix; returns the path."""
    with atomic_write(path) as draft, open(draft, "wb") as file:
        np.savez(file, **arrays)
    return Path(path)


def load_arrays(path: Path | str, most: int = MOST_ARRAYS) -> dict[str, np.ndarray]:
    """Reads all arrays of an `.npz` file; that of an `.npy` file has the name "".

    Args:
        path: the file.
        most: bytes that its arrays may have together.

    Raises:
        UserError: no such file, another kind of file, too large, or objects in it.
    """
    try:
        with open_regular(path) as file:
            if file.read(len(npy.MAGIC_PREFIX)) == npy.MAGIC_PREFIX:
                file.seek(0)
                size = os.fstat(file.fileno()).st_size
                return {"": _read_array(file, size, most)}
            file.seek(0)
            with open_archive(file) as archive:
                return _archived_arrays(archive, most)
    except (*DAMAGED_ARCHIVE, OSError, SyntaxError, TypeError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        kind = ".npz" if Path(path).suffix == ".npz" else "arrays of NumPy"
        raise UserError(f"{path} cannot be read as {kind}: {reason}.") from error


def _archived_arrays(archive: zipfile.ZipFile, most: int) -> dict[str, np.ndarray]:
    arrays = {}
    for entry in archive.infolist():
        if not entry.filename.endswith(".npy"):
            raise ValueError(f"it holds {entry.filename!r}, which is no array")
        content = io.BytesIO(read_member(archive, entry, most))
        name = entry.filename.removesuffix(".npy")
        arrays[name] = _read_array(content, entry.file_size, most)
        most -= arrays[name].nbytes
    return arrays


def _read_array(file: IO[bytes], size: int, most: int) -> np.ndarray:
    """Reads one array of a file of `size` bytes, once its head says that it fits."""
    version = npy.read_magic(file)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in read:
        raise ValueError(f"its array is of the unknown version {version}")
    shape, _, dtype = read[version](file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not read")
    needed = math.prod(shape) * dtype.itemsize
    if needed > most:
        raise ValueError(f"its arrays take more than {size_text(most)}")
    if min(shape, default=1) < 0 or file.tell() + needed > size:
        raise ValueError(f"it is cut short: an array of {shape} does not fit in it")
    file.seek(0)
    return np.load(file, allow_pickle=False)


def float_array(
    path: Path | str, arrays: Mapping[str, np.ndarray], name: str
) -> np.ndarray:
    """One array of a file as float32, all numbers finite.

    Args:
        path: the file, for the message.
        arrays: all that it holds, see `load_arrays`.
        name: which one.

    Raises:
        UserError: the array holds something else.
    """
    array, what = arrays[name], f"`{name}`" if name else "its array"
    if array.dtype.kind not in "fiub":
        raise UserError(f"{path} is damaged: {what} holds {array.dtype}, no numbers.")
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise UserError(f"{path} is damaged: {what} has numbers that are not finite.")
    return array
