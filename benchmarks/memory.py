"""Memory that training takes: what was predicted, and what was measured.

    python benchmarks/memory.py
    python benchmarks/memory.py --networks=demo-ladder-f --precisions=float32,bfloat16
    python benchmarks/memory.py --networks=paper256 --resolutions=256 --recompute

A fresh process for every line trains a few steps at one resolution, on faces that it
draws itself, as `launch/train.py` would, and tells its peak of resident memory (VmHWM
of Linux). `predicted` is what `train.py --dry_run` says (`config/cost.py`): the
base of a process that has loaded TensorFlow and computed nothing, the program that a
step is compiled to, and what must be held. The last column leaves the base out: what
is held above it, by what must be and the program. `live` is the peak that TensorFlow's
allocator handed out in a step. With --recompute every line is measured without and
with, one after the other, and memory and processor time are compared.
"""

import json
import subprocess
import sys
from collections.abc import Sequence

from stylegan_tf_launch import cli
from workers import matched, pairing

# Network -> preset, final resolution, the sizes trained, images a step, changes.
NETWORKS = {
    "demo-ladder-f": ("demo-ladder-f", 32, (8, 16, 32), 8, {}),
    "matched": ("demo-ladder-f", 64, (8, 16, 32, 64), 16, {}),
    "paper256": ("paper256", 256, (64, 128, 256), 4, {}),
    "stylegan2-ada": ("stylegan2-ada", 256, (256,), 4, {}),
    "demo-stylegan2": ("demo-stylegan2", 32, (32,), 16, {}),
}
COLUMNS = ("network", "size", "batch", "precision", "recompute", "base", "predicted")
COLUMNS += ("measured", "measured / predicted", "program", "held", "live", "above base")

FLAGS, define = cli.flag_set()
define.list("networks", ["demo-ladder-f", "matched"], "Of the list.")
define.list("resolutions", [], "Only these.")
define.list("precisions", ["float32"], "And bfloat16.")
define.boolean("recompute", False, "Without and with.")
define.integer("steps", 3, "Steps of each process.")
define.string("json", None, "File for the rows.")


def main(argv: Sequence[str]) -> int:
    """Measures and prints the tables."""
    results = pairing.Results(COLUMNS, FLAGS.json)
    for network in FLAGS.networks:
        for size in _sizes(network):
            for precision in FLAGS.precisions:
                for again in (False, True) if FLAGS.recompute else (False,):
                    row = _measured(network, size, precision, again)
                    results.add(_cells(row), row)
    if FLAGS.recompute:
        print()
        print(_compared(results.rows))
    return 0


def _sizes(network: str) -> list[int]:
    asked = [int(size) for size in FLAGS.resolutions]
    return [r for r in NETWORKS[network][2] if not asked or r in asked]


def _measured(network: str, size: int, precision: str, again: bool) -> dict:
    """One process' account of itself, see `memory_worker.py`."""
    preset, final, _, batch, changes = NETWORKS[network]
    changes = changes | {"schedule.batch": batch, "schedule.batch_at": {}}
    changes |= {"precision": precision, "recompute": again}
    if network == "matched":
        changes |= matched.networks() | {"loss.d_reg_interval": 1}
    task = {"preset": preset, "final": final, "size": size, "changes": changes}
    task |= {"steps": FLAGS.steps}
    script = pairing.HERE / "memory_worker.py"
    done = subprocess.run(
        [sys.executable, str(script), json.dumps(task)],
        capture_output=True,
        text=True,
        env=pairing.modules_here() | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        raise RuntimeError(
            f"the process of {network} {size} ended: {done.stderr[-2000:]}"
        )
    head = {"network": network, "size": size, "batch": batch, "precision": precision}
    return head | {"recompute": again} | json.loads(lines[-1])


def _cells(row: dict) -> list[str]:
    mb = {
        k: f"{row[k] / 1e6:.0f}"
        for k in ("base", "program", "held", "measured", "live")
    }
    above = row["program"] + row["held"]
    predicted = row["base"] + above
    return [
        row["network"],
        str(row["size"]),
        str(row["batch"]),
        row["precision"],
        "yes" if row["recompute"] else "no",
        mb["base"],
        f"{predicted / 1e6:.0f}",
        mb["measured"],
        f"{row['measured'] / predicted:.2f}",
        mb["program"],
        mb["held"],
        mb["live"],
        f"{(row['measured'] - row['base']) / above:.2f}",
    ]


def _compared(rows: list[dict]) -> str:
    """Tabulates what recomputing saves above the base, and of activations alone."""
    columns = ("network", "size", "precision", "memory, with / without")
    columns += ("activations, with / without", "processor time, with / without")
    out = []
    for without, with_ in zip(rows[::2], rows[1::2], strict=True):
        above = [row["measured"] - row["base"] for row in (without, with_)]
        maps = [row["live"] - row["fixed"] for row in (without, with_)]
        out.append(
            [without["network"], without["size"], without["precision"]]
            + [above[1] / above[0], maps[1] / maps[0], with_["cpu"] / without["cpu"]]
        )
    return pairing.table(columns, out)


if __name__ == "__main__":
    cli.run(main, FLAGS)
