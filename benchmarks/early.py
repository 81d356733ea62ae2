"""The small sizes: our training loop against Keras' `fit`, a step a call.

    python benchmarks/early.py
    python benchmarks/early.py --resolutions=8 --maps=64 --same_work
    python benchmarks/early.py --resolutions=8 --precision=defaults

At 4x4 to 16x16 a step is over before the next one could be prepared: much of the time
is everything around the sums. Ours is `Trainer.step`; the other is `Model.fit` of the
plain Keras StyleGAN of `peer_keras.py` on a `tf.data` set, the same networks and batch,
`steps_per_execution=1`. They take turns. 64 maps are what the preset `demo` has, 128
what `peers.py` compares. `--precision=defaults` and `--same_work` as there.
"""

from collections.abc import Sequence

import peers
from stylegan_tf_launch import cli
from workers import pairing

FLAGS, define = cli.flag_set()
define.list("resolutions", ["4", "8", "16"], "Sizes.")
define.list("maps", ["64", "128"], "Width of the networks.")
define.string("precision", "float32", "Of both, or defaults.")
define.integer("rounds", 5, "Turns of each.", lower_bound=1)
define.bool("same_work", False, "Ours generates images for each step, too.")
define.multi_string("set", [], "A setting of ours.")
define.string("json", None, "File for the rows.")

FIT = "keras-fit"
COLUMNS = ("size", "maps", "fit, images/s", "ours, images/s", "ratio")


def main(argv: Sequence[str]) -> int:
    """Measures, prints the table and writes the rows."""
    results = pairing.Results(COLUMNS, FLAGS.json)
    for size in map(int, FLAGS.resolutions):
        for maps in map(int, FLAGS.maps):
            rates = measure(size, maps)
            ours, fit = rates[peers.OURS], rates[FIT]
            row = peers.row(FIT, size, FLAGS.precision, ours, fit)
            rates = fit.images, ours.images, row["ratio"]
            results.add((f"{size}x{size}", maps, *rates), row)
    return 0


def measure(size: int, maps: int) -> dict[str, peers.Rate]:
    """Both loops, in turns."""
    same = f"--resolution={size}", f"--maps={maps}"
    changes = " ".join(peers.own_changes(FLAGS.same_work, FLAGS.set))
    own = *same, f"--precision={FLAGS.precision}", f"--set={changes}"
    plain = *same, *peers.PLAIN[FLAGS.precision], "--fit=1"
    with (
        pairing.Worker("peer_ours.py", own) as ours,
        pairing.Worker("peer_keras.py", plain) as fit,
    ):
        return peers.measure({peers.OURS: ours, FIT: fit}, FLAGS.rounds)


if __name__ == "__main__":
    cli.run(main, FLAGS)
