"""Numbers in files and on the screen.

`metrics.jsonl` has one row a number:

    nimg      images that the model had seen; null if it is not of a run
    metric    such as "fid50k", "pr5k3_recall"
    network   what it was measured in; no number is told without it: fid50k[builtin-v1]
    value, num (pictures), seconds, date, note (if there is something to know)
    model, data, key    digests of what was measured; the same ones, the same number

`seconds` is the time until the number was there, after the one before it. Pictures that
several metrics share are counted in the first of them.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from stylegan_tf.files import atomic_write

FILE = "metrics.jsonl"


def label(row: dict) -> str:
    """What a number is called: `fid50k[builtin-v1]`."""
    return f"{row['metric']}[{row['network']}]"


def read(folder: Path | str) -> list[dict]:
    """The rows of a folder's `metrics.jsonl`, but for lines cut short by a kill."""
    path = Path(folder) / FILE
    rows = []
    for line in path.read_text("utf-8").splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
            complete = {"metric", "network", "value", "nimg"} <= row.keys()
        except (ValueError, AttributeError):
            continue
        rows += [row] if complete else []
    return rows


def find(folder: Path | str, names: Sequence[str], identity: dict) -> list[dict]:
    """The rows of these metrics, of exactly this; [] unless all of them are there."""
    rows = {}
    for row in read(folder):
        if all(row.get(k) == v for k, v in identity.items()):
            rows[row["metric"]] = row
    return [rows[n] for n in names] if all(n in rows for n in names) else []


def append(folder: Path | str, rows: Sequence[dict]) -> None:
    """Adds rows, on lines of their own whatever a kill has left at the end."""
    path = Path(folder) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    with open(path, "ab+") as f:
        if f.tell():
            f.seek(-1, os.SEEK_END)
            text = text if f.read(1) == b"\n" else "\n" + text
        f.write(text.encode())


def forget(folder: Path | str, nimg: int) -> None:
    """Drops what was measured after the checkpoint that a run continues from."""
    path, rows = Path(folder) / FILE, read(folder)
    kept = [r for r in rows if r["nimg"] is None or r["nimg"] <= nimg]
    if path.exists():
        with atomic_write(path) as draft:
            draft.write_text("".join(json.dumps(r) + "\n" for r in kept), "utf-8")


def show(folder: Path | str, rows: Sequence[dict]) -> None:
    """Writes numbers where TensorBoard finds them, beside those of training."""
    import tensorflow as tf

    writer = tf.summary.create_file_writer(str(folder), filename_suffix=".metrics")
    with writer.as_default():
        for row in rows:
            tf.summary.scalar(f"metrics/{label(row)}", row["value"], row["nimg"] or 0)
    writer.close()


def table(rows: Sequence[dict], refused: dict[str, str] | None = None) -> str:
    """Numbers in Markdown, with the time taken; then what there is none of, and why."""
    cells = [["metric", "value", "pictures", "seconds", "note"], ["---"] * 5]
    shown = None
    for row in rows:
        once = (row["date"], row["num"], row["seconds"])  # of all its values together
        seconds = "" if once == shown else f"{row['seconds']:.1f}"
        shown = once
        value, note = f"{row['value']:.5g}", row.get("note", "")
        cells.append([label(row), value, f"{row['num']:,}", seconds, note])
    widths = [max(len(line[i]) for line in cells) for i in range(5)]
    cells[1] = ["-" * w for w in widths]
    lines = ["| " + " | ".join(map(str.ljust, c, widths)) + " |" for c in cells]
    lines += [f"no {name}: {reason}" for name, reason in (refused or {}).items()]
    return "\n".join(lines)
