"""frevo.bench.tally: what holds for any latencies: buckets, percentiles, sums, differences."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from frevo.bench.tally import Tally, bounds, total
from frevo.transport.base import bucket_of

LATENCIES = st.lists(st.integers(0, 1 << 45), max_size=60)
#: A bucket is 1/32 wide, and its middle is what a percentile says.
EXACTNESS = 1 / 32


def tally_of(latencies: list[int], size: int = 0) -> Tally:
    made = Tally()
    for ns in latencies:
        made.record(ns, size)
    return made


@given(st.integers(0, 1 << 62))
def test_a_latency_is_in_its_bucket(ns: int) -> None:
    """bucket_of and bounds are each other's inverse; a bucket is no wider than 1/32 of what is in it."""
    low, high = bounds(bucket_of(ns))
    assert low <= ns < high
    assert high - low <= max(1, low * EXACTNESS)


@given(st.integers(0, 1919))  # the buckets of 64 bits
def test_buckets_join(bucket: int) -> None:
    """The next bucket begins where one ends: no latency is lost between them."""
    assert bounds(bucket)[1] == bounds(bucket + 1)[0]
    assert bucket_of(bounds(bucket)[0]) == bucket


@given(LATENCIES.filter(bool), st.floats(0.1, 100))
def test_percentiles_are_near(latencies: list[int], percent: float) -> None:
    """A percentile differs from the exact one by no more than the width of a bucket."""
    exact = sorted(latencies)[max(0, math.ceil(percent * len(latencies) / 100 - 1e-9) - 1)]
    assert abs(tally_of(latencies).percentile(percent) - exact) <= max(1, exact * EXACTNESS)


@given(LATENCIES.filter(bool))
def test_percentiles_grow(latencies: list[int]) -> None:
    """They never fall with the percentage, and stay between the least and the largest latency."""
    made = tally_of(latencies)
    values = [made.percentile(percent) for percent in (0.001, 1, 50, 90, 99, 99.9, 100)]
    assert values == sorted(values)
    assert min(latencies) <= values[0] and values[-1] <= max(latencies)


@given(LATENCIES, LATENCIES, st.integers(0, 1 << 20))
def test_sums_are_as_if_counted_together(one: list[int], other: list[int], size: int) -> None:
    """The sum of two tallies is the tally of both; the order does not matter, and adding nothing changes nothing."""
    both = total([tally_of(one, size), tally_of(other, size)])
    assert both == tally_of(one + other, size) == total([tally_of(other, size), tally_of(one, size)])
    assert total([both, Tally()]) == both == total([Tally(), both])


@given(LATENCIES, LATENCIES)
def test_differences_give_the_later_part(first: list[int], later: list[int]) -> None:
    """since() is the tally of what came later; least and largest are exact to a bucket."""
    old, new = tally_of(first, 7), tally_of(first + later, 7)
    found, wanted = new.since(old), tally_of(later, 7)
    assert (found.operations, found.bytes, found.sum_ns) == (wanted.operations, wanted.bytes, wanted.sum_ns)
    assert found.buckets == wanted.buckets
    assert found.min_ns <= wanted.min_ns and wanted.min_ns - found.min_ns <= max(1, wanted.min_ns * EXACTNESS)
    assert found.max_ns >= wanted.max_ns and found.max_ns - wanted.max_ns <= max(1, wanted.max_ns * EXACTNESS)


def test_an_empty_tally_has_zeros() -> None:
    """No operation: every figure is 0, and nothing divides by it."""
    empty = Tally()
    assert (empty.mean_ns, empty.percentile(99), empty.errors, list(empty.histogram())) == (0, 0, 0, [])


def test_failures_have_no_latency() -> None:
    """A failed operation counts only as an error."""
    made = tally_of([1000, 3000])
    made.failed(0xC000007F)
    made.failed(0xC000007F)
    assert (made.operations, made.errors, made.mean_ns) == (2, 2, 2000)


def test_what_the_data_plane_counts() -> None:
    """of() takes the pump's numbers; the status of success is not an error."""
    found = Tally.of((3, 12288, 6000, 1000, 3000, [(bucket_of(2000), 3)], [(0, 3), (0xC000007F, 1)]))
    assert (found.operations, found.errors, found.statuses) == (3, 1, {0xC000007F: 1})
    assert list(found.histogram()) == [(1984, 2016, 3)]
