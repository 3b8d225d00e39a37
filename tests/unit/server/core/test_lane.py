"""Lane: handlers on one slow file system, one at a time between two calls, in threads of their own."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest
import pytest_asyncio

from frevo.server.core.lane import Lane
from frevo.server.core.pace import Pace


class Request:
    """A request that is never aborted."""

    def __init__(self) -> None:
        self.pending = 0

    async def may_end(self, future: asyncio.Future[int]) -> int:
        return await future

    def tell_pending(self) -> None:
        self.pending += 1


@pytest_asyncio.fixture
async def lane() -> AsyncIterator[Lane]:
    made = Lane(asyncio.get_running_loop(), "test")
    yield made
    made.stop()


async def test_calls_leave_the_loop(lane: Lane) -> None:
    """Goal: a handler reads like plain code, its calls run in a thread, their errors come back. Method: each."""

    def refuse() -> None:
        raise PermissionError(errno.EACCES, "no")

    def handler(_: Request) -> bytes:
        name = lane.call(lambda: threading.current_thread().name)
        with pytest.raises(PermissionError):
            lane.call(refuse)
        return name.encode()

    assert (await lane.handle(handler, Request())).startswith(b"frevo-lane")


async def test_only_inside(lane: Lane) -> None:
    """Goal: files of a slow file system are used only in its lane. Method: a call from the loop."""
    with pytest.raises(RuntimeError):
        lane.call(lambda: None)


async def test_one_handler_at_a_time(lane: Lane) -> None:
    """Goal: no other handler changes the lane's files between two calls of a handler; while it waits for something
    else others run. Method: two handlers of two calls; then two coroutines that wait between theirs."""
    order: list[str] = []

    def plain(name: str) -> Callable[[Request], bytes]:
        def handler(_: Request) -> bytes:
            for step in "12":
                lane.call(partial(order.append, name + step))
            return b""

        return handler

    await asyncio.gather(lane.handle(plain("a"), Request()), lane.handle(plain("b"), Request()))
    assert order == ["a1", "a2", "b1", "b2"]
    order.clear()

    def waiting(name: str) -> Callable[[Request], object]:
        async def handler() -> bytes:
            lane.call(lambda: order.append(name + "1"))
            await asyncio.sleep(0.01)
            lane.call(lambda: order.append(name + "2"))
            return b""

        return lambda _: handler()

    await asyncio.gather(lane.handle(waiting("a"), Request()), lane.handle(waiting("b"), Request()))
    assert order == ["a1", "b1", "a2", "b2"]


async def test_a_cancelled_task_waits_for_its_call(lane: Lane) -> None:
    """Goal: what a call uses is not released while it runs, whoever is cancelled. Method: cancel during the call."""
    begun, go = threading.Event(), threading.Event()

    def call() -> bytes:
        begun.set()
        assert go.wait(10)
        return b"done"

    task = asyncio.ensure_future(lane.handle(lambda _: lane.call(call), Request()))
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    await asyncio.sleep(0.01)
    assert not task.done()
    go.set()
    assert await task == b"done"


async def test_stop_ends_what_waits(lane: Lane) -> None:
    """Goal: after `stop` nobody waits for a thread that has been given up: EIO for the running call, for the next of
    the same handler, and for data. Method: a call that never returns."""
    stuck = threading.Event()
    seen: list[int | None] = []

    def handler(_: Request) -> bytes:
        for call in (stuck.wait, lambda: None):
            try:
                lane.call(call)
            except OSError as error:
                seen.append(error.errno)
        return b""

    task = asyncio.ensure_future(lane.handle(handler, Request()))
    while not lane.busy:
        await asyncio.sleep(0)
    lane.stop()
    await asyncio.wait_for(task, 10)
    assert seen == [errno.EIO, errno.EIO]
    with pytest.raises(OSError, match="stops"):
        await asyncio.wait_for(lane.data(lambda: b""), 10)
    stuck.set()


async def test_it_ends_when_nobody_has_the_turn() -> None:
    """Goal: the lane of a disk that is fast again ends between two handlers; those that wait make their calls in the
    loop, and so may anyone until it begins again. Method: a pace that is content at once; two handlers of two calls."""

    class Content(Pace):
        def called(self, took_s: float, now: float) -> bool:
            assert took_s >= 0.0
            return True

    order: list[str] = []
    lane = Lane(asyncio.get_running_loop(), "test", pace=Content(), ended=lambda _: order.append("end"))
    own = threading.current_thread().name

    def handler(name: str) -> Callable[[Request], bytes]:
        def handle(_: Request) -> bytes:
            for _ in range(2):
                thread = lane.call(lambda: threading.current_thread().name)
                order.append(f"{name} in {'loop' if thread == own else 'thread'}")
            return b""

        return handle

    assert lane.responds and not lane.inside
    await asyncio.gather(lane.handle(handler("a"), Request()), lane.handle(handler("b"), Request()))
    assert order == ["a in thread", "a in thread", "end", "b in loop", "b in loop"]
    assert lane.inline and lane.inside and lane.call(lambda: 5) == 5
    lane.spawn(lambda: order.append("spawned"))
    assert order[-1] == "spawned", "at once"
    lane.begin()
    with pytest.raises(RuntimeError):
        lane.call(lambda: None)
    lane.stop()


async def test_a_coroutine_that_began_in_the_loop(lane: Lane) -> None:
    """Goal: what began in the loop goes on in the lane, a step at a time beside the lane's handlers. Method: a
    coroutine that waits, then makes calls, and meets an error."""
    order: list[str] = []

    async def begun() -> bytes:
        value = await begins
        lane.call(lambda: order.append(f"{value} 1"))
        lane.call(lambda: order.append(f"{value} 2"))
        try:
            await fails
        except OSError:
            lane.call(lambda: order.append("error"))
        return b"end"

    def handler(_: Request) -> bytes:
        for number in (1, 2):
            lane.call(partial(order.append, f"other {number}"))
        return b""

    begins: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    fails: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    coroutine = begun()
    coroutine.send(None)
    begins.set_result("value")
    fails.set_exception(OSError(errno.EIO, "broken"))
    other = asyncio.ensure_future(lane.handle(handler, Request()))
    assert await lane.go_on(coroutine) == b"end"
    await other
    assert "error" in order
    for one in ("value", "other"):
        assert order.index(f"{one} 2") == order.index(f"{one} 1") + 1
