"""The folder that a conversion makes: filled behind the scenes, shown when it is whole.

A new folder NAME is made as .NAME.partial beside its place and renamed. An empty folder
that is there already may be a mount point or the current folder, which nothing can
replace: it is filled from .partial inside it, whose content moves up in the end. If the
program is killed while it moves, the next one moves the rest.
"""

import contextlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from stylegan_tf.errors import UserError
from stylegan_tf.files import LOCK, lock_folder, parse_json, read_regular_text

INSIDE = ".partial"
_PLAN = "plan.json"
_MOVING = "moving"  # a mark: all is there, and moves up
_LONGEST = 200  # bytes of a name that still has room for more
# What systems leave in a folder that is empty otherwise.
_NOTHING = {INSIDE, "lost+found", ".DS_Store", "desktop.ini", "Thumbs.db"}


def is_free(dest: Path) -> bool:
    """Returns True if a data set may be made at `dest`: it is new, empty or begun.

    Raises:
        UserError: it cannot be looked at, or is a link that leads nowhere.
    """
    if dest.is_symlink() and not dest.exists():
        raise UserError(
            f"{dest} is a link to what is not there; choose another folder."
        )
    if not dest.exists() or (dest / INSIDE / _MOVING).exists():
        return True
    try:
        return not {entry.name for entry in dest.iterdir()} - _NOTHING
    except NotADirectoryError:
        return False
    except OSError as e:
        raise UserError(f"cannot look into {dest}: {e.strerror}.") from e


@contextlib.contextmanager
def working_folder(dest: Path, plan: str) -> Iterator[Path]:
    """Locks the folder of a conversion, with what an earlier attempt has made.

    Args:
        dest: where the data set will be.
        plan: of the conversion; what another plan has left is deleted.

    Raises:
        UserError: it cannot be made.
    """
    place = dest.resolve()
    if dest.is_dir() or len(os.fsencode(place.name)) > _LONGEST:
        work = place / INSIDE
    else:
        work = place.parent / f".{place.name}.partial"
    try:
        work.parent.mkdir(parents=True, exist_ok=True)
        work.mkdir(exist_ok=True)
    except OSError as e:
        raise UserError(
            f"cannot write to {dest}: {e.strerror}: {e.filename}; choose another "
            f"folder."
        ) from e
    with lock_folder(work, f"converts to {dest}"):
        if (work / _MOVING).exists():
            _move_up(work)
            work.mkdir()
        elif _plan_of(work) != plan:
            for old in work.iterdir():
                if old.name != LOCK:
                    shutil.rmtree(old) if old.is_dir() else old.unlink()
        (work / _PLAN).write_text(json.dumps(plan), encoding="utf-8")
        yield work


def _plan_of(work: Path) -> object:
    try:
        return parse_json(read_regular_text(work / _PLAN))
    except (OSError, ValueError):
        return None


def discard(folder: Path) -> None:
    """Deletes a folder, which leaves its place in one step."""
    away = folder.with_name(f"{folder.name}.{os.getpid()}.{threading.get_ident()}")
    os.replace(folder, away)
    shutil.rmtree(away)


def show(work: Path, dest: Path) -> None:
    """Moves a finished working folder into place."""
    (work / _PLAN).unlink()
    if work.name == INSIDE:
        (work / _MOVING).touch()
        _move_up(work)
        return
    os.replace(work, dest)
    # Unlock last: a waiting process must never see an unlocked, unfinished folder.
    (dest / LOCK).unlink()


def _move_up(work: Path) -> None:
    """Moves the content of a folder one up, the manifest last, and deletes it."""
    content = [path for path in work.iterdir() if path.name not in (LOCK, _MOVING)]
    for path in sorted(content, key=lambda path: (path.is_file(), path.name)):
        os.replace(path, work.parent / path.name)
    (work / _MOVING).unlink()
    (work / LOCK).unlink(missing_ok=True)
    work.rmdir()
