"""The checks of a CREATE that need no look-up ([MS-SMB2] 3.3.5.9, [MS-FSA] 2.1.5.1)."""

from __future__ import annotations

from frevo.errors import SMBError
from frevo.server.rules.ea_lists import eas_to_set
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import (
    CreateDisposition,
    CreateOptions,
    CreateRequest,
    EaBuffer,
    FileAccess,
    FileAttributes,
)

#: Bits of DesiredAccess without a meaning for files ([MS-SMB2] 2.2.13.1.1).
_UNKNOWN_ACCESS = 0x0CE0FE00
#: CreateOptions that no server may accept, and those that this one does not support.
_UNKNOWN_OPTIONS = 0xFF000000
_UNSUPPORTED_OPTIONS = int(
    CreateOptions.CREATE_TREE_CONNECTION | CreateOptions.OPEN_BY_FILE_ID | CreateOptions.RESERVE_OPFILTER
)
#: Bits of FileAttributes without a meaning ([MS-FSCC] 2.6): volume label, device, virtual, and those without a name.
_UNKNOWN_ATTRIBUTES = ~sum(FileAttributes) & 0xFFFFFFFF
_SHARE_ALL = 7
_CONTEXT_NAME_MIN = 4  # [MS-SMB2] 2.2.13.2: four characters, or a GUID
_IMPERSONATION_MAX = 3

_DIRECTORY = int(CreateOptions.DIRECTORY_FILE)
_NON_DIRECTORY = int(CreateOptions.NON_DIRECTORY_FILE)
_DELETE_ON_CLOSE = int(CreateOptions.DELETE_ON_CLOSE)
_OVERWRITES = (CreateDisposition.SUPERSEDE, CreateDisposition.OVERWRITE, CreateDisposition.OVERWRITE_IF)
_MAY_DELETE = int(FileAccess.DELETE | FileAccess.GENERIC_ALL | FileAccess.MAXIMUM_ALLOWED)


def check(fields: CreateRequest) -> None:
    """Raises SMBError if the fields of a request contradict each other or the specification."""
    if fields.impersonation_level > _IMPERSONATION_MAX:
        raise SMBError(NTStatus.BAD_IMPERSONATION_LEVEL, f"level {fields.impersonation_level}")
    if fields.create_disposition > CreateDisposition.OVERWRITE_IF:
        raise _invalid(f"disposition {fields.create_disposition}")
    if fields.share_access & ~_SHARE_ALL:
        raise _invalid(f"share access {fields.share_access:#x}")
    if fields.file_attributes & _UNKNOWN_ATTRIBUTES:
        raise _invalid(f"attributes {fields.file_attributes:#x}")
    _check_options(fields)
    if not fields.desired_access or fields.desired_access & _UNKNOWN_ACCESS:
        raise SMBError(NTStatus.ACCESS_DENIED, f"desired access {fields.desired_access:#x}")
    if fields.name.startswith("\\"):
        raise _invalid("a leading backslash")
    if fields.create_options & _DIRECTORY and fields.name.upper().endswith(":$DATA"):
        raise SMBError(NTStatus.NOT_A_DIRECTORY, "a stream cannot be a directory")
    if any(len(name) < _CONTEXT_NAME_MIN for name, _ in fields.contexts):
        raise _invalid("a create context without a valid name")
    for name, data in fields.contexts:
        if name == EaBuffer.NAME:
            eas_to_set(data)


def _check_options(fields: CreateRequest) -> None:
    options = fields.create_options
    if options & _UNKNOWN_OPTIONS:
        raise _invalid(f"create options {options:#x}")
    if options & _UNSUPPORTED_OPTIONS:
        raise SMBError(NTStatus.NOT_SUPPORTED, f"create options {options:#x}")
    if options & _DIRECTORY:
        if options & _NON_DIRECTORY or fields.create_disposition in _OVERWRITES:
            raise _invalid("contradictory options for a directory")
        if fields.file_attributes & FileAttributes.TEMPORARY:
            raise _invalid("a directory cannot be temporary")
    if options & _DELETE_ON_CLOSE and not fields.desired_access & _MAY_DELETE:
        raise SMBError(NTStatus.ACCESS_DENIED, "delete on close without delete access")


def _invalid(message: str) -> SMBError:
    return SMBError(NTStatus.INVALID_PARAMETER, message)
