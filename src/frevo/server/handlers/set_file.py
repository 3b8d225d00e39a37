"""SET_INFO of files: times, attributes, sizes, disposition and the small classes ([MS-SMB2] 3.3.5.21.1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from frevo.errors import SMBError, WireError
from frevo.server.core.request import Request
from frevo.server.core.state import MODES
from frevo.server.handlers.information import need_access
from frevo.server.handlers.rename import set_link, set_rename, set_rename_ex
from frevo.server.rules.deleting import check_deletable, set_delete_on_close, set_delete_pending
from frevo.server.rules.ea_lists import eas_to_set
from frevo.server.rules.write_time import (
    after_write,
    attributes_changed,
    before_write,
    keep_write_time,
    thaw_write_time,
    without_writes,
)
from frevo.vfs.base import Handle
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import (
    DispositionFlags,
    FileAllocationInformation,
    FileAttributes,
    FileBasicInformation,
    FileDispositionInformation,
    FileDispositionInformationEx,
    FileEndOfFileInformation,
    FileInfoClass,
    FileModeInformation,
    FilePositionInformation,
    FileValidDataLengthInformation,
)
from frevo.wire.smb2 import FileAccess, SetInfoRequest

if TYPE_CHECKING:
    from frevo.transport.base import Hold

_KEEP, _FREEZE, _THAW = 0, -1, -2

_DIRECTORY = int(FileAttributes.DIRECTORY)
_TEMPORARY = int(FileAttributes.TEMPORARY)
_NORMAL = int(FileAttributes.NORMAL)
_SETTABLE = int(
    FileAttributes.READONLY
    | FileAttributes.HIDDEN
    | FileAttributes.SYSTEM
    | FileAttributes.ARCHIVE
    | FileAttributes.TEMPORARY
    | FileAttributes.OFFLINE
    | FileAttributes.NOT_CONTENT_INDEXED
)
#: Attributes that BASIC cannot change because they have their own control codes.
_KEPT = int(FileAttributes.SPARSE_FILE)

_DELETE = int(DispositionFlags.DELETE)
_ON_CLOSE = int(DispositionFlags.ON_CLOSE)
_POSIX = int(DispositionFlags.POSIX_SEMANTICS)
_IGNORE_READONLY = int(DispositionFlags.IGNORE_READONLY_ATTRIBUTE)


def set_file(request: Request, fields: SetInfoRequest) -> Awaitable[None] | None:
    """Sets the information of class *fields.file_info_class* of the request's open.

    Returns an awaitable if the work is not done yet. INFO_LENGTH_MISMATCH if the buffer is shorter than the fixed part
    of the class ([MS-FSA] 2.1.5.15).
    """
    info_class, handle = fields.file_info_class, request.open.handle
    if handle is None:
        _set_pipe(info_class)
        return None
    setter = _SETTERS.get(info_class)
    if setter is None:
        known = info_class in FileInfoClass._value2member_map_
        status = NTStatus.NOT_SUPPORTED if known else NTStatus.INVALID_INFO_CLASS
        raise SMBError(status, f"file information class {info_class}")
    try:
        return setter(request, handle, fields.buffer)
    except WireError as error:
        raise SMBError(NTStatus.INFO_LENGTH_MISMATCH, str(error)) from None


def _set_pipe(info_class: int) -> None:
    """A client may switch a pipe between byte and message mode; our pipes are always in message mode."""
    if info_class != FileInfoClass.PIPE:
        raise SMBError(NTStatus.NOT_SUPPORTED, f"pipe information class {info_class}")


def _time(value: int) -> int | None:
    """The time to set, or None to leave it. Values below -2 are invalid ([MS-FSA] 2.1.5.15.2)."""
    if value < _THAW:
        raise SMBError(NTStatus.INVALID_PARAMETER, f"time {value}")
    return value if value > 0 else None


def _basic(request: Request, handle: Handle, buffer: bytes) -> Awaitable[None] | None:
    """Times and attributes. 0 keeps a time. A time that was set, or for which -1 was given, is not changed by other
    operations on this open until -2 is given."""
    fields = FileBasicInformation.parse(buffer)
    need_access(request, FileAccess.WRITE_ATTRIBUTES)
    for time in (fields.creation_time, fields.last_access_time, fields.last_write_time, fields.change_time):
        _time(time)
    if fields.last_write_time in (_KEEP, _THAW):
        _set_basic(request, handle, fields)
        return None
    assert request.open.record is not None
    hold = without_writes(request.server, request.open.record)
    if not hold.drained:
        return _set_basic_later(request, handle, fields, hold)
    _set_basic(request, handle, fields, hold)
    return None


async def _set_basic_later(
    request: Request, handle: Handle, fields: FileBasicInformation, hold: Hold
) -> None:
    await request.server.fastpath.drained(hold)
    _set_basic(request, handle, fields, hold)


def _set_basic(
    request: Request, handle: Handle, fields: FileBasicInformation, hold: Hold | None = None
) -> None:
    """*hold*: that of `without_writes`, if the last write time is to be kept."""
    server, opened = request.server, request.open
    created, accessed, written = map(
        _time, (fields.creation_time, fields.last_access_time, fields.last_write_time)
    )
    attributes = _attributes(handle, fields.file_attributes)
    if (created, accessed, written, attributes) != (None, None, None, None):
        handle.set_basic(
            creation_time=created, last_access_time=accessed, last_write_time=written, attributes=attributes
        )
    if attributes is not None:
        attributes_changed(server, opened, attributes)
    if fields.last_access_time != _KEEP:
        handle.keep_access_time(fields.last_access_time != _THAW)
    if written is not None:
        assert opened.record is not None
        opened.record.writes += 1  # so that a write under way does not restore the old time
    if fields.last_write_time == _THAW:
        thaw_write_time(opened)
    elif hold is not None:
        keep_write_time(opened, hold)


def _attributes(handle: Handle, wanted: int) -> int | None:
    """The attributes to store; None if they do not change."""
    if not wanted:
        return None
    if wanted & _DIRECTORY and not handle.is_directory:
        raise SMBError(NTStatus.INVALID_PARAMETER, "a file cannot become a directory")
    if wanted & _TEMPORARY and handle.is_directory:
        raise SMBError(NTStatus.INVALID_PARAMETER, "a directory cannot be temporary")
    current = handle.stat().attributes
    new = wanted & _SETTABLE | current & _KEPT | (_DIRECTORY if handle.is_directory else 0)
    return None if new == current & ~_NORMAL else new or _NORMAL


def _resize(
    request: Request, handle: Handle, size: int, *, allocation: bool = False
) -> Awaitable[None] | None:
    """Changes a size unless another client has locked a part that is removed or added."""
    need_access(request, FileAccess.WRITE_DATA)
    opened = request.open
    if opened.is_directory or size < 0:
        raise SMBError(NTStatus.INVALID_PARAMETER, f"size {size}")
    if opened.record is not None and opened.record.locks:
        end = handle.stat().end_of_file
        first, last = min(size, end), max(size, end)
        opened.record.locks.check_write(opened, first, last - first)
    if handle.resizes_slowly(size, allocation=allocation):
        return _resize_slowly(request, handle, size, allocation=allocation)
    kept = before_write(opened, handle)
    try:
        (handle.allocate if allocation else handle.truncate)(size)
    finally:
        after_write(opened, handle, kept)
    return None


async def _resize_slowly(request: Request, handle: Handle, size: int, *, allocation: bool) -> None:
    kept = before_write(request.open, handle)
    try:
        await request.server.slow_work.run(
            request.session.user, lambda: handle.resize(size, allocation=allocation)
        )
    finally:
        after_write(request.open, handle, kept)


def _end_of_file(request: Request, handle: Handle, buffer: bytes) -> Awaitable[None] | None:
    return _resize(request, handle, FileEndOfFileInformation.parse(buffer).end_of_file)


def _allocation(request: Request, handle: Handle, buffer: bytes) -> Awaitable[None] | None:
    size = FileAllocationInformation.parse(buffer).allocation_size
    return _resize(request, handle, size, allocation=True)


def _position(request: Request, handle: Handle, buffer: bytes) -> None:
    position = FilePositionInformation.parse(buffer).current_byte_offset
    if position < 0:
        raise SMBError(NTStatus.INVALID_PARAMETER, f"position {position}")
    request.open.position = position


def _mode(request: Request, handle: Handle, buffer: bytes) -> None:
    mode = FileModeInformation.parse(buffer).mode
    if mode & ~MODES:
        raise SMBError(NTStatus.INVALID_PARAMETER, f"mode {mode:#x}")
    request.server.fastpath.detach(request.open)  # which may write to it, depends on the mode
    request.open.mode = mode


def _disposition(request: Request, handle: Handle, buffer: bytes) -> None:
    _set_delete_pending(request, handle, FileDispositionInformation.parse(buffer).delete_pending)


def _disposition_ex(request: Request, handle: Handle, buffer: bytes) -> None:
    """FileDispositionInformationEx: immediate deletion as in POSIX is not supported ([MS-FSCC] 2.4.12)."""
    flags = FileDispositionInformationEx.parse(buffer).flags
    if flags & _POSIX:
        raise SMBError(NTStatus.NOT_SUPPORTED, "POSIX delete")
    # Only clients that may change the attribute may ignore it ([MS-FSA] 2.1.5.15.4).
    even_readonly = bool(
        flags & _IGNORE_READONLY and request.open.granted_access & FileAccess.WRITE_ATTRIBUTES
    )
    if not flags & _ON_CLOSE:
        _set_delete_pending(request, handle, bool(flags & _DELETE), even_readonly=even_readonly)
        return
    _check_deleting(request, handle, bool(flags & _DELETE), even_readonly=even_readonly)
    set_delete_on_close(request.open, bool(flags & _DELETE), even_readonly=even_readonly)


def _set_delete_pending(
    request: Request, handle: Handle, pending: bool, *, even_readonly: bool = False
) -> None:
    """Sets or clears delete pending ([MS-FSA] 2.1.5.15.3)."""
    _check_deleting(request, handle, pending, even_readonly=even_readonly)
    set_delete_pending(request.server, request.open, pending)


def _check_deleting(request: Request, handle: Handle, pending: bool, *, even_readonly: bool) -> None:
    need_access(request, FileAccess.DELETE)
    if pending:
        assert request.tree.backend is not None
        check_deletable(request.tree.backend, handle, handle.stat(), even_readonly=even_readonly)


def _full_ea(request: Request, handle: Handle, buffer: bytes) -> None:
    need_access(request, FileAccess.WRITE_EA)
    handle.set_extended_attributes((ea.name, ea.value) for ea in eas_to_set(buffer))


def _valid_data_length(request: Request, handle: Handle, buffer: bytes) -> None:
    """Refused, as it would reveal old data on the disk: no client has SeManageVolumePrivilege."""
    FileValidDataLengthInformation.parse(buffer)
    raise SMBError(NTStatus.PRIVILEGE_NOT_HELD, "FileValidDataLengthInformation")


_SETTERS: dict[int, Callable[[Request, Handle, bytes], Awaitable[None] | None]] = {
    FileInfoClass.BASIC: _basic,
    FileInfoClass.RENAME: set_rename,
    FileInfoClass.RENAME_EX: set_rename_ex,
    FileInfoClass.LINK: set_link,
    FileInfoClass.DISPOSITION: _disposition,
    FileInfoClass.DISPOSITION_EX: _disposition_ex,
    FileInfoClass.POSITION: _position,
    FileInfoClass.FULL_EA: _full_ea,
    FileInfoClass.MODE: _mode,
    FileInfoClass.ALLOCATION: _allocation,
    FileInfoClass.END_OF_FILE: _end_of_file,
    FileInfoClass.VALID_DATA_LENGTH: _valid_data_length,
}
