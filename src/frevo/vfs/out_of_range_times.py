"""Times that the file system cannot store: ext4 stores 1901 to 2446, XFS 1901 to 2038 or 2486, and clamps others to
this range. The xattr `user.frevo.times` stores the exact time in addition.

For last access and last write, the xattr stores the exact time and the file system's value for it. When the file
system's value changes, because someone has written or set another time, the exact one no longer counts. The xattr is
only read for times at the end of some file system's range.
"""

from __future__ import annotations

import os
import struct
from typing import Final

from msgspec.structs import replace

from frevo.vfs.base import FileStat
from frevo.vfs.system import get_xattr, remove_xattr

XATTR_TIMES: Final = "user.frevo.times"

#: Every file system holds the times between these: seconds since 1970 in 32 bits.
EARLY: Final = 95_000_000_000_000_000  # 1902
LATE: Final = 137_900_000_000_000_000  # December 2037

_RECORD = struct.Struct("<4q")  # last access, last write: as stored by the file system, as set
_Pair = tuple[int, int]
_NONE: Final = (0, 0)


def is_out_of_range(stat: FileStat) -> bool:
    """Whether the xattr may have a more exact time than the file system."""
    return not (EARLY < stat.last_write_time < LATE and EARLY < stat.last_access_time < LATE)


def _parse(value: bytes | None) -> tuple[_Pair, _Pair]:
    """(last access, last write), each (stored, exact); a damaged value counts as missing."""
    if value is None or len(value) != _RECORD.size:
        return _NONE, _NONE
    first, second, third, fourth = _RECORD.unpack(value)
    return (first, second) if second > 0 else _NONE, (third, fourth) if fourth > 0 else _NONE


def exact(stat: FileStat, value: bytes | None) -> FileStat:
    """*stat* with the exact times, where the xattr's *value* is still valid."""
    access, write = _parse(value)
    return replace(
        stat,
        last_access_time=access[1]
        if access[0] == stat.last_access_time and access[1]
        else stat.last_access_time,
        last_write_time=write[1] if write[0] == stat.last_write_time and write[1] else stat.last_write_time,
    )


def _pair(wanted: int | None, kept: int, before: _Pair) -> _Pair:
    """The entry for one time: *wanted* was set (None: unchanged), *kept* is what the file system stored."""
    if wanted is None:
        return before if before[0] == kept else _NONE
    return (kept, wanted) if kept != wanted and not EARLY < kept < LATE else _NONE


def remember(target: int | str, kept: _Pair, accessed: int | None, written: int | None) -> None:
    """Store the exact times that the file system could not: *kept* is its status after *accessed* and *written* were
    set."""
    value = get_xattr(target, XATTR_TIMES)
    access, write = _parse(value)
    access, write = _pair(accessed, kept[0], access), _pair(written, kept[1], write)
    new = _RECORD.pack(*access, *write)
    if not (access[1] or write[1]):
        if value is not None:
            remove_xattr(target, XATTR_TIMES)
    elif new != value:
        os.setxattr(target, XATTR_TIMES, new)
