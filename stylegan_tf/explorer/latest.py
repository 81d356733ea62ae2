"""Requests in a hurry: the newest is answered, those it overtook are dropped."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """Does one piece of work at a time, always the one that was asked for last.

    While a hand drags a slider, more pictures are asked for than can be drawn. The
    last one always is; of the others, as many as there is time for.

    Args:
        work: what to do with a request.
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
        """Takes the place of any request that has not been begun."""
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
