"""One direction of a path: when each datagram arrives, if it does. Without sockets and without a clock."""

from __future__ import annotations

from random import Random
from typing import TypeAlias

from frevo.lab.conditions import Conditions, Counts

#: What chance decides about one datagram: copies (0: it is lost), seconds of jitter, seconds for which it is held back
#: while later ones overtake it. A plain tuple, as there is one for each datagram.
Fate: TypeAlias = tuple[int, float, float]


class Fates:
    """The fates of the datagrams of one flow in one direction, one after the other.

    The n-th fate follows from the seed, flow, direction and conditions alone. Each takes the same number of draws, so
    that more loss, for example, does not change which datagrams are reordered.
    """

    def __init__(self, seed: int, flow: int, direction: str) -> None:
        # Python promises the same numbers for the same text in all versions, unlike for hash().
        self._draw = Random(f"{seed} {flow} {direction}").random

    def next(self, conditions: Conditions) -> Fate:
        """The fate of the next datagram."""
        draw = self._draw
        lost, twice, overtaken, far = draw(), draw(), draw(), draw()
        copies = 0 if lost < conditions.loss else 2 if twice < conditions.duplicate else 1
        hold_s = conditions.hold_s * (0.5 + far / 2) if overtaken < conditions.reorder else 0.0
        return copies, far * conditions.jitter_s, hold_s


class Line:
    """One direction: a queue, a wire, and the counts of what went through. All flows share them."""

    def __init__(self, conditions: Conditions, header_bytes: int) -> None:
        """*header_bytes*: of IP and UDP, which count for MTU and rate."""
        self.conditions = conditions
        self.counts = Counts()
        self._header_bytes = header_bytes
        self._free_at = 0.0  # when everything queued has left
        self._last_at = 0.0  # the latest arrival so far, of those that are not held back

    def arrivals(self, size: int, fates: Fates, now: float) -> tuple[float, ...]:
        """When a datagram of *size* bytes arrives that is sent at *now*: once, twice, or not at all."""
        conditions, counts = self.conditions, self.counts
        counts.received += 1
        copies, jitter_s, hold_s = fates.next(conditions)
        packet = size + self._header_bytes
        if conditions.mtu and packet > conditions.mtu:
            counts.too_large += 1
            return ()
        if not copies:
            counts.lost += 1
            return ()
        at = now
        if conditions.rate:
            begins = max(now, self._free_at)
            if begins - now > conditions.queue_s:
                counts.overflowed += 1
                return ()
            at = self._free_at = begins + packet * 8 / conditions.rate
        at += conditions.delay_s + jitter_s
        if at < self._last_at:  # jitter, and changed conditions, keep the order
            at = self._last_at
        if hold_s:
            counts.held += 1
            at += hold_s
        else:
            self._last_at = at
        counts.passed += 1
        counts.bytes += size
        if copies == 1:
            return (at,)
        counts.duplicated += 1
        return (at, at)
