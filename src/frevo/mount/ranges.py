"""Byte ranges of one file locked by programs of this mount, and their combination for the server.

Between our programs locks are advisory, as in Linux. The server gets one set of ranges for all of them together.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

#: The owner of a lock: whether it is one of flock(2), and the kernel's number of the owner.
Owner = tuple[bool, int]


class Range(NamedTuple):
    """Bytes from *start* to before *end*; exclusive: for one writer, else for many readers."""

    start: int
    end: int
    exclusive: bool


class Ranges:
    """The locks of each owner. Locks of flock and fcntl do not affect each other."""

    def __init__(self) -> None:
        self._of: dict[Owner, list[Range]] = {}

    def __bool__(self) -> bool:
        return bool(self._of)

    def in_the_way(self, owner: Owner, wanted: Range) -> tuple[Owner, Range] | None:
        """A lock of another owner that conflicts with *wanted*."""
        for other, ranges in self._of.items():
            if other == owner or other[0] != owner[0]:
                continue
            for one in ranges:
                overlap = one.start < wanted.end and wanted.start < one.end
                if overlap and (one.exclusive or wanted.exclusive):
                    return other, one
        return None

    def of(self, owner: Owner) -> list[Range]:
        """The locks of *owner*, for `restore`."""
        return self._of.get(owner, [])

    def restore(self, owner: Owner, ranges: list[Range]) -> None:
        """Sets the locks of *owner* to exactly these."""
        if ranges:
            self._of[owner] = ranges
        else:
            self._of.pop(owner, None)

    def put(self, owner: Owner, wanted: Range) -> None:
        """Sets *wanted* for *owner*, replacing its locks in that range."""
        self.restore(owner, sorted([*self._outside(owner, wanted.start, wanted.end), wanted]))

    def remove(self, owner: Owner, start: int, end: int) -> None:
        """Removes the locks of *owner* there; ranges that extend beyond are cut."""
        self.restore(owner, self._outside(owner, start, end))

    def _outside(self, owner: Owner, start: int, end: int) -> list[Range]:
        left: list[Range] = []
        for one in self.of(owner):
            if one.end <= start or end <= one.start:
                left.append(one)
                continue
            if one.start < start:
                left.append(one._replace(end=start))
            if end < one.end:
                left.append(one._replace(start=end))
        return left

    def together(self) -> set[Range]:
        """The locks of all owners combined: ranges that do not overlap, exclusive where any lock is."""
        all_ranges = [one for ranges in self._of.values() for one in ranges]
        edges = sorted({edge for one in all_ranges for edge in (one.start, one.end)})
        found = set()
        for start, end in itertools.pairwise(edges):
            here = [one.exclusive for one in all_ranges if one.start <= start and end <= one.end]
            if here:
                found.add(Range(start, end, any(here)))
        return found
