"""Requests whose answers nobody waits for: which there are, and when their answers have come."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from frevo.client.connection.connection import Reply

log = logging.getLogger(__name__)

#: With so many under way the next one is waited for: a server that closes slower than it opens sets the pace.
BEHIND_MAX = 128


class Behind:
    """Those of one connection, by message id. *nobody* is the future of all of them: it is done from the start."""

    def __init__(self) -> None:
        self.nobody: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.nobody.cancel()
        self.under_way: set[int] = set()
        self._waiting: list[tuple[set[int], asyncio.Future[None]]] = []

    def answered(self, message_id: int, reply: Reply) -> None:
        """One has its answer."""
        self.under_way.discard(message_id)
        if reply.status:
            log.debug("what nobody waited for was answered with status %#010x", reply.status)
        for awaited, ready in self._waiting:
            awaited.discard(message_id)
            if not awaited and not ready.done():
                ready.set_result(None)

    def ended(self) -> None:
        """The connection has ended, and with it everything that was open there."""
        self.under_way.clear()
        for awaited, ready in self._waiting:
            awaited.clear()
            if not ready.done():
                ready.set_result(None)

    async def settled(self) -> None:
        """Waits until those that are under way now have their answers, or the connection has ended."""
        if not self.under_way:
            return
        one = (set(self.under_way), asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        try:
            await one[1]
        finally:
            self._waiting.remove(one)
