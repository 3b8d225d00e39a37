"""Handlers that ask the system who somebody is (frevo.nss) while the loop serves others.

Log-on, connecting a share and opening a pipe look up Unix users and groups, and a directory service may take its time
or never answer. Such a handler runs as a greenlet in the loop's thread: at a question it is put aside, a thread asks,
and the handler goes on with the answer. What was answered within the last minute is not asked again.
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

#: Questions that are asked at a time; one party has at most as many as are free.
THREADS: Final = 32


class _Asker(greenlet.greenlet):
    """Runs handlers one after another; a handler with a question puts it aside. It switches to `caller` with the
    question, or with None when the handler has ended and `take` has its result.

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
            handler = request = None  # kept by nobody while this waits for the next one
            handler, request = self.caller.switch(None)

    def take(self) -> Any:
        """What the handler gave or raised."""
        result, error, self._result, self._error = self._result, self._error, None, None
        if error is not None:
            try:
                raise error
            finally:
                error = None  # or this frame and the traceback would keep each other, and the request with them
        return result


def _carry(question: Callable[[], Any]) -> Any:
    asker = greenlet.getcurrent()
    if not isinstance(asker, _Asker):
        return question()  # nobody waits for it but the server's start, or a program
    who = acting_as()
    try:
        return asker.caller.switch(question)
    finally:
        act_as(who)  # others have run in this thread meanwhile


class Asking:
    """Runs such handlers."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._threads = DaemonThreads(loop, "frevo-names", THREADS)
        self._shares = SlowWork(loop, THREADS)
        self._idle: _Asker | None = None
        nss.set_courier(_carry)

    def run(self, party: str, handler: Callable[[R], Body], request: R) -> Body | Awaitable[bytes]:
        """What *handler* gives for *request*; an awaitable where it had to ask. Its questions count for *party*."""
        asker, self._idle = self._idle or _Asker(), None
        asker.caller = greenlet.getcurrent()
        question = asker.switch(handler, request)
        return self._go_on(party, asker, question) if question is not None else self._done(asker)

    def _done(self, asker: _Asker) -> Any:
        self._idle = asker
        return asker.take()

    async def _go_on(self, party: str, asker: _Asker, question: Callable[[], Any] | None) -> bytes:
        while question is not None:
            current = question
            try:
                answer = await self._shares.run(party, lambda: self._threads.submit(current))  # noqa: B023 - awaited here
            except Exception as error:
                asker.caller = greenlet.getcurrent()
                question = asker.throw(error)
            else:
                asker.caller = greenlet.getcurrent()
                question = asker.switch(answer)
        outcome = self._done(asker)
        body: bytes = await outcome if isinstance(outcome, Awaitable) else outcome
        return body

    def stop(self) -> None:
        """Ends the threads once their questions have been answered."""
        self._idle = None
        self._threads.stop()
