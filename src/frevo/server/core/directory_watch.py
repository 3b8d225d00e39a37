"""The watch that an open has on its directory: what has changed since the last answer, and who waits for the next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from frevo.vfs.base import Change, Watch

_ENTRY_SIZE = 12  # fixed part of FILE_NOTIFY_INFORMATION
#: What the requests that wait on one open hear from their future.
CHANGED, DELETED = 0, 1


class DirectoryWatch:
    """The watch of one open: what happened since the last answer, and who waits for the next. The first request of an
    open decides filter, depth and how much is remembered between requests (its output buffer); later ones only collect,
    as on Windows. `close` ends it.
    """

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
        """Whether a request can be answered now."""
        return bool(self.changes) or self.overflown

    def on_changes(self, changes: Sequence[Change]) -> None:
        """Remembers *changes* as far as they fit, and wakes the request that has waited longest."""
        for change in changes:
            self.size += _ENTRY_SIZE + 2 * len(change.path) + 3 & ~3
            if self.size > self.size_max:
                self.on_overflow()
                return
            if not self.overflown:
                self.changes.append(change)
        self.wake(CHANGED)

    def on_overflow(self) -> None:
        """Too many changes to list: the client has to read the directory again."""
        self.changes.clear()
        self.overflown = True
        self.wake(CHANGED)

    def wake(self, outcome: int) -> None:
        """Lets the first request that still waits go on."""
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(outcome)
                return

    def take(self) -> Sequence[Change] | None:
        """What is remembered, which is forgotten with it; None when it was too much."""
        changes, overflown = self.changes, self.overflown
        self.changes, self.overflown, self.size = [], False, 0
        return None if overflown else changes

    def directory_deleted(self) -> None:
        """Everybody who waits hears that the directory is being deleted."""
        while self.waiters:
            self.wake(DELETED)

    def close(self) -> None:
        """Ends the watch; what waits is ended by whoever closes the open."""
        if self.watch is not None:
            self.watch.close()
            self.watch = None
