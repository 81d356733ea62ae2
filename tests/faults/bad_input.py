"""Gives every script bad flags and bad files, and bounds what each of them costs.

    python tests/faults/bad_input.py
    python tests/faults/bad_input.py --only=zip
    python tests/faults/bad_input.py --out=docs/reliability.md

Each case must end with its exit code and a sentence, without a traceback, within its
time and its memory. Most cases of a kind run in one process, in which the memory of
each is measured from a fresh mark; a case that does not end costs the process, and is
named. Consoles and names of other encodings get processes of their own. The exit code
is 1 if any case fails.
"""

import contextlib
import dataclasses
import io
import itertools
import json
import os
import re
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent), str(ROOT)]

# ruff: noqa: E402
import bad_files
from bad_files import USER, Case
from stylegan_tf_launch import cli

PATIENCE = 60.0  # seconds, after which a case has no end
HEAD = "| input | message | code | seconds | MB |\n|---|---|---|---|---|"
_MARK = "<!-- bad input -->"  # around the table in the page of --out

FLAGS, define = cli.flag_set()
define.string("only", "", "Only cases whose name contains this.")
define.path(
    "out", None, "Also write a row for each kind to this file, between its marks."
)


@dataclasses.dataclass
class Result:
    """What one case did: exit code, what it printed, seconds, and MB on top."""

    code: int | None
    said: str
    seconds: float
    megabytes: float

    def problem(self, case: Case) -> str:
        """Returns what is wrong, or ""."""
        if "Traceback" in self.said:
            return "traceback"
        if self.code not in case.codes:
            return f"code {self.code}, not {' or '.join(map(str, case.codes))}"
        if not re.search(case.says, self.said):
            return f"does not say {case.says}"
        if self.seconds > case.seconds:
            return f"took {self.seconds:.0f} s"
        if self.megabytes > case.megabytes:
            return f"took {self.megabytes:.0f} MB"
        return ""

    @property
    def message(self) -> str:
        """The sentence, or the last line."""
        lines = [line for line in self.said.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("error: ")]
        return (errors or lines or [""])[-1].removeprefix("error: ")


def main(argv) -> int:
    """Runs the cases and prints the table."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder)
        cases = [c for c in all_cases(room) if FLAGS.only in c.what]
        rows = []
        print(HEAD)
        pairs = zip(cases, _results(room, cases), strict=True)
        more = () if FLAGS.only else consoles(room)
        for case, result in itertools.chain(pairs, more):
            rows.append((case, result))
            print(_row(room, case, result), flush=True)
    bad = [case for case, result in rows if result.problem(case)]
    most = [max(getattr(r, n) for _, r in rows) for n in ("seconds", "megabytes")]
    summary = (
        f"{len(rows)} inputs in {(time.monotonic() - began) / 60:.1f} minutes, at most "
        f"{most[0]:.1f} s and {most[1]:.0f} MB each; {len(bad)} failed."
    )
    print(f"\n{summary}")
    if FLAGS.out:
        _write(Path(FLAGS.out), f"{by_kind(rows)}\n\n{summary}")
    for case, result in rows:
        if problem := result.problem(case):
            print(f"FAILED {case.what}: {problem}\n  {result.said[-600:]}")
    return 1 if bad else 0


def all_cases(room: Path) -> list[Case]:
    """Writes all bad inputs, sound ones beside them, and returns the cases."""
    import bad_models
    import tiny

    from stylegan_tf.data import records, sources
    from stylegan_tf.networks.generator import Generator

    bad_files.pictures(room / "in")
    tiny.noisy(Generator(tiny.config().generator)).save(room / "g.keras")
    source = sources.open_source(str(room / "in"), "none", False)
    records.write_dataset(source, room / "sound", resolution="8", workers=1)
    return [
        *bad_files.commands(room),
        *bad_files.files(room),
        *bad_files.edited_manifests(room, room / "sound"),
        *bad_models.models(room),
    ]


def _row(room: Path, case: Case, result: Result) -> str:
    def cell(text: str) -> str:
        text = text.replace(str(room), "FOLDER").replace("|", "\\|")
        text = "".join(c if c.isprintable() else "?" for c in text)
        return text if len(text) < 160 else f"{text[:157]}..."

    shown = f"{cell(case.what)} | {cell(result.message)}"
    mark = " **failed**" if result.problem(case) else ""
    numbers = f"{result.seconds:.1f} | {result.megabytes:.0f}"
    return f"| {shown} | {result.code}{mark} | {numbers} |"


def by_kind(rows: list[tuple[Case, Result]]) -> str:
    """Returns a table with a row for each kind of input."""
    kinds: dict[str, list[tuple[Case, Result]]] = {}
    for case, result in rows:
        kinds.setdefault(_kind(case.what), []).append((case, result))
    head = "inputs | number | codes | most seconds | most MB | failed"
    lines = [f"| {head} |", "|---|---|---|---|---|---|"]
    for kind, found in kinds.items():
        results = [result for _, result in found]
        codes = ", ".join(sorted({str(r.code) for r in results}))
        seconds = max(r.seconds for r in results)
        megabytes = max(r.megabytes for r in results)
        failed = sum(bool(result.problem(case)) for case, result in found)
        numbers = f"{len(found)} | {codes} | {seconds:.1f} | {megabytes:.0f} | {failed}"
        lines.append(f"| {kind} | {numbers} |")
    return "\n".join(lines)


def _kind(what: str) -> str:
    if match := re.match(r"(\w+) --", what):
        return f"flags of {match[1]}"
    if "flagfile" in what:
        return "flagfiles"
    if what.startswith("manifest.json with "):
        return "manifest.json, one value replaced"
    if what.startswith("a .keras "):
        return "a .keras file"
    return what.partition(": ")[0] if ": " in what else "consoles, names, odd files"


def _write(path: Path, text: str) -> None:
    page = path.read_text(encoding="utf-8") if path.exists() else ""
    if _MARK in page:
        before, _, after = page.split(_MARK)
        text = f"{before}{_MARK}\n{text}\n{_MARK}{after}"
    path.write_text(text, encoding="utf-8")


# ---------------------------------------------------------------------------
# Many cases in one process


def _results(room: Path, cases: list[Case]) -> Iterator[Result]:
    """Yields a result for each case; a process that dies or hangs is replaced."""
    (room / "cases.json").write_text(
        json.dumps([case.argv for case in cases]), encoding="utf-8"
    )
    done = 0
    while done < len(cases):
        command = [sys.executable, str(HERE / "bad_input.py"), "worker", str(room)]
        with (
            open(room / "worker.log", "wb") as log,
            subprocess.Popen(
                [*command, str(done)], stdout=subprocess.PIPE, stderr=log
            ) as worker,
        ):
            while done < len(cases):
                result = _next_result(worker)
                yield result
                done += 1
                if result.code is None:
                    break
            worker.kill()


def _next_result(worker: subprocess.Popen) -> Result:
    began = time.monotonic()
    assert worker.stdout is not None
    ready, _, _ = select.select([worker.stdout], [], [], PATIENCE)
    line = worker.stdout.readline() if ready else b""
    if line:
        return Result(**json.loads(line))
    why = "the process died" if ready else "it had no end"
    return Result(None, why, time.monotonic() - began, 0.0)


def work(room: Path, first: int) -> None:
    """Runs the cases of a folder from one on, and prints a line of JSON for each."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    os.chdir(room)
    cli.load_tensorflow()
    cases = json.loads((room / "cases.json").read_text(encoding="utf-8"))
    for argv in cases[first:]:
        print(json.dumps(dataclasses.asdict(run_case(argv))), file=out, flush=True)


