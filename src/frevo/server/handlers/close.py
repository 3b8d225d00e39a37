"""CLOSE: ends an open, and the file where delete was due ([MS-SMB2] 3.3.5.10)."""

from __future__ import annotations

from frevo.server.lifecycle import close_open
from frevo.server.request import Request
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import CloseFlags, CloseRequest, CloseResponse

_PLAIN = CloseResponse().pack()


def handle(request: Request) -> bytes:
    """With POSTQUERY_ATTRIB the answer carries the file's last metadata."""
    asked = CloseRequest.parse(request.message)
    opened = request.open
    body = _PLAIN
    if asked.flags & CloseFlags.POSTQUERY_ATTRIB and opened.handle is not None:
        stat = opened.handle.stat()
        body = CloseResponse(
            int(CloseFlags.POSTQUERY_ATTRIB),
            stat.creation_time,
            stat.last_access_time,
            stat.last_write_time,
            stat.change_time,
            stat.allocation_size,
            stat.end_of_file,
            stat.attributes,
        ).pack()
    close_open(request.server, opened, waiting_status=NTStatus.RANGE_NOT_LOCKED)
    return body
