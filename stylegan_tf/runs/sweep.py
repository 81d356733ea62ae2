"""Runs one after the other, one for each combination of values. No TensorFlow.

Each run is a process of its own, `train` with its flags. What is done is kept in
`sweep.json`, so that the same command goes on after a kill: finished runs are left
alone, the one that was stopped continues.
"""

import contextlib
import itertools
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stylegan_tf import config as configs
from stylegan_tf import files
from stylegan_tf.config import TrainConfig, presets
from stylegan_tf.errors import UserError
from stylegan_tf.runs import rundir

FILE, LOGS = "sweep.json", "logs"
CHOSEN = ("out", "resume", "seed")  # flags of train that the sweep sets
MOST_RUNS = 1000
PAUSE = 0.2  # seconds between looks at processes that run side by side
CANNOT = 2  # exit code of what the user can mend


@dataclass(frozen=True)
class Point:
    """A combination of values.

    Attributes:
        values: setting -> value, as text; "preset" and "seed" among them.
        command: of its run, without the program.
    """

    values: dict[str, str]
    command: tuple[str, ...]

    @property
    def name(self) -> str:
        """Values as one word, such as `loss.r1_gamma=4 seed=1`."""
        return " ".join(f"{k}={v}" for k, v in self.values.items())


def split_values(text: str) -> tuple[str, list[str]]:
    """Splits `NAME=a,b,c`; commas inside of brackets or quotes do not count.

    Raises:
        UserError: it has no name or no value.
    """
    name, equals, rest = text.partition("=")
    values, depth, quoted, start = [], 0, False, 0
    for i, letter in enumerate(rest):
        quoted ^= letter == '"'
        depth += (letter in "[{(") - (letter in "]})") if not quoted else 0
        if letter == "," and not depth and not quoted:
            values.append(rest[start:i])
            start = i + 1
    values = [value.strip() for value in [*values, rest[start:]]]
    if not name or not equals or not all(values):
        raise UserError(f"--set={text} is not NAME=VALUE,VALUE,...")
    return name, values


def sweep_points(
    sets: Sequence[str], seeds: int, flags: Sequence[str], out: str
) -> list[Point]:
    """Returns every combination of values and seeds, seeds side by side.

    Args:
        sets: texts `NAME=VALUE,VALUE`; NAME is a setting or "preset".
        seeds: number of seeds, from 0.
        flags: of train, for all runs.
        out: folder of the runs.

    Raises:
        UserError: a setting or a value that cannot be, or flags that the sweep sets.
    """
    names = {flag: flag.lstrip("-").partition("=")[0] for flag in flags}
    wrong = [f for f, name in names.items() if f[:1] != "-" or name in CHOSEN]
    if wrong:
        raise UserError(
            f"{wrong[0]} cannot be given behind --: there stand flags of train such as "
            f"--kimg=50; the sweep has --out and --seeds itself."
        )
    table = dict(split_values(text) for text in sets)
    if "seed" in table:
        raise UserError("seeds are given as --seeds=3, not as --set=seed=0,1,2.")
    for name, values in table.items():
        for value in values:
            if name == "preset":
                presets.find_preset(value)
            else:
                configs.check_changes({name: value})
    if len(set(table)) < len(sets):
        raise UserError("a setting is given twice; write --set=NAME=a,b once.")
    rows = [*itertools.product(*table.values(), map(str, range(max(seeds, 1))))]
    if len(rows) > MOST_RUNS:
        raise UserError(f"these are {len(rows)} runs; at most {MOST_RUNS} at once.")
    return [_point([*table, "seed"], row, flags, out) for row in rows]


def _point(
    names: Sequence[str], row: Sequence[str], flags: Sequence[str], out: str
) -> Point:
    values = dict(zip(names, row, strict=True))
    own = {"preset": "--preset=", "seed": "--seed="}
    given = [f"{own.get(k, f'--set={k}=')}{v}" for k, v in values.items()]
    return Point(values, (*flags, *given, f"--out={out}"))


