"""The event loop of the blocking client, in a thread of its own: run coroutines there, iterate over generators."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import aclosing
from typing import Any, Generic, TypeVar

from frevo.client.connection.plane import runs_here

T = TypeVar("T")

#: Seconds that the end of the interpreter waits for the loop to end.
_STOP_SECONDS = 2.0
#: Seconds between two checks for a signal: one that comes right before a wait would not end it.
_LOOK_SECONDS = 0.5
_MESSAGE = "deadlock: the blocking client was called from a callback on its own event loop"


class _LoopThread:
    """The loop and its thread; started when first used, new in a forked child, ended with the interpreter."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # the garbage collector may run code that takes it while it is held
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self.ended = False

    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop. RuntimeError when the interpreter is ending."""
        if self._loop is not None:
            return self._loop
        with self._lock:
            if self.ended:
                raise RuntimeError("the interpreter is shutting down: the server can no longer be used")
            if self._loop is None:
                loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=loop.run_forever, name="frevo-client", daemon=True)
                self._thread.start()
                self._loop = loop
            return self._loop

    def stop(self) -> None:
        """Ends the loop at the interpreter's end: what is under way is cancelled, connections end with the process."""
        with self._lock:
            self.ended = True
            loop, self._loop = self._loop, None
        if loop is not None and self._thread is not None:
            asyncio.run_coroutine_threadsafe(_cancel_all(), loop)
            self._thread.join(_STOP_SECONDS)
            if not self._thread.is_alive():
                loop.close()


async def _cancel_all() -> None:
    """Cancels every task and stops the loop when they have ended."""
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=_STOP_SECONDS / 2) if tasks else None
    asyncio.get_running_loop().stop()


_home = _LoopThread()


def _after_fork() -> None:
    global _home
    _home = _LoopThread()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(lambda: _home.stop())


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of *work*, which runs on the loop; an interrupt (Ctrl-C) cancels it.

    RuntimeError when called on the loop itself or when the interpreter is ending.
    """
    try:
        loop = _home.loop()
        if runs_here(loop):
            raise RuntimeError(_MESSAGE)
    except RuntimeError:
        work.close()
        raise
    done = (
        threading.Lock()
    )  # not with the lock of Python's futures: the garbage collector may run other work of ours meanwhile
    done.acquire()
    tasks: list[asyncio.Task[T]] = []

    def finished(_: object) -> None:
        if not _home.ended:  # a daemon thread that still waits when the interpreter ends stays blocked
            done.release()

    def start() -> None:
        task = loop.create_task(work)
        tasks.append(task)
        task.add_done_callback(finished)

    def give_up() -> None:
        if not tasks:  # interrupted before the loop was told
            work.close()
            return
        tasks[0].cancel()
        tasks[0].add_done_callback(lambda task: task.cancelled() or task.exception())

    try:
        loop.call_soon_threadsafe(start)  # inside: it lets the loop run, so an interrupt may come here
        while not done.acquire(timeout=_LOOK_SECONDS):
            pass
    except BaseException:
        loop.call_soon_threadsafe(give_up)
        raise
    return tasks[0].result()


def soon(call: Callable[[], object]) -> None:
    """Has the loop run *call* in its next turn; does nothing after the loop has ended."""
    if not _home.ended:
        _home.loop().call_soon_threadsafe(call)


class _Feed(Generic[T]):
    """Takes items from an asynchronous generator, at most *limit* in advance."""

    def __init__(self, steps: AsyncGenerator[T, None], limit: int) -> None:
        self._steps, self._limit = steps, limit
        self._items: list[T] = []
        self._there, self._wanted = asyncio.Event(), asyncio.Event()
        self._error: BaseException | None = None
        self._task: asyncio.Task[None] | None = None

    async def more(self) -> list[T]:
        """The items that are there, at least one; an empty list at the end. Raises the generator's errors."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._take())
        self._wanted.set()
        await self._there.wait()
        items, self._items = self._items, []
        if not self._task.done():
            self._there.clear()
        elif not items and self._error is not None:
            raise self._error
        return items

    async def _take(self) -> None:
        try:
            async with aclosing(self._steps):
                async for item in self._steps:
                    self._items.append(item)
                    self._there.set()
                    if len(self._items) >= self._limit:
                        self._wanted.clear()
                        await self._wanted.wait()
        except Exception as error:
            self._error = error
        finally:
            self._there.set()

    def stop(self) -> None:
        """Closes the generator; on the loop."""
        if self._task is not None:
            self._task.cancel()


def iterate(steps: AsyncGenerator[T, None], limit: int = 1024) -> Iterator[T]:
    """The items of *steps*, up to *limit* of them fetched in advance; 1: each only on demand.

    If left early, the generator is closed without waiting for that.
    """
    feed = _Feed(steps, limit)
    try:
        while items := run(feed.more()):
            yield from items
    finally:
        soon(feed.stop)
