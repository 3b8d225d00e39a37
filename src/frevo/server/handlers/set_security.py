"""SET_INFO of security: owner, group, DACL and SACL ([MS-SMB2] 3.3.5.21.3, [MS-FSA] 2.1.5.16)."""

from __future__ import annotations

from frevo.auth.access import may_own
from frevo.auth.descriptors import SecurityInformation, merge_sd, set_access
from frevo.errors import SMBError
from frevo.server.core.request import Request
from frevo.server.handlers.information import need_access
from frevo.server.rules.security import effective_descriptor, packed, parse_descriptor, token_of
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import SetInfoRequest

#: The parts that a stored descriptor has.
_KEPT = (
    SecurityInformation.OWNER
    | SecurityInformation.GROUP
    | SecurityInformation.DACL
    | SecurityInformation.SACL
)


def set_security(request: Request, fields: SetInfoRequest) -> None:
    """Replaces the parts of the stored descriptor that AdditionalInformation names by those of the client."""
    handle, information = request.open.handle, fields.additional_information
    if handle is None:
        raise SMBError(NTStatus.INVALID_DEVICE_REQUEST, "pipes have no security descriptor")
    need_access(request, set_access(information))
    sent = parse_descriptor(fields.buffer)
    token = token_of(request.session, request.tree)
    if information & SecurityInformation.OWNER and (sent.owner is None or not may_own(sent.owner, token)):
        raise SMBError(NTStatus.INVALID_OWNER, f"{sent.owner} cannot become the owner")
    if not information & _KEPT:
        return  # these parts are never stored, so neither is a descriptor derived from the mode
    merged = merge_sd(effective_descriptor(handle, request.tree), sent, information)
    handle.set_security_descriptor(packed(merged))
