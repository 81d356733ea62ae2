"""Start-up time of the scripts.

    python benchmarks/start.py --model=runs/00000-demo-demo

The seconds from the command line to the first picture of `generate.py`, and to the
manual that `--help` prints, beside those of `import tensorflow` alone: fresh processes
that take turns, the median of several.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from stylegan_tf_launch import cli
from workers import pairing

FLAGS, define = cli.flag_set()
define.string("model", None, cli.MODEL)
define.integer("rounds", 3, "Turns of each.")
define.string("json", None, "Write the rows to this file.")

LAUNCH = Path(cli.__file__).parent
NO_VERBS = ("__init__", "cli", "main")


def main(argv: Sequence[str]) -> int:
    """Times and prints the table."""
    cli.check_model(FLAGS.model)
    scripts = sorted(p for p in LAUNCH.glob("*.py") if p.stem not in NO_VERBS)
    with tempfile.TemporaryDirectory() as out:
        draw = [f"--model={FLAGS.model}", "--seeds=0", f"--out={out}"]
        commands = {
            "import tensorflow": [sys.executable, "-c", "import tensorflow"],
            "generate.py, one picture": [
                sys.executable,
                str(LAUNCH / "generate.py"),
                *draw,
            ],
        }
        for script in scripts:
            command = [sys.executable, str(script), "--help"]
            commands[f"{script.name} --help"] = command
        turns = {k: lambda c=c: process(c) for k, c in commands.items()}
        seconds = pairing.in_turns(turns, FLAGS.rounds)
    alone = seconds["import tensorflow"].wall
    rows = [
        {"command": name, "seconds": timed.wall, "ratio": timed.wall / alone}
        for name, timed in seconds.items()
    ]
    columns = ["command", "seconds", "of import tensorflow"]
    print(pairing.table(columns, [row.values() for row in rows]))
    pairing.write_json(FLAGS.json, rows)
    return 0


def process(command: Sequence[str]) -> pairing.Timed:
    """Seconds of one process, which has to succeed.

    Raises:
        RuntimeError: it did not; its last lines are in the message.
    """
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    wall = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{command} failed: {done.stderr[-2000:]}")
    return pairing.Timed(wall, wall)


if __name__ == "__main__":
    cli.run(main, FLAGS)
