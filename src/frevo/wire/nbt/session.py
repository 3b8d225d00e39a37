"""The NetBIOS session service: packet header, session request and responses ([RFC1002] 4.3)."""

from __future__ import annotations

import struct

import msgspec

from frevo.errors import WireError
from frevo.wire.codec import Buffer, OpenEnum, unpack
from frevo.wire.nbt.name import NetBIOSName, parse_name

_HEAD = struct.Struct(">BBH")
_RETARGET = struct.Struct(">4sH")

#: Bit 0 of FLAGS extends LENGTH to 17 bits.
LENGTH_MAX = 0x1FFFF


class PacketType(OpenEnum):
    """Reference: [RFC1002] 4.3.1."""

    SESSION_MESSAGE = 0x00
    SESSION_REQUEST = 0x81
    POSITIVE_SESSION_RESPONSE = 0x82
    NEGATIVE_SESSION_RESPONSE = 0x83
    RETARGET_SESSION_RESPONSE = 0x84
    SESSION_KEEPALIVE = 0x85


class SessionError(OpenEnum):
    """The reason for refusing a session request.

    Reference: [RFC1002] 4.3.4.
    """

    NOT_LISTENING_ON_CALLED_NAME = 0x80
    NOT_LISTENING_FOR_CALLING_NAME = 0x81
    CALLED_NAME_NOT_PRESENT = 0x82
    INSUFFICIENT_RESOURCES = 0x83
    UNSPECIFIED_ERROR = 0x8F


class SessionHeader(msgspec.Struct):
    """The four bytes before every packet.

    Reference: [RFC1002] 4.3.1.
    """

    packet_type: int = 0
    length: int = 0  #: bytes that follow, at most LENGTH_MAX

    @classmethod
    def parse(cls, data: Buffer, offset: int = 0) -> SessionHeader:
        packet_type, flags, length = unpack(_HEAD, data, offset, "NetBIOS session header")
        if flags > 1:
            raise WireError(f"NetBIOS session header: FLAGS 0x{flags:02X}")
        return cls(packet_type, flags << 16 | length)

    def pack(self) -> bytes:
        return _HEAD.pack(self.packet_type, self.length >> 16, self.length & 0xFFFF)


class SessionRequest(msgspec.Struct):
    """The called and the calling name.

    Reference: [RFC1002] 4.3.2.
    """

    called_name: NetBIOSName
    calling_name: NetBIOSName

    @classmethod
    def parse(cls, payload: Buffer) -> SessionRequest:
        """From the packet without its four-byte header."""
        called, position = parse_name(payload, 0)
        calling, position = parse_name(payload, position)
        if position != len(payload):
            raise WireError(f"NetBIOS session request: {len(payload) - position} bytes too many")
        return cls(called, calling)

    def pack(self) -> bytes:
        """The whole packet, with its header."""
        body = self.called_name.pack() + self.calling_name.pack()
        return SessionHeader(PacketType.SESSION_REQUEST, len(body)).pack() + body


class NegativeSessionResponse(msgspec.Struct):
    """Reference: [RFC1002] 4.3.4."""

    error_code: int = SessionError.UNSPECIFIED_ERROR.value

    @classmethod
    def parse(cls, payload: Buffer) -> NegativeSessionResponse:
        if len(payload) != 1:
            raise WireError(f"negative session response: {len(payload)} bytes")
        return cls(payload[0])

    def pack(self) -> bytes:
        """The whole packet, with its header."""
        return SessionHeader(PacketType.NEGATIVE_SESSION_RESPONSE, 1).pack() + bytes((self.error_code,))


class RetargetSessionResponse(msgspec.Struct):
    """Reference: [RFC1002] 4.3.5."""

    ip_address: bytes = bytes(4)
    port: int = 0

    @classmethod
    def parse(cls, payload: Buffer) -> RetargetSessionResponse:
        return cls(*unpack(_RETARGET, payload, 0, "retarget session response"))

    def pack(self) -> bytes:
        """The whole packet, with its header."""
        head = SessionHeader(PacketType.RETARGET_SESSION_RESPONSE, _RETARGET.size).pack()
        return head + _RETARGET.pack(self.ip_address, self.port)


POSITIVE_SESSION_RESPONSE = SessionHeader(PacketType.POSITIVE_SESSION_RESPONSE).pack()
SESSION_KEEPALIVE = SessionHeader(PacketType.SESSION_KEEPALIVE).pack()
