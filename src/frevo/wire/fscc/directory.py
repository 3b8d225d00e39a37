"""Directory entries of all classes, and the packer that fills a QUERY_DIRECTORY buffer ([MS-FSCC] 2.4).

This runs for every entry of large directories, so each class is one compiled layout and one function.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

import msgspec

from frevo.errors import WireError
from frevo.wire.codec import Buffer, encode_utf16, slice_of, unpack, utf16
from frevo.wire.fscc.constants import FileInfoClass

_NEXT = struct.Struct("<I")
_DIRECTORY = struct.Struct("<IIqqqqqqII")
_FULL = struct.Struct("<IIqqqqqqIII")
_BOTH = struct.Struct("<IIqqqqqqIIIBx24s")
_ID_BOTH = struct.Struct("<IIqqqqqqIIIBx24s2xQ")
_ID_FULL = struct.Struct("<IIqqqqqqIII4xQ")
_ID_EXTD = struct.Struct("<IIqqqqqqIIIIQQ")
_ID_EXTD_BOTH = struct.Struct("<IIqqqqqqIIIIQQBx24s")
_NAMES = struct.Struct("<III")

_REPARSE_POINT = 0x00000400
_LOW = 0xFFFFFFFFFFFFFFFF


class DirectoryEntry(msgspec.Struct):
    """The fields of all classes together.

    *reparse_tag* takes the place of EaSize if file_attributes has REPARSE_POINT; *file_id* has up to 128 bits in the
    extended classes.

    Reference: [MS-FSCC] 2.4.8, 2.4.10, 2.4.15, 2.4.17 to 2.4.24 and 2.4.33.
    """

    name: str
    file_attributes: int = 0
    creation_time: int = 0
    last_access_time: int = 0
    last_write_time: int = 0
    change_time: int = 0
    end_of_file: int = 0
    allocation_size: int = 0
    file_id: int = 0
    ea_size: int = 0
    short_name: str = ""
    file_index: int = 0
    reparse_tag: int = 0


def _pack_directory(e: DirectoryEntry, name: bytes) -> bytes:
    return _DIRECTORY.pack(
        0, e.file_index, e.creation_time, e.last_access_time, e.last_write_time, e.change_time,
        e.end_of_file, e.allocation_size, e.file_attributes, len(name),
    ) + name  # fmt: skip


def _pack_full(e: DirectoryEntry, name: bytes) -> bytes:
    ea_size = e.reparse_tag if e.file_attributes & _REPARSE_POINT else e.ea_size
    return _FULL.pack(
        0, e.file_index, e.creation_time, e.last_access_time, e.last_write_time, e.change_time,
        e.end_of_file, e.allocation_size, e.file_attributes, len(name), ea_size,
    ) + name  # fmt: skip


def _pack_both(e: DirectoryEntry, name: bytes) -> bytes:
    ea_size = e.reparse_tag if e.file_attributes & _REPARSE_POINT else e.ea_size
    short = encode_utf16(e.short_name)[:24] if e.short_name else b""
    return _BOTH.pack(
        0, e.file_index, e.creation_time, e.last_access_time, e.last_write_time, e.change_time,
        e.end_of_file, e.allocation_size, e.file_attributes, len(name), ea_size, len(short), short,
    ) + name  # fmt: skip


def _pack_id_both(e: DirectoryEntry, name: bytes) -> bytes:
    ea_size = e.reparse_tag if e.file_attributes & _REPARSE_POINT else e.ea_size
    short = encode_utf16(e.short_name)[:24] if e.short_name else b""
    return _ID_BOTH.pack(
        0, e.file_index, e.creation_time, e.last_access_time, e.last_write_time, e.change_time,
        e.end_of_file, e.allocation_size, e.file_attributes, len(name), ea_size, len(short), short,
        e.file_id & _LOW,
    ) + name  # fmt: skip


def _pack_id_full(e: DirectoryEntry, name: bytes) -> bytes:
    ea_size = e.reparse_tag if e.file_attributes & _REPARSE_POINT else e.ea_size
    return _ID_FULL.pack(
        0, e.file_index, e.creation_time, e.last_access_time, e.last_write_time, e.change_time,
        e.end_of_file, e.allocation_size, e.file_attributes, len(name), ea_size, e.file_id & _LOW,
    ) + name  # fmt: skip


def _pack_id_extd(e: DirectoryEntry, name: bytes) -> bytes:
    return _ID_EXTD.pack(
        0, e.file_index, e.creation_time, e.last_access_time, e.last_write_time, e.change_time,
        e.end_of_file, e.allocation_size, e.file_attributes, len(name), e.ea_size, e.reparse_tag,
        e.file_id & _LOW, e.file_id >> 64,
    ) + name  # fmt: skip


def _pack_id_extd_both(e: DirectoryEntry, name: bytes) -> bytes:
    short = encode_utf16(e.short_name)[:24] if e.short_name else b""
    return _ID_EXTD_BOTH.pack(
        0, e.file_index, e.creation_time, e.last_access_time, e.last_write_time, e.change_time,
        e.end_of_file, e.allocation_size, e.file_attributes, len(name), e.ea_size, e.reparse_tag,
        e.file_id & _LOW, e.file_id >> 64, len(short), short,
    ) + name  # fmt: skip


def _pack_names(e: DirectoryEntry, name: bytes) -> bytes:
    return _NAMES.pack(0, e.file_index, len(name)) + name


_PACKERS: dict[int, tuple[struct.Struct, Callable[[DirectoryEntry, bytes], bytes]]] = {
    FileInfoClass.DIRECTORY.value: (_DIRECTORY, _pack_directory),
    FileInfoClass.FULL_DIRECTORY.value: (_FULL, _pack_full),
    FileInfoClass.BOTH_DIRECTORY.value: (_BOTH, _pack_both),
    FileInfoClass.NAMES.value: (_NAMES, _pack_names),
    FileInfoClass.ID_BOTH_DIRECTORY.value: (_ID_BOTH, _pack_id_both),
    FileInfoClass.ID_FULL_DIRECTORY.value: (_ID_FULL, _pack_id_full),
    FileInfoClass.ID_EXTD_DIRECTORY.value: (_ID_EXTD, _pack_id_extd),
    FileInfoClass.ID_EXTD_BOTH_DIRECTORY.value: (_ID_EXTD_BOTH, _pack_id_extd_both),
}

#: The classes of QUERY_DIRECTORY that this file can pack.
DIRECTORY_CLASSES = frozenset(_PACKERS)


def entry_fixed_size(info_class: int) -> int:
    """Bytes of an entry of *info_class* before its name."""
    return _PACKERS[info_class][0].size


def pack_entry(info_class: int, entry: DirectoryEntry) -> bytes:
    """One entry with NextEntryOffset 0; *info_class* is one of DIRECTORY_CLASSES."""
    return _PACKERS[info_class][1](entry, encode_utf16(entry.name))


class DirectoryPacker:
    """Fills one QUERY_DIRECTORY response of at most *buffer_length* bytes.

    Every entry starts at a multiple of 8; the last one has NextEntryOffset 0 and no padding. KeyError if *info_class*
    is not in DIRECTORY_CLASSES.
    Reference: [MS-SMB2] 3.3.5.18, [MS-FSA] 2.1.5.6.3.
    """

    __slots__ = ("_last", "_out", "_pack", "buffer_length", "count")

    def __init__(self, info_class: int, buffer_length: int) -> None:
        self._pack = _PACKERS[info_class][1]
        self._out = bytearray()
        self._last = 0
        self.buffer_length = buffer_length
        self.count = 0  #: entries so far

    def append(self, entry: DirectoryEntry) -> bool:
        """Add *entry*; False if it does not fit, and then nothing has changed."""
        out = self._out
        packed = self._pack(entry, encode_utf16(entry.name))
        length = len(out)
        pad = -length & 7
        start = length + pad
        if start + len(packed) > self.buffer_length:
            return False
        if self.count:
            _NEXT.pack_into(out, self._last, start - self._last)
            if pad:
                out += bytes(pad)
        out += packed
        self._last = start
        self.count += 1
        return True

    def __len__(self) -> int:
        """Bytes so far."""
        return len(self._out)

    def finish(self) -> bytes:
        """The buffer."""
        return bytes(self._out)


def parse_directory(info_class: int, data: Buffer) -> Iterator[DirectoryEntry]:
    """The entries of a buffer of *info_class*; WireError if the class is unknown or the chain is invalid."""
    if info_class not in _PACKERS:
        raise WireError(f"directory class {info_class}")
    layout = _PACKERS[info_class][0]
    position = 0
    while len(data):
        fields = unpack(layout, data, position, "directory entry")
        length = fields[2] if layout is _NAMES else fields[9]
        name = utf16(slice_of(data, position + layout.size, length, "directory entry"), "directory entry")
        yield _entry(layout, fields, name)
        next_offset = fields[0]
        if next_offset == 0:
            return
        if next_offset < layout.size + length:
            raise WireError(f"directory entry at {position}: NextEntryOffset {next_offset}")
        position += next_offset


def _entry(layout: struct.Struct, fields: tuple[int, ...], name: str) -> DirectoryEntry:
    """The entry with *fields*, whose tail differs by class."""
    if layout is _NAMES:
        return DirectoryEntry(name, file_index=fields[1])
    _, index, creation, access, write, change, end_of_file, allocation, attributes, _, *tail = fields
    if end_of_file < 0 or allocation < 0:
        raise WireError(f"directory entry: a file of {end_of_file} bytes, {allocation} allocated")
    entry = DirectoryEntry(
        name, attributes, creation, access, write, change, end_of_file, allocation, file_index=index
    )
    if not tail:
        return entry
    if layout in (_ID_EXTD, _ID_EXTD_BOTH):
        entry.ea_size, entry.reparse_tag = tail[0], tail[1]
        entry.file_id = tail[2] | tail[3] << 64
        tail = tail[3:]
    elif attributes & _REPARSE_POINT:
        entry.reparse_tag = tail[0]
    else:
        entry.ea_size = tail[0]
    if layout is _ID_FULL:
        entry.file_id = tail[1]
    elif layout in (_BOTH, _ID_BOTH, _ID_EXTD_BOTH):
        entry.short_name = _short_name(tail[1], tail[2])
        entry.file_id = tail[3] if layout is _ID_BOTH else entry.file_id
    return entry


def _short_name(length: int, raw: object) -> str:
    if length > 24 or not isinstance(raw, bytes):
        raise WireError(f"directory entry: ShortNameLength {length}")
    return utf16(raw[:length], "ShortName")
