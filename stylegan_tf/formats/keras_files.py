"""`.keras` files of unknown origin, looked through before Keras opens them.

Such a file is a zip of two JSON texts and an HDF5 file of weights. HDF5 is a language
of its own: its arrays may claim any size, be computed from other files, or be links to
them. Here every array is counted first, and nothing but plain arrays is let through.
"""

import io
from pathlib import Path

import h5py

from stylegan_tf import files
from stylegan_tf.errors import UserError

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MEMBERS = {"metadata.json", CONFIG, WEIGHTS}
MOST_OVERHEAD = 32 << 20  # bytes of an HDF5 file beside its arrays
MOST_GROUPS, MOST_DEPTH = 20_000, 32
BYTES = 2  # per number, at least
SLACK, FEW = 0.9, 10_000  # the expected number of weights is not exact


def read_keras_config(path: Path | str) -> dict:
    """Reads what a `.keras` file says about the object in it.

    Returns:
        Its `class_name`, the arguments in `config`, and more.

    Raises:
        OSError: the file cannot be read, or is no zip file.
        ValueError: it holds something else.
    """
    with files.open_regular(path) as file, files.open_archive(file) as archive:
        others = sorted(set(archive.namelist()) - MEMBERS)
        if others:
            raise ValueError(f"it holds {others[0][:80]!r}, which no generator has")
        try:
            text = files.read_member(archive, CONFIG, files.MOST_SETTINGS)
        except KeyError as error:
            raise ValueError(f"it holds no {CONFIG}") from error
    content = files.parse_json(text)
    if not isinstance(content, dict) or not isinstance(content.get("config"), dict):
        raise ValueError("it does not say what it is")
    return content


def check_keras_weights(path: Path | str, expected: int) -> None:
    """Checks that a `.keras` file holds about as many weights as its config asks for.

    So a file takes no more memory than it has bytes, whatever its numbers claim.

    Args:
        path: the file.
        expected: number of weights, of float32.

    Raises:
        OSError: the file is damaged.
        UserError: the weights are others, or no plain arrays.
    """
    most = 8 * expected + MOST_OVERHEAD
    with files.open_regular(path) as file, files.open_archive(file) as archive:
        if WEIGHTS not in archive.namelist():
            raise UserError(f"it holds no {WEIGHTS}.")
        content = files.read_member(archive, WEIGHTS, most)
    try:
        with h5py.File(io.BytesIO(content), "r") as store:
            found = _count_values(store)
    except UserError:
        raise
    except Exception as error:  # whatever the library meets in damaged bytes
        raise UserError(f"its weights are damaged: {error}.") from error
    if found * BYTES > len(content):
        raise UserError("its arrays claim more numbers than it has bytes.")
    if not SLACK * expected - FEW <= found <= expected / SLACK + FEW:
        raise UserError(
            f"its settings ask for about {expected:,} weights, and it holds {found:,}."
        )


def _count_values(store: h5py.Group) -> int:
    """Returns the numbers in all arrays of a group and of the groups inside it."""
    total, seen, left = 0, 0, [(store, 0)]
    while left:
        group, depth = left.pop()
        for name in group:
            seen += 1
            if seen > MOST_GROUPS or depth > MOST_DEPTH:
                raise UserError("its weights are nested without end.")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise UserError(f"its array {name!r} is a link to something else.")
            item = group[name]
            if isinstance(item, h5py.Group):
                left.append((item, depth + 1))
            else:
                total += _values(name, item)
    return total


def _values(name: str, item: h5py.Dataset) -> int:
    plain = isinstance(item, h5py.Dataset) and item.dtype.kind in "fiub"
    if not plain or item.is_virtual or item.external or item.chunks:
        raise UserError(f"its {name!r} is no plain array of numbers.")
    return item.size
