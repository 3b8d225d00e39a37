"""The access of users to a share: `valid users`, `invalid users`, `read list`, `write list`, `read only`, guests.

Decisions only; the Unix groups are looked up when a list names a group and the caller gave none.
"""

from __future__ import annotations

import grp
import pwd
from collections.abc import Collection, Iterable, Mapping
from enum import IntEnum

import msgspec
from msgspec.structs import replace

from frevo import nss
from frevo.config.global_keys import GlobalConfig
from frevo.config.macros import expand
from frevo.config.share_keys import ShareConfig

#: Prefixes of group names.
GROUP_SIGNS = "@+&"
#: The lists of people and groups of a share.
LISTS = ("valid_users", "invalid_users", "read_list", "write_list", "admin_users")


class ShareAccess(IntEnum):
    """What a user may do on a share; ordered."""

    NONE = 0
    READ = 1
    WRITE = 2


class Person(msgspec.Struct, frozen=True):
    """Who asks: account name, Unix groups (None: those of that name count, as in Samba).

    `domains` are the lower-case names that may stand before a backslash (or after an `@`) and mean this server's
    accounts; `macros` are the values of %-macros, as `expand` takes them.
    """

    account: str
    groups: Collection[str] | None = None
    domains: Collection[str] = ()
    macros: Mapping[str, str] = {}


def share_access(
    share: ShareConfig,
    user: str | Person,
    groups: Collection[str] | None = None,
    *,
    guest: bool = False,
) -> ShareAccess:
    """The access of *user* to *share*. Without *groups*, the Unix groups of that name count, as in Samba.

    Names compare without case; `DOMAIN\\user` matches `user` where the domain is this server's. `@group`, `+group`
    name groups; `&group` is a netgroup, of which nobody is one. %-macros are replaced first.
    """
    who = user if isinstance(user, Person) else Person(user, groups)
    if not share.available or (guest and not share.guest_ok) or (share.guest_only and not share.guest_ok):
        return ShareAccess.NONE
    if is_named(share.invalid_users, who, share.name):
        return ShareAccess.NONE
    if share.valid_users and not is_named(share.valid_users, who, share.name):
        return ShareAccess.NONE
    if is_named(share.write_list, who, share.name):  # the manual: write list wins over read list
        return ShareAccess.WRITE
    if share.read_only or is_named(share.read_list, who, share.name):
        return ShareAccess.READ
    return ShareAccess.WRITE


def is_named(entries: Iterable[str], who: Person, share: str) -> bool:
    """Whether one of *entries*, a list of users and groups of *share*, names *who*."""
    account = who.account.rpartition("\\")[2].lower()
    for entry in entries:
        is_group, domain, name = parts_of_entry(entry, {"share": share, **who.macros})
        if not name or (domain and domain not in who.domains and f"{domain}\\{name}" != who.account.lower()):
            continue
        if is_netgroup(entry):
            continue
        if is_group:
            members = unix_groups(account) if who.groups is None else who.groups
            if name in {group.lower() for group in members}:
                return True
        elif name == account:
            return True
    return False


def is_netgroup(entry: str) -> bool:
    """Whether *entry* means an NIS netgroup only: `&name`. With a plus beside it, or `@`, it is a Unix group, too."""
    signs = entry[: len(entry) - len(entry.lstrip(GROUP_SIGNS))]
    return "&" in signs and not {"+", "@"} & set(signs)


def parts_of_entry(entry: str, macros: Mapping[str, str] | None = None) -> tuple[bool, str, str]:
    r"""(whether a group is meant, domain, name), lower case, of one word of a list: `@DOMAIN\staff`, `bob@REALM`.

    The sign of a group is looked for before *macros* are replaced: no client can bring one along.
    """
    bare = entry.lstrip(GROUP_SIGNS)
    text = expand(bare, **(macros or {})).lower()
    domain, backslash, name = text.rpartition("\\")
    if not backslash and not entry.startswith(tuple(GROUP_SIGNS)):
        name, _, domain = text.partition("@")
    return len(bare) < len(entry), domain, name


def with_backslashes(share: ShareConfig, separator: str) -> ShareConfig:
    """*share* with a backslash where its users and groups have *separator* (`winbind separator`) after the domain."""
    if separator == "\\":
        return share
    changed: dict[str, object] = {
        name: tuple(_with_backslash(entry, separator) for entry in getattr(share, name)) for name in LISTS
    }
    for name in ("force_user", "force_group"):
        changed[name] = _with_backslash(getattr(share, name), separator)
    return replace(share, **changed)


def _with_backslash(entry: str, separator: str) -> str:
    bare = entry.lstrip(GROUP_SIGNS)
    return entry[: len(entry) - len(bare)] + bare.replace(separator, "\\", 1)


def domains_of(values: GlobalConfig) -> frozenset[str]:
    """The lower-case domain names that mean the accounts of this server."""
    names = {values.netbios_name, values.workgroup, values.realm, values.realm.partition(".")[0], "."}
    return frozenset(name.lower() for name in names if name)


def unix_groups(account: str) -> frozenset[str]:
    """The names of the Unix groups that *account* is in; none when there is no such Unix user."""
    names = {group.gr_name for group in nss.look_up(grp.getgrall) if account in map(str.lower, group.gr_mem)}
    try:
        names.add(nss.look_up(grp.getgrgid, nss.look_up(pwd.getpwnam, account).pw_gid).gr_name)
    except (KeyError, ValueError):
        pass
    return frozenset(names)
