"""Holds what the web server's thread and the model's thread share."""

import sys
import time
import traceback
from typing import TYPE_CHECKING

from stylegan_tf.errors import UserError
from stylegan_tf.serving.metrics import ServingMetrics
from stylegan_tf.serving.queue import ImageQueue
from stylegan_tf.serving.requests import ModelFacts

if TYPE_CHECKING:  # it loads TensorFlow
    from stylegan_tf.serving.drawing import BatchDrawer


class Service:
    """A model that is loading, ready, or stopping, and the images that wait for it.

    Args:
        most_waiting: images in the queue.
        most_seeds: images of an answer.
        metadata: write into PNGs how they are drawn.

    Attributes:
        facts: of the model, once it is loaded.
        stopping: True if the server shall end.
    """

    def __init__(
        self, most_waiting: int = 256, most_seeds: int = 64, metadata: bool = True
    ):
        self.most_seeds, self.metadata = min(most_seeds, most_waiting), metadata
        self.queue = ImageQueue(most_waiting)
        self.facts: ModelFacts | None = None
        self.stopping = False
        self.metrics = ServingMetrics(
            lambda: len(self.queue), lambda: self.state == "ready"
        )

    @property
    def state(self) -> str:
        """One of "loading", "ready" and "stopping"."""
        if self.stopping:
            return "stopping"
        return "loading" if self.facts is None else "ready"

    def draw_next(self, drawer: "BatchDrawer", timeout: float) -> bool:
        """Draws a batch of waiting images.

        Args:
            drawer: of the model; in its thread.
            timeout: seconds to wait for a request.

        Returns:
            False if none came.
        """
        images = self.queue.take(drawer.sizes[-1], timeout)
        if not images:
            return False
        start = time.perf_counter()
        try:
            pictures = drawer.draw_batch(images)
        except Exception as error:  # these requests fail, the next may not
            traceback.print_exc(file=sys.stderr)
            for image in images:
                image.future.set_exception(error)
            return True
        seconds = time.perf_counter() - start
        self.queue.note_speed(len(images), seconds)
        self.metrics.images.inc(len(images))
        self.metrics.batch_size.observe(len(images))
        self.metrics.draw_seconds.observe(seconds)
        for image, picture in zip(images, pictures, strict=True):
            if isinstance(picture, UserError):
                image.future.set_exception(picture)
            else:
                image.future.set_result(picture)
        return True
