"""CHANGE_NOTIFY: tells a client what changes in a directory ([MS-SMB2] 3.3.5.19, [MS-FSA] 2.1.5.11)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Sequence

from frevo.errors import SMBError
from frevo.locking.file_table import FileRecord
from frevo.server.core.budget import Budget
from frevo.server.core.request import Request
from frevo.server.core.state import Open
from frevo.vfs.base import Change, Watch
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import Notification, pack_notifications
from frevo.wire.smb2 import ChangeNotifyRequest, ChangeNotifyResponse, DirectoryAccess, NotifyFlags

_LIST = int(DirectoryAccess.LIST_DIRECTORY)
_WATCH_TREE = int(NotifyFlags.WATCH_TREE)
_FILTERS = 0xFFF
_ENTRY_SIZE = 12  # fixed part of FILE_NOTIFY_INFORMATION

#: Most bytes of changes that one open is remembered, whatever its output buffer; beyond it the client reads the
#: directory again, as Windows clients do all the time.
REMEMBERED_BYTES_MAX = 1 << 17

#: What the requests that wait on one open hear from their future.
_CHANGED, _DELETED = 0, 1


class DirectoryWatch:
    """The watch of one open: what happened since the last answer, and who waits for the next.

    The first request of an open decides filter, depth and how much is remembered between requests (its output
    buffer); later ones only collect, as on Windows. `closed` ends it.
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
        self.wake(_CHANGED)

    def on_overflow(self) -> None:
        """Too much happened to be told one by one: the client has to read the directory again."""
        self.changes.clear()
        self.overflown = True
        self.wake(_CHANGED)

    def wake(self, outcome: int) -> None:
        """Lets the first request that still waits go on."""
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(outcome)
                return

    def take(self, request: Request, length_max: int) -> bytes:
        """The answer from what is remembered, which is forgotten with it; NOTIFY_ENUM_DIR when it does not fit.

        Reference: [MS-SMB2] 3.3.4.4.
        """
        changes, overflown = self.changes, self.overflown
        self.changes, self.overflown, self.size = [], False, 0
        buffer = b""
        if not overflown:
            buffer = pack_notifications([Notification(change.action, change.path) for change in changes])
        if overflown or len(buffer) > length_max:
            request.status = NTStatus.NOTIFY_ENUM_DIR
            buffer = b""
        return ChangeNotifyResponse(buffer).pack()

    def close(self) -> None:
        """Stops watching."""
        if self.watch is not None:
            self.watch.close()
            self.watch = None


class _Folders:
    """The folders that a user's watches have, for its budget: what finds no room is not watched."""

    def __init__(self, budget: Budget, user: str) -> None:
        self._budget, self._user = budget, user

    def room(self) -> bool:
        """Whether there may be one more."""
        return self._budget.room(self._user)

    def change(self, count: int) -> None:
        """There are *count* more, or less."""
        if count > 0:
            self._budget.take(self._user, count)
        else:
            self._budget.give(self._user, -count)


def handle(request: Request) -> bytes | Awaitable[bytes]:
    """Answers at once when something has happened since the last request of this open, else waits."""
    asked = ChangeNotifyRequest.parse(request.message)
    opened = request.open
    if asked.output_buffer_length > request.connection.max_transact:
        raise SMBError(NTStatus.INVALID_PARAMETER, f"OutputBufferLength {asked.output_buffer_length}")
    if not opened.is_directory:
        raise SMBError(NTStatus.INVALID_PARAMETER, "only directories can be watched")
    if not opened.granted_access & _LIST:
        raise SMBError(NTStatus.ACCESS_DENIED, "watching needs FILE_LIST_DIRECTORY")
    if opened.record is not None and opened.record.delete_pending:
        raise SMBError(NTStatus.DELETE_PENDING, "the directory is being deleted")
    state: DirectoryWatch | None = opened.notify
    if state is None:
        state = _start(request, opened, asked)
    if state.ready and not state.waiters:
        return state.take(request, asked.output_buffer_length)
    return _wait(request, state, asked.output_buffer_length)


def _start(request: Request, opened: Open, asked: ChangeNotifyRequest) -> DirectoryWatch:
    """Begins to watch for an open; the watch lives until the open is closed."""
    assert opened.handle is not None
    budget, user = request.server.budgets.watches, opened.session.user
    budget.check(user)
    state = DirectoryWatch(min(asked.output_buffer_length, REMEMBERED_BYTES_MAX))
    recursive = bool(asked.flags & _WATCH_TREE)
    wanted = asked.completion_filter & _FILTERS
    quota = _Folders(request.server.budgets.folders, user)
    state.watch = opened.handle.watch(recursive, wanted, state.on_changes, state.on_overflow, quota)
    opened.notify = state
    opened.on_close.append(state.close)
    budget.take(user)
    opened.on_close.append(lambda: budget.give(user))
    return state


async def _wait(request: Request, state: DirectoryWatch, length_max: int) -> bytes:
    """Waits for a change, first come, first served. When the open is closed meanwhile, the client hears
    NOTIFY_CLEANUP; when the directory goes away, DELETE_PENDING."""
    changed: asyncio.Future[int] = request.server.loop.create_future()
    state.waiters.append(changed)
    try:
        outcome = await request.wait(changed)
    except SMBError:
        if request.open.volatile_id not in request.server.opens:
            raise SMBError(NTStatus.NOTIFY_CLEANUP) from None
        raise
    finally:
        if changed in state.waiters:
            state.waiters.remove(changed)
    if outcome == _DELETED:
        raise SMBError(NTStatus.DELETE_PENDING, "the directory is being deleted")
    return state.take(request, length_max)


def directory_is_going(record: FileRecord) -> None:
    """A directory got delete-pending: everyone who waits for changes in it hears DELETE_PENDING.

    Called whenever `record.delete_pending` becomes true.
    """
    for opened in record.opens:
        state = getattr(opened, "notify", None)
        while state is not None and state.waiters:
            state.wake(_DELETED)
