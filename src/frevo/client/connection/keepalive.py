"""A server that says nothing although an answer is due: it is asked for a sign of life, then the connection ends.

So it does when the server lives but leaves one request without its final answer for much longer ([MS-SMB2] 3.2.6.1).

The kernel notices a peer that is gone; this notices one that has the connection but does not work. ECHO is
[MS-SMB2] 2.2.28.
"""

from __future__ import annotations

import asyncio
import contextlib

from frevo.client.connection.connection import Connection, Element, Protection
from frevo.client.errors import ConnectionLost
from frevo.wire.smb2 import Command, EchoRequest

#: A request may take so many times as long as the server may be silent.
PATIENCE = 10


class Keepalive:
    """Looks twice in *timeout_s* seconds whether *connection* is alive; costs nothing in between."""

    def __init__(self, connection: Connection, protection: Protection, timeout_s: float) -> None:
        self._connection = connection
        self._protection = protection
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._seen = (-1, -1)
        self._due: dict[int, tuple[object, float]] = {}  # what should go on, and since when it is so
        self._echo: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(timeout_s / 2, self._look)

    def stop(self) -> None:
        """The connection has ended."""
        self._timer.cancel()
        if self._echo is not None:
            self._echo.cancel()

    def _look(self) -> None:
        if self._forgotten():
            self._connection.fail(
                f"a request has no answer for {PATIENCE * self._timeout_s:g} s", ConnectionLost
            )
            return
        life = self._connection.signs_of_life
        if not self._connection.busy or life != self._seen:
            self._seen = life
        elif self._echo is None:
            self._echo = self._loop.create_task(self._ask())
        else:
            self._connection.fail(f"no sign of life for {self._timeout_s:g} s", ConnectionLost)
            return
        self._timer = self._loop.call_later(self._timeout_s / 2, self._look)

    def _forgotten(self) -> bool:
        """Whether the server lives and has left a request alone."""
        now, known = self._loop.time(), self._due
        self._due = {
            key: known[key] if key in known and known[key][0] == state else (state, now)
            for key, state in self._connection.due().items()
        }
        return any(now - since > PATIENCE * self._timeout_s for _, since in self._due.values())

    async def _ask(self) -> None:
        with contextlib.suppress(OSError):
            await self._connection.exchange(Element(Command.ECHO, EchoRequest().pack()), self._protection)
        self._echo = None
