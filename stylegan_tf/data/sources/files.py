"""Image files in a folder or in a zip, with labels from names or from a label file.

Hidden files, what is no image and folders that stand beside images are left aside, and
said so.
"""

import hashlib
import os
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np
from PIL import Image

from stylegan_tf.data.images import (
    MOST_BYTES,
    Header,
    bad_image_reasons,
    decode_image,
    read_header,
)
from stylegan_tf.data.sources import label_files, labels
from stylegan_tf.data.sources import names as naming
from stylegan_tf.data.sources.base import Source
from stylegan_tf.errors import UserError
from stylegan_tf.files import (
    open_archive,
    open_member,
    open_regular,
    read_member,
    read_regular,
)

IMAGE_SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff")
    + (".gif", ".avif", ".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".qoi")
    + (".ico", ".mpo", ".dds", ".sgi", ".pcx", ".heic", ".heif")  # heic: to be listed
)
ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"})
MOST_KINDS = 5  # of files in a message
_RECORDS = (
    "The TFRecords in it are not named as the official tools name them, "
    "NAME-r02.tfrecords and so on; unpack the pictures into a folder."
)


class FileSource(Source):
    """Image files with relative names; subclasses say how to read one.

    Args:
        path: the folder or the zip.
        places: of all files in it, as they are written there.
        choice: of labels; see `labels.find_labels`.
    """

    def __init__(self, path: Path, places: list[str], choice: str):
        self.path = path
        self.name = path.resolve().stem or "data"
        self.notes = []
        self._places = _by_name(places)
        self.names = self._choose(sorted(self._places))
        self.labels = labels.find_labels(self.names, choice, self._side_file)
        left = self.labels.left
        self.names = [name for i, name in enumerate(self.names) if i not in left]
        self.notes += self.labels.notes
        self.class_names, self.label_size = self.labels.class_names, self.labels.size
        places = {name: self._places[name] for name in self.names}
        self._places = {name: place for name, place in places.items() if name != place}

    def _choose(self, names: list[str]) -> list[str]:
        """Returns the names of the images to use, and notes what is left aside."""
        names = self._without_own_output(names)
        shown = [name for name in names if not naming.is_hidden(name)]
        wanted = [name for name in shown if _suffix(name) in IMAGE_SUFFIXES]
        if not wanted:
            more = _RECORDS if any(".tfrecord" in name for name in shown) else ""
            raise UserError(
                f"{self.path} has no pictures in it ({_summary(shown)}). {more}".strip()
            )
        known = (labels.JSON_NAME, labels.CSV_NAME)
        self._leave(
            "what is not a picture",
            [
                name
                for name in shown
                if _suffix(name) not in IMAGE_SUFFIXES
                and PurePosixPath(name).name not in known
                and not naming.in_system_folder(name)
            ],
        )
        hidden = [name for name in names if naming.is_hidden(name)]
        images = [name for name in hidden if _suffix(name) in IMAGE_SUFFIXES]
        kept = [name for name in wanted if not naming.in_system_folder(name)] or wanted
        system = sorted({*wanted} - {*kept})
        self._leave("hidden pictures and those that systems make", images + system)
        return self._training_split(self._without_side_folders(kept))

    def _without_own_output(self, names: list[str]) -> list[str]:
        own = tuple(sorted(naming.own_output(names)))
        if own:
            self.notes.append(
                f"Left aside what this program wrote: {', '.join(own[:3])}"
                f"{', ...' if len(own) > 3 else ''}"
            )
        return [name for name in names if not name.startswith(own)] if own else names

    def _leave(self, what: str, names: list[str]) -> None:
        if names:
            self.notes.append(f"Left aside {what}: {_examples(names)}.")
        packed = [name for name in names if _suffix(name) in ARCHIVES]
        if packed:
            self.notes.append(
                f"{packed[0]} is not opened; unpack it there if its pictures shall be "
                f"used, too."
            )

    def _without_side_folders(self, names: list[str]) -> list[str]:
        skip = len(naming.common_folder(names))
        beside = naming.side_folders([name[skip:] for name in names])
        if not beside:
            return names
        kept = [name for name in names if name[skip:].partition("/")[0] not in beside]
        folders = ", ".join(f"{folder}/" for folder in sorted(beside))
        self.notes.append(
            f"Left aside the {len(names) - len(kept)} pictures of {folders}: by its "
            f"name, it belongs to the other pictures. To train on it, name that folder."
        )
        return kept

    def _training_split(self, names: list[str]) -> list[str]:
        """Returns only the names in train/, if this is an ImageFolder tree."""
        skip = len(naming.common_folder(names))
        heads = {name[skip:].partition("/")[0] for name in names if "/" in name[skip:]}
        flat = any("/" not in name[skip:] for name in names)
        training = {head for head in heads if naming.split_of(head) == "train"}
        splits = all(naming.split_of(head) for head in heads)
        if flat or not training or len(heads) <= len(training) or not splits:
            return names
        kept = [name for name in names if name[skip:].partition("/")[0] in training]
        folders = ", ".join(f"{folder}/" for folder in sorted(training))
        self.notes.append(
            f"Reading the {len(kept)} pictures of {folders} and leaving the "
            f"{len(names) - len(kept)} of the other splits."
        )
        return kept

    def _content(self, place: str, most: int) -> bytes:
        """Reads a file.

        Raises:
            OSError: it cannot be read, or has more than `most` bytes.
        """
        raise NotImplementedError

    def _open(self, place: str) -> IO[bytes]:
        """Opens an image file for its header; see `_content`."""
        raise NotImplementedError

    def _place(self, i: int) -> str:
        return self._places.get(self.names[i], self.names[i])

    def _stamp(self, place: str) -> str:
        """Returns a text that changes with the content of a file."""
        raise NotImplementedError

    def _side_file(self, name: str) -> bytes | None:
        if name not in self._places:
            return None
        try:
            return self._content(self._places[name], label_files.MOST_BYTES)
        except OSError as e:
            raise UserError(
                f"{name} in {self.path} cannot be read: {e.strerror}; mend or remove "
                f"it, or use --labels=none."
            ) from e

    def __len__(self) -> int:
        return len(self.names)

    def name_of(self, i: int) -> str:
        """See `Source.name_of`."""
        return self.names[i]

    def peek(self, i: int) -> Header:
        """See `Source.peek`."""
        with bad_image_reasons(), self._open(self._place(i)) as f:
            return read_header(f)

    def read(self, i: int, size: int) -> tuple[Image.Image, int | np.ndarray]:
        """See `Source.read`."""
        with bad_image_reasons():
            data = self._content(self._place(i), MOST_BYTES)
            return decode_image(data, size if self.draft else 0), self.labels[i]

    def fingerprint(self) -> str:
        """See `Source.fingerprint`."""
        digest = hashlib.sha256(self.labels.fingerprint().encode())
        for i, name in enumerate(self.names):
            line = f"{name}\0{self._stamp(self._place(i))}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


