"""The connections of one share: the first one, and further ones for more work than one connection can do.

There is one way to use a further connection: `await connections.nth(index)`. A large file spread over several
(`transfer.spread`) and a batch of many files (`batch.pool`) both take it, so that they share what there is.
"""

from __future__ import annotations

import asyncio
import os

from frevo.client.lasting.tree import LastingTree
from frevo.errors import FrevoError

#: Most connections if their number is not configured.
_AUTOMATIC_MAX = 4


def automatic() -> tuple[int, int]:
    """How many connections are worth it on this machine, for many files and for a large one.

    Servers have a process or thread for each. Bulk data keeps two threads of ours busy on each connection (receiving,
    writing), so a further one for the same file only helps where there are processors for that (docs/decisions/0010).
    """
    processors = len(os.sched_getaffinity(0))
    return min(_AUTOMATIC_MAX, max(2, processors)), min(_AUTOMATIC_MAX, max(1, processors // 2))


class ShareConnections:
    """*first* and further connections to the same share, up to *most* in all (0: `automatic`), made when needed.

    If one fails, no further one is tried: the server has a limit, or the password was valid for only one log-on.
    """

    def __init__(self, first: LastingTree, most: int) -> None:
        self.first = first
        self.most, self._for_one_file = (most, most) if most else automatic()
        #: Held by the large transfer that uses connection number i: each helps one at a time.
        self.turns = [asyncio.Lock() for _ in range(self.most)]
        #: The connections made so far; the first is always there.
        self.trees = [first]
        self._connecting: asyncio.Task[None] | None = None

    @property
    def for_one_file(self) -> int:
        """How many of them move one large file together."""
        return min(self._for_one_file, self.most)

    async def nth(self, index: int) -> LastingTree | None:
        """Connection number *index*, starting with 0; None if it cannot be made. If cancelled, it is made anyway."""
        while len(self.trees) <= index < self.most:
            await asyncio.wait([self._connect_once_more()])
        return self.trees[index] if index < len(self.trees) else None

    def _connect_once_more(self) -> asyncio.Task[None]:
        """The attempt that is under way, or a new one."""
        if self._connecting is None:
            self.first.link.before_end.add(self.close)
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
            # Not in the task itself: cancelled before its first step it does nothing.
            self._connecting.add_done_callback(self._connected)
        return self._connecting

    async def _connect(self) -> None:
        try:
            self.trees.append(await self.first.another())
        except (OSError, FrevoError):
            self.most = len(self.trees)

    def _connected(self, _: asyncio.Task[None]) -> None:
        self._connecting = None

    async def close(self) -> None:
        """Logs off and closes all but the first; no further one is made."""
        self.most = 1
        self.first.link.before_end.discard(self.close)
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        further = self.trees[1:]
        del self.trees[1:]
        await asyncio.gather(*(one.link.end() for one in further), return_exceptions=True)
