"""SessionSetupRequest and SessionSetupResponse ([MS-SMB2] 2.2.5 and 2.2.6)."""

from __future__ import annotations

import struct

import msgspec

from frevo.wire.codec import HEADER_SIZE, Buffer, fixed, variable

_REQUEST = struct.Struct("<HBBIIHHQ")
_RESPONSE = struct.Struct("<HHHH")


class SessionSetupRequest(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.5."""

    flags: int = 0
    security_mode: int = 0
    capabilities: int = 0
    channel: int = 0
    previous_session_id: int = 0
    security_buffer: bytes = b""

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> SessionSetupRequest:
        _, flags, mode, capabilities, channel, buffer_offset, length, previous = fixed(
            _REQUEST, message, offset, 25, "SESSION_SETUP request"
        )
        minimum = HEADER_SIZE + _REQUEST.size
        blob = variable(message, offset, buffer_offset, length, minimum, "SESSION_SETUP SecurityBuffer")
        return cls(flags, mode, capabilities, channel, previous, bytes(blob))

    def pack(self) -> bytes:
        head = _REQUEST.pack(
            25,
            self.flags,
            self.security_mode,
            self.capabilities,
            self.channel,
            HEADER_SIZE + _REQUEST.size,
            len(self.security_buffer),
            self.previous_session_id,
        )
        return head + (self.security_buffer or b"\0")


class SessionSetupResponse(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.6."""

    session_flags: int = 0
    security_buffer: bytes = b""

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> SessionSetupResponse:
        _, flags, buffer_offset, length = fixed(_RESPONSE, message, offset, 9, "SESSION_SETUP response")
        minimum = HEADER_SIZE + _RESPONSE.size
        blob = variable(message, offset, buffer_offset, length, minimum, "SESSION_SETUP SecurityBuffer")
        return cls(flags, bytes(blob))

    def pack(self) -> bytes:
        start = HEADER_SIZE + _RESPONSE.size
        return _RESPONSE.pack(9, self.session_flags, start, len(self.security_buffer)) + self.security_buffer