def run_case(argv: list[str]) -> Result:
    """Runs a verb in this process."""
    from launching import VERBS

    module, said = VERBS[argv[0]], io.StringIO()
    before, began = _memory(fresh=True), time.monotonic()
    code: object = 0
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            cli.run(module.main, module.FLAGS, [f"{argv[0]}.py", *argv[1:]])
        except SystemExit as exit:
            code = exit.code or 0
        except BaseException as error:
            code, _ = 1, print(f"Traceback: {error!r}")
    seconds = time.monotonic() - began
    text = said.getvalue()[-4000:].encode("utf-8", "backslashreplace").decode()
    return Result(int(str(code)), text, seconds, max(_memory() - before, 0.0))


def _memory(fresh: bool = False) -> float:
    """Returns the peak of resident MB since the last fresh mark (Linux; else 0)."""
    with contextlib.suppress(OSError):
        if fresh:
            Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        name = "VmRSS" if fresh else "VmHWM"
        return int(re.findall(rf"{name}:\s+(\d+)", status)[0]) / 1e3
    return 0.0


# ---------------------------------------------------------------------------
# Consoles and names, in processes of their own


def consoles(room: Path) -> list[tuple[Case, Result]]:
    """Runs scripts on consoles and in folders of other encodings."""
    source = bad_files.pictures(room / "ひと 🙂")
    raw = Path(os.fsdecode(os.fsencode(room) + b"/caf\xe9 [1]"))
    bad_files.pictures(raw)
    made = ["make_dataset", "--resolution=8"]
    help_ = ["make_dataset", "--help"]
    latin = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "cp1252"}
    plain = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    return [
        _console(
            "pictures of a Japanese folder on a console of cp1252",
            [*made, f"--source={source}", f"--dest={room}/日本"],
            codes=(0,),
            environment=latin,
        ),
        _console(
            "the same on a console of ASCII",
            [*made, f"--source={source}", f"--dest={room}/日本2"],
            codes=(0,),
            environment=plain,
        ),
        _console(
            "a folder whose name is not UTF-8",
            [*made, f"--source={raw}", f"--dest={raw}-made"],
            codes=(0,),
        ),
        _console(
            "a missing folder whose name is not UTF-8",
            [*made, f"--source={raw}-not", f"--dest={room}/x"],
            environment=plain,
        ),
        _console("~ without a home", ["train", "--data=~no-such-user/x", "--dry_run"]),
        _console("standard output that is full", help_, (0, *USER), shell=">/dev/full"),
        _console("no standard output", help_, (0, *USER), shell=">&-"),
        _console("no output and no errors", help_, (0, *USER), shell=">&- 2>&-"),
        _console(
            "a working folder that is gone",
            ["make_dataset", "--source=in", "--dest=out"],
            shell="2>&1",
            before=f"mkdir {room}/gone && cd {room}/gone && rmdir {room}/gone && ",
        ),
    ]


def _console(
    what: str,
    argv: list[str],
    codes: tuple[int, ...] = USER,
    environment: dict[str, str] | None = None,
    shell: str = "",
    before: str = "",
) -> tuple[Case, Result]:
    verb, *flags = argv
    path = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path))}
    command = f'{before}"$@" {shell}'
    script = str(ROOT / "launch" / f"{verb}.py")
    began = time.monotonic()
    done = subprocess.run(
        ["bash", "-c", command, "bash", sys.executable, script, *flags],
        env=env | (environment or {}),
        capture_output=True,
        timeout=2 * PATIENCE,
        check=False,
    )
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    case = Case(what, argv, codes, says="", seconds=PATIENCE)
    return case, Result(done.returncode, said, time.monotonic() - began, 0.0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        work(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        cli.run(main, FLAGS)
