"""The same share over further connections, for more work than one connection can do."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from frevo.errors import FrevoError

if TYPE_CHECKING:
    from frevo.client.lasting.link import LastingTree

#: No more connections than this when nobody says how many.
_AUTOMATIC_MAX = 4


def automatic() -> tuple[int, int]:
    """How many connections are worth it here, for many files and for a large one.

    Servers have a process or thread for each. Bulk data keeps two threads of ours busy on each connection (receiving,
    writing), so a further one for the same file only helps where there are processors for that (docs/decisions/0010).
    """
    processors = len(os.sched_getaffinity(0))
    return min(_AUTOMATIC_MAX, max(2, processors)), min(_AUTOMATIC_MAX, max(1, processors // 2))


class Siblings:
    """Connections to one share, *place* being the first, up to *most* (0: `automatic`); made when they are asked for.

    One that cannot be had is done without, and no other one is tried: the server has a limit, or the password was
    good for one log-on only.
    """

    def __init__(self, place: LastingTree, most: int) -> None:
        self.places = [place]
        self.most, self._for_one_file = (most, most) if most else automatic()
        #: Large transfers that share one: each of the further connections helps one at a time.
        self.turns = [asyncio.Lock() for _ in range(self.most)]
        self._growing: asyncio.Task[None] | None = None

    @property
    def for_one_file(self) -> int:
        """How many of them move one large file together."""
        return min(self._for_one_file, self.most)

    def grow(self) -> asyncio.Task[None] | None:
        """Begins to connect once more; the attempt that is under way, None when there are as many as there may be."""
        if self._growing is None and len(self.places) < self.most:
            self.places[0].link.grown.add(self)
            self._growing = asyncio.get_running_loop().create_task(self._connect())
            self._growing.add_done_callback(self._grown)
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

    def _grown(self, _: asyncio.Task[None]) -> None:
        """Also after a cancel before the first step: else it would be waited for until the end of time."""
        self._growing = None

    async def close(self) -> None:
        """Logs off and closes all but the first; no other one is made."""
        self.most = 1
        self.places[0].link.grown.discard(self)
        growing = self._growing
        if growing is not None:
            growing.cancel()
            await asyncio.wait([growing])
        others = self.places[1:]
        del self.places[1:]
        await asyncio.gather(*(place.link.end() for place in others), return_exceptions=True)
