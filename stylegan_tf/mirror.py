"""A folder that is worked on here and kept equal to one at an address, such as gs://.

    mirror = Mirror("gs://bucket/runs/00003-photos-demo", folder)
    mirror.pull()        # before the work: what another machine has written
    mirror.push()        # now and then: uploads what is new, in a thread of its own
    mirror.finish()      # at the end: waits, and tries again where the network failed

Files go up in an order that leaves a folder at the address that can be used at any
moment: the large ones, then the JSON and lists that name them, then what has been
deleted here is deleted there. A record beside the folder holds what was equal last, so
only new files travel, and another machine that writes to the same address is noticed.
"""

import contextlib
import copy
import hashlib
import itertools
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from stylegan_tf.errors import UserError
from stylegan_tf.files import LOCK, link_or_copy, write_text
from stylegan_tf.progress import print_above_bars
from stylegan_tf.remote import Address, Entry, cache_folder

TRIES = 4  # of the last upload
LONGEST = 600.0  # seconds that the last upload may take
_SMALL = 16 << 20  # bytes of a file that is copied before it is uploaded
_NOT_OURS = (".*", "*/.*", LOCK, f"*/{LOCK}", "*.lock", "*.tmp*", "*_temp/*")
_NOTHING = {"files": {}, "pending": [], "pulling": False}  # in the record


@dataclass(frozen=True)
class _Upload:
    """Files to upload, and to delete, to make the address equal to the folder."""

    files: dict[str, Path]  # name -> a copy that does not change
    stats: dict[str, list[int]]  # name -> size and time of the original
    gone: list[str]


