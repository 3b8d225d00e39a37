"""Byte-range locks of one file: who holds what, who waits, and whether a read or write may pass. No I/O, no
clock.

The rules are those of [MS-FSA] 2.1.4.10, 2.1.5.8 and 2.1.5.9; the owner of a lock is the open ([MS-SMB2]
3.3.5.14), compared by identity. A lock request is a batch that is granted as a whole or not at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from frevo.errors import SMBError
from frevo.wire.erref import NTStatus

_LAST_BYTE = 2**64 - 1

#: The most locks on one file, and the most requests that wait for one: what a hostile client can make us
#: remember.
LOCKS_MAX = 8192
WAITERS_MAX = 256


class LockRange(NamedTuple):
    """A range to lock. `start` + `length` may reach 2^64; a length of 0 is a lock between two bytes."""

    start: int
    length: int
    exclusive: bool

    def check(self) -> None:
        """Raises INVALID_LOCK_RANGE when the range leaves the 64-bit file ([MS-FSA] 2.1.5.8)."""
        if self.length and self.start + self.length - 1 > _LAST_BYTE:
            raise SMBError(NTStatus.INVALID_LOCK_RANGE, f"lock at {self.start} of {self.length} bytes")


class HeldLock(NamedTuple):
    """A lock that somebody holds."""

    owner: object
    start: int
    length: int
    exclusive: bool


class LockWaiter(msgspec.Struct, eq=False):
    """A request that waits for its range; `on_granted` is called once, when it has become the owner."""

    owner: object
    range: LockRange
    on_granted: Callable[[], None]


def overlap(start: int, length: int, other_start: int, other_length: int) -> bool:
    """Whether two ranges share a byte; an empty range overlaps one that has bytes on both of its sides.

    Reference: [MS-FSA] 2.1.4.10.
    """
    return start <= other_start + other_length - 1 and other_start <= start + length - 1


class ByteRangeLocks:
    """The locks of one file (or stream) and the queue behind them."""

    __slots__ = ("_held", "_waiters", "on_empty")

    def __init__(self) -> None:
        self._held: list[HeldLock] = []
        self._waiters: list[LockWaiter] = []
        #: Called (and forgotten) when the last lock goes: the server reopens the file's gate with it.
        self.on_empty: Callable[[], None] | None = None

    def __len__(self) -> int:
        return len(self._held)

    def __bool__(self) -> bool:
        return bool(self._held)

    @property
    def held(self) -> Sequence[HeldLock]:
        """Every lock, in the order in which they were granted."""
        return self._held

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._waiters)

    def lock(self, owner: object, ranges: Sequence[LockRange]) -> bool:
        """Takes all of *ranges* for *owner*, or none of them (False).

        Raises INVALID_LOCK_RANGE, and INSUFFICIENT_RESOURCES beyond LOCKS_MAX; nothing is locked then either.
        """
        for wanted in ranges:
            wanted.check()
        if len(self._held) + len(ranges) > LOCKS_MAX:
            raise SMBError(NTStatus.INSUFFICIENT_RESOURCES, "too many byte-range locks on one file")
        before = len(self._held)
        for wanted in ranges:
            if self._conflicts(owner, wanted):
                del self._held[before:]
                return False
            self._held.append(HeldLock(owner, *wanted))
        return True

    def unlock(self, owner: object, start: int, length: int) -> bool:
        """Releases one lock of *owner* with exactly this range, an exclusive one first; else False."""
        found = -1
        for index, (holder, at, size, exclusive) in enumerate(self._held):
            if at == start and size == length and holder is owner:
                if exclusive:
                    found = index
                    break
                if found < 0:
                    found = index
        if found < 0:
            return False
        del self._held[found]
        self._released([(start, length)])
        return True

    def take_back(self, owner: object, ranges: Sequence[LockRange]) -> None:
        """Releases *ranges*, which `lock` has just given to *owner*, because the batch that they belong to fails."""
        left = Counter(ranges)
        kept = []
        for held in reversed(self._held):
            key = LockRange(held.start, held.length, held.exclusive)
            if held.owner is owner and left[key] > 0:
                left[key] -= 1
            else:
                kept.append(held)
        self._held = kept[::-1]
        self._released([(start, length) for start, length, _ in ranges])

    def wait(self, owner: object, wanted: LockRange, on_granted: Callable[[], None]) -> LockWaiter:
        """Queues *wanted*, which could not be had, until it can be; first come, first served."""
        if len(self._waiters) >= WAITERS_MAX:
            raise SMBError(NTStatus.INSUFFICIENT_RESOURCES, "too many requests wait for a lock on one file")
        waiter = LockWaiter(owner, wanted, on_granted)
        self._waiters.append(waiter)
        return waiter

    def cancel(self, waiter: LockWaiter) -> None:
        """Takes a waiter out of the queue; nothing happens when it is not in it any more."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)

    def release_all(self, owner: object) -> None:
        """Everything of *owner* goes: its locks and its places in the queue. Others are woken."""
        self._waiters = [waiter for waiter in self._waiters if waiter.owner is not owner]
        gone = [(held.start, held.length) for held in self._held if held.owner is owner]
        if gone:
            self._held = [held for held in self._held if held.owner is not owner]
            self._released(gone)

    def check_read(self, owner: object, offset: int, length: int) -> None:
        """Raises FILE_LOCK_CONFLICT when somebody else holds an exclusive lock on a byte of the range."""
        if self._held and length:
            end = offset + length
            for holder, start, size, exclusive in self._held:
                if start < end and offset < start + size and exclusive and holder is not owner:
                    raise SMBError(NTStatus.FILE_LOCK_CONFLICT, f"locked: {size} bytes at {start}")

    def check_write(self, owner: object, offset: int, length: int) -> None:
        """Raises FILE_LOCK_CONFLICT for a lock of somebody else, and for a shared one even of *owner*."""
        if self._held and length:
            end = offset + length
            for holder, start, size, exclusive in self._held:
                if start < end and offset < start + size and not (exclusive and holder is owner):
                    raise SMBError(NTStatus.FILE_LOCK_CONFLICT, f"locked: {size} bytes at {start}")

    def _conflicts(self, owner: object, wanted: LockRange) -> bool:
        """Whether a lock that is held forbids *wanted* ([MS-FSA] 2.1.4.10): shared ones go together, and a
        shared lock may lie on an exclusive one of the same owner; nothing else overlaps."""
        first, length, exclusive = wanted
        end = first + length
        # `overlap`, written out: with thousands of locks this loop is all that counts.
        for holder, start, size, is_exclusive in self._held:
            if start < end and first < start + size and (exclusive or (is_exclusive and holder is not owner)):
                return True
        return False

    def _released(self, ranges: Sequence[tuple[int, int]]) -> None:
        """After a release of *ranges*: grants what has become possible, in order; tells when no lock is left.

        Only who waits for one of the bytes that were released can have a free way now.
        """
        granted: list[LockWaiter] = []
        for waiter in self._waiters:
            start, length, _ = waiter.range
            if not any(overlap(start, length, *released) for released in ranges):
                continue
            if len(self._held) < LOCKS_MAX and not self._conflicts(waiter.owner, waiter.range):
                self._held.append(HeldLock(waiter.owner, *waiter.range))
                granted.append(waiter)
        if granted:
            self._waiters = [waiter for waiter in self._waiters if waiter not in granted]
            for waiter in granted:
                waiter.on_granted()
        if not self._held and self.on_empty is not None:
            on_empty, self.on_empty = self.on_empty, None
            on_empty()
