r"""Trains on and on, and watches what could grow: memory, open files, time, disk.

    python tests/faults/endurance.py
    python tests/faults/endurance.py --plot=docs/images/endurance.png \
        --out=docs/reliability.md

A tiny run grows from 4x4 to 16x16 with every report on: log, sheets, TensorBoard,
checkpoints, metrics. Another process looks at it after every line of its log. The exit
code is 1 if memory or descriptors still grow in the second half of the last resolution.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pages
from stylegan_tf_launch import cli

from stylegan_tf.errors import UserError

ROOT = Path(__file__).parents[2]
BATCH, TICK = 4, 20  # images a step, steps a line
MOST_MB = 10.0  # growth of memory by 1,000 steps that is not called a leak

FLAGS, define = cli.flag_set()
define.integer("steps", 2000, "Steps of the whole run.", lower_bound=500)
define.string("plot", None, "Also draw the figure into this file.")
define.string("folder", None, "Folder of the run; a temporary one if not given.")
define.string(
    "out", None, "Also write the table to this file, between its marks if it has any."
)
define.string("json", None, "Also write the rows to this file.")


def main(argv) -> int:
    """Trains, prints the table, and judges."""
    with tempfile.TemporaryDirectory(prefix="endurance-") as folder:
        rows = _watch(Path(FLAGS.folder or folder))
    if FLAGS.json:
        Path(FLAGS.json).write_text(json.dumps(rows))
    if FLAGS.plot:
        _plot(rows, Path(FLAGS.plot))
    late = [r for r in rows if r["step"] > (rows[-1]["step"] + _last_stage(rows)) / 2]
    steps, mb = [r["step"] for r in late], [r["mb"] for r in late]
    growth = 1000 * np.polyfit(steps, mb, 1)[0]
    files = [r["files"] for r in late]
    text = (
        f"{_table(rows)}\n\nSecond half of the last resolution: memory "
        f"{growth:+.1f} MB by 1,000 steps, {min(files)} to {max(files)} open files."
    )
    print(text)
    if FLAGS.out:
        pages.write_between(Path(FLAGS.out), "endurance", text)
    return 1 if growth > MOST_MB or files[-1] > files[0] else 0


def _command(out: Path) -> list[str]:
    kimg = FLAGS.steps * BATCH / 1000
    settings = {
        "schedule.initial_resolution": 4,
        "schedule.stable_kimg": kimg / 5,  # 4, fade, 8, fade, 16: a fifth each
        "schedule.fade_kimg": kimg / 5,
        "schedule.tick_kimg": TICK * BATCH / 1000,
        "loss.d_reg_interval": 1,
    }
    for net in ("generator", "discriminator"):
        settings |= {f"{net}.fmap_base": 128, f"{net}.fmap_max": 8}
    for name in ("z_dim", "w_dim", "mapping_width"):
        settings[f"generator.{name}"] = 8
    flags = {"data": "demo:300", "out": out / "runs", "cache": out / "cache"}
    flags |= {"resolution": 16, "batch": BATCH, "gamma": 1, "kimg": kimg}
    flags |= {"labels": "auto", "jit": "off", "precision": "float32"}
    flags |= {"snapshot_ticks": 2, "image_ticks": 2}
    flags |= {"metrics": "fid64", "metrics_every": kimg / 10}
    return [
        *(sys.executable, str(ROOT / "launch" / "train.py")),
        *(f"--{name}={value}" for name, value in flags.items()),
        *(f"--set={name}={value}" for name, value in settings.items()),
    ]


def _watch(out: Path) -> list[dict]:
    """Trains, and looks at the process whenever it has logged a line."""
    rows, seen, log = [], 0, out / "output.txt"
    out.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as file:
        process = subprocess.Popen(_command(out), stdout=file, stderr=file)
    try:
        while process.poll() is None:
            stats = next(out.glob("runs/*/stats.jsonl"), None)
            lines = stats.read_text().splitlines() if stats else []
            if len(lines) > seen:
                seen = len(lines)
                rows.append(json.loads(lines[-1]) | _look(process.pid, stats.parent))
            time.sleep(0.02)
    finally:
        process.kill()
    if process.returncode:
        raise UserError(f"the training ends with {process.returncode}; {_tail(log)}")
    return [_row(r) for r in rows]


def _tail(log: Path) -> str:
    return " ".join(log.read_text(errors="replace").splitlines()[-2:])


def _look(pid: int, run: Path) -> dict[str, float]:
    """Memory, descriptors and disk of a process now."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        files = len(os.listdir(f"/proc/{pid}/fd"))
    except (OSError, IndexError):  # it has just ended
        pages = files = 0
    sizes = [p.stat(follow_symlinks=False).st_size for p in _files(run)]
    page = os.sysconf("SC_PAGE_SIZE")
    return {"mb": pages * page / 1e6, "files": files, "disk": sum(sizes) / 1e6}


def _files(run: Path) -> list[Path]:
    found = [Path(top, name) for top, _, names in os.walk(run) for name in names]
    return [p for p in found if p.exists()]


def _row(r: dict) -> dict:
    images = r["timing/images_per_second"]
    return {
        "step": r["nimg"] // BATCH,
        "resolution": int(r["progress/resolution"]),
        "alpha": r["progress/alpha"],
        "ms": 1000 * BATCH / images,
        **{name: r[name] for name in ("mb", "files", "disk")},
    }


def _last_stage(rows: list[dict]) -> int:
    """The first step at the last resolution, faded in."""
    top = max(r["resolution"] for r in rows)
    return next(r["step"] for r in rows if r["resolution"] == top and r["alpha"] >= 1)


def _table(rows: list[dict]) -> str:
    """Ten lines of the rows, as Markdown."""
    rows = [r for r in rows if r["mb"]]
    chosen = rows[: -1 : max(1, len(rows) // 10)] + rows[-1:]
    lines = ["| step | size | memory, MB | open files | ms a step | disk, MB |"]
    lines += ["|---" * 6 + "|"]
    for r in chosen:
        size = f"{r['resolution']}x{r['resolution']}"
        lines.append(
            f"| {r['step']:,} | {size} | {r['mb']:.0f} | {r['files']} | "
            f"{r['ms']:.1f} | {r['disk']:.1f} |"
        )
    return "\n".join(lines)


def _plot(rows: list[dict], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = [r for r in rows if r["mb"]]
    names = {"mb": "memory, MB", "files": "open files"}
    names |= {"ms": "ms a step", "disk": "disk of the run, MB"}
    figure, axes = plt.subplots(2, 2, figsize=(8, 4.4), sharex=True)
    for axis, (name, label) in zip(axes.flat, names.items(), strict=True):
        axis.plot([r["step"] for r in rows], [r[name] for r in rows], lw=1.2)
        axis.set_title(label, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.set_ylim(bottom=0)
        if name == "ms":
            axis.set_ylim(0, 3 * np.median([r["ms"] for r in rows]))
        for before, after in zip(rows, rows[1:], strict=False):
            if before["resolution"] != after["resolution"]:
                axis.axvline(after["step"], color="0.7", lw=0.8, ls=":")
    for axis in axes[1]:
        axis.set_xlabel("steps; dotted: a resolution joins", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    cli.run(main, FLAGS)
