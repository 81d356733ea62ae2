"""Progress bars, all of them. They move on a terminal, and are silent in a log file."""

from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


class ProgressBar(tqdm):
    """A bar of tqdm that returns to the start of its line on a terminal alone.

    Args:
        steps: what is looped over; None = `update` moves the bar.
        title: text in front of the bar.
        shown: False hides the bar on a terminal too.
        **options: of tqdm, such as `total` and `unit`.
    """

    def __init__(
        self,
        steps: Iterable | None = None,
        title: str | None = None,
        shown: bool = True,
        **options: Any,
    ):
        super().__init__(steps, title, disable=None if shown else True, **options)


def print_above_bars(text: str) -> None:
    """Prints a line on standard output, above the bars that move meanwhile."""
    tqdm.write(text)
