"""Scores in `metrics.jsonl`, on the screen and in TensorBoard.

`metrics.jsonl` has one row per score:

    nimg      training images the model has seen; null for a model of no run
    metric    such as "fid50k", "pr5k3_recall"
    network   name of the feature network; a score is written fid50k[builtin-v1]
    value, num (generated images), seconds, date, note (optional)
    model, data, key    digests of the model, the data and how it is measured
    settings  fingerprint of the settings of the model's run, if it is of one

`seconds` is the time since the score before it; the first of several metrics that share
generated images bears their cost.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from stylegan_tf.files import append_text, atomic_write, plain_alias

FILE = "metrics.jsonl"
AXIS = ".kimg"  # in the names of event files whose steps are thousands of images


def metric_label(row: dict) -> str:
    """Returns a score's full name, such as `fid50k[builtin-v1]`."""
    return f"{row['metric']}[{row['network']}]"


def read_results(folder: Path | str) -> list[dict]:
    """Reads the rows of a folder's `metrics.jsonl`; skips lines cut short by a kill."""
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


def find_results(
    folder: Path | str, names: Sequence[str], identity: dict
) -> list[dict]:
    """Finds the rows of metrics measured before.

    Args:
        folder: of `metrics.jsonl`.
        names: of the metrics.
        identity: keys and values that every row must have.

    Returns:
        One row per name, or [] unless all of them are there.
    """
    rows = {}
    for row in read_results(folder):
        if all(row.get(k) == v for k, v in identity.items()):
            rows[row["metric"]] = row
    return [rows[n] for n in names] if all(n in rows for n in names) else []


def append_results(folder: Path | str, rows: Sequence[dict]) -> None:
    """Appends rows on new lines, also after a line cut short by a kill."""
    path = Path(folder) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    append_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def forget_results(folder: Path | str, nimg: int) -> None:
    """Drops rows with more images than the checkpoint that a run continues from."""
    path, rows = Path(folder) / FILE, read_results(folder)
    rows = [r for r in rows if r["nimg"] is None or r["nimg"] <= nimg]
    if path.exists():
        with atomic_write(path) as draft:
            draft.write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")


def images_per_step(folder: Path | str) -> int:
    """Returns the images of a step on the axis of TensorBoard: 1000.

    1 for a run that an earlier version began: its axis goes on as it was. The names of
    its event files do not end as those of today.
    """
    names = [p.name for p in Path(folder).glob("events.out.tfevents.*")]
    return 1000 if all(AXIS in name for name in names) else 1


def write_summaries(folder: Path | str, rows: Sequence[dict]) -> None:
    """Writes scores as TensorBoard summaries, beside the summaries of training."""
    import tensorflow as tf

    per_step = images_per_step(folder)
    suffix = f"{AXIS}.metrics" if per_step > 1 else ".metrics"
    with plain_alias(Path(folder)) as alias:
        writer = tf.summary.create_file_writer(str(alias), filename_suffix=suffix)
        with writer.as_default():
            for row in rows:
                tf.summary.scalar(
                    f"metrics/{metric_label(row)}",
                    row["value"],
                    (row["nimg"] or 0) // per_step,
                    description=f"{row['metric']} in the features of {row['network']}, "
                    f"see docs/metrics.md",
                )
        writer.close()


def results_table(rows: Sequence[dict], refused: dict[str, str] | None = None) -> str:
    """Returns scores as a Markdown table, then a line per refused metric.

    Args:
        rows: of `metrics.jsonl`.
        refused: metric -> the reason why it was not computed.
    """
    cells = [["metric", "value", "pictures", "seconds", "note"], ["---"] * 5]
    before = None
    for row in rows:
        metric = (row["date"], row["num"], row["seconds"])  # shared by its scores
        seconds = "" if metric == before else f"{row['seconds']:.1f}"
        before = metric
        value, note = f"{row['value']:.5g}", row.get("note", "")
        cells.append([metric_label(row), value, f"{row['num']:,}", seconds, note])
    widths = [max(len(line[i]) for line in cells) for i in range(5)]
    cells[1] = ["-" * w for w in widths]
    lines = ["| " + " | ".join(map(str.ljust, c, widths)) + " |" for c in cells]
    lines += [f"no {name}: {reason}" for name, reason in (refused or {}).items()]
    return "\n".join(lines)
