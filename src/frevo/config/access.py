"""Who may do what on a share: `valid users`, `invalid users`, `read list`, `write list`, `read only`, guests.

Decisions only; the Unix groups are looked up when a list names a group and the caller gave none.
"""

from __future__ import annotations

import grp
import pwd
from collections.abc import Collection, Iterable
from enum import IntEnum

from frevo.config.share_keys import ShareConfig


class ShareAccess(IntEnum):
    """What a user may do on a share; ordered."""

    NONE = 0
    READ = 1
    WRITE = 2


def share_access(
    share: ShareConfig, user: str, groups: Collection[str] | None = None, *, guest: bool = False
) -> ShareAccess:
    """What *user* may do on *share*. Without *groups*, the Unix groups of that name count, as in Samba.

    Names compare without case; `DOMAIN\\user` matches `user` too. `@group`, `+group`, `&group` name groups.
    """
    if not share.available or (guest and not share.guest_ok) or (share.guest_only and not share.guest_ok):
        return ShareAccess.NONE
    if _named(share.invalid_users, user, groups, share.name):
        return ShareAccess.NONE
    if share.valid_users and not _named(share.valid_users, user, groups, share.name):
        return ShareAccess.NONE
    if _named(share.write_list, user, groups, share.name):  # the manual: write list wins over read list
        return ShareAccess.WRITE
    if share.read_only or _named(share.read_list, user, groups, share.name):
        return ShareAccess.READ
    return ShareAccess.WRITE


def _named(entries: Iterable[str], user: str, groups: Collection[str] | None, share: str) -> bool:
    account = user.rpartition("\\")[2].lower()
    for entry in entries:
        name = entry.replace("%S", share).replace("%w", "\\").lower()
        if name[:1] in ("@", "+", "&"):
            members = unix_groups(account) if groups is None else groups
            if name.lstrip("@+&") in {group.lower() for group in members}:
                return True
        elif name in (user.lower(), account):
            return True
    return False


def unix_groups(account: str) -> frozenset[str]:
    """The names of the Unix groups that *account* is in; none when there is no such Unix user."""
    names = {group.gr_name for group in grp.getgrall() if account in map(str.lower, group.gr_mem)}
    try:
        names.add(grp.getgrgid(pwd.getpwnam(account).pw_gid).gr_name)
    except (KeyError, ValueError):
        pass
    return frozenset(names)
