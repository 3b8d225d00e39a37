"""fallocate(2) and lseek(2) for data and holes on a mounted file, as control codes of the server.

Zeros and holes are FSCTL_SET_ZERO_DATA, holes after FSCTL_SET_SPARSE ([MS-FSCC] 2.3.69, 2.3.71);
FSCTL_QUERY_ALLOCATED_RANGES finds data ([MS-FSCC] 2.3.53). Without them on the server, the error is EOPNOTSUPP, as on a
file system without holes."""

from __future__ import annotations

import errno

from frevo.client.connection.messages import Element
from frevo.client.errors import RemoteError
from frevo.client.share.file import File
from frevo.client.tree.requests import set_file
from frevo.errors import WireError
from frevo.mount.state import failure
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import (
    FileAllocatedRange,
    FileAllocationInformation,
    FileInfoClass,
    FileZeroDataInformation,
    FsctlCode,
    pack_allocated_ranges,
    parse_allocated_ranges,
)
from frevo.wire.smb2 import Command, IoctlRequest, IoctlResponse

#: fallocate(2)'s modes.
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 0x01, 0x02, 0x10
_UNKNOWN = (
    NTStatus.INVALID_DEVICE_REQUEST,
    NTStatus.NOT_SUPPORTED,
    NTStatus.NOT_IMPLEMENTED,
    NTStatus.INVALID_INFO_CLASS,
)
_RANGES_BYTES = 4096


async def make_room(file: File, offset: int, length: int, mode: int) -> int:
    """Does what fallocate(2) with *mode* does; the file's size afterwards. EOPNOTSUPP: not on this server, or never."""
    end, size = offset + length, await file.size()
    try:
        if mode == PUNCH_HOLE | KEEP_SIZE:
            await _control(file, FsctlCode.SET_SPARSE, b"\1")
            await _zero(file, offset, min(end, size))
        elif mode & ~KEEP_SIZE == ZERO_RANGE:
            await _zero(file, offset, min(end, size))
        elif mode == KEEP_SIZE:
            if end > size:
                await _reserve(file, end)
        elif mode:
            raise failure(errno.EOPNOTSUPP)
        if not mode & KEEP_SIZE and end > size:
            await file.truncate(end)
            size = end
    except RemoteError as error:
        if error.ntstatus in _UNKNOWN:
            raise failure(errno.EOPNOTSUPP) from None
        raise
    return size


async def _zero(file: File, offset: int, end: int) -> None:
    if offset < end:
        await _control(file, FsctlCode.SET_ZERO_DATA, FileZeroDataInformation(offset, end).pack())


async def _reserve(file: File, size: int) -> None:
    """Reserves space without moving the end of the file ([MS-FSCC] 2.4.4)."""
    data = FileAllocationInformation(size).pack()
    await file.exchange(lambda: set_file(FileInfoClass.ALLOCATION, data, file.file_id))


async def find_room(file: File, offset: int, *, data: bool) -> int:
    """Where the next data or hole at or after *offset* begins. ENXIO if there is none before the end.

    If the server cannot tell, the only hole is the one after the end.
    """
    size = await file.size()
    if not 0 <= offset < size:
        raise failure(errno.ENXIO)
    while True:
        try:
            output = await _control(
                file, FsctlCode.QUERY_ALLOCATED_RANGES, pack_allocated_ranges([(offset, size - offset)])
            )
        except RemoteError as error:
            if error.ntstatus in _UNKNOWN:
                return offset if data else size
            raise
        found = _ranges(file, output)
        if data:
            if not found:
                raise failure(errno.ENXIO)
            return max(offset, found[0][0])
        before = offset
        for start, length in found:
            if start > offset or length <= 0:
                return offset
            offset = max(offset, start + length)
        if offset >= size or offset == before:
            return min(offset, size)


def _ranges(file: File, output: bytes) -> list[FileAllocatedRange]:
    try:
        return parse_allocated_ranges(output)
    except WireError as error:
        raise _senseless(file, error) from None


def _senseless(file: File, error: WireError) -> OSError:
    return OSError(errno.EIO, f"the server sent an invalid response: {error}", file.path)


async def _control(file: File, code: int, data: bytes) -> bytes:
    def request() -> Element:
        return Element(Command.IOCTL, IoctlRequest(int(code), file.file_id, data, 0, _RANGES_BYTES).pack())

    reply = await file.exchange(request, allow=(NTStatus.BUFFER_OVERFLOW,))
    try:
        return bytes(IoctlResponse.parse(reply.message).output_buffer)
    except WireError as error:
        raise _senseless(file, error) from None
