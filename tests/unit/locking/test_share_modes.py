"""Whether two opens can coexist: every pair of accesses and share modes ([MS-FSA] 2.1.5.1.2)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import NamedTuple

import pytest

from frevo.locking.share_modes import combination, conflict

#: An access right, and what the others must share for it.
RIGHTS = {0x1: 1, 0x20: 1, 0x2: 2, 0x4: 2, 0x10000: 4}
#: Rights that take no part: attributes, ACL, SYNCHRONIZE.
METADATA = 0x80 | 0x100 | 0x20000 | 0x40000 | 0x100000


class Open(NamedTuple):
    granted_access: int
    share_access: int


def conflicts(existing: Iterable[Open], access: int, share_access: int) -> bool:
    return conflict(map(combination, existing), access, share_access)


@pytest.mark.parametrize("share", range(8))
@pytest.mark.parametrize("right", RIGHTS)
def test_both_must_agree(right: int, share: int) -> None:
    """Goal: each must share what the other does, whichever came first. Method: one right against every share mode."""
    allowed = bool(share & RIGHTS[right])
    assert conflicts([Open(0x1, share)], right, 7) != allowed
    assert conflicts([Open(right, 7)], 0x1, share) != allowed


def test_several_rights_need_several_permissions() -> None:
    """Reading and deleting beside an open that shares only one of them."""
    for rights in itertools.chain.from_iterable(itertools.combinations(RIGHTS, n) for n in (2, 3)):
        access = sum(rights)
        needs = 0
        for right in rights:
            needs |= RIGHTS[right]
        for share in range(8):
            assert conflicts([Open(0x1, share)], access, 7) == (needs & ~share != 0)


@pytest.mark.parametrize("share", range(8))
def test_opens_for_metadata_conflict_with_nothing(share: int) -> None:
    """An open without data access conflicts with nothing, before or after."""
    assert not conflicts([Open(0x10007, 0)], METADATA, share)
    assert not conflicts([Open(METADATA, 0)], 0x10007, share)


def test_one_among_many() -> None:
    """Every existing open is checked; without any there is no conflict."""
    assert not conflicts([], 0x3, 0)
    assert not conflicts([Open(0x1, 7)] * 5, 0x3, 7)
    assert conflicts([*[Open(0x1, 7)] * 5, Open(0x1, 5)], 0x3, 7)
