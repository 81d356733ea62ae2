"""The run directory: numbering, finding the run to continue, what may change.

    runs/00003-<data>-<preset>/   config.json, command.txt, environment.json, log.txt,
                                  stats.jsonl, progress.json, checkpoints/, model/, ...

`config.json` rebuilds everything and `progress.json` tells how many images the run has
seen, so a run is found and judged without TensorFlow.
"""

import contextlib
import errno
import itertools
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from stylegan_tf import checkpoints, files
from stylegan_tf import config as configs
from stylegan_tf.command_line import command_words
from stylegan_tf.config import RESUMABLE, SETTLED, TrainConfig, schedule
from stylegan_tf.data.manifest import Manifest
from stylegan_tf.errors import UserError

SHEET = "sheet.png"  # the last file that a finished run writes
CARD = Path("model") / "model_card.json"
# A folder with one of these is a run, whatever became of its settings.
TRACES = ("config.json", "progress.json", "stats.jsonl", checkpoints.FOLDER)
DIVERGED = "no model is written; the checkpoints of before are kept"  # in log.txt
PACKAGES = ("tensorflow", "tensorflow-cpu", "keras", "numpy", "pillow", "stylegan_tf")


@dataclass(frozen=True)
class Run:
    """A run directory and its saved settings."""

    path: Path
    config: TrainConfig

    @property
    def nimg(self) -> int:
        """Images seen at the last checkpoint; 0 before the first."""
        known = checkpoints.saved_progress(self.path)
        if known is None:
            newest = checkpoints.newest_checkpoint(self.path)
            return newest.nimg if newest else 0
        return known

    @property
    def finished(self) -> bool:
        """True if the run has seen all its images and exported what it has become."""
        total = self.config.schedule.total_kimg * 1000
        return self.nimg >= total and is_exported(self.path, self.nimg)


def is_exported(run: Path, nimg: int) -> bool:
    """Returns True if `model/` and the last sheet are of a run's state at `nimg`.

    The model's card says so, and is written last. Runs of earlier versions have a card
    without the fingerprint of the settings, or no card, and a sheet without facts.
    """
    card = files.read_json_object(run / CARD)
    origin = card.get("origin")
    if not card:
        of_before = (run / SHEET).exists() and "nimg" not in sheet_facts(run / SHEET)
        return of_before and (run / CARD).parent.is_dir()
    if not isinstance(origin, dict) or origin.get("images_seen") != nimg:
        return False
    if origin.get("settings") and sheet_facts(run / SHEET).get("nimg") != str(nimg):
        return False
    sizes = {f.get("name"): f.get("bytes") for f in card.get("files", [])}
    model = (run / CARD).with_name("generator.keras")
    return (run / SHEET).exists() and (
        model.is_file() and model.stat().st_size == sizes.get(model.name)
    )


