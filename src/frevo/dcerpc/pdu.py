"""Connection-oriented DCE/RPC version 5 PDUs: bind, alter context, request, response, fault, and their
fragments.

Little-endian data representation only: every SMB client sends it. [C706] chapter 12.6, [MS-RPCE] 2.2.2.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum, IntFlag
from uuid import UUID

import msgspec

from frevo.errors import WireError

#: Largest fragment that we send or announce ([MS-RPCE] 3.3.1.5.2: Windows' 4280 for named pipes).
FRAGMENT_MAX = 4280
#: Smallest fragment size that a peer may ask for ([C706] 12.6.3.1, MustRecvFragSize is 1432).
FRAGMENT_MIN = 1432

_HEADER = struct.Struct("<BBBBIHHI")  # version, minor, type, flags, data representation, lengths, call ID
_BIND = struct.Struct("<HHIB3x")
_CALL = struct.Struct("<IHH")
HEADER_SIZE = _HEADER.size
_LITTLE_ENDIAN_ASCII = 0x00000010


class PacketType(IntEnum):
    """[C706] 12.6.4.2."""

    REQUEST = 0
    RESPONSE = 2
    FAULT = 3
    BIND = 11
    BIND_ACK = 12
    BIND_NAK = 13
    ALTER_CONTEXT = 14
    ALTER_CONTEXT_RESPONSE = 15
    AUTH3 = 16
    CO_CANCEL = 18
    ORPHANED = 19


class PacketFlags(IntFlag):
    """[C706] 12.6.3.1."""

    FIRST_FRAGMENT = 0x01
    LAST_FRAGMENT = 0x02
    DID_NOT_EXECUTE = 0x20
    OBJECT_UUID = 0x80


WHOLE = PacketFlags.FIRST_FRAGMENT | PacketFlags.LAST_FRAGMENT


class FaultStatus(IntEnum):
    """The status in a FAULT ([C706] appendix E, [MS-ERREF] 2.2)."""

    ACCESS_DENIED = 0x00000005
    BAD_STUB_DATA = 0x000006F7
    CONTEXT_MISMATCH = 0x1C00001A
    OPERATION_RANGE_ERROR = 0x1C010002
    UNKNOWN_INTERFACE = 0x1C010003
    PROTOCOL_ERROR = 0x1C01000B


class NakReason(IntEnum):
    """The reason in a BIND_NAK ([MS-RPCE] 2.2.2.5)."""

    REASON_NOT_SPECIFIED = 0
    PROTOCOL_VERSION_NOT_SUPPORTED = 4
    AUTHENTICATION_TYPE_NOT_RECOGNIZED = 8


class ContextResult(IntEnum):
    """p_cont_def_result_t of [C706] 12.6.3.1."""

    ACCEPTANCE = 0
    PROVIDER_REJECTION = 2


class RejectReason(IntEnum):
    """p_provider_reason_t of [C706] 12.6.3.1."""

    NOT_SPECIFIED = 0
    ABSTRACT_SYNTAX_NOT_SUPPORTED = 1
    TRANSFER_SYNTAXES_NOT_SUPPORTED = 2


class Syntax(msgspec.Struct, frozen=True):
    """An interface or transfer syntax: UUID and version ([C706] 12.6.3.1, p_syntax_id_t)."""

    uuid: UUID
    major: int
    minor: int = 0

    @classmethod
    def parse(cls, data: bytes) -> Syntax:
        major, minor = struct.unpack_from("<HH", data, 16)
        return cls(UUID(bytes_le=bytes(data[:16])), major, minor)

    def pack(self) -> bytes:
        return self.uuid.bytes_le + struct.pack("<HH", self.major, self.minor)


NDR32 = Syntax(UUID("8a885d04-1ceb-11c9-9fe8-08002b104860"), 2)
NDR64 = Syntax(UUID("71710533-beba-4937-8319-b5dbef9ccc36"), 1)
NO_SYNTAX = Syntax(UUID(int=0), 0)


class Packet(msgspec.Struct, frozen=True):
    """One PDU: its header and body, without the authentication trailer."""

    type: int
    flags: int
    call_id: int
    body: bytes
    auth_length: int = 0

    @classmethod
    def parse(cls, data: bytes) -> Packet:
        """From one complete PDU. Raises WireError for another version or data representation, or a bad length."""
        version, minor, kind, flags, representation, size, auth_length, call_id = _HEADER.unpack_from(data)
        if version != 5 or minor > 1:
            raise WireError(f"DCE/RPC version {version}.{minor}")
        if representation & 0xFF != _LITTLE_ENDIAN_ASCII:
            raise WireError(f"data representation {representation:#x}")
        trailer = auth_length + 8 if auth_length else 0
        if size != len(data) or HEADER_SIZE + trailer > size:
            raise WireError(f"fragment of {len(data)} says {size}, authentication {auth_length}")
        return cls(kind, flags, call_id, bytes(data[HEADER_SIZE : size - trailer]), auth_length)

    def pack(self) -> bytes:
        size = HEADER_SIZE + len(self.body)
        header = _HEADER.pack(5, 0, self.type, self.flags, _LITTLE_ENDIAN_ASCII, size, 0, self.call_id)
        return header + self.body


def fragment_length(data: bytes | bytearray) -> int | None:
    """frag_length of the PDU at the start of *data*; None if the 16 header bytes are incomplete.

    Raises WireError if it is less than a header.
    """
    if len(data) < HEADER_SIZE:
        return None
    size = int.from_bytes(data[8:10], "little")
    if size < HEADER_SIZE:
        raise WireError(f"fragment length {size}")
    return size


class PresentationContext(msgspec.Struct, frozen=True):
    """A client's offer: an interface and its transfer syntaxes (p_cont_elem_t)."""

    context_id: int
    abstract: Syntax
    transfers: tuple[Syntax, ...]


