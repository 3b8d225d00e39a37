"""LockRequest, its LockElements and LockResponse ([MS-SMB2] 2.2.26 and 2.2.27)."""

from __future__ import annotations

import struct

import msgspec

from frevo.errors import WireError
from frevo.wire.codec import HEADER_SIZE, Buffer, FileId, fixed

_REQUEST = struct.Struct("<HHIQQ")
_ELEMENT = struct.Struct("<QQII")
_RESPONSE = struct.Struct("<HH")

#: Most elements of one request: far more than any client sends, and quick to parse.
ELEMENTS_MAX = 8192


class LockElement(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.26.1."""

    offset: int = 0
    length: int = 0
    flags: int = 0


class LockRequest(msgspec.Struct):
    """*lock_sequence* holds LockSequenceNumber (4 bits) and LockSequenceIndex (28 bits); Reserved on 2.0.2.

    Reference: [MS-SMB2] 2.2.26.
    """

    file_id: FileId = (0, 0)
    locks: list[LockElement] = msgspec.field(default_factory=list)
    lock_sequence: int = 0

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> LockRequest:
        _, count, sequence, persistent, volatile = fixed(_REQUEST, message, offset, 48, "LOCK request")
        if count > ELEMENTS_MAX:
            raise WireError(f"LOCK request: LockCount {count}")
        start = offset + HEADER_SIZE + _REQUEST.size
        end = start + count * _ELEMENT.size
        if end > len(message):
            raise WireError(f"LOCK request: LockCount {count} lies outside")
        elements = _ELEMENT.iter_unpack(memoryview(message)[start:end])
        locks = [LockElement(at, length, flags) for at, length, flags, _reserved in elements]
        return cls((persistent, volatile), locks, sequence)

    def pack(self) -> bytes:
        head = _REQUEST.pack(48, len(self.locks), self.lock_sequence, *self.file_id)
        return head + b"".join(_ELEMENT.pack(lock.offset, lock.length, lock.flags, 0) for lock in self.locks)


class LockResponse(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.27."""

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> LockResponse:
        fixed(_RESPONSE, message, offset, 4, "LOCK response")
        return cls()

    def pack(self) -> bytes:
        return _RESPONSE.pack(4, 0)
