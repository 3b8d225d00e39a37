"""OPLOCK_BREAK acknowledgements: no oplock or lease is ever granted, so none can be acknowledged
([MS-SMB2] 3.3.5.22.1, 3.3.5.22.2)."""

from __future__ import annotations

from frevo.errors import SMBError
from frevo.server.core.request import Request
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import LeaseBreakAcknowledgment, OplockBreakAcknowledgment, parse_break_acknowledgment


def handle(request: Request) -> bytes:
    """OBJECT_NAME_NOT_FOUND for a lease, INVALID_OPLOCK_PROTOCOL for an oplock: neither was ever granted."""
    fields = parse_break_acknowledgment(request.message)
    if isinstance(fields, LeaseBreakAcknowledgment):
        raise SMBError(NTStatus.OBJECT_NAME_NOT_FOUND, "no such lease")
    assert isinstance(fields, OplockBreakAcknowledgment)
    if fields.file_id[1] not in request.session.opens:
        raise SMBError(NTStatus.FILE_CLOSED, "oplock break for a file that is not open")
    raise SMBError(NTStatus.INVALID_OPLOCK_PROTOCOL, "no oplock was granted")
