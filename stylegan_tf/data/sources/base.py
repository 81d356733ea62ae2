"""The interface of a source of images, and of sources that are TFRecord files.

Records are found by the lengths in a TFRecord file and parsed without TensorFlow
(`formats.tfrecords`): any record can be read, in any order, in a worker process that
never loads it.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from stylegan_tf.data.images import Header, bad_image_reasons
from stylegan_tf.formats.tfrecords import parse_example, read_record, scan_records


class Source:
    """Images by number, with labels.

    Attributes:
        name: short, fit for a folder name.
        class_names: names of the classes; empty for label vectors and without labels.
        label_size: number of classes, length of the label vectors, or 0.
        notes: sentences for the user about how the source was understood.
        draft: True lets a JPEG be decoded at a fraction of its size where a much
            smaller image is wanted; see `images.decode_image`.
    """

    draft: bool = False

    name: str
    class_names: list[str]
    label_size: int
    notes: list[str]

    def __len__(self) -> int:
        """Returns the number of images, readable or not."""
        raise NotImplementedError

    def name_of(self, i: int) -> str:
        """Returns the name of image i for the list of skipped files."""
        raise NotImplementedError

    def peek(self, i: int) -> Header:
        """Reads size and kind of image i from its header.

        Raises:
            BadImage: it cannot be read; says why.
        """
        raise NotImplementedError

    def read(
        self, i: int, size: int
    ) -> tuple[Image.Image | np.ndarray, int | np.ndarray]:
        """Reads image i, and its class index (-1 = none) or label vector.

        Args:
            i: index of the image.
            size: longer side that is wanted; a hint for sources that draw.

        Raises:
            BadImage: it cannot be read; says why.
        """
        raise NotImplementedError

    def fingerprint(self) -> str:
        """Returns a text that changes when the images or their labels do."""
        raise NotImplementedError


class RecordSource(Source):
    """Images in TFRecord files; subclasses say what a record means.

    Args:
        name: see `Source`.
        files: TFRecord files, one after the other.
    """

    def __init__(self, name: str, files: list[Path]):
        self.name, self.files, self.notes = name, files, []
        offsets = [scan_records(file) for file in files]
        self.offsets = np.concatenate(offsets) if offsets else np.zeros(0, np.int64)
        self.file_of = np.repeat(np.arange(len(files)), [len(o) for o in offsets])

    def __len__(self) -> int:
        return len(self.offsets)

    def name_of(self, i: int) -> str:
        """See `Source.name_of`."""
        return f"{self.files[self.file_of[i]].name}[{i}]"

    def record(self, i: int) -> dict[str, list]:
        """Reads the features of record i.

        Raises:
            BadImage: it cannot be read or parsed; says why.
        """
        with bad_image_reasons():
            file = self.files[self.file_of[i]]
            return parse_example(read_record(file, int(self.offsets[i])))

    def fingerprint(self) -> str:
        """See `Source.fingerprint`."""
        stats = [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in self.files]
        return f"{self.name} {len(self)} {self.label_size} {stats}"
