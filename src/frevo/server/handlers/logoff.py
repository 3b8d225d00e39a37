"""LOGOFF: ends a session and everything in it ([MS-SMB2] 3.3.5.6)."""

from __future__ import annotations

from collections.abc import Awaitable

from frevo.server.core.request import Request
from frevo.server.lifecycle import drop_keys, end_session, session_closed
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import LogoffRequest, LogoffResponse

_RESPONSE = LogoffResponse().pack()


def handle(request: Request) -> bytes | Awaitable[bytes]:
    """The response is still signed with the keys of the session, so the data plane drops them afterwards."""
    LogoffRequest.parse(request.message)
    server, session = request.server, request.session
    end_session(server, session, waiting_status=NTStatus.USER_SESSION_DELETED)
    request.chain.after_sending = lambda: drop_keys(server, session)
    return _when_closed(request) if session.opens or session.closing else _RESPONSE


async def _when_closed(request: Request) -> bytes:
    """Answers once every open of the session is closed and no operation on them is under way."""
    await session_closed(request.server, request.session, request.connection.party)
    return _RESPONSE
