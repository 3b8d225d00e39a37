"""QUERY_INFO: checks the request and passes it on by info type ([MS-SMB2] 3.3.5.20)."""

from __future__ import annotations

from frevo.errors import SMBError
from frevo.server.core.request import Request
from frevo.server.handlers.query_file import query_file
from frevo.server.handlers.query_filesystem import query_filesystem
from frevo.server.handlers.query_security import query_security
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import InfoType, QueryInfoRequest, QueryInfoResponse

_QUERIES = {
    int(InfoType.FILE): query_file,
    int(InfoType.FILESYSTEM): query_filesystem,
    int(InfoType.SECURITY): query_security,
}


def handle(request: Request) -> bytes:
    """The current information; BUFFER_OVERFLOW in `request.status` if it had to be truncated."""
    fields = QueryInfoRequest.parse(request.message)
    limit = request.connection.max_transact
    if fields.output_buffer_length > limit or len(fields.buffer) > limit:
        raise SMBError(NTStatus.INVALID_PARAMETER, "more bytes than MaxTransactSize")
    query = _QUERIES.get(fields.info_type)
    if query is None:
        if fields.info_type == InfoType.QUOTA:
            raise SMBError(NTStatus.NOT_SUPPORTED, "no quota")
        raise SMBError(NTStatus.INVALID_PARAMETER, f"info type {fields.info_type}")
    return QueryInfoResponse(query(request, fields)).pack()
