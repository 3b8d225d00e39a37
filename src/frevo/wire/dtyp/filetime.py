"""FILETIME as an int: 100 ns units since 1601-01-01 UTC ([MS-DTYP] 2.3.3). No floats anywhere."""

from __future__ import annotations

#: 1970-01-01 as a FILETIME.
UNIX_EPOCH = 116_444_736_000_000_000

#: The largest FILETIME that Windows accepts: LARGE_INTEGER is signed.
FILETIME_MAX = 0x7FFFFFFFFFFFFFFF


def from_unix_ns(ns: int) -> int:
    """Nanoseconds since 1970 to FILETIME, rounded down and clamped to 0 and FILETIME_MAX."""
    filetime = ns // 100 + UNIX_EPOCH
    if 0 <= filetime <= FILETIME_MAX:
        return filetime
    return 0 if filetime < 0 else FILETIME_MAX


def to_unix_ns(filetime: int) -> int:
    """FILETIME to nanoseconds since 1970; negative before."""
    return (filetime - UNIX_EPOCH) * 100


def from_unix_s(seconds: int) -> int:
    """Whole seconds since 1970 to FILETIME."""
    return from_unix_ns(seconds * 1_000_000_000)
