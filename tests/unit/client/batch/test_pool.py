"""Many jobs: how many at a time, when further connections are used, and what ends them all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from frevo.client.batch.pool import _AHEAD, Pool
from frevo.client.errors import lost


class Share:
    """A share with *further* connections."""

    def __init__(self, further: int = 0) -> None:
        self.further, self.asked = further, list[int]()

    async def on_connection(self, index: int) -> Share | None:
        self.asked.append(index)
        await asyncio.sleep(0)
        return Share() if index <= self.further else None


async def jobs(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


class Work:
    """Does jobs and records on which share."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, int]] = []
        self.at_a_time = self.most = 0
        self.failed: list[tuple[int, OSError]] = []
        self.errors: dict[int, Exception] = {}

    async def do(self, share: Any, job: int) -> None:
        self.at_a_time += 1
        self.most = max(self.most, self.at_a_time)
        await asyncio.sleep(0)
        self.at_a_time -= 1
        if job in self.errors:
            raise self.errors[job]
        self.done.append((share, job))

    def fail(self, job: int, error: OSError) -> None:
        if isinstance(error, ConnectionError):
            raise error
        self.failed.append((job, error))

    def pool(self, share: Share, parallel: int, several: bool) -> Pool[int]:
        return Pool(cast(Any, share), self.do, self.fail, parallel, several)


async def test_a_few_jobs() -> None:
    """All are done, as many at a time as there may be, on one connection."""
    work, share = Work(), Share(3)
    await work.pool(share, 4, True).run(jobs(_AHEAD))
    assert sorted(job for _, job in work.done) == list(range(_AHEAD)) and work.most == 4
    assert {one for one, _ in work.done} == {share} and share.asked == []


async def test_a_backlog_brings_connections() -> None:
    """One more each time the queue is full, in order, until there are no more; each job is done once."""
    work, share = Work(), Share(2)
    await work.pool(share, 8, True).run(jobs(5000))
    assert sorted(job for _, job in work.done) == list(range(5000))
    assert len({id(one) for one, _ in work.done}) == 3 and share.asked == [1, 2, 3]


async def test_one_connection_only() -> None:
    """Without *several* there is never another one, nor more than workers could use."""
    work, share = Work(), Share(9)
    await work.pool(share, 8, False).run(jobs(3000))
    assert share.asked == []
    await work.pool(share, 2, True).run(jobs(3000))
    assert share.asked == [1]


async def test_failures() -> None:
    """A job that fails is reported and the others are done; an impossible name is an OSError; a lost connection ends
    everything."""
    work = Work()
    work.errors = {3: OSError(28, "full"), 5: ValueError("a NUL is in the path")}
    await work.pool(Share(), 2, False).run(jobs(10))
    assert [job for job, _ in work.failed] == [3, 5] and len(work.done) == 8
    assert "NUL" in str(work.failed[1][1])
    work.errors = {4: lost("cut")}
    with pytest.raises(ConnectionError):
        await work.pool(Share(), 2, False).run(jobs(1000))
    assert len(work.done) < 100
