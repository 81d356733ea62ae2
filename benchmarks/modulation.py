"""The two forms of StyleGAN2's modulated convolution, timed against each other.

    python benchmarks/modulation.py --batch=16

Scaling the maps that go in and come out of one shared convolution, or building one
kernel an example: the same numbers, another cost. Each line is one layer as in training
(forward and backward; and the derivative of a gradient, as path lengths need it), timed
in turns, the median of several. A run picks the faster form by itself at its start
(`generator.modulation=auto`).
"""

from collections.abc import Sequence

from stylegan_tf_launch import cli

FLAGS, define = cli.flag_set()
define.integer("batch", 16, "Examples.")
define.integer("width", 64, "Maps in and out.")
define.list("sizes", ["8", "16", "32", "64"], "Sides.")
define.integer("repeats", 5, "Timings of each.")


def main(argv: Sequence[str]) -> int:
    """Times and prints the table."""
    cli.load_tensorflow()
    from stylegan_tf.training import modulation

    print("| layer | derivative | maps, ms | kernels, ms | kernels / maps |")
    print("|---|---|---|---|---|")
    for size in map(int, FLAGS.sizes):
        for up in (False, True):
            for order in (1, 2):
                shape = (FLAGS.batch, size // 2 if up else size, FLAGS.width)
                times = modulation.measure(*shape, up, order, FLAGS.repeats)
                maps, kernels = (1000 * times[form] for form in ("maps", "kernels"))
                what = f"{'up to ' if up else ''}{size}x{size}"
                print(
                    f"| {what} | {order} | {maps:.1f} | {kernels:.1f} | "
                    f"{kernels / maps:.2f} |",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS)
