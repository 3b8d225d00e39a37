"""Every operation of the client is cancelled at every point where it waits: nothing is left behind, the rest works.

The operation's coroutine is driven by hand. At its k-th wait it is cancelled, either at once (the request is under
way) or when the response is there but has not been taken; k grows until the operation ends before it.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from pathlib import Path
from typing import Any

import pytest
from peers import transports
from peers.in_process import InProcess, in_process

import frevo
from frevo.client import Share, connect_server
from frevo.client.connection.connection import Connection

pytestmark = pytest.mark.each_transport


class _Never(Exception):
    """The operation ended before its k-th wait."""


@types.coroutine
def _cancelled_at(work: Coroutine[Any, Any, Any], k: int, late: bool) -> Generator[Any, Any, Any]:
    """Drives *work*; at its *k*-th wait it is cancelled: at once, or (*late*) when what it waits for is ready."""
    task = asyncio.current_task()
    assert task is not None
    count, error, step = 0, None, None
    while True:
        try:
            step = work.throw(error) if error is not None else work.send(None)
        except StopIteration:
            raise _Never from None
        count, error = count + 1, None
        if count == k and not late:
            task.cancel()
        try:
            yield step
        except BaseException as problem:  # given to the operation, like anything that a future brings
            error = problem
        if count == k and late:
            error = asyncio.CancelledError()


async def cancelled(make: Callable[[], Awaitable[Any]], k: int, *, late: bool) -> bool:
    """Whether the operation was cancelled at its *k*-th wait; False: it has fewer."""

    async def work() -> None:
        await make()

    async def run() -> None:
        await _cancelled_at(work(), k, late)

    task = asyncio.create_task(run())
    await asyncio.wait([task])
    if task.cancelled():
        return True
    error = task.exception()
    if isinstance(error, _Never):
        return False
    assert error is not None
    raise error


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[InProcess]:
    async with in_process(tmp_path / "server") as made:
        yield made


async def listed(share: Share) -> None:
    async for _ in share.scandir("many"):
        pass


async def read_in_pieces(share: Share) -> None:
    buffer = bytearray(3_000_000)
    try:
        async with share.open("data") as file:
            await file.readinto(buffer)
    finally:
        buffer.append(0)  # BufferError when somebody still has it


async def written_in_pieces(share: Share) -> None:
    data = bytearray(3_000_000)
    try:
        async with share.open("new", "wb") as file:
            await file.write(data)
    finally:
        data.append(0)


async def opened(share: Share) -> None:
    file = await share.open("data")
    await file.close()


async def watched(share: Share) -> None:
    changes = share.watch()
    try:
        await asyncio.wait_for(anext(changes), 0.02)  # type: ignore[arg-type]
    except TimeoutError:
        pass
    finally:
        await changes.aclose()  # type: ignore[attr-defined]


async def another_share(share: Share) -> None:
    async with connect_server(_url[0]) as server, await server.share("share") as other:
        await other.stat()
        await server.shares()


_url = [""]
OPERATIONS: dict[str, Callable[[Share], Awaitable[Any]]] = {
    "stat": lambda share: share.stat("data"),
    "open": opened,
    "read": read_in_pieces,
    "write": written_in_pieces,
    "read_bytes": lambda share: share.read_bytes("data"),
    "read_small": lambda share: share.read_small("data", 1000),
    "write_small": lambda share: share.write_small("small", b"x" * 1000),
    "list": listed,
    "copy": lambda share: share.copy("data", "copied"),
    "makedirs": lambda share: share.makedirs("a/b/c", exist_ok=True),
    "set_times": lambda share: share.set_times("data", modified_ns=10**18),
    "streams": lambda share: share.streams("data"),
    "watch": watched,
    "server": another_share,
}


@pytest.mark.parametrize("late", [False, True], ids=["under way", "answered"])
async def test_cancelled_everywhere(server: InProcess, late: bool) -> None:
    """After each cancellation: no open is left, the connection still works, no buffer or task is kept."""
    _url[0] = server.url("")
    (server.folder() / "data").write_bytes(bytes(3_000_000))
    (server.folder() / "many").mkdir()
    for index in range(700):
        (server.folder() / "many" / f"a name of some length {index:05}").touch()
    waits = {}
    async with frevo.connect(server.url()) as share:
        for name, operation in OPERATIONS.items():
            waits[name] = await every_wait(server, share, operation, late)
        await server.settled()
    assert not server.running.server.sessions
    assert all(waits.values()) and waits["read"] > 1 and waits["list"] > 2, waits


async def every_wait(server: InProcess, share: Share, operation: Callable[[Share], Any], late: bool) -> int:
    """Cancels *operation* at each of its waits and checks what is left; how many waits there are."""
    before, connection = len(asyncio.all_tasks()), share.tree.connection
    k = 1
    while await cancelled(lambda: operation(share), k, late=late):
        await server.settled()
        assert (await share.stat("data")).size == 3_000_000
        await share.tree.settled()
        await ended(before)
        if transports.over_direct() and not late:
            # The memory of an abandoned READ is the caller's at once: a server that still uses it ends the connection.
            connection = share.tree.connection
        assert share.tree.connection is connection
        await quiet(connection)
        k += 1
    return k - 1


async def quiet(connection: Connection) -> None:
    """Waits until every request has its response, those that were given up too, and every credit is back."""
    for _ in range(2000):
        if not connection.busy:
            return
        await asyncio.sleep(0.001)
    raise AssertionError("a request has no response")


async def ended(tasks: int) -> None:
    """Waits until there are no more than that many tasks."""
    for _ in range(2000):
        if len(asyncio.all_tasks()) <= tasks:
            return
        await asyncio.sleep(0.001)
    raise AssertionError(asyncio.all_tasks())


@pytest.mark.parametrize("late", [False, True], ids=["under way", "answered"])
async def test_connecting_cancelled_everywhere(server: InProcess, late: bool) -> None:
    """connect and close, cancelled at every wait: no connection, no session, no tree is left."""

    async def whole() -> None:
        async with frevo.connect(server.url()) as share:
            await share.stat()

    k = 1
    while await cancelled(whole, k, late=late):
        await ended(2)  # this one and the server's
        for _ in range(2000):
            if not server.running.server.connections:
                break
            await asyncio.sleep(0.001)
        assert not server.running.server.connections and not server.running.server.sessions
        k += 1
    assert k > 5