def sheet_facts(path: Path) -> dict[str, str]:
    """Reads the facts that `figures.save_image` has put into a PNG; or {}."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return {k: v for k, v in image.info.items() if isinstance(v, str)}
    except (OSError, ValueError, SyntaxError):
        return {}


def read_run(path: Path | str) -> Run:
    """Opens a run directory.

    Settings that cannot be read are those that the newest checkpoint has recorded.

    Raises:
        UserError: there is no run directory at `path`, or its settings are unreadable.
    """
    path = Path(path)
    file = path / "config.json"
    try:
        return Run(path, configs.read_config(file))
    except UserError as error:  # written by hand, or of another version
        raise UserError(f"{file} cannot be read: {error}") from error
    except (OSError, ValueError, TypeError) as error:
        for checkpoint in checkpoints.list_checkpoints(path):
            settings = checkpoint.record().get("settings")
            with contextlib.suppress(ValueError, TypeError):
                return Run(path, configs.from_dict(TrainConfig, settings))
        if not file.exists():
            text = f"{path} is not a run directory: it has no config.json."
            raise UserError(text) from error
        why = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UserError(
            f"{file} cannot be read: {why}. Bring it back from a copy; or start anew "
            f"with --resume=never."
        ) from error


def _folders(out: Path | str) -> list[Path]:
    return sorted(p for p in Path(out).glob("[0-9]*-*") if p.is_dir())


def list_runs(out: Path | str) -> list[Run]:
    """The runs in a folder, oldest first; unreadable ones are left out."""
    runs = []
    for path in _folders(out):
        with contextlib.suppress(UserError):
            runs.append(read_run(path))
    return runs


def unreadable_runs(out: Path | str) -> dict[Path, str]:
    """The runs in a folder whose settings cannot be read, and why, oldest first."""
    found = {}
    for path in _folders(out):
        if any((path / name).exists() for name in TRACES):
            try:
                read_run(path)
            except UserError as error:
                found[path] = str(error)
    return found


def find_run(
    out: Path | str, config: TrainConfig, data: Manifest | None = None
) -> Run | None:
    """The newest run under `out` that `config` could continue.

    Args:
        out: folder of runs.
        config: settings.
        data: images to train on. A run of others does not count, unless it names its
            images by the same words: then these have changed.
    """
    same = [r for r in list_runs(out) if not changed_settings(r.config, config)]
    if data:
        now = data.level(config.generator.resolution).fingerprint
        same = [
            run
            for run in same
            if run.config.data == config.data
            or checkpoints.known_data(run.path)[0] in (now, None)
        ]
    return same[-1] if same else None


def check_unreadable(out: Path | str, config: TrainConfig, found: Run | None) -> None:
    """Names the runs that cannot be read, before another is continued or begun.

    Raises:
        UserError: by its name one of them may be the run to continue.
    """
    for path, why in unreadable_runs(out).items():
        newer = found is None or path.name > found.path.name
        if newer and path.name.partition("-")[2] == _name(config):
            raise UserError(f"{path} may be the run to continue: {why}")
        print(f"{path} is left out: {why}", file=sys.stderr)


def changed_settings(saved: TrainConfig, wanted: TrainConfig) -> list[str]:
    """Dotted names of the settings that differ and cannot change during a run."""
    a, b = configs.flat(saved), configs.flat(wanted)
    free = (*RESUMABLE, *SETTLED)
    return [name for name in a if a[name] != b[name] and name not in free]


def check_resumable(run: Run, wanted: TrainConfig, flags: dict[str, str]) -> None:
    """Refuses settings that cannot change in the middle of a run.

    Args:
        run: the run to continue.
        wanted: the settings asked for.
        flags: dotted name -> the flag that sets it.

    Raises:
        UserError: names each flag, with its value then and now.
    """
    saved, now = configs.flat(run.config), configs.flat(wanted)
    lines = []
    for name in changed_settings(run.config, wanted):
        flag = flags.get(name, f"--set={name}")
        lines.append(f"{flag} was {saved[name]!r} and is now {now[name]!r}")
    if lines:
        raise UserError(
            f"{run.path} cannot continue with other settings: {'; '.join(lines)}. "
            "Use the old values, or --resume=never to start a new run, or --init to "
            "start one from this model."
        )


def create_run(
    out: Path | str,
    config: TrainConfig,
    command: Sequence[str],
    more: Mapping[str, str] | None = None,
) -> Run:
    """Creates a numbered run directory, with its settings and how it was made.

    Args:
        out: folder of runs.
        config: settings.
        command: the command line.
        more: name -> text of further files.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    texts = {
        "config.json": configs.config_text(config),
        "command.txt": shlex.join(command) + "\n",
        "environment.json": json.dumps(environment(), indent=2) + "\n",
    }
    draft = out / f".{_name(config)}.{os.getpid()}.new"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        for name, text in (texts | dict(more or {})).items():
            files.write_text(draft / name, text)
        checkpoints.write_progress(draft, 0)
        path = _take_number(draft, out, _name(config))
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    files.sync(out)
    return Run(path, config)


def remove_unfinished(out: Path) -> None:
    """Removes runs that killed processes have left half created.

    No other process may be creating one.
    """
    for path in out.glob(".*-*.new"):
        if re.fullmatch(r".*\.[0-9]+\.new", path.name, re.DOTALL):
            shutil.rmtree(path, ignore_errors=True)


def _take_number(draft: Path, out: Path, name: str) -> Path:
    """Moves a complete run directory to the next free number."""
    numbers = [re.fullmatch("([0-9]{5})-.*", p.name, re.DOTALL) for p in out.iterdir()]
    for number in itertools.count(
        max((int(n[1]) for n in numbers if n), default=-1) + 1
    ):
        path = out / f"{number:05d}-{name}"
        if not path.exists():
            try:
                draft.rename(path)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                continue  # another process took the number
            return path
    raise AssertionError("numbers have no end")


def _name(config: TrainConfig) -> str:
    return f"{_slug(config.data)}-{_slug(config.preset)}"


