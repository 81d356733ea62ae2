"""Columns of numbers in files, which a long computation fills row by row.

    table = Table(folder)
    table.fill({"features": 50000, "w": 20000}, inputs, compute, batch=64)
    table.read("features", 50000)             float32 [50000, size], read from disk

Row i is a function of i alone, so an interrupted table continues where it ends, and a
table can grow later. A column is a file of float32. `rows.json` holds the number of
valid rows and is written after them, so rows half-written by a kill are cut off. Only
one batch is in memory at a time.
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
BETWEEN = 16  # batches between two writes of `rows.json`


class Table:
    """Columns of rows in a folder.

    Args:
        folder: created when rows come.
    """

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)

    def rows(self) -> dict[str, int]:
        """Returns column -> number of valid rows."""
        return {name: rows for name, (rows, _) in self._state().items()}

    def _state(self) -> dict[str, tuple[int, int]]:
        """Returns column -> (rows, width)."""
        try:
            saved = json.loads((self.folder / ROWS).read_text(encoding="utf-8"))
            state = {name: (int(n), int(w)) for name, (n, w) in saved.items()}
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
        """Returns the first rows of a column, memory-mapped float32 [count, width].

        Raises:
            RuntimeError: the column has fewer rows.
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
        """Grows columns to these numbers of rows; existing rows stay.

        Args:
            limits: column -> rows.
            inputs: maps the first row of a batch to the input of `compute`. It is
                called one batch ahead, in another thread.
            compute: maps an input and a set of columns to {column: [batch, ...]}.
            batch: rows per batch.
            tick: called after every batch with its number of rows.

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
            for i, (start, batch_inputs) in enumerate(_prefetched(inputs, starts)):
                columns = {
                    n for n in short if start < limits[n] and done[n] < start + batch
                }
                values = compute(batch_inputs, columns)
                for name in columns:
                    end = min(start + batch, limits[name])
                    rows = _checked(name, values[name], batch)
                    rows = rows[done[name] - start : end - start]
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
            draft.write_text(json.dumps(state), encoding="utf-8")

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


def _prefetched(inputs: Callable[[int], object], starts: range) -> Iterator[tuple]:
    """Yields (start, inputs(start)); a thread prepares the next one meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(inputs, starts[0])
        for i, start in enumerate(starts):
            batch_inputs = future.result()
            if i + 1 < len(starts):
                future = pool.submit(inputs, starts[i + 1])
            yield start, batch_inputs
