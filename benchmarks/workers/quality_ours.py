"""launch/train.py as quality.py runs it: from outside, as a user would. No TensorFlow.

The run saves by itself every few hundred images. Whoever watches it reads the clock
when a new state appears, and puts a copy aside when a minute has come.
"""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from workers import quality_clock as clock

TRAIN = Path(__file__).parents[2] / "launch" / "train.py"
SEEN = "seen.jsonl"  # the clock at every state that the run saved
POLL = 0.5  # seconds between two looks
# The run shall end when its time is up, save often and draw no sheets of pictures.
LENGTH = ["--kimg=1000000", "--image_ticks=1000000", "--snapshot_ticks=1"]
LENGTH += ["--set=schedule.tick_kimg=0.5"]


def train(folder: Path, arguments: Sequence[str], minutes: float) -> int:
    """Trains, or continues, and keeps states.

    Args:
        folder: of the training.
        arguments: of launch/train.py, such as --data.
        minutes: of CPU time, all sessions together.

    Returns:
        0 when the time is up, or else the run's exit code.
    """
    stamps = clock.Stamps(folder, minutes)
    if stamps.finished:
        return 0
    before = _clock_of(folder, _progress(folder))
    command = [sys.executable, str(TRAIN), f"--out={folder / 'runs'}"]
    process = subprocess.Popen([*command, *LENGTH, *arguments])
    with _passed_on(process):
        while process.poll() is None and not stamps.finished:
            time.sleep(POLL)
            _look(folder, stamps, before, process)
        done = stamps.finished
        if done:
            process.terminate()
        code = process.wait()
    return 0 if done else code or 1


def _look(folder: Path, stamps: clock.Stamps, before: float, process) -> None:
    """Notes a new state, and keeps it if its minute has come."""
    try:
        seconds = before + clock.cpu_seconds(process.pid)
    except OSError:
        return  # it ended this very moment
    images = _progress(folder)
    if images and images not in _seen(folder):
        with open(folder / SEEN, "a", encoding="utf-8") as f:
            f.write(json.dumps({"images": images, "seconds": seconds}) + "\n")
    minute = stamps.due(seconds)
    if minute is not None and images:
        saved = _clock_of(folder, images) / 60
        name = _copy(folder, images)
        stamps.keep(clock.Stamp(minute, saved, images, name))
        print(f"minute {minute:g}: {images} images", flush=True)


def run_of(folder: Path) -> Path | None:
    """The run of a training; None before it has one."""
    found = sorted((folder / "runs").glob("[0-9]*-*"))
    return found[-1] if found else None


def _progress(folder: Path) -> int:
    """Images at the run's newest saved state; 0 before the first."""
    run = run_of(folder)
    path = run / "progress.json" if run else None
    return (
        json.loads(path.read_text(encoding="utf-8"))["nimg"]
        if path and path.exists()
        else 0
    )


def _seen(folder: Path) -> dict[int, float]:
    """Images of a saved state -> seconds used until then."""
    path = folder / SEEN
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {row["images"]: row["seconds"] for row in map(json.loads, lines)}


def _clock_of(folder: Path, images: int) -> float:
    return _seen(folder).get(images, 0.0)


def _copy(folder: Path, images: int) -> str:
    """Puts a saved state aside, in a folder like a run's; what `models.load` opens."""
    run = run_of(folder)
    to = folder / "snapshots" / str(images)
    (to / "checkpoints").mkdir(parents=True, exist_ok=True)
    shutil.copy(run / "config.json", to)
    for file in run.glob(f"checkpoints/ckpt-{images}.*"):
        shutil.copy(file, to / "checkpoints")
    return f"snapshots/{images}/checkpoints/ckpt-{images}"


class _passed_on:
    """While it holds, SIGTERM and Ctrl-C go to the run, which then saves and ends."""

    def __init__(self, process: subprocess.Popen):
        self.process = process

    def __enter__(self):
        def stop(*_):
            self.process.send_signal(signal.SIGTERM)

        which = (signal.SIGTERM, signal.SIGINT)
        self.old = {s: signal.signal(s, stop) for s in which}

    def __exit__(self, *_):
        for which, handler in self.old.items():
            signal.signal(which, handler)
