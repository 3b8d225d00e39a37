"""CHANGE_NOTIFY: tells a client what changes in a directory ([MS-SMB2] 3.3.5.19, [MS-FSA] 2.1.5.11)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from frevo.errors import SMBError
from frevo.server.core.budget import Budget
from frevo.server.core.directory_watch import DELETED, DirectoryWatch
from frevo.server.core.request import Request
from frevo.server.core.state import Open
from frevo.server.rules.deleting import is_delete_pending
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import Notification, pack_notifications
from frevo.wire.smb2 import ChangeNotifyRequest, ChangeNotifyResponse, DirectoryAccess, NotifyFlags

_LIST = int(DirectoryAccess.LIST_DIRECTORY)
_WATCH_TREE = int(NotifyFlags.WATCH_TREE)
_FILTERS = 0xFFF

#: Most bytes of changes kept for one open, however large its output buffer; beyond that the client is told to read the
#: directory again.
REMEMBERED_BYTES_MAX = 1 << 17


class _Folders:
    """The watched folders of a user, for its budget: folders beyond it are not watched."""

    def __init__(self, budget: Budget, user: str) -> None:
        self._budget, self._user = budget, user

    def room(self) -> bool:
        """Whether one more may be watched."""
        return self._budget.room(self._user)

    def change(self, count: int) -> None:
        """Counts *count* more, or less if negative."""
        if count > 0:
            self._budget.take(self._user, count)
        else:
            self._budget.give(self._user, -count)


def handle(request: Request) -> bytes | Awaitable[bytes]:
    """Answers at once if there were changes since the last request of this open, otherwise waits."""
    fields = ChangeNotifyRequest.parse(request.message)
    opened = request.open
    if fields.output_buffer_length > request.connection.max_transact:
        raise SMBError(NTStatus.INVALID_PARAMETER, f"OutputBufferLength {fields.output_buffer_length}")
    if not opened.is_directory:
        raise SMBError(NTStatus.INVALID_PARAMETER, "only directories can be watched")
    if not opened.granted_access & _LIST:
        raise SMBError(NTStatus.ACCESS_DENIED, "watching needs FILE_LIST_DIRECTORY")
    if is_delete_pending(opened):
        raise SMBError(NTStatus.DELETE_PENDING, "the directory is being deleted")
    state = opened.watch
    if state is None:
        state = _start(request, opened, fields)
    elif not state.waiters and state.watch is not None:
        # Changes made before this request belong in its response, even if the loop was too busy to read them.
        state.watch.catch_up()
    if state.ready and not state.waiters:
        return _answer(request, state, fields.output_buffer_length)
    return _wait(request, state, fields.output_buffer_length)


def _start(request: Request, opened: Open, fields: ChangeNotifyRequest) -> DirectoryWatch:
    """Starts the watch of an open, which lasts until the open is closed."""
    assert opened.handle is not None
    budget, user = request.server.budgets.watches, opened.session.user
    budget.check(user)
    state = DirectoryWatch(min(fields.output_buffer_length, REMEMBERED_BYTES_MAX))
    recursive = bool(fields.flags & _WATCH_TREE)
    wanted = fields.completion_filter & _FILTERS
    quota = _Folders(request.server.budgets.folders, user)
    state.watch = opened.handle.watch(recursive, wanted, state.on_changes, state.on_overflow, quota)
    opened.watch = state
    opened.on_close.append(state.close)
    budget.take(user)
    opened.on_close.append(lambda: budget.give(user))
    return state


def _answer(request: Request, state: DirectoryWatch, length_max: int) -> bytes:
    """The changes; NOTIFY_ENUM_DIR if they do not fit, or if the user does not read its responses ([MS-SMB2]
    3.3.4.4)."""
    changes = state.take()
    buffer = b""
    if changes is not None:
        buffer = pack_notifications([Notification(change.action, change.path) for change in changes])
    if changes is None or len(buffer) > length_max or request.server.reads_nothing(request.session.user):
        request.status = NTStatus.NOTIFY_ENUM_DIR
        buffer = b""
    return ChangeNotifyResponse(buffer).pack()


async def _wait(request: Request, state: DirectoryWatch, length_max: int) -> bytes:
    """Waits for a change, first come, first served. If the open is closed meanwhile, the client gets NOTIFY_CLEANUP; if
    the directory is deleted, DELETE_PENDING."""
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
    if outcome == DELETED:
        raise SMBError(NTStatus.DELETE_PENDING, "the directory is being deleted")
    return _answer(request, state, length_max)
