"""Files under way at a time: workers that take jobs from one queue and spread them over the connections there are."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

from frevo.client.server import another
from frevo.client.share import Share

#: Jobs that are found ahead of those under way. So many are also worth one more connection.
_AHEAD = 256
Job = TypeVar("Job")


class Pool(Generic[Job]):
    """Does jobs with *do*, *parallel* at a time.

    There is one *share* at first. While more jobs wait than a queue holds, it is connected to again, up to
    *connections* times in all: servers that have a process or a thread for each connection then use more of their
    processors. A connection that cannot be had is done without.
    """

    def __init__(
        self,
        share: Share,
        do: Callable[[Share, Job], Awaitable[None]],
        failed: Callable[[Job, OSError], None],
        parallel: int,
        connections: int,
    ) -> None:
        self._shares = [share]
        self._do = do
        self._failed = failed
        self._parallel = parallel
        self._connections = min(connections, parallel)
        self._queue: asyncio.Queue[Job | None] = asyncio.Queue(_AHEAD)
        self._stack = contextlib.AsyncExitStack()
        self._more: asyncio.Task[None] | None = None

    async def run(self, jobs: AsyncIterator[Job]) -> None:
        """Does all *jobs*. An OSError of one is told to *failed*; what that raises, a lost connection say, ends all."""
        async with self._stack:
            try:
                async with asyncio.TaskGroup() as group:
                    for index in range(self._parallel):
                        group.create_task(self._worker(index))
                    await self._feed(jobs, group)
            except BaseExceptionGroup as raised:
                raise raised.exceptions[0] from None

    async def _feed(self, jobs: AsyncIterator[Job], group: asyncio.TaskGroup) -> None:
        queue = self._queue
        async for job in jobs:
            if queue.full():
                if len(self._shares) < self._connections and (self._more is None or self._more.done()):
                    self._more = group.create_task(self._connect())
                await queue.put(job)
            else:
                queue.put_nowait(job)
        if self._more is not None:
            self._more.cancel()
        for _ in range(self._parallel):
            await queue.put(None)

    async def _connect(self) -> None:
        """One more connection; when it is refused, no other one is tried."""
        try:
            self._shares.append(await self._stack.enter_async_context(await another(self._shares[0])))
        except OSError:
            self._connections = len(self._shares)

    async def _worker(self, index: int) -> None:
        queue, shares = self._queue, self._shares
        while True:
            job = queue.get_nowait() if queue.qsize() else await queue.get()
            if job is None:
                return
            try:
                await self._do(shares[index % len(shares)], job)
            except OSError as error:
                self._failed(job, error)
            except ValueError as error:  # a name that this system cannot have, or the share
                self._failed(job, OSError(errno.EINVAL, str(error)))
