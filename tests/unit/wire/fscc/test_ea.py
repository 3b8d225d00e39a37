"""Lists of extended attributes: round trips, limits, and malformed chains ([MS-FSCC] 2.4.16)."""

from __future__ import annotations

import struct

import pytest

from frevo.errors import WireError
from frevo.wire.fscc.ea import (
    FullEa,
    chain,
    pack_fitting_eas,
    pack_full_eas,
    pack_get_eas,
    parse_full_eas,
    parse_get_eas,
)

EAS = [FullEa(b"USER.ONE", b"1"), FullEa(b"EMPTY"), FullEa(b"NEED", bytes(300), 0x80)]
NAMES = [b"USER.ONE", b"A", b""]


def test_round_trips() -> None:
    """What is packed reads back; every offset is a multiple of four, the last one 0."""
    packed = pack_full_eas(EAS)
    assert parse_full_eas(packed) == EAS and parse_full_eas(memoryview(packed)) == EAS
    assert parse_get_eas(pack_get_eas(NAMES)) == NAMES
    assert struct.unpack_from("<I", packed)[0] % 4 == 0
    assert parse_full_eas(b"") == parse_get_eas(b"") == []
    assert pack_full_eas([]) == pack_get_eas([]) == chain([], 4) == b""


def test_as_many_as_fit() -> None:
    """Goal: a short buffer gets whole entries. Method: every size up to the whole; no padding after the last."""
    whole = pack_full_eas(EAS)
    ends = [18, 18 + 2 + 14, len(whole)]
    for size in range(len(whole) + 1):
        packed, count = pack_fitting_eas(EAS, size)
        assert count == sum(end <= size for end in ends) and len(packed) <= size
        assert parse_full_eas(packed) == EAS[:count]


def test_too_many() -> None:
    """One more than the bound is an error, the bound itself is not."""
    assert parse_full_eas(pack_full_eas(EAS), count_max=3) == EAS
    assert parse_get_eas(pack_get_eas(NAMES), count_max=3) == NAMES
    with pytest.raises(WireError, match="more than 2"):
        parse_full_eas(pack_full_eas(EAS), count_max=2)
    with pytest.raises(WireError, match="more than 2"):
        parse_get_eas(pack_get_eas(NAMES), count_max=2)


def test_every_cut_is_an_error() -> None:
    """A list that ends early is never read as a shorter one."""
    for whole, parse in ((pack_full_eas(EAS), parse_full_eas), (pack_get_eas(NAMES), parse_get_eas)):
        for size in range(1, len(whole)):
            with pytest.raises(WireError):
                parse(whole[:size])


@pytest.mark.parametrize("offset", [1, 4, 16, 22, 0xFFFFFFFC, 400])
def test_offsets_that_lead_nowhere(offset: int) -> None:
    """Into the entry itself, not aligned, behind the end."""
    packed = bytearray(pack_full_eas(EAS))
    packed[:4] = struct.pack("<I", offset)
    with pytest.raises(WireError):
        parse_full_eas(packed)


def test_names_end_with_a_null() -> None:
    """The byte after a name is checked: its length must be right."""
    for whole, parse in ((pack_full_eas(EAS[:1]), parse_full_eas), (pack_get_eas(NAMES[:1]), parse_get_eas)):
        broken = bytearray(whole)
        broken[whole.index(b"ONE") + 3] = 0x41
        with pytest.raises(WireError):
            parse(broken)
