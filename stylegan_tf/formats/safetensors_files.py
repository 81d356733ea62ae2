"""Reads and writes `.safetensors` files: arrays by name, and texts about them.

The format is data alone: a table of names, types and places, then the numbers. The
library `safetensors` checks the table against the file's size before anything is read.
"""

from pathlib import Path

import numpy as np

from stylegan_tf.errors import UserError, one_line

SUFFIX = ".safetensors"
INSTALL = 'pip install "stylegan_tf[safetensors]"'


def read_safetensors(path: Path | str) -> dict[str, np.ndarray]:
    """Reads every array of a file.

    Raises:
        UserError: the file is missing or damaged, or has numbers that NumPy has not.
    """
    with _Opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def read_metadata(path: Path | str) -> dict[str, str]:
    """Reads the texts of a file, without its arrays.

    Raises:
        UserError: see `read_safetensors`.
    """
    with _Opened(path) as file:
        return dict(file.metadata() or {})


def write_safetensors(
    path: Path | str, arrays: dict[str, np.ndarray], metadata: dict[str, str]
) -> None:
    """Writes arrays and texts; an existing file is replaced.

    Raises:
        UserError: the library is missing, or the file cannot be written.
    """
    require_safetensors()
    from safetensors.numpy import save_file

    packed = {name: np.ascontiguousarray(x) for name, x in arrays.items()}
    packed = {name: x.reshape(arrays[name].shape) for name, x in packed.items()}
    try:
        save_file(packed, path, metadata)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error}") from error


def require_safetensors() -> None:
    """Raises a `UserError` with the command that installs the library, if need be."""
    try:
        import safetensors.numpy  # noqa: F401
    except ImportError as error:
        raise UserError(f"{SUFFIX} files need a library: {INSTALL}") from error


class _Opened:
    """Opens a file; errors within the block name the file in one line."""

    def __init__(self, path: Path | str):
        self.path = path

    def __enter__(self):
        require_safetensors()
        from safetensors import safe_open

        try:
            self.file = safe_open(self.path, framework="np")
            return self.file.__enter__()
        except Exception as error:
            raise self._refusal(error) from error

    def __exit__(self, kind, error, trace):
        self.file.__exit__(kind, error, trace)
        if isinstance(error, Exception) and not isinstance(error, UserError):
            raise self._refusal(error) from error

    def _refusal(self, error: Exception) -> UserError:
        why = one_line(error)
        return UserError(f"{self.path} cannot be read as safetensors: {why}")
