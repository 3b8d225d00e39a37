"""FILE_NOTIFY_INFORMATION, the records of CHANGE_NOTIFY responses ([MS-FSCC] 2.7.1)."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from frevo.errors import WireError
from frevo.wire.codec import Buffer, encode_utf16, slice_of, unpack, utf16
from frevo.wire.fscc.ea import chain

_RECORD = struct.Struct("<III")


class Notification(NamedTuple):
    """One change; *file_name* is relative to the watched directory, with backslashes.

    Reference: [MS-FSCC] 2.7.1.
    """

    action: int
    file_name: str


def pack_notifications(changes: Iterable[Notification]) -> bytes:
    """The records, aligned to 4 bytes. If they exceed the client's buffer, the response is NOTIFY_ENUM_DIR."""
    bodies = []
    for action, name in changes:
        raw = encode_utf16(name)
        bodies.append(_RECORD.pack(0, action, len(raw)) + raw)
    return chain(bodies, 4)


def parse_notifications(data: Buffer) -> list[Notification]:
    """The changes in *data*; an empty buffer is an empty list."""
    changes: list[Notification] = []
    position = 0
    while len(data):
        next_offset, action, length = unpack(_RECORD, data, position, "FILE_NOTIFY_INFORMATION")
        raw = slice_of(data, position + _RECORD.size, length, "FILE_NOTIFY_INFORMATION")
        changes.append(Notification(action, utf16(raw, "FILE_NOTIFY_INFORMATION")))
        if next_offset == 0:
            break
        if next_offset < _RECORD.size + length:
            raise WireError(f"FILE_NOTIFY_INFORMATION at {position}: NextEntryOffset {next_offset}")
        position += next_offset
    return changes
