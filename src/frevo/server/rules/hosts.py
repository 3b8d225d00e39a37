"""The machines that may connect: `hosts allow` and `hosts deny` of [global] apply to new connections, those of a share
to TREE_CONNECT. A refused connection is closed before anything from it is processed.

Names are looked up in separate threads, and only if a list has names; messages from the client wait meanwhile. A name
only counts if it resolves back to the client's address, so control of the reverse zone is not enough to claim a name.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from frevo.config import Config
from frevo.config.hosts import Address, Host, hosts_allowed, parse_address
from frevo.transport.base import MOVED

if TYPE_CHECKING:
    from frevo.config import ShareConfig
    from frevo.server.core.server import Server
    from frevo.server.core.state import Connection

log = logging.getLogger("frevo.server")

_Event = tuple[Any, ...]  # frevo.transport.base

LOOKUP_TIMEOUT_S = 5.0
#: How long names are cached.
REMEMBERED_S = 60.0
REMEMBERED_MAX = 4096
#: Most connections that wait for their names, and most messages of each; further ones are closed.
WAITING_MAX = 256
MESSAGES_MAX = 8
_THREADS = 4
#: A refused address is logged once in this many seconds.
_TOLD_AGAIN_S = 60.0


def host_of(peer: str, names: frozenset[str] | None = None) -> Host:
    """The address in the peer of a transport, `ip:port` or `[ip]:port`; that of this machine for all others."""
    return Host(parse_address(peer.rpartition(":")[0].strip("[]")), names)


def peer_of(event: _Event) -> str:
    """The client's address in an ACCEPTED or MOVED event."""
    return str(event[2] if event[0] == MOVED else event[3])


def share_allows(share: ShareConfig, connection: Connection) -> bool:
    """Whether the lists of the share allow the machine of this connection."""
    if not share.hosts_allow and not share.hosts_deny:
        return True
    return hosts_allowed(share.hosts_allow, share.hosts_deny, host_of(connection.peer, connection.host_names))


def _lists_names(config: Config) -> tuple[bool, frozenset[str]]:
    """Whether any list has names, and the literal ones."""
    wanted: set[str] = set()
    needed = False
    for share in (config.globals.defaults, *config.shares.values()):
        for hosts in (share.hosts_allow, share.hosts_deny):
            if hosts and hosts.needs_names:
                needed = True
                wanted |= hosts.exact_names
    return needed, frozenset(wanted)


