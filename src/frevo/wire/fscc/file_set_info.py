"""The file information classes that can be set: rename, link, disposition and sizes ([MS-FSCC] 2.4)."""

from __future__ import annotations

import struct
from typing import ClassVar

import msgspec

from frevo.wire.codec import Buffer, encode_utf16, slice_of, unpack, utf16
from frevo.wire.fscc.structure import FixedStructure

_NAMED = struct.Struct("<?7xQI")
_NAMED_EX = struct.Struct("<I4xQI")
_SIZE_MIN = 24  # the size of Windows' fixed structure with its padding


def _pack_name(head: bytes, raw: bytes) -> bytes:
    return (head + raw).ljust(_SIZE_MIN, b"\0")


class FileRenameInformation(msgspec.Struct):
    """*file_name* is relative to the share: SMB2 does not allow a root_directory.

    Reference: [MS-FSCC] 2.4.42.2.
    """

    replace_if_exists: bool = False
    root_directory: int = 0
    file_name: str = ""

    @classmethod
    def parse(cls, data: Buffer) -> FileRenameInformation:
        replace, root, length = unpack(_NAMED, data, 0, cls.__name__)
        return cls(replace, root, utf16(slice_of(data, _NAMED.size, length, cls.__name__), cls.__name__))

    def pack(self) -> bytes:
        raw = encode_utf16(self.file_name)
        return _pack_name(_NAMED.pack(self.replace_if_exists, self.root_directory, len(raw)), raw)


class FileLinkInformation(msgspec.Struct):
    """Reference: [MS-FSCC] 2.4.28.2."""

    replace_if_exists: bool = False
    root_directory: int = 0
    file_name: str = ""

    @classmethod
    def parse(cls, data: Buffer) -> FileLinkInformation:
        replace, root, length = unpack(_NAMED, data, 0, cls.__name__)
        return cls(replace, root, utf16(slice_of(data, _NAMED.size, length, cls.__name__), cls.__name__))

    def pack(self) -> bytes:
        raw = encode_utf16(self.file_name)
        return _pack_name(_NAMED.pack(self.replace_if_exists, self.root_directory, len(raw)), raw)


class FileRenameInformationEx(msgspec.Struct):
    """Flags are RenameFlags.

    Reference: [MS-FSCC] 2.4.43.
    """

    flags: int = 0
    root_directory: int = 0
    file_name: str = ""

    @classmethod
    def parse(cls, data: Buffer) -> FileRenameInformationEx:
        flags, root, length = unpack(_NAMED_EX, data, 0, cls.__name__)
        return cls(flags, root, utf16(slice_of(data, _NAMED_EX.size, length, cls.__name__), cls.__name__))

    def pack(self) -> bytes:
        raw = encode_utf16(self.file_name)
        return _pack_name(_NAMED_EX.pack(self.flags, self.root_directory, len(raw)), raw)


class FileDispositionInformation(FixedStructure):
    """Reference: [MS-FSCC] 2.4.11."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<?")
    delete_pending: bool = False


class FileDispositionInformationEx(FixedStructure):
    """Flags are DispositionFlags.

    Reference: [MS-FSCC] 2.4.12.
    """

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<I")
    flags: int = 0


class FileAllocationInformation(FixedStructure):
    """Reference: [MS-FSCC] 2.4.4."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<q")
    allocation_size: int = 0


class FileEndOfFileInformation(FixedStructure):
    """Reference: [MS-FSCC] 2.4.14."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<q")
    end_of_file: int = 0


class FileValidDataLengthInformation(FixedStructure):
    """Reference: [MS-FSCC] 2.4.51."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<q")
    valid_data_length: int = 0
