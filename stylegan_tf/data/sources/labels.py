"""The labels of images: from folder names, or from dataset.json or a CSV file.

Labels are classes or vectors. Classes are those that images have: numbers that begin
at 1, or jump from 7 to 90000, make two classes and not 90001. They stand in the order
that a person would write them in: numbers by size, names with numbers in them by their
numbers. Labels are all or nothing: a set in which some pictures have one and others do
not is an error that names a few of the latter, because training on it would go wrong
silently.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

import numpy as np

from stylegan_tf.data.sources import label_files
from stylegan_tf.data.sources.names import common_folder, label_key, split_of
from stylegan_tf.errors import UserError
from stylegan_tf.files import home_path, read_regular

MAX_CLASSES = 1 << 20
JSON_NAME = "dataset.json"
CSV_NAME = "labels.csv"
NO_LABELS = "use --labels=none to train without"
_NUMBERING = re.compile(r"\d{5,}")  # 00000/, 00001/: parts of one set, not classes
# Words of tables for a number that is missing.
_MISSING = {"", "nan", "none", "null", "na", "n/a", "<na>", "-"}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_WHOLE = re.compile(r"-?\d+", re.ASCII)
_SHOWN = 3  # names in an error message
STRAY = 5  # at most one of so many images may lie beside the folders of classes


@dataclass(frozen=True)
class Labels:
    """The labels of a source, in the order of its images.

    Attributes:
        values: class indices, float32 [count, size] vectors, or None without labels.
        class_names: names of the classes; empty for vectors.
        notes: sentences for the user about how they were understood.
        left: numbers of the images that have no label and are left aside; `values`
            are those of the others.
    """

    values: Sequence[int] | np.ndarray | None = None
    class_names: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left: frozenset[int] = frozenset()

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


def no_labels(choice: str, data: str, notes: Sequence[str] = ()) -> UserError:
    """Returns the error of images without labels, where labels are asked for.

    Args:
        choice: what was asked for, "auto" or a file.
        data: what the user calls the images.
        notes: of the source, which may tell why.
    """
    whys = [note for note in notes if note.startswith("No classes: ")]
    why = "".join(f" {w.removeprefix('No classes: ').rstrip('.')};" for w in whys)
    return UserError(
        f"--labels={choice} asks for classes, but {data} has no labels;{why} "
        f"see make_dataset.py --help for how to give them."
    )


def find_labels(
    names: Sequence[str], choice: str, side_file: Callable[[str], bytes | None]
) -> Labels:
    """Finds the labels of a folder or a zip.

    Args:
        names: paths of the images inside it, with forward slashes.
        choice: "auto" takes dataset.json, else labels.csv, else sub-folders; "none";
            or the path of a CSV or JSON file.
        side_file: path inside the source -> content of that file, None if not there.

    Raises:
        UserError: a label file is broken, or lacks some of the images.
    """
    if choice == "none":
        return NONE
    if choice != "auto":
        return from_file(_read(choice), choice, names)
    prefix, notes = common_folder(names), []
    for place in dict.fromkeys(
        (JSON_NAME, prefix + JSON_NAME, CSV_NAME, prefix + CSV_NAME)
    ):
        content = side_file(place)
        if content is None:
            continue
        if place.endswith(".json"):
            other = label_files.other_content(content, place)
            if other:
                notes.append(f"Left aside {place}, which holds no labels but {other}.")
                continue
        return from_file(content, place, names)
    found = from_folders(names)
    return replace(found, notes=notes + found.notes)


def _read(path: str) -> bytes:
    try:
        return read_regular(home_path(path), label_files.MOST_BYTES)
    except (OSError, ValueError) as e:
        raise UserError(
            f"cannot read the label file {path!r}: {getattr(e, 'strerror', e)}; "
            f"give auto, none, or the path of a CSV or JSON file."
        ) from e


# ---------------------------------------------------------------------------
# Folders and arrays


def from_folders(names: Sequence[str]) -> Labels:
    """Takes sub-folders as classes, if the images lie in two or more.

    A few stray ones beside the folders are left aside; with more than one in `STRAY`
    there are no classes. Folders that are only numbered, such as 00000 and 00001, are
    not classes, nor are splits such as train and test.
    """
    skip = len(common_folder(names))
    heads = [name[skip:].partition("/") for name in names]
    folders = {head for head, slash, _ in heads if slash}
    if len(folders) < 2:
        return NONE
    if all(_NUMBERING.fullmatch(folder) for folder in folders):
        return NONE
    if all(split_of(folder) for folder in folders):
        shown = ", ".join(sorted(folders))
        return Labels(notes=[f"The folders {shown} are taken as splits, not classes."])
    strays = [i for i, (_, slash, _) in enumerate(heads) if not slash]
    if not strays:
        return _classes([head for head, _, _ in heads])
    shown = ", ".join(names[i] for i in strays[:_SHOWN])
    shown += ", ..." * (len(strays) > _SHOWN)
    if len(strays) * STRAY > len(names):
        return Labels(
            notes=[
                f"No classes: {len(strays)} of {len(names)} pictures lie in none of "
                f"the folders, such as {names[strays[0]]}."
            ]
        )
    found = _classes([head for head, slash, _ in heads if slash])
    count = f"{len(strays)} picture" + "s" * (len(strays) > 1)
    note = f"Left aside {count} beside the folders of classes: {shown}."
    return replace(found, notes=[note], left=frozenset(strays))


def from_rows(rows: np.ndarray) -> Labels:
    """Takes float [count, size] as labels: classes if every row is one-hot."""
    count = rows.shape[1]
    if not count:
        return NONE
    if np.all(np.isin(rows, (0, 1))) and np.all(rows.sum(1) == 1):
        values = rows.argmax(1)
        empty = count - len(np.unique(values))
        notes = [f"{empty} of the {count} classes have no picture."] if empty else []
        return Labels(values.tolist(), [str(i) for i in range(count)], notes)
    return Labels(np.asarray(rows, np.float32))


# ---------------------------------------------------------------------------
# Label files


def from_file(content: bytes, where: str, names: Sequence[str]) -> Labels:
    """Reads labels from the content of a label file.

    Args:
        content: of a CSV file, or of a JSON file if `where` ends so.
        where: name of the file, for messages.
        names: paths of the images, with forward slashes.

    Raises:
        UserError: the file is broken, or lacks some of the images.
    """
    skip, keys = len(common_folder(names)), [label_key(name) for name in names]
    wanted = {*keys, *(label_key(name[skip:]) for name in names)}
    parse = label_files.json_labels if _is_json(where) else label_files.csv_labels
    table = parse(content, where, wanted)
    if table is None:
        return NONE
    if not any(key in table for key in keys):
        keys = [label_key(name[skip:]) for name in names]
    pairs = list(zip(names, keys, strict=True))
    missing = [name for name, key in pairs if table.get(key) is None]
    if missing:
        shown = ", ".join(missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
        raise UserError(
            f"{where} has no label for {len(missing)} of {len(names)} pictures: "
            f"{shown}. Label every picture, or {NO_LABELS}."
        )
    return from_values([table[key] for key in keys], names, where)


def from_values(raw: list, names: Sequence[str], where: str) -> Labels:
    """Makes labels of the numbers, names or vectors in a label file.

    Args:
        raw: one per image.
        names: of the images, for messages.
        where: name of the file, for messages.

    Raises:
        UserError: they are of several kinds, or no labels.
    """
    kinds = {type(value) for value in raw}
    if kinds == {list}:
        return _vectors(raw, names, where)
    if kinds == {bool}:
        return _classes([str(value) for value in raw])
    if kinds <= {int, float}:
        return _numbered(raw, names, where)
    if kinds == {str}:
        if all(_NUMBER.fullmatch(value.strip()) for value in raw):
            return _numbered([_parsed(value) for value in raw], names, where)
        _check_missing(raw, names, where)
        return _classes(raw)
    shown = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise UserError(
        f"the labels in {where} are not all of one kind ({shown}); use class numbers, "
        f"class names or lists of numbers of one length, or {NO_LABELS}."
    )


def class_name(label: object, names: Sequence[str]) -> str:
    """Returns the name that `from_values` has given the class of a label.

    Args:
        label: a number or text.
        names: of all classes. Where they are numbers, "3", "03" and 3.0 are class "3".
    """
    if not all(_WHOLE.fullmatch(name) for name in names):
        return str(label)
    try:
        number = _parsed(label) if isinstance(label, str) else float(label)  # type: ignore[arg-type]
        return str(int(number)) if number == int(number) else str(label)
    except (TypeError, ValueError, OverflowError):
        return str(label)


def _check_missing(values: list[str], names: Sequence[str], where: str) -> None:
    """Refuses numbers among which a table's word for a missing one stands."""
    missing = [value.strip().casefold() in _MISSING for value in values]
    rest = [v for v, gone in zip(values, missing, strict=True) if not gone]
    if any(missing) and rest and all(_NUMBER.fullmatch(v.strip()) for v in rest):
        i = missing.index(True)
        raise UserError(
            f"{where} labels {names[i]} with {values[i]!r}, and others with numbers; "
            f"give it a class number, leave the picture out, or {NO_LABELS}."
        )


