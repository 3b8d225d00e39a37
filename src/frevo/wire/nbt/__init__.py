"""[RFC1002]: the NetBIOS session service, which frames SMB on port 139 and, reduced to its length, on 445."""

from frevo.wire.nbt.name import (
    SUFFIX_FILE_SERVER,
    SUFFIX_WORKSTATION,
    NetBIOSName,
    parse_name,
)
from frevo.wire.nbt.session import (
    LENGTH_MAX,
    POSITIVE_SESSION_RESPONSE,
    SESSION_KEEPALIVE,
    NegativeSessionResponse,
    PacketType,
    RetargetSessionResponse,
    SessionError,
    SessionHeader,
    SessionRequest,
)

__all__ = [
    "LENGTH_MAX",
    "POSITIVE_SESSION_RESPONSE",
    "SESSION_KEEPALIVE",
    "SUFFIX_FILE_SERVER",
    "SUFFIX_WORKSTATION",
    "NegativeSessionResponse",
    "NetBIOSName",
    "PacketType",
    "RetargetSessionResponse",
    "SessionError",
    "SessionHeader",
    "SessionRequest",
    "parse_name",
]
