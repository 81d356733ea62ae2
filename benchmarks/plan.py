"""Time and memory of a run that has not been started, resolution by resolution.

    python benchmarks/plan.py --preset=paper1024 --devices=8 --tflops=5.1
    python benchmarks/plan.py --preset=paper256 --tflops=42 --step_overhead=0.1
    python benchmarks/plan.py --authors
    python benchmarks/plan.py --validate

A step takes what its multiply-adds take at the rate that a device reaches in training,
but not less than it takes to launch its operations; gradients are then summed over the
devices. --tflops counts a multiply and an add as two, as data sheets do, but is what is
reached, a third of a data sheet's number or less. --authors turns it round: the rate
that the paper's own training times come to. --validate times a D and G step of the
demo's network at every resolution to 64 on this machine, takes rate and overhead from
the largest and the smallest, and compares the rest with what the model says; it tells
the share of the rate of bare convolutions, too, by which a run of hours is announced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from stylegan_tf_launch import cli
from workers import pairing

if TYPE_CHECKING:
    from stylegan_tf.config import TrainConfig

FLAGS, define = cli.flag_set()
define.string("preset", "paper1024", "As of train.py.")
define.integer("resolution", None, "Final size.")
define.integer("devices", 1, "GPUs.", lower_bound=1)
define.float("tflops", 5.1, "Reached in training, 1e12 operations a second.")
define.float("step_overhead", 0.1, "Seconds a step.")
define.float("link", 50.0, "GB a second between devices.")
define.enum("precision", "float32", ["float32", "bfloat16"], "Of the run.")
define.boolean("recompute", False, "As of train.py.")
define.boolean("authors", False, "Rates of the authors.")
define.boolean("validate", False, "Compare with this CPU.")
define.integer("repeats", 5, "Steps timed at each size.")

# Hours on 8 V100, whose float32 is 15.7e12 operations a second (Karras et al. 2019).
AUTHORS = {"paper256": 3 * 24 + 8, "paper1024": 6 * 24 + 14}
V100 = 15.7


def main(argv: Sequence[str]) -> int:
    """Prints the tables."""
    cli.load_tensorflow()
    if FLAGS.authors:
        print(authors())
    elif FLAGS.validate:
        print(validate(FLAGS.repeats))
    else:
        print(planned())
    return 0


def planned() -> str:
    """The table of a run."""
    from stylegan_tf.config import cost, presets, update

    config = presets.make_config(FLAGS.preset, FLAGS.resolution, FLAGS.devices)
    changes = {"precision": FLAGS.precision, "recompute": FLAGS.recompute}
    config = update(config, changes)
    counts = _parameters(config)
    device = Device(FLAGS.tflops * 1e12 / 2, FLAGS.step_overhead, link=FLAGS.link * 1e9)
    plan = stages(config, device, FLAGS.devices, sum(counts.values()))
    columns = ("size", "thousand images", "batch", "s a step", "images/s", "hours")
    rows = []
    for s in plan:
        held = cost.memory_bytes(config, counts, s.resolution, FLAGS.devices)
        row = [s.resolution, f"{s.kimg:g}", s.batch, s.seconds, s.batch / s.seconds]
        rows.append([*row, s.hours, sum(held.values()) / 1e9])
    hours = sum(s.hours for s in plan)
    total = f"{FLAGS.preset}: {hours / 24:.1f} days on {FLAGS.devices} device(s)"
    return pairing.table((*columns, "GB a device"), rows) + "\n\n" + total


def _parameters(config) -> dict[str, int]:
    from stylegan_tf.networks.discriminator import discriminator_of
    from stylegan_tf.networks.generator import Generator

    return {
        "generator": Generator(config.generator).count_params(),
        "discriminator": discriminator_of(config.discriminator).count_params(),
    }


def authors() -> str:
    """Derives operations per second and device from the paper's training times."""
    from stylegan_tf.config import cost, presets

    rows = []
    for name, hours in AUTHORS.items():
        config = presets.make_config(name, devices=8)
        work = cost.remaining_macs(config, 0, 8)
        tflops = 2 * work / 8 / (3600 * hours) / 1e12
        rows.append([name, f"{work:.2e}", f"{hours} h", tflops, tflops / V100])
    columns = ("preset", "multiply-adds", "8 V100", "TFLOPS each", "of 15.7")
    return pairing.table(columns, rows)


# ---------------------------------------------------------------------------


