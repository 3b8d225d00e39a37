"""NegotiateRequest, NegotiateResponse and their list of contexts ([MS-SMB2] 2.2.3 and 2.2.4)."""

from __future__ import annotations

import struct
from typing import NamedTuple

import msgspec

from frevo.errors import WireError
from frevo.wire.codec import HEADER_SIZE, Buffer, fixed, padding, unpack, variable

_REQUEST = struct.Struct("<HHHHI16sIHH")
_RESPONSE = struct.Struct("<HHHH16sIIIIQQHHI")
_CONTEXT = struct.Struct("<HHI")
_SMB_3_1_1 = 0x0311

#: Most contexts of one message: a few times the number of types.
CONTEXTS_MAX = 64


class NegotiateContext(NamedTuple):
    """One context, its type and raw data; the typed classes are in negotiate_contexts.

    Reference: [MS-SMB2] 2.2.3.1.
    """

    context_type: int
    data: bytes


def pack_contexts(contexts: list[NegotiateContext]) -> bytes:
    """The context list; each one but the last is padded to 8 bytes."""
    out = bytearray()
    for context_type, data in contexts:
        out += padding(len(out))
        out += _CONTEXT.pack(context_type, len(data), 0)
        out += data
    return bytes(out)


def parse_contexts(message: Buffer, position: int, count: int) -> list[NegotiateContext]:
    """*count* contexts from *position* to the end of *message*."""
    if count > CONTEXTS_MAX:
        raise WireError(f"{count} negotiate contexts")
    contexts = []
    for index in range(count):
        context_type, length, _reserved = unpack(_CONTEXT, message, position, "negotiate context")
        position += 8
        if position + length > len(message):
            raise WireError(f"negotiate context {index}: DataLength {length} lies outside")
        contexts.append(NegotiateContext(context_type, bytes(message[position : position + length])))
        position += length + -length % 8
    return contexts


class NegotiateRequest(msgspec.Struct):
    """What the client supports. *contexts* is on the wire only if dialects contains 0x0311.

    Reference: [MS-SMB2] 2.2.3.
    """

    dialects: list[int] = msgspec.field(default_factory=list)
    security_mode: int = 0
    capabilities: int = 0
    client_guid: bytes = bytes(16)
    client_start_time: int = 0  #: FILETIME; with 0x0311 the offset and count of the contexts are in its place
    contexts: list[NegotiateContext] = msgspec.field(default_factory=list)

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> NegotiateRequest:
        _, count, mode, _reserved, capabilities, guid, context_offset, context_count, reserved2 = fixed(
            _REQUEST, message, offset, 36, "NEGOTIATE request"
        )
        end = offset + HEADER_SIZE + _REQUEST.size + 2 * count
        if end > len(message):
            raise WireError(f"NEGOTIATE request: DialectCount {count} lies outside")
        dialects = list(struct.unpack_from(f"<{count}H", message, offset + HEADER_SIZE + _REQUEST.size))
        if _SMB_3_1_1 not in dialects:
            start_time = context_offset | context_count << 32 | reserved2 << 48
            return cls(dialects, mode, capabilities, guid, start_time)
        if context_count and offset + context_offset < end:
            raise WireError(f"NEGOTIATE request: NegotiateContextOffset {context_offset} points back")
        contexts = parse_contexts(message, offset + context_offset, context_count)
        return cls(dialects, mode, capabilities, guid, 0, contexts)

    def pack(self) -> bytes:
        count = len(self.dialects)
        dialects = struct.pack(f"<{count}H", *self.dialects)
        if _SMB_3_1_1 not in self.dialects:
            time = self.client_start_time
            tail = (time & 0xFFFFFFFF, time >> 32 & 0xFFFF, time >> 48)
            return (
                _REQUEST.pack(36, count, self.security_mode, 0, self.capabilities, self.client_guid, *tail)
                + dialects
            )
        dialects += padding(HEADER_SIZE + _REQUEST.size + len(dialects))
        tail = (HEADER_SIZE + _REQUEST.size + len(dialects), len(self.contexts), 0)
        head = _REQUEST.pack(36, count, self.security_mode, 0, self.capabilities, self.client_guid, *tail)
        return head + dialects + pack_contexts(self.contexts)


class NegotiateResponse(msgspec.Struct):
    """What the server chose. *contexts* is on the wire only if dialect_revision is 0x0311.

    Reference: [MS-SMB2] 2.2.4.
    """

    security_mode: int = 0
    dialect_revision: int = 0
    server_guid: bytes = bytes(16)
    capabilities: int = 0
    max_transact_size: int = 0
    max_read_size: int = 0
    max_write_size: int = 0
    system_time: int = 0
    server_start_time: int = 0
    security_buffer: bytes = b""
    contexts: list[NegotiateContext] = msgspec.field(default_factory=list)

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> NegotiateResponse:
        (
            _,
            mode,
            dialect,
            count,
            guid,
            capabilities,
            transact,
            read,
            write,
            now,
            start,
            buffer_offset,
            buffer_length,
            context_offset,
        ) = fixed(_RESPONSE, message, offset, 65, "NEGOTIATE response")
        minimum = HEADER_SIZE + _RESPONSE.size
        blob = variable(
            message, offset, buffer_offset, buffer_length, minimum, "NEGOTIATE response SecurityBuffer"
        )
        contexts = []
        if dialect == _SMB_3_1_1 and count:
            if context_offset < minimum:
                raise WireError(f"NEGOTIATE response: NegotiateContextOffset {context_offset} points back")
            contexts = parse_contexts(message, offset + context_offset, count)
        return cls(
            mode, dialect, guid, capabilities, transact, read, write, now, start, bytes(blob), contexts
        )

    def pack(self) -> bytes:
        start = HEADER_SIZE + _RESPONSE.size
        buffer = self.security_buffer
        count = context_offset = 0
        tail = b""
        if self.dialect_revision == _SMB_3_1_1:
            pad = padding(start + len(buffer))
            count, context_offset = len(self.contexts), start + len(buffer) + len(pad)
            tail = pad + pack_contexts(self.contexts)
        head = _RESPONSE.pack(
            65,
            self.security_mode,
            self.dialect_revision,
            count,
            self.server_guid,
            self.capabilities,
            self.max_transact_size,
            self.max_read_size,
            self.max_write_size,
            self.system_time,
            self.server_start_time,
            start,
            len(buffer),
            context_offset,
        )
        return head + buffer + tail
