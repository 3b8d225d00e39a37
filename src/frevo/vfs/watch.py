"""Directory watches: one inotify instance per shared folder; its records become the changes of [MS-FSCC] 2.7.1.

A rename within one directory is an OLD_NAME / NEW_NAME pair, between directories REMOVED and ADDED. Recursive watches
put a kernel watch on every directory below, at most `DIRECTORIES_MAX`, and follow new ones. All of this runs in
slices. Changes in a directory that is reached late are reported as "read it again".
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from typing import Final

from frevo.aio.acting import acting_as, as_identity
from frevo.aio.syscalls import statx
from frevo.vfs import inotify as n
from frevo.vfs.base import Change, Quota, Watch
from frevo.vfs.call_runner import CallRunner
from frevo.vfs.changes import (
    ADDED,
    CHANGE_DIR_NAME,
    CHANGE_FILE_NAME,
    CHANGE_SIZE,
    METADATA,
    MODIFIED,
    changes_of,
    is_pair,
)
from frevo.vfs.guard import FolderGuard
from frevo.vfs.longpath import open_directory
from frevo.vfs.names import VetoFiles, disk_to_wire

_MASK: Final = (
    n.IN_CREATE | n.IN_DELETE | n.IN_MOVED_FROM | n.IN_MOVED_TO | n.IN_ATTRIB | n.IN_MODIFY | n.IN_DELETE_SELF
)
#: Kernel watches that one recursive watch may use.
DIRECTORIES_MAX: Final = 4096
#: Seconds of work, and notified watches, after which others get a turn.
SLICE_S: Final = 0.005
TOLD_MAX: Final = 64
#: A rename's second half is that late at most.
_HALF_S: Final = 0.005
#: Entries of a directory, or watches of one, between two looks at the clock.
_STRIDE: Final = 16
_CLOCK_REALTIME_COARSE: Final = 5  # the clock of a file's times
#: When a directory is reached: before the watch starts; as a new one, whose contents are reported as added; or at some
#: time, before which changes in it could not be seen.
_EARLY: Final = 0
_NEW: Final = -1

_Callback = Callable[[Sequence[Change]], None]
_Steps = Generator[None, None, None]


class LocalWatch(Watch):
    """One watched directory."""

    __slots__ = (
        "_hub", "acting", "batch", "filter", "growth", "on_changes", "on_overflow", "quota", "recursive", "root_fd",
        "since_ns", "watches",
    )  # fmt: skip

    def __init__(
        self,
        hub: WatchHub,
        recursive: bool,
        filter: int,
        on_changes: _Callback,
        on_overflow: Callable[[], None],
        quota: Quota | None,
        batch: int,
    ) -> None:
        self._hub: WatchHub | None = hub
        self.acting = acting_as()  # who watches, and by whose rights folders are followed
        self.recursive = recursive
        self.filter = filter
        self.on_changes = on_changes
        self.on_overflow = on_overflow
        self.quota = quota
        self.batch = batch  # records that were read before this one do not concern it
        self.since_ns = _EARLY  # when its subdirectories are reached
        self.root_fd = -1  # the watched directory, kept open for recursive watches
        self.watches: dict[int, str] = {}  # kernel watch -> directory below the watched one, "" itself
        self.growth: deque[tuple[str, int]] = deque()  # directories to be reached, and how

    @property
    def running(self) -> bool:
        """Whether callbacks may still be called."""
        return self._hub is not None

    def catch_up(self) -> None:
        if self._hub is not None:
            self._hub.catch_up()

    def close(self) -> None:
        hub, self._hub = self._hub, None
        if hub is not None:
            hub.elsewhere(lambda: hub.forget(self))


class WatchHub:
    """The inotify instance of one shared folder and all its watches."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        veto: VetoFiles,
        guard: FolderGuard | None = None,
        runner: CallRunner | None = None,
    ) -> None:
        self._loop = loop
        self._veto = veto
        self._guard = guard
        #: Makes the calls if the file system may not respond; None: the loop itself does.
        self.runner = runner
        self._inotify: n.Inotify | None = None
        self._watchers: dict[int, list[LocalWatch]] = {}
        self._announced: set[tuple[int, str]] = set()  # entries found in a new directory before their records
        self._batch = 0  # of records that were read
        self._unread: deque[tuple[int, set[tuple[int, str]], list[n.Event]]] = deque()
        self._growing: deque[LocalWatch] = deque()  # each as often as it has directories to be reached
        self._changes: dict[LocalWatch, list[Change] | None] = {}  # not reported yet; None: too many
        self._steps: _Steps | None = None
        self._scheduled = False

    def watch(
        self,
        fd: int,
        *,
        recursive: bool,
        filter: int,
        on_changes: _Callback,
        on_overflow: Callable[[], None],
        quota: Quota | None = None,
    ) -> LocalWatch:
        """Watch the directory of *fd* (may be O_PATH). OSError if the kernel's limits are reached."""
        if self._inotify is None:
            self._inotify = n.Inotify()
            self._in_loop(self._listen)
        else:
            self._read()  # queued records are older than this watch
        self._batch += 1
        watch = LocalWatch(self, recursive, filter, on_changes, on_overflow, quota, self._batch)
        self._attach(watch, self._inotify.add(fd, _MASK), "")
        if recursive:
            watch.root_fd = os.dup(fd)
            began_ns = _now_ns()
            watch.growth.append(("", _EARLY))
            self._begin(watch)
            watch.since_ns = began_ns
        self._go_on()
        return watch

    def elsewhere(self, call: Callable[[], None]) -> None:
        """Run *call*, which makes system calls, where such calls are allowed."""
        runner = self.runner
        if runner is None:
            call()
        else:
            runner.spawn(lambda: runner.call(call))

    def _in_loop(self, call: Callable[[], None]) -> None:
        if self.runner is None:
            call()
        else:
            self.runner.in_loop(call)

    def _listen(self) -> None:
        if self._inotify is not None:
            self._loop.add_reader(self._inotify.fd, self._on_readable)

    def _on_readable(self, whole: bool = True) -> None:
        if self._inotify is not None:
            self._loop.remove_reader(self._inotify.fd)
            self.elsewhere(lambda: self._read_and_go_on(whole))

    def _read_and_go_on(self, whole: bool) -> None:
        self._read(whole)
        half = self._inotify is not None and self._inotify.half
        self._work()
        self._in_loop(self._wait_for_half if half else self._listen)

    def _wait_for_half(self) -> None:
        self._loop.call_later(_HALF_S, self._on_readable, False)

    def catch_up(self) -> None:
        """See `Watch.catch_up`. A hub of a slow file system is read in its own time."""
        if self.runner is None:
            self._read()
            self._work()

    # -- what there is to do, a slice at a time -----------------------------------------------------------------

    def _go_on(self) -> None:
        """Schedule the remaining work."""
        if self._scheduled or not (self._steps or self._unread or self._growing or self._changes):
            return
        self._scheduled = True
        if self.runner is None:
            self._loop.call_soon(self.elsewhere, self._work_on)  # there may be a runner by then
        else:
            self.runner.in_loop(lambda: self.elsewhere(self._work_on))

    def _work_on(self) -> None:
        self._scheduled = False
        self._work()

    def _work(self) -> None:
        """Do one slice."""
        if self._inotify is None:
            return
        ends = time.perf_counter() + SLICE_S
        if self._steps is None:
            self._steps = self._all_steps()
        for _ in self._steps:
            if time.perf_counter() >= ends or len(self._changes) >= TOLD_MAX:
                break
        else:
            self._steps = None
        changes, self._changes = self._changes, {}
        for watch, found in changes.items():
            self._deliver(watch, found)
        self._go_on()

    def _all_steps(self) -> _Steps:
        while self._unread or self._growing:
            if self._unread:
                yield from self._dispatch(*self._unread.popleft())
            if self._growing:
                yield from self._grow(self._growing.popleft())

    def _begin(self, watch: LocalWatch) -> None:
        """Reach as many directories as one slice allows, before anything else happens; the rest comes later."""
        if self._growing:
            self._growing.extend([watch] * len(watch.growth))
            return
        ends = time.perf_counter() + SLICE_S
        while watch.growth:
            first = watch.growth[0]
            steps = self._grow(watch)
            for _ in steps:
                if time.perf_counter() >= ends:
                    steps.close()
                    watch.growth.appendleft(first)  # anew: this directory may take long
                    ends = 0.0
                    break
            if time.perf_counter() >= ends:
                self._growing.extend([watch] * len(watch.growth))
                return

    def _grow_later(self, watch: LocalWatch, path: str, how: int) -> None:
        if len(watch.growth) >= DIRECTORIES_MAX:
            self._changes[watch] = None
            return
        watch.growth.append((path, how))
        self._growing.append(watch)

    def _deliver(self, watch: LocalWatch, found: Sequence[Change] | None) -> None:
        """Report changes to the watch's owner, in the loop; None: too many to report."""

        def tell() -> None:
            if watch.running:
                watch.on_overflow() if found is None else watch.on_changes(found)

        self._in_loop(tell)

    # -- directories --------------------------------------------------------------------------------------------

    def _attach(self, watch: LocalWatch, number: int, path: str) -> None:
        if number not in watch.watches:
            self._count(watch, 1)
        watch.watches[number] = path
        waiting = self._watchers.setdefault(number, [])
        if watch not in waiting:
            waiting.append(watch)

    def _count(self, watch: LocalWatch, count: int) -> None:
        quota = watch.quota
        if quota is not None and count:
            self._in_loop(lambda: quota.change(count))

    def _grow(self, watch: LocalWatch) -> _Steps:
        """Reach the next directory of *watch*, with the watcher's rights."""
        if not watch.growth:
            return
        path, how = watch.growth.popleft()
        steps = self._enter(watch, path, how or watch.since_ns)
        try:
            while watch.root_fd >= 0 and self._inotify is not None:
                with as_identity(watch.acting):
                    if next(steps, True):
                        return
                yield
        finally:
            steps.close()

    def _enter(self, watch: LocalWatch, path: str, how: int) -> _Steps:
        """Follow one directory and then its contents. *how*: `_EARLY`, `_NEW`, or the time since which changes are
        reported."""
        with suppress(OSError):
            fd = open_directory(watch.root_fd, path)
            try:
                assert self._inotify is not None
                number = -1
                if path:
                    if len(watch.watches) >= DIRECTORIES_MAX or not (
                        watch.quota is None or watch.quota.room()
                    ):
                        return
                    if self._is_secret(fd):
                        return
                    number = self._inotify.add(fd, _MASK)
                    self._attach(watch, number, path)
                    if how > 0 and os.fstat(fd).st_ctime_ns >= how:
                        self._changes[watch] = None
                yield from self._look_into(watch, fd, number, path, how)
            finally:
                os.close(fd)
            if how == _NEW:  # listed entries are not reported again
                self._read()
                self._announced = set()

    def _look_into(self, watch: LocalWatch, fd: int, number: int, path: str, how: int) -> _Steps:
        late = how > 0 and path and watch.filter & (METADATA | CHANGE_SIZE)
        with os.scandir(fd) as entries:
            for count, entry in enumerate(entries):
                if count % _STRIDE == _STRIDE - 1:
                    yield
                if self._veto.hides(entry.name):
                    continue
                is_directory = entry.is_dir(follow_symlinks=False)
                below = f"{path}/{entry.name}" if path else entry.name
                if how == _NEW:
                    self._announced.add((number, entry.name))
                    bits = CHANGE_DIR_NAME if is_directory else CHANGE_FILE_NAME
                    self._report(watch, below, [(ADDED, bits)])
                elif late and self._changes.get(watch, ()) is not None:
                    with suppress(OSError):
                        if entry.stat(follow_symlinks=False).st_ctime_ns >= how:
                            self._changes[watch] = None
                if is_directory and len(watch.watches) + len(watch.growth) < DIRECTORIES_MAX:
                    if how == _EARLY:
                        watch.growth.append((below, how))
                    else:
                        self._grow_later(watch, below, how)

    def _is_secret(self, fd: int) -> bool:
        return self._guard is not None and self._guard.hides(statx(fd))

    def forget(self, watch: LocalWatch) -> None:
        """End *watch*; the last one also ends the inotify instance."""
        if watch.root_fd >= 0:
            os.close(watch.root_fd)
            watch.root_fd = -1
        watch.growth.clear()
        self._count(watch, -len(watch.watches))
        for number in watch.watches:
            self._detach(watch, number)
        watch.watches = {}
        self._changes.pop(watch, None)
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
        steps, self._steps = self._steps, None
        if steps is not None:
            steps.close()
        self._unread.clear()
        self._growing.clear()
        self._announced.clear()
        self._changes.clear()

        def end() -> None:
            if not self._loop.is_closed():
                self._loop.remove_reader(inotify.fd)
            inotify.close()

        self._in_loop(end)

    def close(self) -> None:
        """End all watches."""
        for watch in self._all():
            watch.close()
        self._stop()

    def _all(self) -> list[LocalWatch]:
        return list(dict.fromkeys(watch for waiting in self._watchers.values() for watch in waiting))

    # -- records ------------------------------------------------------------------------------------------------

    def _read(self, whole: bool = False) -> None:
        """Read the queue: all that the kernel holds, a few megabytes, and everything that arrives meanwhile."""
        while self._inotify is not None and (events := self._inotify.read(whole=whole)):
            self._unread.append((self._batch, self._announced, events))

    def _dispatch(self, batch: int, told: set[tuple[int, str]], events: list[n.Event]) -> _Steps:
        if self._veto.any:  # before renames are paired: half of one that is not shown is an end, or a beginning
            events = [event for event in events if not event.name or not self._veto.hides(event.name)]
        for index, event in enumerate(events):
            if event.mask & n.IN_Q_OVERFLOW:
                for watch in self._all():
                    self._changes[watch] = None
                    yield
            elif event.mask & n.IN_IGNORED:
                self._ended(event.watch)
            elif event.mask & n.IN_CREATE and (event.watch, event.name) in told:
                continue
            elif event.name and not (index and is_pair(events[index - 1], event)):  # reported with the old name
                pair = index + 1 < len(events) and is_pair(event, events[index + 1])
                yield from self._translate(batch, events, [index, index + 1] if pair else [index])

    def _ended(self, number: int) -> None:
        for watch in self._watchers.pop(number, []):
            if watch.watches.pop(number, None) is not None:
                self._count(watch, -1)

    def _translate(self, batch: int, events: list[n.Event], together: list[int]) -> _Steps:
        """Report a record (or both records of a rename) to all watches of its directory."""
        found = [(events[i], changes_of(events, i, bool(events[i].mask & n.IN_ISDIR))) for i in together]
        number = found[0][0].watch
        for watch in list(self._watchers.get(number, ())):
            for event, changes in found:
                directory = watch.watches.get(number)
                if directory is None or watch.batch > batch or (directory and not watch.recursive):
                    break
                path = f"{directory}/{event.name}" if directory else event.name
                self._report(watch, path, changes)
                if watch.recursive and event.mask & n.IN_ISDIR:
                    self._follow(watch, event, path)
            yield

    def _report(self, watch: LocalWatch, path: str, found: list[tuple[int, int]]) -> None:
        wire = "\\".join(disk_to_wire(name) for name in path.split("/"))
        for action, bits in found:
            if not bits & watch.filter:
                continue
            known = self._changes.setdefault(watch, [])
            if known is None:
                return
            if (
                action == MODIFIED and known and known[-1][:2] == (MODIFIED, wire)
            ):  # one change in several steps
                known[-1] = known[-1]._replace(filter=known[-1].filter | bits)
            else:
                known.append(Change(action, wire, bits))
            return

    def _follow(self, watch: LocalWatch, event: n.Event, path: str) -> None:
        """Update a recursive watch when a directory appears or disappears."""
        if event.mask & n.IN_MOVED_FROM:
            self._lose(watch, path)
        elif event.mask & (n.IN_CREATE | n.IN_MOVED_TO):
            self._grow_later(watch, path, _NEW if event.mask & n.IN_CREATE else time.time_ns())
        elif event.mask & n.IN_ATTRIB and watch.acting is not None:
            with as_identity(watch.acting):
                self._look_again(watch, path)

    def _look_again(self, watch: LocalWatch, path: str) -> None:
        """The rights of a directory changed: a watcher who may no longer list it gets no more reports of it; one who
        now may, does."""
        followed = path in watch.watches.values()
        try:
            os.close(open_directory(watch.root_fd, path))
        except OSError:
            if followed:
                self._lose(watch, path)
        else:
            if not followed:
                self._grow_later(watch, path, time.time_ns())

    def _lose(self, watch: LocalWatch, path: str) -> None:
        """End the kernel watches of a directory below the watched one, and of everything below it."""
        gone = [w for w, below in watch.watches.items() if below == path or below.startswith(path + "/")]
        for number in gone:
            del watch.watches[number]
            self._detach(watch, number)
        self._count(watch, -len(gone))


def _now_ns() -> int:
    return time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)
