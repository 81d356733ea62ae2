"""Long work of all tabs, one after the other, a little at a time.

Between two parts of it the pictures of all tabs are drawn.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from stylegan_tf.errors import UserError

T = TypeVar("T")
MOST_WAITING = 8  # jobs; more are refused


class Jobs:
    """Does the work of one job at a time.

    Args:
        turns: held during each part; whoever draws a picture holds it, too.
        in_thread: calls a function in a thread, with arguments.
    """

    def __init__(
        self, turns: asyncio.Lock, in_thread: Callable[..., Awaitable[object]]
    ):
        self._turns, self._in_thread = turns, in_thread
        self._one, self._waiting = asyncio.Lock(), 0

    @property
    def busy(self) -> bool:
        """True while some job is at work."""
        return self._one.locked()

    async def run(
        self,
        parts: Iterator[T],
        show: Callable[[T], None],
        gone: Callable[[], bool] = lambda: False,
    ) -> None:
        """Does a job, once those before it are done.

        Args:
            parts: does a part of the work whenever its next item is asked for.
            show: is given each item.
            gone: True ends the job: nobody waits for it any more.

        Raises:
            UserError: too many jobs wait; or an error of the work.
        """
        if self._waiting >= MOST_WAITING:
            raise UserError("too much is at work already; try again in a while.")
        self._waiting += 1
        end = object()
        try:
            async with self._one:
                while not gone():
                    async with self._turns:
                        item = await self._in_thread(next, parts, end)
                    if item is end or item is None or gone():
                        break
                    show(item)  # type: ignore[arg-type]
        finally:
            self._waiting -= 1
