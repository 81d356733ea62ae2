"""`builtin` for a data set of one's own: learned from its pictures, labeled or not.

Pictures teach without labels in two ways, together, on two changed views of each:

    which one is it     The two views of a picture are told from all others of the
                        batch: instance discrimination with the normalized temperature-
                        scaled cross-entropy of SimCLR (Chen et al. 2020, equation 1).
    what was done       The difference of the two changes is read off the difference of
                        the features: auto-encoding transformations (Zhang et al. 2019,
                        section 3), here by their parameters.

The first alone learns to overlook what the changes change, blur and noise among it; a
distance between sets of pictures must see that, which the second one brings. Labels,
where there are any, are learned besides: by themselves, a few classes would leave the
features blind to all that they have in common.
"""

import hashlib
import json
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from stylegan_tf.data import demo, pipeline, records
from stylegan_tf.data.manifest import Manifest
from stylegan_tf.errors import UserError
from stylegan_tf.metrics.features import builtin_training
from stylegan_tf.metrics.features.builtin import (
    NAME,
    SHA256,
    SIDE,
    SIZE,
    WEIGHTS,
    Builtin,
    Head,
    read,
    resized,
    save,
)
from stylegan_tf.metrics.features.builtin_training import (
    fit,
    folded,
    head_loss,
    initializers,
    trainable,
)

FEWEST = 16
MOST = 10_000  # pictures that are looked at, the first ones as stored
STEPS, BATCH, RATE = 500, 64, 2e-3
EMBEDDING, TEMPERATURE = 64, 0.2


def train(
    known: Manifest, steps: int = STEPS, batch: int = BATCH, progress: bool = False
) -> tuple[dict[str, np.ndarray], tuple[Head, ...]]:
    """Trains a network on a data set; the same set and machine give the same weights.

    Args:
        known: the data set.
        steps: of training.
        batch: pictures in each, at most as many as there are.
        progress: show a bar.

    Returns:
        Its weights and its heads, as `Builtin` takes them.

    Raises:
        UserError: there are too few pictures to tell apart.
    """
    if known.count < FEWEST:
        raise UserError(
            f"{known.folder} holds {known.count} pictures; a feature network of its "
            f"own learns from {FEWEST} or more."
        )
    images, truth, heads = examples(known)
    model = trainable(known.channels, max(sum(h.width for h in heads), 1))
    project, read = (
        _linear(n, i) for i, n in enumerate((EMBEDDING, len(builtin_training.NAMES)))
    )

    def loss(data):
        pictures, wanted, first, second, noise = data
        both = [
            builtin_training.apply_views(pictures, change, tf.random.fold_in(noise, i))
            for i, change in enumerate((first, second))
        ]
        features, columns = model(tf.concat(both, axis=0), training=True)
        one, other = tf.split(features, 2)
        apart = (first - second) / np.array(builtin_training.STRONG, np.float32)
        cost = contrast(*tf.split(project(features), 2), TEMPERATURE)
        cost += tf.reduce_mean(tf.square(read(one - other) - apart))
        if not heads:
            return cost
        return cost + head_loss(heads, columns, tf.tile(wanted, [2, 1]))

    variables = [v for m in (model, project, read) for v in m.trainable_variables]
    if not heads:  # the model has a column all the same, which nothing is asked of
        variables = [v for v in variables if not v.path.startswith("heads/")]
    data = _batches(images, truth, min(batch, len(images)))
    what = f"learning to see {known.name}"
    fit(variables, loss, data, steps, RATE, progress, what)
    return _kept(folded(model), heads), heads


def _linear(outputs: int, seed: int) -> keras.Model:
    kernel = next(initializers(seed))
    dense = layers.Dense(outputs, kernel_initializer=kernel)
    return keras.Sequential([keras.Input((SIZE,)), dense])


def contrast(one: tf.Tensor, other: tf.Tensor, temperature: float) -> tf.Tensor:
    """NT-Xent: how badly each view is told from all others by its twin.

    Args:
        one, other: float [N, D], row i of both a view of picture i.
        temperature: of the softmax over cosines.

    Returns:
        A scalar over log(2 N - 1), so that a guess costs 1.
    """
    n = tf.shape(one)[0]
    z = tf.math.l2_normalize(tf.concat([one, other], axis=0), axis=1)
    cosines = tf.matmul(z, z, transpose_b=True) / temperature
    cosines -= 1e9 * tf.eye(2 * n)
    twins = tf.roll(tf.range(2 * n), n, axis=0)
    cost = tf.nn.sparse_softmax_cross_entropy_with_logits(twins, cosines)
    return tf.reduce_mean(cost) / tf.math.log(tf.cast(2 * n - 1, tf.float32))


