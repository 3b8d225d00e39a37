"""Runs jobs in parallel: workers take them from one queue and spread them over the connections."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

from frevo.client.share.share import Share

#: Jobs that are prepared in advance. When this many wait, another connection is worth it.
_AHEAD = 256
Job = TypeVar("Job")


class Pool(Generic[Job]):
    """Does jobs with *do*, *parallel* at a time.

    Only *share* is used at first. Whenever more jobs wait than a queue holds, it is connected to once more if there
    are to be *several* connections: servers that have a process or a thread for each then use more of their processors.
    """

    def __init__(
        self,
        share: Share,
        do: Callable[[Share, Job], Awaitable[None]],
        failed: Callable[[Job, OSError], None],
        parallel: int,
        several: bool,
    ) -> None:
        self._shares = [share]
        self._do = do
        self._failed = failed
        self._parallel = parallel
        self._several = several
        self._connecting: asyncio.Task[None] | None = None
        self._queue: asyncio.Queue[Job | None] = asyncio.Queue(_AHEAD)

    async def run(self, jobs: AsyncIterator[Job]) -> None:
        """Does all *jobs*. An OSError of one is passed to *failed*; an exception from that (such as a lost connection)
        ends all."""
        try:
            async with asyncio.TaskGroup() as group:
                for index in range(self._parallel):
                    group.create_task(self._worker(index))
                await self._feed(jobs)
        except BaseExceptionGroup as raised:
            raise raised.exceptions[0] from None
        finally:
            if self._connecting is not None:
                self._connecting.cancel()

    async def _feed(self, jobs: AsyncIterator[Job]) -> None:
        queue = self._queue
        async for job in jobs:
            if queue.full():
                if self._connecting is None and self._several and self._parallel > len(self._shares):
                    self._connecting = asyncio.get_running_loop().create_task(self._connect())
                await queue.put(job)
            else:
                queue.put_nowait(job)
        for _ in range(self._parallel):
            await queue.put(None)

    async def _connect(self) -> None:
        """Adds a connection, used from the next job on."""
        first = self._shares[0]
        further = await first.on_connection(len(self._shares))
        if further is None:
            self._several = False
        else:
            self._shares.append(further)
        self._connecting = None

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
