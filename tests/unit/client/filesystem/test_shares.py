"""Shares by name: connected once, and anew after a loss, on another loop or in a forked child."""

from __future__ import annotations

import asyncio
import os
from types import SimpleNamespace
from typing import Any

import pytest

from frevo.client.filesystem import shares as module
from frevo.client.filesystem.shares import Shares


class Server:
    """A server of *patience_s*, whose connection may be lost."""

    def __init__(self, patience_s: float = 30.0) -> None:
        self.connection = SimpleNamespace(lost=False)
        self.link = SimpleNamespace(patience_s=patience_s)
        self.asked: list[str] = []
        self.closed = 0

    async def share(self, name: str) -> Any:
        self.asked.append(name)
        await asyncio.sleep(0)
        return object()

    async def close(self) -> None:
        self.closed += 1


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[Server]:
    servers: list[Server] = []

    async def connect(url: str, **options: Any) -> Server:
        assert url == "smb://nas"
        await asyncio.sleep(0)
        servers.append(Server(options["reconnect"]))
        return servers[-1]

    monkeypatch.setattr(module, "connect_server", connect)
    return servers


def some(reconnect: float = 30.0) -> Shares:
    return Shares("smb://nas", {"reconnect": reconnect})


async def test_once(connected: list[Server]) -> None:
    """Ten that ask at a time get one connection and one share."""
    shares = some()
    found = await asyncio.gather(*(shares.share("docs") for _ in range(10)))
    assert len(connected) == 1 and connected[0].asked == ["docs"] and len(set(map(id, found))) == 1
    await shares.close()
    await shares.close()
    assert connected[0].closed == 1


@pytest.mark.parametrize(("reconnect", "servers"), [(30.0, 1), (0.0, 2)])
async def test_a_lost_connection(connected: list[Server], reconnect: float, servers: int) -> None:
    """A link with patience gets it back by itself; without it the next call connects."""
    shares = some(reconnect)
    first = await shares.share("docs")
    connected[0].connection.lost = True
    assert (await shares.share("docs") is first) is (servers == 1)
    assert len(connected) == servers


def test_another_loop(connected: list[Server]) -> None:
    """A connection belongs to the loop that made it."""
    shares = some()
    asyncio.run(_ask(shares))
    asyncio.run(_ask(shares))
    assert len(connected) == 2 and [one.closed for one in connected] == [0, 0]


async def _ask(shares: Shares) -> None:
    await shares.share("docs")


async def test_a_forked_child(connected: list[Server], monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a connection of its own; that of its parent is neither used nor closed nor collected."""
    shares = some()
    await shares.share("docs")
    monkeypatch.setattr(os, "getpid", lambda: 1)
    await shares.share("docs")
    assert len(connected) == 2 and connected[0].closed == 0
    assert any(held[0] is connected[0] for held in module._inherited)  # type: ignore[index]
    module._inherited.clear()


async def test_closing_from_elsewhere(connected: list[Server]) -> None:
    """`close_soon` has the loop close it, from any thread; before anything is connected it does nothing."""
    shares = some()
    shares.close_soon()
    await shares.share("docs")
    await asyncio.to_thread(shares.close_soon)
    for _ in range(20):
        await asyncio.sleep(0)
    assert connected[0].closed == 1
