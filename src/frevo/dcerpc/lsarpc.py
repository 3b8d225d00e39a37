"""The local security authority's name service: SIDs to names and back, as security dialogs need it. [MS-LSAT] 3.1.4,
[MS-LSAD] 3.1.4.4.

Read-only. Anonymous callers get ACCESS_DENIED.
"""

from __future__ import annotations

from uuid import UUID

from frevo.dcerpc.context import Names, Principal, RpcContext, SidUse
from frevo.dcerpc.interface import STRING, Interface, Operation, Values, fields
from frevo.dcerpc.ndr import U8, U16, U32, Array, Struct, Union, Unique
from frevo.dcerpc.ndr_security import (
    CLOSE,
    ENUM,
    HANDLE,
    LOOKUPS_MAX,
    PSID,
    TEXT,
    ShortUnion,
    counted,
    listed,
    opened,
    operation,
)
from frevo.dcerpc.pdu import Syntax
from frevo.errors import SMBError
from frevo.wire.dtyp import SID
from frevo.wire.erref import NTStatus

_POLICY = b"lsap"
_NO_DOMAIN = -1 & 0xFFFFFFFF


def names_for(context: RpcContext) -> Names:
    """The known names; ACCESS_DENIED for callers who may not see them."""
    if context.names is None:
        raise SMBError(NTStatus.ACCESS_DENIED, "anonymous callers may not look up names")
    return context.names


# --- policy handles

_QUALITY = fields(("length", U32), ("level", ENUM), ("tracking", U8), ("effective", U8))
_OBJECT_ATTRIBUTES = fields(
    ("length", U32),
    ("root", Unique(U8)),
    ("name", Unique(TEXT)),
    ("attributes", U32),
    ("security_descriptor", Unique(U32)),
    ("quality", Unique(_QUALITY)),
)
_REVISION = Union({1: fields(("revision", U32), ("features", U32))})


def open_policy(context: RpcContext, call: Values) -> Values:
    """LsarOpenPolicy and LsarOpenPolicy2, [MS-LSAD] 3.1.4.4.1 and 3.1.4.4.2."""
    names_for(context)
    return {"handle": (_POLICY, 0, 0)}


def open_policy3(context: RpcContext, call: Values) -> Values:
    """LsarOpenPolicy3, [MS-LSAD] 3.1.4.4.9."""
    return {"version": 1, "revision": (1, {"revision": 1, "features": 0}), **open_policy(context, call)}


_ACCOUNT_DOMAIN = fields(("name", TEXT), ("sid", PSID))
_DNS_DOMAIN = fields(
    ("name", TEXT), ("dns_name", TEXT), ("forest", TEXT), ("guid_a", U32), ("guid_b", U32), ("guid_c", U32),
    ("guid_d", U32), ("sid", PSID),
)  # fmt: skip
_PRIMARY, _ACCOUNT, _DNS = 3, 5, 12
_POLICY_INFORMATION = ShortUnion({_PRIMARY: _ACCOUNT_DOMAIN, _ACCOUNT: _ACCOUNT_DOMAIN, _DNS: _DNS_DOMAIN})


def query_policy(context: RpcContext, call: Values) -> Values:
    """LsarQueryInformationPolicy and -2, [MS-LSAD] 3.1.4.4.3: this machine is in a workgroup, not in a domain."""
    opened(call, "handle", _POLICY)
    names, level = names_for(context), call["level"]
    guid = dict.fromkeys(("guid_a", "guid_b", "guid_c", "guid_d"), 0)
    answers: dict[int, Values] = {
        _PRIMARY: {"name": context.domain, "sid": None},
        _ACCOUNT: {"name": names.machine, "sid": names.machine_sid},
        _DNS: {"name": context.domain, "dns_name": "", "forest": "", **guid, "sid": None},
    }
    if level not in answers:
        raise SMBError(NTStatus.INVALID_PARAMETER, f"policy information class {level}")
    return {"information": (level, answers[level])}


# --- names

_DOMAINS = Unique(fields(("count", U32), ("entries", Unique(Array(_ACCOUNT_DOMAIN))), ("entries_max", U32)))


class _Domains:
    """The domains that a response refers to, each once."""

    def __init__(self) -> None:
        self._entries: list[Values] = []
        self._index: dict[str, int] = {}

    def index(self, found: Principal) -> int:
        """The number of the domain of *found*."""
        key = found.domain.casefold()
        if key not in self._index:
            self._index[key] = len(self._entries)
            self._entries.append({"name": found.domain, "sid": found.domain_sid or SID(5, ())})
        return self._index[key]

    def answer(self) -> Values:
        return {**listed(self._entries), "entries_max": 32}


def _summary(mapped: int, wanted: int) -> Values:
    """The number of names found, and the status for it ([MS-LSAT] 3.1.4.5)."""
    if wanted and not mapped:
        return {"mapped": 0, "status": NTStatus.NONE_MAPPED}
    return {"mapped": mapped, "status": NTStatus.SUCCESS if mapped == wanted else NTStatus.SOME_NOT_MAPPED}


def lookup_sids(context: RpcContext, call: Values) -> Values:
    """LsarLookupSids, -2 and -3, [MS-LSAT] 3.1.4.9 to 3.1.4.11. An unknown SID is returned as a string."""
    if "handle" in call:
        opened(call, "handle", _POLICY)
    names, domains = names_for(context), _Domains()
    wanted = [entry["sid"] for entry in call["sids"]["entries"] or ()]
    if None in wanted:
        raise SMBError(NTStatus.INVALID_PARAMETER, "a null SID")
    translated: list[Values] = []
    mapped = 0
    for sid in wanted:
        found = names.of_sid(sid)
        mapped += found is not None
        use, name, domain = SidUse.UNKNOWN, str(sid), _NO_DOMAIN
        if found is not None:
            use, name, domain = found.use, found.name, domains.index(found)
        translated.append({"use": use, "name": name, "domain": domain, "flags": 0})
    return {"domains": domains.answer(), "names": listed(translated), **_summary(mapped, len(wanted))}


