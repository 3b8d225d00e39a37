"""The data plane of a loop: which receiver gets which event, and when the plane ends."""

from __future__ import annotations

import asyncio
import os
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from frevo.client.connection import plane as planes
from frevo.client.connection.plane import ConnectedSocket, Plane, plane_of, runs_here
from frevo.client.connection.unawaited import Unawaited
from frevo.transport.base import CLOSED, CREDITS, MESSAGE, PUMP, Secured


class Transport:
    """Notes what is done to it; *number* is the next connection's."""

    def __init__(self, loop: Any, **_: Any) -> None:
        self.numbers = iter(range(1, 100))
        self.closed: list[tuple[int, bool]] = []
        self.ended = False

    def start(self, on_events: Any) -> None:
        self.tell = on_events

    def adopt(self, connected: Any, name: str, direct: Any) -> int:
        return next(self.numbers)

    def set_credits(self, number: int, credits: Any) -> None:
        pass

    def close(self, number: int, abort: bool = False) -> None:
        self.closed.append((number, abort))

    def shutdown(self) -> None:
        self.ended = True


class Receiver:
    """Notes its events."""

    def __init__(self, server: str = "server") -> None:
        self.server, self.credits, self.unawaited = server, cast(Any, None), Unawaited()
        self.secured: Secured | None = None
        self.events: list[Any] = []
        self.error: Exception | None = None

    def on_message(self, event: Any) -> None:
        if self.error is not None:
            raise self.error
        self.events.append("message")

    def on_closed(self, reason: str) -> None:
        self.events.append(reason)

    def on_credits(self) -> None:
        self.events.append("credits")

    def on_pump_ended(self, *end: Any) -> None:
        self.events.append(end)


@pytest.fixture
async def plane(monkeypatch: pytest.MonkeyPatch) -> Plane:
    monkeypatch.setattr(planes, "DataPlaneTransport", Transport)
    return plane_of(asyncio.get_running_loop())


def adopted(plane: Plane, receiver: Receiver) -> tuple[Receiver, int]:
    return receiver, plane.adopt(ConnectedSocket(cast(Any, None), "tcp"), receiver)


async def test_events_go_to_their_connection(plane: Plane) -> None:
    """Each kind calls its method; an event of a connection that is gone is dropped."""
    transport: Any = plane.transport
    one, number = adopted(plane, Receiver())
    other, _ = adopted(plane, Receiver())
    transport.tell([(MESSAGE, number), (CREDITS, number), (PUMP, number, 3, "done", 0, 9), (MESSAGE, 77)])
    assert one.events == ["message", "credits", (3, "done", 0, 9)] and other.events == []
    transport.tell([(CLOSED, number, "cut"), (MESSAGE, number)])
    assert one.events[3:] == ["cut"]


async def test_trouble_of_one_connection(plane: Plane, caplog: pytest.LogCaptureFixture) -> None:
    """An error while handling a message is logged and ends only that connection."""
    transport: Any = plane.transport
    one, number = adopted(plane, Receiver())
    other, second = adopted(plane, Receiver())
    one.error = RuntimeError("a mistake of ours")
    transport.tell([(MESSAGE, number), (MESSAGE, second)])
    assert other.events == ["message"] and transport.closed == [(number, True)]
    assert "a mistake of ours" in caplog.text


async def test_one_plane_for_a_loop(plane: Plane) -> None:
    """All connections of a loop share it; it ends with the last one, and the next connection starts another."""
    loop, transport = asyncio.get_running_loop(), cast(Any, plane.transport)
    _, first = adopted(plane, Receiver())
    _, second = adopted(plane, Receiver())
    assert plane_of(loop) is plane
    plane.release(first)
    assert not transport.ended
    plane.release(second)
    assert transport.ended and plane_of(loop) is not plane


async def test_settled(plane: Plane) -> None:
    """The unawaited requests of all connections to that server are waited for, those to others are not."""
    one, _ = adopted(plane, Receiver())
    other, _ = adopted(plane, Receiver("other"))
    one.unawaited.under_way.add(1)
    other.unawaited.under_way.add(2)
    waiting = asyncio.create_task(plane.settled("server"))
    await asyncio.sleep(0)
    assert not waiting.done()
    one.unawaited.answered(1, cast(Any, SimpleNamespace(status=0)))
    await asyncio.wait_for(waiting, 5)


async def test_calls_from_other_threads(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    """They run on the loop; in a forked child, whose loop this is not, nothing happens."""
    done = asyncio.Event()
    thread = threading.Thread(target=plane.soon, args=(done.set,))
    thread.start()
    await asyncio.wait_for(done.wait(), 5)
    thread.join()
    called: list[int] = []
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert plane.inherited
    plane.soon(called.append, 1)
    await asyncio.sleep(0)
    assert called == []


async def test_where_a_loop_runs() -> None:
    """Waiting for the loop of one's own thread would never end."""
    loop = asyncio.get_running_loop()
    assert runs_here(loop)
    assert not await asyncio.to_thread(runs_here, loop)
    other = asyncio.new_event_loop()
    assert not runs_here(other)
    other.close()
