"""The chain of create contexts: layout rules, hostile chains, typed members."""

from __future__ import annotations

import pytest

from frevo.errors import WireError
from frevo.wire import smb2
from frevo.wire.smb2 import CreateContext, pack_create_contexts, parse_create_contexts

CHAIN = [
    CreateContext(b"MxAc"),
    CreateContext(b"AAPL", bytes(23)),
    CreateContext(smb2.APP_INSTANCE_ID, bytes(20)),
    CreateContext(b"x", b"y"),
]


def test_round_trip() -> None:
    """Names and data of any length survive: pack and parse a chain."""
    assert parse_create_contexts(pack_create_contexts(CHAIN)) == CHAIN
    assert pack_create_contexts([]) == b""


def test_elements_are_aligned() -> None:
    """Each Next is a multiple of 8, and so is each DataOffset; the last element has no padding: walk the
    chain.
    """
    raw = pack_create_contexts(CHAIN)
    position = 0
    for _ in CHAIN[:-1]:
        next_offset = int.from_bytes(raw[position : position + 4], "little")
        assert next_offset % 8 == 0
        assert int.from_bytes(raw[position + 10 : position + 12], "little") % 8 == 0
        position += next_offset
    assert raw[position : position + 4] == bytes(4)
    assert len(raw) == position + 24 + 1  # head, name padded to 8, one byte


@pytest.mark.parametrize("next_offset", [1, 8, 12, 0x7FFFFFF8, 0xFFFFFFF8, 25])
def test_bad_next(next_offset: int) -> None:
    """Next unaligned, into its own element's head or behind the end: WireError."""
    raw = pack_create_contexts(CHAIN)
    with pytest.raises(WireError):
        parse_create_contexts(next_offset.to_bytes(4, "little") + raw[4:])


def test_data_may_not_reach_into_the_next_element() -> None:
    """DataLength ends with its own element: enlarge the second's."""
    raw = bytearray(pack_create_contexts([CreateContext(b"AAPL", bytes(8)), CreateContext(b"MxAc")]))
    raw[12:16] = (9).to_bytes(4, "little")
    with pytest.raises(WireError):
        parse_create_contexts(bytes(raw))


def test_find() -> None:
    """The first of a name is found, a missing one is None: look for both."""
    chain = [CreateContext(b"a", b"1"), CreateContext(b"a", b"2")]
    assert smb2.find_create_context(chain, b"a") == b"1"
    assert smb2.find_create_context(chain, b"b") is None


def test_maximal_access_request_forms() -> None:
    """MxAc has an empty and a timestamp form: both round trip."""
    for timestamp in (None, 5):
        made = smb2.QueryMaximalAccessRequest(timestamp)
        assert smb2.QueryMaximalAccessRequest.parse(made.pack()) == made


@pytest.mark.parametrize("length", [0, 31, 33, 51, 53])
def test_lease_length(length: int) -> None:
    """RqLs is 32 or 52 bytes: all else is refused."""
    with pytest.raises(WireError):
        smb2.Lease.parse(bytes(length))


def test_well_known_names() -> None:
    """The names that are GUIDs have 16 bytes: measure."""
    assert {len(smb2.APP_INSTANCE_ID), len(smb2.APP_INSTANCE_VERSION), len(smb2.POSIX)} == {16}


def test_symlink_in_error_context() -> None:
    """3.1.1 wraps error data in contexts: round trip of two."""
    contexts = [smb2.ErrorContext(0, b"abc"), smb2.ErrorContext(smb2.ERROR_ID_SHARE_REDIRECT, b"12345678")]
    raw = smb2.pack_error_contexts(contexts)
    assert smb2.parse_error_contexts(raw, 2) == contexts
    with pytest.raises(WireError):
        smb2.parse_error_contexts(raw, 3)


def test_break_kinds_are_told_by_size() -> None:
    """One command, two structures each way: parse each with the choosing functions."""
    header = smb2.Header(command=smb2.Command.OPLOCK_BREAK).pack()
    for made in (smb2.OplockBreakAcknowledgment(1, (2, 3)), smb2.LeaseBreakAcknowledgment(bytes(16), 3)):
        assert smb2.parse_break_acknowledgment(header + made.pack()) == made
    for made in (smb2.OplockBreakNotification(1, (2, 3)), smb2.LeaseBreakNotification(1)):
        assert smb2.parse_break_notification(header + made.pack()) == made
    for bad in (header, header + b"\x24", header + b"\x24\0", header + b"\x18\0"):
        with pytest.raises(WireError):
            smb2.parse_break_acknowledgment(bad)
