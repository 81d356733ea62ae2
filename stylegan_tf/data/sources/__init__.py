"""Where pictures come from: folders, zips, the demo, TFDS and official TFRecords.

`open_source` takes what a user writes after --source= or --data= and returns a
`Source`: a numbered list of pictures with labels. A source is cheap to open again in a
worker process: it pickles to a list of names, and none of them needs TensorFlow.

    demo, demo:N      N cartoon faces drawn on the spot (10000)
    DIR               pictures in a folder and its sub-folders
    FILE.zip          the same in a zip
    DIR/train/CLASS/  a TFDS ImageFolder tree; its train split
    DIR               official multi-resolution TFRecords (NAME-r10.tfrecords, ...)
    tfds:NAME         a TensorFlow Datasets name, tfds:NAME@SPLIT for another split

A new place to read from is one more subclass of `Source` and one line in `open_source`.
"""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from stylegan_tf.data import demo
from stylegan_tf.data.pictures import Header
from stylegan_tf.data.sources.base import Source
from stylegan_tf.data.sources.files import FolderSource, ZipSource
from stylegan_tf.errors import UserError

DEMO_COUNT = 6000
DEMO_SIZE = 64


def open_source(spec: str, labels: str = "auto", download: bool = False) -> Source:
    """Opens what the user named.

    Args:
        spec: see the head of this module.
        labels: "auto", "none" or the path of a CSV or JSON file.
        download: let TFDS download a set that is not prepared yet.

    Raises:
        UserError: nothing there, not readable, empty, or labels that do not fit.
    """
    from stylegan_tf.data.sources import (
        official,  # it builds on this module
        tfds,
    )

    if spec == "demo" or spec.startswith("demo:"):
        return _open_demo(spec, labels)
    if spec.startswith("tfds:"):
        return tfds.open_tfds(spec.removeprefix("tfds:"), labels, download)
    path = Path(spec).expanduser()
    if not path.exists():
        raise UserError(
            f"there is no {spec!r}; give a folder or zip of pictures, demo, "
            f"or tfds:NAME."
        )
    if path.is_dir():
        if (path / "manifest.json").exists():
            raise UserError(
                f"{spec} is a finished data set; train on it with --data={spec}."
            )
        if official.is_official(path):
            return official.OfficialSource(path, labels)
        if tfds.is_prepared(path):
            return tfds.open_tfds(str(path), labels, download)
        return FolderSource(path, labels)
    if path.suffix.lower() != ".zip" and not zipfile.is_zipfile(path):
        raise UserError(f"{spec} is a single file; give a folder or a zip of pictures.")
    return ZipSource(path, labels)


# ---------------------------------------------------------------------------
# The demo


class DemoSource(Source):
    """The built-in cartoon faces, drawn at the size that is wanted."""

    def __init__(self, count: int = DEMO_COUNT, choice: str = "auto"):
        self.name, self.count, self.notes = "demo", count, []
        self.class_names = list(demo.CLASSES) if choice == "auto" else []
        self.label_size = len(self.class_names)

    def __len__(self) -> int:
        return self.count

    def name_of(self, i: int) -> str:
        return f"demo[{i}]"

    def peek(self, i: int) -> Header:
        return Header(DEMO_SIZE, DEMO_SIZE, gray=False)

    def read(self, i: int, size: int) -> tuple[np.ndarray, int]:
        label = demo.factors(i)["class"] if self.label_size else -1
        return demo.draw(i, int(np.clip(size, *demo.SIZES))), label

    def fingerprint(self) -> str:
        drawn = zlib.crc32(demo.draw(0, 32).tobytes())  # follows the drawing code
        return f"demo {self.count} {drawn} {self.label_size}"


def _open_demo(spec: str, choice: str) -> DemoSource:
    _, _, count = spec.partition(":")
    if count and (not count.isdigit() or int(count) == 0):
        raise UserError(f"{spec!r} is not demo or demo:N with a number of pictures N.")
    if choice not in ("auto", "none"):
        raise UserError("the demo has labels of its own; use --labels=auto or none.")
    return DemoSource(int(count or DEMO_COUNT), choice)
