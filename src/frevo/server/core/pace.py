"""How fast the calls of one file system are, and when they should leave the event loop or may come back.

A call that waits for a disk stops the event loop, so a file system that has been slow several times within a minute
moves to a lane (frevo.server.core.lane). There, a call delays only users of the same file system, but costs two
thread switches, so it comes back when it has been fast for long: each time later, because a disk that falls asleep is
fast while it is awake.
"""

from __future__ import annotations

import os
from collections import deque
from typing import Final

#: A request that blocks the loop longer, in seconds, was slow.
SLOW_S: Final = 0.02
#: So many slow requests within this many seconds are too many.
SLOW_MAX: Final = 5
WINDOW_S: Final = 60.0
#: One request that takes this long is too many: a disk that has to start, or is about to fail.
STUCK_S: Final = 1.0
#: A single call in a lane that takes longer was slow; one request makes several.
FAST_S: Final = 0.005
#: For how long at least calls must be fast before they come back, at first and at most.
PROOF_S: Final = 600.0
PROOF_MAX_S: Final = 24 * 3600.0
#: Calls in that time; fewer prove nothing.
PROOF_CALLS: Final = 100


class Pace:
    """The recent calls of one file system. Times are seconds on the clock of the event loop."""

    def __init__(self) -> None:
        self._slow: deque[float] = deque(maxlen=SLOW_MAX)
        self._proof_s = PROOF_S
        self._since = 0.0  # when the present trial in the lane began
        self._calls = self._slow_calls = 0

    def blocked(self, took_s: float, now: float) -> bool:
        """Notes a request that has blocked the loop for more than `SLOW_S`; whether there are too many of them."""
        self._slow.append(now)
        return took_s >= STUCK_S or (len(self._slow) == SLOW_MAX and now - self._slow[0] <= WINDOW_S)

    def enter(self, now: float) -> None:
        """The calls have moved to a lane."""
        self._slow.clear()
        self._begin_trial(now)

    def called(self, took_s: float, now: float) -> bool:
        """Notes a call in the lane; whether they have all been fast for long enough, but for a few."""
        self._calls += 1
        self._slow_calls += took_s > FAST_S
        if self._slow_calls >= SLOW_MAX or took_s >= STUCK_S:
            self._begin_trial(now)
            return False
        if now - self._since < self._proof_s or self._calls < PROOF_CALLS:
            return False
        self._proof_s = min(2 * self._proof_s, PROOF_MAX_S)
        return True

    def _begin_trial(self, now: float) -> None:
        self._since = now
        self._calls = self._slow_calls = 0


class RunDelay:
    """How long the calling thread has waited for a processor, which is no fault of a disk (/proc/pid/schedstat in
    proc(5))."""

    def __init__(self) -> None:
        try:
            self._fd = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._fd = -1
        self._before_s = self._total_s()

    def _total_s(self) -> float:
        try:
            fields = os.pread(self._fd, 100, 0).split()
            return int(fields[1]) / 1e9
        except (OSError, IndexError, ValueError):  # a kernel without these statistics
            return 0.0

    def since_last(self) -> float:
        """Seconds since the previous call of this method."""
        total_s = self._total_s()
        passed_s, self._before_s = total_s - self._before_s, total_s
        return passed_s

    def close(self) -> None:
        """Closes the file of the kernel."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
