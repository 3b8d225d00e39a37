"""The file information classes that can be queried ([MS-FSCC] 2.4).

Times are signed: a SET_INFO may hold -1 (stop updating) and -2 (resume) in `FileBasicInformation`.
"""

from __future__ import annotations

import struct
from typing import ClassVar

import msgspec

from frevo.wire.codec import Buffer, encode_utf16, slice_of, unpack, utf16
from frevo.wire.fscc.structure import FixedStructure

_BASIC_SHORT = struct.Struct("<qqqqI")
_ALL = struct.Struct("<qqqqI4xqqI??2xQIIqIII")
_LENGTH = struct.Struct("<I")


class FileBasicInformation(FixedStructure):
    """Reference: [MS-FSCC] 2.4.7."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<qqqqI4x")
    creation_time: int = 0
    last_access_time: int = 0
    last_write_time: int = 0
    change_time: int = 0
    file_attributes: int = 0

    @classmethod
    def parse(cls, data: Buffer) -> FileBasicInformation:
        """From the buffer, with or without the four bytes of padding at its end."""
        return cls(*unpack(_BASIC_SHORT, data, 0, "FileBasicInformation"))

    def pack(self) -> bytes:
        return self.LAYOUT.pack(
            self.creation_time,
            self.last_access_time,
            self.last_write_time,
            self.change_time,
            self.file_attributes,
        )


class FileStandardInformation(FixedStructure):
    """Reference: [MS-FSCC] 2.4.47."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<qqI??2x")
    allocation_size: int = 0
    end_of_file: int = 0
    number_of_links: int = 1
    delete_pending: bool = False
    directory: bool = False


class FileInternalInformation(FixedStructure):
    """Reference: [MS-FSCC] 2.4.27."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<Q")
    index_number: int = 0


class FileEaInformation(FixedStructure):
    """Reference: [MS-FSCC] 2.4.13."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<I")
    ea_size: int = 0


class FileAccessInformation(FixedStructure):
    """Reference: [MS-FSCC] 2.4.1."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<I")
    access_flags: int = 0


class FilePositionInformation(FixedStructure):
    """Reference: [MS-FSCC] 2.4.40."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<q")
    current_byte_offset: int = 0


class FileModeInformation(FixedStructure):
    """Reference: [MS-FSCC] 2.4.31."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<I")
    mode: int = 0


class FileAlignmentInformation(FixedStructure):
    """Reference: [MS-FSCC] 2.4.3."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<I")
    alignment_requirement: int = 0


class FileNameInformation(msgspec.Struct):
    """A name with its length, used for name, normalized name (48), alternate name (21) and short name (40).

    Reference: [MS-FSCC] 2.1.7, 2.4.5, 2.4.36 and 2.4.46.
    """

    file_name: str = ""

    @classmethod
    def parse(cls, data: Buffer) -> FileNameInformation:
        (length,) = unpack(_LENGTH, data, 0, "FileNameInformation")
        return cls(utf16(slice_of(data, 4, length, "FileNameInformation"), "FileNameInformation"))

    def pack(self) -> bytes:
        name = encode_utf16(self.file_name)
        return _LENGTH.pack(len(name)) + name


class FileAllInformation(msgspec.Struct):
    """Basic, standard, internal, EA, access, position, mode, alignment and name in one.

    Reference: [MS-FSCC] 2.4.2.
    """

    creation_time: int = 0
    last_access_time: int = 0
    last_write_time: int = 0
    change_time: int = 0
    file_attributes: int = 0
    allocation_size: int = 0
    end_of_file: int = 0
    number_of_links: int = 1
    delete_pending: bool = False
    directory: bool = False
    index_number: int = 0
    ea_size: int = 0
    access_flags: int = 0
    current_byte_offset: int = 0
    mode: int = 0
    alignment_requirement: int = 0
    file_name: str = ""

    FIXED_SIZE: ClassVar[int] = _ALL.size  #: up to and including FileNameLength; a shorter buffer does not match

    @classmethod
    def parse(cls, data: Buffer) -> FileAllInformation:
        *values, length = unpack(_ALL, data, 0, "FileAllInformation")
        name = utf16(slice_of(data, _ALL.size, length, "FileAllInformation"), "FileAllInformation")
        found = cls(*values)
        found.file_name = name
        return found

    def pack(self) -> bytes:
        name = encode_utf16(self.file_name)
        return (
            _ALL.pack(
                self.creation_time,
                self.last_access_time,
                self.last_write_time,
                self.change_time,
                self.file_attributes,
                self.allocation_size,
                self.end_of_file,
                self.number_of_links,
                self.delete_pending,
                self.directory,
                self.index_number,
                self.ea_size,
                self.access_flags,
                self.current_byte_offset,
                self.mode,
                self.alignment_requirement,
                len(name),
            )
            + name
        )


class FileNetworkOpenInformation(FixedStructure):
    """Reference: [MS-FSCC] 2.4.34."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<qqqqqqI4x")
    creation_time: int = 0
    last_access_time: int = 0
    last_write_time: int = 0
    change_time: int = 0
    allocation_size: int = 0
    end_of_file: int = 0
    file_attributes: int = 0


class FileAttributeTagInformation(FixedStructure):
    """Reference: [MS-FSCC] 2.4.6."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<II")
    file_attributes: int = 0
    reparse_tag: int = 0


class FileCompressionInformation(FixedStructure):
    """Reference: [MS-FSCC] 2.4.9."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<qHBBB3x")
    compressed_file_size: int = 0
    compression_format: int = 0
    compression_unit_shift: int = 0
    chunk_shift: int = 0
    cluster_shift: int = 0


class FileIdInformation(FixedStructure):
    """Reference: [MS-FSCC] 2.4.26."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<Q16s")
    volume_serial_number: int = 0
    file_id: bytes = bytes(16)


class FileStandardLinkInformation(FixedStructure):
    """Reference: [MS-FSCC] 2.4.48."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<II??2x")
    number_of_accessible_links: int = 1
    total_number_of_links: int = 1
    delete_pending: bool = False
    directory: bool = False


class FileCaseSensitiveInformation(FixedStructure):
    """Flag 1: names in the directory are case-sensitive. From ntifs.h; [MS-FSCC] has only its number."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<I")
    flags: int = 0


class FilePipeInformation(FixedStructure):
    """Reference: [MS-FSCC] 2.4.37."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<II")
    read_mode: int = 0
    completion_mode: int = 0


class FilePipeLocalInformation(FixedStructure):
    """Reference: [MS-FSCC] 2.4.38."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<10I")
    named_pipe_type: int = 0
    named_pipe_configuration: int = 0
    maximum_instances: int = 0
    current_instances: int = 0
    inbound_quota: int = 0
    read_data_available: int = 0
    outbound_quota: int = 0
    write_quota_available: int = 0
    named_pipe_state: int = 0
    named_pipe_end: int = 0


class FilePipeRemoteInformation(FixedStructure):
    """Reference: [MS-FSCC] 2.4.39."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<qI4x")
    collect_data_time: int = 0
    maximum_collection_count: int = 0
