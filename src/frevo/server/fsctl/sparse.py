"""Sparse files: the attribute, holes, and allocated ranges ([MS-FSCC] 2.3.49 to 2.3.71, [MS-FSA] 2.1.5.10)."""

from __future__ import annotations

import struct

from frevo.errors import SMBError
from frevo.server.fsctl import FsctlCall
from frevo.server.rules.write_time import after_write, before_write
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FileAttributes
from frevo.wire.smb2 import FileAccess

_RANGE = struct.Struct("<qq")
_OFFSET_MAX = 2**63 - 1
_SPARSE = int(FileAttributes.SPARSE_FILE)
_CHANGES = int(FileAccess.WRITE_DATA | FileAccess.WRITE_ATTRIBUTES | FileAccess.APPEND_DATA)


def _range(call: FsctlCall) -> tuple[int, int]:
    if len(call.data) < _RANGE.size:
        raise SMBError(NTStatus.INVALID_PARAMETER, f"{len(call.data)} bytes instead of two offsets")
    first, second = _RANGE.unpack_from(call.data)
    return first, second


def _only_files(call: FsctlCall) -> None:
    _ = call.handle
    if call.request.open.is_directory:
        raise SMBError(NTStatus.INVALID_PARAMETER, "a directory has no data")


def set_sparse(call: FsctlCall) -> bytes:
    """FSCTL_SET_SPARSE: sets the attribute, or clears it if the input is 0 ([MS-FSCC] 2.3.69)."""
    handle = call.handle
    call.need_access(_CHANGES)
    _only_files(call)
    attributes = handle.stat().attributes
    wanted = attributes | _SPARSE if not call.data or call.data[0] else attributes & ~_SPARSE
    if wanted != attributes:
        handle.set_basic(attributes=wanted)
    return b""


async def set_zero_data(call: FsctlCall) -> bytes:
    """FSCTL_SET_ZERO_DATA: [FileOffset, BeyondFinalZero) reads as zeros from now on ([MS-FSCC] 2.3.71)."""
    _only_files(call)
    call.need_access(FileAccess.WRITE_DATA)
    offset, beyond = _range(call)
    if offset < 0 or beyond < offset:
        raise SMBError(NTStatus.INVALID_PARAMETER, f"zeros from {offset} to {beyond}")
    opened = call.request.open
    if beyond > offset:
        if opened.record is not None:
            opened.record.locks.check_write(opened, offset, beyond - offset)
        handle = call.handle
        end = min(beyond, handle.stat().end_of_file)
        if end > offset:
            kept = before_write(opened, handle)
            try:
                slow_work, user = call.request.server.slow_work, call.request.session.user
                await slow_work.run(user, lambda: handle.zero(offset, end))
            finally:
                after_write(opened, handle, kept)
    return b""


async def query_allocated_ranges(call: FsctlCall) -> bytes:
    """FSCTL_QUERY_ALLOCATED_RANGES: the parts of the range with data ([MS-FSCC] 2.3.53).

    BUFFER_OVERFLOW with as many as fit; BUFFER_TOO_SMALL if not even one does.
    """
    _only_files(call)
    call.need_access(FileAccess.READ_DATA)
    offset, length = _range(call)
    if offset < 0 or length < 0 or offset > _OFFSET_MAX - length:
        raise SMBError(NTStatus.INVALID_PARAMETER, f"range of {length} bytes at {offset}")
    stat = call.handle.stat()
    length = min(length, stat.end_of_file - offset)
    if length <= 0:
        return b""
    if not stat.attributes & _SPARSE:
        call.need_output(_RANGE.size)
        return _RANGE.pack(offset, length)
    output = bytearray()
    turns, party = call.request.server.turns, call.request.connection.party
    piece = turns.slice()
    for start, size in call.handle.allocated_ranges(offset, length):
        if len(output) + _RANGE.size > call.output_max:
            if not output:
                raise SMBError(NTStatus.BUFFER_TOO_SMALL, "no room for one range")
            call.request.status = NTStatus.BUFFER_OVERFLOW
            break
        output += _RANGE.pack(start, size)
        if piece.over():
            piece = await turns.next(party)
    return bytes(output)
