"""Data sets of TensorFlow Datasets (TFDS) as sources of images.

TFDS is imported only to look up the files, features and splits of a data set; the
records are read without it.
"""

import contextlib
import difflib
import io
import logging
from pathlib import Path

from PIL import Image

from stylegan_tf.data.images import (
    BadImage,
    Header,
    bad_image_reasons,
    decode_image,
    read_header,
)
from stylegan_tf.data.sources.base import RecordSource
from stylegan_tf.errors import UserError

PIP = 'pip install "stylegan_tf[tfds]"'


def is_prepared(path: Path) -> bool:
    """Returns True for the folder of a prepared TFDS data set."""
    return (path / "dataset_info.json").exists() and (path / "features.json").exists()


class TfdsSource(RecordSource):
    """One split of a prepared TFDS data set.

    Args:
        name: see `Source`.
        files: of the split.
        image_key: the feature that holds the image.
        label_key: the feature that holds the class, if any.
        classes: their names.
    """

    def __init__(
        self,
        name: str,
        files: list[Path],
        image_key: str,
        label_key: str | None,
        classes: list[str],
    ):
        super().__init__(name, files)
        self.image_key, self.label_key = image_key, label_key
        self.class_names, self.label_size = classes, len(classes)

    def peek(self, i: int) -> Header:
        """See `Source.peek`."""
        data = self._feature(i, self.image_key)
        with bad_image_reasons():
            return read_header(io.BytesIO(data))

    def read(self, i: int, size: int) -> tuple[Image.Image, int]:
        """See `Source.read`."""
        draft = size if self.draft else 0
        image = decode_image(self._feature(i, self.image_key), draft)
        label = self._feature(i, self.label_key) if self.label_key else -1
        if self.label_key and not 0 <= label < self.label_size:
            raise BadImage(f"its label is {label}, which is no class")
        return image, label

    def _feature(self, i: int, key: str):
        record = self.record(i)
        if not record.get(key):
            raise BadImage(f"has no feature {key!r}")
        return record[key][0]


def open_tfds(name: str, choice: str, download: bool) -> TfdsSource:
    """Opens a TFDS data set by NAME, NAME@SPLIT or the folder of a prepared one.

    Args:
        name: as TFDS writes it, such as "mnist" or "cifar10:3.0.2@test".
        choice: "auto" takes the set's class labels, "none" leaves them.
        download: download and prepare the set if that was not done yet.

    Raises:
        UserError: TFDS is not installed, the set is unknown, not prepared or holds no
            pictures, or the download failed.
    """
    split = ""
    if "@" in name and not is_prepared(Path(name)):
        name, split = name.rsplit("@", 1)
    if choice not in ("auto", "none"):
        raise UserError("a TFDS set brings its labels; use --labels=auto or none.")
    try:
        import tensorflow_datasets as tfds
    except ImportError as e:
        raise UserError(
            f"tfds:{name} needs TensorFlow Datasets ({e}); run: {PIP}"
        ) from e
    with _quiet():
        builder = _builder(tfds, name)
        _prepare(builder, name, download)
    files = _split_files(builder, name, split or "train")
    image_key, label_key = _keys(tfds, builder, name)
    label_key = label_key if choice == "auto" else None
    classes = list(builder.info.features[label_key].names) if label_key else []
    return TfdsSource(builder.name, files, image_key, label_key, classes)


@contextlib.contextmanager
def _quiet():
    """Keeps TFDS from logging about folders that it did not find."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _builder(tfds, name: str):
    try:
        if is_prepared(Path(name)):
            return tfds.builder_from_directory(name)
        return tfds.builder(name)
    except Exception as e:  # TFDS raises many types, some with a page of names
        near = difflib.get_close_matches(name, tfds.list_builders())
        hint = f"did you mean {' or '.join(near)}?" if near else _first_line(e)
        raise UserError(
            f"TFDS has no data set {name!r}: {hint} "
            f"All names: https://www.tensorflow.org/datasets/catalog"
        ) from e


def _prepare(builder, name: str, download: bool) -> None:
    if builder.is_prepared():
        return
    if not download:
        raise UserError(
            f"the TFDS data set {name!r} is not prepared in {builder.data_dir}; "
            f"convert it with make_dataset.py --source=tfds:{name} --download, or "
            f"set TFDS_DATA_DIR to where it is."
        )
    try:
        builder.download_and_prepare()
    except Exception as e:  # network, disk, checksums, manual downloads
        raise UserError(
            f"TFDS could not download and prepare {name!r}: {_first_line(e)} "
            f"Check the network and the disk, then run again."
        ) from e


def _split_files(builder, name: str, split: str) -> list[Path]:
    splits = builder.info.splits
    if split not in splits:
        raise UserError(
            f"tfds:{name} has no split {split!r}; write tfds:{name}@SPLIT with one "
            f"of: {', '.join(splits)}."
        )
    kind = builder.info.file_format.value
    if kind not in ("tfrecord", "array_record"):
        raise UserError(
            f"tfds:{name} is prepared as {kind} files; prepare it with "
            f"file_format='tfrecord'."
        )
    return [Path(file) for file in splits[split].filepaths]


def _keys(tfds, builder, name: str) -> tuple[str, str | None]:
    """Names the features that hold the image and, if there is one, its class."""
    features = dict(builder.info.features)
    kinds = {"image": tfds.features.Image, "label": tfds.features.ClassLabel}
    keys = {
        kind: [key for key, feature in features.items() if isinstance(feature, cls)]
        for kind, cls in kinds.items()
    }
    if not keys["image"]:
        raise UserError(
            f"tfds:{name} has no pictures; its features are {', '.join(features)}."
        )
    best = {
        kind: kind if kind in found else next(iter(found), None)
        for kind, found in keys.items()
    }
    return best["image"], best["label"]


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200].rstrip(".") + "."
