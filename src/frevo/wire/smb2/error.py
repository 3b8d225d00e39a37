"""ErrorResponse, its 3.1.1 error contexts and the symbolic link error data ([MS-SMB2] 2.2.2)."""

from __future__ import annotations

import struct
from typing import NamedTuple

import msgspec

from frevo.errors import WireError
from frevo.wire.codec import HEADER_SIZE, Buffer, Cursor, encode_utf16, fixed, padding, utf16

_RESPONSE = struct.Struct("<HBBI")
_CONTEXT = struct.Struct("<II")
_SYMLINK = struct.Struct("<IIIHHHHHHI")
_SYMLINK_ERROR_TAG = 0x4C4D5953  # "SYML"
_IO_REPARSE_TAG_SYMLINK = 0xA000000C

ERROR_ID_DEFAULT = 0x00000000
ERROR_ID_SHARE_REDIRECT = 0x72645253  # "SRdr"


class ErrorResponse(msgspec.Struct):
    """The body of every response with an error status.

    *error_data* is raw; with error_context_count > 0 it is a list for `parse_error_contexts`.
    Reference: [MS-SMB2] 2.2.2.
    """

    error_data: bytes = b""
    error_context_count: int = 0

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> ErrorResponse:
        _, count, _reserved, byte_count = fixed(_RESPONSE, message, offset, 9, "ERROR response")
        start = offset + HEADER_SIZE + _RESPONSE.size
        if start + byte_count > len(message):
            raise WireError(f"ERROR response: ByteCount {byte_count} lies outside")
        return cls(bytes(message[start : start + byte_count]), count)

    def pack(self) -> bytes:
        head = _RESPONSE.pack(9, self.error_context_count, 0, len(self.error_data))
        # Even without data, one byte follows ([MS-SMB2] 2.2.2, ErrorData).
        return head + (self.error_data or b"\0")


class ErrorContext(NamedTuple):
    """Reference: [MS-SMB2] 2.2.2.1."""

    error_id: int
    data: bytes


def pack_error_contexts(contexts: list[ErrorContext]) -> bytes:
    """The ErrorData of a 3.1.1 response; each context but the last is padded to 8 bytes."""
    out = bytearray()
    for error_id, data in contexts:
        out += padding(len(out))
        out += _CONTEXT.pack(len(data), error_id)
        out += data
    return bytes(out)


def parse_error_contexts(error_data: Buffer, count: int) -> list[ErrorContext]:
    """*count* contexts from *error_data*."""
    cursor = Cursor(error_data, "error context")
    contexts = []
    for _ in range(count):
        length, error_id = cursor.unpack(_CONTEXT)
        contexts.append(ErrorContext(error_id, cursor.bytes(length)))
        cursor.align(8)
    return contexts


class SymbolicLinkErrorResponse(msgspec.Struct):
    """The ErrorData of STOPPED_ON_SYMLINK: where the link points and how much of the name follows it.

    Reference: [MS-SMB2] 2.2.2.2.1.
    """

    substitute_name: str = ""
    print_name: str = ""
    flags: int = 0
    unparsed_path_length: int = 0  #: bytes of the requested name after the link

    @classmethod
    def parse(cls, data: Buffer) -> SymbolicLinkErrorResponse:
        cursor = Cursor(data, "symbolic link error")
        (
            length,
            tag,
            reparse_tag,
            _reparse_length,
            unparsed,
            substitute_offset,
            substitute_length,
            print_offset,
            print_length,
            flags,
        ) = cursor.unpack(_SYMLINK)
        if tag != _SYMLINK_ERROR_TAG or reparse_tag != _IO_REPARSE_TAG_SYMLINK:
            raise WireError(f"symbolic link error: tags 0x{tag:08X} 0x{reparse_tag:08X}")
        if length + 4 > len(cursor):
            raise WireError(f"symbolic link error: SymLinkLength {length} of {len(cursor)}")
        names = Cursor(cursor.rest(), "symbolic link error")
        substitute = utf16(names.at(substitute_offset, substitute_length), "SubstituteName")
        return cls(substitute, utf16(names.at(print_offset, print_length), "PrintName"), flags, unparsed)

    def pack(self) -> bytes:
        substitute, printed = encode_utf16(self.substitute_name), encode_utf16(self.print_name)
        names = len(substitute) + len(printed)
        head = _SYMLINK.pack(
            _SYMLINK.size - 4 + names,
            _SYMLINK_ERROR_TAG,
            _IO_REPARSE_TAG_SYMLINK,
            12 + names,
            self.unparsed_path_length,
            0,
            len(substitute),
            len(substitute),
            len(printed),
            self.flags,
        )
        return head + substitute + printed
