"""FILETIME conversions and the generic access mapping."""

from __future__ import annotations

import pytest

from frevo.wire.dtyp import (
    FILE_ALL_ACCESS,
    FILE_GENERIC_READ,
    FILE_GENERIC_WRITE,
    FILETIME_MAX,
    FileAccess,
    from_unix_ns,
    from_unix_s,
    map_generic,
    to_unix_ns,
)


@pytest.mark.parametrize(
    ("ns", "filetime"),
    [
        (0, 116444736000000000),
        (-11644473600 * 10**9, 0),
        (1_767_225_600 * 10**9 + 123_456_700, 134116992001234567),
        (-100, 116444735999999999),
        (-1, 116444735999999999),
        (99, 116444736000000000),
    ],
)
def test_from_unix(ns: int, filetime: int) -> None:
    """Known instants, rounding down on both sides of 1970: compare."""
    assert from_unix_ns(ns) == filetime


def test_range() -> None:
    """Times outside FILETIME are clamped to its ends: convert years 1336 and 31 million."""
    assert from_unix_ns(-2 * 10**19) == 0
    assert from_unix_s(10**15) == FILETIME_MAX


def test_no_precision_is_lost() -> None:
    """Every 100 ns step survives both ways, without floats: round trip of large odd values."""
    for filetime in (1, 116444736000000001, 0x01DA5A5A5A5A5A5B, FILETIME_MAX):
        assert from_unix_ns(to_unix_ns(filetime)) == filetime


def test_map_generic() -> None:
    """Generic bits become file bits, all others stay: map each."""
    assert map_generic(FileAccess.GENERIC_READ) == FILE_GENERIC_READ
    assert (
        map_generic(FileAccess.GENERIC_READ | FileAccess.GENERIC_WRITE)
        == FILE_GENERIC_READ | FILE_GENERIC_WRITE
    )
    assert map_generic(FileAccess.GENERIC_ALL) == FILE_ALL_ACCESS
    assert map_generic(FileAccess.MAXIMUM_ALLOWED | 0x80) == FileAccess.MAXIMUM_ALLOWED | 0x80
