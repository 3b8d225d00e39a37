"""CloseRequest and CloseResponse ([MS-SMB2] 2.2.15 and 2.2.16)."""

from __future__ import annotations

import struct

import msgspec

from frevo.wire.codec import Buffer, FileId, fixed

_REQUEST = struct.Struct("<HHIQQ")
_RESPONSE = struct.Struct("<HHIQQQQQQI")


class CloseRequest(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.15."""

    flags: int = 0
    file_id: FileId = (0, 0)

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> CloseRequest:
        _, flags, _reserved, persistent, volatile = fixed(_REQUEST, message, offset, 24, "CLOSE request")
        return cls(flags, (persistent, volatile))

    def pack(self) -> bytes:
        return _REQUEST.pack(24, self.flags, 0, *self.file_id)


class CloseResponse(msgspec.Struct):
    """All zero unless the request had POSTQUERY_ATTRIB.

    Reference: [MS-SMB2] 2.2.16.
    """

    flags: int = 0
    creation_time: int = 0
    last_access_time: int = 0
    last_write_time: int = 0
    change_time: int = 0
    allocation_size: int = 0
    end_of_file: int = 0
    file_attributes: int = 0

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> CloseResponse:
        _, flags, _reserved, creation, access, write, change, allocation, end_of_file, attributes = fixed(
            _RESPONSE, message, offset, 60, "CLOSE response"
        )
        return cls(flags, creation, access, write, change, allocation, end_of_file, attributes)

    def pack(self) -> bytes:
        return _RESPONSE.pack(
            60,
            self.flags,
            0,
            self.creation_time,
            self.last_access_time,
            self.last_write_time,
            self.change_time,
            self.allocation_size,
            self.end_of_file,
            self.file_attributes,
        )
