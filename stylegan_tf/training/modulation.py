"""Which form of the modulated convolution is faster here, by timing both.

See `ops.modulated_conv`: the two forms give the same numbers and cost differently on
different devices.
"""

import tensorflow as tf

from stylegan_tf.config import GeneratorConfig
from stylegan_tf.config.networks import MODULATIONS
from stylegan_tf.networks import ops
from stylegan_tf.training import timing

MARGIN = 0.9  # of the other's time, below which the unusual form is worth it


def faster(c: GeneratorConfig, batch: int) -> str:
    """The faster form for the middle layers of a network on the default device.

    Args:
        c: the generator.
        batch: examples a device.

    Returns:
        "maps", or "kernels" where that takes less than nine tenths of the time.
    """
    r = max(c.resolution // 2, 8)
    size, width = min(r, 64), min(c.fmaps(r), 256)
    times = measure(batch, size // 2, width, up=True)
    return "kernels" if times["kernels"] < MARGIN * times["maps"] else "maps"


def measure(
    batch: int, size: int, width: int, up: bool, order: int = 1, repeats: int = 3
) -> dict[str, float]:
    """Seconds that one layer takes in each form, forward and backward.

    Args:
        batch, size, width: of the maps that come in, [batch, size, size, width].
        up: double the size.
        order: 1 = a gradient, 2 = the gradient of a gradient.
        repeats: timings, in turns; their median counts.
    """
    x = tf.random.stateless_normal([batch, size, size, width], [1, 2])
    kernel = tf.random.stateless_normal([3, 3, width, width], [3, 4])
    style = tf.random.stateless_normal([batch, width], [5, 6])

    def work(form: str):
        function = _function(form == "kernels", up, order)
        return lambda: function(x, kernel, style).numpy()

    return timing.in_turns({form: work(form) for form in MODULATIONS}, repeats)


def _function(grouped: bool, up: bool, order: int):
    def slopes(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = ops.modulated_conv(*inputs, True, up, (1, 3, 3, 1), grouped)
            total = tf.reduce_sum(tf.square(y))
        return tape.gradient(total, inputs)

    @tf.function(autograph=False)
    def run(*inputs):
        if order == 1:
            found = slopes(inputs)
        else:
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                norm = tf.add_n([tf.reduce_sum(tf.square(s)) for s in slopes(inputs)])
            found = tape.gradient(norm, inputs)
        return tf.add_n([tf.reduce_sum(f) for f in found])

    return run
