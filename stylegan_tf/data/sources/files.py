"""Image files in a folder or in a zip, with labels from names or from a label file.

Hidden files and those that are no images are left aside, and said so.
"""

import hashlib
import os
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np
from PIL import Image

from stylegan_tf.data.images import Header, bad_image_reasons, decode_image, read_header
from stylegan_tf.data.sources import labels
from stylegan_tf.data.sources.base import Source
from stylegan_tf.errors import UserError

IMAGE_SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff")
    + (".gif", ".avif", ".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".qoi")
    + (".ico", ".mpo", ".dds", ".sgi", ".pcx", ".heic", ".heif")  # heic: to be listed
)
SPLITS = frozenset(("train", "test", "val", "valid", "validation", "dev"))


class FileSource(Source):
    """Image files with relative names; subclasses say how to open one.

    Args:
        path: the folder or the zip.
        names: of all files in it, with forward slashes.
        choice: of labels; see `labels.find_labels`.
    """

    def __init__(self, path: Path, names: list[str], choice: str):
        self.path = path
        self.name = path.resolve().stem or "data"
        self.notes = []
        names = sorted(names)
        wanted = [name for name in names if _suffix(name) in IMAGE_SUFFIXES]
        if not wanted:
            raise UserError(f"{path} has no pictures in it ({_summary(names)}).")
        self._note_ignored(names)
        self.names = self._training_split(wanted)
        self.labels = labels.find_labels(self.names, choice, self._side_file)
        self.class_names, self.label_size = self.labels.class_names, self.labels.size

    def _note_ignored(self, names: list[str]) -> None:
        known = (labels.JSON_NAME, labels.CSV_NAME)
        other = [
            name
            for name in names
            if _suffix(name) not in IMAGE_SUFFIXES
            and PurePosixPath(name).name not in known
        ]
        if other:
            self.notes.append(f"Left aside what is not a picture: {_summary(other)}.")

    def _training_split(self, names: list[str]) -> list[str]:
        """Returns only the names in train/, if this is an ImageFolder tree."""
        heads = {name.partition("/")[0] for name in names if "/" in name}
        flat = any("/" not in name for name in names)
        if flat or "train" not in heads or len(heads) < 2 or not heads <= SPLITS:
            return names
        kept = [name for name in names if name.startswith("train/")]
        self.notes.append(
            f"Reading the {len(kept)} pictures of train/ and leaving the "
            f"{len(names) - len(kept)} of the other splits."
        )
        return kept

    def _open(self, name: str) -> IO[bytes]:
        raise NotImplementedError

    def _side_file(self, name: str) -> str | None:
        raise NotImplementedError

    def _stamp(self, name: str) -> str:
        """Returns a text that changes with the content of a file."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.names)

    def name_of(self, i: int) -> str:
        """See `Source.name_of`."""
        return self.names[i]

    def peek(self, i: int) -> Header:
        """See `Source.peek`."""
        with bad_image_reasons(), self._open(self.names[i]) as f:
            return read_header(f)

    def read(self, i: int, size: int) -> tuple[Image.Image, int | np.ndarray]:
        """See `Source.read`."""
        with bad_image_reasons(), self._open(self.names[i]) as f:
            draft = size if self.draft else 0
            return decode_image(f.read(), draft), self.labels[i]

    def fingerprint(self) -> str:
        """See `Source.fingerprint`."""
        digest = hashlib.sha256(self.labels.fingerprint().encode())
        for name in self.names:
            line = f"{name}\0{self._stamp(name)}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


class FolderSource(FileSource):
    """Images in a folder and its sub-folders."""

    def __init__(self, path: Path, choice: str = "auto"):
        super().__init__(path, _walk(path), choice)

    def _open(self, name: str) -> IO[bytes]:
        return open(self.path / name, "rb")

    def _side_file(self, name: str) -> str | None:
        file = self.path / name
        return file.read_text(encoding="utf-8") if file.is_file() else None

    def _stamp(self, name: str) -> str:
        try:
            stat = os.stat(self.path / name)
        except OSError:  # a broken link: reported as a bad image later
            return ""
        return f"{stat.st_size} {stat.st_mtime_ns}"


class ZipSource(FileSource):
    """Images in a zip, which each process opens once."""

    def __init__(self, path: Path, choice: str = "auto"):
        self.path = path
        self._opened: zipfile.ZipFile | None = None
        names = [
            n for n in self._zip().namelist() if not n.endswith("/") and _visible(n)
        ]
        super().__init__(path, names, choice)

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_opened": None}

    def _zip(self) -> zipfile.ZipFile:
        if self._opened is None:
            try:
                self._opened = zipfile.ZipFile(self.path)
            except zipfile.BadZipFile as e:
                raise UserError(
                    f"{self.path} is not a complete zip file ({e}); "
                    f"copy or download it again."
                ) from e
        return self._opened

    def _open(self, name: str) -> IO[bytes]:
        return self._zip().open(name)

    def _side_file(self, name: str) -> str | None:
        try:
            return self._zip().read(name).decode()
        except KeyError:
            return None
        except zipfile.BadZipFile as e:
            raise UserError(f"{name} in {self.path} is damaged: {e}.") from e

    def _stamp(self, name: str) -> str:
        info = self._zip().getinfo(name)
        return f"{info.file_size} {info.CRC}"


def _walk(root: Path) -> list[str]:
    """Lists visible files below a folder; links are followed, loops are not."""
    names, seen = [], set()
    for folder, below, files in os.walk(root, onerror=_fail, followlinks=True):
        stat = os.stat(folder)
        if (stat.st_dev, stat.st_ino) in seen:
            below.clear()
            continue
        seen.add((stat.st_dev, stat.st_ino))
        below[:] = sorted(name for name in below if _visible(name))
        start = Path(folder).relative_to(root)
        names += [(start / file).as_posix() for file in files if _visible(file)]
    return names


def _fail(error: OSError) -> None:
    raise UserError(f"cannot look into {error.filename}: {error.strerror}.") from error


def _visible(name: str) -> bool:
    parts = name.split("/")
    return "__MACOSX" not in parts and not any(part.startswith(".") for part in parts)


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _summary(names: list[str]) -> str:
    """Counts files by suffix, such as "3 .txt, 1 .csv"."""
    kinds = Counter(_suffix(name) or "without a suffix" for name in names)
    return ", ".join(f"{n} {kind}" for kind, n in kinds.most_common(5)) or "it is empty"
