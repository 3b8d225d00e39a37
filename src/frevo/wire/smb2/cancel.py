"""CancelRequest; there is no response ([MS-SMB2] 2.2.30)."""

from __future__ import annotations

import struct

import msgspec

from frevo.wire.codec import Buffer, fixed

_LAYOUT = struct.Struct("<HH")
_BODY = _LAYOUT.pack(4, 0)


class CancelRequest(msgspec.Struct):
    """Names the request to cancel by the MessageId or AsyncId of the header.

    Reference: [MS-SMB2] 2.2.30.
    """

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> CancelRequest:
        fixed(_LAYOUT, message, offset, 4, "CANCEL request")
        return cls()

    def pack(self) -> bytes:
        return _BODY
