"""READ by the control plane: pipes, locked files, and the first read of an open, which is then attached to the data
plane ([MS-SMB2] 3.3.5.12)."""

from __future__ import annotations

from collections.abc import Awaitable

from frevo.errors import SMBError
from frevo.proto.dialect import SMB_3_0, SMB_3_0_2
from frevo.server.core.fastpath import READS
from frevo.server.core.request import Request
from frevo.server.pipes.feed import account
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import Channel, ReadFlags, ReadRequest, ReadResponse

MAX_OFFSET = 2**63 - 1
_UNBUFFERED = int(ReadFlags.READ_UNBUFFERED)


def handle(request: Request) -> bytes | Awaitable[bytes]:
    """Checks in the order of [MS-SMB2] 3.3.5.12."""
    fields = ReadRequest.parse(request.message)
    opened = request.open
    if fields.length > request.connection.max_read:
        raise SMBError(NTStatus.INVALID_PARAMETER, f"READ of {fields.length} bytes")
    refuse_channel(request, fields.channel)
    if opened.handle is None:
        return _read_pipe(request, fields)
    if opened.is_directory:
        raise SMBError(NTStatus.INVALID_DEVICE_REQUEST, "READ of a directory")
    if not opened.granted_access & READS:
        raise SMBError(NTStatus.ACCESS_DENIED, "READ without read access")
    if fields.offset > MAX_OFFSET or fields.offset + fields.length > MAX_OFFSET:
        raise SMBError(NTStatus.INVALID_PARAMETER, f"READ at {fields.offset:#x}")
    return _read_file(request, fields)


def refuse_channel(request: Request, channel: int) -> None:
    """INVALID_PARAMETER if a request has a channel: the data plane takes care of all that are right. Before SMB 3.0,
    the field is to be ignored ([MS-SMB2] 2.2.19, 2.2.21)."""
    dialect = request.connection.dialect
    if channel != Channel.NONE and dialect is not None and dialect.revision >= SMB_3_0.revision:
        raise SMBError(NTStatus.INVALID_PARAMETER, "nothing that RDMA carries")


async def _read_file(request: Request, fields: ReadRequest) -> bytes:
    opened = request.open
    assert opened.handle is not None and opened.record is not None
    opened.record.locks.check_read(opened, fields.offset, fields.length)
    data = await opened.handle.read(fields.offset, fields.length)
    if (not data and fields.length) or len(data) < fields.minimum_count:
        raise SMBError(NTStatus.END_OF_FILE)
    opened.position = fields.offset + len(data)
    if request.last:  # what follows in a compound is mostly CLOSE
        request.server.fastpath.attach(opened)
    return ReadResponse(data).pack()


def _read_pipe(request: Request, fields: ReadRequest) -> bytes:
    pipe, dialect = request.open.pipe, request.connection.dialect
    if fields.flags & _UNBUFFERED and dialect is not None and dialect.revision >= SMB_3_0_2.revision:
        raise SMBError(NTStatus.INVALID_PARAMETER, "an unbuffered READ of a pipe")
    if not pipe.readable:
        raise SMBError(NTStatus.PIPE_DISCONNECTED if pipe.broken else NTStatus.PIPE_EMPTY)
    data = pipe.read(fields.length)
    account(request, request.open)
    if pipe.partial:
        request.status = NTStatus.BUFFER_OVERFLOW
    return ReadResponse(data).pack()
