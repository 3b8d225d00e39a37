"""File compression, which this server does not support: all files are uncompressed ([MS-FSCC] 2.3.17, 2.3.67)."""

from __future__ import annotations

from frevo.errors import SMBError
from frevo.server.fsctl import FsctlCall
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import FileAccess

_NONE = 0


def get_compression(call: FsctlCall) -> bytes:
    """FSCTL_GET_COMPRESSION: COMPRESSION_FORMAT_NONE, like ReFS."""
    _ = call.handle
    call.need_output(2, NTStatus.INVALID_PARAMETER)
    return _NONE.to_bytes(2, "little")


def set_compression(call: FsctlCall) -> bytes:
    """FSCTL_SET_COMPRESSION: leaving a file uncompressed works, anything else is not supported."""
    _ = call.handle
    if len(call.data) < 2:
        raise SMBError(NTStatus.INVALID_PARAMETER, "no compression format")
    call.need_access(FileAccess.WRITE_DATA)
    if int.from_bytes(call.data[:2], "little") != _NONE:
        raise SMBError(NTStatus.NOT_SUPPORTED, "no compression")
    return b""
