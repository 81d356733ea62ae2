"""The built-in cartoon faces as a source: see `stylegan_tf.data.demo`."""

import re
import zlib

import numpy as np

from stylegan_tf.data.demo import CLASSES, SIZES, draw_face, factors
from stylegan_tf.data.images import Header
from stylegan_tf.data.sources.base import Source
from stylegan_tf.errors import UserError

DEMO_COUNT = 6000
DEMO_MOST = 10**9 - 1
DEMO_SIZE = 64  # pixels along a side, unless another size is asked for


class DemoSource(Source):
    """Faces that are drawn at the size that is wanted.

    Args:
        count: number of faces.
        choice: "auto" gives each face its class, "none" none.
    """

    def __init__(self, count: int = DEMO_COUNT, choice: str = "auto"):
        self.name, self.count, self.notes = "demo", count, []
        self.class_names = list(CLASSES) if choice == "auto" else []
        self.label_size = len(self.class_names)

    def __len__(self) -> int:
        return self.count

    def name_of(self, i: int) -> str:
        """See `Source.name_of`."""
        return f"demo[{i}]"

    def peek(self, i: int) -> Header:
        """See `Source.peek`."""
        return Header(DEMO_SIZE, DEMO_SIZE, gray=False)

    def read(self, i: int, size: int) -> tuple[np.ndarray, int]:
        """See `Source.read`."""
        label = factors(i)["class"] if self.label_size else -1
        return draw_face(i, int(np.clip(size, *SIZES))), int(label)

    def fingerprint(self) -> str:
        """See `Source.fingerprint`; it follows the code that draws."""
        drawn = zlib.crc32(draw_face(0, 32).tobytes())
        return f"demo {self.count} {drawn} {self.label_size}"


def open_demo(spec: str, choice: str) -> DemoSource:
    """Opens `demo` or `demo:N`.

    Args:
        spec: as the user wrote it.
        choice: of labels, "auto" or "none".

    Raises:
        UserError: N is not a positive number, or another choice of labels.
    """
    _, _, count = spec.partition(":")
    if (
        count
        and not re.fullmatch("[0-9]{1,9}", count)
        or count.strip("0") == "" < count
    ):
        raise UserError(
            f"{spec[:80]!r} is not demo or demo:N with a number of pictures N, 1 to "
            f"{DEMO_MOST:,}."
        )
    if choice not in ("auto", "none"):
        raise UserError("the demo has labels of its own; use --labels=auto or none.")
    return DemoSource(int(count or DEMO_COUNT), choice)
