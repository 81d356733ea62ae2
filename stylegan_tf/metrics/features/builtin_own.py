"""Trains `builtin` on a user's own data set, labeled or not.

Two losses need no labels. Both use two randomly transformed views of each image:

    contrastive         The two views of an image are told from all other images of the
                        batch, with the normalized temperature-scaled cross-entropy of
                        SimCLR (Chen et al. 2020, equation 1).
    transformation      The difference of the two transformations' parameters is
                        regressed from the difference of the features (auto-encoding
                        transformations, Zhang et al. 2019, section 3).

The contrastive loss alone makes features invariant to the transformations, blur and
noise among them, which a metric of image quality must see; the second loss keeps them.
Labels add a third loss. Labels alone would leave the features blind to everything that
the classes have in common.
"""

import hashlib
import json
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from stylegan_tf.data import demo, pipeline
from stylegan_tf.data.manifest import Manifest
from stylegan_tf.errors import UserError
from stylegan_tf.metrics.features.builtin import (
    NAME,
    SHA256,
    SIDE,
    SIZE,
    WEIGHTS,
    BuiltinFeatures,
    Head,
    read_builtin,
    resize_inputs,
    save_builtin,
)
from stylegan_tf.metrics.features.builtin_training import (
    STRONG,
    TRANSFORMS,
    apply_transforms,
    fit_network,
    fold_normalization,
    head_loss,
    initializers,
    sample_transforms,
    trainable_network,
)
from stylegan_tf.remote import cache_folder

FEWEST = 16  # images in a data set
MOST = 10_000  # images to train on: the first ones in the records
STEPS, BATCH, RATE = 500, 64, 2e-3
EMBEDDING, TEMPERATURE = 64, 0.2


def train_builtin(
    manifest: Manifest, steps: int = STEPS, batch: int = BATCH, progress: bool = False
) -> tuple[dict[str, np.ndarray], tuple[Head, ...]]:
    """Trains a network on a data set; the same set and machine give the same weights.

    Args:
        manifest: the data set.
        steps: of training.
        batch: images per step, at most as many as there are.
        progress: show a bar.

    Returns:
        Weights and heads, as `BuiltinFeatures` takes them.

    Raises:
        UserError: there are too few images to tell apart.
    """
    if manifest.count < FEWEST:
        raise UserError(
            f"{manifest.folder} holds {manifest.count} pictures; a feature network of "
            f"its own learns from {FEWEST} or more."
        )
    images, truth, heads = training_examples(manifest)
    model = trainable_network(manifest.channels, max(sum(h.width for h in heads), 1))
    project, regress = (
        _linear(n, i) for i, n in enumerate((EMBEDDING, len(TRANSFORMS)))
    )

    def loss(data):
        pixels, targets, first, second, noise = data
        views = [
            apply_transforms(pixels, parameters, tf.random.fold_in(noise, i))
            for i, parameters in enumerate((first, second))
        ]
        features, outputs = model(tf.concat(views, axis=0), training=True)
        one, other = tf.split(features, 2)
        difference = (first - second) / np.array(STRONG, np.float32)
        total = nt_xent(*tf.split(project(features), 2), TEMPERATURE)
        total += tf.reduce_mean(tf.square(regress(one - other) - difference))
        if not heads:
            return total
        return total + head_loss(heads, outputs, tf.tile(targets, [2, 1]))

    variables = [v for m in (model, project, regress) for v in m.trainable_variables]
    if not heads:  # the model has one unused output
        variables = [v for v in variables if not v.path.startswith("heads/")]
    data = _batches(images, truth, min(batch, len(images)))
    title = f"learning to see {manifest.name}"
    fit_network(variables, loss, data, steps, RATE, progress, title)
    weights, width = fold_normalization(model), sum(h.width for h in heads)
    for name in ("heads/kernel", "heads/bias"):
        weights[name] = weights[name][..., :width]
    return weights, heads


def _linear(outputs: int, seed: int) -> keras.Model:
    kernel = next(initializers(seed))
    dense = layers.Dense(outputs, kernel_initializer=kernel)
    return keras.Sequential([keras.Input((SIZE,)), dense])


def nt_xent(one: tf.Tensor, other: tf.Tensor, temperature: float) -> tf.Tensor:
    """Returns the NT-Xent loss (Chen et al. 2020, equation 1) over log(2 N - 1).

    Args:
        one: float [N, D]; row i embeds a view of image i.
        other: float [N, D]; row i embeds the other view of image i.
        temperature: of the softmax over cosine similarities.

    Returns:
        A scalar; 1 = chance.
    """
    n = tf.shape(one)[0]
    z = tf.math.l2_normalize(tf.concat([one, other], axis=0), axis=1)
    cosines = tf.matmul(z, z, transpose_b=True) / temperature
    cosines -= 1e9 * tf.eye(2 * n)
    positives = tf.roll(tf.range(2 * n), n, axis=0)
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(positives, cosines)
    return tf.reduce_mean(entropy) / tf.math.log(tf.cast(2 * n - 1, tf.float32))


