"""granted_by: hand-made cases of [MS-DTYP] 2.5.3.2, then properties over random descriptors."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frevo.auth.access import Token, granted_by, owner_sid
from frevo.auth.descriptors import default_sd
from frevo.auth.identity import Identity
from frevo.auth.sids import unix_group_sid, unix_user_sid
from frevo.wire.dtyp import (
    ACE,
    ACL,
    EVERYONE,
    FILE_ALL_ACCESS,
    FILE_GENERIC_READ,
    FILE_GENERIC_WRITE,
    OWNER_RIGHTS,
    SID,
    AceFlags,
    AceType,
    FileAccess,
    SecurityDescriptor,
    map_generic,
)

ALICE = SID.from_string("S-1-5-21-1-2-3-1000")
BOB = SID.from_string("S-1-5-21-1-2-3-1001")
STAFF = SID.from_string("S-1-5-21-1-2-3-513")
READ, WRITE = FileAccess.READ_DATA.value, FileAccess.WRITE_DATA.value
MAXIMUM = FileAccess.MAXIMUM_ALLOWED.value
SECURITY = FileAccess.ACCESS_SYSTEM_SECURITY.value
IMPLICIT = FileAccess.READ_CONTROL.value | FileAccess.WRITE_DAC.value


def token(user: SID = ALICE, *groups: SID, is_admin: bool = False) -> Token:
    return Token(user, frozenset((user, EVERYONE, *groups)), STAFF, is_admin)


def allow(sid: SID, mask: int, flags: int = 0) -> ACE:
    return ACE(AceType.ACCESS_ALLOWED.value, flags, mask, sid)


def deny(sid: SID, mask: int, flags: int = 0) -> ACE:
    return ACE(AceType.ACCESS_DENIED.value, flags, mask, sid)


def sd(*aces: ACE, owner: SID = BOB) -> SecurityDescriptor:
    return SecurityDescriptor(owner=owner, group=STAFF, dacl=ACL(list(aces)))


def test_order_decides() -> None:
    """Goal: the first entry that mentions a right decides. Method: allow and deny in both orders."""
    assert granted_by(sd(allow(ALICE, READ), deny(ALICE, READ)), token()) == READ
    assert granted_by(sd(deny(ALICE, READ), allow(ALICE, READ | WRITE)), token()) == WRITE


def test_groups_and_strangers() -> None:
    """Goal: groups count, other groups do not. Method: entries for a group, with and without membership."""
    descriptor = sd(allow(STAFF, READ))
    assert granted_by(descriptor, token(ALICE, STAFF)) == READ
    assert granted_by(descriptor, token()) == 0


def test_null_and_empty_dacl() -> None:
    """Goal: no DACL allows all, an empty one the owner only. Method: both, and no descriptor."""
    assert granted_by(SecurityDescriptor(owner=BOB), token()) == FILE_ALL_ACCESS
    assert granted_by(None, token()) == FILE_ALL_ACCESS
    assert granted_by(sd(), token()) == 0
    assert granted_by(sd(owner=ALICE), token()) == IMPLICIT


def test_owner_rights() -> None:
    """Goal: OWNER RIGHTS replaces the implicit rights. Method: an effective, an inherit-only entry."""
    assert granted_by(sd(allow(OWNER_RIGHTS, READ), owner=ALICE), token()) == READ
    inherit_only = allow(OWNER_RIGHTS, READ, AceFlags.INHERIT_ONLY.value)
    assert granted_by(sd(inherit_only, owner=ALICE), token()) == IMPLICIT


def test_generic_bits() -> None:
    """Goal: generic rights of an entry are mapped. Method: GENERIC_READ allowed, GENERIC_WRITE denied."""
    generic_read, generic_write = FileAccess.GENERIC_READ.value, FileAccess.GENERIC_WRITE.value
    assert granted_by(sd(allow(ALICE, generic_read)), token()) == FILE_GENERIC_READ
    descriptor = sd(deny(ALICE, generic_write), allow(ALICE, FILE_ALL_ACCESS))
    assert granted_by(descriptor, token()) == FILE_ALL_ACCESS & ~FILE_GENERIC_WRITE


def test_taking_ownership() -> None:
    """Goal: taking ownership is for administrators, whatever the DACL says. Method: with and without."""
    descriptor = sd(allow(ALICE, READ))
    assert granted_by(descriptor, token()) == READ
    assert granted_by(descriptor, token(is_admin=True)) == READ | FileAccess.WRITE_OWNER.value


def test_conditional_entries() -> None:
    """Goal: a condition that cannot be evaluated allows nothing, but still denies. Method: callback entries."""
    callback = ACE(AceType.ACCESS_ALLOWED_CALLBACK.value, 0, READ, ALICE)
    assert granted_by(sd(callback), token()) == 0
    denied = ACE(AceType.ACCESS_DENIED_CALLBACK.value, 0, READ, ALICE)
    assert granted_by(sd(denied, allow(ALICE, READ)), token()) == 0


def default_granted(mode: int, uid: int, gid: int, who: Token, is_directory: bool) -> int:
    owner, group = owner_sid(uid, who), unix_group_sid(gid)
    return granted_by(default_sd(mode, is_directory=is_directory, owner=owner, group=group), who)


@pytest.mark.parametrize("is_directory", [False, True])
def test_default_sd_serving_user(is_directory: bool) -> None:
    """Goal: a session controls what the serving process owns. Method: usual modes of files and folders."""
    uid, gid = os.geteuid(), os.getegid()
    who = Token.of(Identity("alice", "", "alice", ALICE, (EVERYONE,)))
    assert owner_sid(uid, who) == ALICE
    mode = 0o755 if is_directory else 0o644
    assert default_granted(mode, uid, gid, who, is_directory) == FILE_ALL_ACCESS
    read_only = default_granted(0o444, uid, gid, who, is_directory)
    assert not read_only & WRITE
    assert read_only & FileAccess.DELETE.value
    assert read_only & IMPLICIT == IMPLICIT


def test_default_sd_other_owner() -> None:
    """Goal: another user's file follows the group and other bits. Method: modes seen by another user."""
    uid = os.geteuid() + 77
    gid = max({os.getegid(), *os.getgroups()}) + 77
    who = Token.of(Identity("alice", "", "alice", ALICE, (EVERYONE,)))
    assert default_granted(0o660, uid, gid, who, False) == 0
    assert default_granted(0o664, uid, gid, who, False) & FILE_GENERIC_READ == FILE_GENERIC_READ
    assert not default_granted(0o664, uid, gid, who, False) & WRITE
    assert default_granted(0o666, uid, gid, who, False) & FILE_GENERIC_WRITE == FILE_GENERIC_WRITE
    assert default_granted(0o660, uid, os.getegid(), who, False) & FILE_GENERIC_WRITE == FILE_GENERIC_WRITE
    descriptor = default_sd(0o750, is_directory=True, owner=owner_sid(uid, who), group=unix_group_sid(gid))
    assert (descriptor.owner, descriptor.group) == (unix_user_sid(uid), unix_group_sid(gid))
    assert SecurityDescriptor.parse(descriptor.pack()).dacl == descriptor.dacl


