"""Slows down password guessing without locking anyone out.

After a few failures from one address for one account, every further verdict (even for the right password) is delayed:
one per `interval_s`. So guessing in parallel is no faster. An address as a whole has a larger allowance, for all
accounts together. From other addresses, the account can be used as before.
"""

from __future__ import annotations

import functools
import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Hashable

#: Longest delay of a result; beyond it, the log-on is refused without one.
WAIT_MAX_S = 10.0
#: Failures that an address may have for all accounts together, as a multiple of those for one.
ADDRESS_FREE, ADDRESS_RATE = 10, 5
#: Longest delay for an account at an address with too many failures, if that address has not failed for this account
#: lately: each such account has one guess of its own.
PLACE_WAIT_S = 3.0
#: Entries of each table; the ones that have been quiet for longest go first.
ENTRIES_MAX = 8192
_NAME_MAX = 64
#: Sums of fractions are not exact: less than this is nothing.
_SHORTEST_S = 0.001
_IPV6_NETWORK_BITS = 64


class FailedLogons:
    """Failures by address and account, stored as the time when the debt is paid (`clock` is monotonic)."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._even: tuple[OrderedDict[Hashable, float], ...] = (OrderedDict(), OrderedDict())

    def __len__(self) -> int:
        return sum(map(len, self._even))

    def wait_s(self, address: str, account: str, *, free: int, interval_s: float) -> float:
        """Seconds to delay the next verdict for *account* from *address*.

        The first *free* failures cost nothing; each further verdict must be *interval_s* after the one before.
        """
        if free > 0 and not any(self._even):
            return 0.0
        now, wait = self._clock(), 0.0
        (table, key, _), _ = places = self._places(address, account)
        unspoilt = table.get(key, now) <= now
        for table, key, scale in places:
            allowed = free * (ADDRESS_FREE if scale else 1) * self._step(interval_s, scale)
            due = table.get(key, now) - now - allowed + self._step(interval_s, scale)
            wait = max(wait, min(due, PLACE_WAIT_S) if scale and unspoilt else due)
        return wait if wait >= _SHORTEST_S else 0.0

    def failed(self, address: str, account: str, *, interval_s: float) -> None:
        """Count a failure whose verdict is sent now or after its delay."""
        now = self._clock()
        for table, key, scale in self._places(address, account):
            even = max(table.pop(key, now), now)
            while table and (len(table) >= ENTRIES_MAX or next(iter(table.values())) <= now):
                table.popitem(last=False)
            table[key] = even + self._step(interval_s, scale)

    def succeeded(self, address: str, account: str) -> None:
        """Forget earlier mistyped passwords: the user has proved to know the password."""
        if self._even[0]:
            table, key, _ = self._places(address, account)[0]
            table.pop(key, None)

    def _places(
        self, address: str, account: str
    ) -> tuple[tuple[OrderedDict[Hashable, float], Hashable, bool], ...]:
        source = source_of(address)
        pair = (source, account.casefold()[:_NAME_MAX])
        return (self._even[0], pair, False), (self._even[1], source, True)

    @staticmethod
    def _step(interval_s: float, scale: bool) -> float:
        return interval_s / ADDRESS_RATE if scale else interval_s


@functools.lru_cache(maxsize=1024)
def source_of(address: str) -> str:
    """The source that an address belongs to: itself, or for IPv6 the 64-bit network that one machine can have to
    itself."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), _IPV6_NETWORK_BITS), strict=False))
