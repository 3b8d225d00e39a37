"""The security account manager, read-only: accounts, groups, members. [MS-SAMR] 3.1.5.

There are two domains: this machine's accounts, and BUILTIN. Anonymous callers get ACCESS_DENIED; guests may look up a
single name or RID, but not list them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from frevo.dcerpc.context import Names, RpcContext, SidUse, UserInfo
from frevo.dcerpc.interface import STRING, Interface, Operation, Values, fields
from frevo.dcerpc.lsarpc import names_for
from frevo.dcerpc.ndr import U16, U32, Arguments, Array, NDRType, Union, Unique
from frevo.dcerpc.ndr_security import (
    CLOSE,
    ENUM,
    HANDLE,
    LOOKUPS_MAX,
    PSID,
    TEXT,
    RpcSid,
    ShortUnion,
    VaryingArray,
    counted,
    listed,
    opened,
    operation,
)
from frevo.dcerpc.pdu import Syntax
from frevo.dcerpc.samr_information import (
    ALIAS_INFORMATION,
    DOMAIN_INFORMATION,
    GENERAL_LEVEL,
    GROUP_INFORMATION,
    NAME_LEVEL,
    PASSWORD_LEVEL,
    TEXTS,
    USER_INFORMATION,
)
from frevo.errors import SMBError
from frevo.wire.dtyp import SID
from frevo.wire.erref import NTStatus

_SERVER, _DOMAIN, _USER, _GROUP, _ALIAS = b"sams", b"samd", b"samu", b"samg", b"sama"
_MACHINE, _BUILTIN = 0, 1
_BUILTIN_SID = SID(5, (32,))
_DOMAIN_USERS = 513
#: Most entries of one response; the caller continues after them.
ENTRIES_MAX = 500

#: UserAccountControl ([MS-SAMR] 2.2.1.12): a normal account; disabled; its password has expired.
_NORMAL_ACCOUNT, _DISABLED, _EXPIRED = 0x10, 0x1, 0x20000
#: Mandatory, enabled by default, enabled ([MS-SAMR] 2.2.1.14).
_MEMBER = 0x7
_NEVER = 0x7FFF_FFFF_FFFF_FFFF

# --- common parts


def _listing(context: RpcContext) -> Names:
    """The known names, for callers who may see lists."""
    names = names_for(context)
    if not context.may_list:
        raise SMBError(NTStatus.ACCESS_DENIED, "guests may not list accounts and groups")
    return names


def _domain_sid(names: Names, domain: int) -> SID:
    return names.machine_sid if domain == _MACHINE else _BUILTIN_SID


def _user(names: Names, rid: int) -> UserInfo:
    found = next((user for user in names.users() if user.rid == rid), None)
    if found is None:
        raise SMBError(NTStatus.NO_SUCH_USER, f"RID {rid}")
    return found


def _page(entries: Sequence[Any], start: int) -> tuple[list[Any], Values]:
    """The entries from *start* on that fit into one response, and the status for the rest."""
    page = list(entries[start : start + ENTRIES_MAX])
    end = start + len(page)
    more = end < len(entries)
    status = NTStatus.MORE_ENTRIES if more else NTStatus.SUCCESS
    return page, {"resume": end if more else 0, "count": len(page), "status": status}


# --- servers and domains


def connect(context: RpcContext, call: Values) -> Values:
    """SamrConnect, -2 and -4, [MS-SAMR] 3.1.5.1."""
    names_for(context)
    return {"handle": (_SERVER, 0, 0)}


def connect5(context: RpcContext, call: Values) -> Values:
    """SamrConnect5, [MS-SAMR] 3.1.5.1.1."""
    return {"version": 1, "revision": (1, {"revision": 3, "features": 0}), **connect(context, call)}


def enumerate_domains(context: RpcContext, call: Values) -> Values:
    """SamrEnumerateDomainsInSamServer, [MS-SAMR] 3.1.5.2.1."""
    opened(call, "handle", _SERVER)
    found = [{"rid": 0, "name": name} for name in (names_for(context).machine, "Builtin")]
    page, told = _page(found, call["resume"])
    return {"entries": listed(page), **told}


def lookup_domain(context: RpcContext, call: Values) -> Values:
    """SamrLookupDomainInSamServer, [MS-SAMR] 3.1.5.11.1."""
    opened(call, "handle", _SERVER)
    names, wanted = names_for(context), call["name"].casefold()
    if wanted in (names.machine.casefold(), context.domain.casefold()):
        return {"sid": names.machine_sid}
    if wanted == "builtin":
        return {"sid": _BUILTIN_SID}
    raise SMBError(NTStatus.NO_SUCH_DOMAIN, wanted)


def open_domain(context: RpcContext, call: Values) -> Values:
    """SamrOpenDomain, [MS-SAMR] 3.1.5.1.5."""
    opened(call, "handle", _SERVER)
    sids = (names_for(context).machine_sid, _BUILTIN_SID)
    if call["sid"] not in sids:
        raise SMBError(NTStatus.NO_SUCH_DOMAIN, str(call["sid"]))
    return {"handle": (_DOMAIN, sids.index(call["sid"]), 0)}


def _time(filetime: int) -> Values:
    """OLD_LARGE_INTEGER ([MS-SAMR] 2.2.2.2)."""
    return {"low": filetime & 0xFFFFFFFF, "high": filetime >> 32}


def query_domain(context: RpcContext, call: Values) -> Values:
    """SamrQueryInformationDomain and -2, [MS-SAMR] 3.1.5.5.1."""
    domain, _ = opened(call, "handle", _DOMAIN)
    names, level = names_for(context), call["level"]
    mine = domain == _MACHINE
    name = names.machine if mine else "Builtin"
    answers: dict[int, Callable[[], Values]] = {
        PASSWORD_LEVEL: lambda: {
            "length_min": 0, "history": 0, "properties": 0, "age_max": _time(1 << 63), "age_min": _time(0)
        },
        GENERAL_LEVEL: lambda: {
            "force_logoff": _time(1 << 63), "comment": context.comment, "name": name, "replica": "",
            "modified": _time(0), "state": 1, "role": 3, "compatible": 1,
            "users": len(names.users()) if mine and context.may_list else 0, "groups": int(mine),
            "aliases": 0 if mine else len(names.aliases()),
        },
        NAME_LEVEL: lambda: {"name": name},
    }  # fmt: skip
    if level not in answers:
        raise SMBError(NTStatus.INVALID_INFO_CLASS, f"domain information class {level}")
    return {"information": (level, answers[level]())}


# --- lists


def enumerate_users(context: RpcContext, call: Values) -> Values:
    """SamrEnumerateUsersInDomain, [MS-SAMR] 3.1.5.2.5."""
    domain, _ = opened(call, "handle", _DOMAIN)
    names, wanted = _listing(context), call["control"]
    users = names.users() if domain == _MACHINE and (not wanted or wanted & _NORMAL_ACCOUNT) else ()
    page, told = _page([{"rid": user.rid, "name": user.name} for user in users], call["resume"])
    return {"entries": listed(page), **told}


def enumerate_groups(context: RpcContext, call: Values) -> Values:
    """SamrEnumerateGroupsInDomain, [MS-SAMR] 3.1.5.2.3: the group of all accounts, which Windows calls None."""
    domain, _ = opened(call, "handle", _DOMAIN)
    _listing(context)
    groups = [{"rid": _DOMAIN_USERS, "name": "None"}] if domain == _MACHINE else []
    page, told = _page(groups, call["resume"])
    return {"entries": listed(page), **told}


def enumerate_aliases(context: RpcContext, call: Values) -> Values:
    """SamrEnumerateAliasesInDomain, [MS-SAMR] 3.1.5.2.4."""
    domain, _ = opened(call, "handle", _DOMAIN)
    names = _listing(context)
    aliases = () if domain == _MACHINE else names.aliases()
    entries = [{"rid": alias.sid.sub_authorities[-1], "name": alias.name} for alias in aliases]
    page, told = _page(entries, call["resume"])
    return {"entries": listed(page), **told}


_DISPLAY_USER = fields(
    ("index", U32), ("rid", U32), ("control", U32), ("name", TEXT), ("comment", TEXT), ("full_name", TEXT)
)
_DISPLAY = ShortUnion({level: counted(_DISPLAY_USER) for level in (1, 2, 3)})


def query_display(context: RpcContext, call: Values) -> Values:
    """SamrQueryDisplayInformation, -2 and -3, [MS-SAMR] 3.1.5.3: users (1), no machines (2), one group (3)."""
    domain, _ = opened(call, "handle", _DOMAIN)
    names, level = _listing(context), call["level"]
    if level not in (1, 2, 3):
        raise SMBError(NTStatus.INVALID_INFO_CLASS, f"display class {level}")
    entries: list[Values] = []
    if domain == _MACHINE and level == 1:
        entries = [_shown(user.rid, _control(user), user.name, user.full_name) for user in names.users()]
    elif domain == _MACHINE and level == 3:
        entries = [_shown(_DOMAIN_USERS, _MEMBER, "None", "")]
    count = min(call["entries_max"], ENTRIES_MAX)
    page = entries[call["index"] : call["index"] + count]
    for number, entry in enumerate(page):
        entry["index"] = call["index"] + number + 1
    more = call["index"] + len(page) < len(entries)
    return {
        "total": len(entries), "returned": len(page), "information": (level, listed(page)),
        "status": NTStatus.MORE_ENTRIES if more else NTStatus.SUCCESS,
    }  # fmt: skip


def _shown(rid: int, control: int, name: str, full_name: str) -> Values:
    return {"index": 0, "rid": rid, "control": control, "name": name, "comment": "", "full_name": full_name}


def _control(user: UserInfo) -> int:
    return _NORMAL_ACCOUNT | _DISABLED * user.disabled | _EXPIRED * user.must_change


# --- names and RIDs


def _mapped(found: int, wanted: int) -> NTStatus:
    if wanted and not found:
        return NTStatus.NONE_MAPPED
    return NTStatus.SUCCESS if found == wanted else NTStatus.SOME_NOT_MAPPED


def lookup_names(context: RpcContext, call: Values) -> Values:
    """SamrLookupNamesInDomain, [MS-SAMR] 3.1.5.11.2."""
    domain, _ = opened(call, "handle", _DOMAIN)
    names = names_for(context)
    prefix = names.machine if domain == _MACHINE else "BUILTIN"
    found = [names.of_name(f"{prefix}\\{name}") for name in call["names"]]
    known = [one if one is not None and one.use != SidUse.DOMAIN else None for one in found]
    rids = [one.sid.sub_authorities[-1] if one else 0 for one in known]
    uses = [int(one.use if one else SidUse.UNKNOWN) for one in known]
    count = sum(one is not None for one in known)
    return {"rids": listed(rids), "uses": listed(uses), "status": _mapped(count, len(known))}


def lookup_rids(context: RpcContext, call: Values) -> Values:
    """SamrLookupIdsInDomain, [MS-SAMR] 3.1.5.11.3."""
    domain, _ = opened(call, "handle", _DOMAIN)
    names = names_for(context)
    sid = _domain_sid(names, domain)
    found = [names.of_sid(sid.child(rid)) for rid in call["rids"]]
    return {
        "names": listed([one.name if one else "" for one in found]),
        "uses": listed([int(one.use if one else SidUse.UNKNOWN) for one in found]),
        "status": _mapped(sum(one is not None for one in found), len(found)),
    }


def rid_to_sid(context: RpcContext, call: Values) -> Values:
    """SamrRidToSid, [MS-SAMR] 3.1.5.13.7."""
    domain, _ = opened(call, "handle", _DOMAIN, _USER, _GROUP, _ALIAS)
    return {"sid": _domain_sid(names_for(context), domain).child(call["rid"])}


# --- users, groups and aliases


def _open(kind: bytes, use: SidUse, missing: NTStatus) -> Callable[[RpcContext, Values], Values]:
    """SamrOpenUser, -Group, -Alias, [MS-SAMR] 3.1.5.1.7 to 3.1.5.1.9."""

    def work(context: RpcContext, call: Values) -> Values:
        domain, _ = opened(call, "handle", _DOMAIN)
        names, rid = names_for(context), call["rid"]
        found = names.of_sid(_domain_sid(names, domain).child(rid))
        if found is None or found.use != use:
            raise SMBError(missing, f"RID {rid}")
        return {"handle": (kind, domain, rid)}

    return work


#: The fields present at level 21: all but passwords and private data ([MS-SAMR] 2.2.1.8).
_WHICH = 0x08FFFFFF


def query_user(context: RpcContext, call: Values) -> Values:
    """SamrQueryInformationUser and -2, [MS-SAMR] 3.1.5.5.5. Never returns passwords or hashes."""
    _, rid = opened(call, "handle", _USER)
    user, level = _user(names_for(context), rid), call["level"]
    if level not in USER_INFORMATION.arms:
        raise SMBError(NTStatus.INVALID_INFO_CLASS, f"user information class {level}")
    values: Values = {
        **dict.fromkeys((*TEXTS, "lm_password", "nt_password", "private"), ""),
        "logon": _time(0), "logoff": _time(0), "set": _time(user.password_set), "expires": _time(_NEVER),
        "can_change": _time(user.password_set), "must_change": _time(0 if user.must_change else _NEVER),
        "name": user.name, "full_name": user.full_name, "security": listed([]), "rid": user.rid,
        "group": _DOMAIN_USERS, "control": _control(user), "which": _WHICH,
        "hours": {"units": 168, "entries": [0xFF] * 21}, "bad_passwords": 0, "logons": 0, "country": 0,
        "code_page": 0, "lm_present": 0, "nt_present": 0, "expired": int(user.must_change), "private_changed": 0,
    }  # fmt: skip
    return {"information": (level, values)}


def _query(kind: bytes, union: ShortUnion) -> Callable[[RpcContext, Values], Values]:
    """SamrQueryInformationGroup and -Alias, [MS-SAMR] 3.1.5.5.3 and 3.1.5.5.4."""

    def work(context: RpcContext, call: Values) -> Values:
        domain, rid = opened(call, "handle", kind)
        names, level = names_for(context), call["level"]
        if level not in union.arms:
            raise SMBError(NTStatus.INVALID_INFO_CLASS, f"information class {level}")
        found = names.of_sid(_domain_sid(names, domain).child(rid))
        members = len(names.users()) if kind == _GROUP and context.may_list else 0
        values = {
            "name": found.name if found else "",
            "attributes": _MEMBER,
            "members": members,
            "comment": "",
        }
        return {"information": (level, values)}

    return work


def groups_of_user(context: RpcContext, call: Values) -> Values:
    """SamrGetGroupsForUser, [MS-SAMR] 3.1.5.9.1."""
    _, rid = opened(call, "handle", _USER)
    _user(names_for(context), rid)
    return {"groups": listed([{"rid": _DOMAIN_USERS, "attributes": _MEMBER}])}


def members_of_group(context: RpcContext, call: Values) -> Values:
    """SamrGetMembersInGroup, [MS-SAMR] 3.1.5.8.3."""
    opened(call, "handle", _GROUP)
    rids = [user.rid for user in _listing(context).users()][:LOOKUPS_MAX]
    return {
        "members": {"count": len(rids), "rids": rids or None, "attributes": [_MEMBER] * len(rids) or None}
    }


def members_of_alias(context: RpcContext, call: Values) -> Values:
    """SamrGetMembersInAlias, [MS-SAMR] 3.1.5.8.4."""
    domain, rid = opened(call, "handle", _ALIAS)
    names = _listing(context)
    users = names.users() if domain == _BUILTIN else ()
    sids = [names.machine_sid.child(user.rid) for user in users]
    found = [{"sid": sid} for sid in sids if rid in names.aliases_of(sid)]
    return {"members": listed(found[:LOOKUPS_MAX])}


def alias_membership(context: RpcContext, call: Values) -> Values:
    """SamrGetAliasMembership, [MS-SAMR] 3.1.5.9.2."""
    domain, _ = opened(call, "handle", _DOMAIN)
    names = names_for(context)
    rids: set[int] = set()
    if domain == _BUILTIN:
        for entry in call["sids"]["entries"] or ():
            if entry["sid"] is not None:
                rids.update(names.aliases_of(entry["sid"]))
    return {"rids": listed(sorted(rids))}


# --- the interface

_HANDLE, _ACCESS, _RID, _LEVEL = ("handle", HANDLE), ("access", U32), ("rid", U32), ("level", ENUM)
_PAGE_TAIL = (("length_max", U32),)
_RESUME = ("resume", U32)
_RIDS = counted(U32)
_ENTRIES = Unique(counted(fields(("rid", U32), ("name", TEXT))))
_MEMBERS = Unique(fields(("count", U32), ("rids", Unique(Array(U32))), ("attributes", Unique(Array(U32)))))
_REVISION = Union({1: fields(("revision", U32), ("features", U32))})
_REVISED: Arguments = (("version", U32), ("revision", _REVISION))


def _enumeration(
    name: str, work: Callable[[RpcContext, Values], Values], *extra: tuple[str, NDRType]
) -> Operation:
    answer: Arguments = (_RESUME, ("entries", _ENTRIES), ("count", U32))
    return operation(name, (_HANDLE, _RESUME, *extra, *_PAGE_TAIL), answer, work)


def _opening(name: str, kind: bytes, use: SidUse, missing: NTStatus) -> Operation:
    return operation(name, (_HANDLE, _ACCESS, _RID), (_HANDLE,), _open(kind, use, missing))


def _information(name: str, union: ShortUnion, work: Callable[[RpcContext, Values], Values]) -> Operation:
    return operation(name, (_HANDLE, _LEVEL), (("information", Unique(union)),), work)


def _display(name: str) -> Operation:
    arguments: Arguments = (_HANDLE, _LEVEL, ("index", U32), ("entries_max", U32), *_PAGE_TAIL)
    answer: Arguments = (("total", U32), ("returned", U32), ("information", _DISPLAY))
    return operation(name, arguments, answer, query_display)


_GROUPS = Unique(counted(fields(("rid", U32), ("attributes", U32))))
_SIDS = counted(fields(("sid", PSID)))

SAMR = Interface(
    "samr",
    Syntax(UUID("12345778-1234-abcd-ef00-0123456789ac"), 1),
    {
        0: operation("SamrConnect", (("server", Unique(U16)), _ACCESS), (_HANDLE,), connect),
        1: CLOSE,
        5: operation(
            "SamrLookupDomainInSamServer", (_HANDLE, ("name", TEXT)), (("sid", PSID),), lookup_domain
        ),
        6: _enumeration("SamrEnumerateDomainsInSamServer", enumerate_domains),
        7: operation("SamrOpenDomain", (_HANDLE, _ACCESS, ("sid", RpcSid())), (_HANDLE,), open_domain),
        8: _information("SamrQueryInformationDomain", DOMAIN_INFORMATION, query_domain),
        11: _enumeration("SamrEnumerateGroupsInDomain", enumerate_groups),
        13: _enumeration("SamrEnumerateUsersInDomain", enumerate_users, ("control", U32)),
        15: _enumeration("SamrEnumerateAliasesInDomain", enumerate_aliases),
        16: operation(
            "SamrGetAliasMembership", (_HANDLE, ("sids", _SIDS)), (("rids", _RIDS),), alias_membership
        ),
        17: operation(
            "SamrLookupNamesInDomain",
            (_HANDLE, ("count", U32), ("names", VaryingArray(TEXT))),
            (("rids", _RIDS), ("uses", _RIDS)),
            lookup_names,
        ),
        18: operation(
            "SamrLookupIdsInDomain",
            (_HANDLE, ("count", U32), ("rids", VaryingArray(U32))),
            (("names", counted(TEXT)), ("uses", _RIDS)),
            lookup_rids,
        ),
        19: _opening("SamrOpenGroup", _GROUP, SidUse.GROUP, NTStatus.NO_SUCH_GROUP),
        20: _information("SamrQueryInformationGroup", GROUP_INFORMATION, _query(_GROUP, GROUP_INFORMATION)),
        25: operation("SamrGetMembersInGroup", (_HANDLE,), (("members", _MEMBERS),), members_of_group),
        27: _opening("SamrOpenAlias", _ALIAS, SidUse.ALIAS, NTStatus.NO_SUCH_ALIAS),
        28: _information("SamrQueryInformationAlias", ALIAS_INFORMATION, _query(_ALIAS, ALIAS_INFORMATION)),
        33: operation("SamrGetMembersInAlias", (_HANDLE,), (("members", _SIDS),), members_of_alias),
        34: _opening("SamrOpenUser", _USER, SidUse.USER, NTStatus.NO_SUCH_USER),
        36: _information("SamrQueryInformationUser", USER_INFORMATION, query_user),
        39: operation("SamrGetGroupsForUser", (_HANDLE,), (("groups", _GROUPS),), groups_of_user),
        40: _display("SamrQueryDisplayInformation"),
        46: _information("SamrQueryInformationDomain2", DOMAIN_INFORMATION, query_domain),
        47: _information("SamrQueryInformationUser2", USER_INFORMATION, query_user),
        48: _display("SamrQueryDisplayInformation2"),
        51: _display("SamrQueryDisplayInformation3"),
        57: operation("SamrConnect2", (("server", STRING), _ACCESS), (_HANDLE,), connect),
        62: operation("SamrConnect4", (("server", STRING), ("client", U32), _ACCESS), (_HANDLE,), connect),
        64: operation(
            "SamrConnect5", (("server", STRING), _ACCESS, *_REVISED), (*_REVISED, _HANDLE), connect5
        ),
        65: operation("SamrRidToSid", (_HANDLE, _RID), (("sid", PSID),), rid_to_sid),
    },
)
