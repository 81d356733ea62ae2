"""Trains the feature network that the package ships, and says how well it sees.

    python benchmarks/train_builtin.py
    python benchmarks/train_builtin.py --check
    python benchmarks/train_builtin.py --out=/tmp/mine.npz --epochs=2

Draws faces that no data set holds, trains on the factors they were drawn from, writes
the weights and prints their hash, which belongs into `stylegan_tf/metrics/builtin.py`,
and a table: for held-out faces at three sizes, how many of each factor's values are
named rightly, or how much of its variance is explained (R2). --check prints the table
of the weights that are there.

On one machine the same command writes the same weights to the last bit; on another the
hash differs, and the table agrees to about a hundredth. Takes some minutes on a CPU.
"""

from collections.abc import Sequence

from stylegan_tf_launch import cli

FLAGS, define = cli.flag_set()
define.string("out", None, "File to write; by default the package's own.")
define.bool("check", False, "Train nothing; try the weights that are there.")
define.integer("count", None, "Faces to train on.", lower_bound=640)
define.integer("epochs", None, "How often each is seen.", lower_bound=1)
define.integer("held_out", 2000, "Faces to try it on.", lower_bound=2)


def main(argv: Sequence[str]) -> int:
    """Trains, writes, and prints the table."""
    cli.load_tensorflow()
    import tensorflow as tf

    from stylegan_tf.metrics.features import builtin, builtin_training

    tf.config.experimental.enable_op_determinism()
    path = FLAGS.out or builtin.WEIGHTS
    if not FLAGS.check:
        weights = builtin_training.train_on_demo(
            FLAGS.count or builtin_training.COUNT,
            FLAGS.epochs or builtin_training.EPOCHS,
            progress=True,
        )
        digest = builtin.save_builtin(path, weights, builtin_training.DEMO_HEADS)
        print(f"{path}: {digest}")
    print(table(builtin.read_builtin(path, builtin.NAME), FLAGS.held_out))
    return 0


def table(network, held_out: int) -> str:
    """Accuracy or R2 of each factor at each size, in Markdown."""
    from stylegan_tf.metrics.features import builtin_training as training

    columns = {}
    for size in sorted(training.SIZES):
        seen = training.demo_faces(range(held_out), size, training.HELD_OUT_SEED)
        columns[size] = training.factor_scores(network, *seen)
    head = ["factor", "measure", *(f"{size}x{size}" for size in columns)]
    rows = [head, ["---"] * len(head)]
    for factor in training.DEMO_HEADS:
        what = f"accuracy of {factor.values}" if factor.values else "R2"
        rows.append(
            [factor.name, what, *(f"{s[factor.name]:.3f}" for s in columns.values())]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    cli.run(main, FLAGS)
