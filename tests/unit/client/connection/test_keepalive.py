"""A silent server: when it is asked for a sign of life, and when the connection is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from frevo.client.connection.keepalive import PATIENCE, Keepalive
from frevo.client.connection.messages import Element, Protection, Reply
from frevo.wire.smb2 import Command


class Connection:
    """Busy or not; *answers* says whether an ECHO is answered."""

    def __init__(self) -> None:
        self.busy = True
        self.answers = True
        self.signs_of_life = (0, 0)
        self.waiting: dict[int, object] = {}
        self.echoes = 0
        self.failed: list[str] = []
        self._lost: list[Callable[[], None]] = []

    def when_lost(self, call: Callable[[], None]) -> None:
        self._lost.append(call)

    def due(self) -> dict[int, object]:
        return self.waiting

    def fail(self, reason: str, kind: type) -> None:
        self.failed.append(reason)
        self.end()

    def end(self) -> None:
        for call in self._lost:
            call()

    async def exchange(self, element: Element, protection: Protection) -> Reply:
        assert element.command == Command.ECHO
        self.echoes += 1
        if not self.answers:
            await asyncio.Event().wait()
        self.signs_of_life = (self.echoes, 0)
        return Reply(0, b"")


class Clock:
    """The loop's time and timers, which a test moves on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Callable[[], None]]] = []
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "time", lambda: self.now)
        monkeypatch.setattr(loop, "call_later", self.call_later)

    def call_later(self, delay: float, call: Callable[[], None]) -> Any:
        timer = (self.now + delay, call)
        self.timers.append(timer)

        class Handle:
            @staticmethod
            def cancel() -> None:
                if timer in self.timers:
                    self.timers.remove(timer)

        return Handle

    async def go_on(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [timer for timer in self.timers if timer[0] <= end]:
            timer = min(due, key=lambda one: one[0])
            self.timers.remove(timer)
            self.now = timer[0]
            timer[1]()
            for _ in range(3):
                await asyncio.sleep(0)
        self.now = end


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def watch(connection: Connection) -> Keepalive:
    return Keepalive(cast(Any, connection), Protection(), 10.0)


async def test_an_idle_connection(clock: Clock) -> None:
    """Nothing is due, so nothing is asked."""
    connection = Connection()
    connection.busy = False
    watch(connection)
    await clock.go_on(1000)
    assert (connection.echoes, connection.failed) == (0, [])


async def test_a_server_that_answers_echoes(clock: Clock) -> None:
    """It lives, however long it takes for the request that is due."""
    connection = Connection()
    watch(connection)
    await clock.go_on(60)
    assert connection.echoes >= 2 and connection.failed == []


async def test_a_server_that_does_not_answer(clock: Clock) -> None:
    """One ECHO after the time of the option, and the end after half of it more."""
    connection = Connection()
    connection.answers = False
    watch(connection)
    await clock.go_on(10)
    assert (connection.echoes, connection.failed) == (1, [])
    await clock.go_on(5)
    assert connection.failed == ["no sign of life for 10 s"] and clock.timers == []


async def test_other_answers_are_signs_of_life(clock: Clock) -> None:
    """While messages come nothing is asked."""
    connection = Connection()
    watch(connection)
    for number in range(1, 20):
        connection.signs_of_life = (number, 0)
        await clock.go_on(5)
    assert connection.echoes == 0 and connection.failed == []


async def test_one_request_that_is_never_answered(clock: Clock) -> None:
    """The server lives, but has forgotten a request: after ten times as long the connection ends."""
    connection = Connection()
    connection.waiting = {-1: 77}
    watch(connection)
    await clock.go_on(10.0 * PATIENCE - 1)
    assert connection.failed == []
    await clock.go_on(20)
    assert connection.failed == [f"no response to a request for {10 * PATIENCE} s"]


async def test_progress_begins_the_wait_again(clock: Clock) -> None:
    """A pump that moves on, or another oldest request, is no request that was forgotten."""
    connection = Connection()
    watch(connection)
    for number in range(40):
        connection.waiting = {3: [number]}
        await clock.go_on(10)
    assert connection.failed == []


async def test_the_end_of_the_connection(clock: Clock) -> None:
    """Timer and ECHO end with it."""
    connection = Connection()
    connection.answers = False
    watch(connection)
    await clock.go_on(11)
    assert connection.echoes == 1
    connection.end()
    assert clock.timers == []
    await asyncio.sleep(0)
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert others == []
