"""WriteRequest and WriteResponse ([MS-SMB2] 2.2.21 and 2.2.22)."""

from __future__ import annotations

import struct

import msgspec

from frevo.errors import WireError
from frevo.wire.codec import EMPTY, HEADER_SIZE, Buffer, FileId, fixed, variable

_REQUEST = struct.Struct("<HHIQQQIIHHI")
_RESPONSE = struct.Struct("<HHIIHH")
_REQUEST_END = HEADER_SIZE + _REQUEST.size
_DATA_OFFSET_MAX = 0x100  # [MS-SMB2] 3.3.5.13


class WriteRequest(msgspec.Struct):
    """*data* is a view into the message when parsed.

    Reference: [MS-SMB2] 2.2.21.
    """

    file_id: FileId = (0, 0)
    offset: int = 0
    data: bytes | bytearray | memoryview = EMPTY
    flags: int = 0
    channel: int = 0
    remaining_bytes: int = 0
    write_channel_info: bytes | memoryview = EMPTY

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> WriteRequest:
        (
            _,
            data_offset,
            length,
            file_offset,
            persistent,
            volatile,
            channel,
            remaining,
            info_offset,
            info_length,
            flags,
        ) = fixed(_REQUEST, message, offset, 49, "WRITE request")
        if data_offset > _DATA_OFFSET_MAX:
            raise WireError(f"WRITE request data: offset {data_offset}")
        data = variable(message, offset, data_offset, length, _REQUEST_END, "WRITE request data")
        info = EMPTY
        if info_length:
            info = variable(message, offset, info_offset, info_length, _REQUEST_END, "WRITE WriteChannelInfo")
        return cls((persistent, volatile), file_offset, data, flags, channel, remaining, info)

    def pack(self) -> bytes:
        data, info = self.data, self.write_channel_info
        info_offset = _REQUEST_END + len(data) if len(info) else 0
        head = _REQUEST.pack(
            49,
            _REQUEST_END,
            len(data),
            self.offset,
            *self.file_id,
            self.channel,
            self.remaining_bytes,
            info_offset,
            len(info),
            self.flags,
        )
        if not len(data) and not len(info):
            return head + b"\0"
        return b"".join((head, data, info))

    def pack_head(self, length: int) -> bytes:
        """The 48 bytes before *length* bytes of data, which the caller appends."""
        return _REQUEST.pack(
            49, _REQUEST_END, length, self.offset, *self.file_id,
            self.channel, self.remaining_bytes, 0, 0, self.flags,
        )  # fmt: skip


class WriteResponse(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.22."""

    count: int = 0
    remaining: int = 0

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> WriteResponse:
        _, _reserved, count, remaining, _info_offset, _info_length = fixed(
            _RESPONSE, message, offset, 17, "WRITE response"
        )
        return cls(count, remaining)

    def pack(self) -> bytes:
        return _RESPONSE.pack(17, 0, self.count, self.remaining, 0, 0)