class Mirror:
    """A folder and its likeness at an address.

    Args:
        url: the address.
        folder: the folder on this machine.
        shared: False where files of the same names at the address are overwritten
            without a question; True if they are another machine's work.
        say: called with a line when something goes wrong.

    Attributes:
        failed: the reason why the latest upload failed; None if it did not.
    """

    def __init__(
        self,
        url: str,
        folder: Path,
        shared: bool = True,
        say: Callable[[str], None] = print_above_bars,
    ):
        self.url, self.folder = url.rstrip("/"), folder
        self.shared, self.say = shared, say
        self.failed: str | None = None
        self._record_file = folder.parent / f".{folder.name}.mirror.json"
        self._staged = folder.parent / f".{folder.name}.uploading"
        self._seen: set[str] = set()  # files that were here in this process
        self._thread: threading.Thread | None = None

    # -----------------------------------------------------------------------
    # Down

    def pull(self, only: Sequence[str] = ("*",)) -> bool:
        """Makes the folder equal to the address, if that was changed from elsewhere.

        Changes in the folder that the address never got are not lost: the folder is
        then put aside under another name, which is said.

        Args:
            only: patterns of the files to copy.

        Returns:
            True if the folder exists now.

        Raises:
            UserError: the address cannot be read.
        """
        address = Address(self.url)
        there = {n: e for n, e in address.entries().items() if _matches(n, only) and n}
        record = self._record()
        known = {n: r["mark"] for n, r in record["files"].items() if _matches(n, only)}
        marks = {name: entry.mark for name, entry in there.items()}
        changed = {n for n in marks | known if marks.get(n) != known.get(n)}
        if there and changed - set(record["pending"]):
            if self._has_changes(record):
                record = self._put_aside()
            for name in changed - marks.keys():
                (self.folder / name).unlink(missing_ok=True)
                del record["files"][name]
            self._copy_down(address, there, record)
        elif there.keys() & known.keys() - dict(self._files()).keys():
            self._copy_down(address, {n: there[n] for n in there if n in known}, record)
        self._seen |= dict(self._files()).keys()
        return self.folder.is_dir()

    def _has_changes(self, record: dict) -> bool:
        """True if files here are not those that were equal to the address's last."""
        here = {name: _stat(path) for name, path in self._files()}
        equal = {name: r["stat"] for name, r in record["files"].items()}
        return here != equal and bool(here) and not record["pulling"]

    def _put_aside(self) -> dict:
        names = (f".{self.folder.name}.{number}" for number in itertools.count())
        places = (self.folder.with_name(name) for name in names)
        aside = next(place for place in places if not place.exists())
        self.folder.rename(aside)
        self.say(
            f"{self.url} was changed from another machine; it is used, and what this "
            f"machine had is kept in {aside}"
        )
        return copy.deepcopy(_NOTHING)

    def _copy_down(
        self, address: Address, entries: dict[str, Entry], record: dict
    ) -> None:
        """Copies the files that are not here as they are at the address."""
        draft = self.folder.parent / f".{self.folder.name}.pulling"
        here, files = dict(self._files()), record["files"]
        known = {n: files[n]["mark"] for n in files.keys() & here.keys()}
        new = [name for name, entry in entries.items() if known.get(name) != entry.mark]
        shutil.rmtree(draft, ignore_errors=True)
        for name in new:
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
        address.download([(entries[name], draft / name) for name in new])
        # A pull that is stopped from here on goes on: nothing is put aside.
        self._write_record(record | {"pulling": True})
        for name in sorted(new, key=_order):
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (draft / name).replace(self.folder / name)
            stat = _stat(self.folder / name)
            files[name] = {"mark": entries[name].mark, "stat": stat}
        self._write_record(record | {"pulling": False, "pending": []})
        shutil.rmtree(draft, ignore_errors=True)

    # -----------------------------------------------------------------------
    # Up

    def push(self) -> None:
        """Begins to upload what is new, unless the last upload is still under way."""
        if self._thread and self._thread.is_alive():
            return
        upload = self._stage()
        self._thread = None
        if upload.files or upload.gone:
            self._thread = threading.Thread(
                target=self._try, args=(upload,), daemon=True
            )
            self._thread.start()

    def finish(self, pause: Callable[[float], None] = time.sleep) -> None:
        """Uploads what is left; returns when the address equals the folder.

        Args:
            pause: waits so many seconds before another try.

        Raises:
            UserError: it could not be uploaded; all of it is in the folder.
        """
        end, failures = time.monotonic() + LONGEST, 0
        self.push()
        while self._thread:  # something was left
            self._thread.join(max(end - time.monotonic(), 0.0))
            if self._thread.is_alive():
                raise self._not_uploaded(f"it takes more than {LONGEST:.0f} s")
            if self.failed:
                failures += 1
                if failures == TRIES:
                    raise self._not_uploaded(self.failed)
                pause(2.0**failures)
            self.push()

    def _not_uploaded(self, reason: str) -> UserError:
        return UserError(
            f"{self.url} does not have everything: {reason}. Nothing is lost: it is "
            f"in {self.folder}, and the same command uploads the rest."
        )

    def _try(self, upload: _Upload) -> None:
        try:
            self._upload(upload)
            self.failed = None
        except (UserError, OSError) as error:
            self.failed = str(error)
            self.say(f"not uploaded, tried again later: {error}")
        shutil.rmtree(self._staged, ignore_errors=True)

    def _upload(self, upload: _Upload) -> None:
        address, record = Address(self.url), self._record()
        files = record["files"]
        self._check_owner(address, upload, record)
        self._write_record(record | {"pending": [*upload.files, *upload.gone]})
        for name in sorted(upload.files, key=_order):
            address.upload(upload.files[name], name)
        for name in upload.gone:
            address.remove(name)
            del files[name]
        there = address.entries()
        for name in upload.files:
            files[name] = {"mark": there[name].mark, "stat": upload.stats[name]}
        self._write_record(record | {"pending": []})

    def _check_owner(self, address: Address, upload: _Upload, record: dict) -> None:
        """Raises `UserError` if another machine has written what would be replaced."""
        there, files = address.entries(), record["files"]
        for name in (*upload.files, *upload.gone):
            if name not in there or name in record["pending"] or not self.shared:
                continue
            if there[name].mark != files.get(name, {}).get("mark"):
                raise UserError(
                    f"{self.url}/{name} was changed from another machine; two of them "
                    f"cannot write to one address"
                )

    def _stage(self) -> _Upload:
        """Sets the new files aside, so that they stay as they are while they are read.

        Large ones get a second name only: they are replaced, never changed.
        """
        files, here = self._record()["files"], dict(self._files())
        stats = {name: _stat(path) for name, path in here.items()}
        new = [n for n in stats if files.get(n, {}).get("stat") != stats[n]]
        shutil.rmtree(self._staged, ignore_errors=True)
        staged = {name: self._staged / str(i) for i, name in enumerate(new)}
        for name, path in staged.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            if stats[name][0] < _SMALL:
                shutil.copyfile(here[name], path)
            else:
                link_or_copy(here[name], path)
        gone = (self._seen & files.keys()) - here.keys()
        self._seen |= here.keys()
        return _Upload(staged, stats, sorted(gone))

    # -----------------------------------------------------------------------

    def _files(self) -> Iterator[tuple[str, Path]]:
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            if not _matches(name, _NOT_OURS) and path.is_file():
                yield name, path

    def _record(self) -> dict:
        """Reads what was equal last: name -> mark at the address, size and time here.

        "pending" names files of an upload that did not end, so that what the address
        has of them may be new; "pulling" is True after a pull that did not end.
        """
        found: dict[str, Any] = copy.deepcopy(_NOTHING)
        if self.folder.is_dir():
            with contextlib.suppress(OSError, ValueError, TypeError):
                found |= json.loads(self._record_file.read_text(encoding="utf-8"))
        return found

    def _write_record(self, record: dict) -> None:
        write_text(self._record_file, json.dumps(record))


def mirror_folder(url: str, cache: str | os.PathLike | None = None) -> Path:
    """Returns the folder on this machine for what is written to an address.

    Args:
        url: the address.
        cache: see `remote.cache_folder`.
    """
    url = url.rstrip("/")
    digest = hashlib.sha256(url.encode()).hexdigest()[:16]
    return cache_folder(cache) / "mirrors" / digest / Address(url).name


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _order(name: str) -> tuple[int, str]:
    """Sorts names so that a file comes after those that it speaks of."""
    if name.endswith("checkpoints/checkpoint"):
        return 1, name
    return (2 if name.endswith(".json") and "checkpoints/" not in name else 0), name


def _stat(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]
