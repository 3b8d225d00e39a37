"""Which access a CREATE gets: generic rights, the file's descriptor, read-only files, read-only shares
([MS-SMB2] 3.3.5.9, [MS-FSA] 2.1.5.1.2.1)."""

from __future__ import annotations

from frevo.errors import SMBError
from frevo.server.request import Request
from frevo.server.security import (
    granted_by_parent,
    inherited_descriptor,
    maximal_access,
    token_of,
    without_readonly,
)
from frevo.vfs.base import Resolved
from frevo.wire.dtyp import FILE_ALL_ACCESS, map_generic
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import (
    CreateOptions,
    CreateRequest,
    FileAccess,
    FileAttributes,
    SdBuffer,
    find_create_context,
)

_MAXIMUM = int(FileAccess.MAXIMUM_ALLOWED)
_SYSTEM_SECURITY = int(FileAccess.ACCESS_SYSTEM_SECURITY)
_WRITES = int(FileAccess.WRITE_DATA | FileAccess.APPEND_DATA)
_DELETE = int(FileAccess.DELETE)
_FROM_PARENT = int(FileAccess.DELETE | FileAccess.READ_ATTRIBUTES)


def granted_for_existing(
    request: Request, asked: CreateRequest, resolved: Resolved, stored: bytes | None, *, overwrite: bool
) -> int:
    """The access of an open of an existing file; raises ACCESS_DENIED, CANNOT_DELETE, PRIVILEGE_NOT_HELD."""
    desired = map_generic(asked.desired_access)
    stat = resolved.stat
    assert stat is not None
    maximal = maximal_access(request.session, request.tree, stored, stat)
    from_parent = _FROM_PARENT if desired & _MAXIMUM else desired & _FROM_PARENT
    if from_parent & ~maximal and resolved.name:
        maximal |= granted_by_parent(request.session, request.tree, resolved.parent)
    read_only = stat.attributes & FileAttributes.READONLY and not stat.is_directory
    if read_only:
        if asked.create_options & CreateOptions.DELETE_ON_CLOSE:
            raise SMBError(NTStatus.CANNOT_DELETE, f"{asked.name} is read-only")
        maximal &= ~_WRITES
    needed = desired & ~_MAXIMUM | (FileAccess.WRITE_DATA if overwrite else 0)
    missing = needed & ~maximal
    if missing & _SYSTEM_SECURITY and not missing & ~_SYSTEM_SECURITY:
        raise SMBError(NTStatus.PRIVILEGE_NOT_HELD, "ACCESS_SYSTEM_SECURITY")
    if missing:
        raise SMBError(NTStatus.ACCESS_DENIED, f"{asked.name}: {missing:#x} is not granted")
    granted = desired & ~_MAXIMUM
    if desired & _MAXIMUM:
        granted |= without_readonly(maximal, stat)
    _check_delete_on_close(asked, granted)
    return int(granted)


def granted_for_new(request: Request, asked: CreateRequest) -> int:
    """The creator gets what it asks for ([MS-FSA] 2.1.5.1.1)."""
    desired = map_generic(asked.desired_access)
    if desired & _SYSTEM_SECURITY and not token_of(request.session, request.tree).is_admin:
        raise SMBError(NTStatus.PRIVILEGE_NOT_HELD, "ACCESS_SYSTEM_SECURITY")
    granted = desired & ~_MAXIMUM
    if desired & _MAXIMUM:
        granted |= FILE_ALL_ACCESS
    _check_delete_on_close(asked, granted)
    return int(granted)


def _check_delete_on_close(asked: CreateRequest, granted: int) -> None:
    if asked.create_options & CreateOptions.DELETE_ON_CLOSE and not granted & _DELETE:
        raise SMBError(NTStatus.ACCESS_DENIED, f"{asked.name}: delete on close without delete access")


def new_descriptor(
    request: Request, asked: CreateRequest, resolved: Resolved, directory: bool
) -> bytes | None:
    """The descriptor that a new file is stored with: the client's (SecD), the parent's inheritance, or none.

    Raises ACCESS_DENIED when the parent's descriptor does not let this user add to it.
    """
    data = find_create_context(asked.contexts, SdBuffer.NAME) if asked.contexts else None
    explicit = SdBuffer.parse(data).security_descriptor if data is not None else None
    files = request.server.files
    return inherited_descriptor(request.session, request.tree, files, resolved, explicit, directory=directory)
