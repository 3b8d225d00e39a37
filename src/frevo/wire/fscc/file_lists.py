"""The information classes that are chains: streams and hard links of a file ([MS-FSCC] 2.4.49 and 2.4.25)."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from frevo.errors import WireError
from frevo.wire.codec import Buffer, encode_utf16, slice_of, unpack, utf16
from frevo.wire.fscc.ea import chain

_STREAM = struct.Struct("<IIqq")
_LINKS = struct.Struct("<II")
_LINK = struct.Struct("<IQI")


class StreamEntry(NamedTuple):
    """One stream; *name* is ":name:$DATA", or "::$DATA" for the unnamed stream.

    Reference: [MS-FSCC] 2.4.49.
    """

    name: str
    size: int = 0
    allocation_size: int = 0


def pack_streams(entries: Iterable[StreamEntry]) -> bytes:
    """The FileStreamInformation buffer; empty for a directory without streams."""
    bodies = []
    for name, size, allocation in entries:
        raw = encode_utf16(name)
        bodies.append(_STREAM.pack(0, len(raw), size, allocation) + raw)
    return chain(bodies, 8)


def parse_streams(data: Buffer) -> list[StreamEntry]:
    """The entries of a FileStreamInformation buffer."""
    entries: list[StreamEntry] = []
    position = 0
    while len(data):
        next_offset, length, size, allocation = unpack(_STREAM, data, position, "FileStreamInformation")
        raw = slice_of(data, position + _STREAM.size, length, "StreamName")
        entries.append(StreamEntry(utf16(raw, "StreamName"), size, allocation))
        if next_offset == 0:
            break
        if next_offset < _STREAM.size + length:
            raise WireError(f"FileStreamInformation at {position}: NextEntryOffset {next_offset}")
        position += next_offset
    return entries


class HardLink(NamedTuple):
    """One name of a file.

    Reference: [MS-FSCC] 2.4.25.1.
    """

    parent_file_id: int
    file_name: str


def pack_hard_links(links: list[HardLink]) -> bytes:
    """The whole FileHardLinkInformation buffer."""
    bodies = []
    for parent, name in links:
        bodies.append(_LINK.pack(0, parent, len(encode_utf16(name)) // 2) + encode_utf16(name))
    body = chain(bodies, 8)
    return _LINKS.pack(_LINKS.size + len(body), len(links)) + body


def parse_hard_links(data: Buffer) -> list[HardLink]:
    """The entries of a FileHardLinkInformation buffer."""
    _needed, count = unpack(_LINKS, data, 0, "FileHardLinkInformation")
    links: list[HardLink] = []
    position = _LINKS.size
    while len(links) < count:
        next_offset, parent, length = unpack(_LINK, data, position, "FileHardLinkInformation")
        name = utf16(slice_of(data, position + _LINK.size, 2 * length, "hard link name"), "hard link name")
        links.append(HardLink(parent, name))
        if next_offset == 0:
            break
        if next_offset < _LINK.size + 2 * length:
            raise WireError(f"FileHardLinkInformation at {position}: NextEntryOffset {next_offset}")
        position += next_offset
    return links
