"""Who may do what on a share: `valid users`, `invalid users`, `read list`, `write list`, `read only`, guests.

Pure decisions; the caller knows the user and the user's groups.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import IntEnum

from frevo.config.share_keys import ShareConfig


class ShareAccess(IntEnum):
    """What a user may do on a share; ordered."""

    NONE = 0
    READ = 1
    WRITE = 2


def share_access(
    share: ShareConfig, user: str, groups: Collection[str] = (), *, guest: bool = False
) -> ShareAccess:
    """What *user* (with these *groups*) may do on *share*.

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


def _named(entries: Iterable[str], user: str, groups: Collection[str], share: str) -> bool:
    account = user.rpartition("\\")[2].lower()
    member = {group.lower() for group in groups}
    for entry in entries:
        name = entry.replace("%S", share).replace("%w", "\\").lower()
        if name[:1] in "@+&":
            if name.lstrip("@+&") in member:
                return True
        elif name in (user.lower(), account):
            return True
    return False
