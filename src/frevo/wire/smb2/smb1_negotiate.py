"""The SMB1 NEGOTIATE with which old clients ask for SMB2 ([MS-SMB] 2.2.4.5.1, [MS-SMB2] 3.3.5.3.1).

Only the request exists: an SMB2 server answers it with an SMB2 NEGOTIATE response.
"""

from __future__ import annotations

import struct

import msgspec

from frevo.errors import WireError
from frevo.wire.codec import Buffer, Cursor

# Protocol, Command, Status, Flags, Flags2, PIDHigh, SecurityFeatures, Reserved, TID, PIDLow, UID, MID
_HEADER = struct.Struct("<4sBIBHH8sHHHHH")
_COM_NEGOTIATE = 0x72

SMB_2_002 = "SMB 2.002"
SMB_2_WILDCARD = "SMB 2.???"


class SMB1NegotiateRequest(msgspec.Struct):
    """The dialect strings of an SMB1 NEGOTIATE, and the header fields that a response needs.

    Reference: [MS-CIFS] 2.2.4.52.1.
    """

    dialects: list[str] = msgspec.field(default_factory=list)
    flags: int = 0x18
    flags2: int = 0xC843
    pid: int = 0
    mid: int = 0

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> SMB1NegotiateRequest:
        """From the whole message, which begins with 0xFF 'SMB'; WireError for any other SMB1 command."""
        cursor = Cursor(memoryview(message)[offset:], "SMB1 NEGOTIATE")
        protocol, command, _, flags, flags2, pid_high, _, _, _, pid_low, _, mid = cursor.unpack(_HEADER)
        if protocol != b"\xffSMB" or command != _COM_NEGOTIATE:
            raise WireError(f"SMB1 message: {protocol!r}, command 0x{command:02X}")
        if flags & 0x80:
            raise WireError("SMB1 NEGOTIATE: not a request")
        cursor.skip(2 * cursor.u8())
        strings = cursor.bytes(cursor.u16())
        return cls(_dialect_strings(strings), flags, flags2, pid_high << 16 | pid_low, mid)

    def pack(self) -> bytes:
        """The whole message, with its header."""
        strings = b"".join(b"\x02" + name.encode("ascii", "replace") + b"\0" for name in self.dialects)
        head = _HEADER.pack(
            b"\xffSMB",
            _COM_NEGOTIATE,
            0,
            self.flags,
            self.flags2,
            self.pid >> 16,
            bytes(8),
            0,
            0xFFFF,
            self.pid & 0xFFFF,
            0,
            self.mid,
        )
        return head + struct.pack("<BH", 0, len(strings)) + strings


def _dialect_strings(data: bytes) -> list[str]:
    """The null-terminated strings of *data*, each preceded by the buffer format byte 0x02."""
    names = []
    position = 0
    while position < len(data):
        end = data.find(b"\0", position)
        if data[position] != 2 or end < 0:
            raise WireError(f"SMB1 NEGOTIATE: bad dialect string at {position}")
        names.append(data[position + 1 : end].decode("ascii", "replace"))
        position = end + 1
    return names
