"""The workstation service: the computer's name, domain and version. [MS-WKST] 3.2.4."""

from __future__ import annotations

from uuid import UUID

from frevo.dcerpc.context import RpcContext
from frevo.dcerpc.interface import PLATFORM_ID_NT, STRING, Interface, Operation, Values, Win32, fields
from frevo.dcerpc.ndr import U32, Struct, Union, Unique
from frevo.dcerpc.pdu import Syntax

_WORKSTATION_100 = (
    ("platform_id", U32),
    ("computer_name", STRING),
    ("domain", STRING),
    ("version_major", U32),
    ("version_minor", U32),
)
_WORKSTATION_101 = (*_WORKSTATION_100, ("lan_root", STRING))
_WORKSTATION_102 = (*_WORKSTATION_101, ("logged_on_users", U32))
#: WKSTA_INFO_* of [MS-WKST] 2.2.5.1 to 2.2.5.3, by level.
WORKSTATION_INFO: dict[int, Struct] = {
    100: fields(*_WORKSTATION_100),
    101: fields(*_WORKSTATION_101),
    102: fields(*_WORKSTATION_102),
}


def net_wksta_get_info(context: RpcContext, call: Values) -> Values:
    """NetrWkstaGetInfo, [MS-WKST] 3.2.4.1. Level 102 is for administrators."""
    level = call["level"]
    if level not in WORKSTATION_INFO:
        return {"info": (level, None), "status": Win32.INVALID_LEVEL}
    if level == 102 and not context.is_admin:
        return {"info": (level, None), "status": Win32.ACCESS_DENIED}
    info = {
        "platform_id": PLATFORM_ID_NT,
        "computer_name": context.server_name,
        "domain": context.domain,
        "version_major": context.version_major,
        "version_minor": context.version_minor,
        "lan_root": "",
        "logged_on_users": context.logged_on_users,
    }
    return {"info": (level, info), "status": Win32.SUCCESS}


_INFO = Union({level: Unique(structure) for level, structure in WORKSTATION_INFO.items()})

WKSSVC = Interface(
    "wkssvc",
    Syntax(UUID("6bffd098-a112-3610-9833-46c3f87e345a"), 1),
    {
        0: Operation(
            "NetrWkstaGetInfo",
            (("server", STRING), ("level", U32)),
            (("info", _INFO), ("status", U32)),
            net_wksta_get_info,
        ),
    },
)
