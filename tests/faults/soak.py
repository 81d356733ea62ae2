"""Hurts tiny trainings in every way that a machine may, and counts what is lost.

    python tests/faults/soak.py                          3 faults of each kind
    python tests/faults/soak.py --times=50 --out=table.md
    python tests/faults/soak.py --kinds=kill_while_saving --times=200 --seed=7

Real processes, real signals, and as root a small disk of its own that is filled. Every
run that was hurt is started again by the same command and must end with the numbers of
an undisturbed run, bit for bit. The exit code is 1 if anything was damaged; the folder
of such a case is kept, and `--kinds` with the same seed repeats it.

Kinds:
{kinds}
"""

import concurrent.futures
import os
import random
import statistics
import sys
import time
import zlib
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

# ruff: noqa: E402
import damages
import kills
import pages
import processes
from lab import Lab, Outcome
from stylegan_tf_launch import cli

from stylegan_tf.errors import UserError

KINDS = {
    f.__name__: f
    for f in (
        kills.kill_anywhere,
        kills.kill_while_saving,
        kills.kill_while_exporting,
        kills.kill_while_converting,
        kills.stop_signal,
        kills.preempted,
        kills.anything,
        kills.hangup_under_nohup,
        kills.second_process,
        kills.full_disk,
        damages.damaged_checkpoint,
        damages.damaged_state,
        damages.damaged_data,
        damages.damaged_cache,
    )
}
CHUNK = 8  # faults in a row, of one run
__doc__ = __doc__.replace(
    "{kinds}",
    "\n".join(f"    {n:<22} {f.__doc__.splitlines()[0]}" for n, f in KINDS.items()),
)

FLAGS, define = cli.flag_set()
define.integer("times", 3, "Faults of each kind, at least.", lower_bound=1)
define.list(
    "kinds",
    [kind for kind in KINDS if kind != "anything"],
    "Only these kinds; all but `anything`, which mixes others, if not given.",
)
define.integer("seed", 0, "Of all that is random.")
define.integer("jobs", 2, "Runs under attack at the same time.", lower_bound=1)
define.string(
    "out", None, "Also write the table to this file, between its marks if it has any."
)
define.bool("fresh", False, "Start every training by `python launch/train.py`.")


class Table:
    """Outcomes of each kind, printed as Markdown."""

    def __init__(self, kinds):
        self.outcomes: dict[str, list[Outcome]] = {kind: [] for kind in kinds}
        self.began = time.monotonic()

    def __str__(self) -> str:
        head = ["fault", "times", "recovered", "refused", "lost, median", "lost, most"]
        lines = [f"| {' | '.join([*head, 'damage'])} |", "|---" * 7 + "|"]
        for kind, found in self.outcomes.items():
            counts = [
                sum(o.result == r for o in found)
                for r in ("recovered", "refused", "damage")
            ]
            lost = [o.lost for o in found if o.result == "recovered"] or [0]
            what = KINDS[kind].__doc__.splitlines()[0].rstrip(".")
            lines.append(
                f"| {what} | {len(found)} | {counts[0]} | {counts[1]} | "
                f"{statistics.median(lost):g} | {max(lost)} | {counts[2]} |"
            )
        return "\n".join(lines)

    @property
    def summary(self) -> str:
        """How it came about, in a line."""
        minutes = (time.monotonic() - self.began) / 60
        faults = sum(map(len, self.outcomes.values()))
        return (
            f"{faults} faults in {minutes:.1f} minutes, {FLAGS.jobs} runs at a time on "
            f"{os.cpu_count()} cores; seed {FLAGS.seed}; {self.damaged} damaged."
        )

    @property
    def damaged(self) -> int:
        """Number of faults after which something did not hold."""
        return sum(o.result == "damage" for f in self.outcomes.values() for o in f)


def main(argv) -> int:
    """Runs the faults and prints the table."""
    unknown = set(FLAGS.kinds) - set(KINDS)
    if unknown:
        raise UserError(f"--kinds={','.join(unknown)}: there are {', '.join(KINDS)}.")
    private = processes.own_mounts()
    processes.start_server()
    table = Table(FLAGS.kinds)
    with processes.workplace() as folder:
        lab = Lab(folder, FLAGS.fresh, private)
        lab.prepare()
        print(f"prepared in {time.monotonic() - table.began:.0f} s", flush=True)
        try:
            _run(lab, table)
        finally:
            print(f"\n{table}\n{table.summary}")
            if FLAGS.out:
                text = f"{table}\n\n{table.summary}"
                pages.write_between(Path(FLAGS.out), "soak", text)
    return 1 if table.damaged else 0


def _run(lab: Lab, table: Table) -> None:
    """Attacks `jobs` runs at a time, each in chunks, until there are enough faults."""
    with concurrent.futures.ThreadPoolExecutor(FLAGS.jobs) as pool:
        waiting = {pool.submit(_all_of, lab, kind, table): kind for kind in FLAGS.kinds}
        try:
            for done in concurrent.futures.as_completed(waiting):
                done.result()
        except BaseException:
            lab.stopping = True
            pool.shutdown(wait=False, cancel_futures=True)
            processes.kill_all()
            raise


def _all_of(lab: Lab, kind: str, table: Table) -> None:
    """All faults of one kind."""
    began, number = time.monotonic(), 0
    while len(table.outcomes[kind]) < FLAGS.times and not lab.stopping:
        left = FLAGS.times - len(table.outcomes[kind])
        table.outcomes[kind] += _chunk(lab, kind, number, min(CHUNK, left))
        number += 1
        if number > 10 * FLAGS.times:
            raise RuntimeError(f"{kind}: no fault comes in time")
    seconds = time.monotonic() - began
    count = len(table.outcomes[kind])
    print(f"{kind}: {count} in {seconds:.0f} s", flush=True)


def _chunk(lab: Lab, kind: str, number: int, times: int) -> list[Outcome]:
    name = f"{kind}-{number}"
    rng = random.Random(zlib.crc32(f"{FLAGS.seed} {name}".encode()))
    try:
        return KINDS[kind](lab, name, rng, times)
    except Exception as error:
        if lab.stopping:
            return []  # its processes were killed
        return [lab.keep(name, error)]
    finally:
        lab.remove(name)


if __name__ == "__main__":
    cli.run(main, FLAGS)
