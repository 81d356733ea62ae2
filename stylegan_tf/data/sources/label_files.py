"""Parsers of label files: file name -> label, as it stands there.

    {"labels": [["cat/0.png", 3], ...]}      dataset.json; numbers, names or lists
    file,label                               labels.csv; also with ; or tabs between
    cat/0.png,cat

Both keep only the labels of images that are there, and say in one line, with its
number, what is wrong with a file.
"""

import csv
import io
from collections.abc import Collection, Mapping

from stylegan_tf.data.sources.names import label_key
from stylegan_tf.errors import UserError
from stylegan_tf.files import parse_json

MOST_BYTES = 1 << 28  # of a label file
_EXPECTED = 'Expected: {"labels": [["file.png", 0], ...]}'
_SEPARATORS = ",;\t|"
_BOMS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def other_content(content: bytes, where: str) -> str:
    """Describes a JSON file that is none of labels; "" if it is one, or is broken."""
    try:
        values = parse_json(_text(content, where))
    except ValueError:
        return ""
    if not isinstance(values, Mapping) or "labels" in values:
        return ""
    return ", ".join(list(values)[:4])[:80] or "nothing"


def json_labels(content: bytes, where: str, wanted: Collection[str]) -> dict | None:
    """Parses dataset.json; None if it says that there are no labels.

    Args:
        content: of the file.
        where: name of the file, for messages.
        wanted: keys of the images, see `names.label_key`.

    Raises:
        UserError: the file is broken.
    """
    try:
        values = parse_json(_text(content, where))
    except ValueError as e:
        raise _broken(where, f" ({e})") from e
    if not isinstance(values, Mapping) or "labels" not in values:
        raise _broken(where)
    pairs = values["labels"]
    if pairs is None:
        return None
    if isinstance(pairs, Mapping):
        pairs = list(pairs.items())
    if not isinstance(pairs, list):
        raise _broken(where)
    table: dict = {}
    for i, pair in enumerate(pairs):
        fits = isinstance(pair, list | tuple) and len(pair) == 2
        if not fits or not isinstance(pair[0], str):
            raise _broken(where, f" (entry {i} is {str(pair)[:60]})")
        _add(table, pair[0], pair[1], wanted, f"{where}, entry {i}")
    return table


def csv_labels(content: bytes, where: str, wanted: Collection[str]) -> dict[str, str]:
    """Parses a CSV file whose header names the columns file and label.

    Args:
        content: of the file.
        where: name of the file, for messages.
        wanted: keys of the images, see `names.label_key`.

    Raises:
        UserError: the file is broken.
    """
    text = _text(content, where)
    head = text.split("\n", 1)[0]
    separator = max(_SEPARATORS, key=head.count)
    rows = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=separator,
        strict=True,
        skipinitialspace=True,
    )
    table: dict[str, str] = {}
    try:
        header = [name.strip().lower() for name in next(rows, [])]
        if not {"file", "label"} <= set(header):
            got = head.strip()[:60] or "an empty file"
            raise UserError(
                f"{where} must begin with the line 'file,label'; got {got!r}. Name the "
                f"columns so, or use --labels=none."
            )
        file, label = header.index("file"), header.index("label")
        for row in rows:
            place = f"{where}, line {rows.line_num}"
            if any(cell.strip() for cell in row):
                _check_row(row, len(header), file, label, place)
                _add(table, row[file], row[label].strip(), wanted, place)
    except csv.Error as e:
        raise UserError(
            f"{where}, line {rows.line_num}: {e}. A quote may stand there without "
            f"another one that closes it."
        ) from e
    return table


def _check_row(row: list[str], count: int, file: int, label: int, place: str) -> None:
    if len(row) > count:
        raise UserError(
            f"{place}: {len(row)} columns instead of {count}; put quotes around a name "
            f"with a comma in it."
        )
    if len(row) <= file or not row[file].strip():
        raise UserError(f"{place}: no file name, only {','.join(row)[:60]!r}.")
    if len(row) <= label or not row[label].strip():
        raise UserError(f"{place}: no label for {row[file][:60]}.")
    if "\n" in row[file] + row[label]:
        raise UserError(f"{place}: a quote that is not closed in the lines before.")


def _add(table: dict, name: str, label, wanted: Collection[str], place: str) -> None:
    """Adds a label, unless no image has the name."""
    key = label_key(name)
    if key not in wanted:
        return
    if key not in table:
        table[key] = label
    elif table[key] != label:
        raise UserError(
            f"{place}: {name} is labeled {table[key]!r} and {label!r}; keep one."
        )


def _text(content: bytes, where: str) -> str:
    try:
        return content.decode(_BOMS.get(content[:2], "utf-8-sig"))
    except UnicodeDecodeError as e:
        raise UserError(f"{where} is not a text file; save it as UTF-8.") from e


def _broken(where: str, why: str = "") -> UserError:
    return UserError(
        f"{where} is not a label file{why}; mend it or use --labels=none. {_EXPECTED}"
    )
