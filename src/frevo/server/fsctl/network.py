"""FSCTL_QUERY_NETWORK_INTERFACE_INFO: where else a client could connect ([MS-SMB2] 3.3.5.15.11)."""

from __future__ import annotations

from frevo.errors import SMBError
from frevo.server.fsctl import FsctlCall
from frevo.wire.erref import NTStatus


def interfaces(call: FsctlCall) -> bytes:
    """Only servers with multichannel have an answer, and this one does not offer it yet."""
    raise SMBError(NTStatus.NOT_SUPPORTED, "no multichannel")
