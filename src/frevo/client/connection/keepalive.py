"""Ends a connection whose server is silent although a response is due, after asking it for a sign of life (ECHO).

It also ends one whose server answers everything but a single request, after a much longer time ([MS-SMB2] 3.2.6.1). The
kernel detects a peer that is gone; this detects one that keeps the connection but does not work. ECHO is [MS-SMB2]
2.2.28.
"""

from __future__ import annotations

import asyncio
import contextlib

from frevo.client.connection.connection import Connection
from frevo.client.connection.messages import Element, Protection
from frevo.client.errors import ConnectionLost
from frevo.wire.smb2 import Command, EchoRequest

#: One request may take this many times as long as the server may be silent.
PATIENCE = 10


class Keepalive:
    """Checks twice every *timeout_s* seconds whether *connection* is alive, until it ends; costs nothing in between."""

    def __init__(self, connection: Connection, protection: Protection, timeout_s: float) -> None:
        self._connection = connection
        self._protection = protection
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._seen = (-1, -1)
        self._due: dict[
            int, tuple[object, float]
        ] = {}  # what should make progress, its state, and since when
        self._echo: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(timeout_s / 2, self._look)
        connection.when_lost(self._stop)

    def _stop(self) -> None:
        self._timer.cancel()
        if self._echo is not None:
            self._echo.cancel()

    def _look(self) -> None:
        if self._left_unanswered():
            self._connection.fail(
                f"no response to a request for {PATIENCE * self._timeout_s:g} s", ConnectionLost
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

    def _left_unanswered(self) -> bool:
        """Whether the server is alive but one request has waited too long."""
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
