"""Real images straight from a `tf.data.Dataset`, without records of them.

    stream = ImageStream(dataset, sample)
    for element in stream.batches(32, start=images_seen):
        element["image"], element["label"]     as `pipeline.dataset` has them

Image number n of a run is the n-th of the dataset, which begins again where it ends. A
run that goes on passes over the images that it has seen. So it sees the same ones as a
run that was never stopped if the dataset yields the same images each time that it is
read: a shuffle has a seed, and its maps draw no unseeded random numbers.

The first images are converted to a small data set, the sample. It tells the size, the
channels and the classes, and is what sheets of real images show.
"""

import contextlib
import itertools
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import tensorflow as tf

from stylegan_tf.data.images import BadImage, fit_image
from stylegan_tf.data.manifest import Manifest
from stylegan_tf.data.objects import labeled_images, value_range
from stylegan_tf.data.pipeline import (
    choose_flips,
    mirror_chosen,
    ordered,
    pieces_of,
    with_batch,
)
from stylegan_tf.data.sources.labels import class_name
from stylegan_tf.errors import UserError

SAMPLE = 2000  # images that are converted
_as_it_is = tf.autograph.experimental.do_not_convert
_AHEAD = 4  # images per thread that are fitted before they are asked for


class ImageStream:
    """The real images of a run, in the order of a dataset.

    Args:
        dataset: see `data.objects.open_images`; images of any size.
        sample: of its first images.

    Raises:
        UserError: it is empty, or its values have no usual range.
    """

    def __init__(self, dataset: Any, sample: Manifest):
        self.dataset, self.sample = dataset, sample
        self.range = value_range(dataset)
        self._numbers = {name: i for i, name in enumerate(sample.class_names)}
        self._trouble: UserError | None = None

    def batches(
        self,
        batch: int,
        *,
        start: int = 0,
        seed: int = 0,
        mirror: bool = False,
        pieces: int = 1,
        shard: tuple[int, int] = (0, 1),
    ) -> tf.data.Dataset:
        """Makes the batches from image number `start` on, at the full resolution.

        Args:
            batch: images per step, over all replicas and workers.
            start: number of images that the run has seen.
            seed: random seed of the mirroring.
            mirror: flip each image with probability 1/2.
            pieces: replicas over all workers, see `pipeline.dataset`.
            shard: (k, n): this is worker k of n.

        Returns:
            Elements as those of `pipeline.dataset`.
        """
        about = self.sample
        spec = (
            tf.TensorSpec((*about.shape, about.channels), tf.uint8),
            tf.TensorSpec([about.label_size], tf.float32),
            tf.TensorSpec([], tf.int64),
        )
        mine = pieces_of(batch, pieces, shard)

        def numbered() -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
            for number, pair in enumerate(self._images(start), start):
                yield *pair, number

        @_as_it_is
        def deal(*whole: tf.Tensor) -> tf.data.Dataset:
            share = _as_it_is(lambda r: tuple(part[r::pieces] for part in whole))
            return tf.data.Dataset.range(*mine).map(share)

        @_as_it_is
        def finish(image: tf.Tensor, label: tf.Tensor, number: tf.Tensor):
            if mirror:
                image = mirror_chosen(image, choose_flips(number, seed))
            element = {"image": image, "label": label}
            return {k: with_batch(v, batch // pieces) for k, v in element.items()}

        data = tf.data.Dataset.from_generator(numbered, output_signature=spec)
        data = data.batch(batch, drop_remainder=True).flat_map(deal).map(finish)
        return ordered(data.prefetch(tf.data.AUTOTUNE))

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Says what is wrong with the dataset, in place of TensorFlow's error.

        Raises:
            UserError: the dataset fails, or an image or a label cannot be used.
        """
        try:
            yield
        except tf.errors.OpError as error:
            trouble, self._trouble = self._trouble, None
            if trouble:
                raise trouble from error
            raise

    # -----------------------------------------------------------------------

    def _images(self, start: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields each image and label from number `start` on; keeps what stops it."""
        threads = min(os.cpu_count() or 1, 16)
        waiting: deque[Future] = deque()
        number = start
        try:
            with ThreadPoolExecutor(threads) as pool:
                for pixels, label in itertools.islice(self._endless(), start, None):
                    waiting.append(pool.submit(self._fitted, pixels, label))
                    if len(waiting) > threads * _AHEAD:
                        yield waiting.popleft().result()
                        number += 1
        except BadImage as error:
            self._trouble = UserError(
                f"picture {number} of the dataset cannot be used: {error.reason}; "
                f"leave it out with dataset.filter(...)."
            )
            raise
        except UserError as error:
            self._trouble = error
            raise

    def _endless(self) -> Iterator[tuple[np.ndarray, object]]:
        while True:
            empty = True
            for pair in labeled_images(self.dataset):
                empty = False
                yield pair
            if empty:
                raise UserError("the dataset has no pictures in it.")

    def _fitted(self, pixels: np.ndarray, label: object):
        about = self.sample
        pixels = self.range.to_bytes(pixels)
        if pixels.shape != (*about.shape, about.channels):
            pixels = fit_image(pixels, about.shape, about.channels, about.crop)
        return pixels, self._label(label)

    def _label(self, label: object) -> np.ndarray:
        """Returns the label as numbers, [label_size]."""
        row = np.zeros(self.sample.label_size, np.float32)
        if not row.size:
            return row
        if not self._numbers:
            vector = np.asarray(label, np.float32)
            if vector.shape != row.shape or not np.isfinite(vector).all():
                raise UserError(
                    f"a label of the dataset is {str(label)[:40]}; the others are "
                    f"vectors of {row.size} numbers."
                )
            return vector
        if isinstance(label, list) and len(label) == 1:
            label = label[0]
        if isinstance(label, bytes):
            label = label.decode("utf-8", "replace")
        name = class_name(label, self.sample.class_names)
        if name not in self._numbers:
            raise UserError(
                f"the class {name[:40]} is in the dataset, but not among its first "
                f"{self.sample.count} pictures, which tell the classes; shuffle it "
                f"with a seed: dataset.shuffle(10000, seed=0)."
            )
        row[self._numbers[name]] = 1
        return row
