"""Batches of real images by `tf.data`, in an order that one number describes.

    data = dataset("data/demo64", resolution=16, batch=32, start=images_seen, seed=1)
    for element in data:
        reals = process_reals(element["image"], alpha)     # float [-1, 1], cross-faded

Image number n of a training run is a pure function of the seed and n. It does not
depend on the resolution, the batch size, the number of devices or workers, or how often
the run was stopped. To resume, pass `start`; nothing has to be saved.

Order. In every epoch the shards are shuffled and taken in windows of a fixed number of
shards, and the records of a window are shuffled. A set whose highest level takes up to
`MEMORY_BYTES` is one window: the shuffle is then uniform. A level that small is held in
memory, so small images cost next to nothing. Windows of larger levels are read ahead
from disk, and `start` skips whole windows without reading them.

Sharing. The batch of a step is cut into one piece per replica: piece r takes images r,
r + pieces, r + 2 pieces, ... A worker reads everything but decodes only the pieces of
its own replicas, so a step sees the same images on 1 device or 8.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from stylegan_tf.data.manifest import DamagedDataError, Level, Manifest
from stylegan_tf.errors import UserError

MEMORY_BYTES = 512 << 20  # a level in memory, or a window of a level on disk
_FOREVER = 1 << 62
_SHARDS, _RECORDS, _MIRROR, _STREAMS = range(4)  # streams of random numbers
_MOST_WINDOWS = 1 << 24  # per epoch
_DAMAGE = (tf.errors.DataLossError, tf.errors.InvalidArgumentError)
_DAMAGE += (tf.errors.NotFoundError, tf.errors.OutOfRangeError)
# These functions have no Python `if` to convert; searching for it takes a second.
_as_it_is = tf.autograph.experimental.do_not_convert


def dataset(
    source: str | os.PathLike | Manifest,
    resolution: int,
    batch: int,
    *,
    start: int = 0,
    seed: int = 0,
    mirror: bool = False,
    pieces: int = 1,
    shard: tuple[int, int] = (0, 1),
    shuffle: bool = True,
    repeat: bool = True,
) -> tf.data.Dataset:
    """Makes the stream of a run's real images, from image number `start` on.

    Args:
        source: a data set's folder or its manifest.
        resolution: level to read.
        batch: images per step, over all replicas and workers.
        start: number of images that the run has seen.
        seed: random seed of the order and of the mirroring.
        mirror: flip each image with probability 1/2, anew every time it is shown.
        pieces: replicas over all workers; each element is the share of one of them.
        shard: (k, n): this is worker k of n, with pieces k * pieces / n and following.
        shuffle: False reads in stored order.
        repeat: False ends with the epoch that `start` lies in; the last batch may then
            be smaller.

    Returns:
        Elements {"image": uint8 [batch / pieces, height, width, channels],
        "label": float32 [batch / pieces, label_size]}, class labels one-hot.

    Raises:
        UserError: no such level, or the batch cannot be shared evenly.
    """
    manifest = _manifest(source)
    level = manifest.level(resolution)
    mine = pieces_of(batch, pieces, shard)
    order = _Order(manifest, resolution, seed, shuffle)
    data = order.tokens(start, repeat).rebatch(batch, drop_remainder=repeat)

    @_as_it_is
    def deal(step: tf.Tensor, tokens: tf.Tensor) -> tf.data.Dataset:
        number = start + step * batch + tf.range(tf.size(tokens, tf.int64))
        share = _as_it_is(lambda r: (tokens[r::pieces], number[r::pieces]))
        return tf.data.Dataset.range(*mine).map(share)

    @_as_it_is
    def load(tokens: tf.Tensor, number: tf.Tensor) -> dict[str, tf.Tensor]:
        flips = choose_flips(number, seed) if mirror else None
        element = decode_records(order.records(tokens), level, manifest, flips)
        if repeat:
            element = {k: with_batch(v, batch // pieces) for k, v in element.items()}
        return element

    data = data.enumerate().flat_map(deal)
    data = data.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return ordered(data.prefetch(tf.data.AUTOTUNE))


def process_reals(images: tf.Tensor, alpha: tf.Tensor | float) -> tf.Tensor:
    """Prepares real images for the discriminator while a resolution fades in.

    At alpha 0 every block of 2 x 2 pixels has its mean, as in the level below; at
    alpha 1 the images are unchanged (Karras et al. 2018, section 2).

    Args:
        images: uint8 [n, h, w, c]; h and w even, unless alpha is the number 1.
        alpha: scalar in [0, 1], fade-in of the resolution.

    Returns:
        float32 [n, h, w, c] in [-1, 1].
    """
    x = tf.cast(images, tf.float32) / 127.5 - 1
    if isinstance(alpha, (int, float)) and alpha == 1:
        return x
    shape = tf.shape(x)
    n, h, w, c = (x.shape[i] or shape[i] for i in range(4))
    blocks = tf.reshape(x, [n, h // 2, 2, w // 2, 2, c])
    means = tf.reduce_mean(blocks, [2, 4], keepdims=True)
    blocks += (means - blocks) * (1 - tf.cast(alpha, tf.float32))
    return tf.reshape(blocks, [n, h, w, c])


def first_images(
    source: str | os.PathLike | Manifest, resolution: int, n: int
) -> np.ndarray:
    """Reads the first n images in stored order, or all if there are fewer.

    Returns:
        uint8 [n, height, width, channels].
    """
    manifest = _manifest(source)
    with reading(manifest.folder):
        records = _read(manifest.paths(resolution), min(n, manifest.count), 1)
        level = manifest.level(resolution)
        return decode_records(records, level, manifest)["image"].numpy()


def dataset_labels(source: str | os.PathLike | Manifest) -> np.ndarray:
    """Reads the labels of all images in stored order: float32 [count, label_size].

    Raises:
        DamagedDataError: the records cannot be read, or labels are not finite.
    """
    manifest = _manifest(source)
    if not manifest.label_size:
        return np.zeros((manifest.count, 0), np.float32)
    with reading(manifest.folder):
        records = _read(manifest.paths(min(manifest.levels)), manifest.count)
        parsed = tf.io.parse_example(records, _features(manifest))
        labels = _labels(parsed, manifest).numpy()
    if not np.isfinite(labels).all():
        raise DamagedDataError(
            f"the data set {manifest.folder} has labels that are not finite numbers"
        )
    return labels


@contextlib.contextmanager
def reading(folder: Path | str) -> Iterator[None]:
    """Says which data set it is that TensorFlow cannot read.

    Args:
        folder: of the data set whose records are read inside.

    Raises:
        DamagedDataError: in place of TensorFlow's error about the bytes of a file.
    """
    try:
        yield
    except _DAMAGE as e:
        line = (e.message or str(e)).splitlines()[0].partition(" [Op:")[0]
        raise DamagedDataError(
            f"the data set {folder} is damaged ({line[:120]}); which file it is, says "
            f"make_dataset.py --dest={folder} --check"
        ) from e


# ---------------------------------------------------------------------------
# The order


class _Order:
    """The order of a run's images: number n -> a record."""

    def __init__(self, manifest: Manifest, resolution: int, seed: int, shuffle: bool):
        self.counts = np.array(manifest.shard_counts, np.int64)
        self.files = manifest.paths(resolution)
        self.seed, self.shuffle = seed, shuffle
        # The windows follow from the highest level, so that all levels share an order.
        total = sum(manifest.levels[manifest.resolution].sizes)
        shards = len(self.counts)
        windows = -(-total // MEMORY_BYTES)
        self.per_window = max(shards // windows, 1)  # shards
        self.windows = -(-shards // self.per_window)  # an epoch
        self.stored = None
        if sum(manifest.level(resolution).sizes) <= MEMORY_BYTES:
            with tf.init_scope(), reading(manifest.folder):
                self.stored = _read(self.files, manifest.count)

    def tokens(self, start: int, repeat: bool) -> tf.data.Dataset:
        """Makes the arguments of `records` from image number `start` on.

        Each element is a window: indices of records in memory, or records.
        """
        epoch, seen = divmod(start, int(self.counts.sum()))
        with tf.device("CPU:0"):  # where tf.data will compute the same
            ends = np.cumsum(self.counts[self._shards(epoch).numpy()])
        ends = ends[self.per_window - 1 :: self.per_window]
        window = int(np.searchsorted(ends, seen, side="right"))
        skip = seen - (int(ends[window - 1]) if window else 0)
        first = epoch * self.windows + window
        last = _FOREVER if repeat else (epoch + 1) * self.windows

        @_as_it_is
        def read(i: tf.Tensor) -> tf.Tensor:
            skipped = tf.where(i == first, tf.constant(skip, tf.int64), 0)
            return self._window(i // self.windows, i % self.windows, skipped)

        return tf.data.Dataset.range(first, last).map(read).prefetch(1)

    def records(self, tokens: tf.Tensor) -> tf.Tensor:
        """Returns serialized examples: string [n]."""
        return tokens if self.stored is None else tf.gather(self.stored, tokens)

    def _shards(self, epoch: tf.Tensor | int) -> tf.Tensor:
        """Returns the order of the shards in an epoch: int64 [shards]."""
        return self._shuffled(len(self.counts), _SHARDS, epoch, 0)

    def _window(self, epoch: tf.Tensor, window: tf.Tensor, skip) -> tf.Tensor:
        begin = window * self.per_window
        shards = self._shards(epoch)[begin : begin + self.per_window]
        counts = tf.gather(self.counts, shards)
        order = self._shuffled(tf.reduce_sum(counts), _RECORDS, epoch, window)[skip:]
        if self.stored is None:
            files = tf.gather(self.files, shards)
            return tf.gather(_read(files, tf.reduce_sum(counts)), order)
        first = tf.gather(np.cumsum(self.counts) - self.counts, shards)
        return tf.gather(tf.ragged.range(first, first + counts).flat_values, order)

    def _shuffled(self, n, stream: int, epoch, window) -> tf.Tensor:
        values = tf.range(tf.cast(n, tf.int64))
        if not self.shuffle:
            return values
        # A pair of seeds is a stream; no two calls have the same pair.
        key = [_STREAMS * self.seed + stream, epoch * _MOST_WINDOWS + window]
        key = tf.stack([tf.cast(number, tf.int64) for number in key])
        return tf.random.experimental.stateless_shuffle(values, key, alg="philox")


def _read(files, count, batches: int = -1) -> tf.Tensor:
    """Reads the records of some files, one file after the other: string [count].

    Args:
        files: file names.
        count: number of records.
        batches: -1 if there must be no more records; 1 reads the first `count`.
    """
    data = untuned(tf.data.TFRecordDataset(files).batch(count))
    return data.take(batches).get_single_element()


def _manifest(source: str | os.PathLike | Manifest) -> Manifest:
    return source if isinstance(source, Manifest) else Manifest.load(source)


def pieces_of(batch: int, pieces: int, shard: tuple[int, int]) -> tuple[int, int]:
    """Returns first and last (exclusive) piece of a worker."""
    k, n = shard
    if batch % pieces:
        raise UserError(
            f"a batch of {batch} cannot be shared evenly by {pieces} replicas; "
            f"make it a multiple of {pieces}."
        )
    if pieces % n or not 0 <= k < n:
        raise UserError(
            f"worker {k} of {n} cannot have an even share of {pieces} replicas; "
            f"give every worker as many devices."
        )
    return k * pieces // n, (k + 1) * pieces // n


def ordered(data: tf.data.Dataset) -> tf.data.Dataset:
    """Returns a dataset whose elements come in one order; see also `untuned`."""
    options = tf.data.Options()
    options.deterministic = True
    return untuned(data).with_options(options)


def untuned(data: tf.data.Dataset) -> tf.data.Dataset:
    """Returns a dataset whose iterators are closed at once.

    TensorFlow tunes a dataset in a thread that sleeps longer and longer, up to a
    minute, and an iterator that is dropped waits until it wakes. Without the thread
    AUTOTUNE stands for as many calls as there are cores.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return data.with_options(options)


# ---------------------------------------------------------------------------
# Decoding


def _features(manifest: Manifest, image: bool = False) -> dict:
    features = {"label": tf.io.FixedLenFeature([], tf.int64)}
    if image:
        features["image"] = tf.io.FixedLenFeature([], tf.string)
    if manifest.label_size and not manifest.class_names:
        features["label_vector"] = tf.io.FixedLenFeature(
            [manifest.label_size], tf.float32
        )
    return features


def decode_records(
    records: tf.Tensor,
    level: Level,
    manifest: Manifest,
    flips: tf.Tensor | None = None,
) -> dict[str, tf.Tensor]:
    """Decodes serialized examples to an element of `dataset`.

    Args:
        records: string [n].
        level: the level of the records.
        manifest: of the data set.
        flips: bool [n], True mirrors an image; None mirrors none.
    """
    parsed = tf.io.parse_example(records, _features(manifest, image=True))
    shape = [level.height, level.width, manifest.channels]
    if level.encoding == "raw":
        images = tf.reshape(tf.io.decode_raw(parsed["image"], tf.uint8), [-1, *shape])
        if flips is not None:
            images = mirror_chosen(images, flips)
    else:
        images = _decode_pngs(parsed["image"], shape, flips)
    return {"image": images, "label": _labels(parsed, manifest)}


def _decode_pngs(
    pngs: tf.Tensor, shape: list[int], flips: tf.Tensor | None
) -> tf.Tensor:
    """Decodes to uint8 [n, *shape]; only mirrored images pay for the mirroring."""
    flips = tf.zeros(tf.shape(pngs), tf.bool) if flips is None else flips

    def decode(png_and_flip: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        png, flip = png_and_flip
        image = tf.io.decode_png(png, shape[-1])
        return tf.cond(flip, lambda: tf.reverse(image, [1]), lambda: image)

    spec = tf.TensorSpec(shape, tf.uint8)
    return tf.map_fn(decode, (pngs, flips), fn_output_signature=spec)


def _labels(parsed: dict[str, tf.Tensor], manifest: Manifest) -> tf.Tensor:
    if "label_vector" in parsed:
        return parsed["label_vector"]
    return tf.one_hot(parsed["label"], manifest.label_size)


def choose_flips(number: tf.Tensor, seed: int) -> tf.Tensor:
    """Draws which images to mirror, by seed and number alone: bool [n]."""
    text = tf.strings.as_string(number)
    coin = tf.strings.to_hash_bucket_strong(text, 2, key=[seed, _MIRROR])
    return coin == 1


def mirror_chosen(images: tf.Tensor, flips: tf.Tensor) -> tf.Tensor:
    """Mirrors the images [n, h, w, c] for which flips, bool [n], says so."""
    return tf.where(flips[:, None, None, None], tf.reverse(images, [2]), images)


def with_batch(x: tf.Tensor, n: int) -> tf.Tensor:
    """Returns x with n as its static batch size."""
    return tf.ensure_shape(x, [n, *x.shape[1:]])
