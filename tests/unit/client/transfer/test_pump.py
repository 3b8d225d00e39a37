"""Pumps from Python's side: what may be started, and how waiters learn of the end."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from unit.client.scripted import OPENED, ScriptedConnection, scripted

from frevo.client.errors import ConnectionLost
from frevo.client.transfer.pump import Pump, PumpEnd, start_pump
from frevo.client.tree.tree import Tree
from frevo.transport.base import PumpSettings


class Transport:
    """Notes what is started and stopped."""

    def __init__(self) -> None:
        self.started: list[dict[str, Any]] = []
        self.begun: list[int] = []
        self.stopped: list[tuple[int, bool]] = []

    def pump(self, connection: int, settings: PumpSettings, **protection: Any) -> Any:
        self.started.append({"kind": settings.kind, "io_size": settings.io_size, **protection})
        read = (3, 3000, 60, 10, 30, [(1, 3)], [(0xC0000022, 1)])
        return SimpleNamespace(id=len(self.started), contiguous=44, statistics=lambda: {"read": read})

    def begin_pumps(self, pumps: list[Any]) -> None:
        self.begun += [pump.id for pump in pumps]

    def stop_pump(self, connection: int, pump: int, now: bool = False) -> None:
        self.stopped.append((pump, now))


def on() -> tuple[Tree, ScriptedConnection, Transport]:
    tree, connection = scripted(lambda command, message: 0)
    transport = Transport()
    connection.plane = SimpleNamespace(transport=transport)
    connection.number, connection.pumps = 5, {}  # type: ignore[attr-defined]
    return tree, connection, transport


@pytest.mark.parametrize(
    ("kind", "size", "multi", "fits"),
    [
        ("read", 1 << 20, True, True),
        ("read", (1 << 20) + 1, True, False),
        ("write", 65536, False, True),
        ("write", 65537, False, False),  # one credit pays for 64 KiB, and there are no others
        ("echo", 1 << 30, True, True),  # moves no data
    ],
)
async def test_the_size_of_requests(kind: str, size: int, multi: bool, fits: bool) -> None:
    """At most what was negotiated for reads and writes."""
    tree, connection, transport = on()
    connection.multi_credit = multi
    if fits:
        start_pump(tree, PumpSettings(kind, files=[OPENED], io_size=size))
        assert transport.started[0]["io_size"] == size and transport.begun == [1]
    else:
        with pytest.raises(ValueError, match="the server accepts at most"):
            start_pump(tree, PumpSettings(kind, files=[OPENED], io_size=size))


async def test_protection_and_loss() -> None:
    """A pump signs and encrypts as its session does; on a lost connection there is none."""
    tree, connection, transport = on()
    tree.session.protection.sign, tree.session.protection.keys = True, object()  # type: ignore[assignment]
    start_pump(tree, PumpSettings("read", files=[OPENED]))
    tree.encrypt = True
    start_pump(tree, PumpSettings("read", files=[OPENED]))
    assert [(one["sign"], one["encrypt"]) for one in transport.started] == [(True, False), (True, True)]
    connection.lost = True
    with pytest.raises(ConnectionLost):
        start_pump(tree, PumpSettings("read", files=[OPENED]))


async def test_the_end() -> None:
    """All waiters get the first end; a cancelled wait stops nothing."""
    tree, _connection, transport = on()
    pump: Pump = start_pump(tree, PumpSettings("read", files=[OPENED]))
    waiting = [asyncio.create_task(pump.finished()) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    assert transport.stopped == []
    pump.on_end("eof", 0, 10)
    pump.on_end("lost", 0, 0)  # a connection that ends afterwards changes nothing
    assert await waiting[1] == PumpEnd("eof", 0, 10, 44) == await pump.finished()
    assert await pump.abandon() == PumpEnd("eof", 0, 10, 44) and transport.stopped == []


async def test_stopping_and_giving_up() -> None:
    """`stop` lets the answers in flight come, `abandon` does not wait for the server."""
    tree, _, transport = on()
    pump = start_pump(tree, PumpSettings("read", files=[OPENED]))
    pump.stop()
    ending = asyncio.create_task(pump.abandon())
    await asyncio.sleep(0)
    assert transport.stopped == [(1, False), (1, True)]
    ending.cancel()  # put off: buffer and descriptor are in use until the data plane has let go of them
    await asyncio.sleep(0)
    assert not ending.done()
    pump.on_end("abandoned", 0, 0)
    with pytest.raises(asyncio.CancelledError):
        await ending


async def test_statistics() -> None:
    """By class of operations; `progress` changes with every answer, a failed one too."""
    tree, _, _ = on()
    pump = start_pump(tree, PumpSettings("read", files=[OPENED]))
    measured = pump.statistics()["read"]
    assert (measured.operations, measured.bytes, measured.statuses) == (3, 3000, [(0xC0000022, 1)])
    assert pump.progress == [(3, [(0xC0000022, 1)])] and pump.contiguous == 44
