"""The NetBIOS session packets."""

from __future__ import annotations

import pytest
from vectors import load
from vectors.hostile import mutations, parses_or_wire_error

from frevo.errors import WireError
from frevo.wire.nbt import (
    LENGTH_MAX,
    POSITIVE_SESSION_RESPONSE,
    SESSION_KEEPALIVE,
    NegativeSessionResponse,
    NetBIOSName,
    RetargetSessionResponse,
    SessionError,
    SessionHeader,
    SessionRequest,
)

VECTORS = load("nbt")
REQUEST = SessionRequest(NetBIOSName("*SMBSERVER", 0x20), NetBIOSName("CLI", 0))


def test_session_request_vector() -> None:
    """Create and parse the request of [RFC1002] 4.3.2; cut and changed ones are requests or WireError."""
    raw = VECTORS["session_request"]
    assert REQUEST.pack() == raw
    assert SessionRequest.parse(raw[4:]) == REQUEST
    for length in range(len(raw) - 4):
        with pytest.raises(WireError):
            SessionRequest.parse(raw[4 : 4 + length])
    with pytest.raises(WireError):
        SessionRequest.parse(raw[4:] + b"x")
    for hostile in mutations(raw[4:]):
        parses_or_wire_error(SessionRequest.parse, hostile)


def test_answers() -> None:
    """The answers and the keepalive are what the vectors say: compare."""
    negative = NegativeSessionResponse(SessionError.CALLED_NAME_NOT_PRESENT)
    retarget = RetargetSessionResponse(bytes([192, 0, 2, 1]), 445)
    assert negative.pack() == VECTORS["negative_session_response"]
    assert NegativeSessionResponse.parse(b"\x82") == negative
    assert retarget.pack() == VECTORS["retarget_session_response"]
    assert RetargetSessionResponse.parse(retarget.pack()[4:]) == retarget
    assert (POSITIVE_SESSION_RESPONSE, SESSION_KEEPALIVE) == (b"\x82\0\0\0", b"\x85\0\0\0")
    for bad in (b"", b"ab"):
        with pytest.raises(WireError):
            NegativeSessionResponse.parse(bad)


def test_head() -> None:
    """LENGTH has 17 bits, other flags are refused: parse and pack."""
    assert SessionHeader.parse(VECTORS["session_message_head"]) == SessionHeader(0, 0x10002)
    assert SessionHeader(0, LENGTH_MAX).pack() == b"\0\1\xff\xff"
    for bad in (b"\0\2\0\0", b"\0\0\0", b""):
        with pytest.raises(WireError):
            SessionHeader.parse(bad)


def test_names() -> None:
    """Names are upper case, 15 characters, with scope; the wildcard is padded with nulls: round trips."""
    scoped = SessionRequest(NetBIOSName("A" * 20, 0x20, "example.net"), NetBIOSName("b", 3))
    parsed = SessionRequest.parse(scoped.pack()[4:])
    assert parsed.called_name == NetBIOSName("A" * 15, 0x20, "example.net")
    assert parsed.calling_name == NetBIOSName("B", 3)
    assert NetBIOSName("*", 0).pack()[1:5] == b"CKAA"


@pytest.mark.parametrize(
    "scope",
    [b"\x40" + bytes(64) + b"\0", b"\xc0\x0c", b"\x05ab", b"\x3f" + b"a" * 63],
    ids=["long label", "pointer", "cut", "no end"],
)
def test_hostile_scope(scope: bytes) -> None:
    """Labels that are too long, are pointers or do not end are refused: append them to a name."""
    name = REQUEST.called_name.pack()[:-1]
    with pytest.raises(WireError):
        SessionRequest.parse(name + scope)
