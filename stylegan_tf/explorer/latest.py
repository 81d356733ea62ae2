"""Answers the newest request and drops those that it overtook."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """Does one piece of work at a time, always the one that was requested last.

    While a hand drags a slider, more images are requested than can be rendered. The
    last one always is; of the others, as many as there is time for.

    Args:
        work: answers a request.
        start: makes a coroutine a task of the running loop.
    """

    def __init__(
        self,
        work: Callable[[T], Awaitable[None]],
        start: Callable = asyncio.ensure_future,
    ):
        self._work, self._start = work, start
        self._waiting: list[T] = []
        self._running = False

    def ask(self, item: T) -> None:
        """Requests `item`, in place of any request that has not begun."""
        self._waiting = [item]
        if not self._running:
            self._running = True
            self._start(self._run())

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._work(self._waiting.pop())
        finally:
            self._running = False
