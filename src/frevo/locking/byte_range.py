"""Byte-range locks of one file: who holds or waits for which range, and whether a read or write may pass. No I/O, no
clock.

The rules are those of [MS-FSA] 2.1.4.10, 2.1.5.8 and 2.1.5.9. The owner of a lock is the open ([MS-SMB2] 3.3.5.14),
compared by identity. A lock request is a batch that is granted as a whole or not at all.

Clients may hold and request thousands of locks, so no check iterates over them: two sorted lists, of starts and of
ends, give the number of locks that overlap a range.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
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
        """INVALID_LOCK_RANGE if the range exceeds 64 bits ([MS-FSA] 2.1.5.8)."""
        if self.length and self.start + self.length - 1 > _LAST_BYTE:
            raise SMBError(NTStatus.INVALID_LOCK_RANGE, f"lock at {self.start} of {self.length} bytes")


class HeldLock(NamedTuple):
    """A granted lock."""

    owner: object
    start: int
    length: int
    exclusive: bool


class LockWaiter(msgspec.Struct, eq=False):
    """A request that waits for its range; `on_granted` is called once, when it is granted."""

    owner: object
    range: LockRange
    on_granted: Callable[[], None]


def overlap(start: int, length: int, other_start: int, other_length: int) -> bool:
    """Whether two ranges share a byte; an empty range overlaps a range with bytes on both sides of it.

    Reference: [MS-FSA] 2.1.4.10.
    """
    return start <= other_start + other_length - 1 and other_start <= start + length - 1


class _Ranges:
    """Counts the ranges that overlap a given one, by binary search.

    A range overlaps [first, end) if it starts before *end* and does not end at or before *first*. Every range that
    ends at or before *first* also starts before *end*, so the difference of the two counts is the answer. Empty ranges
    are kept apart, because two of them never overlap.
    """

    __slots__ = ("_ends", "_points", "_starts")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._points: list[int] = []

    def __bool__(self) -> bool:
        return bool(self._starts or self._points)

    def add(self, start: int, length: int) -> None:
        if length:
            insort(self._starts, start)
            insort(self._ends, start + length)
        else:
            insort(self._points, start)

    def discard(self, start: int, length: int) -> None:
        """Remove a range that was added."""
        if length:
            del self._starts[bisect_left(self._starts, start)]
            del self._ends[bisect_left(self._ends, start + length)]
        else:
            del self._points[bisect_left(self._points, start)]

    def overlapping(self, first: int, length: int) -> int:
        """How many ranges share a byte with this one."""
        end = first + length
        count = bisect_left(self._starts, end) - bisect_right(self._ends, first)
        if length and self._points:
            count += bisect_left(self._points, end) - bisect_right(self._points, first)
        return count


class _Owned:
    """The locks of one owner: the exclusive ones for counting, all of them by number."""

    __slots__ = ("by_range", "exclusive", "numbers")

    def __init__(self) -> None:
        self.exclusive = _Ranges()
        self.numbers: dict[int, HeldLock] = {}
        #: The numbers of equal locks, oldest first.
        self.by_range: dict[LockRange, dict[int, None]] = {}


class ByteRangeLocks:
    """The locks of one file (or stream) and its queue of waiters."""

    __slots__ = ("_exclusive", "_held", "_next", "_owners", "_shared", "_waiters", "on_empty")

    def __init__(self) -> None:
        self._held: dict[int, HeldLock] = {}  # by a number that grows: the order in which they were granted
        self._next = 0
        self._exclusive = _Ranges()
        self._shared = _Ranges()
        self._owners: dict[int, _Owned] = {}  # by identity; who holds a lock lives
        self._waiters: list[LockWaiter] = []
        #: Called (and forgotten) when the last lock goes: the server lets go of the file's gate with it.
        self.on_empty: Callable[[], None] | None = None

    def __len__(self) -> int:
        return len(self._held)

    def __bool__(self) -> bool:
        return bool(self._held)

    @property
    def held(self) -> Sequence[HeldLock]:
        """All locks, in the order in which they were granted."""
        return list(self._held.values())

    @property
    def waiting(self) -> int:
        """The number of waiting requests."""
        return len(self._waiters)

    def lock(self, owner: object, ranges: Sequence[LockRange]) -> bool:
        """Grant all of *ranges* to *owner*, or none of them (False).

        Raises INVALID_LOCK_RANGE, and INSUFFICIENT_RESOURCES beyond LOCKS_MAX; nothing is locked then either.
        """
        for wanted in ranges:
            wanted.check()
        if len(self._held) + len(ranges) > LOCKS_MAX:
            raise SMBError(NTStatus.INSUFFICIENT_RESOURCES, "too many byte-range locks on one file")
        taken: list[int] = []
        for wanted in ranges:
            if self._conflicts(owner, wanted):
                for number in reversed(taken):
                    self._drop(number)
                return False
            taken.append(self._add(owner, wanted))
        return True

    def unlock(self, owner: object, start: int, length: int) -> bool:
        """Release one lock of *owner* with exactly this range, an exclusive one first; False if there is none."""
        owned = self._owners.get(id(owner))
        if owned is None:
            return False
        numbers = owned.by_range.get(LockRange(start, length, True))
        if numbers is None:
            numbers = owned.by_range.get(LockRange(start, length, False))
        if numbers is None:
            return False
        self._drop(next(iter(numbers)))
        self._released([(start, length)])
        return True

    def take_back(self, owner: object, ranges: Sequence[LockRange]) -> None:
        """Release *ranges*, which `lock` has just granted to *owner*, because their batch fails."""
        owned = self._owners.get(id(owner))
        for wanted, count in Counter(ranges).items():
            numbers = owned.by_range.get(wanted, {}) if owned is not None else {}
            for number in list(numbers)[-count:]:
                self._drop(number)
        self._released([(start, length) for start, length, _ in ranges])

    def wait(self, owner: object, wanted: LockRange, on_granted: Callable[[], None]) -> LockWaiter:
        """Queue *wanted*, which could not be granted, until it can be; first come, first served."""
        if len(self._waiters) >= WAITERS_MAX:
            raise SMBError(NTStatus.INSUFFICIENT_RESOURCES, "too many requests wait for a lock on one file")
        waiter = LockWaiter(owner, wanted, on_granted)
        self._waiters.append(waiter)
        return waiter

    def cancel(self, waiter: LockWaiter) -> None:
        """Remove a waiter from the queue, if it is still there."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)

    def release_all(self, owner: object) -> None:
        """Release everything of *owner*, locks and waiting requests, and wake others."""
        if self._waiters:
            self._waiters = [waiter for waiter in self._waiters if waiter.owner is not owner]
        owned = self._owners.get(id(owner))
        if owned is not None:
            gone = [(held.start, held.length) for held in owned.numbers.values()]
            for number in tuple(owned.numbers):
                self._drop(number)
            self._released(gone)

    def check_read(self, owner: object, offset: int, length: int) -> None:
        """FILE_LOCK_CONFLICT if another owner holds an exclusive lock on a byte of the range."""
        if self._held and length and self._others_exclusive(owner, offset, length):
            raise SMBError(NTStatus.FILE_LOCK_CONFLICT, f"a lock within {length} bytes at {offset}")

    def check_write(self, owner: object, offset: int, length: int) -> None:
        """FILE_LOCK_CONFLICT for another owner's lock, and for a shared one even of *owner*."""
        if self._held and length:
            if self._shared.overlapping(offset, length) or self._others_exclusive(owner, offset, length):
                raise SMBError(NTStatus.FILE_LOCK_CONFLICT, f"a lock within {length} bytes at {offset}")

    def _others_exclusive(self, owner: object, start: int, length: int) -> bool:
        count = self._exclusive.overlapping(start, length)
        if not count:
            return False
        owned = self._owners.get(id(owner))
        return owned is None or owned.exclusive.overlapping(start, length) < count

    def _conflicts(self, owner: object, wanted: LockRange) -> bool:
        """Whether a held lock forbids *wanted* ([MS-FSA] 2.1.4.10). Shared locks may overlap, and a shared lock may
        overlap an exclusive one of the same owner; nothing else may."""
        start, length, exclusive = wanted
        if not exclusive:
            return self._others_exclusive(owner, start, length)
        return bool(self._shared.overlapping(start, length) or self._exclusive.overlapping(start, length))

    def _add(self, owner: object, wanted: LockRange) -> int:
        """Add a lock; returns its number."""
        number, self._next = self._next, self._next + 1
        held = self._held[number] = HeldLock(owner, *wanted)
        owned = self._owners.setdefault(id(owner), _Owned())
        owned.numbers[number] = held
        owned.by_range.setdefault(wanted, {})[number] = None
        if wanted.exclusive:
            self._exclusive.add(wanted.start, wanted.length)
            owned.exclusive.add(wanted.start, wanted.length)
        else:
            self._shared.add(wanted.start, wanted.length)
        return number

    def _drop(self, number: int) -> None:
        """Remove a lock without waking anyone yet."""
        owner, start, length, exclusive = self._held.pop(number)
        owned = self._owners[id(owner)]
        del owned.numbers[number]
        key = LockRange(start, length, exclusive)
        del owned.by_range[key][number]
        if not owned.by_range[key]:
            del owned.by_range[key]
        if exclusive:
            self._exclusive.discard(start, length)
            owned.exclusive.discard(start, length)
        else:
            self._shared.discard(start, length)
        if not owned.numbers:
            del self._owners[id(owner)]

    def _released(self, ranges: Sequence[tuple[int, int]]) -> None:
        """After *ranges* were released: grant waiting requests in order, and report when no lock is left.

        Only waiters for a released byte can succeed now.
        """
        granted: list[LockWaiter] = []
        if self._waiters:
            freed = _Ranges()
            for start, length in ranges:
                freed.add(start, length)
        for waiter in self._waiters:
            if not freed.overlapping(waiter.range.start, waiter.range.length):
                continue
            if len(self._held) < LOCKS_MAX and not self._conflicts(waiter.owner, waiter.range):
                self._add(waiter.owner, waiter.range)
                granted.append(waiter)
        if granted:
            self._waiters = [waiter for waiter in self._waiters if waiter not in granted]
            for waiter in granted:
                waiter.on_granted()
        if not self._held and self.on_empty is not None:
            on_empty, self.on_empty = self.on_empty, None
            on_empty()
