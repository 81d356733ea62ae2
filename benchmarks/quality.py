"""Time to quality: the Frechet distance against CPU minutes, ours and a peer's.

    python benchmarks/quality.py                                 # the built-in faces
    python benchmarks/quality.py --data=demo,photos.zip --minutes=60 --out=quality
    python benchmarks/quality.py --step=train --program=peer --minutes=10
    python benchmarks/quality.py --step=measure,plot --figure=docs/images/quality.png

The default recipe of launch/train.py at 64x64, and `stylegan2-pytorch` from PyPI at
its best settings for a CPU, on the same pictures. Both are measured by the same code,
in one fixed network, `builtin-v1`, whatever the data: a number of pictures, not
truncated, against all real ones. The better of the peer's two generators counts, its
moving average and the live one.

The clock is CPU time of the training process from its start on, on one thread, so that
both have the same and a busy machine does no harm; drawing and measuring do not count.
A training that was stopped (Ctrl-C, SIGTERM) goes on with the same command. `train`
keeps states at certain minutes, `measure` adds what is new to quality.json, `plot`
draws the curves and prints the table. Needs `pip install stylegan2-pytorch` and
matplotlib; twice the minutes for every data set.
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from stylegan_tf_launch import cli
from workers import quality_clock as clock
from workers import quality_ours as ours
from workers.pairing import HERE, modules_here, table

FLAGS, define = cli.flag_set()
STEPS, PROGRAMS = ("train", "measure", "plot"), ("ours", "peer")
FILE = "quality.json"
SIDE = 64
BATCH = 250
NAMES = {"ours": "stylegan_tf", "peer": "stylegan2-pytorch"}
# Every library that computes, on one thread.
ALONE = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")

define.list("data", ["demo"], "Pictures, as train.py takes them; several.")
define.list("step", list(STEPS), "What to do.")
define.list("program", list(PROGRAMS), "Of whom.")
define.float("minutes", 60, "CPU minutes of a training.")
define.integer("num", 2000, "Pictures drawn to measure.")
define.string("out", "quality", "Folder of the trainings.")
define.string("figure", None, "File of the curves; in --out if not given.")
define.string("ours", "", "More arguments of train.py, in one string.")
define.string("peer", "{}", "Settings of the peer's Trainer, as JSON.")
define.string("cache", None, "Folder of converted pictures.")


def main(argv: Sequence[str]) -> int:
    """Does the steps that the flags name."""
    from stylegan_tf.errors import UserError

    for name, known in (("step", STEPS), ("program", PROGRAMS)):
        if wrong := set(FLAGS[name].value) - set(known):
            raise UserError(f"--{name}={wrong.pop()}: known are {', '.join(known)}.")
    todo = [(data, p) for data in FLAGS.data for p in FLAGS.program]
    if "train" in FLAGS.step:
        for data, program in todo:
            if code := train(data, program):
                return code
    if "measure" in FLAGS.step:
        for data, program in todo:
            measure(data, program)
    if "plot" in FLAGS.step:
        found = curves(read(Path(FLAGS.out) / FILE))
        print(report(found))
        plot(found, Path(FLAGS.figure or Path(FLAGS.out) / "quality.png"))
    return 0


def name_of(data: str) -> str:
    """A short name of a data set: faces64 of faces64.zip."""
    return "demo" if data.startswith("demo") else Path(data.rstrip("/")).stem


def folder_of(data: str, program: str) -> Path:
    """Returns the folder of a training."""
    return Path(FLAGS.out) / name_of(data) / program


# ---------------------------------------------------------------------------
# Training


def train(data: str, program: str) -> int:
    """One training, or the rest of it; returns its exit code."""
    folder = folder_of(data, program)
    if clock.Stamps(folder, FLAGS.minutes).finished:
        return 0
    stored = dataset(data)  # converting is not training
    os.environ.update(dict.fromkeys(ALONE, "1"))
    if program == "ours":
        arguments = [f"--data={data}", f"--resolution={SIDE}"]
        arguments += [f"--cache={FLAGS.cache}"] if FLAGS.cache else []
        return ours.train(folder, arguments + shlex.split(FLAGS.ours), FLAGS.minutes)
    command = ["train", folder, exported(data, stored), FLAGS.minutes, FLAGS.peer]
    return peer(*command).returncode


def peer(*arguments) -> subprocess.CompletedProcess:
    """Runs quality_peer.py."""
    command = [sys.executable, str(HERE / "quality_peer.py"), *map(str, arguments)]
    return subprocess.run(command, env=modules_here())


def dataset(data: str) -> Path:
    """The converted pictures, the same for both programs."""
    cli.load_tensorflow()
    from stylegan_tf.data import records

    how = {"labels": "none", "resolution": f"{SIDE}x{SIDE}", "crop": "center"}
    return records.prepare(data, FLAGS.cache, **how)


def exported(data: str, stored: Path) -> Path:
    """The same pictures as PNG files, for the peer."""
    to = Path(FLAGS.out) / name_of(data) / "pictures"
    if to.is_dir():
        return to
    from PIL import Image

    draft = to.with_name("pictures.part")
    draft.mkdir(parents=True, exist_ok=True)
    for i, picture in enumerate(p for batch in reals(stored) for p in batch):
        Image.fromarray(picture).convert("RGB").save(draft / f"{i:06d}.png")
    return draft.rename(to)


def reals(folder: Path) -> Iterator:
    """All pictures of a data set, in batches: uint8 [N, H, W, 3]."""
    from stylegan_tf.data import pipeline

    stream = pipeline.dataset(folder, SIDE, BATCH, shuffle=False, repeat=False)
    for batch in stream.as_numpy_iterator():
        yield batch["image"]


# ---------------------------------------------------------------------------
# Measuring


def measure(data: str, program: str) -> None:
    """Measures the kept states that have no row yet, and adds a row for each."""
    path, folder = Path(FLAGS.out) / FILE, folder_of(data, program)
    about = {"data": name_of(data), "program": program, "num": FLAGS.num}
    rows = read(path)
    missing = [s for s in clock.read(folder) if not has(rows, about, s)]
    if not missing:
        return
    stored = dataset(data)
    from stylegan_tf.metrics.features import builtin_own

    network = builtin_own.load_builtin()
    aim = moments(network, reals(stored))
    for stamp in missing:
        drawn = DRAW[program](folder, stamp, stored)
        found = {k: distance(network, aim, images) for k, images in drawn.items()}
        row = about | {"minute": stamp.minute, "cpu_minutes": stamp.cpu_minutes}
        row |= {"images": stamp.images, "network": network.name}
        write(path, row | {"distance": min(found.values()), "of": found})
        print(f"{name_of(data)}, {NAMES[program]}, minute {stamp.minute:g}: {found}")


def has(rows: Sequence[dict], about: dict, stamp: clock.Stamp) -> bool:
    """Returns True if this state was measured already, with as many images."""
    wanted = about | {"minute": stamp.minute, "images": stamp.images}
    return any(wanted.items() <= row.items() for row in rows)


def moments(network, batches):
    """Computes moments of the features of images that come in batches."""
    from stylegan_tf.metrics.scores.distribution import Moments

    found = Moments(network.size)
    for batch in batches:
        found.add(network(batch))
    return found


def distance(network, aim, images) -> float:
    """The Frechet distance of uint8 [N, H, W, 3] to the real pictures' moments."""
    from stylegan_tf.metrics.scores.distribution import frechet_distance

    return frechet_distance(aim, moments(network, [images]))


