"""Faults in files: of a checkpoint, of a run's state, of a data set, of the cache.

The command must go on to the numbers of an undisturbed run, or refuse with a sentence
and touch nothing. It never starts at 0 again, and never shows a traceback.
"""

import json
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from random import Random

import processes
from lab import TICK, Case, Damage, Lab, Outcome

_LAYERS = 100_000  # of brackets
# What a JSON file may hold instead of what it should.
_ODD_TEXTS = [
    *("", "\n", "null", "[]", "{}", "1", "-1", '"x"', "NaN", "[[]]", '{"nimg"'),
    *('{"nimg": "x"}', '{"nimg": -8}', '{"nimg": 1e400}', '{"nimg": true}'),
    *('{"nimg": null}', '{"nimg": [8]}', '{"nimg": 10000000000000000000000000}'),
    *("\0" * 512, "[" * _LAYERS, "\ufeff{}", "PK\3\4", "x" * 5_000_000),
]
_ODD_VALUES = [
    *(None, -1, 0, 1e30, 1e400, float("nan"), 10**30, "", "x", "../../etc/passwd"),
    *([], {}, True, ["x"], {"odd": [1]}, "/dev/zero", "a\0b", [[[]]], -(10**18)),
]


def damage_file(path: Path, rng: Random, text: bool = False) -> str:
    """Damages a file as disks, kills and people do; returns how."""
    data = path.read_bytes()
    kinds = ["cut", "empty", "gone", "zeros", "random", "folder", "dangling"]
    how = rng.choice([*kinds, *(["odd"] * 4 if text else ["flipped"] * 4)])
    if how == "flipped" and data:
        changed = bytearray(data)
        for _ in range(rng.choice([1, 1, 1, 8, 64])):
            changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        data = bytes(changed)
    elif how == "cut":
        data = data[: rng.randrange(len(data))] if data else b""
    elif how == "empty":
        data = b""
    elif how == "zeros":  # what a file system may show after a loss of power
        start = rng.randrange(len(data)) if data else 0
        data = data[:start] + bytes(len(data) - start)
    elif how == "random":
        data = rng.randbytes(rng.choice([1, 100, len(data)]))
    elif how == "odd":
        chosen = rng.choice(_ODD_TEXTS)
        how, data = f"{chosen[:16]!r}", chosen.encode()
    path.unlink()
    if how == "folder":
        path.mkdir()
    elif how == "dangling":
        path.symlink_to("/nonexistent/file")
    elif how != "gone":
        path.write_bytes(data)
    return how


def damage_json(path: Path, rng: Random) -> str:
    """Changes or removes one value of a JSON file, at any depth; returns how."""
    values = json.loads(path.read_text())
    places = list(_places(values))
    parent, key = rng.choice(places)
    if rng.random() < 0.25:
        del parent[key]
        how = "gone"
    else:
        parent[key] = rng.choice(_ODD_VALUES)
        how = f"{parent[key]!r}"[:30]
    path.write_text(json.dumps(values))
    return f"{key}: {how}"


def _places(values):
    for key in list(values) if isinstance(values, dict) else range(len(values)):
        yield values, key
        if isinstance(values[key], dict | list):
            yield from _places(values[key])


def _each(lab: Lab, name: str, times: int, attack: Callable[[str], Outcome]) -> list:
    outcomes = []
    for i in range(times):
        try:
            outcomes.append(attack(f"{name}-{i}"))
        except Exception as error:
            if lab.stopping:
                break
            outcomes.append(lab.keep(f"{name}-{i}", error))
        finally:
            lab.remove(f"{name}-{i}")
    return outcomes


def _judge(
    case: Case,
    fault: str,
    undo: Callable[[], None],
    must_continue: bool = False,
    **allowed: str,
) -> Outcome:
    """Starts the command on what is damaged.

    Args:
        case: the run.
        fault: the fault, in words.
        undo: takes the damage away again.
        must_continue: True if refusing would be wrong.
        allowed: see `Case.check_ends`.
    """
    before, reached = case.tree(), case.row_images()
    try:
        process = case.start()
        if process.wait() == 0:
            images = case.continues(process)
            if images is None:
                raise Damage("says nothing of where it starts")
            case.check_ends(process, case.lab.undisturbed, **allowed)
            return Outcome(fault, lost=max(0, reached - images), text=process.text)
        case.check_refused(process)
        if must_continue:
            raise Damage(f"refused: {_error(process)}")
        untouched = case.tree() == before
        undo()
        if not untouched or case.rng.random() < 0.2:
            case.check_ends(case.start(), case.lab.undisturbed, **allowed)
        return Outcome(fault, "refused", text=process.text)
    except Damage as error:
        raise Damage(f"{fault}: {error}") from error


def _error(process: processes.Process) -> str:
    return "".join(re.findall("^error: (.*)", process.text, re.M))


# ---------------------------------------------------------------------------
# The run's own files


