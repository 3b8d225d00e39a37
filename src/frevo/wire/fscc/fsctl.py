"""The structures of FSCTLs, except reparse points ([MS-FSCC] 2.3)."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import ClassVar, NamedTuple

import msgspec

from frevo.errors import WireError
from frevo.wire.codec import Buffer, Cursor, FileId, encode_utf16, slice_of, unpack, utf16
from frevo.wire.fscc.structure import FixedStructure

_RANGE = struct.Struct("<qq")
_DUPLICATE = struct.Struct("<QQqqq")
_DUPLICATE_EX = struct.Struct("<QQQqqqII")
_DUPLICATE_EX_SIZE = 0x30  # StructureSize, although the structure has 0x38 bytes ([MS-FSCC] 2.3.9.2)
_PIPE_WAIT = struct.Struct("<qI?x")
_PIPE_PEEK = struct.Struct("<IIII")
_TRIM = struct.Struct("<II")
_TRIM_RANGE = struct.Struct("<QQ")


class FileSetSparseBuffer(msgspec.Struct):
    """An empty buffer means True.

    Reference: [MS-FSCC] 2.3.83.
    """

    set_sparse: bool = True

    @classmethod
    def parse(cls, data: Buffer) -> FileSetSparseBuffer:
        return cls(data[0] != 0 if len(data) else True)

    def pack(self) -> bytes:
        return bytes((self.set_sparse,))


class FileZeroDataInformation(FixedStructure):
    """*beyond_final_zero* is the first byte that is not zeroed. Both are signed; negative values are errors.

    Reference: [MS-FSCC] 2.3.85.
    """

    LAYOUT: ClassVar[struct.Struct] = _RANGE
    file_offset: int = 0
    beyond_final_zero: int = 0


class FileAllocatedRange(NamedTuple):
    """A range with data; the request has one, the response a list. Signed; negative values are errors.

    Reference: [MS-FSCC] 2.3.52 and 2.3.53.
    """

    file_offset: int
    length: int


def parse_allocated_range(data: Buffer) -> FileAllocatedRange:
    """The one range of the request."""
    return FileAllocatedRange(*unpack(_RANGE, data, 0, "FILE_ALLOCATED_RANGE_BUFFER"))


def parse_allocated_ranges(data: Buffer) -> list[FileAllocatedRange]:
    """The ranges of the response."""
    if len(data) % _RANGE.size:
        raise WireError(f"FILE_ALLOCATED_RANGE_BUFFER: {len(data)} bytes")
    return [FileAllocatedRange(*pair) for pair in _RANGE.iter_unpack(data)]


def pack_allocated_ranges(ranges: Iterable[tuple[int, int]]) -> bytes:
    return b"".join(_RANGE.pack(*pair) for pair in ranges)


class DuplicateExtentsData(msgspec.Struct):
    """Reference: [MS-FSCC] 2.3.7.2."""

    source_file_id: FileId = (0, 0)
    source_file_offset: int = 0
    target_file_offset: int = 0
    byte_count: int = 0

    @classmethod
    def parse(cls, data: Buffer) -> DuplicateExtentsData:
        persistent, volatile, *rest = unpack(_DUPLICATE, data, 0, "DUPLICATE_EXTENTS_DATA")
        return cls((persistent, volatile), *rest)

    def pack(self) -> bytes:
        return _DUPLICATE.pack(
            *self.source_file_id, self.source_file_offset, self.target_file_offset, self.byte_count
        )


class DuplicateExtentsDataEx(msgspec.Struct):
    """Flag 1 (DUPLICATE_EXTENTS_DATA_EX_SOURCE_ATOMIC): all or nothing.

    Reference: [MS-FSCC] 2.3.9.2.
    """

    source_file_id: FileId = (0, 0)
    source_file_offset: int = 0
    target_file_offset: int = 0
    byte_count: int = 0
    flags: int = 0

    @classmethod
    def parse(cls, data: Buffer) -> DuplicateExtentsDataEx:
        size, persistent, volatile, source, target, count, flags, _reserved = unpack(
            _DUPLICATE_EX, data, 0, "DUPLICATE_EXTENTS_DATA_EX"
        )
        if size not in (_DUPLICATE_EX_SIZE, _DUPLICATE_EX.size):
            raise WireError(f"DUPLICATE_EXTENTS_DATA_EX: StructureSize {size}")
        return cls((persistent, volatile), source, target, count, flags)

    def pack(self) -> bytes:
        return _DUPLICATE_EX.pack(
            _DUPLICATE_EX_SIZE,
            *self.source_file_id,
            self.source_file_offset,
            self.target_file_offset,
            self.byte_count,
            self.flags,
            0,
        )


class GetIntegrityInformation(FixedStructure):
    """Reference: [MS-FSCC] 2.3.20."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<H2xIII")
    checksum_algorithm: int = 0
    flags: int = 0
    checksum_chunk_size: int = 0
    cluster_size: int = 0


