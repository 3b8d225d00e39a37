"""`Ring` on io_uring: one submission per loop turn, one eventfd, results in batches.

Operations are queued while the tasks of one turn of the loop run; a `call_soon` callback hands all of them
over in one kernel call and sets the results of those that completed at once (cached reads do). The eventfd
reports the rest.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar

from frevo import _native
from frevo._native import RingOperation as Code
from frevo.aio import features
from frevo.aio.acting import UnixIdentity, act_as, acting_as
from frevo.aio.descriptor import Descriptor, hold_all, release_all
from frevo.aio.ring import Ring
from frevo.aio.threads import Job, ThreadRing

#: Submission slots. A longer batch is handed over in several kernel calls.
ENTRIES = 256
#: Operations in the kernel at a time; further ones wait here. Each may occupy a worker thread of the kernel.
IN_FLIGHT_MAX = 1024

#: Users whose credentials a ring keeps; the oldest is replaced.
PERSONALITIES_MAX = 1024

#: Operations newer than io_uring itself, by their kernel name: threads replace those that the kernel lacks.
_NEWER = {
    Code.UNLINKAT: "unlinkat",
    Code.RENAMEAT2: "renameat",
    Code.MKDIRAT: "mkdirat",
    Code.LINKAT: "linkat",
    Code.FGETXATTR: "fgetxattr",
    Code.FSETXATTR: "fsetxattr",
    Code.SPLICE: "splice",
    Code.FALLOCATE: "fallocate",
}


class UringRing(Ring):
    """One io_uring of one loop. Raises OSError if the kernel refuses."""

    engine: ClassVar[str] = "uring"

    def __init__(self, loop: asyncio.AbstractEventLoop, reason: str) -> None:
        super().__init__(loop, reason)
        self._native = _native.Ring(ENTRIES)
        self._waiting: deque[tuple[Any, ...]] = deque()
        self._cancels: list[int] = []
        self._futures: dict[int, asyncio.Future[Any]] = {}
        #: The handling of results that come after their task was cancelled, by token.
        self._undo: dict[int, Callable[[Any], None]] = {}
        #: The kernel's numbers for users; an operation in flight keeps its user in any case.
        self._personalities: dict[UnixIdentity, int] = {}
        #: The descriptors of an operation until its completion was seen, by token.
        self._held: dict[int, list[Descriptor]] = {}
        self._next_token = 0
        self._flush_due = False
        self._closed = False
        self._threads: ThreadRing | None = None
        operations = features.probe().operations
        self._missing = frozenset(code for code, name in _NEWER.items() if name not in operations)
        self._fd = self._native.fd
        loop.add_reader(self._fd, self._wake)

    # --- the machinery ---

    def _start(self, code: int, args: tuple[Any, ...]) -> tuple[int | Job, asyncio.Future[Any]]:
        """Queues an operation for the end of this turn of the loop."""
        if code in self._missing:
            return self._by_threads()._start(code, args)
        if self._closed:
            raise RuntimeError("this ring was shut down")
        future, personality = self._loop.create_future(), self._personality()
        held, numbers = hold_all(args)
        token = self._next_token
        self._next_token += 1
        self._futures[token], self._held[token] = future, held
        self._waiting.append((token, personality, code, *numbers))
        self._schedule_flush()
        return token, future

    def _personality(self) -> int:
        """The kernel's number for the identity of this thread; 0: the server, which submits the operation."""
        who = acting_as()
        if who is None:
            return 0
        number = self._personalities.get(who)
        if number is None:
            if len(self._personalities) >= PERSONALITIES_MAX:
                self._native.unregister_personality(self._personalities.pop(next(iter(self._personalities))))
            number = self._personalities[who] = self._native.register_personality()
        return number

    def _schedule_flush(self) -> None:
        if not self._flush_due and not self._closed:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _give_up(self, operation: int | Job, undo: Callable[[Any], None] | None) -> None:
        """Withdraws the operation, or asks the kernel to cancel it."""
        if not isinstance(operation, int):
            self._by_threads()._give_up(operation, undo)
            return
        if undo is not None:
            self._undo[operation] = undo
        self._cancels.append(operation)
        self._schedule_flush()

    def _flush(self) -> None:
        """Submit waiting operations in one kernel call, and deliver those that are already complete."""
        self._flush_due = False
        if self._closed:
            return
        if not all(operation[1] for operation in self._waiting):
            act_as(None)  # operations without a personality run as the server
        batch: list[tuple[Any, ...]] = []
        room = IN_FLIGHT_MAX - (len(self._futures) - len(self._waiting))
        while self._waiting and len(batch) < room:
            operation = self._waiting.popleft()
            if self._futures[operation[0]].cancelled():
                self._forget(operation[0])
            else:
                batch.append(operation)
        cancels, self._cancels = self._cancels, []
        if batch or cancels:
            self._deliver(self._native.submit(batch, cancels))

    def _forget(self, token: int) -> None:
        del self._futures[token]
        self._undo.pop(token, None)
        release_all(self._held.pop(token))

    def _wake(self) -> None:
        self._deliver(self._native.complete())

    def _deliver(self, results: list[tuple[int, Any]]) -> None:
        for token, result in results:
            future = self._futures.pop(token)
            release_all(self._held.pop(token))
            if future.done():
                self._undo_late(token, result)
            elif isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
        if results and self._waiting:
            self._schedule_flush()

    def _undo_late(self, token: int, result: Any) -> None:
        undo = self._undo.pop(token, None)
        if undo is not None and not isinstance(result, Exception):
            undo(result)

    def _by_threads(self) -> ThreadRing:
        if self._threads is None:
            self._threads = ThreadRing(self._loop, "the kernel's io_uring lacks the operation")
        return self._threads

    # --- the ring itself ---

    def statistics(self) -> dict[str, int]:
        submitted, completed, enters, flight = self._native.counters()
        counters = {"submitted": submitted, "completed": completed, "enters": enters}
        return {**counters, "in_flight": flight, "waiting": len(self._waiting)}

    def _shut(self) -> None:
        if self._closed:
            return
        self._closed = True
        loop = self._loop_reference()
        if loop is not None and not loop.is_closed():
            loop.remove_reader(self._fd)
            for future in self._futures.values():
                future.cancel()
        for token, *_ in self._waiting:
            self._forget(token)
        self._waiting.clear()
        # Cancels, waits a while for the kernel, and closes the eventfd. Descriptors that the kernel still uses are
        # never closed.
        for token, result in self._native.close():
            del self._futures[token]
            release_all(self._held.pop(token))
            self._undo_late(token, result)
        self._futures.clear()
        del self._native
        if self._threads is not None:
            self._threads._shut()
