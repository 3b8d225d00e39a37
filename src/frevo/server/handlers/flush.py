"""FLUSH: writes data and metadata of a file to disk ([MS-SMB2] 3.3.5.11)."""

from __future__ import annotations

from collections.abc import Awaitable

from frevo.errors import SMBError
from frevo.server.core.fastpath import WRITES
from frevo.server.core.request import Request
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import FlushResponse

_RESPONSE = FlushResponse().pack()


def handle(request: Request) -> bytes | Awaitable[bytes]:
    """Requires write access; for a pipe, there is nothing to flush."""
    opened = request.open
    if opened.handle is None:
        return _RESPONSE
    if not opened.granted_access & WRITES:
        raise SMBError(NTStatus.ACCESS_DENIED, "flush needs write access")
    return _flush(request)


async def _flush(request: Request) -> bytes:
    assert request.open.handle is not None
    await request.server.slow_work.run(request.session.user, request.open.handle.flush)
    return _RESPONSE
