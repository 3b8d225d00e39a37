"""Races: who wins, when the next one starts, and that nobody is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from frevo.client.connection.race import AllFailed, race


class Runner:
    """An attempt that succeeds, fails or goes on for ever; knows what became of it."""

    def __init__(self, outcome: Exception | None = None, *, after: float | None = 0.0) -> None:
        self.outcome, self.after = outcome, after
        self.started = self.cancelled = self.closed = False

    async def run(self) -> Runner:
        self.started = True
        try:
            await asyncio.sleep(3600 if self.after is None else self.after)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if self.outcome is not None:
            raise self.outcome
        return self

    async def close(self) -> None:
        self.closed = True


def runs(*runners: Runner) -> list[Callable[[], Awaitable[Runner]]]:
    return [one.run for one in runners]


async def test_a_fast_first_attempt_runs_alone() -> None:
    """Who answers before the second attempt is due is the only one that is asked."""
    first, second = Runner(), Runner()
    assert await race(runs(first, second), [0.0, 30.0]) is first
    assert not second.started and not first.closed


async def test_a_slow_attempt_is_overtaken() -> None:
    """The second starts in time beside the first; the loser is cancelled and has ended when the race is over."""
    slow, fast = Runner(after=None), Runner()
    assert await race(runs(slow, fast), [0.0, 0.001]) is fast
    assert slow.cancelled
    assert len(asyncio.all_tasks()) == 1


async def test_a_failure_starts_the_next_at_once() -> None:
    """Nobody waits for the time of the second attempt when the first has failed already."""
    good = Runner()
    assert await asyncio.wait_for(race(runs(Runner(OSError("no")), good), [0.0, 3600.0]), 10) is good


async def test_the_earlier_of_two_winners() -> None:
    """Two that succeed in the same moment: the one that stands first wins, the other one is closed."""
    gate = asyncio.Event()

    class Gated(Runner):
        async def run(self) -> Runner:
            self.started = True
            await gate.wait()
            return self

    first, second = Gated(), Gated()
    running = asyncio.ensure_future(race(runs(first, second), [0.0, 0.0]))
    while not second.started:
        await asyncio.sleep(0)
    gate.set()
    assert await running is first
    assert second.closed and not first.closed


async def test_all_fail() -> None:
    """The errors come in the order of the attempts, not in that of the failures."""
    errors = [OSError("slow"), TimeoutError("fast")]
    with pytest.raises(AllFailed) as caught:
        await race(runs(Runner(errors[0], after=0.01), Runner(errors[1])), [0.0, 0.0])
    assert caught.value.errors == errors


async def test_a_cancelled_race() -> None:
    """Every attempt has ended when the cancellation arrives, also one that needs time to end."""
    ended = []

    class Slow(Runner):
        async def run(self) -> Runner:
            self.started = True
            try:
                await asyncio.sleep(3600)
            finally:
                await asyncio.sleep(0.01)
                ended.append(self)
            return self

    runners = [Slow(), Slow()]
    running = asyncio.ensure_future(race(runs(*runners), [0.0, 0.0]))
    while not runners[1].started:
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended == runners and len(asyncio.all_tasks()) == 1
