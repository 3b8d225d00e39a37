"""Byte-range locks: every rule of [MS-FSA] 2.1.4.10 by example, and a model check of random histories."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frevo.errors import SMBError
from frevo.locking import byte_range
from frevo.locking.byte_range import ByteRangeLocks, LockRange, overlap
from frevo.wire.erref import NTStatus

A, B, C = "open A", "open B", "open C"
END = 2**64 - 1


def exclusive(start: int, length: int) -> list[LockRange]:
    return [LockRange(start, length, True)]


def shared(start: int, length: int) -> list[LockRange]:
    return [LockRange(start, length, False)]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((0, 10), (10, 10), False),
        ((0, 10), (9, 1), True),
        ((5, 0), (0, 10), True),
        ((0, 0), (0, 10), False),
        ((10, 0), (0, 10), False),
        ((5, 0), (5, 0), False),
        ((END, 1), (END, 1), True),
        ((0, END), (END, 1), False),
    ],
)
def test_overlap(first: tuple[int, int], second: tuple[int, int], expected: bool) -> None:
    """Ranges overlap by their bytes, an empty one by its neighbours on both sides; in both orders."""
    assert overlap(*first, *second) is expected
    assert overlap(*second, *first) is expected


def test_shared_and_exclusive() -> None:
    """Shared locks coexist, exclusive ones exclude all; by two owners on one range."""
    locks = ByteRangeLocks()
    assert locks.lock(A, shared(0, 10)) and locks.lock(B, shared(5, 10))
    assert not locks.lock(C, exclusive(9, 1))
    assert not locks.lock(A, exclusive(0, 10))
    assert locks.lock(C, exclusive(15, 1))
    assert not locks.lock(A, shared(15, 1))


def test_stacking_by_one_owner() -> None:
    """A shared lock may lie on one's own exclusive lock, not the reverse; by locking and unlocking twice."""
    locks = ByteRangeLocks()
    assert locks.lock(A, exclusive(0, 10)) and locks.lock(A, shared(0, 10))
    assert not locks.lock(A, exclusive(0, 10))
    assert locks.unlock(A, 0, 10)
    assert not locks.held[0].exclusive, "the exclusive one goes first"
    assert locks.unlock(A, 0, 10) and not locks.unlock(A, 0, 10)


def test_unlock_needs_the_exact_range_and_owner() -> None:
    """Only the exact range of the exact owner is released; by near misses."""
    locks = ByteRangeLocks()
    locks.lock(A, exclusive(0, 10))
    assert not locks.unlock(A, 0, 9) and not locks.unlock(A, 1, 10) and not locks.unlock(B, 0, 10)
    assert locks.unlock(A, 0, 10) and not locks


def test_batch_is_all_or_nothing() -> None:
    """A batch that fails leaves nothing behind; by a range that is taken, and one beyond the file."""
    locks = ByteRangeLocks()
    locks.lock(A, exclusive(100, 1))
    assert not locks.lock(B, exclusive(0, 10) + exclusive(100, 1))
    assert len(locks.held) == 1
    with pytest.raises(SMBError) as caught:
        locks.lock(B, exclusive(0, 10) + exclusive(END, 2))
    assert caught.value.status == NTStatus.INVALID_LOCK_RANGE and len(locks.held) == 1
    assert not locks.lock(B, exclusive(0, 10) + exclusive(5, 10)), "within one batch"


def test_range_limits() -> None:
    """The last byte of the 64-bit file can be locked, nothing beyond it; by ranges at the end."""
    locks = ByteRangeLocks()
    assert locks.lock(A, exclusive(END, 1)) and locks.lock(A, exclusive(END, 0))
    assert locks.lock(A, exclusive(0, END))
    with pytest.raises(SMBError):
        locks.lock(A, shared(1, END + 1))


