"""Programs that are timed in turns, and the tables of the benchmarks.

Machines drift; the ratio of two programs that take turns does not. A worker is a script
of its own process that calls `serve`; the benchmark starts several and lets one work at
a time. Standard library only, so that a worker may live without TensorFlow.
"""

import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
LEAVES = 10.0  # seconds that a worker has to leave by itself


def modules_here() -> dict[str, str]:
    """Environment of a process that may import `workers`, as the commands do."""
    path = [str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path))}


class Timed(NamedTuple):
    """Seconds of one turn: by the clock, and of all cores of the process."""

    wall: float
    cpu: float


def timed(work: Callable[[], object]) -> Timed:
    """Runs `work` once."""
    wall, cpu = time.perf_counter(), _cpu()
    work()
    return Timed(time.perf_counter() - wall, _cpu() - cpu)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def serve(work: Callable[[int], object], about: Mapping | None = None) -> None:
    """A worker's main loop: says that it is ready, then works when it is told to.

    Args:
        work: does so many steps, and returns when they are done.
        about: JSON that the benchmark wants to know, such as operations a step.
    """
    print(json.dumps({"ready": dict(about or {})}), flush=True)
    for line in sys.stdin:
        steps = json.loads(line)["steps"]
        print(json.dumps(timed(lambda n=steps: work(n))._asdict()), flush=True)


class Worker:
    """A script that calls `serve`, in a process of its own.

    Args:
        script: file name in this folder, or a path.
        arguments: of its command line.
        environment: variables added to this process' own.
        until: of `time.monotonic`; the process is ended then. None = never.

    Attributes:
        about: what it said when it was ready.

    Raises:
        RuntimeError: it ended before it was ready; its last lines are in the message.
    """

    def __init__(
        self,
        script: str,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        until: float | None = None,
    ):
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=modules_here() | dict(environment or {}),
        )
        self.name, self._timer = script, None
        if until is not None:
            left = max(until - time.monotonic(), 0)
            self._timer = threading.Timer(left, self.process.kill)
            self._timer.daemon = True
            self._timer.start()
        self.about = self._hear()["ready"]

    def run(self, steps: int) -> Timed:
        """So many steps, now.

        Raises:
            RuntimeError: the process has ended.
        """
        with contextlib.suppress(OSError):  # what it said last is in the error, then
            self.process.stdin.write(json.dumps({"steps": steps}) + "\n")
            self.process.stdin.flush()
        return Timed(**self._hear())

    def _hear(self) -> dict:
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        self._log.seek(0)
        raise RuntimeError(f"{self.name} ended: {self._log.read()[-2000:]}")

    def close(self) -> None:
        """Ends the process.

        A worker that is told of no more turns has nothing left to do. TensorFlow may
        still take minutes to free the graphs of a step: it is not waited for.
        """
        if self._timer:
            self._timer.cancel()
        with contextlib.suppress(OSError):  # it has ended, and reads no more
            self.process.stdin.close()
        try:
            self.process.wait(timeout=LEAVES)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def in_turns(
    turns: Mapping[str, Callable[[], Timed]], rounds: int = 5
) -> dict[str, Timed]:
    """Medians of programs that take turns, after a first round that does not count.

    Args:
        turns: name -> one turn, such as `lambda: worker.run(10)`.
        rounds: turns of each.
    """
    seen = {name: [] for name in turns}
    for i in range(rounds + 1):
        for name, turn in turns.items():
            seconds = turn()
            if i:
                seen[name].append(seconds)
    return {
        name: Timed(*(statistics.median(column) for column in zip(*all_, strict=True)))
        for name, all_ in seen.items()
    }


def table(columns: Sequence[str], rows: Sequence[Sequence]) -> str:
    """A table in Markdown; numbers with three digits."""
    return "\n".join(map(_line, [columns, ["---"] * len(columns), *rows]))


def _line(cells: Iterable) -> str:
    return "| " + " | ".join(map(_text, cells)) + " |"


def _text(value) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


class Results:
    """Rows that are printed and written as they are measured: none is lost.

    Args:
        columns: head of the table.
        path: file for the rows as JSON, if any.
    """

    def __init__(self, columns: Sequence[str], path: str | None = None):
        self.rows: list[Mapping] = []
        self._path = path
        print(table(columns, []), flush=True)

    def add(self, cells: Iterable, row: Mapping | None = None) -> None:
        """Prints a line of the table; `row` is the same for the file."""
        print(_line(cells), flush=True)
        if row:
            self.rows.append(row)
            write_json(self._path, self.rows)


def write_json(path: str | None, rows: Sequence[Mapping]) -> None:
    """The rows as JSON, where a path is given; the file is replaced as a whole."""
    if path:
        text, new = json.dumps(list(rows), indent=1) + "\n", Path(f"{path}.new")
        new.write_text(text, encoding="utf-8")
        new.replace(path)