class FolderSource(FileSource):
    """Images in a folder and its sub-folders."""

    def __init__(self, path: Path, choice: str = "auto"):
        super().__init__(path, _walk(path), choice)

    def _content(self, place: str, most: int) -> bytes:
        return read_regular(self.path / place, most)

    def _open(self, place: str) -> IO[bytes]:
        return open_regular(self.path / place, MOST_BYTES)

    def _stamp(self, place: str) -> str:
        try:
            stat = os.stat(self.path / place)
        except OSError:  # a broken link: reported as a bad image later
            return ""
        return f"{stat.st_size} {stat.st_mtime_ns}"


class ZipSource(FileSource):
    """Images in a zip, which each process opens once."""

    def __init__(self, path: Path, choice: str = "auto"):
        self.path = path
        self._opened: zipfile.ZipFile | None = None
        places = [n for n in self._zip().namelist() if not n.endswith(("/", "\\"))]
        super().__init__(path, places, choice)

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_opened": None}

    def _zip(self) -> zipfile.ZipFile:
        if self._opened is None:
            try:
                self._opened = open_archive(open_regular(self.path))
            except OSError as e:
                raise UserError(
                    f"{self.path} cannot be read: {e.strerror}; copy or download it "
                    f"again."
                ) from e
        return self._opened

    def _content(self, place: str, most: int) -> bytes:
        return read_member(self._zip(), place, most)

    def _open(self, place: str) -> IO[bytes]:
        return open_member(self._zip(), place, MOST_BYTES)

    def _stamp(self, place: str) -> str:
        info = self._zip().getinfo(place)
        return f"{info.file_size} {info.CRC}"


def _by_name(places: list[str]) -> dict[str, str]:
    """Returns portable name -> place; a place whose name is taken keeps its own."""
    found: dict[str, str] = {}
    for place in sorted(places):
        name = naming.portable_name(place)
        found[name if name and name not in found else place] = place
    return found


def _walk(root: Path) -> list[str]:
    """Lists files below a folder; links are followed, loops and hidden ones are not."""
    names, seen = [], set()
    for folder, below, files in os.walk(root, onerror=_fail, followlinks=True):
        stat = os.stat(folder)
        if (stat.st_dev, stat.st_ino) in seen:
            below.clear()
            continue
        seen.add((stat.st_dev, stat.st_ino))
        below[:] = sorted(name for name in below if not naming.is_hidden(name))
        start = Path(folder).relative_to(root)
        names += [(start / file).as_posix() for file in files]
    return names


def _fail(error: OSError) -> None:
    raise UserError(f"cannot look into {error.filename}: {error.strerror}.") from error


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _examples(names: list[str]) -> str:
    """Names a file of each kind, such as "NOTICE, 3 .txt such as a.txt"."""
    kinds = Counter(_suffix(name) for name in names)
    shown = []
    for kind, n in kinds.most_common(MOST_KINDS):
        first = next(name for name in names if _suffix(name) == kind)
        shown.append(f"{n} {kind or 'files'} such as {first}" if n > 1 else first)
    return ", ".join(shown) + ", ..." * (len(kinds) > MOST_KINDS)


def _summary(names: list[str]) -> str:
    """Counts files by suffix, such as "3 .txt, 1 .csv"."""
    kinds = Counter(_suffix(name) or "without a suffix" for name in names)
    return (
        ", ".join(f"{n} {kind}" for kind, n in kinds.most_common(MOST_KINDS))
        or "it is empty"
    )
