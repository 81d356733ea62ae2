"""The protocol of a source of images: count, labels, records."""

from pathlib import Path

import numpy as np
from PIL import Image

from stylegan_tf.data import pictures
from stylegan_tf.data.pictures import Header
from stylegan_tf.formats.tfrecords import parse_example, read_at, scan


class Source:
    """Pictures by number, with labels.

    Attributes:
        name: short, fit for a folder name.
        class_names: of class labels; empty for vectors and without labels.
        label_size: number of classes, length of the label vectors, or 0.
        notes: what a user should know about how the source was understood.
        draft: whether a JPEG may be decoded at a fraction of its size where a much
            smaller picture is wanted, see `pictures.decode`.
    """

    draft: bool = False

    name: str
    class_names: list[str]
    label_size: int
    notes: list[str]

    def __len__(self) -> int:
        """How many pictures there are, readable or not."""
        raise NotImplementedError

    def name_of(self, i: int) -> str:
        """How picture i is called in the list of skipped files."""
        raise NotImplementedError

    def peek(self, i: int) -> Header:
        """Size and kind of picture i from its header. May raise BadPicture."""
        raise NotImplementedError

    def read(
        self, i: int, size: int
    ) -> tuple[Image.Image | np.ndarray, int | np.ndarray]:
        """Picture i, and its class index (-1 = none) or label vector.

        Args:
            i: index of the picture.
            size: longer side that is wanted; a hint for sources that draw.

        Raises:
            BadPicture: it cannot be read; says why.
        """
        raise NotImplementedError

    def fingerprint(self) -> str:
        """Changes when the pictures or their labels do."""
        raise NotImplementedError


class RecordSource(Source):
    """Pictures in TFRecord files; subclasses say what a record means."""

    def __init__(self, name: str, files: list[Path]):
        self.name, self.files, self.notes = name, files, []
        offsets = [scan(file) for file in files]
        self.offsets = np.concatenate(offsets) if offsets else np.zeros(0, np.int64)
        self.file_of = np.repeat(np.arange(len(files)), [len(o) for o in offsets])

    def __len__(self) -> int:
        return len(self.offsets)

    def name_of(self, i: int) -> str:
        return f"{self.files[self.file_of[i]].name}[{i}]"

    def record(self, i: int) -> dict[str, list]:
        """The features of record i."""
        with pictures.reasons():
            file = self.files[self.file_of[i]]
            return parse_example(read_at(file, int(self.offsets[i])))

    def fingerprint(self) -> str:
        stats = [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in self.files]
        return f"{self.name} {len(self)} {self.label_size} {stats}"