class SetIntegrityInformation(FixedStructure):
    """Reference: [MS-FSCC] 2.3.73."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<H2xI")
    checksum_algorithm: int = 0
    flags: int = 0


class FileObjectIdBuffer(FixedStructure):
    """Reference: [MS-FSCC] 2.1.3.1."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<16s16s16s16s")
    object_id: bytes = bytes(16)
    birth_volume_id: bytes = bytes(16)
    birth_object_id: bytes = bytes(16)
    domain_id: bytes = bytes(16)


class CompressionState(FixedStructure):
    """The response of GET_COMPRESSION and the request of SET_COMPRESSION: 0 none, 1 default, 2 LZNT1.

    Reference: [MS-FSCC] 2.3.18 and 2.3.67.
    """

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<H")
    compression_format: int = 0


class FilePipeWaitBuffer(msgspec.Struct):
    """*timeout* in units of 100 ns, valid if timeout_specified.

    Reference: [MS-FSCC] 2.3.49.
    """

    timeout: int = 0
    timeout_specified: bool = False
    name: str = ""

    @classmethod
    def parse(cls, data: Buffer) -> FilePipeWaitBuffer:
        timeout, length, specified = unpack(_PIPE_WAIT, data, 0, "FSCTL_PIPE_WAIT")
        name = utf16(slice_of(data, _PIPE_WAIT.size, length, "FSCTL_PIPE_WAIT"), "FSCTL_PIPE_WAIT")
        return cls(timeout, specified, name)

    def pack(self) -> bytes:
        raw = encode_utf16(self.name)
        return _PIPE_WAIT.pack(self.timeout, len(raw), self.timeout_specified) + raw


class FilePipePeekBuffer(msgspec.Struct):
    """Reference: [MS-FSCC] 2.3.45."""

    named_pipe_state: int = 3
    read_data_available: int = 0
    number_of_messages: int = 0
    message_length: int = 0
    data: bytes = b""

    @classmethod
    def parse(cls, data: Buffer) -> FilePipePeekBuffer:
        cursor = Cursor(data, "FSCTL_PIPE_PEEK")
        state, available, messages, length = cursor.unpack(_PIPE_PEEK)
        return cls(state, available, messages, length, bytes(cursor.rest()))

    def pack(self) -> bytes:
        head = _PIPE_PEEK.pack(
            self.named_pipe_state, self.read_data_available, self.number_of_messages, self.message_length
        )
        return head + self.data


class FileLevelTrim(msgspec.Struct):
    """*ranges* are (offset, length).

    Reference: [MS-FSCC] 2.3.13.
    """

    ranges: list[tuple[int, int]] = msgspec.field(default_factory=list)
    key: int = 0

    @classmethod
    def parse(cls, data: Buffer) -> FileLevelTrim:
        cursor = Cursor(data, "FILE_LEVEL_TRIM")
        key, count = cursor.unpack(_TRIM)
        pairs = _TRIM_RANGE.iter_unpack(cursor.view(count * _TRIM_RANGE.size))
        return cls([(offset, length) for offset, length in pairs], key)

    def pack(self) -> bytes:
        body = b"".join(_TRIM_RANGE.pack(*pair) for pair in self.ranges)
        return _TRIM.pack(self.key, len(self.ranges)) + body
