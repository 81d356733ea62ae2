"""One table: is the class that was asked for the class that is drawn?

    python launch/train.py --labels=auto
    python benchmarks/classes.py --model=runs/00000-demo-demo

A small classifier learns the classes of the built-in faces from real pictures and
their labels. It then names the class of held-out real pictures, which says how far it
can be trusted, and of pictures that a conditional model drew of every class: not
truncated, and truncated towards the mean of the class and of everything. Each number is
the share, in percent, that was named as labeled, or as asked for. Latents are the same
in every class and row.

The same command prints the same table on the same machine; with its defaults that takes
a few minutes on a CPU.
"""

from collections.abc import Sequence

from stylegan_tf_launch import cli

FLAGS, define = cli.flag_set()
define.string(
    "model",
    None,
    "A conditional model of the built-in faces, as launch/generate.py takes it.",
)
define.integer("num", 200, "Pictures drawn of each class.", lower_bound=1)
define.float("psi", 0.7, "Truncation of the truncated rows.")
define.integer(
    "reals", 4000, "Real pictures that the classifier learns from.", lower_bound=1
)
define.integer("held_out", 1000, "Real pictures that it is tried on.", lower_bound=1)
define.integer("epochs", 5, "How often it sees each of them.", lower_bound=1)
define.integer("seed", 0, "Of the classifier's weights and their training.")


def main(argv: Sequence[str]) -> int:
    """Trains the classifier, draws, and prints the table."""
    from stylegan_tf.errors import UserError

    if not FLAGS.model:
        raise UserError("name a conditional model of the demo with --model=...")
    cli.load_tensorflow()
    import tensorflow as tf

    from stylegan_tf import models

    tf.config.experimental.enable_op_determinism()
    model = models.load(FLAGS.model)
    resolution = model.growth.resolution
    size = check(model.config, resolution)
    images, labels = reals(size, 0, FLAGS.reals + FLAGS.held_out)
    cut = FLAGS.reals
    network = classifier(images[:cut], labels[:cut], FLAGS.epochs, FLAGS.seed)
    rows = {"real, held out": shares(network, images[cut:], labels[cut:])}
    for name, how in ways(FLAGS.psi).items():
        rows[name] = shares(network, *drawn(model, FLAGS.num, resolution, **how))
    print(f"\n{FLAGS.model} at {size}x{size}, {FLAGS.num} pictures of each class\n")
    print(table(rows))
    return 0


def ways(psi: float) -> dict[str, dict]:
    """Name of a row -> how its pictures are truncated."""
    rows = {"psi 1": {"psi": 1.0}}
    for center in ("class", "global"):
        rows[f"psi {psi:g}, {center}"] = {"psi": psi, "psi_center": center}
    return rows


def check(config, resolution: int) -> int:
    """The size of the pictures of a model of the demo.

    Args:
        config: its `GeneratorConfig`.
        resolution: level that it is drawn at.

    Raises:
        UserError: it cannot be one with classes.
    """
    from stylegan_tf.data.demo import CLASSES, SIZES
    from stylegan_tf.errors import UserError

    height, width = config.shape(resolution)
    kind = config.classes, config.channels, height == width
    if kind != (len(CLASSES), 3, True) or height < SIZES[0]:
        raise UserError(
            f"--model draws {height}x{width}x{config.channels} in {config.classes} "
            f"classes; expected {len(CLASSES)} classes of square color pictures from "
            f"{SIZES[0]}x{SIZES[0]}: train.py --data=demo --labels=auto makes one."
        )
    return height


def reals(size: int, first: int, count: int):
    """Faces of the demo: uint8 [count, size, size, 3], and their classes, int [count].

    Args:
        size: pixels along each side.
        first: index of the first face.
        count: of faces.
    """
    import numpy as np
    from tqdm import tqdm

    from stylegan_tf.data import demo

    indices = range(first, first + count)
    bar = tqdm(indices, "real pictures", disable=None)
    images = np.stack([demo.draw_face(i, size) for i in bar])
    return images, np.array([demo.factors(i)["class"] for i in indices])


def classifier(images, labels, epochs: int, seed: int = 0):
    """A small convolutional network, trained to name classes.

    Args:
        images: uint8 [N, H, W, 3].
        labels: int [N], classes of the demo.
        epochs: how often each picture is seen.
        seed: of weights, order and dropout; sets that of Keras.

    Returns:
        keras.Model, uint8 or float [N, H, W, 3] in 0..255 -> logits [N, classes].
    """
    import keras
    from keras import layers

    from stylegan_tf.data.demo import CLASSES

    keras.utils.set_random_seed(seed)
    network = keras.Sequential([layers.Rescaling(1 / 127.5, -1)])
    size, maps = images.shape[1], 32
    while size > 4:
        network.add(layers.Conv2D(maps, 3, padding="same", use_bias=False))
        network.add(layers.BatchNormalization(momentum=0.9))
        network.add(layers.ReLU())
        network.add(layers.MaxPooling2D())
        size, maps = size // 2, min(2 * maps, 128)
    network.add(layers.Flatten())
    network.add(layers.Dropout(0.5))
    network.add(layers.Dense(len(CLASSES)))
    network.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    network.fit(images, labels, batch_size=64, epochs=epochs, verbose=2)
    return network


def drawn(model, num: int, resolution: int, **how):
    """Pictures of seeds 0 to num - 1 in every class, and the classes asked for.

    Args:
        model: a conditional `Generator`.
        num: pictures a class.
        resolution: level to draw at.
        how: truncation, as `sampling.draw` takes it.

    Returns:
        uint8 [classes num, H, W, C], int [classes num].
    """
    import numpy as np

    from stylegan_tf import sampling

    classes = np.repeat(np.arange(model.config.classes), num)
    pictures = sampling.draw(
        model,
        list(range(num)) * model.config.classes,
        classes=classes.tolist(),
        resolution=resolution,
        progress=True,
        **how,
    )
    return np.stack([picture for _, picture in pictures]), classes


def shares(network, images, labels) -> list[float]:
    """The share named as labeled: of all pictures, then of each class."""
    import numpy as np

    from stylegan_tf.data.demo import CLASSES

    right = network.predict(images, batch_size=64, verbose=0).argmax(axis=1) == labels
    each = [right[labels == k] for k in range(len(CLASSES))]
    return [float(np.mean(part)) if len(part) else np.nan for part in (right, *each)]


def table(rows: dict[str, list[float]]) -> str:
    """The rows in Markdown, shares in percent."""
    from stylegan_tf.data.demo import CLASSES

    cells = [["", "all", *CLASSES]]
    for name, values in rows.items():
        cells.append([name, *(f"{100 * value:.1f}" for value in values)])
    cells.insert(1, ["---"] * len(cells[0]))
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


if __name__ == "__main__":
    cli.run(main, FLAGS)
