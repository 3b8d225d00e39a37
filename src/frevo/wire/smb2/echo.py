"""EchoRequest and EchoResponse: four bytes each, without content ([MS-SMB2] 2.2.28 and 2.2.29)."""

from __future__ import annotations

import struct

import msgspec

from frevo.wire.codec import Buffer, fixed

_LAYOUT = struct.Struct("<HH")
_BODY = _LAYOUT.pack(4, 0)


class EchoRequest(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.28."""

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> EchoRequest:
        fixed(_LAYOUT, message, offset, 4, "ECHO request")
        return cls()

    def pack(self) -> bytes:
        return _BODY


class EchoResponse(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.29."""

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> EchoResponse:
        fixed(_LAYOUT, message, offset, 4, "ECHO response")
        return cls()

    def pack(self) -> bytes:
        return _BODY
