"""A workload as the runner drives it: loops that repeat one kind of operation."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Sequence
from typing import Any, ClassVar

from frevo.bench.links import Link
from frevo.bench.settings import Settings
from frevo.bench.tally import Tally, total


class Load(ABC):
    """One workload on open connections. Every method may raise an OSError of the client."""

    #: The kinds of operation that are counted, in the order of the live line; the first is what the report counts.
    parts: ClassVar[tuple[str, ...]]
    needs_share: ClassVar[bool] = True

    def __init__(self, settings: Settings, links: Sequence[Link]) -> None:
        self.settings = settings
        self.links = list(links)

    @abstractmethod
    async def prepare(self) -> None:
        """Create everything that must not be measured: files, directories."""

    @abstractmethod
    def make_loops(self) -> None:
        """Make what `start` only begins: to make a thousand loops takes so long that it would be measured."""

    @abstractmethod
    def start(self) -> None:
        """Start the loops."""

    @abstractmethod
    def tallies(self) -> tuple[Tally, ...]:
        """The counts so far, for each of *parts*."""

    def by_connection(self) -> list[int]:
        """The operations of each connection so far; empty where they are not counted for each."""
        return []

    @abstractmethod
    async def finished(self) -> None:
        """Return when the loops have ended by themselves; raise the error that ended them."""

    @abstractmethod
    async def stop(self) -> None:
        """End the loops; no request is in flight when it returns."""

    @abstractmethod
    async def check(self) -> None:
        """Verify the loops' result after `stop`. FrevoError if it is wrong."""

    @abstractmethod
    async def clean(self) -> None:
        """Remove what `prepare` created."""


class Budget:
    """The number of operations that may still start, over all loops; None: no limit."""

    def __init__(self, operations: int | None) -> None:
        self._left = operations

    def take(self, count: int) -> bool:
        """Whether *count* more may start; if so, deducts them."""
        if self._left is None:
            return True
        self._left -= count
        return self._left >= 0


class PythonLoad(Load):
    """Loops that are coroutines, for operations that cost the server much more than Python."""

    def __init__(self, settings: Settings, links: Sequence[Link]) -> None:
        super().__init__(settings, links)
        self.counts = tuple(Tally() for _ in self.parts)
        self._tasks: list[asyncio.Task[None]] = []
        self.budget = Budget(settings.operations)
        self.ending = False

    @abstractmethod
    def loops(self) -> Sequence[Coroutine[Any, Any, None]]:
        """The coroutines; each returns when `ending` is true or the budget is used up."""

    async def prepare(self) -> None:
        """Nothing to prepare."""

    async def check(self) -> None:
        """Nothing to verify."""

    async def clean(self) -> None:
        """Nothing to remove."""

    def make_loops(self) -> None:
        """Nothing to make."""

    def start(self) -> None:
        """Start a task for each loop."""
        self._tasks = [asyncio.ensure_future(loop) for loop in self.loops()]

    def more(self, count: int = 1) -> bool:
        """Whether a loop may start that many more operations."""
        return not self.ending and self.budget.take(count)

    def tallies(self) -> tuple[Tally, ...]:
        """A copy of the counts."""
        return tuple(total([tally]) for tally in self.counts)

    async def finished(self) -> None:
        """Wait for all loops; raises the first error."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()

    async def stop(self) -> None:
        """Give requests in flight a moment to finish, then cancel them."""
        self.ending = True
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=1.0)
        for task in late:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
