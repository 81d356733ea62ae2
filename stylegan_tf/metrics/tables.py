"""Rows of numbers that grow in files: what a long computation has done so far.

    table = Table(folder)
    table.fill({"features": 50000, "w": 20000}, inputs, compute, batch=64)
    table.read("features", 50000)             float32 [50000, size], read from disk

Row i is a function of i alone, so that a table that was cut short is taken up where it
ends, and one that is asked for more rows grows. A column is a file of float32; beside
it, `rows.json` says how many of its rows count, and is written after them: what a kill
leaves half-written is cut off. Only one batch is in memory at a time.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from stylegan_tf.files import atomic_write, lock_folder

ROWS = "rows.json"
BETWEEN = 16  # batches between two records of how far it is


class Table:
    """Columns of rows in a folder.

    Args:
        folder: created when rows come.
    """

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)

    def rows(self) -> dict[str, int]:
        """Column -> rows that are there."""
        return {name: rows for name, (rows, _) in self._state().items()}

    def _state(self) -> dict[str, tuple[int, int]]:
        """Column -> rows, width."""
        try:
            found = json.loads((self.folder / ROWS).read_text())
            state = {name: (int(n), int(w)) for name, (n, w) in found.items()}
        except (OSError, ValueError, TypeError):
            return {}
        sizes = {
            n: self._path(n).stat().st_size if self._path(n).exists() else 0
            for n in state
        }
        return {n: (r, w) for n, (r, w) in state.items() if sizes[n] >= r * w * 4}

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.f32"

    def read(self, name: str, count: int) -> np.ndarray:
        """The first rows of a column, a file in memory: float32 [count, width].

        Raises:
            RuntimeError: there are fewer; nothing may be computed from a part.
        """
        rows, width = self._state().get(name, (0, 0))
        if rows < count:
            raise RuntimeError(f"{rows} rows of {name} are there; {count} were asked.")
        shape = (rows, width)
        return np.memmap(self._path(name), np.float32, "r", shape=shape)[:count]

    def fill(
        self,
        limits: dict[str, int],
        inputs: Callable[[int], object],
        compute: Callable[[object, set[str]], dict[str, np.ndarray]],
        batch: int,
        tick: Callable[[int], None] = lambda n: None,
    ) -> None:
        """Grows the columns to these numbers of rows; those that are there are kept.

        Args:
            limits: column -> rows.
            inputs: first row of a batch -> what `compute` needs of it. Called one
                batch ahead, in another thread.
            compute: that, and the columns wanted -> [batch, ...] of each of them.
            batch: rows at a time.
            tick: told after every batch how many rows went by.

        Raises:
            ValueError: a value is not finite, or a column has too few rows.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        alone = lock_folder(self.folder, f"fills {self.folder}")
        with alone, contextlib.ExitStack() as stack:
            state = {n: self._state().get(n, (0, 0)) for n in limits}
            done = {name: rows for name, (rows, _) in state.items()}
            widths = {name: width for name, (_, width) in state.items()}
            short = [n for n in limits if done[n] < limits[n]]
            if not short:
                return
            files = {n: stack.enter_context(self._open(n, *state[n])) for n in short}
            first = min(done[n] for n in short)
            starts = range(first, max(limits[n] for n in short), batch)
            stack.callback(lambda: self._record(files, done, widths))
            for i, (start, given) in enumerate(_ahead(inputs, starts)):
                open_ = {
                    n for n in short if start < limits[n] and done[n] < start + batch
                }
                found = compute(given, open_)
                for name in open_:
                    end = min(start + batch, limits[name])
                    rows = _checked(name, found[name], batch)[
                        done[name] - start : end - start
                    ]
                    files[name].write(rows.tobytes())
                    done[name], widths[name] = end, rows.shape[1]
                tick(min(batch, max(limits[n] for n in short) - start))
                if i % BETWEEN == BETWEEN - 1:
                    self._record(files, done, widths)

    def _open(self, name: str, rows: int, width: int):
        path = self._path(name)
        file = open(path, "r+b" if path.exists() else "w+b")  # noqa: SIM115
        file.truncate(rows * width * 4)
        file.seek(0, os.SEEK_END)
        return file

    def _record(
        self, files: dict, done: dict[str, int], widths: dict[str, int]
    ) -> None:
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())
        state = self._state() | {n: (done[n], widths[n]) for n in files}
        with atomic_write(self.folder / ROWS) as draft:
            draft.write_text(json.dumps(state))

    def remove(self) -> None:
        """Deletes the table."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _checked(name: str, values: np.ndarray, batch: int) -> np.ndarray:
    rows = np.ascontiguousarray(values, np.float32)
    if len(rows) != batch:
        raise ValueError(f"{len(rows)} rows of {name} came for a batch of {batch}.")
    if not np.isfinite(rows).all():
        raise ValueError(f"{name} holds a value that is not finite.")
    return rows.reshape(batch, -1)


def _ahead(make: Callable[[int], object], starts: range) -> Iterator[tuple]:
    """(start, make(start)), the next one made while this one is used."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(make, starts[0])
        for i, start in enumerate(starts):
            given = coming.result()
            if i + 1 < len(starts):
                coming = pool.submit(make, starts[i + 1])
            yield start, given
