"""The watch of an open on its directory: the changes since the last response, and the waiting requests."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from frevo.vfs.base import Change, Watch

_ENTRY_SIZE = 12  # fixed part of FILE_NOTIFY_INFORMATION
#: The result for requests that wait on an open.
CHANGED, DELETED = 0, 1


class DirectoryWatch:
    """The watch of one open: the changes since the last response, and the waiting requests. The first request of an
    open determines the filter, the depth, and how much is buffered between requests (its output buffer); later ones
    only fetch changes, as on Windows. `close` ends it."""

    __slots__ = ("changes", "overflown", "size", "size_max", "waiters", "watch")

    def __init__(self, size_max: int) -> None:
        self.changes: list[Change] = []
        self.size = 0
        self.size_max = size_max
        self.overflown = False
        self.waiters: deque[asyncio.Future[int]] = deque()
        self.watch: Watch | None = None

    @property
    def ready(self) -> bool:
        """Whether a request can be answered at once."""
        return bool(self.changes) or self.overflown

    def on_changes(self, changes: Sequence[Change]) -> None:
        """Buffers *changes* as far as they fit, and wakes the request that has waited longest."""
        for change in changes:
            self.size += _ENTRY_SIZE + 2 * len(change.path) + 3 & ~3
            if self.size > self.size_max:
                self.on_overflow()
                return
            if not self.overflown:
                self.changes.append(change)
        self.wake(CHANGED)

    def on_overflow(self) -> None:
        """There were too many changes to list: the client has to read the directory again."""
        self.changes.clear()
        self.overflown = True
        self.wake(CHANGED)

    def wake(self, outcome: int) -> None:
        """Wakes the first request that is still waiting."""
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(outcome)
                return

    def take(self) -> Sequence[Change] | None:
        """Removes and returns the buffered changes; None if there were too many."""
        changes, overflown = self.changes, self.overflown
        self.changes, self.overflown, self.size = [], False, 0
        return None if overflown else changes

    def directory_deleted(self) -> None:
        """Tells all waiting requests that the directory is being deleted."""
        while self.waiters:
            self.wake(DELETED)

    def close(self) -> None:
        """Ends the watch; closing the open ends its waiting requests."""
        if self.watch is not None:
            self.watch.close()
            self.watch = None
