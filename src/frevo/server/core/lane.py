"""Lanes: how requests use file systems that may not answer (docs/decisions/0011-slow-file-systems.md).

A handler is a plain function that makes system calls in the event loop, which is right for a local file system: they
take microseconds. A network or FUSE file system may take seconds, or never respond. Its requests run in a lane: the
handler is a greenlet in the loop's thread, and each of its calls to the file system (`Lane.call`, made by
`frevo.vfs.offloaded`) goes to a thread of the lane, while the loop serves everyone else.

Only one handler of a lane runs between its calls (`_turn`), so a request sees the same as without a lane: nothing else
changes the files of the lane between its decision and its entry in the tables. READ, WRITE and FLUSH that wait do not
hold the turn; they have their own threads."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import types
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Protocol, TypeVar

import greenlet

from frevo.aio.acting import act_as, acting_as, carried
from frevo.aio.daemon_threads import DaemonThreads

log = logging.getLogger("frevo.server")

T = TypeVar("T")

#: A request that has waited for its file system this long gets STATUS_PENDING, so that its client continues to wait.
INTERIM_SECONDS = 1.0
#: Threads for READ, WRITE and FLUSH of one lane.
DATA_THREADS = 4


class LaneRequest(Protocol):
    """The part of a request (frevo.server.core.request) that a lane uses."""

    async def may_end(self, future: asyncio.Future[int], /) -> int: ...
    def tell_pending(self) -> None: ...


_R = TypeVar("_R", bound=LaneRequest)


async def _done(future: asyncio.Future[Any]) -> None:
    """Waits until *future* is done, even if this task is cancelled meanwhile, as its call uses descriptors and buffers
    until it returns. Cancellation happens only at shutdown, when `Lane.stop` ends all waits."""
    while not future.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait((future,))


class Lane:
    """The requests of one slow file system, and its threads."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self.loop = loop
        self._calls = DaemonThreads(loop, f"frevo-lane-{name}"[:15], 1)
        self._data = DaemonThreads(loop, f"frevo-data-{name}"[:15], DATA_THREADS)
        self._turn = asyncio.Lock()
        self._running: greenlet.greenlet | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        #: Objects whose destructor may make a system call: released in the lane's thread.
        self._kept: deque[object] = deque()
        self.waiting = 0  # requests in the lane

    # -- used by the file system -----------------------------------------------------------------------------

    @property
    def inside(self) -> bool:
        """Whether the running code is a handler in this lane: only that may use its files."""
        return self._running is not None and greenlet.getcurrent() is self._running

    def call(self, call: Callable[[], T]) -> T:
        """Calls *call* in the lane's thread, as the same Unix user: its result or exception."""
        if not self.inside or self._running is None or self._running.parent is None:
            raise RuntimeError("a slow file system was used outside its lane")
        who = acting_as()
        try:
            answer: T = self._running.parent.switch(self._calls.submit(carried(call)))
        finally:
            act_as(who)  # other requests have run in this thread meanwhile
        return answer

    @property
    def busy(self) -> bool:
        """Whether a call has not returned, or spawned work has not ended."""
        return bool(self._calls.running or self._data.running or self._tasks)

    def in_loop(self, call: Callable[[], object]) -> None:
        """Calls *call* in the event loop, soon; from any thread."""
        self.loop.call_soon_threadsafe(call)

    def keep(self, thing: object) -> None:
        """Keeps *thing* until the handler has ended, then releases it in the lane's thread."""
        self._kept.append(thing)

    async def data(self, call: Callable[[], T]) -> T:
        """Calls *call* in a data thread: its result or exception."""
        future = self._data.submit(carried(call))
        await _done(future)
        return future.result()

    # -- used by the server ----------------------------------------------------------------------------------

    async def handle(self, handler: Callable[[_R], Any], request: _R) -> bytes:
        """Runs a handler in this lane: the body of its response."""
        interim = self.loop.call_later(INTERIM_SECONDS, request.tell_pending)
        self.waiting += 1
        try:
            await self._turn_of(request)
            try:
                outcome = await self._to_its_end(lambda: handler(request))
            finally:
                self._turn.release()
            if isinstance(outcome, Coroutine):
                outcome = await self._stepwise(outcome)
            elif isinstance(outcome, Awaitable):
                outcome = await outcome
            body: bytes = outcome
            return body
        finally:
            self.waiting -= 1
            interim.cancel()

    async def _turn_of(self, request: LaneRequest) -> None:
        """Waits for the turn. A request that is aborted meanwhile (CANCEL, end of its tree or connection) never
        starts."""
        acquiring = self.loop.create_task(self._turn.acquire())
        ready: asyncio.Future[int] = self.loop.create_future()

        def acquired(_: object) -> None:
            if not ready.done():
                ready.set_result(0)

        acquiring.add_done_callback(acquired)
        try:
            await request.may_end(ready)
        except BaseException:
            acquiring.cancel()
            acquiring.add_done_callback(self._not_needed)
            raise

    def _not_needed(self, acquiring: asyncio.Task[bool]) -> None:
        """Passes on a turn that is no longer needed."""
        if not acquiring.cancelled():
            self._turn.release()

    def spawn(self, work: Callable[[], object]) -> None:
        """Runs *work* in this lane after everything queued; errors are logged."""
        if self.inside:
            work()
            return
        task = self.loop.create_task(self._run_spawned(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_spawned(self, work: Callable[[], object]) -> None:
        async with self._turn:
            try:
                await self._to_its_end(work)
            except Exception:
                log.exception("internal error in a lane")

    async def drain(self, timeout: float) -> bool:
        """Waits for spawned work, at most *timeout* seconds; False if some has not ended."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=timeout)
        return not self._tasks

    def stop(self) -> None:
        """Ends the threads once their calls have returned. Work that is still queued is dropped."""
        for task in self._tasks:
            task.cancel()
        self._calls.stop()
        self._data.stop()

    async def _to_its_end(self, work: Callable[[], T]) -> T:
        """The result of *work*, run as a greenlet; the caller has the turn."""
        runner = greenlet.greenlet(work)
        try:
            outcome = self._switch(runner)
            while not runner.dead:
                await _done(outcome)
                error = outcome.exception()
                if error is None:
                    outcome = self._switch(runner, outcome.result())
                else:
                    outcome = self._throw(runner, error)
        finally:
            if self._kept:
                kept, self._kept = self._kept, deque()
                self._calls.submit(kept.clear)
        result: T = outcome
        return result

    def _switch(self, runner: greenlet.greenlet, *values: Any) -> Any:
        self._running = runner
        try:
            return runner.switch(*values)
        finally:
            self._running = None

    def _throw(self, runner: greenlet.greenlet, error: BaseException) -> Any:
        self._running = runner
        try:
            return runner.throw(error)
        finally:
            self._running = None

    @types.coroutine
    def _stepwise(self, coroutine: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        """Drives a handler's coroutine: every step between two waits takes a turn, as a greenlet."""
        value: Any = None
        error: BaseException | None = None
        while True:
            ended, yielded = yield from self._step(coroutine, value, error).__await__()
            if ended:
                result: T = yielded
                return result
            value = error = None
            try:
                value = yield yielded
            except BaseException as thrown:
                error = thrown

    async def _step(
        self, coroutine: Coroutine[Any, Any, T], value: Any, error: BaseException | None
    ) -> tuple[bool, Any]:
        """One step: (True, the result) at the end, otherwise (False, the future to wait for)."""

        def step() -> tuple[bool, Any]:
            try:
                yielded = coroutine.send(value) if error is None else coroutine.throw(error)
            except StopIteration as stop:
                return True, stop.value
            return False, yielded

        await _done(self.loop.create_task(self._turn.acquire()))
        try:
            return await self._to_its_end(step)
        finally:
            self._turn.release()
