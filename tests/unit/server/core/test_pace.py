"""Pace: when the calls of a disk leave the loop, and when they come back."""

from __future__ import annotations

import os
import threading
import time
import zlib

from frevo.server.core.pace import (
    FAST_S,
    PROOF_CALLS,
    PROOF_MAX_S,
    PROOF_S,
    SLOW_MAX,
    SLOW_S,
    STUCK_S,
    WINDOW_S,
    Pace,
    RunDelay,
)


def test_several_slow_requests_are_too_many() -> None:
    """Goal: some slow requests now and then are nothing, SLOW_MAX within WINDOW_S are too many. Method: one more than
    allowed over a longer time, then closer together."""
    pace = Pace()
    step = WINDOW_S / (SLOW_MAX - 1)
    assert not any(pace.blocked(SLOW_S * 2, number * (step + 1)) for number in range(3 * SLOW_MAX))
    begin = 10_000.0
    assert [pace.blocked(SLOW_S * 2, begin + number * step) for number in range(SLOW_MAX)] == [
        *[False] * (SLOW_MAX - 1),
        True,
    ]


def test_a_request_of_a_second_is_too_many() -> None:
    """Goal: a disk that has to start stops the loop once, not five times."""
    assert Pace().blocked(STUCK_S, 5.0)


def calls(pace: Pace, took_s: float, begin: float, seconds: float, count: int) -> list[bool]:
    return [pace.called(took_s, begin + seconds * number / (count - 1)) for number in range(count)]


def test_it_comes_back_when_fast_for_long() -> None:
    """Goal: neither many fast calls nor a long time alone prove that the disk is fast. Method: each, then both."""
    pace = Pace()
    pace.enter(0.0)
    assert not any(calls(pace, FAST_S / 2, 0.0, PROOF_S / 2, 10 * PROOF_CALLS))
    pace.enter(0.0)
    assert not any(calls(pace, FAST_S / 2, 0.0, 3 * PROOF_S, PROOF_CALLS - 1))
    pace.enter(0.0)
    answers = calls(pace, FAST_S / 2, 0.0, PROOF_S, PROOF_CALLS)
    assert answers == [*[False] * (PROOF_CALLS - 1), True]


def test_slow_calls_begin_the_proof_again() -> None:
    """Goal: a disk that is still slow at times stays. Method: SLOW_MAX slow calls, or one of a second, late in the
    trial; fewer do not matter."""
    for took_s, count, back in (
        (FAST_S * 2, SLOW_MAX - 1, True),
        (FAST_S * 2, SLOW_MAX, False),
        (STUCK_S, 1, False),
    ):
        pace = Pace()
        pace.enter(0.0)
        calls(pace, FAST_S / 2, 0.0, PROOF_S / 2, PROOF_CALLS)
        for _ in range(count):
            assert not pace.called(took_s, PROOF_S * 0.9)
        assert pace.called(FAST_S / 2, PROOF_S) is back


def test_each_proof_takes_longer() -> None:
    """Goal: a disk that falls asleep again and again does not stop the loop each time. Method: it comes back after
    twice the time, up to a day."""
    pace, proof_s = Pace(), PROOF_S
    for _ in range(12):
        pace.enter(0.0)
        assert not any(calls(pace, FAST_S / 2, 0.0, proof_s * 0.99, PROOF_CALLS))
        assert pace.called(FAST_S / 2, proof_s)
        proof_s = min(2 * proof_s, PROOF_MAX_S)
    assert proof_s == PROOF_MAX_S


def test_waiting_for_a_processor_is_not_the_disk() -> None:
    """Goal: the time that this thread had no processor is known, and sleeping is not part of it. Method: sleep; then
    compete with another thread for one processor, without the GIL."""
    delay = RunDelay()
    time.sleep(0.05)
    slept = delay.since_last()
    before = os.sched_getaffinity(0)
    data = bytes(1 << 24)
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            zlib.crc32(data)

    os.sched_setaffinity(0, {min(before)})
    try:
        thread = threading.Thread(target=busy)
        thread.start()
        waited, deadline = 0.0, time.monotonic() + 10
        while waited < 0.02 and time.monotonic() < deadline:
            zlib.crc32(data)
            waited += delay.since_last()
    finally:
        stop.set()
        thread.join()
        os.sched_setaffinity(0, before)
    delay.close()
    assert waited >= 0.02 and slept < 0.05
    assert delay.since_last() <= 0.0  # closed: nothing is known
