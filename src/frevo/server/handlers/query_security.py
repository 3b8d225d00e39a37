"""QUERY_INFO of security: the requested parts of a descriptor ([MS-SMB2] 3.3.5.20.3)."""

from __future__ import annotations

from frevo.auth.descriptors import select_sd
from frevo.errors import SMBError
from frevo.server.core.request import Request
from frevo.server.handlers.information import need_access, too_small
from frevo.server.rules.security import effective_descriptor
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import FileAccess, QueryInfoRequest, SecurityInformation

_SACL = int(SecurityInformation.SACL)


def query_security(request: Request, fields: QueryInfoRequest) -> bytes:
    """The descriptor of the open's file; BUFFER_TOO_SMALL tells its size."""
    handle, wanted = request.open.handle, fields.additional_information
    if handle is None:
        raise SMBError(NTStatus.INVALID_DEVICE_REQUEST, "pipes have no security descriptor")
    if wanted & _SACL:
        need_access(request, FileAccess.ACCESS_SYSTEM_SECURITY)
    if wanted & ~_SACL:
        need_access(request, FileAccess.READ_CONTROL)
    packed = select_sd(effective_descriptor(handle, request.tree), wanted).pack()
    if len(packed) > fields.output_buffer_length:
        raise too_small(len(packed))
    return packed
