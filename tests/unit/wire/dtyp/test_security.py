"""SIDs, ACEs, ACLs and security descriptors."""

from __future__ import annotations

import pytest
from vectors import load
from vectors.hostile import mutations, parses_or_wire_error

from frevo.errors import WireError
from frevo.wire.dtyp import (
    ACE,
    ACL,
    BUILTIN_ADMINISTRATORS,
    EVERYONE,
    LOCAL_SYSTEM,
    SID,
    UNIX_USERS,
    AceType,
    SecurityDescriptor,
    SecurityDescriptorControl,
)

VECTORS = load("dtyp")
ALLOW = ACE(AceType.ACCESS_ALLOWED, 3, 0x1F01FF, EVERYONE)
DESCRIPTOR = SecurityDescriptor(BUILTIN_ADMINISTRATORS, LOCAL_SYSTEM, ACL([ALLOW]), control=0x8004)


def test_sid_vector() -> None:
    """The bytes of the specification and the S-1 form agree: all four directions."""
    sid = SID.from_string("S-1-5-32-544")
    assert sid == BUILTIN_ADMINISTRATORS
    assert sid.pack() == VECTORS["sid"]
    assert SID.parse(b"xx" + VECTORS["sid"] + b"y", 2) == sid
    assert (str(sid), sid.size) == ("S-1-5-32-544", 16)


def test_sid_truncated_and_hostile() -> None:
    """Cut at every length, 16 sub-authorities, revision 2, offset outside: WireError."""
    raw = VECTORS["sid"]
    for bad in [raw[:length] for length in range(len(raw))] + [b"\2" + raw[1:], b"\1\x10" + bytes(100)]:
        with pytest.raises(WireError):
            SID.parse(bad)
    for offset in (-1, 16, 1 << 40):
        with pytest.raises(WireError):
            SID.parse(raw, offset)


@pytest.mark.parametrize(
    "text", ["", "S-1", "S-2-5", "X-1-5", "S-1-5-x", "S-1-5-4294967296", "S-1-5" + "-1" * 16]
)
def test_not_a_sid(text: str) -> None:
    """Text that is not a SID is a ValueError: try some."""
    with pytest.raises(ValueError, match=r"SID|literal"):
        SID.from_string(text)


def test_sid_forms() -> None:
    """Large authorities are hexadecimal, children append, order and hash follow the value: look at each."""
    large = SID(1 << 40, (1,))
    assert str(large) == "S-1-0x010000000000-1"
    assert SID.from_string(str(large)) == large
    assert str(UNIX_USERS.child(1000)) == "S-1-22-1-1000"
    assert len({EVERYONE, SID(1, (0,))}) == 1
    assert sorted([LOCAL_SYSTEM, EVERYONE])[0] is EVERYONE


def test_ace_vectors() -> None:
    """The mask-and-SID form and a raw form: create and parse."""
    assert ALLOW.pack() == VECTORS["ace"]
    assert ACE.parse(VECTORS["ace"]) == (ALLOW, 20)
    raw = VECTORS["ace_object"]
    made = ACE(AceType.ACCESS_ALLOWED_OBJECT, data=raw[4:])
    assert made.pack() == raw
    assert ACE.parse(raw) == (made, 24)


def test_ace_application_data_survives() -> None:
    """What follows the SID of a callback ACE is kept: round trip."""
    made = ACE(AceType.ACCESS_ALLOWED_CALLBACK, 0, 1, EVERYONE, b"artx1234")
    assert ACE.parse(made.pack())[0] == made


@pytest.mark.parametrize("size", [0, 3, 4, 8, 16, 21, 0xFFFF])
def test_ace_size(size: int) -> None:
    """AceSize below its content or behind the end is a WireError: set it."""
    raw = bytearray(VECTORS["ace"])
    raw[2:4] = size.to_bytes(2, "little")
    with pytest.raises(WireError):
        ACE.parse(bytes(raw))


def test_acl_vector() -> None:
    """Create, parse, and slack behind the last entry is dropped: compare."""
    assert ACL([ALLOW]).pack() == VECTORS["acl"]
    assert ACL.parse(VECTORS["acl"]) == ACL([ALLOW])
    slack = bytearray(VECTORS["acl"] + bytes(4))
    slack[2] += 4
    assert ACL.parse(bytes(slack)) == ACL([ALLOW])


def test_acl_counts_more_than_it_holds() -> None:
    """AceCount is checked against AclSize: count 2 and 65535."""
    for count in (2, 0xFFFF):
        raw = bytearray(VECTORS["acl"])
        raw[4:6] = count.to_bytes(2, "little")
        with pytest.raises(WireError):
            ACL.parse(bytes(raw))


def test_descriptor_vector() -> None:
    """Create and parse; every truncation and extreme value gives a descriptor or WireError."""
    raw = VECTORS["security_descriptor"]
    assert DESCRIPTOR.pack() == raw
    assert SecurityDescriptor.parse(raw) == DESCRIPTOR
    for length in range(len(raw)):
        with pytest.raises(WireError):
            SecurityDescriptor.parse(raw[:length])
    for hostile in mutations(raw):
        parses_or_wire_error(SecurityDescriptor.parse, hostile)


@pytest.mark.parametrize("offset", [1, 19, 500, 0xFFFFFFFF])
@pytest.mark.parametrize("place", [4, 8, 16])
def test_descriptor_offsets(place: int, offset: int) -> None:
    """Offsets into the head or outside are refused: set each in turn."""
    raw = bytearray(VECTORS["security_descriptor"])
    raw[place : place + 4] = offset.to_bytes(4, "little")
    with pytest.raises(WireError):
        SecurityDescriptor.parse(bytes(raw))


def test_absent_parts() -> None:
    """Nothing, the null DACL and the empty DACL are three different things: round trip of each."""
    present = SecurityDescriptorControl.DACL_PRESENT | SecurityDescriptorControl.SELF_RELATIVE
    for made in (
        SecurityDescriptor(control=0x8000),
        SecurityDescriptor(control=present),
        SecurityDescriptor(dacl=ACL(), sacl=ACL([ALLOW]), control=present | 0x10),
    ):
        assert SecurityDescriptor.parse(made.pack()) == made
