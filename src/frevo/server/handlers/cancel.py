"""CANCEL: ends a waiting request; has no response ([MS-SMB2] 3.3.5.16)."""

from __future__ import annotations

from frevo.server.core.request import Request
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import HeaderFlags


def handle(request: Request) -> None:
    """By async ID if the client has one, otherwise by message ID. If no request is found, it has already been
    answered."""
    connection, header = request.connection, request.header
    if header.flags & HeaderFlags.ASYNC_COMMAND:
        target = connection.waiting_async.get(header.async_id)
    else:
        target = connection.waiting.get(header.message_id)
    if target is not None:
        target.abort(NTStatus.CANCELLED)
