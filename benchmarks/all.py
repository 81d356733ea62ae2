"""Every table about speed, memory and time to quality, one script after the other.

    python benchmarks/all.py --out=tables
    python benchmarks/all.py --skip=quality                 # without the hours
    python benchmarks/all.py --only=step,peers --out=tables

Needs `pip install -e ".[peers]"`. What a script prints goes to the screen and to
OUT/NAME.md. Without --model, the run that start-up times are taken with is trained
first, by `launch/train.py`. A script that fails does not stop the others; the exit code
is then 1. Keep the machine free of other work.
"""

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from stylegan_tf_launch import cli

from stylegan_tf.errors import UserError

HERE = Path(__file__).parent
# Name -> arguments; the script is the name's, unless the arguments begin with another.
TABLES = {
    "step": "",
    "peers": "--json={out}/peers.json",
    "early": "",
    "launches": "",
    "modulation": "",
    "sampling": "",
    "start": "--model={model}",
    "serve": "--model={model}",
    "data": "",
    "convert": "",
    "open_official": "",
    "start_training": "",
    "replicas": "",
    "cores": "--json={out}/cores.json",
    "memory": "--networks=demo-ladder-f,matched,demo-stylegan2",
    "recompute": "memory.py --networks=paper256 --resolutions=256 --recompute",
    "plan": "",
    "plan_validate": "plan.py --validate",
    "quality": "--out={out}/quality",
}

FLAGS, define = cli.flag_set()
define.string("out", "tables", "Folder of what is printed.")
define.list("only", [], f"Of {', '.join(TABLES)}.")
define.list("skip", [], "Those left out.")
define.string("model", None, "A run that is there already.")


def main(argv: Sequence[str]) -> int:
    """Runs the scripts; returns the exit code."""
    names = chosen(FLAGS.only, FLAGS.skip)
    out = Path(FLAGS.out)
    out.mkdir(parents=True, exist_ok=True)
    model = FLAGS.model
    if model is None and any("{model}" in TABLES[name] for name in names):
        model = _trained(out)
    failed = [name for name in names if not _run(name, out, model)]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def chosen(only: Sequence[str], skip: Sequence[str]) -> list[str]:
    """Names of tables, in order.

    Raises:
        UserError: there is no such table.
    """
    unknown = [name for name in [*only, *skip] if name not in TABLES]
    if unknown:
        raise UserError(
            f"there is no table {unknown[0]!r}; there are {', '.join(TABLES)}."
        )
    return [n for n in TABLES if (not only or n in only) and n not in skip]


def command(name: str, out: Path, model: str | None) -> list[str]:
    """The command line that makes a table."""
    words = shlex.split(TABLES[name].format(out=out, model=model))
    if not words or not words[0].endswith(".py"):
        words.insert(0, f"{name}.py")
    return [sys.executable, str(HERE / words[0]), *words[1:]]


def _run(name: str, out: Path, model: str | None) -> bool:
    print(f"\n# {name}\n", flush=True)
    process = subprocess.Popen(
        command(name, out, model), stdout=subprocess.PIPE, text=True
    )
    with open(out / f"{name}.md", "w", encoding="utf-8") as file:
        for line in process.stdout:
            print(line, end="", flush=True)
            file.write(line)
    return process.wait() == 0


def _trained(out: Path) -> str:
    """A run of the first command of the README."""
    runs = out / "runs"
    train = [sys.executable, str(HERE.parent / "launch" / "train.py")]
    subprocess.run([*train, f"--out={runs}"], check=True)
    return str(sorted(runs.glob("[0-9]*-*"))[-1])


if __name__ == "__main__":
    cli.run(main, FLAGS)
