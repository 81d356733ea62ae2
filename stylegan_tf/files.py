"""Atomic writes, and reading of files of unknown origin with bounds on everything.

A reader never sees half a file, and a program that is stopped leaves none behind.

Whatever a user names may be a pipe that never ends, a device, or a small file that
unpacks to a huge one. So every reader of such a file goes through `open_regular`,
`read_regular` or `read_member`, which say how much they take at most.
"""

import contextlib
import errno
import hashlib
import json
import lzma
import os
import re
import shutil
import stat
import struct
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO

from stylegan_tf.errors import UserError

LOCK = "lock"  # file name
MOST_SETTINGS = 64 << 20  # bytes of a JSON file of settings
MOST_VALUES = 30_000_000  # of a JSON text: each takes up to 64 bytes of memory
_BLOCK = 1 << 20
# What reading a damaged zip file may raise.
DAMAGED_ARCHIVE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError)
DAMAGED_ARCHIVE += (struct.error, OverflowError, RuntimeError, ValueError)
_PACKED = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2}
_PACKED |= {zipfile.ZIP_LZMA}
_LOCKED = 1  # flag of a member
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
_NO_SYNC = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM}
_TROUBLE = tuple(
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EIO", "EFBIG", "EROFS")
    if hasattr(errno, name)
)
_PATTERN = "*?[]{}\\"


@contextlib.contextmanager
def lock_folder(folder: Path, action: str, name: str = LOCK) -> Iterator[None]:
    """Creates a folder and holds it for one process at a time.

    The lock is the system's: it ends with its process, however that ends. Its holder
    may move or delete the folder; the next in turn then creates it anew.

    Args:
        folder: the lock is a file in it.
        action: what the holder does, for the line on standard error that says what a
            process waits for.
        name: of that file.
    """
    from filelock import FileLock, Timeout  # here: --help must not wait for it

    lock, seconds = FileLock(folder / name), 0
    while not lock.is_locked:
        folder.mkdir(exist_ok=True)
        try:
            lock.acquire(timeout=seconds)
        except Timeout:
            print(f"Waiting for another process that {action}.", file=sys.stderr)
            seconds = -1  # without end
        except FileNotFoundError:  # moved or deleted by its holder
            continue
        except OSError as e:
            if e.errno not in NO_LOCKS:
                raise
            break  # some network disks cannot lock
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def atomic_write(path: Path | str) -> Iterator[Path]:
    """Yields a temporary path to write to, then moves that file to `path`.

    The folder is created if need be. The temporary name has the same suffix, from
    which some libraries tell the format. The file is on the disk before it has its
    name, so that not even a power cut leaves half of it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(draft_name(path))
    try:
        yield draft
        sync(draft)
        os.replace(draft, path)
        sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def draft_name(path: Path) -> str:
    """Returns the hidden name, which any file system takes, of a file in the making."""
    stem, number = path.stem[:30], zlib.crc32(os.fsencode(path.name))
    return f".{stem}.{number:08x}.{os.getpid()}.tmp{path.suffix[:20]}"


def remove_drafts(folder: Path) -> None:
    """Removes what writers that were killed left in a folder that nobody writes to."""
    draft = re.compile(r"\..*\.tmp(\.[^.]*)?", re.DOTALL)
    for path in folder.iterdir():
        if draft.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Returns when a file, or the names in a folder, are on the disk.

    Raises:
        OSError: the disk is full or broken.
    """
    folder = path.is_dir()
    try:
        number = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
    except PermissionError:
        if folder:
            return  # Windows opens none
        raise
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(number)


def sync_all(folder: Path) -> None:
    """Returns when a folder and everything in it are on the disk; see `sync`."""
    for path in folder.rglob("*"):
        if not path.is_symlink():
            sync(path)
    sync(folder)


def write_text(path: Path, text: str) -> None:
    """Replaces a text file atomically. UTF-8; names that are not stay as they are."""
    with atomic_write(path) as draft:
        draft.write_text(text, encoding="utf-8", errors="surrogateescape")


