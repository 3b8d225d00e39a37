"""Closing a file that was only read is not waited for: against smbd and frevo nothing stays open and nothing is in the
way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from peers.relay import Relay

from frevo.client import ConnectionLost, Share
from frevo.client.connect import Connecting

pytestmark = pytest.mark.interop

Connect = Callable[..., Connecting[Share]]


def under_way(share: Share) -> int:
    return len(share.tree.connection.unawaited.under_way)


async def opened_and_closed(share: Share, name: str, times: int = 1) -> None:
    for _ in range(times):
        async with share.open(name):
            pass


async def test_a_thousand(connect: Connect, folder: Path) -> None:
    """1,000 opens and closes, alone and eight at a time: then the file can be opened exclusively, and every credit is
    back."""
    (folder / "data").touch()
    async with connect() as share:
        await opened_and_closed(share, "data", 500)
        assert under_way(share)
        await asyncio.gather(*(opened_and_closed(share, "data", 63) for _ in range(8)))
        async with share.open("data", "r+b", share_read=False, share_write=False, share_delete=False):
            pass
        connection = share.tree.connection
        await share.tree.settled()
        assert not under_way(share) and not connection._pending
        assert connection.credits.free == connection.credits.total


async def test_more_than_credits(connect: Connect, folder: Path) -> None:
    """Hundreds are closed in one turn of the loop, more than may be under way: all get closed."""
    (folder / "data").touch()
    async with connect() as share:
        files = await asyncio.gather(*(share.open("data") for _ in range(300)))
        await asyncio.gather(*(file.close() for file in files))
        async with share.open("data", "r+b", share_read=False):
            pass


async def test_what_waits_for_it(connect: Connect, folder: Path) -> None:
    """Names change right after a close, over the same connection and over another: the open is never in the way."""
    async with connect() as share, connect() as other:
        for opener, changer in ((share, share), (share, other)):
            for number in range(20):
                await changer.makedirs(f"inner {number}")
                (folder / f"inner {number}/a").touch()
                await opened_and_closed(opener, f"inner {number}/a")
                await changer.rename(f"inner {number}/a", f"inner {number}/b")
                await opened_and_closed(opener, f"inner {number}/b")
                await changer.rename(f"inner {number}", "moved")
                await opened_and_closed(opener, "moved/b")
                await changer.remove("moved/b")
                await changer.rmdir("moved")
        assert list(folder.iterdir()) == []


async def test_what_is_not_closed_behind(connect: Connect, folder: Path) -> None:
    """Files whose close may fail, or that exclude others, are closed when close() returns."""
    (folder / "data").touch()
    async with connect() as share:
        for mode, options in (("r+b", {}), ("ab", {}), ("wb", {}), ("rb", {"share_write": False})):
            file = await share.open("data", mode, **options)
            await file.close()
            assert not under_way(share)


async def test_leaving(connect: Connect, folder: Path) -> None:
    """Leaving a share waits for closes under way."""
    (folder / "data").touch()
    async with connect() as share:
        for file in [await share.open("data") for _ in range(30)]:
            await file.close()
        connection = share.tree.connection
        assert under_way(share) == 30
        await share.tree.disconnect()
        assert not connection.unawaited.under_way


async def test_cut(connect: Connect, relay: Relay, folder: Path) -> None:
    """The connection is cut with closes outstanding: that is not an error, and the next request has a new
    connection."""
    (folder / "data").touch()
    async with connect() as share:
        files = [await share.open("data") for _ in range(30)]
        relay.freeze()
        for file in files:
            await file.close()
        connection = share.tree.connection
        removing = asyncio.create_task(share.remove("data"))
        await asyncio.sleep(0)
        assert under_way(share) == 30 and not removing.done()
        relay.thaw()
        await removing
        assert share.tree.connection is not connection and not connection.unawaited.under_way
        assert list(folder.iterdir()) == []


async def test_cut_for_good(connect: Connect, relay: Relay, folder: Path) -> None:
    """As before, without reconnecting: closing is not an error, waiting for it ends, later requests fail."""
    (folder / "data").touch()
    async with connect(reconnect=0) as share:
        file, other = await share.open("data"), await share.open("data")
        relay.freeze()
        await file.close()
        waiting = asyncio.create_task(share.tree.settled())
        relay.cut()
        await waiting
        await other.close()
        with pytest.raises(ConnectionLost):
            await share.remove("data")


async def test_cancelled(connect: Connect, relay: Relay, folder: Path) -> None:
    """A wait for closes may be cancelled: they continue, and other waits are not disturbed."""
    (folder / "data").touch()
    async with connect() as share:
        file = await share.open("data")
        relay.freeze()
        await file.close()
        waiting = [asyncio.create_task(share.tree.settled()) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.wait(waiting[:1])
        assert under_way(share) == 1 and waiting[0].cancelled() and not waiting[1].done()
        relay.thaw()
        await waiting[1]
