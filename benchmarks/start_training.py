"""From the command to the first step of training, stage by stage.

    python benchmarks/start_training.py                          the demo set
    python benchmarks/start_training.py --data=data/photos --rounds=5

Each round starts what `train.py` does in a fresh process, on a data set that is there
already, and ends it after one step of D and G; in turns with it a Python that only
imports TensorFlow, as `import tensorflow` does. The table has the median of each stage
and its ratio to that import.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from stylegan_tf_launch import cli
from workers.pairing import table, write_json

FLAGS, define = cli.flag_set()
define.string("data", "demo", "What train.py takes.")
define.string("preset", "demo", "Recipe of the run.")
define.integer("rounds", 3, "Starts of each.")
define.string("json", None, "Also write the rows here.")
define.string("child", None, "For the script itself.")

_IMPORT = "import time, tensorflow; print(time.time())"


class _Done(Exception):
    """The first step is made."""


class Stages:
    """Seconds that each stage of a start takes."""

    def __init__(self, began: float):
        self.last, self.rows = began, {}

    def mark(self, name: str) -> None:
        """Everything since the mark before is called `name`."""
        now = time.time()
        self.rows[name] = self.rows.get(name, 0.0) + now - self.last
        self.last = now

    def after(self, name: str, function):
        """`function`, with a mark when it returns."""

        def marked(*args, **kwargs):
            result = function(*args, **kwargs)
            self.mark(name)
            return result

        return marked


def main(argv: Sequence[str]) -> int:
    """Starts runs and prints the table."""
    if FLAGS.child:
        return _child(json.loads(FLAGS.child))
    _prepare()
    turns = [(_start(), _import()) for _ in range(FLAGS.rounds)]
    imported = statistics.median(seconds for _, seconds in turns)
    rows = []
    for name in turns[0][0]:
        seconds = statistics.median(stages[name] for stages, _ in turns)
        rows.append({"stage": name, "seconds": seconds, "ratio": seconds / imported})
    total = statistics.median(sum(stages.values()) for stages, _ in turns)
    rows.append({"stage": "all", "seconds": total, "ratio": total / imported})
    rows.append({"stage": "import tensorflow", "seconds": imported, "ratio": 1.0})
    columns = ["stage", "seconds", "of an import of tensorflow"]
    print(table(columns, [list(row.values()) for row in rows]))
    write_json(FLAGS.json, rows)
    return 0


def _prepare() -> None:
    """Converts what is not a data set yet: not a part of the start."""
    from stylegan_tf.data import records

    if FLAGS.data == "demo":
        records.prepare("demo", labels="none", resolution="32x32")
    elif not (Path(FLAGS.data) / "manifest.json").exists():
        records.prepare(FLAGS.data, labels="none")


def _start() -> dict[str, float]:
    """Seconds of each stage of one start, in a folder of its own."""
    with tempfile.TemporaryDirectory() as out:
        what = {"began": time.time(), "out": out}
        command = [sys.executable, __file__, f"--child={json.dumps(what)}"]
        command += [f"--data={FLAGS.data}", f"--preset={FLAGS.preset}"]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def _import() -> float:
    """Seconds until TensorFlow is imported, and nothing else."""
    began = time.time()
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", _IMPORT]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    return float(done.stdout) - began


# ---------------------------------------------------------------------------
# The process that is timed: train.py as it is, with a mark after each part


def _child(what: dict) -> int:
    stages = Stages(what["began"])
    stages.mark("python, flags")
    cli.load_tensorflow()
    stages.mark("tensorflow")
    from stylegan_tf.runs import session
    from stylegan_tf.runs.request import RunRequest

    stages.mark("stylegan_tf")
    _watch(session, stages)
    request = RunRequest(
        preset=FLAGS.preset, changes={"data": FLAGS.data}, out=what["out"]
    )
    try:
        session.train_request(request)
    except _Done:
        print(json.dumps(stages.rows), flush=True)
        os._exit(0)  # what is under way in other threads does not matter any more
    raise RuntimeError("the run ended before its first step")


def _watch(session, stages: Stages) -> None:
    """Puts marks into a run, and ends it after one step."""
    from stylegan_tf.training.reals import RecordReader

    session.plan_run = stages.after("settings, data set", session.plan_run)
    session.Trainer.__init__ = stages.after("networks", session.Trainer.__init__)
    record = stages.after("run directory", session.rundir.record_settings)
    session.rundir.record_settings = record
    RecordReader.next_batch = stages.after("first batch", RecordReader.next_batch)
    reports = session.default_reports

    def watched() -> list:
        made = reports()
        for report in made:
            name = f"report: {type(report).__name__}"
            report.start = stages.after(name, report.start)
        return [*made, _Stop(stages)]

    session.default_reports = watched


class _Stop:
    """A report that ends the run when a step is made."""

    def __init__(self, stages: Stages):
        self.stages = stages

    def start(self, trainer) -> None:
        """Nothing to do."""

    def step(self, trainer) -> None:
        """The metrics are there when the step is."""
        trainer.networks.generator.w_avg.numpy()
        self.stages.mark("first step")
        raise _Done


if __name__ == "__main__":
    cli.run(main, FLAGS)
