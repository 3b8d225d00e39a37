"""LOGOFF: ends a session and everything in it ([MS-SMB2] 3.3.5.6)."""

from __future__ import annotations

from collections.abc import Awaitable

from frevo.server.lifecycle import drop_keys, end_session
from frevo.server.request import Request
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import LogoffRequest, LogoffResponse


def handle(request: Request) -> bytes | Awaitable[bytes]:
    """The answer is still signed with the session's keys, so the data plane forgets them after it."""
    LogoffRequest.parse(request.message)
    server, session = request.server, request.session
    end_session(server, session, waiting_status=NTStatus.USER_SESSION_DELETED)
    request.chain.after_sending = lambda: drop_keys(server, session)
    return _when_closed(request) if session.opens else LogoffResponse().pack()


async def _when_closed(request: Request) -> bytes:
    """The answer, when a session with many opens is closed to the last."""
    while request.session.opens:
        await request.server.turns.next(request.connection.party)
    return LogoffResponse().pack()
