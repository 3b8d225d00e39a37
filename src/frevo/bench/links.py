"""The connections of a bench: opened before the measurement starts, logged on, connected to the share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from frevo.client import Location, Options, Server, Share, connect_server
from frevo.client.address import join
from frevo.client.to_the_end import to_the_end

#: Log-ons, or files that are made, at a time: more would only wait in the server, and against the timeout.
_AT_A_TIME = 16


class Target(msgspec.Struct, frozen=True):
    """The URL and options of a connection."""

    url: str
    options: Options

    @property
    def location(self) -> Location:
        """Host, share and path."""
        return Location.parse(self.url)


class Link(msgspec.Struct):
    """One connection; *share* is None for workloads that need none."""

    number: int
    target: Target
    server: Server
    share: Share | None

    @property
    def files(self) -> Share:
        """The share."""
        assert self.share is not None
        return self.share

    def path(self, name: str) -> str:
        """*name* under the URL's path, relative to the share's root."""
        return join(self.files.base, name)


async def _open(number: int, target: Target, *, with_share: bool) -> Link:
    server = await connect_server(target.url, target.options)
    try:
        at = target.location
        share = await server.share(at.share, base=at.path) if with_share else None
    except BaseException:
        await server.close()
        raise
    return Link(number, target, server, share)


async def at_once(steps: Iterable[Coroutine[Any, Any, object]], most: int = _AT_A_TIME) -> None:
    """Run *steps*, at most that many at a time. The first error cancels the rest and is raised."""
    free = asyncio.Semaphore(most)

    async def one(step: Coroutine[Any, Any, object]) -> None:
        async with free:
            await step

    pending = list(steps)
    try:
        async with asyncio.TaskGroup() as group:
            for step in pending:
                group.create_task(one(step))
    except BaseExceptionGroup as problems:
        raise problems.exceptions[0] from None
    finally:
        for step in pending:
            step.close()  # those that were never begun


@asynccontextmanager
async def open_links(targets: Sequence[Target], *, with_share: bool) -> AsyncIterator[list[Link]]:
    """Context manager: a connection to each of *targets*, closed at the end in any case.

    Raises the first error.
    """
    links: list[Link] = []

    async def one(number: int, target: Target) -> None:
        links.append(await _open(number, target, with_share=with_share))

    try:
        # smbd hands a connection to the process that has this client already, and loses some that come together.
        alone = any(target.options.client_guid for target in targets)
        steps = (one(number, target) for number, target in enumerate(targets))
        await at_once(steps, 1 if alone else _AT_A_TIME)
        links.sort(key=lambda link: link.number)
        yield links
    finally:
        await to_the_end(_close(links))


async def _close(links: Sequence[Link]) -> None:
    async def one(link: Link) -> None:
        with contextlib.suppress(OSError):
            await link.server.close()

    await asyncio.gather(*map(one, links))


def largest(links: Sequence[Link], workload: str) -> int:
    """The largest READ, WRITE, or both if *workload* is mixed, that every server accepts."""
    agreed = [link.server.connection.negotiated for link in links]
    known = [one for one in agreed if one is not None]
    sizes = [one.max_read for one in known] if workload != "write" else []
    sizes += [one.max_write for one in known] if workload != "read" else []
    return min(sizes)
