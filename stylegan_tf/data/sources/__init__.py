"""Sources of images: folders, zips, the demo, TFDS and official TFRecords.

`open_source` takes what a user writes after --source= or --data= and returns a
`Source`: a numbered list of images with labels. A source is cheap to open again in a
worker process: it pickles to a list of names, and none needs TensorFlow.

    demo, demo:N      N cartoon faces drawn on the spot (6000)
    DIR               images in a folder and its sub-folders
    FILE.zip          the same in a zip
    DIR/train/CLASS/  a TFDS ImageFolder tree; its train split
    DIR               official multi-resolution TFRecords (NAME-r10.tfrecords, ...)
    gs://..., s3://.. any of the files and folders above, fetched once
    tfds:NAME         a TensorFlow Datasets name, tfds:NAME@SPLIT for another split

A new place to read from is one more subclass of `Source` and one line in `open_source`.
"""

import shlex
import zipfile
from pathlib import Path

from stylegan_tf.data.manifest import is_dataset
from stylegan_tf.data.sources import demo, official, tfds
from stylegan_tf.data.sources.base import Source
from stylegan_tf.data.sources.files import FolderSource, ZipSource
from stylegan_tf.data.sources.memory import is_stream
from stylegan_tf.errors import UserError
from stylegan_tf.files import home_path, open_regular
from stylegan_tf.remote import fetch, is_remote, local_path


def open_source(spec: str, labels: str = "auto", download: bool = False) -> Source:
    """Opens the images that a user named.

    Args:
        spec: see the head of this module.
        labels: "auto", "none" or the path of a CSV or JSON file.
        download: let TFDS download a set that is not prepared yet.

    Raises:
        UserError: nothing there, not readable, empty, or labels that do not fit.
    """
    if spec == "demo" or spec.startswith("demo:"):
        return demo.open_demo(spec, labels)
    if spec.startswith("tfds:"):
        return tfds.open_tfds(spec.removeprefix("tfds:"), labels, download)
    if is_stream(spec):
        raise UserError(
            f"{spec} is a tf.data.Dataset, which only the program has that made it; "
            f"give it there: stylegan_tf.train(data=dataset, ...)."
        )
    if is_remote(labels):
        labels = str(fetch(labels))
    path = local_path(spec)
    if not path.exists():
        raise UserError(
            f"there is no {spec!r}; give a folder or zip of pictures, demo, "
            f"or tfds:NAME."
        )
    if path.is_dir():
        if is_dataset(path):
            raise UserError(
                f"{spec} is a finished data set; train on it with "
                f"--data={shlex.quote(spec)}."
            )
        if official.is_official(path):
            return official.OfficialSource(path, labels)
        if tfds.is_prepared(path):
            return tfds.open_tfds(str(path), labels, download)
        return FolderSource(path, labels)
    if path.suffix.lower() != ".zip" and not _is_zip(path):
        raise UserError(f"{spec} is a single file; give a folder or a zip of pictures.")
    return ZipSource(path, labels)


def is_gone(spec: str) -> bool:
    """Returns True for images that were in a folder or a file which is not there.

    A folder that is empty counts: a disk may not be mounted.
    """
    if spec == "demo" or spec.startswith(("demo:", "tfds:")) or is_remote(spec):
        return False
    path = home_path(spec)
    return not path.exists() or (path.is_dir() and not any(path.iterdir()))


def _is_zip(path: Path) -> bool:
    try:
        with open_regular(path) as file:
            return zipfile.is_zipfile(file)
    except OSError as e:
        raise UserError(
            f"{path} cannot be read: {e.strerror}; give a folder or a zip of pictures."
        ) from e