def drawn_by_ours(folder: Path, stamp: clock.Stamp, stored: Path) -> dict:
    """Pictures of a kept state: {"average": uint8 [num, H, W, 3]}."""
    import numpy as np

    from stylegan_tf import devices
    from stylegan_tf.metrics import subject
    from stylegan_tf.metrics.pictures import Fakes, LabelSampler

    strategy = devices.make_strategy("one")
    model = subject.open_subject(folder / stamp.snapshot, strategy, str(stored)).model
    fakes = Fakes(model, strategy, LabelSampler(model, stored))
    size = 50
    starts = range(0, FLAGS.num, size)
    made = (fakes.draw(fakes.inputs(range(i, i + size)))["images"] for i in starts)
    return {"average": np.concatenate(list(made))[: FLAGS.num]}


def drawn_by_peer(folder: Path, stamp: clock.Stamp, stored: Path) -> dict:
    """Draws with its average and its live generator: name -> uint8 [N, H, W, 3]."""
    import numpy as np

    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "drawn.npz"
        peer("draw", folder, stamp.snapshot, FLAGS.num, file).check_returncode()
        with np.load(file) as drawn:
            return dict(drawn)


DRAW: dict[str, Callable] = {"ours": drawn_by_ours, "peer": drawn_by_peer}