def test_reads_and_writes() -> None:
    """Reads and writes meet other owners' locks, and writes even one's own shared lock; by each combination."""
    locks = ByteRangeLocks()
    locks.lock(A, exclusive(0, 10))
    locks.lock(B, shared(20, 10))
    locks.check_read(A, 0, 100)
    locks.check_read(B, 10, 100)
    locks.check_read(B, 5, 0)
    locks.check_write(A, 0, 10)
    for check, owner, offset in [
        (locks.check_read, B, 9),
        (locks.check_write, B, 9),
        (locks.check_write, A, 20),
        (locks.check_write, B, 20),
    ]:
        with pytest.raises(SMBError) as caught:
            check(owner, offset, 1)
        assert caught.value.status == NTStatus.FILE_LOCK_CONFLICT


def test_waiters_are_served_in_order() -> None:
    """A release grants the queue from its front, as far as it goes; by three waiters."""
    locks = ByteRangeLocks()
    log: list[str] = []
    locks.lock(A, exclusive(0, 10))
    locks.wait(B, LockRange(0, 10, False), lambda: log.append("B"))
    locks.wait(C, LockRange(0, 10, True), lambda: log.append("C exclusive"))
    locks.wait(C, LockRange(0, 5, False), lambda: log.append("C shared"))
    locks.unlock(A, 0, 10)
    assert log == ["B", "C shared"]
    locks.release_all(B)
    assert locks.waiting == 1 and log == ["B", "C shared"]
    locks.unlock(C, 0, 5)
    assert log[-1] == "C exclusive" and not locks.waiting


def test_cancel_and_release_all() -> None:
    """A cancelled waiter gets nothing, a closed open leaves nothing, `on_empty` comes once; by both."""
    locks = ByteRangeLocks()
    log: list[str] = []
    locks.on_empty = lambda: log.append("empty")
    locks.lock(A, exclusive(0, 10) + exclusive(20, 1))
    cancelled = locks.wait(B, LockRange(0, 1, True), lambda: log.append("B"))
    locks.wait(A, LockRange(0, 1, True), lambda: log.append("A"))
    locks.cancel(cancelled)
    locks.cancel(cancelled)
    locks.release_all(A)
    assert log == ["empty"] and not locks and not locks.waiting
    locks.release_all(A)
    assert log == ["empty"]


def test_take_back() -> None:
    """Goal: a failing batch releases what it took, and no older lock of the same range. Method: one lock twice, the
    newer one taken back, a waiter behind another."""
    locks, log = ByteRangeLocks(), []
    locks.lock(A, shared(0, 10) + shared(0, 10) + exclusive(20, 1))
    locks.wait(B, LockRange(20, 1, True), lambda: log.append("B"))
    locks.take_back(A, shared(0, 10) + exclusive(20, 1))
    assert [held.owner for held in locks.held] == [A, B] and log == ["B"]
    locks.take_back(A, shared(0, 10))
    assert [held.owner for held in locks.held] == [B]


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client cannot make the server remember an unlimited number; by small limits."""
    monkeypatch.setattr(byte_range, "LOCKS_MAX", 2)
    monkeypatch.setattr(byte_range, "WAITERS_MAX", 1)
    locks = ByteRangeLocks()
    assert locks.lock(A, exclusive(0, 1) + exclusive(1, 1))
    with pytest.raises(SMBError):
        locks.lock(A, exclusive(2, 1))
    locks.wait(B, LockRange(0, 1, True), lambda: None)
    with pytest.raises(SMBError):
        locks.wait(C, LockRange(0, 1, True), lambda: None)


_step = st.tuples(
    st.sampled_from("lu"), st.sampled_from((A, B)), st.integers(0, 12), st.integers(0, 6), st.booleans()
)


@given(st.lists(_step, max_size=40))
def test_exclusion_holds_in_every_history(steps: list[tuple[str, str, int, int, bool]]) -> None:
    """While one owner holds a byte exclusively, no other holds it; by random locks and unlocks."""
    locks = ByteRangeLocks()
    for kind, owner, start, length, is_exclusive in steps:
        if kind == "l":
            locks.lock(owner, [LockRange(start, length, is_exclusive)])
        else:
            locks.unlock(owner, start, length)
        for one in locks.held:
            for other in locks.held:
                if one.exclusive and one.owner != other.owner:
                    assert not overlap(one.start, one.length, other.start, other.length)
