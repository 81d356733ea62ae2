"""Finds files of published networks on disk, or downloads them once, checked."""

import hashlib
import http.client
import json
import os
import re
import tempfile
import urllib.request
from pathlib import Path

from stylegan_tf.errors import UserError
from stylegan_tf.files import checksum, home_path
from stylegan_tf.progress import ProgressBar
from stylegan_tf.remote import cache_folder

FOLDER = "networks"  # within the cache
TIMEOUT = 60  # seconds without an answer
CHUNK = 1 << 20
URL = re.compile(r"https?://", re.IGNORECASE)
# PyTorch's hub puts the first digits of a file's SHA-256 into its name.
PROMISED = re.compile(r"-([0-9a-f]{8,64})\.\w+$")


def fetch_file(
    place: str | Path, cache: str | Path | None = None, progress: bool = True
) -> Path:
    """Returns the path of a file or folder; a URL is downloaded once.

    Args:
        place: a path, or a URL that begins with http:// or https://.
        cache: folder of downloads; by default $STYLEGAN_TF_CACHE or
            ~/.cache/stylegan_tf. An undamaged download is used again.
        progress: show a bar.

    Returns:
        The path. Beside a download lies NAME.json with its URL, size and SHA-256.

    Raises:
        UserError: there is no such file, or it could not be downloaded whole.
    """
    place = str(place).strip()
    if not URL.match(place):
        path = home_path(place)
        if not path.exists():
            raise UserError(f"{path} does not exist; give the file's path or its URL.")
        if not path.is_dir() and not path.is_file():
            raise UserError(f"{path} is a pipe or a device; give a file or its URL.")
        return path
    path = cache_folder(cache) / FOLDER / _name(place)
    if not _downloaded(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _download(place, path, progress)
        except (OSError, ValueError, http.client.HTTPException) as e:
            if isinstance(e, UserError):
                raise
            reason = getattr(e, "reason", None) or e
            raise UserError(
                f"{place} could not be downloaded ({reason}). Download it where there "
                f"is a network, and give the file's path instead of its URL."
            ) from e
    return path


def _name(url: str) -> str:
    """Returns the name of a download: a hash of the URL, then the file's own name."""
    name = Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name
    name = re.sub(r"[^\w.+-]", "_", name).lstrip(".") or "file"
    return f"{hashlib.sha256(url.encode()).hexdigest()[:8]}-{name[-100:]}"


def _notes(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _downloaded(path: Path) -> bool:
    """Returns True if an earlier download is there, unchanged."""
    try:
        notes = json.loads(_notes(path).read_text(encoding="utf-8"))
        return notes["sha256"] == checksum(path)
    except (OSError, ValueError, TypeError, KeyError):
        return False


def _download(url: str, path: Path, progress: bool) -> None:
    """Downloads a file and writes its notes; a failed download leaves nothing."""
    handle, part = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    try:
        with (
            os.fdopen(handle, "wb") as f,
            urllib.request.urlopen(url, timeout=TIMEOUT) as answer,
        ):
            _copy(answer, f, path.name, progress)
        sha256 = checksum(Path(part))
        promised = PROMISED.search(urllib.parse.urlsplit(url).path)
        if promised and not sha256.startswith(promised[1]):
            raise UserError(
                f"{url} is not the file that its name promises: its SHA-256 begins "
                f"with {sha256[:8]}, not {promised[1]}. Download it again, or "
                f"elsewhere."
            )
        os.replace(part, path)
    finally:
        Path(part).unlink(missing_ok=True)
    notes = {"url": url, "bytes": path.stat().st_size, "sha256": sha256}
    _notes(path).write_text(json.dumps(notes, indent=1) + "\n", encoding="utf-8")


def _copy(answer, file, name: str, progress: bool) -> None:
    """Copies an HTTP answer into a file, under a progress bar."""
    length = answer.headers.get("Content-Length")
    total, done = int(length) if length else None, 0
    with ProgressBar(
        title=name, shown=progress, total=total, unit="B", unit_scale=True
    ) as bar:
        while data := answer.read(CHUNK):
            file.write(data)
            done += len(data)
            bar.update(len(data))
    if total is not None and done != total:
        raise OSError(f"the connection ended after {done} of {total} bytes")
