"""TreeDisconnectRequest and TreeDisconnectResponse: four empty bytes each ([MS-SMB2] 2.2.11 and 2.2.12)."""

from __future__ import annotations

import struct

import msgspec

from frevo.wire.codec import Buffer, fixed

_LAYOUT = struct.Struct("<HH")
_BODY = _LAYOUT.pack(4, 0)


class TreeDisconnectRequest(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.11."""

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> TreeDisconnectRequest:
        fixed(_LAYOUT, message, offset, 4, "TREE_DISCONNECT request")
        return cls()

    def pack(self) -> bytes:
        return _BODY


class TreeDisconnectResponse(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.12."""

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> TreeDisconnectResponse:
        fixed(_LAYOUT, message, offset, 4, "TREE_DISCONNECT response")
        return cls()

    def pack(self) -> bytes:
        return _BODY