def find_point(point: Point, out: Path) -> rundir.Run | None:
    """Returns the newest run of a point's values in a folder, if there is one."""
    for run in reversed(rundir.list_runs(out)):
        if _has_values(run.config, point.values):
            return run
    return None


def _has_values(config: TrainConfig, values: Mapping[str, str]) -> bool:
    with contextlib.suppress(UserError):
        return configs.update(config, dict(values)) == config
    return False


class Sweep:
    """Trains the runs of some points.

    Args:
        points: what to train.
        out: folder of the runs.
        program: command of train, without flags.
        jobs: runs side by side.
        say: prints a line.
    """

    def __init__(
        self,
        points: Sequence[Point],
        out: Path,
        program: Sequence[str],
        jobs: int = 1,
        say: Callable[[str], None] = print,
    ):
        self.points, self.out, self.program = points, out, [*program]
        self.jobs, self.say = jobs, say
        self.running: dict[subprocess.Popen, tuple[int, Point]] = {}
        self.failed: list[str] = []

    def run(self) -> list[Path]:
        """Trains what is not finished yet.

        Returns:
            The run directories, in the order of the points; failed ones are left out.

        Raises:
            UserError: train could not begin with the flags.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / LOGS).mkdir(exist_ok=True)
        try:
            for number, point in enumerate(self.points, 1):
                if self._is_done(point):
                    self._tell(number, point, "finished before")
                    continue
                self._wait(until=self.jobs - 1)
                self._start(number, point)
            self._wait(until=0)
        finally:
            self._end_all()
        found = [find_point(point, self.out) for point in self.points]
        return [run.path for run in found if run]

    def _is_done(self, point: Point) -> bool:
        known = files.read_json_object(self.out / FILE).get(point.name)
        run = find_point(point, self.out)
        return known == list(point.command) and run is not None and run.finished

    def _start(self, number: int, point: Point) -> None:
        command = [*self.program, *point.command]
        self._tell(number, point, shlex.join(command))
        if self.jobs == 1:
            # Without a terminal to ask at: a sweep goes on by itself.
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
            self.running[process] = number, point
            return
        with open(self._log(number), "w", encoding="utf-8") as log:
            where = {"stdin": subprocess.DEVNULL, "stdout": log}
            process = subprocess.Popen(command, stderr=subprocess.STDOUT, **where)
        self.running[process] = number, point

    def _tell(self, number: int, point: Point, what: str) -> None:
        self.say(f"{number}/{len(self.points)} {point.name}: {what}")

    def _log(self, number: int) -> Path:
        return self.out / LOGS / f"{number:03d}.txt"

    def _wait(self, until: int) -> None:
        """Waits until so many processes are left."""
        while len(self.running) > until:
            ended = [process for process in self.running if process.poll() is not None]
            for process in ended:
                self._ended(process.returncode, *self.running.pop(process))
            if not ended:
                time.sleep(PAUSE)

    def _ended(self, code: int, number: int, point: Point) -> None:
        if code == 0:
            table = files.read_json_object(self.out / FILE)
            table[point.name] = list(point.command)
            files.write_text(self.out / FILE, json.dumps(table, indent=1) + "\n")
            if self.jobs > 1:
                self._tell(number, point, "finished")
            return
        where = f"; see {self._log(number)}" if self.jobs > 1 else ""
        if code == CANNOT:
            raise UserError(f"the run of {point.name} could not begin{where}.")
        if code < 0 or code > 128:
            raise KeyboardInterrupt(f"the run of {point.name} was stopped")
        self.failed.append(point.name)
        self.say(f"{point.name} ended with exit code {code}{where}")

    def _end_all(self) -> None:
        """Asks the processes that are left to save and end, and waits for them."""
        for process in self.running:
            process.terminate()
        for process in self.running:
            process.wait()
        self.running.clear()


def train_program() -> list[str]:
    """Returns the command of train in this environment."""
    return [sys.executable, "-m", "stylegan_tf_launch.train"]
