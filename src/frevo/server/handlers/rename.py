"""SET_INFO that changes names: rename and hard link ([MS-SMB2] 3.3.5.21.1, [MS-FSA] 2.1.5.15.6, 2.1.5.15.12)."""

from __future__ import annotations

from collections.abc import Awaitable, Generator, Iterator
from itertools import islice, takewhile
from typing import cast

from frevo.errors import SMBError
from frevo.locking.file_table import FileRecord
from frevo.locking.share_modes import FILE_SHARE_READ, FILE_SHARE_WRITE
from frevo.server.core.request import Request
from frevo.server.core.state import Open
from frevo.server.handlers.information import need_access
from frevo.server.rules.deleting import check_not_readonly, check_replaceable, is_delete_pending
from frevo.server.rules.security import check_adding
from frevo.vfs.base import Backend, Handle, Resolved, Unread
from frevo.vfs.names import fold, wire_path_of
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import (
    FileLinkInformation,
    FileRenameInformation,
    FileRenameInformationEx,
    RenameFlags,
)
from frevo.wire.smb2 import DirectoryAccess, FileAccess

_ADD_FILE = int(DirectoryAccess.ADD_FILE)
_REPLACE = int(RenameFlags.REPLACE_IF_EXISTS)
_POSIX = int(RenameFlags.POSIX_SEMANTICS)

#: Opens that a rename checks, or gives their new path, at once; more are handled in turns.
LOOKED_AT_ONCE = 1000
FOLLOWED_AT_ONCE = 200
_END = object()


def set_rename(request: Request, handle: Handle, buffer: bytes) -> Awaitable[None] | None:
    """FileRenameInformation."""
    fields = FileRenameInformation.parse(buffer)
    return _rename(request, handle, fields.root_directory, fields.file_name, replace=fields.replace_if_exists)


def set_rename_ex(request: Request, handle: Handle, buffer: bytes) -> Awaitable[None] | None:
    """FileRenameInformationEx; replacing a file that others have open, as POSIX does, is not supported."""
    fields = FileRenameInformationEx.parse(buffer)
    if fields.flags & _POSIX:
        raise SMBError(NTStatus.NOT_SUPPORTED, "POSIX rename")
    return _rename(
        request, handle, fields.root_directory, fields.file_name, replace=bool(fields.flags & _REPLACE)
    )


def _rename(
    request: Request, handle: Handle, root_directory: int, name: str, *, replace: bool
) -> Awaitable[None] | None:
    need_access(request, FileAccess.DELETE)
    backend, name = _checked(request, root_directory, name)
    if not request.tree.writable:
        raise SMBError(NTStatus.ACCESS_DENIED, "the share is read-only")
    opened = request.open
    _await_followers(opened)
    if name.startswith(":"):
        return _rename_stream(request, handle, backend, name, replace=replace)
    if opened.handle is not None and opened.handle.stream:
        raise SMBError(NTStatus.INVALID_PARAMETER, "a stream cannot become a file")
    target = backend.resolve(name)
    if target.stream:
        raise SMBError(NTStatus.INVALID_PARAMETER, "a file cannot become a stream")
    if opened.is_directory:
        _check_below(request, backend, handle.path)
    _check_parent(request, target)
    same = target.stat is not None and target.stat.identity[:2] == handle.identity[:2]
    if target.stat is not None and not same:
        _check_replaceable(request, target, replace=replace)
    old_path = handle.path
    backend.rename(handle, target, replace=replace)
    return _lead(request, _following(request, backend, handle, old_path))


def _checked(request: Request, root_directory: int, name: str) -> tuple[Backend, str]:
    """The backend, and the new name without the leading backslash that smbclient's `hardlink` sends.

    Raises the errors of a name that do not depend on the file ([MS-FSA] 2.1.5.15.12).
    """
    backend = request.tree.backend
    assert backend is not None
    if root_directory:
        raise SMBError(NTStatus.INVALID_PARAMETER, "RootDirectory")
    name = name.removeprefix("\\")
    if not name:
        raise SMBError(NTStatus.INVALID_PARAMETER, "no target")
    return backend, name


def _rename_stream(
    request: Request, handle: Handle, backend: Backend, name: str, *, replace: bool
) -> Awaitable[None] | None:
    """A name that begins with a colon is a stream of the same file."""
    if not handle.stream:
        raise SMBError(NTStatus.INVALID_PARAMETER, "a file cannot become a stream")
    target = backend.resolve(wire_path_of(handle.path) + name)
    replaces = target.exists and fold(target.stream) != handle.identity.stream
    if replaces and replace:
        check_not_readonly(handle.stat().attributes, handle.path, NTStatus.ACCESS_DENIED)
    if target.exists and request.server.files.find(handle.identity._replace(stream=fold(target.stream))) not in (
        None, request.open.record,
    ):  # fmt: skip
        raise SMBError(NTStatus.INVALID_PARAMETER, "the stream that would be replaced is open")
    backend.rename(handle, target, replace=replace)
    record = request.open.record
    assert record is not None
    if record.identity != handle.identity:
        request.server.files.move(record, handle.identity)
    return _lead(request, _following_stream(record, handle))