def read(path: Path) -> list[dict]:
    """The rows of quality.json; none where there is no file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def write(path: Path, row: dict) -> None:
    """Adds a row."""
    text = json.dumps([*read(path), row], indent=1) + "\n"
    draft = path.with_suffix(".part")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


# ---------------------------------------------------------------------------
# What it says


def curves(rows: Sequence[dict]) -> dict[str, dict[str, dict[float, float]]]:
    """Data -> program -> minute -> distance, of rows with the largest `num`."""
    most = max((row["num"] for row in rows), default=0)
    found: dict = {}
    for row in rows:
        if row["num"] == most:
            mine = found.setdefault(row["data"], {p: {} for p in PROGRAMS})
            mine[row["program"]][row["minute"]] = row["distance"]
    return found


def report(found: dict) -> str:
    """A table for each data set, and the two statements below it."""
    parts = []
    for data, pair in found.items():
        mine, theirs = pair["ours"], pair["peer"]
        minutes = sorted({*mine, *theirs})
        rows = [[f"{m:g}", *_row(mine.get(m), theirs.get(m))] for m in minutes]
        columns = ["CPU minute", *NAMES.values(), "ours / theirs"]
        parts += [f"{data}, Frechet distance:\n", table(columns, rows), ""]
        parts += [statements(mine, theirs), ""]
    return "\n".join(parts)


def _row(mine: float | None, theirs: float | None) -> list:
    ratio = mine / theirs if mine is not None and theirs else "-"
    return ["-" if x is None else x for x in (mine, theirs)] + [ratio]


def statements(mine: dict, theirs: dict) -> str:
    """Says in words which program is ahead, and when."""
    below, of = clock.lower_after(mine, theirs)
    lines = [f"Ours is lower at {below} of {of} minutes after the fifth."]
    if found := clock.reached(mine, theirs):
        minute, share = found
        end = f"{theirs[max(theirs)]:.3g} of minute {max(theirs):g}"
        lines += [f"Ours is at their {end} at minute {minute:g}: {share:.0%} of it."]
    else:
        lines += ["Ours does not reach their last value."]
    return "\n".join(lines)


def plot(found: dict, path: Path) -> None:
    """A panel for each data set, a line for each program."""
    from workers.plotting import load_pyplot

    pyplot = load_pyplot()

    size = (4.2 * max(len(found), 1), 3.2)
    fig, axes = pyplot.subplots(1, max(len(found), 1), figsize=size, squeeze=False)
    for axis, (data, pair) in zip(axes[0], found.items(), strict=False):
        for program, curve in pair.items():
            minutes = sorted(curve)
            values = [curve[m] for m in minutes]
            axis.plot(minutes, values, "o-", markersize=3, label=NAMES[program])
        axis.set(xscale="log", yscale="log", title=data, xlabel="CPU minutes")
        axis.grid(alpha=0.3, which="both")
    axes[0][0].set_ylabel("Frechet distance [builtin-v1]")
    axes[0][0].legend(fontsize=8)
    fig.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=100)


if __name__ == "__main__":
    cli.run(main, FLAGS)
