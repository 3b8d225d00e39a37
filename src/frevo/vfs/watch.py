"""Directory watches: one inotify instance per tree, its records turned into the changes of [MS-FSCC] 2.7.1.

A rename inside one directory is an OLD_NAME / NEW_NAME pair, between directories REMOVED and ADDED. Recursive
watches put a kernel watch on every directory below, as many as `DIRECTORIES_MAX`; what appears is followed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Final

from frevo.aio.acting import acting_as, as_identity
from frevo.aio.syscalls import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2, statx
from frevo.vfs import inotify as n
from frevo.vfs.base import Change, Watch
from frevo.vfs.courier import Courier
from frevo.vfs.guard import TreeGuard
from frevo.vfs.names import VetoFiles, disk_to_wire

ADDED: Final = 1
REMOVED: Final = 2
MODIFIED: Final = 3
RENAMED_OLD_NAME: Final = 4
RENAMED_NEW_NAME: Final = 5

CHANGE_FILE_NAME: Final = 0x1
CHANGE_DIR_NAME: Final = 0x2
CHANGE_ATTRIBUTES: Final = 0x4
CHANGE_SIZE: Final = 0x8
CHANGE_LAST_WRITE: Final = 0x10
CHANGE_LAST_ACCESS: Final = 0x20
CHANGE_CREATION: Final = 0x40
CHANGE_EA: Final = 0x80
CHANGE_SECURITY: Final = 0x100

#: inotify does not say which metadata changed.
_METADATA: Final = (
    CHANGE_ATTRIBUTES | CHANGE_LAST_WRITE | CHANGE_LAST_ACCESS | CHANGE_CREATION | CHANGE_EA | CHANGE_SECURITY
)
_MASK: Final = (
    n.IN_CREATE | n.IN_DELETE | n.IN_MOVED_FROM | n.IN_MOVED_TO | n.IN_ATTRIB | n.IN_MODIFY | n.IN_DELETE_SELF
)
#: Kernel watches that one recursive watch may use.
DIRECTORIES_MAX: Final = 4096

_Callback = Callable[[Sequence[Change]], None]


class LocalWatch(Watch):
    """One watched directory."""

    __slots__ = ("_hub", "acting", "filter", "on_changes", "on_overflow", "recursive", "root_fd", "watches")

    def __init__(
        self,
        hub: WatchHub,
        recursive: bool,
        filter: int,
        on_changes: _Callback,
        on_overflow: Callable[[], None],
    ) -> None:
        self._hub: WatchHub | None = hub
        self.acting = acting_as()  # who watches, and by whose rights folders are followed
        self.recursive = recursive
        self.filter = filter
        self.on_changes = on_changes
        self.on_overflow = on_overflow
        self.root_fd = -1  # the watched directory, kept open for recursive watches
        self.watches: dict[int, str] = {}  # kernel watch -> directory below the watched one, "" itself

    @property
    def running(self) -> bool:
        """Whether callbacks may still come."""
        return self._hub is not None

    def close(self) -> None:
        hub, self._hub = self._hub, None
        if hub is not None:
            hub.elsewhere(lambda: hub.forget(self))


class WatchHub:
    """The inotify instance of one tree and everybody who waits for it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        veto: VetoFiles,
        guard: TreeGuard | None = None,
        courier: Courier | None = None,
    ) -> None:
        self._loop = loop
        self._veto = veto
        self._guard = guard
        #: Who calls the file system, when it may not answer; None: the loop itself does.
        self.courier = courier
        self._inotify: n.Inotify | None = None
        self._watchers: dict[int, list[LocalWatch]] = {}
        self._announced: set[tuple[int, str]] = (
            set()
        )  # entries found in a new directory before its records came

    def watch(
        self, fd: int, *, recursive: bool, filter: int, on_changes: _Callback, on_overflow: Callable[[], None]
    ) -> LocalWatch:
        """Watches the directory behind *fd* (O_PATH will do). OSError when the kernel's limits are
        reached.
        """
        if self._inotify is None:
            self._inotify = n.Inotify()
            self._in_loop(self._listen)
        else:
            self._readable()  # what is queued happened before this watch began
        watch = LocalWatch(self, recursive, filter, on_changes, on_overflow)
        self._attach(watch, self._inotify.add(fd, _MASK), "")
        if recursive:
            watch.root_fd = os.dup(fd)
            self._descend(watch, fd, "")
        return watch

    def elsewhere(self, call: Callable[[], None]) -> None:
        """Calls *call*, which makes system calls, where such calls are made."""
        courier = self.courier
        if courier is None:
            call()
        else:
            courier.spawn(lambda: courier.call(call))

    def _in_loop(self, call: Callable[[], None]) -> None:
        if self.courier is None:
            call()
        else:
            self.courier.in_loop(call)

    def _listen(self) -> None:
        if self._inotify is not None:
            self._loop.add_reader(self._inotify.fd, self._on_readable)

    def _on_readable(self) -> None:
        if self.courier is None:
            self._readable()
        elif self._inotify is not None:
            self._loop.remove_reader(self._inotify.fd)
            self.elsewhere(self._read_elsewhere)

    def _read_elsewhere(self) -> None:
        self._readable()
        self._in_loop(self._listen)

    def _deliver(self, watch: LocalWatch, found: Sequence[Change] | None) -> None:
        """Tells the watch's owner, in the loop, what was found; None: too much to tell."""

        def tell() -> None:
            if watch.running:
                watch.on_overflow() if found is None else watch.on_changes(found)

        self._in_loop(tell)

    def _attach(self, watch: LocalWatch, number: int, path: str) -> None:
        watch.watches[number] = path
        waiting = self._watchers.setdefault(number, [])
        if watch not in waiting:
            waiting.append(watch)

    def _descend(self, watch: LocalWatch, fd: int, path: str) -> None:
        """Puts kernel watches on all directories below *fd*, breadth first, until the limit."""
        todo = [(os.dup(fd), path)]
        try:
            while todo:
                directory, below = todo.pop(0)
                try:
                    todo += self._attach_children(watch, directory, below)
                finally:
                    os.close(directory)
        finally:
            for directory, _ in todo:
                os.close(directory)

    def _attach_children(self, watch: LocalWatch, fd: int, path: str) -> list[tuple[int, str]]:
        children: list[tuple[int, str]] = []
        for name in _subdirectories(fd):
            if self._veto.hides(name):  # nor does anything below it exist
                continue
            if len(watch.watches) >= DIRECTORIES_MAX or self._inotify is None:
                break
            try:
                child = _open_directory(fd, name)
            except OSError:
                continue
            if self._is_secret(child):
                os.close(child)
                continue
            below = f"{path}/{name}" if path else name
            try:
                self._attach(watch, self._inotify.add(child, _MASK), below)
            except OSError:
                os.close(child)
                break
            children.append((child, below))
        return children

    def _is_secret(self, fd: int) -> bool:
        return self._guard is not None and self._guard.hides(statx(fd))

    def forget(self, watch: LocalWatch) -> None:
        """Ends *watch*; the last one ends the inotify instance."""
        if watch.root_fd >= 0:
            os.close(watch.root_fd)
            watch.root_fd = -1
        for number in watch.watches:
            self._detach(watch, number)
        watch.watches = {}
        if not self._watchers:
            self._stop()

    def _detach(self, watch: LocalWatch, number: int) -> None:
        waiting = self._watchers.get(number)
        if waiting is None or watch not in waiting:
            return
        waiting.remove(watch)
        if not waiting:
            del self._watchers[number]
            if self._inotify is not None:
                self._inotify.remove(number)

    def _stop(self) -> None:
        inotify, self._inotify = self._inotify, None
        if inotify is None:
            return

        def end() -> None:
            if not self._loop.is_closed():
                self._loop.remove_reader(inotify.fd)
            inotify.close()

        self._in_loop(end)

    def close(self) -> None:
        """Ends all watches."""
        for watch in {id(w): w for waiting in self._watchers.values() for w in waiting}.values():
            watch.close()
        self._stop()

    def _readable(self) -> None:
        while self._inotify is not None and (events := self._inotify.read()):
            self._dispatch(events)
        self._announced.clear()

    def _dispatch(self, events: list[n.Event]) -> None:
        changes: dict[LocalWatch, list[Change]] = {}
        overflow = False
        if self._veto:  # before renames are paired: half of one that is not shown is an end, or a beginning
            events = [event for event in events if not event.name or not self._veto.hides(event.name)]
        for index, event in enumerate(events):
            if event.mask & n.IN_Q_OVERFLOW:
                overflow = True
            elif event.mask & n.IN_IGNORED:
                self._ended(event.watch)
            elif event.name:
                self._translate(events, index, changes)
        if overflow:
            for watch in {id(w): w for waiting in self._watchers.values() for w in waiting}.values():
                self._deliver(watch, None)
        for watch, found in changes.items():
            self._deliver(watch, found)

    def _ended(self, number: int) -> None:
        for watch in self._watchers.pop(number, []):
            watch.watches.pop(number, None)

    def _translate(self, events: list[n.Event], index: int, changes: dict[LocalWatch, list[Change]]) -> None:
        event = events[index]
        is_directory = bool(event.mask & n.IN_ISDIR)
        if event.mask & n.IN_CREATE and (event.watch, event.name) in self._announced:
            return
        found = _changes_of(events, index, is_directory)
        for watch in list(self._watchers.get(event.watch, ())):
            directory = watch.watches[event.watch]
            if directory and not watch.recursive:
                continue
            path = f"{directory}/{event.name}" if directory else event.name
            self._report(watch, path, found, changes)
            if watch.recursive and is_directory:
                self._follow(watch, event, path, changes)

    def _report(
        self,
        watch: LocalWatch,
        path: str,
        found: list[tuple[int, int]],
        changes: dict[LocalWatch, list[Change]],
    ) -> None:
        wire = "\\".join(disk_to_wire(name) for name in path.split("/"))
        for action, bits in found:
            if not bits & watch.filter:
                continue
            known = changes.setdefault(watch, [])
            if (
                action == MODIFIED and known and known[-1][:2] == (MODIFIED, wire)
            ):  # one change in several steps
                known[-1] = known[-1]._replace(filter=known[-1].filter | bits)
            else:
                known.append(Change(action, wire, bits))
            return

    def _follow(
        self, watch: LocalWatch, event: n.Event, path: str, changes: dict[LocalWatch, list[Change]]
    ) -> None:
        """Keeps a recursive watch true when a directory comes or goes, by the rights of who watches."""
        if event.mask & n.IN_MOVED_FROM:
            self._lose(watch, path)
        elif event.mask & (n.IN_CREATE | n.IN_MOVED_TO) and event.watch in watch.watches:
            with as_identity(watch.acting):
                self._enter(watch, event, path, changes)
        elif event.mask & n.IN_ATTRIB and watch.acting is not None and event.watch in watch.watches:
            with as_identity(watch.acting):
                self._look_again(watch, event, path, changes)

    def _look_again(
        self, watch: LocalWatch, event: n.Event, path: str, changes: dict[LocalWatch, list[Change]]
    ) -> None:
        """A directory got other rights: who may not list it any more hears nothing of it, who may now does."""
        followed = path in watch.watches.values()
        fd = self._open_below(watch, path)
        if fd is not None:
            os.close(fd)
        if fd is None and followed:
            self._lose(watch, path)
        elif fd is not None and not followed:
            self._enter(watch, event, path, changes)

    def _lose(self, watch: LocalWatch, path: str) -> None:
        """Ends the kernel watches of a directory below the watched one, and of all below it."""
        gone = [w for w, below in watch.watches.items() if below == path or below.startswith(path + "/")]
        for number in gone:
            del watch.watches[number]
            self._detach(watch, number)

    def _enter(
        self, watch: LocalWatch, event: n.Event, path: str, changes: dict[LocalWatch, list[Change]]
    ) -> None:
        """Follows a new directory; what is in it already is reported as added, unless it came with a move."""
        fd = self._open_below(watch, path)
        if fd is None or self._inotify is None:
            return
        try:
            if len(watch.watches) >= DIRECTORIES_MAX or self._is_secret(fd):
                return
            number = self._inotify.add(fd, _MASK)
            self._attach(watch, number, path)
            if event.mask & n.IN_CREATE:
                for name, is_directory in _entries(fd):
                    if self._veto.hides(name):
                        continue
                    self._announced.add((number, name))
                    bits = CHANGE_DIR_NAME if is_directory else CHANGE_FILE_NAME
                    self._report(watch, f"{path}/{name}", [(ADDED, bits)], changes)
            self._descend(watch, fd, path)
        except OSError:
            return
        finally:
            os.close(fd)

    def _open_below(self, watch: LocalWatch, path: str) -> int | None:
        try:
            return _open_directory(watch.root_fd, path)
        except OSError:
            return None


