"""Inheritance of [MS-DTYP] 2.5.3.4, and setting and querying parts of security descriptors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frevo.auth.access import Token
from frevo.auth.descriptors import (
    SecurityInformation,
    inherit_sd,
    merge_sd,
    new_sd,
    select_sd,
    set_access,
)
from frevo.wire.dtyp import (
    ACE,
    ACL,
    CREATOR_GROUP,
    CREATOR_OWNER,
    EVERYONE,
    FILE_ALL_ACCESS,
    FILE_GENERIC_READ,
    SID,
    FileAccess,
    SecurityDescriptor,
    SecurityDescriptorControl,
)

ALICE = SID.from_string("S-1-5-21-1-2-3-1000")
BOB = SID.from_string("S-1-5-21-1-2-3-1001")
STAFF = SID.from_string("S-1-5-21-1-2-3-513")
TOKEN = Token(ALICE, frozenset({ALICE, EVERYONE}), STAFF)
OI, CI, NP, IO, INHERITED = 1, 2, 4, 8, 16
AUTO_INHERITED = SecurityDescriptorControl.DACL_AUTO_INHERITED.value
READ = FileAccess.READ_DATA.value
GENERIC_ALL = FileAccess.GENERIC_ALL.value


def inherited(ace: ACE, *, is_directory: bool) -> list[tuple[int, int, SID]]:
    parent = SecurityDescriptor(owner=BOB, dacl=ACL([ace]), control=AUTO_INHERITED)
    child = inherit_sd(parent, TOKEN, is_directory=is_directory)
    if child is None:
        return []
    assert child.dacl is not None
    assert (child.owner, child.group) == (ALICE, STAFF)
    return [(entry.flags, entry.mask, entry.sid) for entry in child.dacl.aces]


@pytest.mark.parametrize(
    ("flags", "file_flags", "directory_flags"),
    [
        (0, None, None),
        (OI, INHERITED, OI | IO | INHERITED),
        (CI, None, CI | INHERITED),
        (OI | CI, INHERITED, OI | CI | INHERITED),
        (OI | NP, INHERITED, None),
        (CI | NP, None, INHERITED),
        (OI | CI | NP, INHERITED, INHERITED),
        (OI | IO, INHERITED, OI | IO | INHERITED),
        (CI | IO, None, CI | INHERITED),
        (OI | CI | IO, INHERITED, OI | CI | INHERITED),
        (OI | CI | IO | NP, INHERITED, INHERITED),
    ],
)
def test_flags(flags: int, file_flags: int | None, directory_flags: int | None) -> None:
    """Goal: the flags of what a child inherits. Method: the table of [MS-DTYP] 2.5.3.4.4 for a plain SID."""
    ace = ACE(0, flags, READ, BOB)
    for is_directory, expected in ((False, file_flags), (True, directory_flags)):
        entries = [] if expected is None else [(expected, READ, BOB)]
        assert inherited(ace, is_directory=is_directory) == entries


def test_creator() -> None:
    """Goal: CREATOR OWNER and GROUP become the creator and pass on. Method: both, file and folder."""
    for sid, creator in ((CREATOR_OWNER, ALICE), (CREATOR_GROUP, STAFF)):
        ace = ACE(0, OI | CI | IO, READ, sid)
        assert inherited(ace, is_directory=False) == [(INHERITED, READ, creator)]
        assert inherited(ace, is_directory=True) == [
            (INHERITED, READ, creator),
            (OI | CI | IO | INHERITED, READ, sid),
        ]


def test_generic() -> None:
    """Goal: generic rights become file rights where they take effect. Method: GENERIC_ALL for a plain SID."""
    ace = ACE(0, OI | CI, GENERIC_ALL, BOB)
    assert inherited(ace, is_directory=False) == [(INHERITED, FILE_ALL_ACCESS, BOB)]
    assert inherited(ace, is_directory=True) == [
        (INHERITED, FILE_ALL_ACCESS, BOB),
        (OI | CI | IO | INHERITED, GENERIC_ALL, BOB),
    ]


def test_mark_of_inheritance() -> None:
    """Goal: INHERITED_ACE is set only below parents with automatic inheritance, as smbtorture's smb2.acls expects.
    Method: an entry that carries the flag itself, below both kinds."""
    aces = [ACE(0, OI | INHERITED, READ, BOB)]
    for control, flags in ((0, 0), (AUTO_INHERITED, INHERITED)):
        child = inherit_sd(SecurityDescriptor(dacl=ACL(aces), control=control), TOKEN, is_directory=False)
        assert child is not None and child.dacl is not None
        assert [ace.flags for ace in child.dacl.aces] == [flags]


def test_nothing_to_inherit() -> None:
    """Goal: no descriptor is stored when the parent passes nothing on. Method: no parent, null and plain DACL."""
    plain = SecurityDescriptor(dacl=ACL([ACE(0, 0, READ, BOB)]))
    for parent in (None, SecurityDescriptor(), plain):
        assert inherit_sd(parent, TOKEN, is_directory=False) is None
        assert new_sd(parent, None, TOKEN, is_directory=True) is None


@given(st.lists(st.builds(ACE, st.just(0), st.integers(0, 15), st.just(READ), st.just(BOB)), max_size=5))
def test_files_pass_nothing_on(aces: list[ACE]) -> None:
    """Goal: entries of a file never carry inheritance flags. Method: random parents."""
    parent = SecurityDescriptor(dacl=ACL(aces), control=AUTO_INHERITED)
    child = inherit_sd(parent, TOKEN, is_directory=False)
    for ace in child.dacl.aces if child is not None and child.dacl is not None else []:
        assert ace.flags == INHERITED


def test_supplied() -> None:
    """Goal: a supplied DACL wins, the rest is the creator's. Method: a SecD context with a DACL, with an owner, with a
    null DACL."""
    parent = SecurityDescriptor(dacl=ACL([ACE(0, OI | CI, READ, BOB)]))
    supplied = SecurityDescriptor(dacl=ACL([ACE(0, 0, FileAccess.GENERIC_READ.value, BOB)]))
    made = new_sd(parent, supplied, TOKEN, is_directory=False)
    assert made is not None
    assert made.dacl is not None
    assert (made.owner, made.group) == (ALICE, STAFF)
    assert [(ace.flags, ace.mask) for ace in made.dacl.aces] == [(0, FILE_GENERIC_READ)]
    null = SecurityDescriptor(owner=BOB, control=SecurityDescriptorControl.DACL_PRESENT.value)
    made = new_sd(parent, null, TOKEN, is_directory=False)
    assert made is not None
    assert (made.owner, made.dacl) == (BOB, None)
    made = new_sd(parent, SecurityDescriptor(owner=BOB), TOKEN, is_directory=False)
    assert made is not None
    assert made.dacl is not None
    assert [ace.sid for ace in made.dacl.aces] == [BOB]


def test_merge_and_select() -> None:
    """Goal: only the named parts change or are shown. Method: one part after the other."""
    old = SecurityDescriptor(owner=ALICE, group=STAFF, dacl=ACL([ACE(0, 0, READ, BOB)]))
    new = SecurityDescriptor(owner=BOB, group=BOB, dacl=ACL([]))
    merged = merge_sd(old, new, SecurityInformation.OWNER)
    assert (merged.owner, merged.group, merged.dacl) == (BOB, STAFF, old.dacl)
    merged = merge_sd(old, new, SecurityInformation.DACL | SecurityInformation.PROTECTED_DACL)
    assert (merged.owner, merged.dacl) == (ALICE, ACL([]))
    assert merged.control & SecurityDescriptorControl.DACL_PROTECTED.value
    shown = select_sd(merged, SecurityInformation.GROUP)
    assert (shown.owner, shown.group, shown.dacl, shown.control) == (None, STAFF, None, 0)
    assert select_sd(merged, SecurityInformation.DACL).dacl == ACL([])


def test_needed_access() -> None:
    """Goal: the rights for each part. Method: [MS-SMB2] 3.3.5.21.3."""
    assert set_access(SecurityInformation.OWNER) == FileAccess.WRITE_OWNER.value
    assert set_access(SecurityInformation.DACL) == FileAccess.WRITE_DAC.value
    assert set_access(SecurityInformation.SACL) == FileAccess.ACCESS_SYSTEM_SECURITY.value
