"""A tiny run, what an undisturbed one looks like, and what must hold after a fault."""

import dataclasses
import hashlib
import json
import random
import re
import shutil
import signal
import tempfile
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import processes

TICK, TOTAL = 8, 96  # images
OUT = "runs [1] é"  # brackets are a pattern to TensorFlow
_SETTINGS = {
    f"{net}.{name}": value
    for net in ("generator", "discriminator")
    for name, value in {"fmap_base": 32, "fmap_max": 4}.items()
} | {
    "generator.z_dim": 4,
    "generator.w_dim": 4,
    "generator.mapping_width": 4,
    "generator.mapping_layers": 1,
    "loss.d_reg_interval": 1,
    "schedule.initial_resolution": 4,  # of 8, and never grows: one function to trace
    "schedule.stable_kimg": 1000,
    "schedule.tick_kimg": TICK / 1000,
    "ema_kimg": 0.01,
}
_FLAGS = {
    "resolution": 8,
    "batch": 4,
    "gamma": 0,
    "precision": "float32",
    "jit": "off",
    "snapshot_ticks": 2,
    "image_ticks": 4,
}
# Numbers of stats.jsonl that differ from one machine and hour to the next.
_OF_THE_MACHINE = ("timing/", "memory/")
_NUMBER = re.compile(r"\d+")


@dataclasses.dataclass
class Outcome:
    """What one fault did.

    Attributes:
        fault: the fault, in words.
        result: "recovered", "refused" (with a sentence, and nothing was touched) or
            "damage".
        lost: images that were made again.
        why: what is damaged.
        text: the end of what the process printed.
    """

    fault: str
    result: str = "recovered"
    lost: int = 0
    why: str = ""
    text: str = ""


class Damage(Exception):
    """Something does not hold."""


@dataclasses.dataclass(frozen=True)
class Undisturbed:
    """What a run leaves when nothing happens to it."""

    rows: list[dict]
    files: set[str]
    digest: dict[str, str]


