"""Handlers that ask the system who somebody is (frevo.nss) while the loop serves others.

Log-on, connecting a share and opening a pipe look up Unix users and groups, and a directory service may take its time
or never answer. Such a handler runs as a greenlet in the loop's thread: at a question it is put aside, a thread asks,
and the handler goes on with the answer. What was answered within the last minute is not asked again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, cast

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
    """A handler that may be put aside at a question."""


def _carry(question: Callable[[], Any]) -> Any:
    asker = greenlet.getcurrent()
    if not isinstance(asker, _Asker) or asker.parent is None:
        return question()  # nobody waits for it but the server's start, or a program
    who = acting_as()
    try:
        return asker.parent.switch(question)
    finally:
        act_as(who)  # others have run in this thread meanwhile


class Asking:
    """Runs such handlers."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._threads = DaemonThreads(loop, "frevo-names", THREADS)
        self._shares = SlowWork(loop, THREADS)
        nss.set_courier(_carry)

    def run(self, party: str, handler: Callable[[R], Body], request: R) -> Body | Awaitable[bytes]:
        """What *handler* gives for *request*; an awaitable where it had to ask. Its questions count for *party*."""
        asker = _Asker(handler)
        outcome: Any = asker.switch(request)
        return cast(Body, outcome) if asker.dead else self._go_on(party, asker, outcome)

    async def _go_on(self, party: str, asker: _Asker, question: Callable[[], Any]) -> bytes:
        outcome: Any = question
        while not asker.dead:
            fields: Callable[[], Any] = outcome
            try:
                answer = await self._shares.run(party, lambda: self._threads.submit(fields))  # noqa: B023 - awaited here
            except Exception as error:
                outcome = asker.throw(error)
            else:
                outcome = asker.switch(answer)
        body: bytes = await outcome if isinstance(outcome, Awaitable) else outcome
        return body

    def stop(self) -> None:
        """Ends the threads once their questions have been answered."""
        self._threads.stop()
