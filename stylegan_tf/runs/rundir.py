"""The run directory: numbering, finding the run to continue, what may change.

    runs/00003-<data>-<preset>/   config.json, command.txt, environment.json, log.txt,
                                  stats.jsonl, progress.json, checkpoints/, model/, ...

`config.json` rebuilds everything and `progress.json` tells how many images the run has
seen, so a run is found and judged without TensorFlow.
"""

import json
import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from stylegan_tf import config as configs
from stylegan_tf import files
from stylegan_tf.config import RESUMABLE, SETTLED, TrainConfig
from stylegan_tf.data.manifest import Manifest
from stylegan_tf.errors import UserError

SHEET = "sheet.png"  # the last file that a finished run writes
PACKAGES = ("tensorflow", "tensorflow-cpu", "keras", "numpy", "pillow", "stylegan_tf")


@dataclass(frozen=True)
class Run:
    """A run directory and its saved settings."""

    path: Path
    config: TrainConfig

    @property
    def nimg(self) -> int:
        """Images seen at the last checkpoint; 0 before the first."""
        try:
            return json.loads((self.path / "progress.json").read_text())["nimg"]
        except (OSError, ValueError, KeyError):
            return 0

    @property
    def finished(self) -> bool:
        """True if the run has seen all its images and written its model."""
        total = self.config.schedule.total_kimg * 1000
        return self.nimg >= total and (self.path / SHEET).exists()


def read_run(path: Path | str) -> Run:
    """Opens a run directory.

    Raises:
        UserError: there is no run directory at `path`.
    """
    path = Path(path)
    if not (path / "config.json").is_file():
        raise UserError(f"{path} is not a run directory: it has no config.json.")
    try:
        return Run(path, configs.read_config(path / "config.json"))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}/config.json cannot be read: {error}") from error


def list_runs(out: Path | str) -> list[Run]:
    """The runs in a folder, oldest first; unreadable ones are left out."""
    runs = []
    for path in sorted(p for p in Path(out).glob("[0-9]*-*") if p.is_dir()):
        try:
            runs.append(read_run(path))
        except UserError:
            continue
    return runs


def find_run(out: Path | str, config: TrainConfig) -> Run | None:
    """The newest run under `out` that `config` could continue."""
    same = [r for r in list_runs(out) if not changed_settings(r.config, config)]
    return same[-1] if same else None


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


def create_run(out: Path | str, config: TrainConfig, command: list[str]) -> Run:
    """Creates a numbered run directory, with its settings and how it was made."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    taken = [int(p.name.split("-")[0]) for p in out.glob("[0-9]*-*") if p.is_dir()]
    for number in range(max(taken, default=-1) + 1, 100000):
        path = out / f"{number:05d}-{_slug(config.data)}-{_slug(config.preset)}"
        try:
            path.mkdir()
        except FileExistsError:
            continue  # another process took the number
        break
    configs.write_config(config, path / "config.json")
    (path / "command.txt").write_text(" ".join(command) + "\n")
    text = json.dumps(environment(), indent=2)
    (path / "environment.json").write_text(text + "\n")
    return Run(path, config)


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


def record_settings(run: Run, data: Manifest) -> None:
    """Saves the settings now in force, and which data set the run trains on.

    Raises:
        UserError: the run was trained on other images than these.
    """
    fingerprint = data.level(run.config.generator.resolution).fingerprint
    path = run.path / "data.txt"
    if path.exists() and path.read_text().split()[0] != fingerprint:
        raise UserError(
            f"{run.path} was trained on other pictures than {run.config.data} holds "
            f"now; give the old data, or --init={run.path} to start a run from its "
            f"model."
        )
    files.write_text(path, f"{fingerprint} {os.path.abspath(data.folder)}\n")
    configs.write_config(run.config, run.path / "config.json")


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
    sheets = [*sorted(run.path.glob("fakes-*.png")), *run.path.glob(SHEET)]
    print(f"{run.path} is finished: it has seen {kimg:g} thousand images.")
    if sheets:
        print(f"pictures: {sheets[-1]}")
    print(f"To train it longer: --kimg={2 * kimg:g}. A new run: --resume=never.")
