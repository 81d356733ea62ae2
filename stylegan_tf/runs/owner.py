"""One process trains a run: a lock on the run directory, and who holds it."""

import contextlib
import datetime
import errno
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from stylegan_tf import checkpoints, files
from stylegan_tf.errors import UserError

LOCK, OWNER = ".lock", ".owner.json"  # in the run directory


@contextlib.contextmanager
def own_run(run: Path) -> Iterator[None]:
    """Holds a run directory for this process, and removes what killed ones left in it.

    The lock is the system's and ends with its process, however that ends. Some network
    disks have no locks; there the note of a process that is alive on this machine
    stands for it.

    Raises:
        UserError: another process trains the run.
    """
    from filelock import FileLock, Timeout  # here: --help must not wait for it

    lock = FileLock(run / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise _owned(run) from None
    except OSError as error:
        if error.errno not in files.NO_LOCKS:
            raise
        if _is_alive(_owner(run)):
            raise _owned(run) from error
    try:
        _note_owner(run)
        checkpoints.tidy(run)
        yield
    finally:
        note = run / OWNER
        with contextlib.suppress(OSError):
            note.rmdir() if note.is_dir() else note.unlink(missing_ok=True)
        lock.release()


def holder(run: Path) -> str:
    """Returns what the note of the process that trains a run says; "" without one.

    Returns:
        "training", "training on HOST" for another machine, which cannot be asked, or
        "killed" if the process is gone.
    """
    note = _owner(run)
    if not note:
        return ""
    if note.get("host") != socket.gethostname():
        return f"training on {note.get('host', '?')}"
    mine = note.get("pid") == os.getpid()
    return "training" if mine or _is_alive(note) else "killed"


def _owner(run: Path) -> dict:
    """Reads the note of the process that trains a run, or has been killed; or {}."""
    try:
        owner = files.read_json(run / OWNER)
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}


def _note_owner(run: Path) -> None:
    if before := _owner(run):
        print(f"{run}: {_described(before)} is gone; this one takes over.")
    now = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
    note = {"pid": os.getpid(), "host": socket.gethostname(), "since": now}
    with contextlib.suppress(OSError):  # a full disk: the lock is what counts
        files.write_text(run / OWNER, json.dumps(note) + "\n")


def _described(owner: dict) -> str:
    return (
        f"process {owner.get('pid', '?')} on {owner.get('host', '?')} "
        f"(since {owner.get('since', '?')})"
    )


def _owned(run: Path) -> UserError:
    owner = _owner(run)
    who = _described(owner) if owner else "another process"
    return UserError(
        f"{run} is being trained by {who}. Wait for it or stop it; --resume=never "
        f"starts another run beside it."
    )


def _is_alive(owner: dict) -> bool:
    """True if the process of a note is alive on this machine, and not this one."""
    pid, here = owner.get("pid"), owner.get("host") == socket.gethostname()
    if not here or type(pid) is not int or pid <= 0 or pid == os.getpid():
        return False
    if sys.platform == "win32":  # there, signal 0 would end the process
        return True
    try:
        os.kill(pid, 0)
    except (OSError, OverflowError) as error:
        return getattr(error, "errno", None) == errno.EPERM
    return True
