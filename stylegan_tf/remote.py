"""Files at gs://, s3:// and any other address that fsspec reads, as local copies.

`fetch` copies a file or a folder into the cache and returns where it is. A copy is kept
under its address and the state of its files (etag, generation or time, and size), so it
is never changed: a file that has changed gives another copy, of which only the changed
files are read again. `mirror` writes in the other direction.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from stylegan_tf.errors import UserError
from stylegan_tf.files import home_path, link_or_copy, lock_folder, write_text
from stylegan_tf.progress import ProgressBar

CACHE_VARIABLE = "STYLEGAN_TF_CACHE"
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
# What tells that a file has changed, the surest first, as file systems name it.
_MARKS = ("generation", "etag", "md5hash", "mtime", "lastmodified", "last_modified")
_MARKS += ("last-modified", "updated", "created")
# Where a file that is being written is seen by readers before it is whole.
_SEEN_EARLY = {"file", "local", "sftp", "ssh", "smb", "ftp", "memory"}
_DRAFT = ".uploading"  # suffix of such a file


def is_remote(path: str | os.PathLike) -> bool:
    """True for an address, such as gs://bucket/run, and False for a path."""
    return bool(_ADDRESS.match(str(path)))


def cache_folder(given: str | os.PathLike | None = None) -> Path:
    """Returns where conversions and copies are kept on this machine.

    Args:
        given: a folder; by default, and for an address, $STYLEGAN_TF_CACHE, else
            ~/.cache/stylegan_tf.
    """
    if given is not None and is_remote(given):
        given = None
    home = Path.home() / ".cache" / "stylegan_tf"
    return home_path(given or os.environ.get(CACHE_VARIABLE) or home)


def local_path(path: str | os.PathLike, cache: str | os.PathLike | None = None) -> Path:
    """Returns a path as it is, `~` expanded; an address is fetched first.

    Args:
        path: a path or an address.
        cache: see `cache_folder`.

    Raises:
        UserError: from `fetch`.
    """
    if is_remote(path):
        return fetch(str(path), cache)
    return home_path(path)


def fetch(
    url: str,
    cache: str | os.PathLike | None = None,
    only: Sequence[str] = ("*",),
) -> Path:
    """Copies a file or a folder into the cache, unless an equal copy is there.

    Args:
        url: any address that fsspec reads.
        cache: see `cache_folder`.
        only: patterns of the files of a folder to copy, by path in it; `*` matches
            `/` too.

    Returns:
        The copy, under the name that it has there. Do not change it.

    Raises:
        UserError: nothing there, no access, no room, or a package is missing.
    """
    address = Address(url)
    entries = {
        name: entry
        for name, entry in address.entries().items()
        if not name or any(fnmatch(name, pattern) for pattern in only)
    }
    if not entries:
        raise UserError(f"there is nothing at {url}.")
    marks = {name: entry.mark for name, entry in entries.items()}
    place = cache_folder(cache) / "remote" / _digest(address.url)
    kept = place / _digest(json.dumps(marks, sort_keys=True))
    copy = kept / address.name
    if copy.exists():
        return copy
    place.mkdir(parents=True, exist_ok=True)
    with lock_folder(place, f"fetches {url}"):
        if not copy.exists():  # not fetched by another process meanwhile
            draft = place / f".{kept.name}"
            _fetch_all(address, entries, draft / address.name, place)
            write_text(draft / _INDEX, json.dumps(marks))
            os.replace(draft, kept)
    return copy


_INDEX = "index.json"  # beside a copy: name -> mark


def _fetch_all(
    address: "Address", entries: dict[str, "Entry"], copy: Path, place: Path
) -> None:
    """Copies files that neither this folder nor another copy of the address has."""
    missing = []
    for name, entry in entries.items():
        target = copy / name if name else copy
        if target.exists():  # of a fetch that was stopped
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if old := _find_copy(place, address.name, name, entry.mark):
            link_or_copy(old, target)
        else:
            missing.append((entry, target))
    address.download(missing)


def _find_copy(place: Path, top: str, name: str, mark: str) -> Path | None:
    for index in place.glob(f"*/{_INDEX}"):
        with contextlib.suppress(OSError, ValueError):
            if json.loads(index.read_text(encoding="utf-8")).get(name) == mark:
                old = index.parent / top / name if name else index.parent / top
                if old.is_file():
                    return old
    return None


# ---------------------------------------------------------------------------
# A place at an address


@dataclass(frozen=True)
class Entry:
    """A file at an address.

    Attributes:
        path: its name in the file system.
        size: bytes, or None where that is not told.
        mark: text that changes when the file does.
    """

    path: str
    size: int | None
    mark: str


