"""Lanes: how requests use file systems that are slow or may not answer (docs/decisions/0011-slow-file-systems.md).

A handler is a plain function that makes system calls in the event loop, which is right for a local file system: they
take microseconds. A network or FUSE file system may take seconds, or never respond. Its requests run in a lane: the
handler is a greenlet in the loop's thread, and each of its calls to the file system (`Lane.call`, made by
`frevo.vfs.offloaded`) goes to a thread of the lane, while the loop serves everyone else.

Only one handler of a lane runs between its calls (`_turn`), so a request sees the same as without a lane: nothing else
changes the files of the lane between its decision and its entry in the tables. READ, WRITE and FLUSH that wait do not
hold the turn; they have their own threads.

The lane of a disk that was slow ends when it has been fast for long (`frevo.server.core.pace`): at a moment when nobody
has the turn, so that no handler is between two calls, its calls begin to be made in the loop again, also by what is
still under way."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import types
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from time import perf_counter
from typing import Any, Protocol, TypeVar

import greenlet

from frevo.aio.acting import act_as, acting_as, carried
from frevo.aio.daemon_threads import DaemonThreads
from frevo.server.core.pace import Pace

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


class _Timed:
    """A call that is timed."""

    __slots__ = ("_call", "seconds")

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self.seconds = 0.0

    def __call__(self) -> Any:
        began = perf_counter()
        try:
            return self._call()
        finally:
            self.seconds = perf_counter() - began


class Lane:
    """The requests of one slow file system, and its threads."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        name: str,
        *,
        reason: str = "",
        pace: Pace | None = None,
        ended: Callable[[Lane], None] | None = None,
    ) -> None:
        """*reason*: why it is needed, a few words. With *pace*, it is for a disk, and *ended* is called when the calls
        are made in the loop again."""
        self.loop = loop
        self.reason = reason
        #: The calls are made in the loop, by what is left of the time when they were not.
        self.inline = False
        self._pace = pace
        self._ended = ended
        self._ends = False  # as soon as nobody has the turn
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
        """Whether the running code may use the lane's files: a handler in it, or anyone while it is `inline`."""
        return self.inline or (self._running is not None and greenlet.getcurrent() is self._running)

    @property
    def responds(self) -> bool:
        """Whether it is for a disk, which is slow but responds."""
        return self._pace is not None

    def call(self, call: Callable[[], T]) -> T:
        """Calls *call* in the lane's thread, as the same Unix user: its result or exception."""
        if self.inline:
            return call()
        if not self.inside or self._running is None or self._running.parent is None:
            raise RuntimeError("a slow file system was used outside its lane")
        who = acting_as()
        timed = _Timed(call)
        try:
            answer: T = self._running.parent.switch(self._calls.submit(carried(timed)))
        finally:
            act_as(who)  # other requests have run in this thread meanwhile
            if self._pace is not None and self._pace.called(timed.seconds, self.loop.time()):
                self._ends = True
        return answer

    def begin(self) -> None:
        """From now on, calls are made in threads (again)."""
        self.inline = self._ends = False

    def _release(self) -> None:
        """Gives the turn to the next. No handler is between two calls now."""
        self._turn.release()
        if self._ends and self._ended is not None:
            self._ends, self.inline = False, True
            self._ended(self)

    @property
    def busy(self) -> bool:
        """Whether a call has not returned, or spawned work has not ended."""
        return bool(self._calls.running or self._data.running or self._tasks)

    def in_loop(self, call: Callable[[], object]) -> None:
        """Calls *call* in the event loop, soon; from any thread."""
        self.loop.call_soon_threadsafe(call)

    def keep(self, thing: object) -> None:
        """Keeps *thing* until the handler has ended, then releases it in the lane's thread."""
        if not self.inline:
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
                self._release()
            if isinstance(outcome, Coroutine):
                outcome = await self.go_on(outcome)
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
            self._release()

    def spawn(self, work: Callable[[], object]) -> None:
        """Runs *work* in this lane after everything queued; errors are logged."""
        if self.inside:
            work()
            return
        task = self.loop.create_task(self._run_spawned(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_spawned(self, work: Callable[[], object]) -> None:
        await self._turn.acquire()
        try:
            await self._to_its_end(work)
        except Exception:
            log.exception("internal error in a lane")
        finally:
            self._release()

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

    async def go_on(
        self, coroutine: Coroutine[Any, Any, T], value: Any = None, error: BaseException | None = None
    ) -> T:
        """Drives a handler's coroutine, which gets *value* or *error* first: every step between two waits takes a turn,
        as a greenlet. It may have begun in the loop, before its tree got this lane."""
        return await self._stepwise(coroutine, value, error)

    @types.coroutine
    def _stepwise(
        self, coroutine: Coroutine[Any, Any, T], value: Any, error: BaseException | None
    ) -> Generator[Any, Any, T]:
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
            self._release()
