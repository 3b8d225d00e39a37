"""Names and SIDs: accounts, this machine, BUILTIN, well-known SIDs, and Unix users and groups as S-1-22-1-uid and
S-1-22-2-gid ([MS-DTYP] 2.4.2.4, [MS-LSAT] 3.1.1.1.1)."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from frevo import nss
from frevo.auth.accounts import AccountStore
from frevo.auth.authenticator import Authenticator
from frevo.auth.sids import RID_DOMAIN_USERS
from frevo.dcerpc.context import Principal, SidUse, UserInfo
from frevo.wire.dtyp import SID, UNIX_GROUPS, UNIX_USERS, from_unix_s

T = TypeVar("T")

UNIX_USER_DOMAIN, UNIX_GROUP_DOMAIN = "Unix User", "Unix Group"
_BUILTIN, _AUTHORITY = SID(5, (32,)), SID(5, ())
_UID_MAX = (1 << 32) - 2
_ADMINISTRATORS, _USERS = 544, 545
_NAME_MAX = 256

_ALIASES = {
    _ADMINISTRATORS: "Administrators", _USERS: "Users", 546: "Guests", 547: "Power Users", 548: "Account Operators",
    549: "Server Operators", 550: "Print Operators", 551: "Backup Operators", 552: "Replicator",
}  # fmt: skip
_NT_AUTHORITY = {
    1: "DIALUP", 2: "NETWORK", 3: "BATCH", 4: "INTERACTIVE", 6: "SERVICE", 7: "ANONYMOUS LOGON", 8: "PROXY",
    9: "ENTERPRISE DOMAIN CONTROLLERS", 10: "SELF", 11: "Authenticated Users", 12: "RESTRICTED",
    13: "TERMINAL SERVER USER", 14: "REMOTE INTERACTIVE LOGON", 15: "This Organization", 18: "SYSTEM",
    19: "LOCAL SERVICE", 20: "NETWORK SERVICE",
}  # fmt: skip
_EVERYWHERE = {
    SID(0, (0,)): "NULL SID", SID(1, (0,)): "Everyone", SID(2, (0,)): "LOCAL", SID(3, (0,)): "CREATOR OWNER",
    SID(3, (1,)): "CREATOR GROUP", SID(3, (4,)): "OWNER RIGHTS",
}  # fmt: skip


def _well_known() -> Iterator[Principal]:
    use = SidUse.WELL_KNOWN_GROUP
    for sid, name in _EVERYWHERE.items():
        yield Principal(sid, use, name, "", SID(sid.authority, ()))
    for rid, name in _NT_AUTHORITY.items():
        yield Principal(SID(5, (rid,)), use, name, "NT AUTHORITY", _AUTHORITY)
    yield Principal(_BUILTIN, SidUse.DOMAIN, "BUILTIN", "BUILTIN", _BUILTIN)
    for rid, name in _ALIASES.items():
        yield Principal(_BUILTIN.child(rid), SidUse.ALIAS, name, "BUILTIN", _BUILTIN)


_BY_SID = {known.sid: known for known in _well_known()}
_BY_NAME = {known.name.casefold(): known for known in reversed(_BY_SID.values())}


class Directory:
    """The accounts and groups of this machine (`dcerpc.context.Names`) for one pipe; accounts created while it is open
    may be missing. *is_admin* tells whether an account is an administrator."""

    def __init__(
        self,
        accounts: AccountStore,
        machine_sid: SID,
        machine: str,
        workgroup: str,
        is_admin: Callable[[str], bool],
    ) -> None:
        self.machine, self.machine_sid = machine.upper(), machine_sid
        self._accounts, self._workgroup, self._is_admin = accounts, workgroup, is_admin
        self._by_rid: dict[int, str] | None = None

    # -- SID to name

    def of_sid(self, sid: SID) -> Principal | None:
        known = _BY_SID.get(sid)
        if known is not None or not sid.sub_authorities:
            return known
        parent, rid = SID(sid.authority, sid.sub_authorities[:-1]), sid.sub_authorities[-1]
        if sid == self.machine_sid:
            return self._mine(sid, SidUse.DOMAIN, self.machine)
        if parent == self.machine_sid:
            return self._of_rid(sid, rid)
        if parent == UNIX_USERS:
            return _unix_user(rid)
        return _unix_group(rid) if parent == UNIX_GROUPS else None

    def _mine(self, sid: SID, use: SidUse, name: str) -> Principal:
        return Principal(sid, use, name, self.machine, self.machine_sid)

    def _of_rid(self, sid: SID, rid: int) -> Principal | None:
        if rid == RID_DOMAIN_USERS:
            return self._mine(sid, SidUse.GROUP, "None")
        if self._by_rid is None:
            self._by_rid = {account.rid: account.name for account in self._accounts.all()}
        name = self._by_rid.get(rid)
        return None if name is None else self._mine(sid, SidUse.USER, name)

    # -- name to SID

    def of_name(self, name: str) -> Principal | None:
        if len(name) > _NAME_MAX or "\0" in name:
            return None
        domain, separator, plain = name.partition("\\")
        if not separator:
            plain, _, domain = name.partition("@")
        return self._in_domain(domain.casefold(), plain)

    def _in_domain(self, domain: str, name: str) -> Principal | None:
        """*name* in *domain* (case-folded; "" for any)."""
        mine = (self.machine.casefold(), self._workgroup.casefold())
        known = _BY_NAME.get(name.casefold())
        if known is not None and domain in ("", known.domain.casefold()):
            return known
        if domain in ("", *mine):
            found = self._of_own_name(name)
            if found is not None or domain:
                return found
        if domain in ("", UNIX_USER_DOMAIN.casefold()):
            found = _of_unix_name(name, pwd.getpwnam, lambda entry: _unix_user(entry.pw_uid))
            if found is not None or domain:
                return found
        if domain in ("", UNIX_GROUP_DOMAIN.casefold()):
            return _of_unix_name(name, grp.getgrnam, lambda entry: _unix_group(entry.gr_gid))
        return None

    def _of_own_name(self, name: str) -> Principal | None:
        folded = name.casefold()
        if folded in ("", self.machine.casefold()):
            return self._mine(self.machine_sid, SidUse.DOMAIN, self.machine)
        if folded == "none":
            return self._mine(self.machine_sid.child(RID_DOMAIN_USERS), SidUse.GROUP, "None")
        account = self._accounts.lookup(name)
        if account is None:
            return None
        return self._mine(self.machine_sid.child(account.rid), SidUse.USER, account.name)

    # -- lists

    def users(self) -> Sequence[UserInfo]:
        found = sorted(self._accounts.all(), key=lambda account: account.rid)
        return [
            UserInfo(
                one.rid,
                one.name,
                one.full_name,
                one.disabled,
                one.must_change,
                from_unix_s(one.password_set_s),
            )
            for one in found
        ]

    def aliases(self) -> Sequence[Principal]:
        return [_BY_SID[_BUILTIN.child(rid)] for rid in _ALIASES]

    def aliases_of(self, sid: SID) -> Sequence[int]:
        if sid == self.machine_sid.child(RID_DOMAIN_USERS):
            return [_USERS]
        found = self.of_sid(sid)
        if found is None or found.use != SidUse.USER or found.domain_sid != self.machine_sid:
            return []
        return [_ADMINISTRATORS, _USERS] if self._is_admin(found.name) else [_USERS]


def directory(authenticator: Authenticator, machine: str, workgroup: str) -> Directory:
    """The accounts and groups of this server."""
    admins = {name.casefold() for name in authenticator.settings.admin_users}
    return Directory(
        authenticator.accounts,
        authenticator.machine_sid,
        machine,
        workgroup,
        lambda name: name.casefold() in admins,
    )


def _unix_user(uid: int) -> Principal | None:
    try:
        name = nss.look_up(pwd.getpwuid, uid).pw_name if uid <= _UID_MAX else ""
    except KeyError:
        return None
    return Principal(UNIX_USERS.child(uid), SidUse.USER, name, UNIX_USER_DOMAIN, UNIX_USERS) if name else None


def _unix_group(gid: int) -> Principal | None:
    try:
        name = nss.look_up(grp.getgrgid, gid).gr_name if gid <= _UID_MAX else ""
    except KeyError:
        return None
    return (
        Principal(UNIX_GROUPS.child(gid), SidUse.ALIAS, name, UNIX_GROUP_DOMAIN, UNIX_GROUPS)
        if name
        else None
    )


def _of_unix_name(
    name: str, find: Callable[[str], T], made: Callable[[T], Principal | None]
) -> Principal | None:
    try:
        return made(nss.look_up(find, name))
    except (KeyError, UnicodeEncodeError):
        return None
