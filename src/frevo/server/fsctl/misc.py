"""Small control codes: referrals, object IDs, reparse points."""

from __future__ import annotations

import struct

from frevo.errors import SMBError
from frevo.server.fsctl import FsctlCall
from frevo.wire.erref import NTStatus

_OBJECT_ID = struct.Struct("<QQ48s")  # FILE_OBJECTID_BUFFER type 1, [MS-FSCC] 2.1.3.1


def dfs_referrals(call: FsctlCall) -> bytes:
    """FSCTL_DFS_GET_REFERRALS(_EX), answered as by a server without DFS ([MS-SMB2] 3.3.5.15.2)."""
    raise SMBError(NTStatus.FS_DRIVER_REQUIRED, "DFS is not supported")


def not_supported(call: FsctlCall) -> bytes:
    """For control codes of features that our file systems lack (snapshots)."""
    raise SMBError(NTStatus.NOT_SUPPORTED, f"control code {call.code:#010x}")


def object_id(call: FsctlCall) -> bytes:
    """FSCTL_CREATE_OR_GET_OBJECT_ID: an ID from those of the volume and the file, fixed as long as the file exists.

    Reference: [MS-FSCC] 2.3.1.
    """
    handle, backend = call.handle, call.request.tree.backend
    assert backend is not None
    call.need_output(_OBJECT_ID.size)
    return _OBJECT_ID.pack(backend.serial_number(handle), handle.stat().file_id, bytes(48))


def reparse_point(call: FsctlCall) -> bytes:
    """FSCTL_GET_REPARSE_POINT: no file is one, as the server follows links itself ([MS-FSCC] 2.3.32)."""
    _ = call.handle
    raise SMBError(NTStatus.NOT_A_REPARSE_POINT, "not a reparse point")


def nothing_to_do(call: FsctlCall) -> bytes:
    """For FSCTL_IS_PATHNAME_VALID, which always succeeds ([MS-FSCC] 2.3.40)."""
    return b""
