"""SET_INFO: checks the request and passes it on by info type ([MS-SMB2] 3.3.5.21)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from frevo.errors import SMBError
from frevo.server.core.request import Request
from frevo.server.handlers.set_file import set_file
from frevo.server.handlers.set_security import set_security
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FsInfoClass
from frevo.wire.smb2 import InfoType, SetInfoRequest, SetInfoResponse

_RESPONSE = SetInfoResponse().pack()


def _set_filesystem(request: Request, fields: SetInfoRequest) -> None:
    """Nothing about a volume can be changed: there is no quota and no object ID ([MS-SMB2] 3.3.5.21.2)."""
    if fields.file_info_class in (FsInfoClass.CONTROL, FsInfoClass.OBJECT_ID):
        raise SMBError(NTStatus.INVALID_DEVICE_REQUEST, "the volume has neither quota nor object IDs")
    raise SMBError(NTStatus.INVALID_INFO_CLASS, f"file system information class {fields.file_info_class}")


_SETTERS: dict[int, Callable[[Request, SetInfoRequest], Awaitable[None] | None]] = {
    int(InfoType.FILE): set_file,
    int(InfoType.FILESYSTEM): _set_filesystem,
    int(InfoType.SECURITY): set_security,
}


def handle(request: Request) -> bytes | Awaitable[bytes]:
    """Makes all changes or none."""
    fields = SetInfoRequest.parse(request.message)
    if len(fields.buffer) > request.connection.max_transact:
        raise SMBError(NTStatus.INVALID_PARAMETER, "more bytes than MaxTransactSize")
    setter = _SETTERS.get(fields.info_type)
    if setter is None:
        if fields.info_type == InfoType.QUOTA:
            raise SMBError(NTStatus.NOT_SUPPORTED, "no quota")
        raise SMBError(NTStatus.INVALID_PARAMETER, f"info type {fields.info_type}")
    going_on = setter(request, fields)
    return _RESPONSE if going_on is None else _answered(going_on)


async def _answered(going_on: Awaitable[None]) -> bytes:
    await going_on
    return _RESPONSE
