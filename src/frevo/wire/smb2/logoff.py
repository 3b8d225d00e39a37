"""LogoffRequest and LogoffResponse: four bytes each, without content ([MS-SMB2] 2.2.7 and 2.2.8)."""

from __future__ import annotations

import struct

import msgspec

from frevo.wire.codec import Buffer, fixed

_LAYOUT = struct.Struct("<HH")
_BODY = _LAYOUT.pack(4, 0)


class LogoffRequest(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.7."""

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> LogoffRequest:
        fixed(_LAYOUT, message, offset, 4, "LOGOFF request")
        return cls()

    def pack(self) -> bytes:
        return _BODY


class LogoffResponse(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.8."""

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> LogoffResponse:
        fixed(_LAYOUT, message, offset, 4, "LOGOFF response")
        return cls()

    def pack(self) -> bytes:
        return _BODY
