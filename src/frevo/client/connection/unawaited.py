"""Requests sent without waiting for their responses: how many are under way, and when they have been answered."""

from __future__ import annotations

import asyncio
import logging

from frevo.client.connection.messages import Reply

log = logging.getLogger(__name__)

#: With this many under way, the next one is waited for, so that a server that closes more slowly than it opens sets the
#: pace.
UNAWAITED_MAX = 128


class Unawaited:
    """The unawaited requests of one connection, by message ID."""

    def __init__(self) -> None:
        #: The future of all of them: it is done from the start.
        self.future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.future.cancel()
        self.under_way: set[int] = set()
        self._waiting: list[tuple[set[int], asyncio.Future[None]]] = []

    def answered(self, message_id: int, reply: Reply) -> None:
        """Takes the response to one of them."""
        self.under_way.discard(message_id)
        if reply.status:
            log.debug("a request that nobody waited for was answered with status %#010x", reply.status)
        for awaited, ready in self._waiting:
            awaited.discard(message_id)
            if not awaited and not ready.done():
                ready.set_result(None)

    def connection_lost(self) -> None:
        """Ends every wait: with the connection, everything that was open there is gone."""
        self.under_way.clear()
        for awaited, ready in self._waiting:
            awaited.clear()
            if not ready.done():
                ready.set_result(None)

    async def settled(self) -> None:
        """Waits until the requests that are under way now are answered, or the connection is lost."""
        if not self.under_way:
            return
        one = (set(self.under_way), asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        try:
            await one[1]
        finally:
            self._waiting.remove(one)
