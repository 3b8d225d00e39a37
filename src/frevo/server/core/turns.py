"""Turns: long work is done in slices, and users take turns, so that no one blocks the event loop.

A slice is `SLICE_S` seconds of work. Between two slices, the loop handles everything else: new requests, responses,
timers. Parties (the users that work is done for) get slices in round-robin order, so a thousand long requests of one
party delay those of another by one slice, not by a thousand.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator

#: Seconds of work after which others get a turn.
SLICE_S = 0.005


class Slice:
    """The time of one piece of work before others get their turn; checked between its steps."""

    __slots__ = ("_clock", "_ends")

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._ends = clock() + SLICE_S

    def over(self) -> bool:
        """Whether the time is up."""
        return self._clock() >= self._ends


class Turns:
    """The work that waits for a slice. One slice is given per iteration of the loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._loop = loop
        self.clock = clock
        self._waiting: OrderedDict[Hashable, deque[Callable[[], None]]] = OrderedDict()
        self._scheduled = False

    def slice(self) -> Slice:
        """A slice that starts now."""
        return Slice(self.clock)

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._waiting)

    def call(self, party: Hashable, work: Callable[[], None]) -> None:
        """Calls *work* when it is *party*'s turn. It should take about one slice and may call this again."""
        queue = self._waiting.get(party)
        if queue is None:
            queue = self._waiting[party] = deque()
        queue.append(work)
        self._schedule()

    async def next(self, party: Hashable) -> Slice:
        """Waits for *party*'s turn and returns its slice. If cancelled, the turn goes to another party."""
        turn: asyncio.Future[None] = self._loop.create_future()
        self.call(party, lambda: None if turn.done() else turn.set_result(None))
        await turn
        return self.slice()

    async def finish(self, party: Hashable, steps: Iterator[object]) -> None:
        """Runs *steps* to their end, slice by slice."""
        piece = self.slice()
        for _ in steps:
            if piece.over():
                piece = await self.next(party)

    def run(self, party: Hashable, steps: Iterator[object]) -> None:
        """Like `finish` without waiting: runs one slice of *steps* now and the rest in *party*'s turns."""
        piece = self.slice()
        for _ in steps:
            if piece.over():
                self.call(party, lambda: self.run(party, steps))
                return

    def drain(self) -> None:
        """Runs everything that waits, at shutdown."""
        while self._waiting:
            _, queue = self._waiting.popitem(last=False)
            while queue:
                queue.popleft()()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._give)

    def _give(self) -> None:
        self._scheduled = False
        if not self._waiting:
            return
        party, queue = next(iter(self._waiting.items()))
        work = queue.popleft()
        if queue:
            self._waiting.move_to_end(party)
        else:
            del self._waiting[party]
        try:
            work()
        finally:
            if self._waiting:
                self._schedule()
