"""The position of the fields that are checked before a request is parsed: StructureSize, FileId, payload sizes.

Reference: the request structures of [MS-SMB2] 2.2; the checks are 3.3.5.2.5 (credit charge) and 3.3.5.2.7.2 (FileId).
"""

from __future__ import annotations

import struct

import msgspec

from frevo.errors import WireError
from frevo.wire.codec import Buffer
from frevo.wire.smb2.constants import Command

_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_FILE_ID = struct.Struct("<QQ")
_HEADER = 64


class RequestLayout(msgspec.Struct, frozen=True):
    """Offsets from the start of the header; -1 if the request has no such field."""

    structure_size: int
    file_id: int = -1
    sent: tuple[int, ...] = ()  # u32 lengths of the data that the client sends
    expected: tuple[int, ...] = ()  # u32 lengths of the data that the client requests

    def file_id_of(self, message: Buffer) -> tuple[int, int]:
        """(persistent, volatile); WireError if the request is too short."""
        try:
            persistent, volatile = _FILE_ID.unpack_from(message, self.file_id)
        except struct.error:
            raise WireError(f"request: no FileId in {len(message)} bytes") from None
        return persistent, volatile

    def with_file_id(self, body: bytes, file_id: tuple[int, int]) -> bytes:
        """*body* (a request without its header) with another FileId."""
        at = self.file_id - _HEADER
        return body[:at] + _FILE_ID.pack(*file_id) + body[at + _FILE_ID.size :]

    def check_structure_size(self, message: Buffer) -> None:
        """WireError if the body is shorter than its fixed part or its StructureSize is wrong."""
        if len(message) < _HEADER + (self.structure_size & ~1):
            raise WireError(f"request: {len(message)} bytes, StructureSize {self.structure_size}")
        (size,) = _U16.unpack_from(message, _HEADER)
        if size != self.structure_size:
            raise WireError(f"request: StructureSize {size} instead of {self.structure_size}")

    def payload_size(self, message: Buffer) -> int:
        """The bytes that the credit charge must cover: those sent or those requested, whichever is more. Call this
        after `check_structure_size`."""
        sent: int = sum(_U32.unpack_from(message, at)[0] for at in self.sent)
        expected: int = sum(_U32.unpack_from(message, at)[0] for at in self.expected)
        return max(sent, expected)


#: One row per command that a client may send. OPLOCK_BREAK has two sizes and its own check.
REQUEST_LAYOUTS: dict[int, RequestLayout] = {
    Command.NEGOTIATE: RequestLayout(36),
    Command.SESSION_SETUP: RequestLayout(25),
    Command.LOGOFF: RequestLayout(4),
    Command.TREE_CONNECT: RequestLayout(9),
    Command.TREE_DISCONNECT: RequestLayout(4),
    Command.CREATE: RequestLayout(57),
    Command.CLOSE: RequestLayout(24, file_id=72),
    Command.FLUSH: RequestLayout(24, file_id=72),
    Command.READ: RequestLayout(49, file_id=80, expected=(68,)),
    Command.WRITE: RequestLayout(49, file_id=80, sent=(68,)),
    Command.LOCK: RequestLayout(48, file_id=72),
    Command.IOCTL: RequestLayout(57, file_id=72, sent=(92, 104), expected=(96, 108)),
    Command.CANCEL: RequestLayout(4),
    Command.ECHO: RequestLayout(4),
    Command.QUERY_DIRECTORY: RequestLayout(33, file_id=72, expected=(92,)),
    Command.CHANGE_NOTIFY: RequestLayout(32, file_id=72, expected=(68,)),
    Command.QUERY_INFO: RequestLayout(41, file_id=88, sent=(76,), expected=(68,)),
    Command.SET_INFO: RequestLayout(33, file_id=80, sent=(68,)),
}