def validate(repeats: int) -> str:
    """Steps of the demo's network here, and what two numbers say of them."""
    from stylegan_tf import devices
    from stylegan_tf.config import cost, levels, presets

    config = presets.make_config("demo-ladder-f", FLAGS.resolution or 64)
    sizes = levels(config.generator.resolution, config.schedule.initial_resolution)
    seconds = dict(zip(sizes, _timed(config, sizes, repeats), strict=True))
    work = {r: cost.iteration_macs(config, r) * cost.batch_at(config, r) for r in sizes}
    first, last = sizes[0], sizes[-1]
    rate = (work[last] - work[first]) / (seconds[last] - seconds[first])
    device = Device(rate, seconds[first] - work[first] / rate, overlaps=False)
    rows = []
    for r in sizes:
        predicted = step_seconds(config, r, device)
        known = "  (taken from)" if r in (first, last) else ""
        rows.append([r, 1000 * predicted, 1000 * seconds[r], seconds[r] / predicted])
        rows[-1][0] = f"{r}{known}"
    share = rate / devices.convolution_rate("float32")
    head = f"{rate / 1e9:.1f}e9 multiply-adds/s, {share:.2f} of bare convolutions', "
    head += f"{1000 * device.overhead:.0f} ms a step"
    columns = ("size", "predicted, ms", "measured, ms", "measured / predicted")
    return head + "\n\n" + pairing.table(columns, rows)


def _timed(config, sizes: Sequence[int], repeats: int) -> list[float]:
    """Seconds of a step at each size, a mean of those with a penalty and without."""
    from workers.one_step import one_step

    from stylegan_tf.config import cost
    from stylegan_tf.training import trainer
    from stylegan_tf.training.objectives import Regularization

    nets = trainer.make_networks(config)
    every = config.loss.d_reg_interval

    def turn(size: int, penalty: bool):
        batch = cost.batch_at(config, size)
        step = one_step(config, size, batch, Regularization(penalty, False), nets)
        step()
        return lambda: pairing.timed(step)

    keys = [(size, penalty) for size in sizes for penalty in (True, False)]
    times = pairing.in_turns({key: turn(*key) for key in keys}, repeats)
    wall = {key: seconds.wall for key, seconds in times.items()}
    return [(wall[s, True] + (every - 1) * wall[s, False]) / every for s in sizes]


# ---------------------------------------------------------------------------
# Time. A step takes what its multiply-adds take on one device, but not less than it
# takes to launch its operations; then the gradients are summed over the devices.


@dataclass(frozen=True)
class Device:
    """The properties of a device that decide the time of a step.

    Attributes:
        rate: multiply-adds a second that training reaches on one device.
        overhead: seconds a step takes at least, to launch its operations.
        overlaps: the device computes while the next operations are launched, as GPUs
            do; a CPU does one after the other.
        link: bytes a second between devices.
    """

    rate: float
    overhead: float = 0.1
    overlaps: bool = True
    link: float = 50e9


def step_seconds(
    config: TrainConfig,
    resolution: int,
    device: Device,
    devices: int = 1,
    parameters: int = 0,
) -> float:
    """Seconds of one D and G step; `parameters` of both networks are summed over."""
    from stylegan_tf.config import cost

    share = cost.batch_at(config, resolution, devices) / devices
    work = share * cost.iteration_macs(config, resolution) / device.rate
    both = max if device.overlaps else lambda a, b: a + b
    # A ring moves each byte twice, but for the share that is there already.
    moved = 2 * (devices - 1) / devices * parameters * cost.BYTES
    return both(device.overhead, work) + moved / device.link


class Stage(NamedTuple):
    """Costs of one resolution: images per step, seconds per step, hours in all."""

    resolution: int
    kimg: float
    batch: int
    seconds: float
    hours: float


def stages(
    config: TrainConfig, device: Device, devices: int = 1, parameters: int = 0
) -> list[Stage]:
    """The time of a whole run, resolution by resolution; reports are not in it."""
    from stylegan_tf.config import cost, schedule

    kimg: dict[int, float] = {}
    for row in schedule.schedule_rows(config, devices):
        r = row.phase.resolution
        kimg[r] = kimg.get(r, 0.0) + row.end - row.start
    out = []
    for r, thousands in kimg.items():
        seconds = step_seconds(config, r, device, devices, parameters)
        batch = cost.batch_at(config, r, devices)
        hours = 1000 * thousands / batch * seconds / 3600
        out.append(Stage(r, thousands, batch, seconds, hours))
    return out


if __name__ == "__main__":
    cli.run(main, FLAGS)
