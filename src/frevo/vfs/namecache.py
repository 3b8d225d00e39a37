"""Which names of a directory fold to what: scanned once, then kept true by inotify.

A lookup of a name that does not exist must compare it with every name of its directory. Here that scan is
kept: inotify queues a record inside the very system call that changes a directory, so draining the queue
before each lookup leaves no window. Changes that inotify cannot see (another host's, on a network file
system) show as a new modification time without a record, and cause a new scan. Without inotify every lookup
scans."""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import Final

from frevo.aio.acting import acting_as
from frevo.aio.syscalls import openat2, statx
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


class _Directory:
    """One scanned directory: real names by folded name (several where only case differs)."""

    __slots__ = ("count", "names", "seen_change", "stamp", "watch")

    def __init__(self, watch: int) -> None:
        self.watch = watch
        self.names: dict[str, list[str]] = {}
        self.count = 0
        self.stamp = 0  # modification time that the names are known to be true for
        self.seen_change = False  # a record came since then: the modification time may differ

    def add(self, name: str) -> None:
        kept = self.names.setdefault(fold(name), [])
        if name not in kept:
            kept.append(name)
            self.count += 1

    def discard(self, name: str) -> None:
        folded = fold(name)
        kept = self.names.get(folded, [])
        if name in kept:
            kept.remove(name)
            self.count -= 1
            if not kept:
                del self.names[folded]


class NameCache:
    """Finds a directory's real names by folded name; bounded in directories and in names."""

    def __init__(self, *, directories_max: int = DIRECTORIES_MAX, names_max: int = NAMES_MAX) -> None:
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
        """The real name in the directory (O_PATH will do) that folds like *name*; the exact one when it
        exists.

        PermissionError when whoever acts may not list the directory, whoever did before.
        """
        if acting_as() is not None:
            os.close(openat2(directory_fd, b".", os.O_RDONLY | os.O_DIRECTORY))
        kept = self._names(directory_fd).get(fold(name))
        if not kept:
            return None
        return name if name in kept else kept[0]

    def _names(self, directory_fd: int) -> dict[str, list[str]]:
        if self._inotify is None:
            return self._scan(directory_fd, _Directory(-1)).names
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
        return self._learn(self._inotify, directory_fd, key).names

    def _learn(self, inotify: Inotify, directory_fd: int, key: tuple[int, int, int]) -> _Directory:
        try:
            watch = inotify.add(directory_fd, _APPEARS | _VANISHES)
        except OSError:  # the user's limit of watches, or a file system that cannot
            return self._scan(directory_fd, _Directory(-1))
        directory = self._scan(directory_fd, _Directory(watch))
        self._known[key] = directory
        self._by_watch[watch] = key
        self._count += directory.count
        while len(self._known) > self._directories_max or (
            self._count > self._names_max and len(self._known) > 1
        ):
            self._forget(next(iter(self._known)))
        return directory

    def _scan(self, directory_fd: int, directory: _Directory) -> _Directory:
        directory.stamp = statx(directory_fd).mtime
        fd = openat2(directory_fd, b".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            for name in os.listdir(fd):  # noqa: PTH208 (a descriptor)
                directory.add(name)
        finally:
            os.close(fd)
        return directory

    def _forget(self, key: tuple[int, int, int]) -> None:
        directory = self._known.pop(key, None)
        if directory is None:
            return
        self._count -= directory.count
        if self._by_watch.pop(directory.watch, None) is not None and self._inotify is not None:
            self._inotify.remove(directory.watch)

    def _drain(self, inotify: Inotify) -> None:
        while events := inotify.read():
            for event in events:
                self._apply(event)

    def _apply(self, event: Event) -> None:
        if event.mask & IN_Q_OVERFLOW:
            for known in list(self._known):
                self._forget(known)
            return
        key = self._by_watch.get(event.watch)
        if key is None:
            return
        directory = self._known[key]
        if event.mask & IN_IGNORED:  # the directory is gone, its inode number free for another
            self._forget(key)
            return
        before = directory.count
        if event.mask & _APPEARS:
            directory.add(event.name)
        elif event.mask & _VANISHES:
            directory.discard(event.name)
        directory.seen_change = True
        self._count += directory.count - before

    def close(self) -> None:
        """Ends the watches."""
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None
        self._known.clear()
        self._by_watch.clear()
