"""The labels of images: from folder names, dataset.json or a CSV file.

Labels are all or nothing: a set in which some pictures have one and others do not is
an error that names a few of the latter, because training on it would go wrong
silently. Class names are in sorted order.
"""

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from stylegan_tf.errors import UserError

MAX_CLASSES = 1 << 20
JSON_NAME = "dataset.json"
CSV_NAME = "labels.csv"
_NUMBERING = re.compile(r"\d{5,}")  # 00000/, 00001/: parts of one set, not classes
_SHOWN = 3  # names in an error message


@dataclass(frozen=True)
class Labels:
    """The labels of a source, in the order of its images.

    Attributes:
        values: class indices, float32 [count, size] vectors, or None without labels.
        class_names: names of the classes; empty for vectors.
    """

    values: Sequence[int] | np.ndarray | None = None
    class_names: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Number of classes, length of a label vector, or 0."""
        if isinstance(self.values, np.ndarray):
            return self.values.shape[1]
        return len(self.class_names)

    def __getitem__(self, i: int) -> int | np.ndarray:
        """Returns a class index, a vector, or -1 without labels."""
        return -1 if self.values is None else self.values[i]

    def fingerprint(self) -> str:
        """Returns a text that changes when a label or a class name does."""
        digest = hashlib.sha256(repr(self.class_names).encode())
        if self.values is not None:
            digest.update(np.asarray(self.values).tobytes())
        return digest.hexdigest()


NONE = Labels()


def find_labels(
    names: Sequence[str], choice: str, side_file: Callable[[str], str | None]
) -> Labels:
    """Finds the labels of a folder or a zip.

    Args:
        names: paths of the images inside it, with forward slashes.
        choice: "auto" takes dataset.json, else labels.csv, else sub-folders; "none";
            or the path of a CSV or JSON file.
        side_file: path inside the source -> text of that file, None if not there.

    Raises:
        UserError: a label file is broken, or lacks some of the images.
    """
    if choice == "none":
        return NONE
    if choice != "auto":
        return _from_text(_read(choice), choice, names)
    prefix = common_folder(names)
    for place in dict.fromkeys(
        (JSON_NAME, prefix + JSON_NAME, CSV_NAME, prefix + CSV_NAME)
    ):
        try:
            text = side_file(place)
        except UnicodeDecodeError as e:
            raise UserError(f"{place} is not a text file; save it as UTF-8.") from e
        if text is not None:
            return _from_text(text, place, names)
    return from_folders(names)


def common_folder(names: Sequence[str]) -> str:
    """Returns the folder that all names share, with a slash at the end, or ""."""
    parents = {PurePosixPath(name).parent.parts for name in names}
    shared = []
    for parts in zip(*parents, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return "".join(f"{part}/" for part in shared)


def from_folders(names: Sequence[str]) -> Labels:
    """Takes sub-folders as classes, if every image lies in one of two or more.

    Folders that are only numbered, such as 00000 and 00001, are not classes.
    """
    skip = len(common_folder(names))
    heads = [name[skip:].partition("/") for name in names]
    folders = sorted({head for head, slash, _ in heads if slash})
    if len(folders) < 2 or not all(slash for _, slash, _ in heads):
        return NONE
    if all(_NUMBERING.fullmatch(folder) for folder in folders):
        return NONE
    index = {folder: i for i, folder in enumerate(folders)}
    return Labels([index[head] for head, _, _ in heads], folders)


def from_rows(rows: np.ndarray) -> Labels:
    """Takes float [count, size] as labels: classes if every row is one-hot."""
    if not rows.shape[1]:
        return NONE
    if np.all(np.isin(rows, (0, 1))) and np.all(rows.sum(1) == 1):
        names = [str(i) for i in range(rows.shape[1])]
        return Labels(rows.argmax(1).tolist(), names)
    return Labels(np.asarray(rows, np.float32))


# ---------------------------------------------------------------------------
# Label files


def _read(path: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8-sig")
    except OSError as e:
        raise UserError(
            f"cannot read the label file {path!r}: {e.strerror}; "
            f"give auto, none, or the path of a CSV or JSON file."
        ) from e
    except UnicodeDecodeError as e:
        raise UserError(f"{path} is not a text file; save it as UTF-8.") from e


def _from_text(text: str, where: str, names: Sequence[str]) -> Labels:
    parse = _json_table if where.endswith(".json") else _csv_table
    table = parse(text, where)
    if table is None:
        return NONE
    skip = len(common_folder(names))
    if not any(name in table for name in names):
        names = [name[skip:] for name in names]
    missing = [name for name in names if name not in table]
    if missing:
        shown = ", ".join(missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
        raise UserError(
            f"{where} has no label for {len(missing)} of {len(names)} pictures: "
            f"{shown}. Label every picture, or use --labels=none."
        )
    return _number([table[name] for name in names], where)


def _json_table(text: str, where: str) -> dict | None:
    """Parses {"labels": [[file, label], ...]}; None for {"labels": null}."""
    try:
        labels = json.loads(text.removeprefix("\ufeff"))["labels"]
        return None if labels is None else dict(labels)
    except (ValueError, KeyError, TypeError) as e:
        raise UserError(
            f"{where} is not a label file; mend it or use --labels=none. "
            f'Expected: {{"labels": [["file.png", 0], ...]}}'
        ) from e


def _csv_table(text: str, where: str) -> dict[str, str]:
    """Parses a CSV file whose header names the columns file and label."""
    rows = csv.DictReader(
        io.StringIO(text.removeprefix("\ufeff")), skipinitialspace=True
    )
    if not {"file", "label"} <= set(rows.fieldnames or ()):
        got = ",".join(rows.fieldnames or ()) or "an empty file"
        raise UserError(f"{where} must begin with the line 'file,label'; got {got!r}.")
    table: dict[str, str] = {}
    for row in rows:
        file, label = row["file"].replace("\\", "/"), row["label"]
        if not label:
            raise UserError(f"{where}, line {rows.line_num}: no label for {file}.")
        if table.setdefault(file, label) != label:
            raise UserError(
                f"{where}, line {rows.line_num}: {file} is labeled {table[file]!r} "
                f"and {label!r}; keep one."
            )
    return table


def _number(raw: list, where: str) -> Labels:
    """Makes labels of the numbers, names or vectors in a label file."""
    kinds = {type(value) for value in raw}
    if kinds == {str}:
        if all(re.fullmatch(r"\d+", value) for value in raw):
            return _classes([int(value) for value in raw], where)
        names = sorted(set(raw))
        index = {name: i for i, name in enumerate(names)}
        return Labels([index[value] for value in raw], names)
    if kinds == {int}:
        return _classes(raw, where)
    try:
        if kinds == {list} and len({len(value) for value in raw}) == 1:
            return Labels(np.asarray(raw, np.float32))
    except (ValueError, TypeError):
        pass
    raise UserError(
        f"the labels in {where} are not all of one kind; use class numbers, "
        f"class names or lists of floats of one length."
    )


def _classes(values: list[int], where: str) -> Labels:
    least, most = min(values), max(values)
    if least < 0 or most >= MAX_CLASSES:
        wrong = least if least < 0 else most
        raise UserError(
            f"{where} has the class number {wrong}; "
            f"classes are numbered from 0 to at most {MAX_CLASSES - 1}."
        )
    return Labels(values, [str(i) for i in range(most + 1)])
