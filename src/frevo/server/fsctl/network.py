"""FSCTL_QUERY_NETWORK_INTERFACE_INFO: other addresses to connect to ([MS-SMB2] 3.3.5.15.11)."""

from __future__ import annotations

from frevo.errors import SMBError
from frevo.server.fsctl import FsctlCall
from frevo.wire.erref import NTStatus


def interfaces(call: FsctlCall) -> bytes:
    """Refused: only servers with multichannel support it."""
    raise SMBError(NTStatus.NOT_SUPPORTED, "no multichannel")
