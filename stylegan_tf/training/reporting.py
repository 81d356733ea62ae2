"""Calls of a trainer's reports, which a full disk does not end."""

from collections.abc import Sequence

import tensorflow as tf

from stylegan_tf import files


class Reporting:
    """Calls one method of all reports after another.

    A report that cannot write is told once, and asked again at its next turn. One that
    could not even start is started before its next turn, and passed over until then.

    Attributes:
        waiting: warnings that come up before all reports have been asked to start.
    """

    def __init__(self):
        self.waiting: list[str] = []
        self._started: set[int] = set()  # ids of reports
        self._failing: dict[int, str] = {}  # id -> the method that failed

    def start(self, reports: Sequence[object], trainer: object) -> None:
        """Starts all reports, then gives them the warnings that have come up before.

        Args:
            reports: objects with the methods in `trainer.py`.
            trainer: the first argument of each.
        """
        self._started = set()
        for report in reports:
            self._try(reports, report, "start", trainer)
        self._tell(reports, trainer)

    def call(self, reports: Sequence[object], method: str, *args) -> None:
        """Calls a method of all reports that have started, or start now.

        Args:
            reports: as for `start`.
            method: one of those in `trainer.py`.
            *args: the trainer, and the method's further arguments.

        Raises:
            OSError: by a report, for another reason than the disk.
        """
        for report in reports:
            known = id(report) in self._started
            if not known and method in ("record", "tick", "end"):
                known = self._try(reports, report, "start", args[0])
            if known:
                self._try(reports, report, method, *args)
        if method != "warn":
            self._tell(reports, args[0])

    def _tell(self, reports, trainer) -> None:
        while self.waiting:
            self.call(reports, "warn", trainer, self.waiting.pop(0))

    def _try(self, reports, report, method: str, *args) -> bool:
        try:
            getattr(report, method)(*args)
        except (OSError, tf.errors.OpError) as error:
            why = files.disk_trouble(error)
            if why is None:
                raise
            if id(report) not in self._failing:
                self._failing[id(report)] = method
                name = type(report).__name__
                text = f"{name} could not be written: {why}. Tried again later."
                self.waiting.append(text)
                if method != "start":
                    self._tell(reports, args[0])
            return False
        if method == "start":
            self._started.add(id(report))
        if self._failing.get(id(report)) == method:
            del self._failing[id(report)]
        return True
