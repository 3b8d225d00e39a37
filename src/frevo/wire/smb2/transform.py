"""The headers before encrypted and compressed messages ([MS-SMB2] 2.2.41 and 2.2.42)."""

from __future__ import annotations

import struct

import msgspec

from frevo.errors import WireError
from frevo.wire.codec import Buffer, unpack

_TRANSFORM = struct.Struct("<4s16s16sIHHQ")
_COMPRESSION = struct.Struct("<4sIHHI")


class TransformHeader(msgspec.Struct):
    """The 52 bytes before an encrypted message. *flags* is EncryptionAlgorithm in 3.0 and 3.0.2, and 1 in all dialects.

    Reference: [MS-SMB2] 2.2.41.
    """

    signature: bytes = bytes(16)
    nonce: bytes = bytes(16)
    original_message_size: int = 0
    flags: int = 1
    session_id: int = 0

    @classmethod
    def parse(cls, buf: Buffer, offset: int = 0) -> TransformHeader:
        protocol, signature, nonce, size, _reserved, flags, session_id = unpack(
            _TRANSFORM, buf, offset, "transform header"
        )
        if protocol != b"\xfdSMB":
            raise WireError(f"transform header: starts with {protocol!r}")
        return cls(signature, nonce, size, flags, session_id)

    def pack(self) -> bytes:
        return _TRANSFORM.pack(
            b"\xfdSMB", self.signature, self.nonce, self.original_message_size, 0, self.flags, self.session_id
        )


class CompressionTransformHeader(msgspec.Struct):
    """The 16 bytes before a compressed message. *offset* is Length if *flags* has CHAINED.

    Reference: [MS-SMB2] 2.2.42.1 and 2.2.42.2.
    """

    original_compressed_segment_size: int = 0
    compression_algorithm: int = 0
    flags: int = 0
    offset: int = 0

    @classmethod
    def parse(cls, buf: Buffer, offset: int = 0) -> CompressionTransformHeader:
        protocol, size, algorithm, flags, data_offset = unpack(
            _COMPRESSION, buf, offset, "compression header"
        )
        if protocol != b"\xfcSMB":
            raise WireError(f"compression header: starts with {protocol!r}")
        return cls(size, algorithm, flags, data_offset)

    def pack(self) -> bytes:
        return _COMPRESSION.pack(
            b"\xfcSMB",
            self.original_compressed_segment_size,
            self.compression_algorithm,
            self.flags,
            self.offset,
        )
