"""Announces runs of hours before they start; a person at a terminal is asked.

A step takes as long as its multiply-adds at a share of the rate that bare convolutions
reach, which is measured in a second; at least `OVERHEAD`, to launch its operations.
Share and overheads were measured on few machines (docs/planning.md), so the times are
rough.
"""

import math
import sys

import tensorflow as tf

from stylegan_tf import devices
from stylegan_tf.config import TrainConfig, cost, schedule
from stylegan_tf.errors import UserError
from stylegan_tf.runs.reports import clock
from stylegan_tf.runs.request import RunRequest

LONG = 2 * 3600.0  # seconds: runs up to here begin without a word
# Multiply-adds a second: runs that are short even at this rate, a twentieth of what two
# CPU cores reach, begin without a measurement.
SLOWEST = 2e9
# Of the rate of bare convolutions. The papers' times come to 0.23 to 0.33 of a V100's
# data sheet (`benchmarks/plan.py --authors`).
SHARE = 0.3
# Seconds of a step. CPU: two cores in `benchmarks/plan.py --validate`. GPU: its 880
# launches (`benchmarks/launches.py`), of which an H100 made 2,300 in 0.1 s.
OVERHEAD = {"CPU": 0.011, "GPU": 0.04}


def run_seconds(
    config: TrainConfig, rate: float, overhead: float, replicas: int = 1
) -> float:
    """Returns the time of a whole run.

    Args:
        config: all settings.
        rate: multiply-adds a second that training reaches on one device.
        overhead: least seconds of a step.
        replicas: devices.
    """
    total = 0.0
    for row in schedule.schedule_rows(config, replicas):
        batch = row.phase.batch
        macs = cost.iteration_macs(config, row.phase.resolution) * batch / replicas
        steps = 1000 * (row.end - row.start) / batch
        total += steps * max(overhead, macs / rate)
    return total


def announce(
    config: TrainConfig, request: RunRequest, strategy: tf.distribute.Strategy
) -> None:
    """Says how long a run of hours will take, and how to shorten it.

    At a terminal the person is asked whether it shall start.

    Raises:
        UserError: it shall not.
    """
    replicas = strategy.num_replicas_in_sync
    overhead = OVERHEAD[devices.device_kind()]
    if run_seconds(config, SLOWEST, overhead, replicas) < LONG:
        return
    if not devices.is_chief(strategy):
        return
    rate = SHARE * devices.convolution_rate(config.precision)
    seconds = run_seconds(config, rate, overhead, replicas)
    if seconds < LONG:
        return
    print(long_text(config, seconds, request))
    alone = devices.num_workers(strategy) == 1
    if request.asks and alone and sys.stdin.isatty() and sys.stdout.isatty():
        _ask()


def long_text(config: TrainConfig, seconds: float, request: RunRequest) -> str:
    """Returns what is said of a run that takes so many seconds."""
    kimg = config.schedule.total_kimg
    height, width = config.generator.shape(config.generator.resolution)
    hour = _rounded(kimg * 3600 / seconds)
    names = {"kimg": "schedule.total_kimg", "resolution": "generator.resolution"}
    names = {k: request.flags.get(v, k) for k, v in names.items()}
    smaller = max(config.generator.resolution // 2, 8)
    return (
        f"About {clock(seconds)} on this machine: {kimg:g} thousand images of up to "
        f"{height}x{width}. Shorter: {names['kimg']}={hour:g} (about an hour), or "
        f"{names['resolution']}={smaller}. Ctrl-C saves what there is, and the same "
        f"command goes on."
    )


def _rounded(kimg: float) -> float:
    """Returns a number with one digit that is not 0, at least 1."""
    return max(float(f"{kimg:.0e}"), 1.0) if math.isfinite(kimg) else 1.0


def _ask() -> None:
    try:
        answer = input("Start? [Y/n] ")
    except EOFError:
        answer = "n"
    if answer.strip().lower() not in ("", "y", "yes"):
        raise UserError("nothing was started.")