def _check_parent(request: Request, target: Resolved) -> None:
    """The directory of the target must allow this user to add a name, and so must its opens: a rename opens it for
    writing, without sharing deletion (as smb2.rename of smbtorture shows)."""
    files, directory = request.server.files, request.open.is_directory
    _, parent = check_adding(request.session, request.tree, files, target, directory=directory)
    record = files.find(parent.identity)
    if record is not None and record.conflicts(_ADD_FILE, FILE_SHARE_READ | FILE_SHARE_WRITE):
        raise SMBError(NTStatus.SHARING_VIOLATION, f"{target.parent!r} is open without sharing")


def _check_replaceable(request: Request, target: Resolved, *, replace: bool) -> None:
    files, directory = request.server.files, request.open.is_directory
    check_replaceable(request.session, request.tree, files, target, replace=replace, directory=directory)


def _check_below(request: Request, backend: Backend, path: str) -> None:
    """Raises ACCESS_DENIED if something below a folder is open. Many opens are checked in pieces, followed by those
    opened meanwhile; if an open file was renamed meanwhile, all are checked once more."""
    server, number = request.server, request.open.volatile_id
    looked, moves = server.looked_below.get(number) or (0, 0)
    if looked:
        server.looked_below[number] = None
        if moves != server.files.moves:
            looked = 0
    newest = islice(takewhile(lambda other: other > looked, reversed(server.opens)), LOOKED_AT_ONCE + 1)
    numbers = tuple(newest)
    if any(_is_below(server.opens.get(other), backend, path) for other in numbers):
        raise SMBError(NTStatus.ACCESS_DENIED, "something below the directory is open")
    if len(numbers) > LOOKED_AT_ONCE:
        raise Unread(lambda: _looking(request, backend, path))


def _looking(request: Request, backend: Backend, path: str) -> Generator[None, None, None]:
    server, opened, moves = request.server, request.open, request.server.files.moves
    numbers = list(server.opens)
    for number in numbers:
        if _is_below(server.opens.get(number), backend, path):
            raise SMBError(NTStatus.ACCESS_DENIED, "something below the directory is open")
        yield
    if opened.volatile_id in server.opens:
        if opened.volatile_id not in server.looked_below:
            opened.on_close.append(lambda: _forget(server.looked_below, opened.volatile_id))
        server.looked_below[opened.volatile_id] = numbers[-1], moves


def _forget(looked_below: dict[int, tuple[int, int] | None], number: int) -> None:
    looked_below.pop(number, None)


def _is_below(opened: Open | None, backend: Backend, path: str) -> bool:
    if opened is None or opened.handle is None or opened.tree.backend is not backend:
        return False
    other = opened.handle.path
    return len(other) > len(path) and other.startswith(path) and (not path or other[len(path)] == "/")


def _lead(request: Request, steps: Generator[None, None, None]) -> Awaitable[None] | None:
    """Gives every open of the renamed file or folder its new path: a few at once, many while only this client waits."""
    record = request.open.record
    assert record is not None
    request.server.files.moves += 1
    for _ in islice(steps, FOLLOWED_AT_ONCE):
        pass
    record.following = rest = _rest(record, steps)
    if next(rest, _END) is _END:
        return None
    return request.server.turns.finish(request.connection.party, rest)


def _rest(record: FileRecord, steps: Iterator[None]) -> Iterator[None]:
    try:
        yield from steps
    finally:
        record.following = None


def _await_followers(opened: Open) -> None:
    """Waits until the opens have the path of the previous rename."""
    following = opened.record.following if opened.record is not None else None
    if following is not None:
        raise Unread(lambda: (None for _ in following))


def _following(
    request: Request, backend: Backend, handle: Handle, old_path: str
) -> Generator[None, None, None]:
    """Gives every open of the file under its old name, and of its streams, the new name."""
    record = request.open.record
    assert record is not None
    new_path = handle.path
    request.open.path = handle.wire_path
    for one in (record, *request.server.files.streams(record.identity)):
        for opened in cast(list[Open], list(one.opens)):
            other = opened.handle
            if other is not None and opened.tree.backend is backend and other.path in (old_path, new_path):
                other.path = new_path  # type: ignore[misc]  # a slot of every handle class
                opened.path = other.wire_path
            yield


def _following_stream(record: FileRecord, handle: Handle) -> Generator[None, None, None]:
    for opened in cast(list[Open], list(record.opens)):
        if opened.handle is not None:
            opened.handle.follow(handle)
            opened.path = opened.handle.wire_path
        yield


def set_link(request: Request, handle: Handle, buffer: bytes) -> None:
    """FileLinkInformation: adds a name to the file ([MS-FSA] 2.1.5.15.6)."""
    fields = FileLinkInformation.parse(buffer)
    backend, name = _checked(request, fields.root_directory, fields.file_name)
    if not request.tree.writable:
        raise SMBError(NTStatus.ACCESS_DENIED, "the share is read-only")
    if is_delete_pending(request.open):
        raise SMBError(NTStatus.ACCESS_DENIED, "the file is being deleted")
    if handle.is_directory or handle.stream:
        raise SMBError(NTStatus.FILE_IS_A_DIRECTORY if handle.is_directory else NTStatus.INVALID_PARAMETER)
    target = backend.resolve(name)
    if target.stream:
        raise SMBError(NTStatus.INVALID_PARAMETER, "a stream cannot have a second name")
    check_adding(request.session, request.tree, request.server.files, target, directory=False)
    if target.stat is not None and target.stat.identity[:2] != handle.identity[:2]:
        _check_replaceable(request, target, replace=fields.replace_if_exists)
    backend.link(handle, target, replace=fields.replace_if_exists)
