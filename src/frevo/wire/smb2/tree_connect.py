"""TreeConnectRequest and TreeConnectResponse ([MS-SMB2] 2.2.9 and 2.2.10)."""

from __future__ import annotations

import struct

import msgspec

from frevo.errors import WireError
from frevo.wire.codec import HEADER_SIZE, Buffer, encode_utf16, fixed, utf16, variable
from frevo.wire.smb2.constants import TreeConnectFlags

_REQUEST = struct.Struct("<HHHH")
_EXTENSION = struct.Struct("<IH10s")
_RESPONSE = struct.Struct("<HBBIII")
_EXTENSION_PRESENT = TreeConnectFlags.EXTENSION_PRESENT.value


class TreeConnectRequest(msgspec.Struct):
    r"""The \\server\share to connect. *tree_connect_contexts* is the raw list of the 3.1.1 extension.

    Reference: [MS-SMB2] 2.2.9 and 2.2.9.1.
    """

    path: str = ""
    flags: int = 0
    tree_connect_context_count: int = 0
    tree_connect_contexts: bytes = b""

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> TreeConnectRequest:
        what = "TREE_CONNECT request"
        _, flags, path_offset, path_length = fixed(_REQUEST, message, offset, 9, what)
        minimum = HEADER_SIZE + _REQUEST.size
        count, contexts = 0, b""
        if flags & _EXTENSION_PRESENT:
            # PathOffset counts from the header in the extended form, too ([MS-SMB2] 2.2.9).
            try:
                context_offset, count, _reserved = _EXTENSION.unpack_from(message, offset + minimum)
            except struct.error:
                raise WireError(f"{what}: shorter than its extension") from None
            if count:
                # TreeConnectContextOffset counts from the start of this structure, the body.
                start = offset + HEADER_SIZE + context_offset
                if context_offset < _REQUEST.size + _EXTENSION.size or start >= len(message):
                    raise WireError(f"{what}: TreeConnectContextOffset {context_offset} lies outside")
                contexts = bytes(memoryview(message)[start:])
        path = utf16(variable(message, offset, path_offset, path_length, minimum, what), what)
        return cls(path, flags, count, contexts)

    def pack(self) -> bytes:
        path = encode_utf16(self.path)
        if not self.flags & _EXTENSION_PRESENT:
            head = _REQUEST.pack(9, self.flags, HEADER_SIZE + _REQUEST.size, len(path))
            return head + (path or b"\0")
        body = _REQUEST.size + _EXTENSION.size
        pad = bytes(-(body + len(path)) % 8)
        context_offset = body + len(path) + len(pad) if self.tree_connect_context_count else 0
        head = _REQUEST.pack(9, self.flags, HEADER_SIZE + body, len(path))
        extension = _EXTENSION.pack(context_offset, self.tree_connect_context_count, bytes(10))
        return (
            head
            + extension
            + path
            + (pad + self.tree_connect_contexts if self.tree_connect_context_count else b"")
        )


class TreeConnectResponse(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.10."""

    share_type: int = 0
    share_flags: int = 0
    capabilities: int = 0
    maximal_access: int = 0

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> TreeConnectResponse:
        _, share_type, _reserved, flags, capabilities, access = fixed(
            _RESPONSE, message, offset, 16, "TREE_CONNECT response"
        )
        return cls(share_type, flags, capabilities, access)

    def pack(self) -> bytes:
        return _RESPONSE.pack(
            16, self.share_type, 0, self.share_flags, self.capabilities, self.maximal_access
        )
