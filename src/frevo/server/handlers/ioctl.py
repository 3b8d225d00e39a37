"""IOCTL: looks up the control code and its open, checks the limits, and runs it ([MS-SMB2] 3.3.5.15)."""

from __future__ import annotations

from collections.abc import Awaitable

from frevo.errors import SMBError
from frevo.server.core.request import Request
from frevo.server.fsctl import FsctlCall
from frevo.server.fsctl.table import TABLE
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import ANY_FILE_ID, HeaderFlags, IoctlFlags, IoctlRequest, IoctlResponse

_IS_FSCTL = int(IoctlFlags.IS_FSCTL)
_RELATED = int(HeaderFlags.RELATED_OPERATIONS)


def handle(request: Request) -> bytes | Awaitable[bytes]:
    """Checks the request and passes it to the function of the control code."""
    fields = IoctlRequest.parse(request.message)
    limit = request.connection.max_transact
    if (
        len(fields.input_buffer) > limit
        or fields.max_output_response > limit
        or fields.max_input_response > limit
    ):
        raise SMBError(NTStatus.INVALID_PARAMETER, "more bytes than MaxTransactSize")
    if fields.flags != _IS_FSCTL:
        raise SMBError(NTStatus.NOT_SUPPORTED, f"IOCTL flags {fields.flags:#x}")
    rule = TABLE.get(fields.ctl_code)
    if rule is None or rule.needs_open:
        _find_open(request, fields)
    if rule is None:
        raise SMBError(NTStatus.INVALID_DEVICE_REQUEST, f"control code {fields.ctl_code:#010x}")
    call = FsctlCall(request, fields.ctl_code, fields.input_buffer, fields.max_output_response)
    outcome = rule.handle(call)
    if isinstance(outcome, bytes):
        return _respond(fields, outcome)
    return _finish(fields, outcome)


async def _finish(fields: IoctlRequest, outcome: Awaitable[bytes]) -> bytes:
    return _respond(fields, await outcome)


def _respond(fields: IoctlRequest, output: bytes) -> bytes:
    return IoctlResponse(fields.ctl_code, fields.file_id, output).pack()


def _find_open(request: Request, fields: IoctlRequest) -> None:
    """Sets request.open; an unknown FileId is an error for codes that work on a file."""
    chain = request.chain
    if fields.file_id == ANY_FILE_ID and not request.header.flags & _RELATED:
        raise SMBError(NTStatus.FILE_CLOSED, "this control code needs an open")
    request.find_open(fields.file_id)
    if chain.file_id is not None:
        fields.file_id = chain.file_id
