"""The small sizes: our training loop against Keras' `fit`, a step a call.

    python benchmarks/early.py --resolutions=4,8,16 --rounds=5

At 4x4 to 16x16 a step is over before the next one could be prepared: what takes the
time is everything around the sums. Ours is `Trainer.step`; the other is `Model.fit` of
the plain Keras StyleGAN of `peer_keras.py` on a `tf.data` set, the same networks and
batch, float32, `steps_per_execution=1`. They take turns.
"""

from collections.abc import Sequence

import pairing
from absl import flags
from stylegan_tf_launch import cli

FLAGS = flags.FlagValues()
flags.DEFINE_list("resolutions", ["4", "8", "16"], "Sizes.", flag_values=FLAGS)
flags.DEFINE_integer("rounds", 5, "Turns of each.", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_string("json", None, "File for the rows.", flag_values=FLAGS)

FIT = "keras-fit"
COLUMNS = ("size", "fit, images/s", "ours, images/s", "ratio")


def main(argv: Sequence[str]) -> int:
    """Measures, prints the table and writes the rows."""
    import peers

    rows, lines = [], []
    for size in map(int, FLAGS.resolutions):
        where = f"--resolution={size}"
        with (
            pairing.Worker("peer_ours.py", [where]) as ours,
            pairing.Worker("peer_keras.py", [where, "--fit=1"]) as fit,
        ):
            rates = peers.measure({"ours": ours, FIT: fit}, FLAGS.rounds)
        rows.append(peers.row(FIT, size, "float32", rates["ours"], rates[FIT]))
        speeds = rates[FIT].images, rates["ours"].images
        lines.append((f"{size}x{size}", *speeds, rows[-1]["ratio"]))
    print(pairing.table(COLUMNS, lines))
    pairing.write_json(FLAGS.json, rows)
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS)
