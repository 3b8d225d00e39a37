"""ChangeNotifyRequest and ChangeNotifyResponse ([MS-SMB2] 2.2.35 and 2.2.36)."""

from __future__ import annotations

import struct

import msgspec

from frevo.wire.codec import HEADER_SIZE, Buffer, FileId, fixed, variable

_REQUEST = struct.Struct("<HHIQQII")
_RESPONSE = struct.Struct("<HHI")
_RESPONSE_END = HEADER_SIZE + _RESPONSE.size


class ChangeNotifyRequest(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.35."""

    flags: int = 0
    output_buffer_length: int = 0
    file_id: FileId = (0, 0)
    completion_filter: int = 0

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> ChangeNotifyRequest:
        _, flags, length, persistent, volatile, completion_filter, _reserved = fixed(
            _REQUEST, message, offset, 32, "CHANGE_NOTIFY request"
        )
        return cls(flags, length, (persistent, volatile), completion_filter)

    def pack(self) -> bytes:
        return _REQUEST.pack(
            32, self.flags, self.output_buffer_length, *self.file_id, self.completion_filter, 0
        )


class ChangeNotifyResponse(msgspec.Struct):
    """*buffer* is a chain of FILE_NOTIFY_INFORMATION (`frevo.wire.fscc.parse_notifications`).

    Reference: [MS-SMB2] 2.2.36.
    """

    buffer: bytes = b""

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> ChangeNotifyResponse:
        what = "CHANGE_NOTIFY response"
        _, buffer_offset, length = fixed(_RESPONSE, message, offset, 9, what)
        return cls(bytes(variable(message, offset, buffer_offset, length, _RESPONSE_END, what)))

    def pack(self) -> bytes:
        return _RESPONSE.pack(9, _RESPONSE_END if self.buffer else 0, len(self.buffer)) + self.buffer
