"""One process of `memory.py`: trains at one resolution and tells what it held.

python -m workers.memory_worker '{"preset": "demo", "final": 32, "size": 32, ...}'
"""

import json
import os
import sys
import tempfile

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import tensorflow as tf  # noqa: E402

from workers import pairing  # noqa: E402

BATCHES = 8  # of faces to train on


def resident(what: str) -> int:
    """Bytes of VmRSS, resident now, or VmHWM, the most so far."""
    with open("/proc/self/status", encoding="ascii") as file:
        line = next(line for line in file if line.startswith(what))
    return 1024 * int(line.split()[1])


def main(task: dict) -> dict:
    """Trains as the task says; bytes, and processor seconds of a step."""
    tf.matmul(tf.ones([64, 64]), tf.ones([64, 64]))  # loads what is loaded late
    base = resident("VmRSS")
    from stylegan_tf.config import cost, presets, update
    from stylegan_tf.data import records
    from stylegan_tf.training.trainer import Trainer

    config = update(presets.make_config(task["preset"], task["final"]), task["changes"])
    faces = BATCHES * config.schedule.batch
    with tempfile.TemporaryDirectory() as folder:
        data = records.prepare(
            f"demo:{faces}", f"{folder}/cache", resolution=task["final"], log=_quiet
        )
        trainer = Trainer(config, data, f"{folder}/run")
        trainer.state.nimg = _start(config, task["size"])
        trainer.step()
        _forget()
        seconds = [
            pairing.timed(lambda: trainer.step().numpy()).cpu
            for _ in range(task["steps"])
        ]
        nets = trainer.networks
        counts = {
            "generator": nets.generator.count_params(),
            "discriminator": nets.discriminator.count_params(),
        }
        parts = cost.memory_bytes(config, counts, task["size"])
    return {
        "base": base,
        "measured": resident("VmHWM"),
        "program": cost.program_bytes(config, task["size"]),
        "held": sum(parts.values()),
        "fixed": sum(parts.values()) - parts["activations"],
        "live": tf.config.experimental.get_memory_info("CPU:0")["peak"],
        "cpu": min(seconds),
    }


def _start(config, size: int) -> int:
    """The first image at a resolution: it fades in, which holds the most."""
    from stylegan_tf.config import schedule

    row = next(r for r in schedule.schedule_rows(config) if r.phase.resolution == size)
    return int(1000 * row.start)


def _forget() -> None:
    tf.config.experimental.reset_memory_stats("CPU:0")


def _quiet(text: str) -> None:
    """Standard output is for the account."""


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))), flush=True)
