"""QueryDirectoryRequest and QueryDirectoryResponse ([MS-SMB2] 2.2.33 and 2.2.34)."""

from __future__ import annotations

import struct

import msgspec

from frevo.wire.codec import HEADER_SIZE, Buffer, FileId, encode_utf16, fixed, utf16, variable

_REQUEST = struct.Struct("<HBBIQQHHI")
_RESPONSE = struct.Struct("<HHI")
_REQUEST_END = HEADER_SIZE + _REQUEST.size
_RESPONSE_END = HEADER_SIZE + _RESPONSE.size


class QueryDirectoryRequest(msgspec.Struct):
    """*file_name* is the search pattern.

    Reference: [MS-SMB2] 2.2.33.
    """

    file_information_class: int = 0
    flags: int = 0
    file_index: int = 0
    file_id: FileId = (0, 0)
    output_buffer_length: int = 0
    file_name: str = ""

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> QueryDirectoryRequest:
        _, info_class, flags, index, persistent, volatile, name_offset, name_length, output = fixed(
            _REQUEST, message, offset, 33, "QUERY_DIRECTORY request"
        )
        raw = variable(message, offset, name_offset, name_length, _REQUEST_END, "QUERY_DIRECTORY FileName")
        return cls(
            info_class, flags, index, (persistent, volatile), output, utf16(raw, "QUERY_DIRECTORY FileName")
        )

    def pack(self) -> bytes:
        name = encode_utf16(self.file_name)
        head = _REQUEST.pack(
            33,
            self.file_information_class,
            self.flags,
            self.file_index,
            *self.file_id,
            _REQUEST_END if name else 0,
            len(name),
            self.output_buffer_length,
        )
        return head + (name or b"\0")


class QueryDirectoryResponse(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.34."""

    buffer: bytes | bytearray | memoryview = b""

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> QueryDirectoryResponse:
        what = "QUERY_DIRECTORY response"
        _, buffer_offset, length = fixed(_RESPONSE, message, offset, 9, what)
        return cls(bytes(variable(message, offset, buffer_offset, length, _RESPONSE_END, what)))

    def pack(self) -> bytes:
        return b"".join((_RESPONSE.pack(9, _RESPONSE_END, len(self.buffer)), self.buffer))
