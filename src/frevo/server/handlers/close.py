"""CLOSE: ends an open, and deletes the file if it is delete pending ([MS-SMB2] 3.3.5.10)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from frevo.server.core.request import Request
from frevo.server.handlers.information import network_open
from frevo.server.lifecycle import begin_close, end_close
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import CloseFlags, CloseRequest, CloseResponse

_PLAIN = CloseResponse().pack()
_POSTQUERY = int(CloseFlags.POSTQUERY_ATTRIB)


def handle(request: Request) -> bytes | Awaitable[bytes]:
    """With POSTQUERY_ATTRIB, the response contains the final metadata of the file.

    If the system fails only now (it could not store the data or delete the file), the response is that error. The open
    is closed in any case.
    """
    fields = CloseRequest.parse(request.message)
    server, opened = request.server, request.open
    begin_close(server, opened, waiting_status=NTStatus.RANGE_NOT_LOCKED)
    if opened.handle is not None and server.fastpath.is_busy(opened):
        return _when_idle(request, fields.flags)
    return _finish(request, fields.flags)


async def _when_idle(request: Request, flags: int) -> bytes:
    """The response says that the file is closed, so no write that is under way may reach it afterwards."""
    idle: asyncio.Future[None] = request.server.loop.create_future()

    def is_idle() -> None:
        if not idle.done():
            idle.set_result(None)

    request.server.fastpath.when_idle(request.open, is_idle)
    try:
        await idle
    finally:
        body = _finish(request, flags)
    return body


def _finish(request: Request, flags: int) -> bytes:
    opened, body = request.open, _PLAIN
    try:
        if flags & _POSTQUERY and opened.handle is not None:
            body = CloseResponse(_POSTQUERY, *network_open(opened.handle.stat())).pack()
    finally:
        failed = end_close(request.server, opened)
    if failed is not None:
        raise failed
    return body
