"""Turns: long work in slices, round-robin."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from frevo.server.core.turns import SLICE_S, Slice, Turns


class Clock:
    """Advances by half a slice each time it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += SLICE_S / 2
        return self.now


async def test_parties_take_turns() -> None:
    """Goal: a party with much to do delays another by one slice. Method: three calls of one, then one of another."""
    turns, order = Turns(asyncio.get_running_loop()), []
    for name in ("a1", "a2", "a3", "b1"):
        turns.call(name[0], lambda name=name: order.append(name))  # type: ignore[misc]
    assert turns and not order  # nothing runs in the turn that asks
    while turns:
        await asyncio.sleep(0)
    assert order == ["a1", "b1", "a2", "a3"]


async def test_run_goes_on_by_itself() -> None:
    """Goal: `run` does a slice at once and the rest in later turns. Method: ten steps under a counting clock."""
    turns, done = Turns(asyncio.get_running_loop(), Clock()), []

    def steps() -> Iterator[None]:
        for number in range(10):
            done.append(number)
            yield

    turns.run("a", steps())
    assert 0 < len(done) < 10
    while turns:
        await asyncio.sleep(0)
    assert done == list(range(10))


async def test_finish_waits() -> None:
    """Goal: `finish` returns when everything is done, and others have had turns. Method: a call of another party."""
    turns, order = Turns(asyncio.get_running_loop(), Clock()), []
    turns.call("b", lambda: order.append("b"))
    await turns.finish("a", (order.append(str(number)) for number in range(6)))
    assert order[-1] == "5" and 0 < order.index("b") < 6


async def test_drain_does_what_waits() -> None:
    """Goal: at the end everything is done at once, including work that is added then. Method: work that adds more."""
    turns, done = Turns(asyncio.get_running_loop()), []
    turns.call("a", lambda: turns.call("a", lambda: done.append(2)))
    turns.drain()
    assert done == [2] and not turns


async def test_an_error_does_not_stop_the_others() -> None:
    """Goal: the next call gets its turn after one that raised. Method: a call that raises before another."""
    loop, done = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda *_: None)
    turns = Turns(loop)
    turns.call("a", lambda: done[1])
    turns.call("b", lambda: done.append("b"))
    while turns:
        await asyncio.sleep(0)
    assert done == ["b"]


def test_a_slice_ends() -> None:
    """Goal: a slice is over after SLICE_S. Method: a clock of our own."""
    now = 5.0
    piece = Slice(lambda: now)
    assert not piece.over()
    now += SLICE_S
    assert piece.over()