def test_the_unix_user_that_acts_is_in_the_token() -> None:
    """Goal: a session owns what its Unix user owns. Method: the serving user, and a separate Unix user."""
    identity = Identity("alice", "", "alice", ALICE)
    who = Token.of(identity)
    assert {unix_user_sid(os.geteuid()), unix_group_sid(os.getegid())} <= who.sids
    user = Token.of(identity, (1234, 55, (60, 61)))
    assert user.group == unix_group_sid(55)
    assert {unix_user_sid(1234), *map(unix_group_sid, (55, 60, 61))} <= user.sids
    assert unix_user_sid(os.geteuid()) not in user.sids
    assert owner_sid(1234, user) == ALICE
    assert owner_sid(os.geteuid(), user) == unix_user_sid(os.geteuid())
    assert default_granted(0o600, os.geteuid(), os.getegid(), user, False) == 0


def test_a_superuser_is_granted_everything() -> None:
    """Goal: `admin users` pass every access check. Method: a descriptor that denies them, and one that allows
    nobody."""
    who = Token.of(Identity("alice", "", "alice", ALICE), (0, 0, ()), superuser=True)
    assert who.is_admin
    assert granted_by(sd(), who) == FILE_ALL_ACCESS
    assert granted_by(sd(deny(ALICE, READ)), who) == FILE_ALL_ACCESS


SIDS = st.sampled_from([ALICE, BOB, STAFF, EVERYONE, OWNER_RIGHTS])
ACES = st.builds(ACE, st.sampled_from([0, 1, 2, 9]), st.integers(0, 31), st.integers(0, 2**32 - 1), SIDS)
DESCRIPTORS = st.builds(
    lambda owner, aces: SecurityDescriptor(owner=owner, dacl=ACL(aces)), SIDS, st.lists(ACES, max_size=6)
)


@given(DESCRIPTORS, st.booleans())
def test_granted_is_within_the_list(descriptor: SecurityDescriptor, is_admin: bool) -> None:
    """Goal: nothing is granted that no entry allows. Method: random descriptors; besides the entries only the owner's
    implicit rights and an administrator's WRITE_OWNER."""
    who = token(ALICE, STAFF, is_admin=is_admin)
    assert descriptor.dacl is not None
    allowed = IMPLICIT if descriptor.owner in who.sids else 0
    allowed |= FileAccess.WRITE_OWNER.value if is_admin else 0
    for ace in descriptor.dacl.aces:
        allowed |= map_generic(ace.mask) if ace.ace_type == AceType.ACCESS_ALLOWED.value else 0
    assert granted_by(descriptor, who) & ~allowed == 0


@given(DESCRIPTORS, SIDS, st.integers(0, FILE_ALL_ACCESS))
def test_deny_first_only_takes_away(descriptor: SecurityDescriptor, sid: SID, mask: int) -> None:
    """Goal: a deny entry in front never gives a right. Method: compare with and without it.

    The owner's implicit rights come before all entries; an entry for OWNER RIGHTS takes those away too.
    """
    assert descriptor.dacl is not None
    who = token(ALICE, STAFF)
    with_deny = SecurityDescriptor(owner=descriptor.owner, dacl=ACL([deny(sid, mask), *descriptor.dacl.aces]))
    assert granted_by(with_deny, who) & ~granted_by(descriptor, who) == 0 or sid == OWNER_RIGHTS
