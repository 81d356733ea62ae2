"""Images that wait for the model, in the order in which they were asked for.

Requests come from the web server's thread; the thread that owns the model takes images
of several requests at once, as many as one call of the network draws.
"""

import math
import threading
from collections import deque
from collections.abc import Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from stylegan_tf.serving.requests import ImageRequest, Label

LONGEST_WAIT = 60  # seconds that a refused client is asked to wait, at most


@dataclass(frozen=True, eq=False)
class WaitingImage:
    """One image of a request.

    Attributes:
        request: the request.
        number: of the image in it.
        future: gets the pixels, uint8 [H, W, C].
    """

    request: ImageRequest
    number: int
    future: "Future[np.ndarray]" = field(default_factory=Future)

    @property
    def seed(self) -> int:
        """The image's seed."""
        return self.request.seeds[self.number]

    @property
    def label(self) -> Label:
        """The image's label."""
        return self.request.labels[self.number]

    @property
    def kind(self) -> Hashable:
        """Equal for images that one call of the network can draw."""
        return self.request.noise, self.request.move is not None


class QueueFullError(Exception):
    """More images are waiting than the queue takes.

    Attributes:
        seconds: after which there may be room.
    """

    def __init__(self, waiting: int, seconds: int):
        super().__init__(f"{waiting} pictures are waiting; try again in {seconds} s.")
        self.seconds = seconds


class ImageQueue:
    """Images that wait, first in, first out.

    Args:
        limit: most images that wait; those of a request are let in or refused together.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self._images: deque[WaitingImage] = deque()
        self._changed = threading.Condition()
        self._rate = 0.0  # images per second, a running mean

    def __len__(self) -> int:
        return len(self._images)

    def put(self, images: Sequence[WaitingImage]) -> None:
        """Adds the images of a request.

        Raises:
            QueueFullError: there is no room for them.
        """
        with self._changed:
            waiting = len(self._images)
            if waiting + len(images) > self.limit:
                seconds = math.ceil(waiting / self._rate) if self._rate else 1
                raise QueueFullError(waiting, min(max(seconds, 1), LONGEST_WAIT))
            self._images.extend(images)
            self._changed.notify()

    def take(self, most: int, timeout: float) -> list[WaitingImage]:
        """Returns the oldest image and others of its kind, at most `most`.

        Images whose client has gone are dropped.

        Args:
            most: images.
            timeout: seconds to wait for the first one; then the list is empty.
        """
        with self._changed:
            if not self._images:
                self._changed.wait(timeout)
            taken: list[WaitingImage] = []
            left: deque[WaitingImage] = deque()
            for image in self._images:
                same = not taken or image.kind == taken[0].kind
                if len(taken) == most or not same:
                    left.append(image)
                elif image.future.set_running_or_notify_cancel():
                    taken.append(image)
            self._images = left
            return taken

    def note_speed(self, images: int, seconds: float) -> None:
        """Notes how long images took, from which waiting times are estimated."""
        rate = images / max(seconds, 1e-6)
        self._rate = rate if not self._rate else 0.9 * self._rate + 0.1 * rate