def training_examples(
    manifest: Manifest, most: int = MOST
) -> tuple[np.ndarray, np.ndarray, tuple[Head, ...]]:
    """Reads the images and labels to train on.

    Returns:
        uint8 [N, 64, 64, channels], float32 [N, heads] and the heads: `class`, or one
        number per varying column of a label vector; none without labels.
    """
    level = min(manifest.resolution, SIDE)
    count = min(manifest.count, most)
    data = pipeline.dataset(manifest, level, 250, shuffle=False, repeat=False)
    parts = [
        np.round(resize_inputs(batch["image"]).numpy()).astype(np.uint8)
        for batch in data.take(-(-count // 250)).as_numpy_iterator()
    ]
    images, labels = (
        np.concatenate(parts)[:count],
        pipeline.dataset_labels(manifest)[:count],
    )
    if manifest.class_names:
        truth = labels.argmax(axis=1)[:, None].astype(np.float32)
        return images, truth, (Head("class", manifest.label_size),)
    low, high = labels.min(axis=0), labels.max(axis=0)
    used = np.flatnonzero(high > low)
    heads = [Head(f"label{i}", 0, float(low[i]), float(high[i])) for i in used]
    low, high = low[used], high[used]
    return images, 2 * (labels[:, used] - low) / (high - low) - 1, tuple(heads)


def _batches(images: np.ndarray, truth: np.ndarray, batch: int):
    """Yields images, targets, two sets of transform parameters and a noise seed."""
    rng = np.random.default_rng(0)
    while True:
        order = rng.permutation(len(images))
        for start in range(0, len(order) - batch + 1, batch):
            rows = order[start : start + batch]
            parameters = [sample_transforms(rng, batch, STRONG) for _ in range(2)]
            noise = tf.constant(rng.integers(2**31, size=2), tf.int32)
            yield tf.constant(images[rows]), truth[rows], *parameters, noise


# ---------------------------------------------------------------------------
# The network for a data set


def load_builtin(
    data: Path | str | Manifest | None = None,
    cache: Path | str | None = None,
    progress: bool = True,
) -> BuiltinFeatures:
    """Returns the network for a data set, trained now if the cache has none.

    Args:
        data: a data set's folder or its manifest. None, "demo" or a set of the demo's
            images: the shipped network.
        cache: folder of trained networks, see `remote.cache_folder`.
        progress: show a bar during training, which takes minutes.

    Returns:
        The network. If it was trained for the data, its name ends in eight digits of
        `fingerprint`.

    Raises:
        UserError: no data set there, or a damaged file.
    """
    if data is None or str(data) == "demo" or str(data).startswith("demo:"):
        return read_builtin(WEIGHTS, NAME, SHA256)
    manifest = data if isinstance(data, Manifest) else Manifest.load(data)
    if is_demo(manifest):
        return read_builtin(WEIGHTS, NAME, SHA256)
    name = f"{NAME}-{fingerprint(manifest)[:8]}"
    path = cache_folder(cache) / "builtin" / f"{name}.npz"
    if not path.exists():
        if progress:
            print(
                f"a feature network is trained on {manifest.name} first, which takes "
                f"minutes, once; kept in {path}",
                file=sys.stderr,
            )
        save_builtin(path, *train_builtin(manifest, progress=progress))
    return read_builtin(path, name)


def is_demo(manifest: Manifest) -> bool:
    """Returns True for a data set of the demo's images as this version draws them.

    Any set can be named "demo", so the first image is drawn again and compared.
    """
    square = manifest.shape[0] == manifest.shape[1]
    fits = (
        demo.SIZES[0] <= manifest.resolution <= demo.SIZES[1] and manifest.channels == 3
    )
    if manifest.name != "demo" or not (square and fits):
        return False
    image, index = _first(manifest)
    return np.array_equal(image, demo.draw_face(index, manifest.shape[0]))


def _first(manifest: Manifest) -> tuple[np.ndarray, int]:
    """Returns the first image of the records and its index in the source."""
    level = manifest.level(manifest.resolution)
    path = manifest.paths(manifest.resolution)[0]
    record = next(iter(pipeline.untuned(tf.data.TFRecordDataset(path))))
    spec = {"index": tf.io.FixedLenFeature([], tf.int64)}
    index = int(tf.io.parse_single_example(record, spec)["index"])
    return pipeline.decode_records(record[None], level, manifest)["image"][
        0
    ].numpy(), index


def fingerprint(manifest: Manifest) -> str:
    """Returns a hash of the images, their labels and the network's version."""
    # The checksums of the records cover the labels too.
    side = min(manifest.resolution, SIDE)
    parts = [
        NAME,
        manifest.count,
        manifest.channels,
        manifest.label_size,
        *manifest.shape,
    ]
    parts += manifest.level(side).crc32
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
