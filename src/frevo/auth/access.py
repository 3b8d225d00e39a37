"""Token and access_check: the access that a security descriptor grants to a user ([MS-DTYP] 2.5.3.2)."""

from __future__ import annotations

import functools
import os
from collections.abc import Collection
from typing import TYPE_CHECKING

import msgspec

from frevo.auth.sids import is_unix_user, unix_group_sid, unix_user_sid
from frevo.wire.dtyp import (
    FILE_ALL_ACCESS,
    OWNER_RIGHTS,
    SID,
    AceFlags,
    AceType,
    FileAccess,
    SecurityDescriptor,
    map_generic,
)

if TYPE_CHECKING:
    from frevo.auth.identity import Identity

_ALLOWED = frozenset({AceType.ACCESS_ALLOWED.value, AceType.ACCESS_ALLOWED_CALLBACK.value})
_DENIED = frozenset({AceType.ACCESS_DENIED.value, AceType.ACCESS_DENIED_CALLBACK.value})
_INHERIT_ONLY = AceFlags.INHERIT_ONLY.value
_WRITE_OWNER = FileAccess.WRITE_OWNER.value
_OWNER_IMPLICIT = FileAccess.READ_CONTROL.value | FileAccess.WRITE_DAC.value


class Token(msgspec.Struct, frozen=True):
    """The subject of an access check: the user, all SIDs of the user, the group of new files.

    `is_admin` stands for SeSecurityPrivilege, SeTakeOwnershipPrivilege and SeRestorePrivilege. `uid` is the Unix user
    that the session acts as: the session owns that user's files. A `superuser` is granted everything.
    """

    user: SID
    sids: frozenset[SID]
    group: SID
    is_admin: bool = False
    uid: int = 0
    superuser: bool = False

    @classmethod
    def of(
        cls,
        identity: Identity,
        unix: tuple[int, int, Collection[int]] | None = None,
        *,
        superuser: bool = False,
    ) -> Token:
        """The token of a session on a share; create it once.

        It contains the SIDs of the Unix user and groups that the session acts as: *unix*, which is (user, group,
        further groups), else those of this process.
        """
        uid, gid, groups = unix if unix is not None else _process()
        of_groups = (unix_group_sid(group) for group in (gid, *groups))
        sids = frozenset((identity.sid, *identity.group_sids, unix_user_sid(uid), *of_groups))
        return cls(identity.sid, sids, unix_group_sid(gid), identity.is_admin or superuser, uid, superuser)


@functools.cache
def _process() -> tuple[int, int, tuple[int, ...]]:
    """User, group and further groups of this process."""
    return os.geteuid(), os.getegid(), tuple(os.getgroups())


def owner_sid(uid: int, token: Token) -> SID:
    """The owner of a file of Unix user *uid* that has no stored security descriptor.

    Files of the user that the session acts as belong to the session, so that users have full control of their own
    folders.
    """
    return token.user if uid == token.uid else unix_user_sid(uid)


def may_own(owner: SID, token: Token) -> bool:
    """Whether *token* may make *owner* the owner of a file ([MS-DTYP] 2.5.3.4.1, [MS-FSA] 2.1.5.17).

    Allowed are the user itself and the Unix user that it acts as. A group would share the owner's rights among its
    members, and none of ours is marked for that (SE_GROUP_OWNER).
    """
    return token.is_admin or owner == token.user or (owner in token.sids and is_unix_user(owner))


def granted_by(sd: SecurityDescriptor | None, token: Token) -> int:
    """All rights that *sd* gives to *token*, with generic ones mapped; all rights if there is no DACL.

    The first entry that names a right decides it, so one pass serves both MAXIMUM_ALLOWED and single rights.
    """
    if token.superuser or sd is None or sd.dacl is None:
        return FILE_ALL_ACCESS
    sids = token.sids
    granted = denied = 0
    if sd.owner is not None and sd.owner in sids:
        if any(ace.sid == OWNER_RIGHTS and not ace.flags & _INHERIT_ONLY for ace in sd.dacl.aces):
            sids = sids | {OWNER_RIGHTS}
        else:
            granted = _OWNER_IMPLICIT
    for ace in sd.dacl.aces:
        if ace.flags & _INHERIT_ONLY or ace.sid not in sids:
            continue
        if ace.ace_type in _ALLOWED:
            # A callback entry has a condition, which is not evaluated here: it allows nothing.
            if ace.ace_type == AceType.ACCESS_ALLOWED.value:
                granted |= map_generic(ace.mask) & ~denied
        elif ace.ace_type in _DENIED:
            denied |= map_generic(ace.mask) & ~granted
    if token.is_admin:
        granted |= _WRITE_OWNER
    return granted & FILE_ALL_ACCESS
