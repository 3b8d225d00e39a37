"""The same share over further connections, for more work than one connection can do."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from frevo.errors import FrevoError

if TYPE_CHECKING:
    from frevo.client.reconnect import LastingTree

#: As many connections as processors, but no more than this, when nobody says how many.
_AUTOMATIC_MAX = 4


def automatic() -> int:
    """How many connections are worth it here: servers have a process or thread for each, we have one for all."""
    return min(_AUTOMATIC_MAX, max(2, len(os.sched_getaffinity(0))))


class Siblings:
    """Connections to one share, *place* being the first, up to *most*; made when they are asked for.

    One that cannot be had is done without, and no other one is tried: the server has a limit, or the password was
    good for one log-on only.
    """

    def __init__(self, place: LastingTree, most: int) -> None:
        self.places = [place]
        self.most = most
        #: Large transfers that share one: each of the further connections helps one at a time.
        self.turns = [asyncio.Lock() for _ in range(most)]
        self._growing: asyncio.Task[None] | None = None

    def grow(self) -> asyncio.Task[None] | None:
        """Begins to connect once more; the attempt that is under way, None when there are as many as there may be."""
        if self._growing is None and len(self.places) < self.most:
            self.places[0].link.grown.add(self)
            self._growing = asyncio.get_running_loop().create_task(self._connect())
        return self._growing

    async def nth(self, index: int) -> LastingTree | None:
        """Connection number *index*, 0 being the first; None when it cannot be had. Cancelled, it is made anyway."""
        while len(self.places) <= index < self.most:
            growing = self.grow()
            assert growing is not None
            await asyncio.wait([growing])
        return self.places[index] if index < len(self.places) else None

    async def _connect(self) -> None:
        try:
            self.places.append(await self.places[0].another())
        except (OSError, FrevoError):
            self.most = len(self.places)
        finally:
            self._growing = None

    async def close(self) -> None:
        """Logs off and closes all but the first; no other one is made."""
        self.most = 1
        self.places[0].link.grown.discard(self)
        if self._growing is not None:
            self._growing.cancel()
            await asyncio.wait([self._growing])
        others = self.places[1:]
        del self.places[1:]
        await asyncio.gather(*(place.link.end() for place in others), return_exceptions=True)
