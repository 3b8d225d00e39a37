"""Lists of extended attributes with their values (FullEa), and of names alone (GetEa) ([MS-FSCC] 2.4.16)."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from frevo.errors import WireError
from frevo.wire.codec import Buffer, padding, unpack

_FULL = struct.Struct("<IBBH")
_GET = struct.Struct("<IB")


class FullEa(NamedTuple):
    """One extended attribute; *flags* may be EaFlags.NEED_EA. Names are ASCII bytes, compared without case.

    Reference: [MS-FSCC] 2.4.16.
    """

    name: bytes
    value: bytes = b""
    flags: int = 0


def parse_full_eas(data: Buffer, *, count_max: int | None = None) -> list[FullEa]:
    """The FILE_FULL_EA_INFORMATION chain in *data*, of at most *count_max* entries; an empty buffer is an empty
    list."""
    eas: list[FullEa] = []
    position = 0
    while len(data):
        next_offset, flags, name_length, value_length = unpack(_FULL, data, position, "full EA")
        start = position + _FULL.size
        value_start = start + name_length + 1
        end = value_start + value_length
        if end > len(data) or data[value_start - 1] != 0:
            raise WireError(f"full EA at {position}: name {name_length} value {value_length} of {len(data)}")
        if len(eas) == count_max:
            raise WireError(f"more than {count_max} EAs")
        eas.append(FullEa(bytes(data[start : start + name_length]), bytes(data[value_start:end]), flags))
        if next_offset == 0:
            break
        if next_offset & 3 or position + next_offset < end:
            raise WireError(f"full EA at {position}: NextEntryOffset {next_offset}")
        position += next_offset
    return eas


def pack_full_eas(eas: Iterable[FullEa]) -> bytes:
    """The chain, each entry aligned to 4 bytes."""
    return chain([_packed(ea) for ea in eas], 4)


def pack_fitting_eas(eas: Iterable[FullEa], size_max: int) -> tuple[bytes, int]:
    """The chain of as many of *eas* as fit into *size_max* bytes, and their number."""
    bodies: list[bytes] = []
    size = 0
    for ea in eas:
        body = _packed(ea)
        if size + len(body) > size_max:
            break
        size += len(body) + len(padding(len(body), 4))
        bodies.append(body)
    return chain(bodies, 4), len(bodies)


def _packed(ea: FullEa) -> bytes:
    name, value, flags = ea
    return _FULL.pack(0, flags, len(name), len(value)) + name + b"\0" + value


def parse_get_eas(data: Buffer, *, count_max: int | None = None) -> list[bytes]:
    """The names of a FILE_GET_EA_INFORMATION chain of at most *count_max* entries.

    Reference: [MS-SMB2] 2.2.37.2, [MS-FSCC] 2.4.16.1.
    """
    names: list[bytes] = []
    position = 0
    while len(data):
        next_offset, name_length = unpack(_GET, data, position, "get EA")
        start = position + _GET.size
        end = start + name_length + 1
        if end > len(data) or data[end - 1] != 0:
            raise WireError(f"get EA at {position}: name {name_length} of {len(data)}")
        if len(names) == count_max:
            raise WireError(f"more than {count_max} names of EAs")
        names.append(bytes(data[start : end - 1]))
        if next_offset == 0:
            break
        if next_offset & 3 or position + next_offset < end:
            raise WireError(f"get EA at {position}: NextEntryOffset {next_offset}")
        position += next_offset
    return names


def pack_get_eas(names: Iterable[bytes]) -> bytes:
    """The chain of names, each entry aligned to 4 bytes."""
    return chain([_GET.pack(0, len(name)) + name + b"\0" for name in names], 4)


def chain(bodies: list[bytes], boundary: int) -> bytes:
    """Join entries that begin with NextEntryOffset: each offset is a multiple of *boundary*, the last one 0."""
    out = bytearray()
    for index, body in enumerate(bodies):
        if index + 1 < len(bodies):
            pad = padding(len(body), boundary)
            out += (len(body) + len(pad)).to_bytes(4, "little") + body[4:] + pad
        else:
            out += body
    return bytes(out)
