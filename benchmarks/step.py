"""Share of the machine's convolution rate that a whole training step reaches.

    python benchmarks/step.py
    python benchmarks/step.py --resolutions=64 --precisions=bfloat16 --rounds=9
    python benchmarks/step.py --presets=demo-stylegan2,demo-stylegan3 --resolutions=32

The D + G step with R1 in every D step, z and w 128 wide, at most 128 maps, batch 16.
Its multiply-adds are counted (`cost.iteration_macs`, fused convolutions as fused)
and divided by its time; so are those of three plain 3 x 3 convolutions, timed in turns
with it in the same process. The first row of a size is the paper's step; `lazy` leaves
R1 out, as 15 of 16 steps do with d_reg_interval=16. With --presets it is the step of
each preset, without regularization and augmentation.
"""

from collections.abc import Callable, Sequence

from stylegan_tf_launch import cli
from workers import matched
from workers.pairing import Results, Timed, in_turns, timed

FLAGS, define = cli.flag_set()
define.list("resolutions", ["32", "64"], "Sizes.")
define.list("precisions", ["float32", "bfloat16"], "Arithmetic.")
define.list("presets", [], "Presets whose step is timed, instead of that above.")
define.integer("batch", 16, "Pictures a step.")
define.integer("rounds", 5, "Timings of each.")

PLAIN = ((32, 64), (32, 128), (64, 32))  # side and maps of the plain convolutions
REUSE = {"loss.reuse_fakes": True}
LAZY = {"loss.d_reg_interval": 16}
FORMS = {
    "the paper's": ({}, True),
    "one pass of G": (REUSE, True),
    "one pass of G, lazy": (REUSE | LAZY, False),
}
COLUMNS = ("size", "precision", "step", "images/s", "GFLOP", "GFLOP/s")
COLUMNS += ("plain convolutions", "share", "share of CPU time")


def main(argv: Sequence[str]) -> int:
    """Times and prints the table."""
    cli.load_tensorflow()
    results = Results(COLUMNS)
    for resolution in map(int, FLAGS.resolutions):
        for precision in FLAGS.precisions:
            for row in measure(resolution, precision):
                results.add(row)
    return 0


def measure(resolution: int, precision: str) -> list[tuple]:
    """One row a form of the step."""
    from stylegan_tf.config import cost

    turns, work = {}, {}
    configs_of = _presets if FLAGS.presets else _forms
    configs = configs_of(resolution, precision)
    for name, (config, regularized) in configs.items():
        turns[name] = _turn(_step(config, regularized))
        macs = cost.iteration_macs(config, resolution)
        if not regularized:
            macs = cost.iteration_macs(_without_penalty(config), resolution)
        work[name] = 2 * FLAGS.batch * macs / 1e9
    for side, maps in PLAIN:
        name = f"{side}x{side}, {maps} maps"
        turns[name] = _turn(_convolution(side, maps, precision))
        work[name] = 2 * FLAGS.batch * side * side * 9 * maps * maps / 1e9
    times = in_turns(turns, FLAGS.rounds)
    plain = [n for n in turns if n not in configs]
    wall = sum(work[n] / times[n].wall for n in plain) / len(plain)
    cpu = sum(work[n] / times[n].cpu for n in plain) / len(plain)
    size = f"{resolution}x{resolution}"
    return [
        (
            size,
            precision,
            name,
            FLAGS.batch / times[name].wall,
            work[name],
            work[name] / times[name].wall,
            wall,
            f"{work[name] / times[name].wall / wall:.0%}",
            f"{work[name] / times[name].cpu / cpu:.0%}",
        )
        for name in configs
    ]


def _forms(resolution: int, precision: str) -> dict:
    """Name -> config, and whether its step regularizes."""
    from stylegan_tf import config

    base = config.update(config.TrainConfig(), matched.settings(resolution, precision))
    return {n: (config.update(base, c), own) for n, (c, own) in FORMS.items()}


def _presets(resolution: int, precision: str) -> dict:
    from stylegan_tf.config import presets, update

    same = {"schedule.batch": FLAGS.batch, "accumulate": 1, "precision": precision}
    same |= {"augment.kind": "none", "augment.blur_init_sigma": 0.0}
    made = {name: presets.make_config(name, resolution) for name in FLAGS.presets}
    return {name: (update(config, same), False) for name, config in made.items()}


def _without_penalty(config):
    from stylegan_tf.config import update

    return update(config, {"loss.r1_gamma": 0.0})


def _step(config, regularized: bool) -> Callable:
    from workers.one_step import one_step

    from stylegan_tf.training.objectives import Regularization

    size = config.generator.resolution
    return one_step(config, size, FLAGS.batch, Regularization(regularized, False))


def _convolution(side: int, maps: int, precision: str) -> Callable:
    import tensorflow as tf

    x = tf.cast(tf.random.normal([FLAGS.batch, side, side, maps]), precision)
    kernel = tf.cast(tf.random.normal([3, 3, maps, maps]), precision)

    @tf.function(autograph=False)
    def convolve(x, kernel):
        # One number: what is handed out is memory that the next call has to find anew.
        return tf.nn.conv2d(x, kernel, 1, "SAME")[0, 0, 0, 0]

    return lambda: convolve(x, kernel).numpy()


def _turn(work: Callable) -> Callable[[], Timed]:
    """One turn: as many repetitions as fill a third of a second, once compiled."""
    work()
    times = max(1, round(0.35 / timed(work).wall))

    def turn() -> Timed:
        found = timed(lambda: [work() for _ in range(times)])
        return Timed(found.wall / times, found.cpu / times)

    return turn


if __name__ == "__main__":
    cli.run(main, FLAGS)
