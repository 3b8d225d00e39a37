"""Folded names of a directory: scanned once, then kept up to date by inotify.

Looking up a name that does not exist has to compare it with every name of its directory. This cache keeps that scan.
inotify queues a record within the system call that changes a directory, so draining the queue before each look-up
leaves no window. Changes that inotify cannot see (another host's, on a network file system) show as a new modification
time without a record, and cause a new scan. Without inotify, every look-up scans.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Generator
from contextlib import suppress
from itertools import islice
from typing import Final

from frevo.aio.acting import acting_as
from frevo.aio.syscalls import openat2, statx
from frevo.vfs.base import Unread
from frevo.vfs.inotify import (
    IN_CREATE,
    IN_DELETE,
    IN_IGNORED,
    IN_MOVED_FROM,
    IN_MOVED_TO,
    IN_Q_OVERFLOW,
    Event,
    Inotify,
)
from frevo.vfs.names import fold

_APPEARS: Final = IN_CREATE | IN_MOVED_TO
_VANISHES: Final = IN_DELETE | IN_MOVED_FROM
DIRECTORIES_MAX: Final = 256
NAMES_MAX: Final = 500_000
#: Names between two checks of the clock; partly read directories that no one waits for; and directories read for one
#: look-up.
_PIECE: Final = 512
_SCANS_IDLE_MAX: Final = 8
_ONCE_MAX: Final = 8


class _Directory:
    """One scanned directory: real names by folded name; a list only where several differ in case, because half a
    million lists would keep the garbage collector busy."""

    __slots__ = ("count", "names", "seen_change", "stamp", "watch")

    def __init__(self, watch: int) -> None:
        self.watch = watch
        self.names: dict[str, str | list[str]] = {}
        self.count = 0
        self.stamp = 0  # modification time that the names are known to be true for
        self.seen_change = False  # a record came since then: the modification time may differ

    def add(self, name: str) -> None:
        folded = fold(name)
        kept = self.names.get(folded)
        if kept is None:
            self.names[folded] = name
            self.count += 1
        elif isinstance(kept, str):
            if kept != name:
                self.names[folded] = [kept, name]
                self.count += 1
        elif name not in kept:
            kept.append(name)
            self.count += 1

    def discard(self, name: str) -> None:
        folded = fold(name)
        kept = self.names.get(folded)
        if kept == name:
            del self.names[folded]
            self.count -= 1
        elif isinstance(kept, list) and name in kept:
            kept.remove(name)
            self.count -= 1
            if not kept:
                del self.names[folded]


class _Scan:
    """A directory being read."""

    __slots__ = ("_entries", "_fd", "directory", "ended", "events", "key", "users", "void")

    def __init__(self, key: tuple[int, int, int], directory: _Directory, directory_fd: int) -> None:
        self.key = key
        self.directory = directory
        self.events: list[Event] = []  # what happened meanwhile: true, whatever the directory's entries say
        self.ended = False
        self.void = False  # records were lost: not to be kept
        self.users = 0  # who waits for the end
        directory.stamp = statx(directory_fd).mtime
        self._fd = openat2(directory_fd, b".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._entries = os.scandir(self._fd)
        except BaseException:
            os.close(self._fd)
            raise

    def proceed(self, count: int | None) -> None:
        """Read *count* more names, or all."""
        add = self.directory.add
        before = 0
        if self.ended:
            return
        try:
            for entry in islice(self._entries, count):
                add(entry.name)
                before += 1
        except BaseException:
            self.close()
            raise
        if count is None or before < count:
            self.close()

    def close(self) -> None:
        """Stop reading."""
        if not self.ended:
            self.ended = True
            self._entries.close()
            os.close(self._fd)


class NameCache:
    """Finds a directory's real names by folded name; bounded in directories and names. *inline_max* is the number of
    names that a look-up reads at once (None: all); beyond it, it raises Unread."""

    def __init__(
        self,
        *,
        directories_max: int = DIRECTORIES_MAX,
        names_max: int = NAMES_MAX,
        inline_max: int | None = None,
    ) -> None:
        self._inline_max = inline_max
        self._scans: dict[tuple[int, int, int], _Scan] = {}
        #: Names that were read but cannot be cached: valid for the one look-up that waited for them.
        self._once: OrderedDict[tuple[int, int, int], _Directory] = OrderedDict()
        self._directories_max = directories_max
        self._names_max = names_max
        self._count = 0
        self._known: OrderedDict[tuple[int, int, int], _Directory] = OrderedDict()
        self._by_watch: dict[int, tuple[int, int, int]] = {}
        try:
            self._inotify: Inotify | None = Inotify()
        except OSError:
            self._inotify = None

    def find(self, directory_fd: int, name: str) -> str | None:
        """The real name in the directory (may be O_PATH) that folds like *name*; the exact one if it exists. Raises
        Unread if there are too many names to read now, and PermissionError if the acting user may not list the
        directory, even if someone else could."""
        if acting_as() is not None:
            os.close(openat2(directory_fd, b".", os.O_RDONLY | os.O_DIRECTORY))
        kept = self._names(directory_fd).get(fold(name))
        if kept is None or isinstance(kept, str):
            return kept
        return name if name in kept else kept[0]

    def _names(self, directory_fd: int) -> dict[str, str | list[str]]:
        if self._inotify is not None:
            self._drain(self._inotify)
        major, minor, inode, *_, mtime, _flags, _mount, _file_id = statx(directory_fd)
        key = (major, minor, inode)
        known = self._known.get(key)
        if known is not None and (known.stamp == mtime or known.seen_change):
            known.stamp = mtime
            known.seen_change = False
            self._known.move_to_end(key)
            return known.names
        if known is not None:
            self._forget(key)
        once = self._once.pop(key, None)
        if once is not None:
            return once.names
        scan = self._scans.get(key)
        if scan is None:
            scan = self._scan(directory_fd, key)
            scan.proceed(self._inline_max)
        elif self._inline_max is None:
            scan.proceed(None)
        if not scan.ended:
            raise Unread(lambda: self._reading(scan))
        return self._learn(scan).names

    def _scan(self, directory_fd: int, key: tuple[int, int, int]) -> _Scan:
        """Start to read a directory and to keep its records."""
        watch = -1
        if self._inotify is not None:
            with suppress(OSError):  # the user's limit of watches, or a file system that cannot
                watch = self._inotify.add(directory_fd, _APPEARS | _VANISHES)
        scan = _Scan(key, _Directory(watch), directory_fd)
        idle = [key for key, one in self._scans.items() if not one.users]
        for other in idle[_SCANS_IDLE_MAX - 1 :]:
            self._give_up(self._scans[other])
        self._scans[key] = scan
        if watch >= 0:
            self._by_watch[watch] = key
        return scan

    def _reading(self, scan: _Scan) -> Generator[None, None, None]:
        """Continue reading, a piece at each step, shared by all that wait for the same directory."""
        scan.users += 1
        try:
            while not scan.ended:
                scan.proceed(_PIECE)
                yield
            if self._scans.get(scan.key) is scan:
                directory = self._learn(scan)
                if self._known.get(scan.key) is not directory:
                    while len(self._once) >= _ONCE_MAX:
                        self._once.popitem(last=False)
                    self._once[scan.key] = directory
        finally:
            scan.users -= 1
            if not scan.users and self._scans.get(scan.key) is scan:
                self._give_up(scan)

    def _learn(self, scan: _Scan) -> _Directory:
        """Combine the names read with the records that arrived meanwhile; keep them if inotify can update them."""
        if self._inotify is not None:
            self._drain(self._inotify)
        directory, key = scan.directory, scan.key
        if self._scans.pop(key, None) is None:
            return directory
        for event in scan.events:
            self._change(directory, event)
        if directory.watch < 0 or scan.void:
            self._unwatch(directory)
            return directory
        self._known[key] = directory
        self._count += directory.count
        while len(self._known) > self._directories_max or (
            self._count > self._names_max and len(self._known) > 1
        ):
            self._forget(next(iter(self._known)))
        return directory

    def _give_up(self, scan: _Scan) -> None:
        del self._scans[scan.key]
        scan.close()
        self._unwatch(scan.directory)

    def _unwatch(self, directory: _Directory) -> None:
        if self._by_watch.pop(directory.watch, None) is not None and self._inotify is not None:
            self._inotify.remove(directory.watch)

    def _forget(self, key: tuple[int, int, int]) -> None:
        directory = self._known.pop(key, None)
        if directory is not None:
            self._count -= directory.count
            self._unwatch(directory)

    def _drain(self, inotify: Inotify) -> None:
        while events := inotify.read():
            for event in events:
                self._apply(event)

    def _apply(self, event: Event) -> None:
        if event.mask & IN_Q_OVERFLOW:
            for known in list(self._known):
                self._forget(known)
            for scan in self._scans.values():
                scan.void = True
            return
        key = self._by_watch.get(event.watch)
        if key is None:
            return
        reading = self._scans.get(key)
        if reading is not None:
            reading.void = reading.void or bool(event.mask & IN_IGNORED)
            reading.events.append(event)
            return
        directory = self._known[key]
        if event.mask & IN_IGNORED:  # the directory is gone, its inode number free for another
            self._forget(key)
            return
        before = directory.count
        self._change(directory, event)
        self._count += directory.count - before

    @staticmethod
    def _change(directory: _Directory, event: Event) -> None:
        if event.mask & _APPEARS:
            directory.add(event.name)
        elif event.mask & _VANISHES:
            directory.discard(event.name)
        directory.seen_change = True

    def read_inline(self, count_max: int | None) -> None:
        """From now on, look-ups read up to *count_max* names at once; None: any number, in threads that delay no
        one."""
        self._inline_max = count_max

    def close(self) -> None:
        """End the watches."""
        for scan in self._scans.values():
            scan.close()
        self._scans.clear()
        self._once.clear()
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None
        self._known.clear()
        self._by_watch.clear()
