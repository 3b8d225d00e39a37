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