def damaged_checkpoint(lab: Lab, name: str, rng: Random, times: int) -> list[Outcome]:
    """A damaged checkpoint, in one file or several."""

    def attack(folder: str) -> Outcome:
        case = Case(lab, folder, rng, lab.template("half"))
        files = case.run / "checkpoints"
        newest, older = checkpoints(case)
        which = rng.choices(["newest", "all", "index", "older"], [6, 1, 2, 1])[0]
        case.seen = older if which == "newest" else newest
        if which == "index":
            file = files / "checkpoint"
            if not file.exists():  # the product needs none
                which, case.seen = "newest", older
            else:
                fault = f"checkpoints/checkpoint {damage_file(file, rng, text=True)}"
        if which in ("newest", "older"):
            step = newest if which == "newest" else older
            fault = _damage_some(sorted(files.glob(f"ckpt-{step}.*")), rng)
        if which == "all":
            case.seen = 1  # it must not start at 0
            for step in (newest, older):
                fault = _damage_some(sorted(files.glob(f"ckpt-{step}.*")), rng)
        outcome = _judge(case, fault, case.copy_back, which != "all")
        left = list(files.glob(f"ckpt-{newest}.*"))
        skipped = which == "newest" and left and outcome.lost
        if skipped and f"ckpt-{newest}" not in outcome.text:
            raise Damage(f"{fault}: it does not say what was skipped")
        return outcome

    return _each(lab, name, times, attack)


def checkpoints(case: Case) -> tuple[int, int]:
    """Images of the newest two checkpoints."""
    names = [p.name for p in (case.run / "checkpoints").glob("ckpt-*.index")]
    steps = sorted(int(re.findall(r"\d+", name)[0]) for name in names)
    return steps[-1], steps[-2]


def _damage_some(files: list[Path], rng: Random) -> str:
    """Damages one file of a checkpoint, or several."""
    count = rng.choice([1, 1, 1, len(files)])
    chosen = rng.sample(files, min(count, len(files)))
    how = [f"{file.name} {damage_file(file, rng)}" for file in chosen]
    return ", ".join(how)


def damaged_state(lab: Lab, name: str, rng: Random, times: int) -> list[Outcome]:
    """A damaged file of the run: config, progress, rows, log and others."""

    def attack(folder: str) -> Outcome:
        case = Case(lab, folder, rng, lab.template("half"))
        files = [p for p in case.run.iterdir() if p.is_file() and p.name != "lock"]
        often = [p for p in files if p.suffix in (".json", ".jsonl", ".txt")]
        file = rng.choice([*files, *often, *often, *often])
        case.seen = checkpoints(case)[1]
        if file.name == "config.json" and rng.random() < 0.5:
            how = _odd_setting(file, rng)
        else:
            how = damage_file(file, rng, text=file in often)
        rows = "some" if file.name == "stats.jsonl" else "all"
        fault = f"{file.name} {how}"
        spoiled = file.name
        return _judge(case, fault, case.copy_back, rows=rows, spoiled=spoiled)

    return _each(lab, name, times, attack)


def _odd_setting(file: Path, rng: Random) -> str:
    """Gives one setting a value that no setting can have."""
    values = json.loads(file.read_text())
    parent, key = rng.choice(list(_places(values)))
    parent[key] = {"odd": [1]}
    file.write_text(json.dumps(values))
    return f"{key}: odd"


# ---------------------------------------------------------------------------
# Data


def damaged_data(lab: Lab, name: str, rng: Random, times: int) -> list[Outcome]:
    """A damaged data set: shards cut, flipped or gone, the manifest edited."""

    def attack(folder: str) -> Outcome:
        case = Case(lab, folder, rng, lab.template("half"))
        case.data = str(case.folder / "faces")
        shutil.copytree(lab.data, case.data)
        _replace(case.run, lab.data, case.data)
        fault = _damage_data(Path(case.data), rng)

        def undo() -> None:
            shutil.rmtree(case.data)
            shutil.copytree(lab.data, case.data)

        case.seen = checkpoints(case)[1]
        return _judge(case, fault, undo)

    return _each(lab, name, times, attack)


def _replace(run: Path, old: str, new: str) -> None:
    """Lets the run's state name another folder of data."""
    for name in ("config.json", "data.txt"):
        text = (run / name).read_text()
        (run / name).write_text(text.replace(old, new))


def _damage_data(folder: Path, rng: Random) -> str:
    manifest = folder / "manifest.json"
    if rng.random() < 0.4:
        return f"manifest {damage_json(manifest, rng)}"
    if rng.random() < 0.2:
        return f"manifest {damage_file(manifest, rng, text=True)}"
    shard = rng.choice(sorted(folder.rglob("0004/*.tfrecords")))
    return f"shard {damage_file(shard, rng)}"


def damaged_cache(lab: Lab, name: str, rng: Random, times: int) -> list[Outcome]:
    """A damaged data set in the cache."""

    def attack(folder: str) -> Outcome:
        case = Case(lab, folder, rng, data="demo:24")
        case.cache = case.folder / "cache"
        shutil.copytree(lab.template("cached"), case.cache)
        (data,) = case.cache.glob("demo-*")
        fault = _damage_data(data, rng)
        process = case.start()
        process.until(lambda: case.row_images() >= 2 * TICK)
        process.send(signal.SIGKILL)
        process.wait()
        try:
            if case.row_images():
                case.check_output(process)
                case.check_begins(lab.undisturbed)
                return Outcome(fault)
            case.check_refused(process)
            return Outcome(fault, "refused")
        except Damage as error:
            raise Damage(f"{fault}: {error}") from error

    return _each(lab, name, times, attack)