def append_text(path: Path, text: str) -> None:
    """Adds lines to a text file: all of them, or none if the disk is full.

    They begin on a new line, also after one that a kill has cut short.
    """
    with open(path, "ab+", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
            text = text if file.read(1) == b"\n" else f"\n{text}"
        left = text.encode("utf-8", "surrogateescape")
        try:
            while left:
                left = left[file.write(left) :]
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(end)
            raise


def link_or_copy(source: Path, target: Path) -> None:
    """Gives a file a second name, or copies it where the disk has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def disk_trouble(error: BaseException) -> str | None:
    """Returns the system's words for a disk that takes no more, such as a full one.

    Args:
        error: an `OSError`, or an error of a library that quotes the system.

    Returns:
        "No space left on device", ...; None if the error is about something else.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno) if error.errno in _TROUBLE else None
    said = str(error)
    return next((os.strerror(n) for n in _TROUBLE if os.strerror(n) in said), None)


@contextlib.contextmanager
def plain_alias(folder: Path) -> Iterator[Path]:
    """Yields a path to a folder that has no character with a meaning of its own.

    TensorFlow takes `*`, `?`, brackets and backslashes in the name of a checkpoint for
    patterns when it reads, and cannot take names that are not UTF-8. Such a folder is
    reached through a link in a temporary folder.

    Raises:
        UserError: no link can be made.
    """
    if _is_plain(folder):
        yield folder
        return
    try:
        room = Path(tempfile.mkdtemp(prefix="stylegan_tf-"))
    except OSError as error:
        raise UserError(f"no temporary folder: {error.strerror}.") from error
    alias = room / "link"
    try:
        if not _is_plain(room):
            raise UserError(f"{room}: TMPDIR must name a folder without {_PATTERN}.")
        try:
            alias.symlink_to(folder.absolute(), target_is_directory=True)
        except OSError as error:
            raise UserError(
                f"{folder}: TensorFlow takes the characters {_PATTERN} for patterns, "
                f"and no link could be made ({error.strerror}); rename the folder."
            ) from error
        yield alias
    finally:
        alias.unlink(missing_ok=True)
        room.rmdir()


def _is_plain(path: Path) -> bool:
    name = str(path)
    return not set(_PATTERN) & set(name) and name.isprintable()


def home_path(path: Path | str) -> Path:
    """Returns a path with the home folder in place of a leading `~` or `~name`.

    Unlike `Path.expanduser`, it leaves the names of nobody's home as they are.
    """
    return Path(os.path.expanduser(path))


# ---------------------------------------------------------------------------
# Files of unknown origin


def open_regular(path: Path | str, most: int | None = None) -> BinaryIO:
    """Opens a file for reading; never a pipe, a device, a socket or a folder.

    Those block, or have no end. A link is what it leads to.

    Args:
        path: the file.
        most: bytes that it may have; None = any number.

    Raises:
        OSError: it cannot be opened, is something else, or is larger.
    """
    _check_file(os.stat(path), path, most)
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115
    try:
        _check_file(os.fstat(file.fileno()), path, most)  # it may have been replaced
    except OSError:
        file.close()
        raise
    return file


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_file(found: os.stat_result, path: Path | str, most: int | None) -> None:
    mode = found.st_mode
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe"}
        kinds |= {stat.S_IFSOCK: "a socket"}
        kind = kinds.get(stat.S_IFMT(mode), "a device")
        number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(number, f"it is {kind}, not a file", str(path))
    if most is not None and found.st_size > most:
        raise _too_large(path, found.st_size, most)


def _too_large(path: Path | str, size: int, most: int) -> OSError:
    shown = size_text(size) if size else "larger than it says"
    text = f"it is {shown}, and at most {size_text(most)} are read"
    return OSError(errno.EFBIG, text, str(path))


