"""Reparse point buffers: generic, symbolic link and mount point ([MS-FSCC] 2.1.2)."""

from __future__ import annotations

import struct

import msgspec

from frevo.errors import WireError
from frevo.wire.codec import Buffer, Cursor, encode_utf16, slice_of, unpack, utf16
from frevo.wire.fscc.constants import ReparseTag

_HEAD = struct.Struct("<IHH")
_SYMLINK = struct.Struct("<HHHHI")
_MOUNT_POINT = struct.Struct("<HHHH")
_GUID_SIZE = 16

#: The largest reparse buffer of a file ([MS-FSCC] 2.1.2.2).
REPARSE_DATA_SIZE_MAX = 16384


class ReparseDataBuffer(msgspec.Struct):
    """Any reparse point: its tag and raw data; *guid* is set if the tag is not Microsoft's (bit 31 clear).

    Reference: [MS-FSCC] 2.1.2.2 and 2.1.2.3.
    """

    reparse_tag: int = 0
    data: bytes = b""
    guid: bytes = b""

    @classmethod
    def parse(cls, data: Buffer) -> ReparseDataBuffer:
        tag, length, _reserved = unpack(_HEAD, data, 0, "REPARSE_DATA_BUFFER")
        start = _HEAD.size + (0 if tag & 0x80000000 else _GUID_SIZE)
        guid = bytes(slice_of(data, _HEAD.size, start - _HEAD.size, "REPARSE_GUID_DATA_BUFFER"))
        return cls(tag, bytes(slice_of(data, start, length, "REPARSE_DATA_BUFFER")), guid)

    def pack(self) -> bytes:
        return _HEAD.pack(self.reparse_tag, len(self.data), 0) + self.guid + self.data


class SymbolicLinkReparseData(msgspec.Struct):
    r"""The data of a SYMLINK reparse point. Flag 1: substitute_name is relative.

    Reference: [MS-FSCC] 2.1.2.4.
    """

    substitute_name: str = ""
    print_name: str = ""
    flags: int = 0

    @classmethod
    def parse(cls, data: Buffer) -> SymbolicLinkReparseData:
        """From the `data` of a ReparseDataBuffer."""
        cursor = Cursor(data, "symbolic link reparse data")
        substitute_offset, substitute_length, print_offset, print_length, flags = cursor.unpack(_SYMLINK)
        names = Cursor(cursor.rest(), "symbolic link reparse data")
        substitute = utf16(names.at(substitute_offset, substitute_length), "SubstituteName")
        return cls(substitute, utf16(names.at(print_offset, print_length), "PrintName"), flags)

    def pack(self) -> bytes:
        """The `data` of a ReparseDataBuffer."""
        substitute, printed = encode_utf16(self.substitute_name), encode_utf16(self.print_name)
        head = _SYMLINK.pack(0, len(substitute), len(substitute), len(printed), self.flags)
        return head + substitute + printed

    def buffer(self) -> bytes:
        """The whole REPARSE_DATA_BUFFER."""
        return ReparseDataBuffer(ReparseTag.SYMLINK, self.pack()).pack()


class MountPointReparseData(msgspec.Struct):
    """The data of a MOUNT_POINT reparse point (junction); both names end in a null that their lengths do not include.

    Reference: [MS-FSCC] 2.1.2.5.
    """

    substitute_name: str = ""
    print_name: str = ""

    @classmethod
    def parse(cls, data: Buffer) -> MountPointReparseData:
        cursor = Cursor(data, "mount point reparse data")
        substitute_offset, substitute_length, print_offset, print_length = cursor.unpack(_MOUNT_POINT)
        names = Cursor(cursor.rest(), "mount point reparse data")
        substitute = utf16(names.at(substitute_offset, substitute_length), "SubstituteName")
        return cls(substitute, utf16(names.at(print_offset, print_length), "PrintName"))

    def pack(self) -> bytes:
        substitute, printed = encode_utf16(self.substitute_name), encode_utf16(self.print_name)
        if len(substitute) + len(printed) > REPARSE_DATA_SIZE_MAX:
            raise WireError("mount point reparse data: names too long")
        head = _MOUNT_POINT.pack(0, len(substitute), len(substitute) + 2, len(printed))
        return head + substitute + b"\0\0" + printed + b"\0\0"
