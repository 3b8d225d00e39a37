"""SET_INFO that changes names: rename and hard link ([MS-SMB2] 3.3.5.21.1, [MS-FSA] 2.1.5.15.6, 2.1.5.15.12)."""

from __future__ import annotations

from collections.abc import Iterator

from frevo.errors import SMBError
from frevo.locking.share_modes import FILE_SHARE_READ, FILE_SHARE_WRITE, conflicts
from frevo.server.core.request import Request
from frevo.server.core.state import Open
from frevo.server.handlers.information import need_access
from frevo.server.rules.deleting import check_not_readonly, check_replaceable, is_delete_pending
from frevo.server.rules.security import check_adding
from frevo.vfs.base import Backend, Handle, Resolved
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


def set_rename(request: Request, handle: Handle, buffer: bytes) -> None:
    """FileRenameInformation."""
    asked = FileRenameInformation.parse(buffer)
    _rename(request, handle, asked.root_directory, asked.file_name, replace=asked.replace_if_exists)


def set_rename_ex(request: Request, handle: Handle, buffer: bytes) -> None:
    """FileRenameInformationEx; replacing a file that others have open, as POSIX does, is not offered."""
    asked = FileRenameInformationEx.parse(buffer)
    if asked.flags & _POSIX:
        raise SMBError(NTStatus.NOT_SUPPORTED, "POSIX rename")
    _rename(request, handle, asked.root_directory, asked.file_name, replace=bool(asked.flags & _REPLACE))


def _rename(request: Request, handle: Handle, root_directory: int, name: str, *, replace: bool) -> None:
    need_access(request, FileAccess.DELETE)
    backend, name = _checked(request, root_directory, name)
    if not request.tree.writable:
        raise SMBError(NTStatus.ACCESS_DENIED, "the share is read-only")
    opened = request.open
    if name.startswith(":"):
        _rename_stream(request, handle, backend, name, replace=replace)
        return
    if opened.handle is not None and opened.handle.stream:
        raise SMBError(NTStatus.INVALID_PARAMETER, "a stream cannot become a file")
    target = backend.resolve(name)
    if target.stream:
        raise SMBError(NTStatus.INVALID_PARAMETER, "a file cannot become a stream")
    if opened.is_directory and _has_opens_below(request, backend, handle.path):
        raise SMBError(NTStatus.ACCESS_DENIED, "something below the directory is open")
    _check_parent(request, target)
    same = target.stat is not None and target.stat.identity[:2] == handle.identity[:2]
    if target.stat is not None and not same:
        _check_replaceable(request, target, replace=replace)
    old_path = handle.path
    backend.rename(handle, target, replace=replace)
    _follow(request, backend, handle, old_path)


def _checked(request: Request, root_directory: int, name: str) -> tuple[Backend, str]:
    """The backend, and the new name without the leading backslash that smbclient's `hardlink` sends.

    Raises what is wrong with a name whatever it is given to ([MS-FSA] 2.1.5.15.12).
    """
    backend = request.tree.backend
    assert backend is not None
    if root_directory:
        raise SMBError(NTStatus.INVALID_PARAMETER, "RootDirectory")
    name = name.removeprefix("\\")
    if not name:
        raise SMBError(NTStatus.INVALID_PARAMETER, "no target")
    return backend, name


def _rename_stream(request: Request, handle: Handle, backend: Backend, name: str, *, replace: bool) -> None:
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
    for opened, other in _opens_of(request, backend):
        if opened.record is record:
            other.follow(handle)
            opened.path = other.wire_path


def _check_parent(request: Request, target: Resolved) -> None:
    """The target's directory must let this user add a name, and so must the opens of it: a rename opens it to
    write, without sharing deletion (smb2.rename of smbtorture shows it)."""
    files, directory = request.server.files, request.open.is_directory
    _, parent = check_adding(request.session, request.tree, files, target, directory=directory)
    record = files.find(parent.identity)
    if record is not None and conflicts(record.opens, _ADD_FILE, FILE_SHARE_READ | FILE_SHARE_WRITE):
        raise SMBError(NTStatus.SHARING_VIOLATION, f"{target.parent!r} is open without sharing")


def _check_replaceable(request: Request, target: Resolved, *, replace: bool) -> None:
    files, directory = request.server.files, request.open.is_directory
    check_replaceable(request.session, request.tree, files, target, replace=replace, directory=directory)


def _opens_of(request: Request, backend: Backend) -> Iterator[tuple[Open, Handle]]:
    for opened in request.server.opens.values():
        if opened.handle is not None and opened.tree.backend is backend:
            yield opened, opened.handle


def _has_opens_below(request: Request, backend: Backend, path: str) -> bool:
    below = path + "/"
    return any(handle.path.startswith(below) for _, handle in _opens_of(request, backend))


def _follow(request: Request, backend: Backend, handle: Handle, old_path: str) -> None:
    """Every open of the file under its old name, streams included, is from now on one under the new name."""
    new_path, identity = handle.path, handle.identity[:2]
    for opened, other in _opens_of(request, backend):
        if other.identity[:2] == identity and other.path in (old_path, new_path):
            other.path = new_path  # type: ignore[misc]  # a slot of every handle class
            opened.path = other.wire_path


def set_link(request: Request, handle: Handle, buffer: bytes) -> None:
    """FileLinkInformation: another name for the file ([MS-FSA] 2.1.5.15.6)."""
    asked = FileLinkInformation.parse(buffer)
    backend, name = _checked(request, asked.root_directory, asked.file_name)
    if not request.tree.writable:
        raise SMBError(NTStatus.ACCESS_DENIED, "the share is read-only")
    if is_delete_pending(request.open):
        raise SMBError(NTStatus.ACCESS_DENIED, "the file is being deleted")
    if handle.is_directory or handle.stream:
        raise SMBError(NTStatus.FILE_IS_A_DIRECTORY if handle.is_directory else NTStatus.INVALID_PARAMETER)
    target = backend.resolve(name)
    if target.stream:
        raise SMBError(NTStatus.INVALID_PARAMETER, "a stream has one name")
    check_adding(request.session, request.tree, request.server.files, target, directory=False)
    if target.stat is not None and target.stat.identity[:2] != handle.identity[:2]:
        _check_replaceable(request, target, replace=asked.replace_if_exists)
    backend.link(handle, target, replace=asked.replace_if_exists)
