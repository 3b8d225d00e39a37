"""SetInfoRequest and SetInfoResponse ([MS-SMB2] 2.2.39 and 2.2.40)."""

from __future__ import annotations

import struct

import msgspec

from frevo.wire.codec import HEADER_SIZE, Buffer, FileId, fixed, variable

_REQUEST = struct.Struct("<HBBIHHIQQ")
_RESPONSE = struct.Struct("<H")
_REQUEST_END = HEADER_SIZE + _REQUEST.size


class SetInfoRequest(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.39."""

    info_type: int = 0
    file_info_class: int = 0
    additional_information: int = 0
    file_id: FileId = (0, 0)
    buffer: bytes = b""

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> SetInfoRequest:
        _, info_type, info_class, length, buffer_offset, _reserved, additional, persistent, volatile = fixed(
            _REQUEST, message, offset, 33, "SET_INFO request"
        )
        buffer = variable(message, offset, buffer_offset, length, _REQUEST_END, "SET_INFO buffer")
        return cls(info_type, info_class, additional, (persistent, volatile), bytes(buffer))

    def pack(self) -> bytes:
        head = _REQUEST.pack(
            33,
            self.info_type,
            self.file_info_class,
            len(self.buffer),
            _REQUEST_END,
            0,
            self.additional_information,
            *self.file_id,
        )
        return head + (self.buffer or b"\0")


class SetInfoResponse(msgspec.Struct):
    """Two bytes.

    Reference: [MS-SMB2] 2.2.40.
    """

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> SetInfoResponse:
        fixed(_RESPONSE, message, offset, 2, "SET_INFO response")
        return cls()

    def pack(self) -> bytes:
        return _RESPONSE.pack(2)
