"""ECHO: shows that the connection is alive; the data plane answers most of them ([MS-SMB2] 3.3.5.17)."""

from __future__ import annotations

from frevo.server.core.request import Request
from frevo.wire.smb2 import EchoRequest, EchoResponse

_RESPONSE = EchoResponse().pack()


def handle(request: Request) -> bytes:
    """Works with and without a session."""
    EchoRequest.parse(request.message)
    return _RESPONSE