def _is_json(where: str) -> bool:
    return PurePosixPath(where.replace("\\", "/")).suffix.lower() == ".json"


def _parsed(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _numbered(values: list[int | float], names: Sequence[str], where: str) -> Labels:
    """Makes classes of numbers; those written as 3.0 are whole, too."""
    signs = {*values} <= {-1, 1}  # no and yes
    for name, value in zip(names, values, strict=True):
        if isinstance(value, float) and not value.is_integer():
            raise UserError(
                f"{where} labels {name} with {value}, which is no class number. Write "
                f"label vectors as lists in dataset.json, [{value}]; or {NO_LABELS}."
            )
        if value < 0 and not signs:
            raise UserError(
                f"{where} labels {name} with the class number {str(value)[:20]}, which "
                f"is often written for no label; leave such pictures out, give class "
                f"numbers from 0, or {NO_LABELS}."
            )
    whole = [int(value) for value in values]
    order = sorted({*whole})
    return _indexed(whole, order, where)


def _classes(values: list[str]) -> Labels:
    return _indexed(values, sorted({*values}, key=_natural), "the set")


def _indexed(values: list, order: list, where: str) -> Labels:
    """Numbers the classes in an order."""
    if len(order) > MAX_CLASSES:
        raise UserError(
            f"{where} has {len(order)} different labels; at most {MAX_CLASSES} classes "
            f"can be trained. Write label vectors as lists in dataset.json."
        )
    index = {value: i for i, value in enumerate(order)}
    return Labels([index[value] for value in values], [str(value) for value in order])


def _natural(name: str) -> tuple:
    """Returns a key that sorts name2 before name10."""
    parts = re.split(r"(\d+)", name.casefold())
    parts[1::2] = [int(digits) if len(digits) < 1000 else 0 for digits in parts[1::2]]
    return parts, name


def _vectors(raw: list[list], names: Sequence[str], where: str) -> Labels:
    size = len(raw[0])
    for name, row in zip(names, raw, strict=True):
        wrong = [v for v in row if type(v) not in (int, float)]
        if wrong or len(row) != size or not size:
            what = f"{wrong[0]!r} in it" if wrong else f"{len(row)} numbers"
            raise UserError(
                f"the labels in {where} are not all of one kind: that of {name} has "
                f"{what[:60]}, and that of {names[0]} has {size} numbers. Give lists "
                f"of numbers of one length, or {NO_LABELS}."
            )
    try:
        with np.errstate(over="ignore"):
            rows = np.asarray(raw, np.float64).astype(np.float32)
        finite = np.isfinite(rows).all(axis=1)
    except OverflowError:  # an integer beyond any float
        rows, finite = np.zeros((0, size)), np.zeros(len(raw), bool)
    if not finite.all():
        i = int(np.argmin(finite))
        raise UserError(
            f"the label of {names[i]} in {where} has numbers that are not finite: "
            f"{str(raw[i])[:60]}. Mend it, or {NO_LABELS}."
        )
    if size > MAX_CLASSES:
        raise UserError(
            f"the label vectors in {where} have {size} numbers; at most {MAX_CLASSES} "
            f"can be trained."
        )
    return from_rows(rows) if size > 1 else Labels(rows)
