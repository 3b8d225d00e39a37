"""CANCEL: ends a request that waits; has no answer of its own ([MS-SMB2] 3.3.5.16)."""

from __future__ import annotations

from frevo.server.core.request import Request
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import HeaderFlags


def handle(request: Request) -> None:
    """By async id where the client has one, else by message id. A request that is not found was answered already."""
    connection, header = request.connection, request.header
    if header.flags & HeaderFlags.ASYNC_COMMAND:
        target = connection.waiting_async.get(header.async_id)
    else:
        target = connection.waiting.get(header.message_id)
    if target is not None:
        target.abort(NTStatus.CANCELLED)
