"""The access that a CREATE gets: generic rights, the file's descriptor, read-only files, read-only shares
([MS-SMB2] 3.3.5.9, [MS-FSA] 2.1.5.1.2.1)."""

from __future__ import annotations

from frevo.errors import SMBError
from frevo.server.core.request import Request
from frevo.server.rules.deleting import check_not_readonly
from frevo.server.rules.security import (
    FROM_PARENT,
    inherited_descriptor,
    maximal_to_found,
    token_of,
    with_owner_of_parent,
    without_readonly,
)
from frevo.vfs.base import Resolved
from frevo.wire.dtyp import FILE_ALL_ACCESS, map_generic
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import (
    CreateDisposition,
    CreateOptions,
    CreateRequest,
    EaBuffer,
    FileAccess,
    FileAttributes,
    SdBuffer,
    find_create_context,
)

_MAXIMUM = int(FileAccess.MAXIMUM_ALLOWED)
_SYSTEM_SECURITY = int(FileAccess.ACCESS_SYSTEM_SECURITY)
_WRITES = int(FileAccess.WRITE_DATA | FileAccess.APPEND_DATA)
_DELETE = int(FileAccess.DELETE)
_WRITE_DATA = int(FileAccess.WRITE_DATA)
_WRITE_EA = int(FileAccess.WRITE_EA)
_WRITE_EA_AND_ATTRIBUTES = int(FileAccess.WRITE_EA | FileAccess.WRITE_ATTRIBUTES)
_OVERWRITES = (CreateDisposition.SUPERSEDE, CreateDisposition.OVERWRITE, CreateDisposition.OVERWRITE_IF)


def granted_for_existing(
    request: Request, fields: CreateRequest, resolved: Resolved, *, changed: int = 0
) -> int:
    """The access of an open of an existing file, or of a new stream of one; *changed* are the rights that the
    disposition needs beyond those requested. Raises ACCESS_DENIED, CANNOT_DELETE, PRIVILEGE_NOT_HELD."""
    desired = map_generic(fields.desired_access)
    stat = resolved.stat
    assert stat is not None
    wanted = FROM_PARENT if desired & _MAXIMUM else desired | changed
    maximal = maximal_to_found(request.session, request.tree, resolved, wanted)
    if fields.create_options & CreateOptions.DELETE_ON_CLOSE:
        check_not_readonly(stat.attributes, fields.name)
    if stat.attributes & FileAttributes.READONLY and not stat.is_directory:
        if changed:
            raise SMBError(NTStatus.ACCESS_DENIED, f"{fields.name} is read-only")
        maximal &= ~_WRITES
    needed = desired & ~_MAXIMUM | changed
    missing = needed & ~maximal
    if missing & _SYSTEM_SECURITY and not missing & ~_SYSTEM_SECURITY:
        raise SMBError(NTStatus.PRIVILEGE_NOT_HELD, "ACCESS_SYSTEM_SECURITY")
    if missing:
        raise SMBError(NTStatus.ACCESS_DENIED, f"{fields.name}: {missing:#x} is not granted")
    granted = desired & ~_MAXIMUM
    if desired & _MAXIMUM:
        granted |= without_readonly(maximal, stat)
    _check_delete_on_close(fields, granted)
    return int(granted)


def changed_by(fields: CreateRequest, resolved: Resolved) -> int:
    """The rights needed to overwrite an existing file or stream, or to add a stream to a file, whatever the client
    requests ([MS-FSA] 2.1.5.1.2)."""
    if not resolved.exists:
        return _WRITE_DATA | _changed_with_stream(fields)
    if fields.create_disposition not in _OVERWRITES:
        return 0
    data = _DELETE if fields.create_disposition == CreateDisposition.SUPERSEDE else _WRITE_DATA
    return data | (_changed_with_stream(fields) if resolved.stream else _WRITE_EA_AND_ATTRIBUTES)


def _changed_with_stream(fields: CreateRequest) -> int:
    """A stream's EAs are those of its file."""
    return _WRITE_EA if fields.contexts and find_create_context(fields.contexts, EaBuffer.NAME) else 0


def granted_for_new(request: Request, fields: CreateRequest) -> int:
    """The access of an open that creates the file: everything requested ([MS-FSA] 2.1.5.1.1)."""
    desired = map_generic(fields.desired_access)
    if desired & _SYSTEM_SECURITY and not token_of(request.session, request.tree).is_admin:
        raise SMBError(NTStatus.PRIVILEGE_NOT_HELD, "ACCESS_SYSTEM_SECURITY")
    granted = desired & ~_MAXIMUM
    if desired & _MAXIMUM:
        granted |= FILE_ALL_ACCESS
    _check_delete_on_close(fields, granted)
    return int(granted)


def _check_delete_on_close(fields: CreateRequest, granted: int) -> None:
    if fields.create_options & CreateOptions.DELETE_ON_CLOSE and not granted & _DELETE:
        raise SMBError(NTStatus.ACCESS_DENIED, f"{fields.name}: delete on close without delete access")


def new_descriptor(
    request: Request, fields: CreateRequest, resolved: Resolved, directory: bool
) -> bytes | None:
    """The descriptor to store with a new file: that of the client (SecD), an inherited one, or none.

    Raises ACCESS_DENIED if the descriptor of the parent does not allow this user to add files.
    """
    data = find_create_context(fields.contexts, SdBuffer.NAME) if fields.contexts else None
    explicit = SdBuffer.parse(data).security_descriptor if data is not None else None
    session, tree, files = request.session, request.tree, request.server.files
    descriptor = inherited_descriptor(session, tree, files, resolved, explicit, directory=directory)
    if descriptor is None or tree.share.config.inherit_owner != "windows and unix":
        return descriptor
    return with_owner_of_parent(tree, resolved, descriptor)
