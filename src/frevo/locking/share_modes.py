"""Share modes: whether a new open is compatible with the existing ones. A pure decision ([MS-FSA] 2.1.5.1.2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

FILE_SHARE_READ, FILE_SHARE_WRITE, FILE_SHARE_DELETE = 1, 2, 4

_READ = 0x1 | 0x20  # FILE_READ_DATA | FILE_EXECUTE
_WRITE = 0x2 | 0x4  # FILE_WRITE_DATA | FILE_APPEND_DATA
_DELETE = 0x10000
#: An open with none of these takes no part in share modes: it only looks at metadata.
DATA_ACCESS = _READ | _WRITE | _DELETE


class SharedOpen(Protocol):
    """The properties of an open that matter for share modes."""

    granted_access: int
    share_access: int


def _needs(access: int) -> int:
    """The FILE_SHARE_* bits that other opens must have for *access*."""
    return (
        (FILE_SHARE_READ if access & _READ else 0)
        | (FILE_SHARE_WRITE if access & _WRITE else 0)
        | (FILE_SHARE_DELETE if access & _DELETE else 0)
    )


def combination(opened: SharedOpen) -> tuple[int, int]:
    """What of an open the decision depends on: the FILE_SHARE_* bits that it needs, and those that it gives."""
    return _needs(opened.granted_access), opened.share_access & (
        FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE
    )


def conflict(existing: Iterable[tuple[int, int]], access: int, share_access: int) -> bool:
    """Whether an open with *access* and *share_access* violates the sharing of one of the *existing* combinations, or
    the reverse."""
    needs = _needs(access)
    if not needs:
        return False
    for other_needs, other_share in existing:
        if other_needs and (needs & ~other_share or other_needs & ~share_access):
            return True
    return False
