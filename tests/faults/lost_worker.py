"""Kills a worker of several, and compares the run with one that nobody disturbed.

    python tests/faults/lost_worker.py                     four workers, a few minutes
    python tests/faults/lost_worker.py --workers=2 --kill=0

Trains `demo` at a tiny size twice: undisturbed, and with one worker killed (SIGKILL)
after the second checkpoint, under examples/supervise.py, which starts all again. Prints
how each worker ended, and whether the weights at the end are equal to the bit.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "generator.fmap_base": 64,
    "generator.fmap_max": 8,
    "generator.z_dim": 8,
    "generator.w_dim": 8,
    "generator.mapping_width": 8,
    "generator.mapping_layers": 2,
    "discriminator.fmap_base": 64,
    "discriminator.fmap_max": 8,
    "schedule.tick_kimg": 0.032,
    "schedule.stable_kimg": 1000.0,
}


def command(out: Path, workers: int, kimg: float) -> list[str]:
    """Returns the command of one worker."""
    flags = [f"--set={name}={value}" for name, value in SETTINGS.items()]
    flags += [f"--out={out}", f"--kimg={kimg}", f"--batch={4 * workers}"]
    flags += ["--data=demo:64", "--resolution=8", "--snapshot_ticks=1"]
    flags += ["--strategy=multiworker", "--deterministic", f"--cache={out.parent}"]
    flags += ["--precision=float32", "--image_ticks=100", "--labels=none"]
    script = [sys.executable, str(ROOT / "launch" / "train.py"), *flags]
    supervise = str(ROOT / "examples" / "supervise.py")
    return [sys.executable, supervise, f"--local={workers}", "--", *script]


def saved(out: Path) -> int:
    """Returns the images seen at the newest checkpoint of the one run."""
    for file in out.glob("0*/progress.json"):
        return json.loads(file.read_text())["nimg"]
    return 0


def workers_of(supervisor: int) -> list[int]:
    """Returns the processes that the supervisor has started, in order."""
    text = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text()
    return [int(number) for number in text.split()]


def train(out: Path, given: argparse.Namespace, kill: int | None) -> str:
    """Runs to the end, one worker killed on the way; returns what was printed."""
    log = out.with_suffix(".txt")
    with open(log, "w") as file:
        process = subprocess.Popen(
            command(out, given.workers, given.kimg), stdout=file, stderr=file
        )
        while kill is not None and saved(out) < 64:
            if process.poll() is not None:
                break
            time.sleep(0.2)
        if kill is not None and process.poll() is None:
            os.kill(workers_of(process.pid)[kill], signal.SIGKILL)
            print(f"killed worker {kill} after {saved(out)} images", flush=True)
        code = process.wait()
    text = log.read_text()
    if code:
        print(text)
        sys.exit(f"ended with {code}")
    return text


def weights(out: Path) -> dict[str, np.ndarray]:
    """Reads the newest checkpoint of the one run."""
    import tensorflow as tf

    files = sorted(out.glob("0*/checkpoints/ckpt-*.index"), key=lambda p: len(p.name))
    newest = max(files, key=lambda p: int(p.stem.split("-")[1]))
    reader = tf.train.load_checkpoint(str(newest.with_suffix("")))
    names = reader.get_variable_to_shape_map()
    return {n: reader.get_tensor(n) for n in names if reader.has_tensor(n)}


def main() -> int:
    """Trains twice and compares; returns 0 if nothing differs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--kill", type=int, default=1, help="Number of the worker.")
    parser.add_argument("--kimg", type=float, default=0.16)
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        calm, torn = Path(folder) / "calm", Path(folder) / "torn"
        train(calm, given, None)
        print(f"undisturbed: {saved(calm)} images", flush=True)
        text = train(torn, given, given.kill)
        lines = [line for line in text.splitlines() if "is gone" in line]
        print("\n".join(dict.fromkeys(lines)))
        print(f"disturbed: {saved(torn)} images")
        ours, theirs = weights(calm), weights(torn)
    times = {n for n in ours if "values" in n or n == "_CHECKPOINTABLE_OBJECT_GRAPH"}
    pairs = {n: (ours[n], theirs[n]) for n in ours.keys() - times}
    different = [n for n, (a, b) in pairs.items() if not np.array_equal(a, b)]
    print(f"{len(pairs)} arrays, {len(different)} of them different {different[:3]}")
    print(f"{time.monotonic() - began:.0f} s")
    return 1 if different or "Traceback" in text or not lines else 0


if __name__ == "__main__":
    sys.exit(main())
