"""The clock of quality.py: CPU minutes of a training, and the states it kept.

A training may share its machine with others, be stopped and taken up again; what it
used of the processor is the same all the same. Standard library only.
"""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "stamps.jsonl"  # in the folder of a training: its kept states
MINUTES = (1, 2, 3, 5, 7.5, 10, 15, 20, 30, 40, 50, 60, 90, 120, 180, 240)


def stamps(minutes: float) -> list[float]:
    """The minutes at which a training of so many keeps its state, the last included."""
    return [m for m in MINUTES if m < minutes] + [float(minutes)]


def cpu_seconds(pid: int | None = None) -> float:
    """User and system time of a process and all that it started, the ended included.

    Args:
        pid: of the process; None = this one.

    Raises:
        OSError: no such process.
    """
    if not Path("/proc/self/stat").exists():
        sys.exit("error: CPU time of other processes is read from /proc: use Linux.")
    processes = _processes()
    wanted, total = [pid or os.getpid()], 0
    if wanted[0] not in processes:
        raise ProcessLookupError(f"there is no process {wanted[0]}")
    for one in wanted:
        total += processes[one][1]
        wanted += [p for p, (parent, _) in processes.items() if parent == one]
    return total / os.sysconf("SC_CLK_TCK")


def _processes() -> dict[int, tuple[int, int]]:
    """Process -> its parent, and ticks of itself and of its ended children."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            text = (entry / "stat").read_text(encoding="utf-8")
        except OSError:
            continue  # it ended meanwhile
        fields = text.rpartition(")")[2].split()  # from the third, the state, on
        found[int(entry.name)] = int(fields[1]), sum(map(int, fields[11:15]))
    return found


@dataclass(frozen=True)
class Stamp:
    """A state that was kept.

    Attributes:
        minute: the one that it stands for.
        cpu_minutes: what had been used when it was saved; for programs that save by
            themselves, of their newest state, a little less than `minute`.
        images: that the program had seen.
        snapshot: where it is, under the training's folder.
    """

    minute: float
    cpu_minutes: float
    images: int
    snapshot: str


class Stamps:
    """The kept states of one training, and which comes next.

    Args:
        folder: of the training; made if it is not there.
        minutes: length of the training.
    """

    def __init__(self, folder: Path | str, minutes: float):
        self.path = Path(folder) / FILE
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.kept = read(folder)
        done = max((s.minute for s in self.kept), default=0.0)
        self._open = [m for m in stamps(minutes) if m > done]

    @property
    def finished(self) -> bool:
        """True once the last state has been kept."""
        return not self._open

    def due(self, seconds: float) -> float | None:
        """The minute that has come and has no state yet; of several, the last."""
        passed = [m for m in self._open if m * 60 <= seconds]
        return passed[-1] if passed else None

    def keep(self, stamp: Stamp) -> None:
        """Writes a state down; earlier minutes are no longer due."""
        with open(self.path, "a", encoding="utf-8") as f:
            f.write(json.dumps(asdict(stamp)) + "\n")
        self.kept.append(stamp)
        self._open = [m for m in self._open if m > stamp.minute]


def read(folder: Path | str) -> list[Stamp]:
    """The kept states of a training, in the order of time."""
    path = Path(folder) / FILE
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [Stamp(**json.loads(line)) for line in text.splitlines()]


# ---------------------------------------------------------------------------
# What the curves say. A curve: minute -> distance.


def lower_after(ours: dict, theirs: dict, minute: float = 5) -> tuple[int, int]:
    """At how many of the minutes after this one ours is the lower, and of how many.

    Only minutes that both have count.
    """
    both = [m for m in sorted(ours) if m in theirs and m > minute]
    return sum(ours[m] < theirs[m] for m in both), len(both)


def reached(ours: dict, theirs: dict) -> tuple[float, float] | None:
    """Finds when ours is at the last value of theirs, and the share of their time.

    Nothing is interpolated: it is the first minute that was measured with a distance
    not above theirs at its end. None if there is no such minute, or no curve.
    """
    if not ours or not theirs:
        return None
    end = max(theirs)
    there: Sequence[float] = [m for m in sorted(ours) if ours[m] <= theirs[end]]
    return (there[0], there[0] / end) if there else None
