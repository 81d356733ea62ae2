"""Signals that ask a process to end: what each does, and the exit code it leads to.

TERM comes from batch systems, HUP from a terminal that closes, INT and QUIT from the
keyboard. Each ends the process with 128 + its number, as a shell would say.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator

# A platform may lack some: Windows has no HUP and no QUIT.
STOPPING = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")
    if hasattr(signal, name)
)
# Who started the process may have it ignore these: `nohup`, or a shell's `&`.
_MAY_BE_IGNORED = {"SIGHUP", "SIGQUIT"}
# Seconds: a batch system signals all processes of a job, and then a parent passes its
# own on. Both are one notice; only a later signal is a second one.
ONE_NOTICE = 1.0


class Stopped(KeyboardInterrupt):
    """A signal asked the process to end.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = number


def stop_at_once(number: int, frame: object) -> None:
    """Handler that raises `Stopped`, so that temporary files and locks go."""
    raise Stopped(number)


def exit_code(name: str | None) -> int:
    """Returns 128 + the number of a signal, of SIGTERM if the name is none's."""
    return 128 + getattr(signal, name or "", signal.SIGTERM)


@contextlib.contextmanager
def handled(handler: Callable[[int, object], None]) -> Iterator[None]:
    """Gives the signals of `STOPPING` a handler, and restores the old ones.

    Signals less than `ONE_NOTICE` seconds after one that was handled are dropped.
    Without effect in a thread that cannot have signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old = {s: signal.getsignal(s) for s in STOPPING}
    ours = [
        s
        for s in STOPPING
        if not (old[s] == signal.SIG_IGN and s.name in _MAY_BE_IGNORED)
    ]
    last = float("-inf")

    def handle(number: int, frame: object) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= ONE_NOTICE:
            last = now
            handler(number, frame)

    for s in ours:
        signal.signal(s, handle)
    try:
        yield
    finally:
        for s in ours:
            signal.signal(s, old[s] or signal.SIG_DFL)