class HostGate:
    """Admits or refuses each new connection: at once, or when the names of its machine are known."""

    def __init__(
        self,
        server: Server,
        admit: Callable[[_Event, frozenset[str] | None], None],
        deliver: Callable[[list[_Event]], None],
        turn_away: Callable[[int], None],
    ) -> None:
        """*admit* gets the ACCEPTED or MOVED event of an admitted connection and the names of its machine, *deliver*
        what it has sent meanwhile, *turn_away* the number of a refused one."""
        self._server, self._admit, self._deliver = server, admit, deliver
        self._turn_away = turn_away
        self._waiting: dict[int, list[_Event]] = {}  # connection to its ACCEPTED and later events
        self._known: OrderedDict[tuple[Address, frozenset[str]], tuple[float, frozenset[str]]] = OrderedDict()
        self._lookups: dict[tuple[Address, frozenset[str]], asyncio.Task[frozenset[str]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._pool: ThreadPoolExecutor | None = None
        self._told: dict[Address | None, float] = {}
        self.take(server.config)

    def take(self, config: Config) -> None:
        """Takes a new configuration."""
        self._needs_names, self._wanted = _lists_names(config)

    def arrived(self, event: _Event) -> None:
        """Admits or refuses an accepted connection, or one that has moved, or makes it wait for its names."""
        defaults = self._server.config.globals.defaults
        if not self._needs_names:
            if not defaults.hosts_allow and not defaults.hosts_deny:
                self._admit(event, None)
            else:
                self._decide(event, host_of(peer_of(event)))
            return
        address = host_of(peer_of(event)).address
        if address is None:
            self._decide(event, Host(None, frozenset()))
            return
        key = (address, self._wanted)
        known = self._known.get(key)
        if known is not None and known[0] > self._server.monotonic():
            self._decide(event, Host(address, known[1]))
        elif len(self._waiting) >= WAITING_MAX:
            self._refuse(event, address, "too many connections are waiting for host names")
        else:
            self._waiting[event[1]] = [event]
            task = self._server.loop.create_task(self._look_up(event, key))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def held(self, event: _Event) -> None:
        """Keeps an event of a connection that waits here."""
        waiting = self._waiting.get(event[1])
        if waiting is None:
            return
        waiting.append(event)
        if len(waiting) > MESSAGES_MAX + 1:
            del self._waiting[event[1]]
            self._server.transport.close(event[1], abort=True)

    def gone(self, number: int) -> None:
        """A connection has ended."""
        self._waiting.pop(number, None)

    def close(self) -> None:
        """Ends the look-ups and closes the connections that wait."""
        for number in self._waiting:
            self._server.transport.close(number, abort=True)
        self._waiting.clear()
        for task in (*self._tasks, *self._lookups.values()):
            task.cancel()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    async def _look_up(self, event: _Event, key: tuple[Address, frozenset[str]]) -> None:
        number = event[1]
        names = await self._names(key)
        waiting = self._waiting.get(number)
        if waiting is None or waiting[0] is not event:  # it has ended, sent too much, or moved on
            return
        del self._waiting[number]
        self._decide(event, Host(key[0], names))
        self._deliver(waiting[1:])

    async def _names(self, key: tuple[Address, frozenset[str]]) -> frozenset[str]:
        """The names of an address; none if there is no answer in time. All who wait for an address share one
        look-up."""
        task = self._lookups.get(key)
        if task is None:
            task = self._lookups[key] = self._server.loop.create_task(self._ask(key))
            task.add_done_callback(lambda _: self._lookups.pop(key, None))
        return await asyncio.shield(task)

    async def _ask(self, key: tuple[Address, frozenset[str]]) -> frozenset[str]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_THREADS, "frevo-names")
        answer = self._server.loop.run_in_executor(self._pool, names_of, *key)
        try:
            names = await asyncio.wait_for(answer, LOOKUP_TIMEOUT_S)
        except TimeoutError:
            log.warning("no answer for the host name of %s in %g seconds", key[0], LOOKUP_TIMEOUT_S)
            return frozenset()
        self._known[key] = (self._server.monotonic() + REMEMBERED_S, names)
        while len(self._known) > REMEMBERED_MAX:
            self._known.popitem(last=False)
        return names

    def _decide(self, event: _Event, host: Host) -> None:
        defaults = self._server.config.globals.defaults
        if hosts_allowed(defaults.hosts_allow, defaults.hosts_deny, host):
            self._admit(event, host.names)
        else:
            self._refuse(event, host.address, "by `hosts allow` and `hosts deny`")

    def _refuse(self, event: _Event, address: Address | None, reason: str) -> None:
        self._turn_away(event[1])
        now = self._server.monotonic()
        if self._told.get(address, 0.0) > now:
            return
        if len(self._told) >= REMEMBERED_MAX:
            self._told.clear()
        self._told[address] = now + _TOLD_AGAIN_S
        log.warning("%s refused: %s", peer_of(event), reason)


def names_of(address: Address, wanted: frozenset[str]) -> frozenset[str]:
    """The names of *address*, in lower case: those of *wanted* that resolve to it, and that of its reverse entry if it
    resolves back. Blocks until the resolver has answered."""
    names = {name for name in wanted if _leads_to(name, address)}
    try:
        reverse = socket.getnameinfo((str(address), 0), socket.NI_NAMEREQD)[0]
    except OSError:
        return frozenset(names)
    if _leads_to(reverse, address):
        names.add(reverse.lower().rstrip("."))
    return frozenset(names)


def _leads_to(name: str, address: Address) -> bool:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return any(parse_address(str(entry[4][0])) == address for entry in found)