def examples(
    known: Manifest, most: int = MOST
) -> tuple[np.ndarray, np.ndarray, tuple[Head, ...]]:
    """What there is to learn from.

    Returns:
        uint8 [N, 64, 64, channels], float32 [N, heads] and the heads: `class`, or one
        number for each column of a label vector that varies; or none at all.
    """
    level = min(known.resolution, SIDE)
    count = min(known.count, most)
    data = pipeline.dataset(known, level, 250, shuffle=False, repeat=False)
    parts = [
        np.round(resized(batch["image"]).numpy()).astype(np.uint8)
        for batch in data.take(-(-count // 250)).as_numpy_iterator()
    ]
    images, labels = np.concatenate(parts)[:count], pipeline.dataset_labels(known)[:count]
    if known.class_names:
        truth = labels.argmax(axis=1)[:, None].astype(np.float32)
        return images, truth, (Head("class", known.label_size),)
    low, high = labels.min(axis=0), labels.max(axis=0)
    used = np.flatnonzero(high > low)
    heads = [Head(f"label{i}", 0, float(low[i]), float(high[i])) for i in used]
    low, high = low[used], high[used]
    return images, 2 * (labels[:, used] - low) / (high - low) - 1, tuple(heads)


def _batches(images: np.ndarray, truth: np.ndarray, batch: int):
    """Without an end: pictures, their truth, two changes each, a seed."""
    rng = np.random.default_rng(0)
    while True:
        order = rng.permutation(len(images))
        for at in range(0, len(order) - batch + 1, batch):
            rows = order[at : at + batch]
            changes = [
                builtin_training.draw_views(rng, batch, builtin_training.STRONG)
                for _ in range(2)
            ]
            noise = tf.constant(rng.integers(2**31, size=2), tf.int32)
            yield tf.constant(images[rows]), truth[rows], *changes, noise


def _kept(weights: dict[str, np.ndarray], heads) -> dict[str, np.ndarray]:
    """Weights, with columns of the heads that there are."""
    width = sum(head.width for head in heads)
    cut = {n: w[..., :width] for n, w in weights.items() if n.startswith("heads/")}
    return weights | cut


# ---------------------------------------------------------------------------
# Which network measures a data set


def load(
    data: Path | str | Manifest | None = None,
    cache: Path | str | None = None,
    progress: bool = True,
) -> Builtin:
    """The network for a data set; trained now, if it is not at hand.

    Args:
        data: a data set's folder or its manifest. None, "demo" or a set of the demo's
            pictures: the shipped network.
        cache: folder that trained networks are kept in, as of `records.prepare`.
        progress: show a bar while it trains, which takes minutes.

    Returns:
        The network. The name of one that was trained here ends in eight digits of the
        hash of the data's pictures and labels.

    Raises:
        UserError: no data set there, or a damaged file.
    """
    if data is None or str(data) == "demo" or str(data).startswith("demo:"):
        return read(WEIGHTS, NAME, SHA256)
    known = data if isinstance(data, Manifest) else Manifest.load(data)
    if is_demo(known):
        return read(WEIGHTS, NAME, SHA256)
    name = f"{NAME}-{fingerprint(known)[:8]}"
    path = records.cache_folder(cache) / "builtin" / f"{name}.npz"
    if not path.exists():
        save(path, *train(known, progress=progress))
    return read(path, name)


def is_demo(known: Manifest) -> bool:
    """Whether a set holds the demo's pictures as this version draws them.

    The name alone would say nothing: its first picture is drawn again and compared.
    """
    square = known.shape[0] == known.shape[1]
    fits = demo.SIZES[0] <= known.resolution <= demo.SIZES[1] and known.channels == 3
    if known.name != "demo" or not (square and fits):
        return False
    found, index = _first(known)
    return np.array_equal(found, demo.draw_face(index, known.shape[0]))


def _first(known: Manifest) -> tuple[np.ndarray, int]:
    """The first picture as it is stored, and its number in the source."""
    level = known.level(known.resolution)
    path = known.paths(known.resolution)[0]
    record = next(iter(tf.data.TFRecordDataset(path)))
    spec = {"index": tf.io.FixedLenFeature([], tf.int64)}
    index = int(tf.io.parse_single_example(record, spec)["index"])
    return pipeline.decode_records(record[None], level, known)["image"][0].numpy(), index


def fingerprint(known: Manifest) -> str:
    """A hash that follows the pictures, their labels and the network's version."""
    # The records of a level hold the labels beside the pixels.
    side = min(known.resolution, SIDE)
    parts = [NAME, known.count, known.channels, known.label_size, *known.shape]
    parts += known.level(side).crc32
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