def size_text(count: int) -> str:
    """Returns a number of bytes as people write it: 1.2 MB."""
    power = max(min((len(str(count)) - 1) // 3, 4), 0)
    return f"{count / 1000**power:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB')[power]}"


def read_regular(path: Path | str, most: int) -> bytes:
    """Reads a file of at most `most` bytes; see `open_regular`."""
    with open_regular(path, most) as file:
        return _read_up_to(file, most, path)


def read_regular_text(path: Path | str, most: int = MOST_SETTINGS) -> str:
    """Reads a text file in UTF-8, with or without a byte order mark.

    Raises:
        OSError: see `open_regular`.
        UnicodeDecodeError: another encoding, or no text.
    """
    return read_regular(path, most).decode("utf-8-sig")


def _read_up_to(file: IO[bytes], most: int, path: Path | str) -> bytes:
    """Reads to the end of a file, in blocks: a large `most` costs no memory."""
    blocks, size = [], 0
    while block := file.read(_BLOCK):
        size += len(block)
        if size > most:
            raise _too_large(path, 0, most)
        blocks.append(block)
    return b"".join(blocks)


def parse_json(text: str | bytes) -> object:
    """Parses JSON of unknown origin.

    Raises:
        ValueError: no JSON, a name that is said twice in an object, values nested too
            deeply, or more than `MOST_VALUES` of them.
    """
    marks = (b",", b"[", b"{") if isinstance(text, bytes) else (",", "[", "{")
    if sum(text.count(mark) for mark in marks) > MOST_VALUES:
        raise ValueError(f"it holds more than {MOST_VALUES:,} values")
    try:
        return json.loads(text, object_pairs_hook=_object)
    except RecursionError as e:
        raise ValueError("its values are nested too deeply") from e


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"it says {name[:80]!r} twice")
        found[name] = value
    return found


def read_json(path: Path | str, most: int = 1 << 20) -> object:
    """Reads a small JSON file of unknown origin.

    Raises:
        OSError: see `open_regular`.
        ValueError: see `parse_json`; or another encoding.
    """
    return parse_json(read_regular_text(path, most))


def read_json_object(path: Path | str) -> dict:
    """Reads a small JSON object; {} if the file is missing, damaged, or holds another.

    See `read_json`.
    """
    try:
        values = read_json(path)
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def checksum(path: Path | str) -> str:
    """Returns the SHA-256 of a file, in hexadecimal; see `open_regular`."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ---------------------------------------------------------------------------
# Zip files


def open_archive(file: BinaryIO) -> zipfile.ZipFile:
    """Opens a zip file that `open_regular` has opened.

    Raises:
        OSError: it is no zip file, or damaged.
    """
    try:
        return zipfile.ZipFile(file)
    except (*DAMAGED_ARCHIVE, NotImplementedError) as e:
        text = f"it is no complete zip file ({e})"
        raise OSError(errno.EINVAL, text, str(file.name)) from e


def read_member(
    archive: zipfile.ZipFile, member: str | zipfile.ZipInfo, most: int
) -> bytes:
    """Reads a member of a zip file, of at most `most` bytes when it is unpacked.

    Raises:
        KeyError: there is no such member.
        OSError: it is damaged, or cannot be opened, see `open_member`.
    """
    name = member if isinstance(member, str) else member.filename
    try:
        with open_member(archive, member, most) as file:
            return _read_up_to(file, most, name)
    except (*DAMAGED_ARCHIVE, NotImplementedError) as e:
        raise OSError(errno.EINVAL, f"it is damaged: {e}", name) from e


def open_member(
    archive: zipfile.ZipFile, member: str | zipfile.ZipInfo, most: int
) -> IO[bytes]:
    """Opens a member of a zip file, of at most `most` bytes when it is unpacked.

    Raises:
        KeyError: there is no such member.
        OSError: it is larger, locked, packed in a way that Python does not know, or
            damaged.
    """
    entry = archive.getinfo(member) if isinstance(member, str) else member
    name = entry.filename
    if entry.flag_bits & _LOCKED:
        text = "it is locked with a password; unpack the zip and give the folder"
        raise OSError(errno.EINVAL, text, name)
    if entry.compress_type not in _PACKED:
        kind = zipfile.compressor_names.get(entry.compress_type, "an unknown method")
        text = f"it is packed with {kind}; unpack the zip and give the folder"
        raise OSError(errno.EINVAL, text, name)
    if entry.file_size > most:
        raise _too_large(name, entry.file_size, most)
    try:
        return archive.open(entry)
    except (*DAMAGED_ARCHIVE, NotImplementedError) as e:
        raise OSError(errno.EINVAL, f"it is damaged: {e}", name) from e
