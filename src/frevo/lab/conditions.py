"""How one direction of a path treats datagrams, and what it has done with them."""

from __future__ import annotations

import msgspec

#: No delay may be longer.
_SECONDS_MAX = 3600.0
#: IP and UDP headers need this much, and nothing fits into less.
_MTU_MIN = 68


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """The properties of one direction. The defaults change nothing. ValueError if a value is out of range."""

    #: Shares of all datagrams, 0 to 1: lost, sent twice, and held back so that later ones overtake them.
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    #: Seconds from one end to the other; a round trip takes that of both directions.
    delay_s: float = 0.0
    #: Up to this many seconds more, drawn for each datagram. It does not change their order.
    jitter_s: float = 0.0
    #: For how long a reordered datagram is held back: from half of this to all of it.
    hold_s: float = 0.004
    #: Bytes of the largest IP packet; larger ones disappear without an answer. 0: no limit.
    mtu: int = 0
    #: Bits per second, with IP and UDP headers. 0: no limit.
    rate: float = 0.0
    #: Seconds that a datagram may wait because of `rate`; what would have to wait longer is dropped.
    queue_s: float = 0.1

    def __post_init__(self) -> None:
        for name in ("loss", "duplicate", "reorder"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, not a share from 0 to 1")
        for name in ("delay_s", "jitter_s", "hold_s", "queue_s"):
            if not 0 <= getattr(self, name) <= _SECONDS_MAX:
                raise ValueError(f"{name} is {getattr(self, name)}, not from 0 to {_SECONDS_MAX:.0f} seconds")
        if self.mtu and not _MTU_MIN <= self.mtu <= 65535:
            raise ValueError(f"mtu is {self.mtu}, not from {_MTU_MIN} to 65535 bytes")
        if not 0 <= self.rate < float("inf"):
            raise ValueError(f"rate is {self.rate}, not a number of bits per second")


class Counts(msgspec.Struct, kw_only=True):
    """Datagrams of one direction since the path began. `received` is the sum of the others but `duplicated`,
    `held` and `missed`.
    """

    received: int = 0
    passed: int = 0  # on their way, or there
    bytes: int = 0  # of those that passed, without headers
    lost: int = 0
    duplicated: int = 0
    held: int = 0  # so that later ones overtake them
    too_large: int = 0  # for the MTU
    overflowed: int = 0  # the queue before the rate limit, or the system's send buffer
    missed: int = 0  # never received, because the path's own buffer was full; a run sent by GSO counts as one
