"""The two forms of StyleGAN2's modulated convolution, timed against each other.

    python benchmarks/modulation.py --batch=16

Scaling the feature maps that go in and out of one shared convolution, or building one
kernel per example: the same numbers at another cost. Each line is one layer as in
training (forward and backward; and the derivative of a gradient, as path lengths need
it), timed in turns, the median of several. `devices.resolve_modulation` rests on it.
"""

from collections.abc import Callable, Sequence

from stylegan_tf_launch import cli
from workers import pairing

FLAGS, define = cli.flag_set()
define.integer("batch", 16, "Examples.")
define.integer("width", 64, "Feature maps in and out.")
define.list("sizes", ["8", "16", "32", "64"], "Sides.")
define.integer("repeats", 5, "Timings of each.")

COLUMNS = ("layer", "derivative", "maps, ms", "kernels, ms", "kernels / maps")


def main(argv: Sequence[str]) -> int:
    """Times and prints the table."""
    cli.load_tensorflow()
    rows = []
    for size in map(int, FLAGS.sizes):
        for up in (False, True):
            for order in (1, 2):
                shape = (FLAGS.batch, size // 2 if up else size, FLAGS.width)
                times = measure(*shape, up, order, FLAGS.repeats)
                maps, kernels = (1000 * times[form] for form in ("maps", "kernels"))
                name = f"{'up to ' if up else ''}{size}x{size}"
                rows.append((name, order, maps, kernels, kernels / maps))
    print(pairing.table(COLUMNS, rows))
    return 0


def measure(
    batch: int, size: int, width: int, up: bool, order: int, repeats: int
) -> dict[str, float]:
    """Seconds that one layer takes in each form, forward and backward.

    Args:
        batch: examples.
        size: side of the feature maps that come in.
        width: how many there are.
        up: double the size.
        order: 1 = a gradient, 2 = the gradient of a gradient.
        repeats: timings of each, in turns; their median counts.
    """
    import tensorflow as tf

    x = tf.random.stateless_normal([batch, size, size, width], [1, 2])
    kernel = tf.random.stateless_normal([3, 3, width, width], [3, 4])
    style = tf.random.stateless_normal([batch, width], [5, 6])

    def turn(form: str) -> Callable[[], pairing.Timed]:
        layer = differentiated(form == "kernels", up, order)
        return lambda: pairing.timed(lambda: layer(x, kernel, style).numpy())

    turns = {form: turn(form) for form in ("maps", "kernels")}
    times = pairing.in_turns(turns, repeats)
    return {form: times[form].wall for form in turns}


def differentiated(grouped: bool, up: bool, order: int) -> Callable:
    """A compiled layer with its first or its second derivative, as one number."""
    import tensorflow as tf

    from stylegan_tf.networks import convolutions

    def gradients(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = convolutions.modulated_conv(*inputs, True, up, (1, 3, 3, 1), grouped)
            total = tf.reduce_sum(tf.square(y))
        return tape.gradient(total, inputs)

    @tf.function(autograph=False)
    def run(*inputs):
        if order == 1:
            found = gradients(inputs)
        else:
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                norms = [tf.reduce_sum(tf.square(g)) for g in gradients(inputs)]
                norm = tf.add_n(norms)
            found = tape.gradient(norm, inputs)
        return tf.add_n([tf.reduce_sum(g) for g in found])

    return run


if __name__ == "__main__":
    cli.run(main, FLAGS)
