"""QueryInfoRequest and QueryInfoResponse ([MS-SMB2] 2.2.37 and 2.2.38)."""

from __future__ import annotations

import struct

import msgspec

from frevo.wire.codec import HEADER_SIZE, Buffer, FileId, fixed, variable

_REQUEST = struct.Struct("<HBBIHHIIIQQ")
_RESPONSE = struct.Struct("<HHI")
_REQUEST_END = HEADER_SIZE + _REQUEST.size
_RESPONSE_END = HEADER_SIZE + _RESPONSE.size


class QueryInfoRequest(msgspec.Struct):
    """*buffer* is the input: an EA name list or a quota query.

    Reference: [MS-SMB2] 2.2.37.
    """

    info_type: int = 0
    file_info_class: int = 0
    output_buffer_length: int = 0
    additional_information: int = 0
    flags: int = 0
    file_id: FileId = (0, 0)
    buffer: bytes = b""

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> QueryInfoRequest:
        (
            _,
            info_type,
            info_class,
            output,
            input_offset,
            _reserved,
            input_length,
            additional,
            flags,
            persistent,
            volatile,
        ) = fixed(_REQUEST, message, offset, 41, "QUERY_INFO request")
        buffer = b""
        if input_length:
            buffer = bytes(
                variable(message, offset, input_offset, input_length, _REQUEST_END, "QUERY_INFO input")
            )
        return cls(info_type, info_class, output, additional, flags, (persistent, volatile), buffer)

    def pack(self) -> bytes:
        head = _REQUEST.pack(
            41,
            self.info_type,
            self.file_info_class,
            self.output_buffer_length,
            _REQUEST_END if self.buffer else 0,
            0,
            len(self.buffer),
            self.additional_information,
            self.flags,
            *self.file_id,
        )
        return head + (self.buffer or b"\0")


class QueryInfoResponse(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.38."""

    buffer: bytes = b""

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> QueryInfoResponse:
        what = "QUERY_INFO response"
        _, buffer_offset, length = fixed(_RESPONSE, message, offset, 9, what)
        return cls(bytes(variable(message, offset, buffer_offset, length, _RESPONSE_END, what)))

    def pack(self) -> bytes:
        return _RESPONSE.pack(9, _RESPONSE_END, len(self.buffer)) + self.buffer
