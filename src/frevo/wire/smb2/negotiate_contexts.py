"""The typed negotiate contexts of dialect 3.1.1 ([MS-SMB2] 2.2.3.1.1 to 2.2.3.1.7).

Each class has TYPE (its NegotiateContextType), `parse(data)`, `pack()` for the data alone and `context()` for
the element of `NegotiateRequest.contexts`. Contexts without a class here stay raw.
"""

from __future__ import annotations

import struct
from typing import ClassVar, TypeAlias

import msgspec

from frevo.wire.codec import Buffer, Cursor, encode_utf16
from frevo.wire.smb2.constants import NegotiateContextType
from frevo.wire.smb2.negotiate import NegotiateContext

_COUNTS = struct.Struct("<HH")
_COMPRESSION = struct.Struct("<HHI")


def _u16_list(cursor: Cursor, count: int) -> list[int]:
    return list(struct.unpack(f"<{count}H", cursor.view(2 * count)))


def _pack_u16_list(values: list[int]) -> bytes:
    return struct.pack(f"<{len(values)}H", *values)


class PreauthIntegrityCapabilities(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.3.1.1."""

    TYPE: ClassVar[int] = NegotiateContextType.PREAUTH_INTEGRITY_CAPABILITIES
    hash_algorithms: list[int] = msgspec.field(default_factory=list)
    salt: bytes = b""

    @classmethod
    def parse(cls, data: Buffer) -> PreauthIntegrityCapabilities:
        cursor = Cursor(data, "preauth integrity context")
        count, salt_length = cursor.unpack(_COUNTS)
        return cls(_u16_list(cursor, count), cursor.bytes(salt_length))

    def pack(self) -> bytes:
        return (
            _COUNTS.pack(len(self.hash_algorithms), len(self.salt))
            + _pack_u16_list(self.hash_algorithms)
            + self.salt
        )

    def context(self) -> NegotiateContext:
        return NegotiateContext(self.TYPE, self.pack())


class EncryptionCapabilities(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.3.1.2."""

    TYPE: ClassVar[int] = NegotiateContextType.ENCRYPTION_CAPABILITIES
    ciphers: list[int] = msgspec.field(default_factory=list)

    @classmethod
    def parse(cls, data: Buffer) -> EncryptionCapabilities:
        cursor = Cursor(data, "encryption context")
        return cls(_u16_list(cursor, cursor.u16()))

    def pack(self) -> bytes:
        return struct.pack("<H", len(self.ciphers)) + _pack_u16_list(self.ciphers)

    def context(self) -> NegotiateContext:
        return NegotiateContext(self.TYPE, self.pack())


class CompressionCapabilities(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.3.1.3."""

    TYPE: ClassVar[int] = NegotiateContextType.COMPRESSION_CAPABILITIES
    compression_algorithms: list[int] = msgspec.field(default_factory=list)
    flags: int = 0

    @classmethod
    def parse(cls, data: Buffer) -> CompressionCapabilities:
        cursor = Cursor(data, "compression context")
        count, _padding, flags = cursor.unpack(_COMPRESSION)
        return cls(_u16_list(cursor, count), flags)

    def pack(self) -> bytes:
        count = len(self.compression_algorithms)
        return _COMPRESSION.pack(count, 0, self.flags) + _pack_u16_list(self.compression_algorithms)

    def context(self) -> NegotiateContext:
        return NegotiateContext(self.TYPE, self.pack())


class NetnameNegotiateContextId(msgspec.Struct):
    """The server name that the user typed; not null-terminated.

    Reference: [MS-SMB2] 2.2.3.1.4.
    """

    TYPE: ClassVar[int] = NegotiateContextType.NETNAME_NEGOTIATE_CONTEXT_ID
    net_name: str = ""

    @classmethod
    def parse(cls, data: Buffer) -> NetnameNegotiateContextId:
        return cls(Cursor(data, "netname context").utf16(len(data)))

    def pack(self) -> bytes:
        return encode_utf16(self.net_name)

    def context(self) -> NegotiateContext:
        return NegotiateContext(self.TYPE, self.pack())


class TransportCapabilitiesContext(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.3.1.5."""

    TYPE: ClassVar[int] = NegotiateContextType.TRANSPORT_CAPABILITIES
    flags: int = 0

    @classmethod
    def parse(cls, data: Buffer) -> TransportCapabilitiesContext:
        return cls(Cursor(data, "transport context").u32())

    def pack(self) -> bytes:
        return struct.pack("<I", self.flags)

    def context(self) -> NegotiateContext:
        return NegotiateContext(self.TYPE, self.pack())


class RDMATransformCapabilities(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.3.1.6."""

    TYPE: ClassVar[int] = NegotiateContextType.RDMA_TRANSFORM_CAPABILITIES
    rdma_transform_ids: list[int] = msgspec.field(default_factory=list)

    @classmethod
    def parse(cls, data: Buffer) -> RDMATransformCapabilities:
        cursor = Cursor(data, "RDMA transform context")
        count, _reserved1, _reserved2 = cursor.unpack(_COMPRESSION)
        return cls(_u16_list(cursor, count))

    def pack(self) -> bytes:
        return _COMPRESSION.pack(len(self.rdma_transform_ids), 0, 0) + _pack_u16_list(self.rdma_transform_ids)

    def context(self) -> NegotiateContext:
        return NegotiateContext(self.TYPE, self.pack())


class SigningCapabilities(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.3.1.7."""

    TYPE: ClassVar[int] = NegotiateContextType.SIGNING_CAPABILITIES
    signing_algorithms: list[int] = msgspec.field(default_factory=list)

    @classmethod
    def parse(cls, data: Buffer) -> SigningCapabilities:
        cursor = Cursor(data, "signing context")
        return cls(_u16_list(cursor, cursor.u16()))

    def pack(self) -> bytes:
        return struct.pack("<H", len(self.signing_algorithms)) + _pack_u16_list(self.signing_algorithms)

    def context(self) -> NegotiateContext:
        return NegotiateContext(self.TYPE, self.pack())


TypedContext: TypeAlias = (
    PreauthIntegrityCapabilities
    | EncryptionCapabilities
    | CompressionCapabilities
    | NetnameNegotiateContextId
    | TransportCapabilitiesContext
    | RDMATransformCapabilities
    | SigningCapabilities
)

_CLASSES: dict[int, type[TypedContext]] = {
    cls.TYPE: cls
    for cls in (
        PreauthIntegrityCapabilities,
        EncryptionCapabilities,
        CompressionCapabilities,
        NetnameNegotiateContextId,
        TransportCapabilitiesContext,
        RDMATransformCapabilities,
        SigningCapabilities,
    )
}


def typed_context(context: NegotiateContext) -> TypedContext | NegotiateContext:
    """The typed form of *context*, or itself if the type is unknown. WireError if the data does not fit the type."""
    cls = _CLASSES.get(context.context_type)
    return context if cls is None else cls.parse(context.data)