def lookup_names(context: RpcContext, call: Values) -> Values:
    """LsarLookupNames, -2, -3 and -4, [MS-LSAT] 3.1.4.5 to 3.1.4.8."""
    if "handle" in call:
        opened(call, "handle", _POLICY)
    names, domains = names_for(context), _Domains()
    translated: list[Values] = []
    mapped = 0
    for name in call["names"]:
        found = names.of_name(name)
        mapped += found is not None
        if found is None:
            translated.append(
                {"use": SidUse.UNKNOWN, "rid": 0, "sid": None, "domain": _NO_DOMAIN, "flags": 0}
            )
            continue
        rid = _NO_DOMAIN if found.use == SidUse.DOMAIN else (found.sid.sub_authorities or (0,))[-1]
        domain = domains.index(found)
        translated.append({"use": found.use, "rid": rid, "sid": found.sid, "domain": domain, "flags": 0})
    return {
        "domains": domains.answer(), "sids": listed(translated), **_summary(mapped, len(call["names"])),
    }  # fmt: skip


def get_user_name(context: RpcContext, call: Values) -> Values:
    """LsarGetUserName, [MS-LSAT] 3.1.4.4: the caller's name."""
    domain = context.user_domain if call["domain"] is not None else None
    return {"user": context.user or "ANONYMOUS LOGON", "domain": domain}


# --- the interface

_ATTRIBUTES, _ACCESS = ("attributes", _OBJECT_ATTRIBUTES), ("access", U32)
_HANDLE, _LEVEL, _MAPPED = ("handle", HANDLE), ("level", ENUM), ("mapped", U32)
_OPTIONS = (("options", U32), ("client_revision", U32))
_SIDS = ("sids", counted(fields(("sid", PSID))))
_NAMES = (("count", U32), ("names", Array(TEXT, LOOKUPS_MAX)))
_USE, _DOMAIN, _FLAGS = ("use", ENUM), ("domain", U32), ("flags", U32)
_NAME = (_USE, ("name", TEXT), _DOMAIN)
_REVISED = (("version", U32), ("revision", _REVISION))


def _open(name: str, system_name: Unique) -> Operation:
    return operation(name, (("system", system_name), _ATTRIBUTES, _ACCESS), (_HANDLE,), open_policy)


def _query(name: str) -> Operation:
    answer = (("information", Unique(_POLICY_INFORMATION)),)
    return operation(name, (_HANDLE, _LEVEL), answer, query_policy)


def _lookup_sids(name: str, entry: Struct, *, handle: bool, options: bool) -> Operation:
    """An operation with SIDs and an empty answer in; the answer out."""
    answer = ("names", counted(entry))
    tail = _OPTIONS if options else ()
    arguments = (*((_HANDLE,) if handle else ()), _SIDS, answer, _LEVEL, _MAPPED, *tail)
    return operation(name, arguments, (("domains", _DOMAINS), answer, _MAPPED), lookup_sids)


def _lookup_names(name: str, entry: Struct, *, handle: bool, options: bool) -> Operation:
    """An operation with names and an empty answer in; the answer out."""
    answer = ("sids", counted(entry))
    tail = _OPTIONS if options else ()
    arguments = (*((_HANDLE,) if handle else ()), *_NAMES, answer, _LEVEL, _MAPPED, *tail)
    return operation(name, arguments, (("domains", _DOMAINS), answer, _MAPPED), lookup_names)


_NAME_ENTRY, _NAME_ENTRY_EX = fields(*_NAME), fields(*_NAME, _FLAGS)
_RID_ENTRY = fields(_USE, ("rid", U32), _DOMAIN)
_RID_ENTRY_EX = fields(_USE, ("rid", U32), _DOMAIN, _FLAGS)
_SID_ENTRY = fields(_USE, ("sid", PSID), _DOMAIN, _FLAGS)
_USER_NAME = (("user", Unique(TEXT)), ("domain", Unique(Unique(TEXT))))

LSARPC = Interface(
    "lsarpc",
    Syntax(UUID("12345778-1234-abcd-ef00-0123456789ab"), 0),
    {
        0: CLOSE,
        6: _open("LsarOpenPolicy", Unique(U16)),
        7: _query("LsarQueryInformationPolicy"),
        14: _lookup_names("LsarLookupNames", _RID_ENTRY, handle=True, options=False),
        15: _lookup_sids("LsarLookupSids", _NAME_ENTRY, handle=True, options=False),
        44: _open("LsarOpenPolicy2", STRING),
        45: operation("LsarGetUserName", (("system", STRING), *_USER_NAME), _USER_NAME, get_user_name),
        46: _query("LsarQueryInformationPolicy2"),
        57: _lookup_sids("LsarLookupSids2", _NAME_ENTRY_EX, handle=True, options=True),
        58: _lookup_names("LsarLookupNames2", _RID_ENTRY_EX, handle=True, options=True),
        68: _lookup_names("LsarLookupNames3", _SID_ENTRY, handle=True, options=True),
        76: _lookup_sids("LsarLookupSids3", _NAME_ENTRY_EX, handle=False, options=True),
        77: _lookup_names("LsarLookupNames4", _SID_ENTRY, handle=False, options=True),
        130: operation(
            "LsarOpenPolicy3",
            (("system", STRING), _ATTRIBUTES, _ACCESS, *_REVISED),
            (*_REVISED, _HANDLE),
            open_policy3,
        ),
    },
)
