"""FSCTL_VALIDATE_NEGOTIATE_INFO: the client checks that its NEGOTIATE was not changed in transit.

Reference: [MS-SMB2] 3.3.5.15.12.
"""

from __future__ import annotations

from frevo.errors import RemoteProtocolError, WireError
from frevo.proto.dialect import choose
from frevo.proto.negotiation import dialect_of
from frevo.server.fsctl import FsctlCall
from frevo.wire.smb2 import ValidateNegotiateInfoRequest, ValidateNegotiateInfoResponse

_RESPONSE_SIZE = 24


def validate(call: FsctlCall) -> bytes:
    """Returns the negotiated values again. A difference from the NEGOTIATE request ends the connection."""
    connection, server = call.request.connection, call.request.server
    try:
        sent = ValidateNegotiateInfoRequest.parse(call.data)
    except WireError as error:
        raise RemoteProtocolError(str(error)) from None
    dialect = connection.dialect
    if dialect is None or not dialect.validate_negotiate or call.output_max < _RESPONSE_SIZE:
        raise RemoteProtocolError("unexpected VALIDATE_NEGOTIATE_INFO")
    settings = server.config.globals
    lowest, highest = dialect_of(settings.server_min_protocol), dialect_of(settings.server_max_protocol)
    chosen = choose(sent.dialects, lowest, highest)
    if (
        chosen is not dialect
        or sent.capabilities != connection.client_capabilities
        or sent.guid != connection.client_guid
        or sent.security_mode != connection.client_security_mode
    ):
        raise RemoteProtocolError("the negotiation was changed in transit")
    return ValidateNegotiateInfoResponse(
        connection.server_capabilities, server.guid, connection.server_security_mode, dialect.revision
    ).pack()