def _slug(text: str) -> str:
    """A short name: "photos" of "my/photos/", "cifar10" of "tfds:cifar10"."""
    name = text.removeprefix("tfds:")
    name = "demo" if name.startswith("demo:") else Path(name.rstrip("/")).stem
    return re.sub(r"[^A-Za-z0-9_.]+", "_", name)[:40] or "data"


def environment() -> dict[str, object]:
    """Versions of Python, the packages and the machine, and this code's commit."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "packages": versions,
        "commit": _commit(),
    }


def _commit() -> str | None:
    here = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


# ---------------------------------------------------------------------------
# A run that goes on


def continued_config(saved: TrainConfig, wanted: TrainConfig) -> TrainConfig:
    """The saved settings, with the new values of those that may change."""
    flat = configs.flat(wanted)
    return configs.update(saved, {name: flat[name] for name in RESUMABLE})


def check_data(run: Run, data: Manifest) -> str:
    """Returns the fingerprint of the images to train on.

    Raises:
        UserError: the run was trained on other images than these.
    """
    fingerprint = data.level(run.config.generator.resolution).fingerprint
    known, _ = checkpoints.known_data(run.path)
    if known and known != fingerprint:
        raise UserError(
            f"{run.path} was trained on other pictures than {run.config.data} holds "
            f"now (fingerprint {known}, now {fingerprint}); give the old data, or "
            f"--init={shlex.quote(str(run.path))} to start a run from its model."
        )
    return fingerprint


def record_settings(run: Run, data: Manifest) -> None:
    """Saves the settings now in force, and which data set the run trains on.

    Raises:
        UserError: see `check_data`.
    """
    text = f"{check_data(run, data)} {os.path.abspath(data.folder)}\n"
    files.write_text(run.path / "data.txt", text)
    _write_config(run)


def _write_config(run: Run) -> None:
    file = run.path / "config.json"
    try:
        configs.read_config(file)
    except (OSError, ValueError, TypeError):
        print(f"{file} could not be read; its settings are those of a checkpoint.")
        with contextlib.suppress(OSError):  # for a person to look at
            file.replace(file.with_name("config.unreadable.json"))
    files.write_text(file, configs.config_text(run.config))


def check_started(run: Run) -> None:
    """Refuses a run that has been trained, but lost its checkpoints and progress.

    Raises:
        UserError: starting at 0 would overwrite what is left.
    """
    if checkpoints.saved_progress(run.path) is not None:
        return
    if checkpoints.list_checkpoints(run.path):
        return
    left = [run.path / name for name in ("stats.jsonl", CARD, SHEET)]
    for file in left:
        if file.exists() and file.stat().st_size:
            raise UserError(
                f"{run.path} has neither a checkpoint nor progress.json, but "
                f"{file.name}: it was trained. Bring the files back from a copy, or "
                f"start anew with --resume=never."
            )


def print_why_new(out: Path | str, config: TrainConfig) -> None:
    """Prints why the newest run of the same data and preset does not go on, if any."""
    same = (config.data, config.preset)
    near = [r for r in list_runs(out) if (r.config.data, r.config.preset) == same]
    if near:
        names = changed_settings(near[-1].config, config)
        shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
        print(f"A new run; {near[-1].path} has other settings: {shown}.")


def print_finished(run: Run) -> None:
    """Prints that a run is finished, its newest sheet, and how to go on."""
    kimg = run.nimg / 1000
    print(f"{run.path} is finished: it has seen {kimg:g} thousand images.")
    print(schedule.drawn_size_text(run.config, run.nimg))
    if sheet := newest_sheet(run):
        print(f"pictures: {sheet}")
    longer = [*command_words("train"), f"--resume={run.path}", f"--kimg={2 * kimg:g}"]
    print(f"To train it longer: {shlex.join(longer)}")
    print("A new run: --resume=never.")


def newest_sheet(run: Run) -> Path | None:
    """Returns the newest sheet of generated images, or None."""
    drawn = [p for p in run.path.glob("fakes-*.png") if p.stem[6:].isdecimal()]
    last = run.path / SHEET
    if last.exists() and (run.finished or not drawn):
        return last
    return max(drawn, key=lambda path: int(path.stem[6:]), default=None)


def read_stats(run: Path) -> list[dict[str, float]]:
    """Reads the rows of `stats.jsonl`; skips lines cut short by a kill."""
    rows = []
    with contextlib.suppress(OSError):
        for line in (run / "stats.jsonl").read_text("utf-8").splitlines():
            with contextlib.suppress(ValueError):
                row = json.loads(line)
                rows += [row] if isinstance(row, dict) and "nimg" in row else []
    return rows
