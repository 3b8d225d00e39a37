"""The server service: the shares, and the server's name and version. [MS-SRVS] 3.1.4.

Sessions, connections and open files are not listed: administrators get an empty list, others access denied.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from frevo.dcerpc.context import RpcContext, ShareInfo
from frevo.dcerpc.interface import (
    PLATFORM_ID_NT,
    STRING,
    Handler,
    Interface,
    Operation,
    Values,
    Win32,
    fields,
)
from frevo.dcerpc.ndr import U32, Array, ByteArray, Struct, Union, Unique, WideString
from frevo.dcerpc.pdu import Syntax

# --- structures

_SHARE_1 = (("name", STRING), ("type", U32), ("remark", STRING))
_SHARE_2 = (
    *_SHARE_1,
    ("permissions", U32),
    ("max_uses", U32),
    ("current_uses", U32),
    ("path", STRING),
    ("password", STRING),
)
_SECURITY = (("reserved", U32), ("security_descriptor", Unique(ByteArray())))

#: SHARE_INFO_* of [MS-SRVS] 2.2.4.22 to 2.2.4.31, by level.
SHARE_INFO: dict[int, Struct] = {
    0: fields(("name", STRING)),
    1: fields(*_SHARE_1),
    2: fields(*_SHARE_2),
    501: fields(*_SHARE_1, ("flags", U32)),
    502: fields(*_SHARE_2, *_SECURITY),
    503: fields(*_SHARE_2, ("server_name", STRING), *_SECURITY),
    1004: fields(("remark", STRING)),
    1005: fields(("flags", U32)),
    1006: fields(("max_uses", U32)),
    1501: fields(*_SECURITY),
}
#: Levels that NetrShareEnum knows ([MS-SRVS] 2.2.3.6).
SHARE_ENUM_LEVELS = (0, 1, 2, 501, 502, 503)

_SERVER_100 = (("platform_id", U32), ("name", STRING))
_SERVER_101 = (
    *_SERVER_100,
    ("version_major", U32),
    ("version_minor", U32),
    ("type", U32),
    ("comment", STRING),
)
_SERVER_102 = (
    *_SERVER_101,
    ("users", U32),
    ("disconnect_minutes", U32),
    ("hidden", U32),
    ("announce", U32),
    ("announce_delta", U32),
    ("licenses", U32),
    ("user_path", STRING),
)
#: SERVER_INFO_* of [MS-SRVS] 2.2.4.40 to 2.2.4.42, by level.
SERVER_INFO: dict[int, Struct] = {
    100: fields(*_SERVER_100),
    101: fields(*_SERVER_101),
    102: fields(*_SERVER_102),
}

#: TIME_OF_DAY_INFO, [MS-SRVS] 2.2.4.105.
TIME_OF_DAY_FIELDS = (
    *("elapsed", "milliseconds", "hours", "minutes", "seconds", "hundredths"),
    *("timezone", "interval", "day", "month", "year", "weekday"),
)
_TIME_OF_DAY = Struct(tuple((name, U32) for name in TIME_OF_DAY_FIELDS))

#: A container that must be empty in the request and is empty in the response.
_EMPTY_LIST = Unique(fields(("count", U32), ("entries", Unique(Array(U32, count_max=0)))))


def _container(entry: Struct) -> Unique:
    return Unique(fields(("count", U32), ("entries", Unique(Array(entry)))))


_SHARE_ENUM = fields(
    ("level", U32), ("content", Union({level: _container(SHARE_INFO[level]) for level in SHARE_ENUM_LEVELS}))
)


def _empty_enum(*levels: int) -> Struct:
    return fields(("level", U32), ("content", Union(dict.fromkeys(levels, _EMPTY_LIST))))


# --- shares

#: shi1005_flags: manual caching of offline files, the default ([MS-SRVS] 2.2.4.29).
_CSC_MANUAL = 0x00


def describe_share(context: RpcContext, share: ShareInfo) -> Values:
    """Every field that any level of SHARE_INFO needs. Only administrators get path and security descriptor."""
    descriptor = share.security_descriptor if context.is_admin else None
    return {
        "name": share.name,
        "type": share.type,
        "remark": share.comment,
        "permissions": 0,
        "max_uses": share.max_uses,
        "current_uses": share.current_uses,
        "path": share.path if context.is_admin else "",
        "password": None,
        "server_name": "*",
        "flags": _CSC_MANUAL,
        "reserved": len(descriptor or b""),
        "security_descriptor": descriptor,
    }


def net_share_enum(context: RpcContext, call: Values) -> Values:
    """NetrShareEnum and NetrShareEnumSticky, [MS-SRVS] 3.1.4.8 and 3.1.4.9.

    The preferred length is only a hint; everything is sent, starting at the resume handle.
    """
    level = call["info"]["level"]
    tag = call["info"]["content"][0]
    if tag != level:
        return _share_enum_result(tag, None, 0, call["resume"], Win32.INVALID_LEVEL)
    shown = [share for share in context.shares if share.browseable]
    entries = [describe_share(context, share) for share in shown][call["resume"] or 0 :]
    container = {"count": len(entries), "entries": entries}
    resume = None if call["resume"] is None else 0
    return _share_enum_result(level, container, len(entries), resume, Win32.SUCCESS)


def _share_enum_result(
    level: int, container: Values | None, total: int, resume: int | None, status: Win32
) -> Values:
    info = {"level": level, "content": (level, container)}
    return {"info": info, "total": total, "resume": resume, "status": status}


def net_share_get_info(context: RpcContext, call: Values) -> Values:
    """NetrShareGetInfo, [MS-SRVS] 3.1.4.10. Works for hidden shares, too."""
    level = call["level"]
    if level not in SHARE_INFO:
        return {"info": (level, None), "status": Win32.INVALID_LEVEL}
    wanted = call["name"].casefold()
    for share in context.shares:
        if share.name.casefold() == wanted:
            return {"info": (level, describe_share(context, share)), "status": Win32.SUCCESS}
    return {"info": (level, None), "status": Win32.NERR_NET_NAME_NOT_FOUND}


# --- server

#: Workstation, server, NT, server NT ([MS-SRVS] 2.2.2.7).
_SERVER_TYPE = 0x00000001 | 0x00000002 | 0x00001000 | 0x00008000
_USERS_UNLIMITED = 0xFFFFFFFF
_DISCONNECT_MINUTES = 15


def net_server_get_info(context: RpcContext, call: Values) -> Values:
    """NetrServerGetInfo, [MS-SRVS] 3.1.4.17. Levels 100 and 101 are for everyone, 102 for administrators."""
    level = call["level"]
    if level not in SERVER_INFO:
        return {"info": (level, None), "status": Win32.INVALID_LEVEL}
    if level == 102 and not context.is_admin:
        return {"info": (level, None), "status": Win32.ACCESS_DENIED}
    info = {
        "platform_id": PLATFORM_ID_NT,
        "name": context.server_name,
        "version_major": context.version_major,
        "version_minor": context.version_minor,
        "type": _SERVER_TYPE,
        "comment": context.comment,
        "users": _USERS_UNLIMITED,
        "disconnect_minutes": _DISCONNECT_MINUTES,
        "hidden": 0,
        "announce": 240,
        "announce_delta": 3000,
        "licenses": 0,
        "user_path": "C:\\",
    }
    return {"info": (level, info), "status": Win32.SUCCESS}


_FILETIME_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
#: Minutes west of Greenwich, and the clock's resolution in units of 100 µs ([MS-SRVS] 2.2.4.105).
_TIMEZONE_UTC = 0
_CLOCK_TICK = 310
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def net_remote_tod(context: RpcContext, call: Values) -> Values:
    """NetrRemoteTOD, [MS-SRVS] 3.1.4.21: the server's clock, in UTC."""
    moment = _FILETIME_EPOCH + timedelta(microseconds=context.now // 10)
    elapsed = (moment - _UNIX_EPOCH) // timedelta(seconds=1)
    milliseconds = moment.microsecond // 1000
    clock = (elapsed, milliseconds, moment.hour, moment.minute, moment.second, milliseconds // 10)
    date = (moment.day, moment.month, moment.year, moment.isoweekday() % 7)
    numbers = (*clock, _TIMEZONE_UTC, _CLOCK_TICK, *date)
    return {"info": dict(zip(TIME_OF_DAY_FIELDS, numbers, strict=True)), "status": Win32.SUCCESS}


def net_name_validate(context: RpcContext, call: Values) -> Values:
    """NetprNameValidate, [MS-SRVS] 3.1.4.33: whether a share name is valid."""
    name = call["name"]
    possible = 0 < len(name) <= 260 and not any(c in '"/\\[]:|<>+=;,*?' or c < " " for c in name)
    return {"status": Win32.SUCCESS if possible else Win32.INVALID_NAME}


def net_nothing_enum(context: RpcContext, call: Values) -> Values:
    """NetrSessionEnum, NetrConnectionEnum, NetrFileEnum ([MS-SRVS] 3.1.4.1, 2 and 5): always empty."""
    level = call["info"]["level"]
    tag = call["info"]["content"][0]
    container = {"count": 0, "entries": None}
    status = Win32.SUCCESS if context.is_admin else Win32.ACCESS_DENIED
    if tag != level:
        status = Win32.INVALID_LEVEL
    info = {"level": tag, "content": (tag, container)}
    return {"info": info, "total": 0, "resume": None if call["resume"] is None else 0, "status": status}


# --- the interface

_SERVER = ("server", STRING)
_STATUS = ("status", U32)
_ENUM_TAIL = (("max_length", U32), ("resume", Unique(U32)))


def _enumeration(name: str, info: Struct, handler: Handler, *filters: str) -> Operation:
    """A NetrXxxEnum: filters and a container in; the container, a total and a resume handle out."""
    container = ("info", info)
    strings: tuple[tuple[str, Any], ...] = tuple((filter_name, STRING) for filter_name in filters)
    return Operation(
        name,
        (_SERVER, *strings, container, *_ENUM_TAIL),
        (container, ("total", U32), ("resume", Unique(U32)), _STATUS),
        handler,
    )


def _get_info(name: str, levels: dict[int, Struct], handler: Handler) -> Operation:
    """A NetrXxxGetInfo without a name: level in, one structure of that level out."""
    union = Union({level: Unique(structure) for level, structure in levels.items()})
    return Operation(name, (_SERVER, ("level", U32)), (("info", union), _STATUS), handler)


_SHARE_GET_INFO = Operation(
    "NetrShareGetInfo",
    (_SERVER, ("name", WideString()), ("level", U32)),
    (("info", Union({level: Unique(kind) for level, kind in SHARE_INFO.items()})), _STATUS),
    net_share_get_info,
)
_NAME_VALIDATE = Operation(
    "NetprNameValidate",
    (_SERVER, ("name", WideString()), ("type", U32), ("flags", U32)),
    (_STATUS,),
    net_name_validate,
)
_REMOTE_TOD = Operation(
    "NetrRemoteTOD", (_SERVER,), (("info", Unique(_TIME_OF_DAY)), _STATUS), net_remote_tod
)

SRVSVC = Interface(
    "srvsvc",
    Syntax(UUID("4b324fc8-1670-01d3-1278-5a47bf6ee188"), 3),
    {
        8: _enumeration("NetrConnectionEnum", _empty_enum(0, 1), net_nothing_enum, "qualifier"),
        9: _enumeration("NetrFileEnum", _empty_enum(2, 3), net_nothing_enum, "path", "user"),
        12: _enumeration(
            "NetrSessionEnum", _empty_enum(0, 1, 2, 10, 502), net_nothing_enum, "client", "user"
        ),
        15: _enumeration("NetrShareEnum", _SHARE_ENUM, net_share_enum),
        16: _SHARE_GET_INFO,
        21: _get_info("NetrServerGetInfo", SERVER_INFO, net_server_get_info),
        28: _REMOTE_TOD,
        33: _NAME_VALIDATE,
        36: _enumeration("NetrShareEnumSticky", _SHARE_ENUM, net_share_enum),
    },
)
