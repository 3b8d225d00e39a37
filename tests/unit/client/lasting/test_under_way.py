"""What runs behind those who wait for it, and is cancelled before its first step: nobody waits for ever."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from frevo.client.errors import ConnectionLost
from frevo.client.lasting.connections import ShareConnections
from frevo.client.lasting.link import Link
from frevo.client.lasting.tree import LastingTree


class Connection:
    """One that has ended."""

    lost, server = True, "server"

    async def close(self, *, abort: bool = False) -> None:
        """As the real one."""


class Reached:
    """What a link has."""

    def __init__(self) -> None:
        self.connection = Connection()


def link(reach: Any) -> Link:
    return Link(cast(Any, Reached()), reach, cast(Any, None), 1.0)


async def test_a_link_that_closes_while_it_is_made_again() -> None:
    """Who waits hears that it was closed, and is not taken for cancelled himself: before the first step, and later."""

    async def reach() -> Any:
        await asyncio.Event().wait()

    for turns in range(4):
        one = link(reach)
        gone = one.current.connection
        waiting = [asyncio.create_task(one.rebuilt(gone)) for _ in range(2)]
        for _ in range(turns):
            await asyncio.sleep(0)
        if turns:
            await one.close()
        else:  # begun in this very turn
            asyncio.get_running_loop().call_soon(
                lambda one=one: [t.cancel() for t in one._under_way.values()]
            )
        for task in waiting:
            with pytest.raises(ConnectionLost, match="closed by this program"):
                await asyncio.wait_for(task, 5)
        assert one._under_way == {}


async def test_a_share_that_closes_while_it_grows() -> None:
    """Cancelled before the first step: nobody waits for it again."""
    first = cast(LastingTree, type("First", (), {"link": type("L", (), {"before_end": set()})()})())
    one = ShareConnections(first, 3)
    waiting = asyncio.create_task(one.nth(1))
    asyncio.get_running_loop().call_soon(lambda: one._connecting.cancel())  # type: ignore[union-attr]
    async with asyncio.timeout(5):
        await asyncio.sleep(0)
        await one.close()
    await asyncio.sleep(0)
    assert one._connecting is None and await asyncio.wait_for(waiting, 5) is None
    assert await asyncio.wait_for(one.nth(1), 5) is None
