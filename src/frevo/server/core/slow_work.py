"""Work on files that may occupy a worker for a long time (flushing, zeroing, resizing large files). No user can occupy
all workers: one has at most as many as are still free, and further work waits until some of its own has ended."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

T = TypeVar("T")

#: The initial workers of the rings: those of io_uring that may block, and threads.
WORKERS: Final = max(4, min(16, 4 * (os.cpu_count() or 1)))


class SlowWork:
    """The workers that each user occupies, and the work that waits for one."""

    def __init__(self, loop: asyncio.AbstractEventLoop, workers: int = WORKERS) -> None:
        self._loop = loop
        self._free = workers
        self._held: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    async def run(self, user: str, work: Callable[[], Awaitable[T]]) -> T:
        """The result of *work*, which starts when *user* may have another worker."""
        if user in self._waiting or not self._has_room(user):
            turn: asyncio.Future[None] = self._loop.create_future()
            self._waiting.setdefault(user, deque()).append(turn)
            await turn
        else:
            self._take(user)
        try:
            return await work()
        finally:
            self._give(user)

    def _has_room(self, user: str) -> bool:
        return self._held.get(user, 0) < self._free

    def _take(self, user: str) -> None:
        self._held[user] = self._held.get(user, 0) + 1
        self._free -= 1

    def _give(self, user: str) -> None:
        self._free += 1
        self._held[user] -= 1
        if not self._held[user]:
            del self._held[user]
        for other in tuple(self._waiting):
            queue = self._waiting[other]
            while queue and self._has_room(other):
                self._take(other)
                queue.popleft().set_result(None)
            if not queue:
                del self._waiting[other]
