"""Threads for calls that may never return."""

from __future__ import annotations

import asyncio
import errno
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

_Job = tuple[Callable[[], Any], "asyncio.Future[Any]"]


class DaemonThreads:
    """Daemon threads that take jobs from one queue: a call that never returns blocks neither the loop nor the end of
    the process."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str, count_max: int) -> None:
        self._loop = loop
        self._name = name
        self._max = count_max
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._started = 0
        self._running: set[asyncio.Future[Any]] = set()  # jobs that have not ended
        self._stopped = False

    def submit(self, call: Callable[[], T]) -> asyncio.Future[T]:
        """Starts *call* in a thread; call this in the loop's thread."""
        future: asyncio.Future[T] = self._loop.create_future()
        if self._stopped:
            self._jobs.put((call, future))  # never taken: its references must not be released in this thread
            future.set_exception(_stopping())
            future.exception()  # marks it as retrieved
            return future
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        if len(self._running) > self._started and self._started < self._max:
            self._started += 1
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
        self._jobs.put((call, future))
        return future

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            call, future = job
            result: Any = None
            error: BaseException | None = None
            try:
                result = call()
            except BaseException as raised:
                error = raised
            try:
                self._loop.call_soon_threadsafe(_settle, future, result, error)
            except RuntimeError:  # the loop has ended
                return
            del job, call, future, result, error  # these may be the last references to results of a call

    @property
    def running(self) -> int:
        """Jobs that have not ended."""
        return len(self._running)

    def stop(self) -> None:
        """Ends the threads once their calls have returned. Waiting and new calls fail with OSError (EIO)."""
        self._stopped = True
        for _ in range(self._started):
            self._jobs.put(None)
        if self._loop.is_closed():  # nobody waits any more, and nobody could be told
            return
        for future in tuple(self._running):
            _settle(future, None, _stopping())


def _stopping() -> OSError:
    return OSError(errno.EIO, "the server stops")


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