class Bind(msgspec.Struct, frozen=True):
    """Body of BIND and ALTER_CONTEXT ([C706] 12.6.4.3)."""

    max_transmit_fragment: int
    max_receive_fragment: int
    association_group: int
    contexts: tuple[PresentationContext, ...]

    @classmethod
    def parse(cls, body: bytes) -> Bind:
        """Raises WireError if the context list does not fit."""
        try:
            transmit, receive, group, count = _BIND.unpack_from(body)
            contexts = tuple(_contexts(body, _BIND.size, count))
        except struct.error as error:
            raise WireError(f"bind: {error}") from None
        return cls(transmit, receive, group, contexts)

    def pack(self) -> bytes:
        parts = [
            _BIND.pack(
                self.max_transmit_fragment,
                self.max_receive_fragment,
                self.association_group,
                len(self.contexts),
            )
        ]
        for context in self.contexts:
            parts.append(struct.pack("<HBx", context.context_id, len(context.transfers)))
            parts += [syntax.pack() for syntax in (context.abstract, *context.transfers)]
        return b"".join(parts)


def _contexts(body: bytes, offset: int, count: int) -> Iterator[PresentationContext]:
    for _ in range(count):
        context_id, transfer_count = struct.unpack_from("<HBx", body, offset)
        end = offset + 4 + 20 * (1 + transfer_count)
        if end > len(body):
            raise WireError("bind: presentation context outside")
        syntaxes = [Syntax.parse(body[at : at + 20]) for at in range(offset + 4, end, 20)]
        yield PresentationContext(context_id, syntaxes[0], tuple(syntaxes[1:]))
        offset = end


class ContextAnswer(msgspec.Struct, frozen=True):
    """p_result_t: accepted with this transfer syntax, or the reason for refusal."""

    result: int
    reason: int
    transfer: Syntax

    def pack(self) -> bytes:
        return struct.pack("<HH", self.result, self.reason) + self.transfer.pack()


ACCEPTED = ContextAnswer(ContextResult.ACCEPTANCE, 0, NDR32)


def rejected(reason: RejectReason) -> ContextAnswer:
    """The answer to a context that is not supported."""
    return ContextAnswer(ContextResult.PROVIDER_REJECTION, reason, NO_SYNTAX)


class BindAck(msgspec.Struct, frozen=True):
    """Body of BIND_ACK and ALTER_CONTEXT_RESPONSE ([C706] 12.6.4.4); the address is empty in the latter."""

    fragment_size: int
    association_group: int
    address: str
    answers: tuple[ContextAnswer, ...]

    def pack(self) -> bytes:
        address = self.address.encode("ascii") + b"\0" if self.address else b""
        sizes = (self.fragment_size, self.fragment_size, self.association_group, len(address))
        head = struct.pack("<HHIH", *sizes) + address
        head += bytes(-(HEADER_SIZE + len(head)) % 4)
        return head + struct.pack("<B3x", len(self.answers)) + b"".join(a.pack() for a in self.answers)


def bind_nak(call_id: int, reason: NakReason) -> bytes:
    """A whole BIND_NAK that names version 5.0 as the one supported ([C706] 12.6.4.5)."""
    return Packet(PacketType.BIND_NAK, WHOLE, call_id, struct.pack("<HBBB3x", reason, 1, 5, 0)).pack()


class Request(msgspec.Struct, frozen=True):
    """Body of REQUEST ([C706] 12.6.4.9): one fragment of a call."""

    context_id: int
    operation: int
    stub: bytes

    @classmethod
    def parse(cls, packet: Packet) -> Request:
        """Raises WireError if the body ends before the stub data."""
        start = _CALL.size + (16 if packet.flags & PacketFlags.OBJECT_UUID else 0)
        if len(packet.body) < start:
            raise WireError("request: body too short")
        _hint, context_id, operation = _CALL.unpack_from(packet.body)
        return cls(context_id, operation, packet.body[start:])

    def pack(self, call_id: int, flags: int = WHOLE) -> bytes:
        body = _CALL.pack(len(self.stub), self.context_id, self.operation) + self.stub
        return Packet(PacketType.REQUEST, flags, call_id, body).pack()


def response_fragments(call_id: int, context_id: int, stub: bytes, fragment_size: int) -> Iterator[bytes]:
    """The RESPONSE PDUs for *stub*, none larger than *fragment_size* ([C706] 12.6.4.10).

    Every fragment but the last carries a multiple of eight bytes, as alignment restarts there.
    """
    room = (fragment_size - HEADER_SIZE - _CALL.size) & ~7
    for start in range(0, max(1, len(stub)), room):
        piece = stub[start : start + room]
        flags = PacketFlags.FIRST_FRAGMENT if start == 0 else PacketFlags(0)
        if start + room >= len(stub):
            flags |= PacketFlags.LAST_FRAGMENT
        head = struct.pack("<IHBx", len(stub) - start, context_id, 0)
        yield Packet(PacketType.RESPONSE, flags, call_id, head + piece).pack()


def fault(call_id: int, context_id: int, status: FaultStatus) -> bytes:
    """A whole FAULT; the operation did not execute ([C706] 12.6.4.7)."""
    body = struct.pack("<IHBxII", 0, context_id, 0, status, 0)
    return Packet(PacketType.FAULT, WHOLE | PacketFlags.DID_NOT_EXECUTE, call_id, body).pack()
