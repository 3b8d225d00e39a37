"""Counts and latencies of many operations: a histogram with percentiles, sums and differences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Self

import msgspec

from frevo.transport.base import bucket_floor, bucket_of

#: What the data plane counts: operations, bytes, sum, least and largest ns, buckets, answers by status.
Counted = tuple[int, int, int, int, int, Iterable[tuple[int, int]], Iterable[tuple[int, int]]]


def bounds(bucket: int) -> tuple[int, int]:
    """The least latency of a bucket and of the next one, in ns. There are 32 buckets per power of two."""
    return bucket_floor(bucket), bucket_floor(bucket + 1)


class Tally(msgspec.Struct):
    """The counts since the start. Times are in nanoseconds; *statuses* are those of failed responses."""

    operations: int = 0
    bytes: int = 0
    sum_ns: int = 0
    min_ns: int = 0
    max_ns: int = 0
    buckets: dict[int, int] = msgspec.field(default_factory=dict)
    statuses: dict[int, int] = msgspec.field(default_factory=dict)

    @classmethod
    def of(cls, counted: Counted) -> Self:
        """From the data plane's counters."""
        operations, moved, sum_ns, min_ns, max_ns, buckets, statuses = counted
        failed = {status: count for status, count in statuses if status}
        return cls(operations, moved, sum_ns, min_ns, max_ns, dict(buckets), failed)

    def record(self, ns: int, size: int = 0) -> None:
        """Count one successful operation."""
        self.min_ns = min(self.min_ns, ns) if self.operations else ns
        self.max_ns = max(self.max_ns, ns)
        self.operations += 1
        self.bytes += size
        self.sum_ns += ns
        bucket = bucket_of(ns)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1

    def failed(self, status: int) -> None:
        """Count one failed operation, which has no latency."""
        self.statuses[status] = self.statuses.get(status, 0) + 1

    @property
    def errors(self) -> int:
        """Failed operations."""
        return sum(self.statuses.values())

    @property
    def mean_ns(self) -> float:
        """Mean latency; 0 without operations."""
        return self.sum_ns / self.operations if self.operations else 0.0

    def percentile(self, percent: float) -> float:
        """The latency in ns that *percent* % of the operations do not exceed, exact to 1/32; 0 without operations."""
        if not self.operations:
            return 0.0
        rank = max(1.0, percent * self.operations / 100)
        ordered = sorted(self.buckets)
        reached = accumulate(self.buckets[bucket] for bucket in ordered)
        bucket = next((b for b, count in zip(ordered, reached, strict=True) if count >= rank), ordered[-1])
        low, high = bounds(bucket)
        return min(max((low + high - 1) / 2, self.min_ns), self.max_ns)

    def histogram(self) -> Iterator[tuple[int, int, int]]:
        """(least ns, least ns of the next bucket, operations) of every bucket in use, in order."""
        for bucket in sorted(self.buckets):
            yield (*bounds(bucket), self.buckets[bucket])

    def take(self, other: Tally) -> None:
        """Add the operations of *other*."""
        if other.operations:
            self.min_ns = min(self.min_ns, other.min_ns) if self.operations else other.min_ns
        self.operations += other.operations
        self.bytes += other.bytes
        self.sum_ns += other.sum_ns
        self.max_ns = max(self.max_ns, other.max_ns)
        for mine, theirs in ((self.buckets, other.buckets), (self.statuses, other.statuses)):
            for key, count in theirs.items():
                mine[key] = mine.get(key, 0) + count

    def since(self, earlier: Tally) -> Tally:
        """The difference to *earlier*, an older state of this tally. Least and largest are exact to 1/32."""
        buckets = _less(self.buckets, earlier.buckets)
        made = Tally(
            self.operations - earlier.operations,
            self.bytes - earlier.bytes,
            self.sum_ns - earlier.sum_ns,
            buckets=buckets,
            statuses=_less(self.statuses, earlier.statuses),
        )
        if buckets:
            made.min_ns = max(bounds(min(buckets))[0], self.min_ns)
            made.max_ns = min(bounds(max(buckets))[1] - 1, self.max_ns)
        return made


def total(tallies: Iterable[Tally]) -> Tally:
    """A new tally with the sum of all."""
    made = Tally()
    for tally in tallies:
        made.take(tally)
    return made


def _less(one: dict[int, int], other: dict[int, int]) -> dict[int, int]:
    return {key: left for key, count in one.items() if (left := count - other.get(key, 0)) > 0}
