"""Header, the 64 bytes before every SMB2 body, and the splitting of compounds ([MS-SMB2] 2.2.1)."""

from __future__ import annotations

import struct
from typing import NamedTuple

import msgspec

from frevo.errors import WireError
from frevo.wire.codec import Buffer

_LAYOUT = struct.Struct("<4sHHIHHIIQIIQ16s")
_RESPONSE = struct.Struct("<4sH2xIHHIIQQ24x")
_ASYNC_COMMAND = 0x00000002
_NO_SIGNATURE = bytes(16)

PROTOCOL_ID = b"\xfeSMB"
SMB1_PROTOCOL_ID = b"\xffSMB"
TRANSFORM_PROTOCOL_ID = b"\xfdSMB"
COMPRESSION_PROTOCOL_ID = b"\xfcSMB"


class Header(msgspec.Struct):
    """One SMB2 header. ASYNC_COMMAND in *flags* tells whether async_id or (process_id, tree_id) is on the wire.

    Reference: [MS-SMB2] 2.2.1.1 and 2.2.1.2.
    """

    credit_charge: int = 0
    status: int = 0  #: NTSTATUS in a response; ChannelSequence and Reserved in a 3.x request
    command: int = 0
    credits: int = 0  #: CreditRequest or CreditResponse
    flags: int = 0
    next_command: int = 0  #: offset of the next header of the compound, 0 in the last one
    message_id: int = 0
    process_id: int = 0  #: Reserved in the synchronous form; old clients put a process ID there
    tree_id: int = 0
    async_id: int = 0
    session_id: int = 0
    signature: bytes = _NO_SIGNATURE

    @classmethod
    def parse(cls, buf: Buffer, offset: int = 0) -> Header:
        """The header at *offset*; WireError if it is too short, not SMB2, or its StructureSize is not 64."""
        try:
            (
                protocol,
                size,
                charge,
                status,
                command,
                credits,
                flags,
                next_command,
                message_id,
                process_id,
                tree_id,
                session_id,
                signature,
            ) = _LAYOUT.unpack_from(buf, offset)
        except struct.error:
            raise WireError(f"SMB2 header: {len(buf) - offset} bytes") from None
        if protocol != PROTOCOL_ID or size != 64:
            raise WireError(f"SMB2 header: starts with {protocol!r}, StructureSize {size}")
        if flags & _ASYNC_COMMAND:
            return cls(
                charge,
                status,
                command,
                credits,
                flags,
                next_command,
                message_id,
                0,
                0,
                process_id | tree_id << 32,
                session_id,
                signature,
            )
        return cls(
            charge,
            status,
            command,
            credits,
            flags,
            next_command,
            message_id,
            process_id,
            tree_id,
            0,
            session_id,
            signature,
        )

    def pack(self) -> bytes:
        """The 64 bytes."""
        if self.flags & _ASYNC_COMMAND:
            low, high = self.async_id & 0xFFFFFFFF, self.async_id >> 32
        else:
            low, high = self.process_id, self.tree_id
        return _LAYOUT.pack(
            PROTOCOL_ID,
            64,
            self.credit_charge,
            self.status,
            self.command,
            self.credits,
            self.flags,
            self.next_command,
            self.message_id,
            low,
            high,
            self.session_id,
            self.signature,
        )

    @property
    def channel_sequence(self) -> int:
        """ChannelSequence of a request on 3.x: the low half of the status field."""
        return self.status & 0xFFFF

    @channel_sequence.setter
    def channel_sequence(self, value: int) -> None:
        self.status = (self.status & 0xFFFF0000) | (value & 0xFFFF)


def pack_request_header(
    command: int,
    message_id: int,
    tree_id: int,
    session_id: int,
    charge: int,
    credits: int,
    flags: int,
    next_command: int,
) -> bytes:
    """The header of an unsigned synchronous request: a faster `Header.pack`.

    Reference: [MS-SMB2] 2.2.1.2.
    """
    return _LAYOUT.pack(
        PROTOCOL_ID, 64, charge, 0, command, credits, flags, next_command, message_id, 0, tree_id, session_id,
        _NO_SIGNATURE,
    )  # fmt: skip


class ResponseFields(NamedTuple):
    """The header fields of a response that clients use; *async_id* is one if the flags say so.

    Reference: [MS-SMB2] 2.2.1.
    """

    protocol: bytes
    size: int
    status: int
    command: int
    credits: int
    flags: int
    next_command: int
    message_id: int
    async_id: int


def response_fields(message: Buffer) -> ResponseFields:
    """The header at the start of *message*: a faster `Header.parse`, with the same errors."""
    try:
        fields = ResponseFields._make(_RESPONSE.unpack_from(message))
    except struct.error:
        raise WireError(f"SMB2 header: {len(message)} bytes") from None
    if fields.protocol != PROTOCOL_ID or fields.size != 64:
        raise WireError(f"SMB2 header: starts with {fields.protocol!r}, StructureSize {fields.size}")
    return fields


def split_compound(message: Buffer) -> list[memoryview]:
    """One view per element of the compound *message*; each starts at its header and ends where the next
    begins.

    WireError if a NextCommand is not a multiple of 8, shorter than a header or outside the message. The
    views share the memory of *message*.
    Reference: [MS-SMB2] 3.3.5.2.7.
    """
    view = memoryview(message)
    elements = []
    start, length = 0, len(view)
    while True:
        if length - start < 64:
            raise WireError(f"compound: {length - start} bytes left for a header at {start}")
        next_command = int.from_bytes(view[start + 20 : start + 24], "little")
        if next_command == 0:
            elements.append(view[start:])
            return elements
        if next_command & 7 or next_command < 64 or start + next_command >= length:
            raise WireError(f"compound: NextCommand {next_command} at {start} of {length}")
        elements.append(view[start : start + next_command])
        start += next_command
