"""Batches of real images for every phase of a run, from records or from a stream.

A phase has its own batch size and resolution. Records are opened anew for each. A
stream is read in units that all batch sizes are made of, at the full resolution, so
that nothing is read twice when a phase begins; levels are the means of blocks of
pixels, as in records.
"""

import functools
import math
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from stylegan_tf.config import TrainConfig
from stylegan_tf.config.schedule import schedule_rows
from stylegan_tf.data import pipeline
from stylegan_tf.data.stream import ImageStream

Batch = dict[str, tf.Tensor]


class ReplicaBatches:
    """Hands every replica its share of each batch.

    It takes the place of an iterator of `tf.distribute`, which waits for up to a minute
    when it is dropped (see `pipeline.untuned`): at each phase, and when a run ends.

    Args:
        strategy: whose replicas they are.
        make: keywords `pieces` and `shard` of `pipeline.dataset` -> dataset of the
            shares of this worker's replicas, one after the other.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        make: Callable[..., tf.data.Dataset],
    ):
        self.strategy = strategy
        numbers = strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(context.replica_id_in_sync_group)
        )
        local = strategy.experimental_local_results(numbers)
        self._first, self._count = int(local[0]), len(local)
        pieces = strategy.num_replicas_in_sync
        shard = self._first // self._count, pieces // self._count
        self._shares = iter(make(pieces=pieces, shard=shard))

    def __next__(self) -> Batch:
        """Returns a batch: tensors, or a value per replica."""
        if self.strategy.num_replicas_in_sync == 1:
            return next(self._shares)
        shares = [next(self._shares) for _ in range(self._count)]
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: shares[context.replica_id_in_sync_group - self._first]
        )


class RecordReader:
    """Reads the batches of a run from records, in the order of the images seen.

    Args:
        data: folder of the records.
        config: the run.
        strategy: its devices.
    """

    def __init__(
        self, data: Path | str, config: TrainConfig, strategy: tf.distribute.Strategy
    ):
        self.data, self.config, self.strategy = data, config, strategy
        self._batches: ReplicaBatches | None = None
        self._next = (-1, 0, 0)  # number of the next image, resolution, batch

    def next_batch(self, nimg: int, resolution: int, batch: int) -> Batch:
        """Returns the batch that begins with image number `nimg`.

        Args:
            nimg: images seen.
            resolution: level of the images.
            batch: images over all replicas.

        Raises:
            DamagedDataError: the records cannot be read.
        """
        if self._batches is None or self._next != (nimg, resolution, batch):
            self._batches = self._read(nimg, resolution, batch)
        self._next = nimg + batch, resolution, batch
        with pipeline.reading(self.data):
            return next(self._batches)

    def _read(self, start: int, resolution: int, batch: int) -> ReplicaBatches:
        how = {"seed": self.config.seed, "mirror": self.config.mirror, "start": start}
        make = functools.partial(pipeline.dataset, self.data, resolution, batch, **how)
        return ReplicaBatches(self.strategy, make)


class StreamReader:
    """Reads the batches of a run from a stream, in the order of the images seen.

    Args:
        stream: the images.
        config: the run.
        strategy: its devices.
    """

    def __init__(
        self, stream: ImageStream, config: TrainConfig, strategy: tf.distribute.Strategy
    ):
        self.stream, self.config, self.strategy = stream, config, strategy
        rows = schedule_rows(config, strategy.num_replicas_in_sync)
        self.unit = math.gcd(*(row.phase.batch for row in rows))
        self._units: ReplicaBatches | None = None
        self._position = -1  # number of the next image
        self._joined: dict[tuple[int, int], Callable] = {}

    def next_batch(self, nimg: int, resolution: int, batch: int) -> Batch:
        """Returns the batch that begins with image number `nimg`.

        Args:
            nimg: images seen. Another number than the batch before ended with begins
                the dataset anew, and passes over so many images.
            resolution: level of the images.
            batch: images over all replicas.

        Raises:
            UserError: the dataset fails, or holds what cannot be used.
        """
        if self._units is None or self._position != nimg:
            self._units, self._position = self._read(nimg), nimg
        with self.stream.reading():
            parts = [next(self._units) for _ in range(batch // self.unit)]
        self._position += batch
        return self._join(len(parts), resolution)(parts)

    def _read(self, start: int) -> ReplicaBatches:
        how = {"seed": self.config.seed, "mirror": self.config.mirror, "start": start}
        make = functools.partial(self.stream.batches, self.unit, **how)
        return ReplicaBatches(self.strategy, make)

    def _join(self, count: int, resolution: int) -> Callable[[list[Batch]], Batch]:
        """Returns the function that makes a batch of `count` units."""
        if (count, resolution) not in self._joined:
            factor = self.config.generator.resolution // resolution

            def join(parts: list[Batch]) -> Batch:
                image = tf.concat([part["image"] for part in parts], 0)
                label = tf.concat([part["label"] for part in parts], 0)
                return {"image": block_means(image, factor), "label": label}

            @tf.function(autograph=False)
            def joined(parts: list[Batch]) -> Batch:
                return self.strategy.run(join, args=(parts,))

            self._joined[count, resolution] = joined
        return self._joined[count, resolution]


def block_means(images: tf.Tensor, factor: int) -> tf.Tensor:
    """Shrinks uint8 images [n, h, w, c] by the means of blocks of pixels.

    Args:
        images: h and w divisible by `factor`.
        factor: side of a block, in pixels.
    """
    if factor == 1:
        return images
    n, h, w, c = images.shape
    blocks = tf.reshape(images, [n, h // factor, factor, w // factor, factor, c])
    means = tf.reduce_mean(tf.cast(blocks, tf.float32), [2, 4])
    return tf.cast(tf.round(means), tf.uint8)  # halves to even, as np.rint
