"""A connection that is made again: once for all waiters, never with less protection, and not after it was closed."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from frevo.client.connection.messages import Protection
from frevo.client.errors import ConnectionLost, LogonError, RemoteError
from frevo.client.lasting.connections import ShareConnections
from frevo.client.lasting.link import Link, LoggedOn
from frevo.client.lasting.tree import LastingTree
from frevo.proto.dialect import SMB_3_0_2, SMB_3_1_1, Cipher, Dialect


class Connection:
    """One that has ended."""

    lost, server = True, "server"

    async def close(self, *, abort: bool = False) -> None:
        """As the real one does."""


class Reached:
    """What a link needs."""

    def __init__(self) -> None:
        self.connection = Connection()


def link(reach: Any) -> Link:
    return Link(cast(Any, Reached()), reach, cast(Any, None), 1.0)


async def test_a_link_that_closes_while_it_is_made_again() -> None:
    """Waiters get ConnectionLost, not CancelledError: before the first step, and later."""

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


class Wire:
    """A connection with what was negotiated on it."""

    def __init__(
        self, dialect: Dialect = SMB_3_1_1, cipher: Cipher = Cipher.AES_128_GCM, secure: bool = False
    ) -> None:
        self.negotiated = SimpleNamespace(dialect=dialect, cipher=cipher)
        self.transport_security = secure
        self.lost, self.server, self.closed = False, "server", 0
        self.sent: list[int] = []

    async def close(self, *, abort: bool = False) -> None:
        self.closed += 1
        self.lost = True

    async def exchange(self, element: Any, protection: Protection) -> None:
        self.sent.append(element.command)


def logged_on(wire: Wire | None = None, *, sign: bool = True, encrypt: bool = False) -> LoggedOn:
    session = SimpleNamespace(protection=Protection(1, None, sign, encrypt))
    return LoggedOn(cast(Any, wire or Wire()), cast(Any, session), cast(Any, None), "tcp")


class Calls:
    """Gives the connections of *made* in turn; an exception is raised."""

    def __init__(self, *made: Any) -> None:
        self.made, self.count = list(made), 0

    async def connect(self) -> LoggedOn:
        self.count += 1
        await asyncio.sleep(0)
        found = self.made.pop(0)
        if isinstance(found, Exception):
            raise found
        return cast(LoggedOn, found)


async def nothing(_: Any) -> None:
    """Renews no log-on."""


async def test_made_again_once_for_all() -> None:
    """The old connection is closed, all waiters share one attempt, and a later call finds the new one."""
    fresh = logged_on()
    calls = Calls(fresh)
    one = Link(logged_on(), calls.connect, nothing, 1.0)
    gone = one.current.connection
    await asyncio.gather(*(one.rebuilt(gone) for _ in range(5)))
    await one.rebuilt(gone)
    assert one.current is fresh and calls.count == 1 and cast(Any, gone).closed == 1
    await one.close()


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (logged_on(), logged_on(Wire(SMB_3_0_2)), "now uses SMB3_02"),
        (logged_on(), logged_on(Wire(cipher=Cipher.NONE)), "no longer offers encryption"),
        (logged_on(), logged_on(sign=False), "less protected"),
        (logged_on(encrypt=True), logged_on(), "less protected"),
        (logged_on(Wire(secure=True)), logged_on(), "less protected"),  # the transport encrypted
        (logged_on(encrypt=True), logged_on(Wire(secure=True)), ""),
        (logged_on(), logged_on(sign=False, encrypt=True), ""),  # encrypted is more than signed
        (logged_on(sign=False), logged_on(), ""),
    ],
)
async def test_never_with_less_protection(before: LoggedOn, after: LoggedOn, text: str) -> None:
    """An attacker who cuts a connection must not get one that he can read or change."""
    one = Link(before, Calls(after, after).connect, nothing, 1.0)
    if text:
        with pytest.raises(ConnectionLost, match=text):
            await one.rebuilt(before.connection)
        assert one.current is before and after.connection.lost
        with pytest.raises(RemoteError, match=text):
            await one.another()
    else:
        await one.rebuilt(before.connection)
        assert one.current is after
    await one.close()


async def test_in_vain() -> None:
    """The error says why it cannot be restored, and is final; the next work tries only once."""
    calls = Calls(LogonError(13, "wrong password"), ConnectionRefusedError(111, "refused"))
    one = Link(logged_on(), calls.connect, nothing, 30.0)
    with pytest.raises(ConnectionLost, match="could not be restored: wrong password") as caught:
        await one.rebuilt(one.current.connection)
    assert caught.value.final
    with pytest.raises(ConnectionLost, match="refused"):
        await asyncio.wait_for(one.rebuilt(one.current.connection), 5)
    assert calls.count == 2
    await one.close()


async def test_the_end_of_a_link() -> None:
    """Further connections end first, then LOGOFF, then the connection; nothing is made again."""
    wire, order = Wire(), list[str]()
    one = Link(logged_on(wire), Calls().connect, nothing, 30.0)

    async def before_end() -> None:
        assert wire.sent == []
        order.append("further")

    one.before_end.add(before_end)
    await one.end()
    assert order == ["further"] and [int(command) for command in wire.sent] == [2] and wire.closed == 1
    with pytest.raises(ConnectionLost, match="closed by this program"):
        await one.rebuilt(one.current.connection)
    lost = Wire()
    lost.lost = True
    await Link(logged_on(lost), Calls().connect, nothing, 30.0).end()
    assert lost.sent == []


async def test_a_link_that_is_forgotten() -> None:
    """It warns, and has its connection closed on the loop."""
    soon: list[Any] = []
    wire = cast(Any, Wire())
    wire.number = 5
    wire.plane = SimpleNamespace(
        inherited=False, soon=lambda *call: soon.append(call), transport=SimpleNamespace(close="close")
    )
    one = Link(logged_on(wire), Calls().connect, nothing, 1.0)
    with pytest.warns(ResourceWarning, match="not closed"):
        one.__del__()
    assert soon == [("close", 5)]
    await one.close()
