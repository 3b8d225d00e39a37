"""WRITE by the control plane: to pipes, with locks, and the first of an open, which is then attached to the data plane
([MS-SMB2] 3.3.5.13)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from frevo.errors import SMBError
from frevo.proto.dialect import SMB_2_0_2, SMB_3_0, SMB_3_0_2
from frevo.server.core.fastpath import WRITES
from frevo.server.core.request import Request
from frevo.server.handlers.read import MAX_OFFSET, refuse_channel
from frevo.server.pipes.feed import feed
from frevo.server.rules.write_time import after_write, before_write
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import CreateOptions, WriteFlags, WriteRequest, WriteResponse

_END_OF_FILE = 0xFFFFFFFFFFFFFFFF  # "write at the end", for those who may only append
_THROUGH = int(WriteFlags.WRITE_THROUGH)
_NOT_FOR_PIPES = int(WriteFlags.WRITE_THROUGH | WriteFlags.WRITE_UNBUFFERED)


def handle(request: Request) -> bytes | Awaitable[bytes]:
    """Checks in the order of [MS-SMB2] 3.3.5.13."""
    fields = WriteRequest.parse(request.message)
    opened = request.open
    if len(fields.data) > request.connection.max_write:
        raise SMBError(NTStatus.INVALID_PARAMETER, f"WRITE of {len(fields.data)} bytes")
    refuse_channel(request, fields.channel)
    if opened.handle is None:
        return _write_pipe(request, fields)
    if opened.is_directory:
        raise SMBError(NTStatus.INVALID_DEVICE_REQUEST, "WRITE to a directory")
    if not opened.granted_access & WRITES:
        raise SMBError(NTStatus.ACCESS_DENIED, "WRITE without write access")
    if fields.offset != _END_OF_FILE and fields.offset + len(fields.data) > MAX_OFFSET:
        raise SMBError(NTStatus.INVALID_PARAMETER, f"WRITE at {fields.offset:#x}")
    if _writes_through(request, fields.flags) and not _is_unbuffered(request, fields.flags):
        raise SMBError(NTStatus.INVALID_PARAMETER, "WRITE through a buffer")
    return _write_file(request, fields)


def _writes_through(request: Request, flags: int) -> bool:
    """SMB 2.0.2 has no such flag."""
    return bool(flags & _THROUGH) and _revision(request) > SMB_2_0_2.revision


def _is_unbuffered(request: Request, flags: int) -> bool:
    """What is written through must not be buffered, by the open or, since SMB 3.0.2, by the request."""
    if request.open.create_options & CreateOptions.NO_INTERMEDIATE_BUFFERING:
        return True
    return bool(flags & WriteFlags.WRITE_UNBUFFERED) and _revision(request) >= SMB_3_0_2.revision


def _revision(request: Request) -> int:
    dialect = request.connection.dialect
    return dialect.revision if dialect is not None else 0


async def _write_file(request: Request, fields: WriteRequest) -> bytes:
    opened = request.open
    assert opened.handle is not None and opened.record is not None
    if fields.offset != _END_OF_FILE:
        return await _write_at(request, fields, fields.offset)
    if opened.record.appending is None:
        opened.record.appending = asyncio.Lock()
    async with opened.record.appending:  # where the file ends is known when the one before is done
        return await _write_at(request, fields, opened.handle.stat().end_of_file, at_end=True)


async def _write_at(request: Request, fields: WriteRequest, offset: int, *, at_end: bool = False) -> bytes:
    """*at_end*: the file ended at *offset* a moment ago; others may be writing to it, who do not wait for us."""
    opened = request.open
    handle = opened.handle
    assert handle is not None and opened.record is not None
    opened.record.locks.check_write(opened, offset, len(fields.data))
    written = 0
    if len(fields.data):
        kept = before_write(opened, handle)
        try:
            if at_end:
                written, beyond = await handle.append(fields.data)
                offset = beyond - written
            else:
                written = await handle.write(offset, fields.data)
        finally:
            after_write(opened, handle, kept)
    opened.position = offset + written
    if written and (_writes_through(request, fields.flags) or opened.writes_through):
        await request.server.slow_work.run(request.session.user, handle.flush)
    if written and request.last:  # what follows in a compound is mostly CLOSE
        request.server.fastpath.attach(opened)
    return WriteResponse(written).pack()


async def _write_pipe(request: Request, fields: WriteRequest) -> bytes:
    if fields.flags & _NOT_FOR_PIPES and _revision(request) >= SMB_3_0.revision:
        raise SMBError(NTStatus.INVALID_PARAMETER, f"WRITE to a pipe with flags {fields.flags:#x}")
    await feed(request, fields.data)
    return WriteResponse(len(fields.data)).pack()
