"""Counts requests, images and batches, for Prometheus.

Exposition: the text format of prometheus_client, at `/metrics`.
"""

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SIZES = (1, 2, 4, 8, 16, 32, 64)


class ServingMetrics:
    """Counts of a server: what it has done, and what waits.

    Args:
        waiting: returns the number of images in the queue.
        ready: returns True if the model is loaded.

    Attributes:
        requests: by path and status.
        latency: seconds of answered requests, by path.
        images: drawn.
        batch_size: images per call of the network.
        draw_seconds: seconds of such a call.
        refused: requests answered with 429.
    """

    def __init__(self, waiting: Callable[[], int], ready: Callable[[], bool]):
        registry = self._registry = CollectorRegistry()
        own = {"namespace": "stylegan_tf", "registry": registry}
        self.requests = Counter(
            "requests", "Requests answered.", ["path", "status"], **own
        )
        self.latency = Histogram(
            "request_seconds",
            "Seconds from a request to its answer.",
            ["path"],
            buckets=SECONDS,
            **own,
        )
        self.images = Counter("images", "Images drawn.", **own)
        self.batch_size = Histogram(
            "batch_images", "Images per call of the network.", buckets=SIZES, **own
        )
        self.draw_seconds = Histogram(
            "draw_seconds", "Seconds of a call of the network.", buckets=SECONDS, **own
        )
        self.refused = Counter("refused", "Requests refused: the queue is full.", **own)
        Gauge("waiting_images", "Images in the queue.", **own).set_function(waiting)
        Gauge("ready", "1 if the model is loaded.", **own).set_function(ready)

    def text(self) -> bytes:
        """Returns all of them in Prometheus' text format."""
        return generate_latest(self._registry)
