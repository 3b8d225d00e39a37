"""FlushRequest and FlushResponse ([MS-SMB2] 2.2.17 and 2.2.18)."""

from __future__ import annotations

import struct

import msgspec

from frevo.wire.codec import Buffer, FileId, fixed

_REQUEST = struct.Struct("<HHIQQ")
_RESPONSE = struct.Struct("<HH")


class FlushRequest(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.17."""

    file_id: FileId = (0, 0)

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> FlushRequest:
        _, _reserved1, _reserved2, persistent, volatile = fixed(
            _REQUEST, message, offset, 24, "FLUSH request"
        )
        return cls((persistent, volatile))

    def pack(self) -> bytes:
        return _REQUEST.pack(24, 0, 0, *self.file_id)


class FlushResponse(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.18."""

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> FlushResponse:
        fixed(_RESPONSE, message, offset, 4, "FLUSH response")
        return cls()

    def pack(self) -> bytes:
        return _RESPONSE.pack(4, 0)
