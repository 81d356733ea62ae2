"""From records to batches: `tf.data`, in an order that only a number describes.

    data = dataset("data/demo64", resolution=16, batch=32, start=images_seen, seed=1)
    for element in data:
        reals = process_reals(element["image"], alpha)     # float [-1, 1], cross-faded

Which picture is number n of a training run is a pure function of the seed and n: not
of the resolution, the batch size, the number of devices or workers, or how often the
run was stopped. To resume is to pass `start`; nothing has to be saved.

How. In every epoch the shards are shuffled and taken in windows of a fixed number of
shards, and the records of a window are shuffled. A set whose highest level takes up to
`MEMORY_BYTES` is one window, which makes the shuffle a perfect one; every level that
small is held in memory, so small pictures cost next to nothing. Windows of larger
levels are read ahead from disk, and `start` skips whole windows without reading them.

Sharing. The batch of a step is cut into as many pieces as there are replicas: piece r
takes pictures r, r + pieces, r + 2 pieces, ... A worker reads everything but decodes
only the pieces of its own replicas, so a step sees the same pictures on 1 device or 8.
"""

import os

import numpy as np
import tensorflow as tf

from stylegan_tf.data.manifest import Level, Manifest
from stylegan_tf.errors import UserError

MEMORY_BYTES = 512 << 20  # a level in memory, or a window of one that is on disk
_FOREVER = 1 << 62
_SHARDS, _RECORDS, _MIRROR, _STREAMS = range(4)  # streams of random numbers
_MOST_WINDOWS = 1 << 24  # in an epoch
# These functions are graphs already; to be searched for Python's `if` takes a second.
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
    """The real pictures of a run, from picture number `start` on.

    Args:
        source: a data set's folder or its manifest.
        resolution: level to read.
        batch: pictures a step, over all replicas and workers.
        start: pictures that the run has seen already.
        seed: of the order and of the mirroring.
        mirror: flip every picture with probability 1/2, another draw at each showing.
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
    mine = _pieces_of(batch, pieces, shard)
    order = _Order(manifest, resolution, seed, shuffle)
    data = order.tokens(start, repeat).rebatch(batch, drop_remainder=repeat)

    @_as_it_is
    def deal(step: tf.Tensor, tokens: tf.Tensor) -> tf.data.Dataset:
        number = start + step * batch + tf.range(tf.size(tokens, tf.int64))
        share = _as_it_is(lambda r: (tokens[r::pieces], number[r::pieces]))
        return tf.data.Dataset.range(*mine).map(share)

    @_as_it_is
    def load(tokens: tf.Tensor, number: tf.Tensor) -> dict[str, tf.Tensor]:
        flips = _flips(number, seed) if mirror else None
        element = decode(order.records(tokens), level, manifest, flips)
        if repeat:
            element = {k: _with_batch(v, batch // pieces) for k, v in element.items()}
        return element

    data = data.enumerate().flat_map(deal)
    data = data.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return data.prefetch(tf.data.AUTOTUNE).with_options(_options())


def process_reals(images: tf.Tensor, alpha: tf.Tensor | float) -> tf.Tensor:
    """Pictures as the discriminator takes them while a resolution fades in.

    At alpha 0 every block of 2 x 2 pixels shows its mean, which is what the level
    below shows; at 1 the pictures are themselves.

    Args:
        images: uint8 [n, h, w, c]; h and w even, or alpha the number 1.
        alpha: scalar in [0, 1], how far the resolution has faded in.

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
    """The first n pictures in stored order, or all if there are fewer.

    Returns:
        uint8 [n, height, width, channels].
    """
    manifest = _manifest(source)
    records = _read(manifest.paths(resolution), min(n, manifest.count), 1)
    return decode(records, manifest.level(resolution), manifest)["image"].numpy()


def labels(source: str | os.PathLike | Manifest) -> np.ndarray:
    """The labels of all pictures in stored order: float32 [count, label_size]."""
    manifest = _manifest(source)
    if not manifest.label_size:
        return np.zeros((manifest.count, 0), np.float32)
    records = _read(manifest.paths(min(manifest.levels)), manifest.count)
    return _labels(tf.io.parse_example(records, _features(manifest)), manifest).numpy()


# ---------------------------------------------------------------------------
# The order


class _Order:
    """Which record is picture number n, and the bytes of it."""

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
            with tf.init_scope():
                self.stored = _read(self.files, manifest.count)

    def tokens(self, start: int, repeat: bool) -> tf.data.Dataset:
        """What `records` needs to give the pictures from number `start` on, one
        element a window: indices of records in memory, or the records themselves."""
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
        """Serialized examples: string [n]."""
        return tokens if self.stored is None else tf.gather(self.stored, tokens)

    def _shards(self, epoch: tf.Tensor | int) -> tf.Tensor:
        """The order of the shards in an epoch: int64 [shards]."""
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
        # Every pair of seeds is another stream: no two of these are ever the same.
        key = [_STREAMS * self.seed + stream, epoch * _MOST_WINDOWS + window]
        key = tf.stack([tf.cast(number, tf.int64) for number in key])
        return tf.random.experimental.stateless_shuffle(values, key, alg="philox")


def _read(files, count, batches: int = -1) -> tf.Tensor:
    """The records of some files, one file after the other: string [count].

    Args:
        files: their names.
        count: of all their records; of the first ones where batches is 1.
        batches: -1 where there must be no more records than that.
    """
    data = tf.data.TFRecordDataset(files).batch(count)
    return data.take(batches).get_single_element()


def _manifest(source: str | os.PathLike | Manifest) -> Manifest:
    return source if isinstance(source, Manifest) else Manifest.load(source)


def _pieces_of(batch: int, pieces: int, shard: tuple[int, int]) -> tuple[int, int]:
    """First and last (exclusive) piece of a worker."""
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


def _options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    # Workers are told their share by `shard`; tf.distribute must not share it again.
    off = tf.data.experimental.AutoShardPolicy.OFF
    options.experimental_distribute.auto_shard_policy = off
    return options


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


def decode(
    records: tf.Tensor,
    level: Level,
    manifest: Manifest,
    flips: tf.Tensor | None = None,
) -> dict[str, tf.Tensor]:
    """Serialized examples as an element of `dataset`.

    Args:
        records: string [n].
        level: which they are of.
        manifest: of the data set.
        flips: bool [n], the pictures to mirror; None = none of them.
    """
    parsed = tf.io.parse_example(records, _features(manifest, image=True))
    shape = [level.height, level.width, manifest.channels]
    if level.encoding == "raw":
        images = tf.reshape(tf.io.decode_raw(parsed["image"], tf.uint8), [-1, *shape])
        if flips is not None:
            flips = flips[:, None, None, None]
            images = tf.where(flips, tf.reverse(images, [2]), images)
    else:
        images = _decode_pngs(parsed["image"], shape, flips)
    return {"image": images, "label": _labels(parsed, manifest)}


def _decode_pngs(
    pngs: tf.Tensor, shape: list[int], flips: tf.Tensor | None
) -> tf.Tensor:
    """Pictures uint8 [n, *shape]. Only those that are mirrored pay for it."""
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


def _flips(number: tf.Tensor, seed: int) -> tf.Tensor:
    """Which pictures to mirror, about half: bool [n], of seed and number alone."""
    text = tf.strings.as_string(number)
    coin = tf.strings.to_hash_bucket_strong(text, 2, key=[seed, _MIRROR])
    return coin == 1


def _with_batch(x: tf.Tensor, n: int) -> tf.Tensor:
    return tf.ensure_shape(x, [n, *x.shape[1:]])
