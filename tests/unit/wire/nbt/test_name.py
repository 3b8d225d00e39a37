"""NetBIOS names on the wire: the example of the RFC, and invalid names."""

from __future__ import annotations

import pytest

from frevo.errors import WireError
from frevo.wire.nbt.name import SUFFIX_FILE_SERVER, SUFFIX_WORKSTATION, NetBIOSName, parse_name

#: "FRED" in the scope NETBIOS.COM ([RFC1001] 14.1).
FRED = b"\x20EGFCEFEECACACACACACACACACACACACA\x07NETBIOS\x03COM\0"


def test_the_example_of_the_rfc() -> None:
    """[RFC1001] 14.1 and [RFC1002] 4.1, both ways; a space is the RFC's padding and suffix."""
    name = NetBIOSName("FRED", 0x20, "NETBIOS.COM")
    assert name.pack() == FRED
    assert parse_name(FRED, 0) == (name, len(FRED))
    assert parse_name(b"xyz" + FRED + b"more", 3) == (name, 3 + len(FRED))


def test_names_are_15_characters_in_upper_case() -> None:
    """Longer ones are cut, shorter ones padded; the wildcard with nulls ([RFC1001] 14.1)."""
    packed = NetBIOSName("a-very-long-server-name", SUFFIX_WORKSTATION).pack()
    assert parse_name(packed, 0)[0] == NetBIOSName("A-VERY-LONG-SER", SUFFIX_WORKSTATION)
    assert NetBIOSName("*").pack()[1:33] == b"CK" + b"AA" * 14 + b"CA"
    assert parse_name(NetBIOSName("*").pack(), 0)[0] == NetBIOSName("*", SUFFIX_FILE_SERVER)


@pytest.mark.parametrize(
    "broken",
    [
        b"", b"\x20", FRED[:20], FRED[:33], FRED[:40], FRED[:-1],
        b"\x1f" + FRED[1:],  # another length
        b"\xc0\x0c" + FRED[2:],  # a compression pointer
        FRED[:1] + b"Z" + FRED[2:],  # no half-byte
        FRED[:1] + b"@" + FRED[2:],
        FRED[:33] + b"\x40" + b"x" * 64 + b"\0",  # a label of more than 63 bytes
        FRED[:33] + b"\x3f" * 20,
        FRED[:33] + (b"\x3f" + b"x" * 63) * 5 + b"\0",  # a scope of more than 255 bytes
    ],
)  # fmt: skip
def test_invalid_names(broken: bytes) -> None:
    """Cut, not encoded, endless: WireError each time, never an IndexError."""
    with pytest.raises(WireError):
        parse_name(broken, 0)
