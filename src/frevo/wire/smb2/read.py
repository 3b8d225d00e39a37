"""ReadRequest and ReadResponse ([MS-SMB2] 2.2.19 and 2.2.20)."""

from __future__ import annotations

import struct

import msgspec

from frevo.errors import WireError
from frevo.wire.codec import EMPTY, HEADER_SIZE, Buffer, FileId, fixed, variable

_REQUEST = struct.Struct("<HBBIQQQIIIHH")
_PLAIN_REQUEST = struct.Struct("<HBBIQQQIIIHHB")
_RESPONSE = struct.Struct("<HBBIII")
_REQUEST_END = HEADER_SIZE + _REQUEST.size
_RESPONSE_END = HEADER_SIZE + _RESPONSE.size


class ReadRequest(msgspec.Struct):
    """*padding* is the DataOffset that the client prefers; *read_channel_info* is a view into the message.

    Reference: [MS-SMB2] 2.2.19.
    """

    file_id: FileId = (0, 0)
    offset: int = 0
    length: int = 0
    minimum_count: int = 0
    flags: int = 0
    padding: int = 0x50
    channel: int = 0
    remaining_bytes: int = 0
    read_channel_info: bytes | memoryview = EMPTY

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> ReadRequest:
        (
            _,
            padding,
            flags,
            length,
            file_offset,
            persistent,
            volatile,
            minimum,
            channel,
            remaining,
            info_offset,
            info_length,
        ) = fixed(_REQUEST, message, offset, 49, "READ request")
        info = EMPTY
        if info_length:
            info = variable(message, offset, info_offset, info_length, _REQUEST_END, "READ ReadChannelInfo")
        return cls(
            (persistent, volatile), file_offset, length, minimum, flags, padding, channel, remaining, info
        )

    def pack(self) -> bytes:
        info = self.read_channel_info
        head = _REQUEST.pack(
            49,
            self.padding,
            self.flags,
            self.length,
            self.offset,
            *self.file_id,
            self.minimum_count,
            self.channel,
            self.remaining_bytes,
            _REQUEST_END if len(info) else 0,
            len(info),
        )
        return head + (bytes(info) or b"\0")


class ReadResponse(msgspec.Struct):
    """*data* is a view into the message when parsed; *flags* is Reserved2 before 3.1.1.

    Reference: [MS-SMB2] 2.2.20.
    """

    data: bytes | bytearray | memoryview = EMPTY
    data_remaining: int = 0
    flags: int = 0

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> ReadResponse:
        _, data_offset, _reserved, length, remaining, flags = fixed(
            _RESPONSE, message, offset, 17, "READ response"
        )
        data = variable(message, offset, data_offset, length, _RESPONSE_END, "READ response data")
        return cls(data, remaining, flags)

    def pack(self) -> bytes:
        return b"".join((self.pack_head(len(self.data), self.data_remaining, self.flags), self.data))

    @staticmethod
    def pack_head(length: int, data_remaining: int = 0, flags: int = 0) -> bytes:
        """The 16 bytes before *length* bytes of data, which the caller appends."""
        return _RESPONSE.pack(17, _RESPONSE_END, 0, length, data_remaining, flags)


def pack_read_request(file_id: FileId, offset: int, length: int) -> bytes:
    """A faster `ReadRequest(file_id, offset, length).pack()`."""
    return _PLAIN_REQUEST.pack(49, 0x50, 0, length, offset, *file_id, 0, 0, 0, 0, 0, 0)


def read_data(message: Buffer) -> bytes:
    """A faster `ReadResponse.parse(message).data`, as bytes, with the same errors."""
    _, start, _, length, _, _ = fixed(_RESPONSE, message, 0, 17, "READ response")
    if length and (start < _RESPONSE_END or start + length > len(message)):
        raise WireError(
            f"READ response data: offset {start} length {length} lies outside ({len(message)} bytes)"
        )
    return bytes(message[start : start + length])