def _changes_of(events: list[n.Event], index: int, is_directory: bool) -> list[tuple[int, int]]:
    """(action, filter bits) of one record; the first that a watch asks for is what it gets.

    The record's neighbours tell a rename and what belongs to a creation.
    """
    event = events[index]
    name_bits = CHANGE_DIR_NAME if is_directory else CHANGE_FILE_NAME
    if event.mask & n.IN_CREATE:
        return [(ADDED, name_bits)]
    if event.mask & n.IN_DELETE:
        return [(REMOVED, name_bits)]
    if event.mask & n.IN_MOVED_FROM:
        pair = _is_pair(event, events[index + 1]) if index + 1 < len(events) else False
        return [(RENAMED_OLD_NAME if pair else REMOVED, name_bits)]
    if event.mask & n.IN_MOVED_TO:
        pair = index > 0 and _is_pair(events[index - 1], event)
        found = [(RENAMED_NEW_NAME if pair else ADDED, name_bits)]
        # Who does not ask for names hears of a renamed file, not of a directory, as of a change.
        return found if is_directory else [*found, (MODIFIED, CHANGE_ATTRIBUTES | CHANGE_CREATION)]
    if event.mask & n.IN_ATTRIB:
        return [] if _belongs_to_creation(events, index) else [(MODIFIED, _METADATA)]
    if event.mask & n.IN_MODIFY:
        return [(MODIFIED, CHANGE_SIZE | CHANGE_LAST_WRITE)]
    return []


def _is_pair(old: n.Event, new: n.Event) -> bool:
    both = old.mask & n.IN_MOVED_FROM and new.mask & n.IN_MOVED_TO
    return bool(both) and old.cookie == new.cookie and old.watch == new.watch


def _belongs_to_creation(events: list[n.Event], index: int) -> bool:
    """Whether these are the first attributes of what has just been created: one change, not two."""
    event = events[index]
    before = events[index - 1] if index else None
    return (
        before is not None
        and bool(before.mask & n.IN_CREATE)
        and (before.watch, before.name) == (event.watch, event.name)
    )


def _open_directory(fd: int, path: str) -> int:
    resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
    return openat2(fd, os.fsencode(path) or b".", os.O_RDONLY | os.O_DIRECTORY, 0, resolve)


def _entries(fd: int) -> list[tuple[str, bool]]:
    with os.scandir(fd) as entries:
        return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]


def _subdirectories(fd: int) -> list[str]:
    try:
        own = _open_directory(fd, "")
    except OSError:
        return []
    try:
        return [name for name, is_directory in _entries(own) if is_directory]
    except OSError:
        return []
    finally:
        os.close(own)