class Address:
    """A file or a folder at an address.

    Args:
        url: the address.

    Attributes:
        name: the last part of the address, as a file name.

    Raises:
        UserError: no package reads such addresses, or the address is no address.
    """

    def __init__(self, url: str):
        self.url = url.rstrip("/")
        scheme = url.partition("://")[0].lower()
        self._early = scheme in _SEEN_EARLY
        last = self.url.partition("?")[0].rpartition("/")[2]
        self.name = re.sub(r"[^\w.,@%+=-]", "_", last).strip(".") or "files"
        try:
            import fsspec
            from fsspec.core import url_to_fs

            self._callback = fsspec.Callback
            self._files, self._root = url_to_fs(self.url)
        except ImportError as error:
            raise UserError(
                f'{scheme}:// needs more packages: pip install "stylegan_tf[remote]" '
                f"({error})"
            ) from error
        except Exception as error:  # of whatever package answers to the scheme
            raise _cannot("open", url, error) from error

    def entries(self) -> dict[str, Entry]:
        """Lists the files by their path below the address; a file itself is "".

        Raises:
            UserError: the address cannot be read, or names a file outside itself.
        """
        with self._errors("read"):
            self._files.invalidate_cache()
            try:
                info = self._files.info(self._root)
            except FileNotFoundError:
                return {}
            if info["type"] == "file":
                return {"": _entry(info)}
            # Marks are always those of a listing: `info` may say other things.
            found = self._files.find(self._root, detail=True)
        infos = [i for i in found.values() if i["type"] == "file"]
        infos = [i for i in infos if not i["name"].endswith(_DRAFT)]
        named = {self._below(i["name"]): _entry(i) for i in infos}
        return {name: entry for name, entry in named.items() if name}

    def _below(self, path: str) -> str:
        name = path.removeprefix(self._root).strip("/")
        if not path.startswith(self._root) or not is_plain_name(name):
            raise UserError(f"{self.url} names a file outside itself: {path!r}.")
        return "" if path.endswith("/") else name  # a folder's marker

    def download(self, files: Sequence[tuple[Entry, Path]]) -> None:
        """Copies files here, each in one step, with a bar.

        Raises:
            UserError: one cannot be read, is cut short, or there is no room.
        """
        if not files:
            return
        total = sum(entry.size or 0 for entry, _ in files)
        free = shutil.disk_usage(files[0][1].parent).free
        if total > free:
            raise UserError(
                f"{self.url} has {total / 1e9:.1f} GB, and {files[0][1].parent} has "
                f"room for {free / 1e9:.1f} GB."
            )
        with self._errors("read"), _bar(f"fetching {self.url}", total) as bar:
            for entry, target in files:
                draft = target.with_name(f".fetching.{os.getpid()}")
                try:
                    hook = _moves(bar, bar.n)
                    callback = self._callback(hooks={"bar": hook})
                    self._files.get_file(entry.path, str(draft), callback=callback)
                    if entry.size is not None and draft.stat().st_size != entry.size:
                        raise OSError(f"{entry.path} was cut short")
                    os.replace(draft, target)
                finally:
                    draft.unlink(missing_ok=True)

    def upload(self, source: Path, name: str) -> None:
        """Writes a file to a path below the address; readers see it whole or not.

        Raises:
            UserError: it cannot be written.
        """
        target = f"{self._root}/{name}"
        draft = target + _DRAFT if self._early else target
        with self._errors("write"):
            if self._early:
                self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
            self._files.put_file(str(source), draft)
            if self._early:
                self._files.mv(draft, target)

    def remove(self, name: str) -> None:
        """Removes a file below the address, which may be gone already.

        Raises:
            UserError: it cannot be removed.
        """
        with self._errors("write"), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(f"{self._root}/{name}")

    @contextlib.contextmanager
    def _errors(self, verb: str) -> Iterator[None]:
        try:
            yield
        except UserError:
            raise
        except Exception as error:  # each file system has exceptions of its own
            raise _cannot(verb, self.url, error) from error


def is_plain_name(name: str) -> bool:
    """True for a relative path with `/` that stays below its folder."""
    parts = name.split("/")
    odd = "\\" in name or "\0" in name
    return not odd and not any(part in (".", "..") for part in parts)


def _entry(info: dict[str, Any]) -> Entry:
    lower = {str(key).lower(): value for key, value in info.items()}
    known = next((str(lower[key]) for key in _MARKS if lower.get(key)), "")
    return Entry(info["name"], info.get("size"), f"{known} {info.get('size')}")


def _cannot(verb: str, url: str, error: Exception) -> UserError:
    lines = str(error).strip().splitlines() or ["no reason given"]
    return UserError(f"cannot {verb} {url}: {type(error).__name__}: {lines[0][:300]}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _bar(text: str, total: int) -> ProgressBar:
    return ProgressBar(title=text, total=total or None, unit="B", unit_scale=True)


def _moves(bar: ProgressBar, before: int) -> Callable[..., None]:
    """Returns a hook of fsspec that moves a bar on from where a file began."""

    def move(_, value: int, **__) -> None:
        bar.update(before + value - bar.n)

    return move