class Lab:
    """Starts trainings in one folder, and remembers what an undisturbed one does.

    Args:
        folder: where the cases of attacks lie.
        fresh: True to start each process anew instead of forking it.
        disks: True if a disk may be mounted.

    Attributes:
        undisturbed: the run that nothing happened to.
        training, exporting: seconds that it took to train, and then to end.
        stopping: True when all is to end.
    """

    def __init__(self, folder: Path, fresh: bool = False, disks: bool = False):
        self.folder, self.fresh, self.disks = folder, fresh, disks
        self.data = str(folder / "faces")
        self.cache = folder / "cache"
        self.stopping = False
        self._templates: dict[str, Path] = {}
        self._making = threading.Lock()

    def prepare(self) -> None:
        """Makes the data set and the undisturbed run."""
        self._make_data()
        case = Case(self, "undisturbed", random.Random(0))
        process, times = case.start(), []
        for line in (" starts at ", "^finished at "):
            process.said(line)
            times.append(time.monotonic())
        case.check_ends(process, None)
        times.append(time.monotonic())
        self.training, self.exporting = times[1] - times[0], times[2] - times[1]
        digest = self.digest(case.run, case)
        self.undisturbed = Undisturbed(case.rows(), case.files(), digest)

    def template(self, name: str) -> Path:
        """A folder that cases start from; made when it is first asked for.

        Args:
            name: "half" for a run that was killed when it had two checkpoints,
                "trained" for one without its model, "short" for one that is finished
                after half of the images, "cached" for a cache with a data set.
        """
        with self._making:
            if name not in self._templates:
                self._templates[name] = self._make_template(name)
            return self._templates[name]

    def _make_template(self, name: str) -> Path:
        case = Case(self, name, random.Random(0))
        if name == "short":
            case.check_ends(case.start(f"--kimg={TOTAL / 2000}"), None)
            return case.out
        if name == "cached":
            case.data, case.cache = "demo:24", case.folder / "cache"
        process = case.start()
        if name == "half":
            process.until(lambda: case.row_images() >= TOTAL * 2 // 3)
        else:
            process.said("^finished at " if name == "trained" else " starts at ")
        process.send(signal.SIGKILL)
        process.wait()
        return case.cache if name == "cached" else case.out

    def keep(self, name: str, error: Exception) -> Outcome:
        """Keeps the folder of a case that was damaged, and tells of it."""
        known = isinstance(error, Damage)
        why = str(error) if known else "".join(traceback.format_exception(error))
        kept = Path(tempfile.mkdtemp(prefix=f"damaged-{name}-"))
        if (self.folder / name).exists():
            shutil.copytree(self.folder / name, kept, dirs_exist_ok=True, symlinks=True)
        print(f"\nDAMAGE {name}: {why}\n  kept in {kept}", flush=True)
        return Outcome("", "damage", why=why)

    def remove(self, name: str) -> None:
        """Removes the folder of a case."""
        shutil.rmtree(self.folder / name, ignore_errors=True)

    def _make_data(self) -> None:
        process = processes.Process(
            make_data, [self.data], self.folder / "make_dataset.txt"
        )
        if code := process.wait():
            raise Damage(f"make_dataset ends with {code}: {process.text[-2000:]}")

    def digest(self, run: Path, case: "Case") -> dict[str, str]:
        """Fingerprints of what a run has learned: its last checkpoint, its model."""
        file = case.folder / "digest.json"
        process = processes.Process(
            write_digest, [str(run), str(file)], case.folder / "digest.txt"
        )
        if process.wait() or not file.exists():
            raise Damage(f"the result does not open: {process.text[-1500:]}")
        return json.loads(file.read_text())


class Case:
    """One run directory under attack, and the command that trains it.

    Args:
        lab: the lab.
        name: of its folder.
        rng: all that is random about the attack.
        template: folder of runs that it starts from.
        data: what --data gets, the lab's data set if not given.
    """

    def __init__(
        self,
        lab: Lab,
        name: str,
        rng: random.Random,
        template: Path | None = None,
        data: str | None = None,
    ):
        self.lab, self.rng = lab, rng
        self.folder = lab.folder / name
        self.folder.mkdir(parents=True)
        self.out = self.folder / OUT
        self._template = template
        if template:
            shutil.copytree(template, self.out)
        self.data = data or lab.data
        self.cache = lab.cache
        self._count = 0
        self.seen = 0  # images that a process has continued from
        self.saved = 0  # and that one said it had saved when it was told to stop
        self.reached = 0  # images of the last row of stats.jsonl, or saved

    @property
    def run(self) -> Path:
        """The run directory; there is never more than one."""
        runs = [p for p in self.out.glob("[0-9]*") if p.is_dir()]
        if len(runs) > 1:
            names = ", ".join(p.name for p in runs)
            raise Damage(f"a second run was opened: {names}")
        return runs[0] if runs else self.out / "no-run"

    def start(self, *more: str, ignored: Sequence[int] = ()) -> processes.Process:
        """Starts the command."""
        self._count += 1
        log = self.folder / f"output-{self._count}.txt"
        flags = _FLAGS | {
            "kimg": TOTAL / 1000,
            "data": self.data,
            "out": self.out,
            "cache": self.cache,
        }
        arguments = [f"--{k}={v}" for k, v in flags.items()]
        arguments += [f"--set={k}={json.dumps(v)}" for k, v in _SETTINGS.items()]
        kind = processes.FreshProcess if self.lab.fresh else processes.Process
        return kind(processes.train, [[*arguments, *more]], log, ignored)

    # -----------------------------------------------------------------------
    # What must hold

    def copy_back(self) -> None:
        """Makes the runs again what they were at first."""
        shutil.rmtree(self.out)
        shutil.copytree(self._template, self.out)

    def rows(self) -> list[dict]:
        """Rows of stats.jsonl."""
        try:
            lines = (self.run / "stats.jsonl").read_text().splitlines()
            return [json.loads(line) for line in lines]
        except (OSError, ValueError) as error:
            raise Damage(f"stats.jsonl: {error}") from error

    def row_images(self) -> int:
        """Images of the last whole row in stats.jsonl, 0 if there is none."""
        found = re.findall(r'^{"nimg": (\d+).*}$', _read(self.run, "stats.jsonl"), re.M)
        return int(found[-1]) if found else 0

    def files(self) -> set[str]:
        """Files of the run, by their names without numbers."""
        names = {str(p.relative_to(self.run)) for p in self.run.rglob("*")}
        return {_NUMBER.sub("N", name.replace("\\", "/")) for name in names}

    def continues(self, process: processes.Process) -> int | None:
        """Images that a process starts from, as it says; None if it ends before.

        Raises:
            Damage: it starts at 0, or before where an earlier process has started.
        """
        found = process.said(r" (starts|continues) at ([\d.]+) kimg")
        if not found:
            return None
        images = round(float(found[2]) * 1000)
        if images < self.seen:
            raise Damage(f"starts at {images} images after {self.seen} were saved")
        self.seen = images
        return images

    def check_output(self, process: processes.Process) -> None:
        """No traceback, no crash; nothing hangs."""
        text, code = process.text, process.poll()
        if "Traceback (most recent call last)" in text:
            raise Damage("a traceback")
        if re.search("^hangs: ", text, re.M):
            raise Damage("it hangs")
        if code in (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGFPE):
            raise Damage(f"crashes with {signal.Signals(-code).name}")

    def check_refused(self, process: processes.Process) -> None:
        """It ends with a sentence that says why."""
        self.check_output(process)
        errors = re.findall("^error: .*", process.text, re.M)
        if process.poll() not in (1, 2) or len(errors) != 1:
            raise Damage(f"ends with {process.poll()} and {len(errors)} errors")
        if len(errors[0]) > 600:
            raise Damage(f"an error of {len(errors[0])} letters")

    def check_ends(
        self,
        process: processes.Process,
        like: Undisturbed | None,
        rows: str = "all",
        spoiled: str = "",
    ) -> None:
        """It trains to the end, and leaves what an undisturbed run leaves.

        Args:
            process: the process; this waits for its end.
            like: the undisturbed run, None if this is it.
            rows: "all" if the rows of stats.jsonl are the same, "whole" if they may
                end at other images (a signal ends a line early), "some" if some may
                be missing.
            spoiled: file that may be missing.
        """
        code = process.wait()
        self.check_output(process)
        if code:
            raise Damage(f"ends with {code}")
        if not like:
            return
        self._check_rows(like, rows)
        digest = self.lab.digest(self.run, self)
        wrong = [k for k in like.digest if digest.get(k) != like.digest[k]]
        if wrong:
            raise Damage(f"other numbers than undisturbed: {', '.join(wrong)}")
        if missing := like.files - self.files() - {_NUMBER.sub("N", spoiled)}:
            raise Damage(f"files are missing: {', '.join(sorted(missing)[:4])}")
        more = self.files() - like.files
        if "config.json could not be read" in process.text:
            more -= {"config.unreadable.json"}  # kept for a person to look at
        if more:
            raise Damage(f"files are left over: {', '.join(sorted(more)[:4])}")

    def _check_rows(self, like: Undisturbed, rows: str) -> None:
        found = self.rows()
        images = [row["nimg"] for row in found]
        if images != sorted(set(images)):
            raise Damage(f"rows of stats.jsonl twice or in disorder: {images}")
        if images[-1:] != [TOTAL]:
            raise Damage(f"stats.jsonl ends at {images[-1:]} images")
        steps = [b - a for a, b in zip([0, *images], images, strict=False)]
        if rows != "some" and max(steps) > TICK:
            raise Damage(f"rows of stats.jsonl are missing: {images}")
        if rows == "all":
            if len(images) != len(like.rows):
                raise Damage(f"rows of stats.jsonl at other images: {images}")
            self.check_begins(like)

    def check_begins(self, like: Undisturbed) -> None:
        """The rows of stats.jsonl are the first ones of an undisturbed run."""
        for row, expected in zip(self.rows(), like.rows, strict=False):
            for name, value in expected.items():
                if not name.startswith(_OF_THE_MACHINE) and row.get(name) != value:
                    what = f"{name} is {row.get(name)}, not {value}"
                    raise Damage(f"stats.jsonl at {row['nimg']}: {what}")

    def tree(self) -> dict[str, str]:
        """Contents of all files of the runs; the lock and the log may change."""
        return {
            str(p.relative_to(self.out)): _content(p)
            for p in self.out.rglob("*")
            if p.name not in (".lock", ".owner.json", "log.txt")
        }


def _content(path: Path) -> str:
    if not path.is_file():
        return "folder"
    return _sha(path.read_bytes())


def _sha(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


def _read(run: Path, name: str) -> str:
    try:
        return (run / name).read_text(errors="replace")
    except OSError:
        return ""


# ---------------------------------------------------------------------------
# What children of the server do beside training


def make_data(folder: str) -> None:
    """Writes the data set of all runs."""
    from stylegan_tf.data import records, sources

    source = sources.open_source("demo:24")
    records.write_dataset(source, folder, resolution=8, workers=1)


def write_digest(run: str, file: str) -> None:
    """Writes the fingerprints of the last checkpoint and the model of a run."""
    import numpy as np
    import tensorflow as tf

    import stylegan_tf

    run = Path(run)
    found = {}

    def add(name: str, arrays) -> None:
        parts = [key + _sha(np.asarray(array).tobytes()) for key, array in arrays]
        found[name] = _sha("".join(sorted(parts)).encode())

    def variables(prefix: Path):
        # By a path without brackets: this function takes it for a pattern.
        copy = Path(file).with_name("read") / prefix.name
        shutil.rmtree(copy.parent, ignore_errors=True)
        copy.parent.mkdir()
        for path in prefix.parent.iterdir():
            if path.name.startswith(f"{prefix.name}."):
                shutil.copy(path, copy.parent)
        reader = tf.train.load_checkpoint(str(copy))
        of_the_machine = ("save_counter/", "values/", "_CHECKPOINTABLE")
        for key in sorted(reader.get_variable_to_dtype_map()):
            if not key.startswith(of_the_machine):
                yield key, reader.get_tensor(key)

    add("the last checkpoint", variables(run / "checkpoints" / f"ckpt-{TOTAL}"))
    exported = variables(run / "model" / "saved_model/variables/variables")
    add("saved_model", [("", array) for _, array in exported])  # numbered anyhow
    model = stylegan_tf.load(run / "model")
    add("model", [(w.path, w) for w in model.weights])
    Path(file).write_text(json.dumps(found))
