"""Line and Fates: what happens to each datagram follows from the seed, and the times from the conditions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frevo.lab import Conditions
from frevo.lab.line import Fates, Line

SHARES = st.floats(0, 1)
CONDITIONS = st.builds(
    Conditions,
    loss=SHARES,
    duplicate=SHARES,
    reorder=SHARES,
    delay_s=st.floats(0, 1),
    jitter_s=st.floats(0, 1),
    hold_s=st.floats(0, 1),
    mtu=st.sampled_from([0, 68, 1280, 1500]),
    rate=st.sampled_from([0.0, 1e4, 1e8]),
    queue_s=st.floats(0, 0.5),
)
#: (bytes, seconds since the one before)
TRAFFIC = st.lists(st.tuples(st.integers(0, 2000), st.floats(0, 0.1)), max_size=60)


def run(
    conditions: Conditions, traffic: list[tuple[int, float]], seed: int = 0
) -> tuple[Line, list[tuple[float, ...]]]:
    """All arrivals of *traffic* on a new line."""
    line, fates, now, arrivals = Line(conditions, 28), Fates(seed, 0, "up"), 0.0, []
    for size, pause in traffic:
        now += pause
        arrivals.append(line.arrivals(size, fates, now))
    return line, arrivals


@given(CONDITIONS, TRAFFIC, st.integers())
def test_same_seed_same_decisions(
    conditions: Conditions, traffic: list[tuple[int, float]], seed: int
) -> None:
    """Equal seeds, conditions and traffic give equal arrivals and counts."""
    first, second = run(conditions, traffic, seed), run(conditions, traffic, seed)
    assert first[1] == second[1]
    assert first[0].counts == second[0].counts


@given(CONDITIONS, TRAFFIC, st.integers(0, 3))
def test_counts_add_up(conditions: Conditions, traffic: list[tuple[int, float]], seed: int) -> None:
    """Every datagram is in exactly one of the counts, and nothing arrives before it could."""
    line, arrivals = run(conditions, traffic, seed)
    counts = line.counts
    assert counts.received == len(traffic)
    assert counts.received == counts.passed + counts.lost + counts.too_large + counts.overflowed
    assert counts.passed == sum(1 for times in arrivals if times)
    assert counts.duplicated == sum(1 for times in arrivals if len(times) == 2)
    now = 0.0
    for (_, pause), times in zip(traffic, arrivals, strict=True):
        now += pause
        assert all(at >= now + conditions.delay_s for at in times)


def test_fates_depend_on_seed_flow_and_direction() -> None:
    """Another seed, flow or direction draws other fates; the numbers are these in every version of Python."""
    conditions = Conditions(loss=0.3)

    def lost(*of: object) -> list[int]:
        fates = Fates(*of)  # type: ignore[arg-type]
        return [n for n in range(20) if fates.next(conditions)[0] == 0]

    assert lost(7, 0, "up") == [2, 11, 14, 16]
    assert len({tuple(lost(*of)) for of in ((7, 0, "up"), (8, 0, "up"), (7, 1, "up"), (7, 0, "down"))}) == 4


@given(st.integers(), SHARES, SHARES)
def test_more_loss_moves_nothing_else(seed: int, less: float, more: float) -> None:
    """Which datagrams are held back, and for how long, does not depend on the loss; lost ones stay lost with more."""
    less, more = sorted((less, more))
    few = Fates(seed, 0, "up")
    many = Fates(seed, 0, "up")
    for _ in range(30):
        copies, *times = few.next(Conditions(loss=less, reorder=0.3, jitter_s=1))
        copies_then, *times_then = many.next(Conditions(loss=more, reorder=0.3, jitter_s=1))
        assert times == times_then
        assert copies or not copies_then


@pytest.mark.parametrize("name", ["loss", "duplicate", "reorder"])
def test_shares(name: str) -> None:
    """Of 20,000 datagrams, the asked share is lost, sent twice or held back."""
    line, _ = run(Conditions(**{name: 0.05}), [(100, 0.01)] * 20_000)
    done = {"loss": line.counts.lost, "duplicate": line.counts.duplicated, "reorder": line.counts.held}
    assert 900 <= done.pop(name) <= 1100
    assert set(done.values()) == {0}


def test_mtu_counts_headers() -> None:
    """With an MTU of 1280, a datagram of 1252 bytes passes over IPv4, and one of 1253 does not."""
    line, arrivals = run(Conditions(mtu=1280), [(1252, 0), (1253, 0)])
    assert arrivals == [(0.0,), ()]
    assert line.counts.too_large == 1


def test_rate_and_queue() -> None:
    """At 8224 bit/s a packet of 1028 bytes takes a second; what would wait longer than the queue is dropped."""
    line, arrivals = run(Conditions(rate=8224, queue_s=1.5, delay_s=0.25), [(1000, 0)] * 3 + [(1000, 1.0)])
    assert arrivals == [(1.25,), (2.25,), (), (3.25,)]
    assert line.counts.overflowed == 1


@given(TRAFFIC, st.integers(0, 9))
def test_jitter_keeps_the_order(traffic: list[tuple[int, float]], seed: int) -> None:
    """Datagrams that are not held back arrive in the order in which they were sent."""
    _, arrivals = run(Conditions(jitter_s=0.5, loss=0.1), traffic, seed)
    times = [at for times in arrivals for at in times]
    assert times == sorted(times)


def test_held_datagrams_are_overtaken() -> None:
    """A held datagram arrives 2 to 4 ms late, after some that were sent later; these are not held up by it."""
    _, arrivals = run(Conditions(reorder=0.1), [(100, 0.0001)] * 500)
    late = [at - (n + 1) * 0.0001 for n, (at,) in enumerate(arrivals)]
    assert 20 < sum(1 for one in late if one > 1e-9) < 90
    assert all(one < 1e-9 or 0.0019 < one < 0.0041 for one in late)
