"""Handlers that look up Unix users and groups (frevo.nss) without blocking the loop.

Log-on, TREE_CONNECT and opening a pipe do so, and a directory service may answer slowly or never. These handlers run
as greenlets in the loop's thread: a look-up suspends the handler, a thread makes the call, and the handler continues
with the result. Results are cached for a minute (frevo.server.core.unix_users).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import greenlet

from frevo import nss
from frevo.aio.acting import act_as, acting_as
from frevo.aio.daemon_threads import DaemonThreads
from frevo.server.core.slow_work import SlowWork

R = TypeVar("R")
Body = TypeVar("Body")

#: Look-ups at a time; one party has at most as many as are free.
THREADS: Final = 32


class _Suspendable(greenlet.greenlet):
    """Runs handlers one after another; a look-up suspends the handler. It switches to `caller` with the call to make,
    or with None when the handler has ended and `take` has its result.

    A new greenlet for each request would cost a new stack, which the kernel maps and unmaps.
    """

    caller: greenlet.greenlet
    _result: Any = None
    _error: BaseException | None = None

    def run(self, handler: Any, request: Any) -> None:
        while True:
            try:
                self._result = handler(request)
            except greenlet.GreenletExit:
                raise
            except BaseException as error:
                self._error = error
            handler = request = None  # not kept alive while this waits for the next one
            handler, request = self.caller.switch(None)

    def take(self) -> Any:
        """The handler's result or exception."""
        result, error, self._result, self._error = self._result, self._error, None, None
        if error is not None:
            try:
                raise error
            finally:
                error = (
                    None  # or this frame and the traceback would keep each other, and the request with them
                )
        return result


def _run_elsewhere(call: Callable[[], Any]) -> Any:
    current = greenlet.getcurrent()
    if not isinstance(current, _Suspendable):
        return call()  # at the server's start, or outside a server
    identity = acting_as()
    try:
        return current.caller.switch(call)
    finally:
        act_as(identity)  # other requests have run in this thread meanwhile


class Lookups:
    """Runs the handlers that may look up users and groups."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._threads = DaemonThreads(loop, "frevo-names", THREADS)
        self._shares = SlowWork(loop, THREADS)
        self._idle: _Suspendable | None = None
        nss.set_call_runner(_run_elsewhere)

    def run(self, party: str, handler: Callable[[R], Body], request: R) -> Body | Awaitable[bytes]:
        """The result of *handler*, or an awaitable if it has to wait for a look-up. Look-ups count for *party*."""
        runner, self._idle = self._idle or _Suspendable(), None
        runner.caller = greenlet.getcurrent()
        call = runner.switch(handler, request)
        return self._continue(party, runner, call) if call is not None else self._result(runner)

    def _result(self, ended: _Suspendable) -> Any:
        self._idle = ended
        return ended.take()

    async def _continue(self, party: str, suspended: _Suspendable, call: Callable[[], Any] | None) -> bytes:
        while call is not None:
            current = call
            try:
                result = await self._shares.run(party, lambda: self._threads.submit(current))  # noqa: B023 - awaited here
            except Exception as error:
                suspended.caller = greenlet.getcurrent()
                call = suspended.throw(error)
            else:
                suspended.caller = greenlet.getcurrent()
                call = suspended.switch(result)
        outcome = self._result(suspended)
        body: bytes = await outcome if isinstance(outcome, Awaitable) else outcome
        return body

    def stop(self) -> None:
        """Ends the threads once their calls have returned."""
        self._idle = None
        self._threads.stop()
