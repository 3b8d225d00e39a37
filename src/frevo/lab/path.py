"""DatagramPath: a thread that passes datagrams between clients and a server, as badly as it is told."""

from __future__ import annotations

import heapq
import itertools
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Literal, Self

from frevo.lab import batches
from frevo.lab.batches import Address, Datagram
from frevo.lab.conditions import Conditions, Counts
from frevo.lab.line import Fates, Line

Direction = Literal["up", "down"]  # to the server, and back

#: Bytes of IP and UDP headers.
_HEADERS: dict[int, int] = {socket.AF_INET: 28, socket.AF_INET6: 48}
#: Clients that the path can tell apart; a further one replaces the one that has been silent for longest.
_FLOWS_MAX = 512
#: Calls that receive from one socket before the others have their turn.
_RECEIVE_MAX = 32
_COMMAND_TIMEOUT_S = 30.0


class _Flow:
    """One client's address, and the socket that stands for it towards the server."""

    __slots__ = ("client", "down", "missed", "number", "socket", "up")

    def __init__(self, number: int, client: Address, towards: socket.socket, seed: int) -> None:
        self.number = number
        self.client = client
        self.socket = towards
        self.missed = 0
        self.up, self.down = Fates(seed, number, "up"), Fates(seed, number, "down")


class DatagramPath:
    """A UDP path to a server: clients send to `host` and `port` of this object instead.

    To the server, every client looks like an address of this machine, as behind a NAT. `rebind` changes that address
    while the client goes on. The fate of a flow's n-th datagram depends on *seed* alone; flows are numbered as they
    appear. Times are exact to a millisecond. ECN marks are lost on the way, which QUIC allows for (RFC 9000, 13.4.2).

    Use it as a context manager, or call `start` and `close`. All methods may be called from any thread.
    """

    def __init__(
        self,
        server: tuple[str, int],
        up: Conditions | None = None,
        down: Conditions | None = None,
        *,
        listen: tuple[str, int] = ("127.0.0.1", 0),
        seed: int = 0,
        rebind_every_s: float = 0.0,
    ) -> None:
        """*up*: conditions towards the server; *down*: back, the same by default. *listen*: port 0 takes a free one.

        Names are resolved here. OSError if one does not exist, or if *listen* cannot be used.
        """
        self.seed = seed
        self.rebindings = 0
        up = up or Conditions()
        family, self._server = _resolved(server)
        listen_family, address = _resolved(listen)
        self._clients = batches.open_socket(listen_family)
        try:
            self._clients.bind(address)
        except OSError:
            self._clients.close()
            raise
        self._family = family
        self.host, self.port = self._clients.getsockname()[:2]
        self._lines: dict[Direction, Line] = {
            "up": Line(up, _HEADERS[family]),
            "down": Line(down or up, _HEADERS[listen_family]),
        }
        self._rebind_every_s = rebind_every_s
        self._source: str | None = None  # the address of the sockets towards the server
        self._flows: dict[Address, _Flow] = {}  # those heard of last are last
        self._by_descriptor: dict[int, _Flow] = {}
        self._numbers = itertools.count()
        self._coming: list[tuple[float, int, _Flow, Direction, Datagram]] = []  # a heap, by time and order
        self._order = itertools.count()
        self._senders = {way: batches.Sender(line.counts) for way, line in self._lines.items()}
        self._watched: list[tuple[Counts, int, Callable[[], object]]] = []
        self._commands: deque[tuple[Future[Any], Callable[[], object]]] = deque()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll = select.epoll()
        self._ended = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._guarded, name="datagram-path", daemon=True)

    def __repr__(self) -> str:
        up, down = self._lines["up"], self._lines["down"]
        conditions = (
            f"{up.conditions}" if up.conditions == down.conditions else f"{up.conditions}, {down.conditions}"
        )
        return f"<path {self.host}:{self.port} to {self._server[0]}:{self._server[1]}, seed {self.seed}, {conditions}>"

    # -- what a program does

    def start(self) -> Self:
        """Begins to pass datagrams on."""
        self._epoll.register(self._bell, select.EPOLLIN)
        self._epoll.register(self._clients, select.EPOLLIN)
        self._thread.start()
        return self

    def close(self) -> None:
        """Stops; datagrams on their way are lost. Raises what ended the path before, if anything did."""
        if self._thread.is_alive():
            self._ended = True
            os.eventfd_write(self._bell, 1)
            self._thread.join()
        for flow in self._flows.values():
            flow.socket.close()
        self._flows.clear()
        self._coming.clear()
        self._clients.close()
        self._epoll.close()
        if self._bell >= 0:
            os.close(self._bell)
            self._bell = -1
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def running(self) -> bool:
        """Whether datagrams are passed on: after `start`, until `close` or an error that `close` will raise."""
        return self._thread.is_alive()

    @property
    def up(self) -> Counts:
        """What has become of the datagrams to the server."""
        return self._lines["up"].counts

    @property
    def down(self) -> Counts:
        """What has become of the datagrams to clients."""
        return self._lines["down"].counts

    def change(self, up: Conditions, down: Conditions | None = None) -> None:
        """New conditions for datagrams from now on; those on their way keep theirs."""

        def set_both() -> None:
            self._lines["up"].conditions, self._lines["down"].conditions = up, down or up

        self._do(set_both)

    def rebind(self, source: str | None = None) -> None:
        """Lets every client appear at a new port, and at the address *source* if given (127.0.0.2, for example).

        What the server sends to the old one is lost, as behind a NAT that has forgotten it. OSError if this machine
        does not have the address.
        """
        self._do(lambda: self._rebind(source))

    def when(self, direction: Direction, datagrams: int, action: Callable[[], object]) -> None:
        """Calls *action* once, from the path's thread, when so many more datagrams have come in that direction.

        It may call the other methods, and must not block.
        """
        counts = self._lines[direction].counts
        self._do(lambda: self._watched.append((counts, counts.received + datagrams, action)))

    # -- the thread

    def _do(self, action: Callable[[], object]) -> None:
        """Calls *action* in the thread, and waits for it."""
        if threading.current_thread() is self._thread or not self._thread.is_alive():
            action()
            return
        done: Future[Any] = Future()
        self._commands.append((done, action))
        os.eventfd_write(self._bell, 1)
        done.result(_COMMAND_TIMEOUT_S)

    def _guarded(self) -> None:
        try:
            self._run()
        except BaseException as error:
            self._failure = error

    def _run(self) -> None:
        next_rebinding = time.monotonic() + self._rebind_every_s
        while not self._ended:
            now = time.monotonic()
            due = [next_rebinding] if self._rebind_every_s else []
            due += [self._coming[0][0]] if self._coming else []
            ready = self._epoll.poll(max(0.0, min(due) - now) if due else None)
            now = time.monotonic()
            self._deliver(now)
            for descriptor, _ in ready:
                if descriptor == self._bell:
                    self._carry_out()
                elif descriptor == self._clients.fileno():
                    self._from_clients(now)
                elif flow := self._by_descriptor.get(descriptor):
                    self._from_server(flow, now)
            self._flush()
            if self._watched:
                self._look()
            if self._rebind_every_s and now >= next_rebinding:
                self._rebind(self._source)
                next_rebinding = now + self._rebind_every_s

    def _carry_out(self) -> None:
        os.eventfd_read(self._bell)
        while self._commands:
            done, action = self._commands.popleft()
            try:
                done.set_result(action())
            except Exception as error:
                done.set_exception(error)

    def _look(self) -> None:
        reached = [watch for watch in self._watched if watch[0].received >= watch[1]]
        self._watched = [watch for watch in self._watched if watch not in reached]
        for _, _, action in reached:
            action()

    def _from_clients(self, now: float) -> None:
        for received in batches.waiting(self._clients, _RECEIVE_MAX):
            self.up.missed = received.missed
            flow = self._flows.pop(received.sender, None) or self._begin(received.sender)
            self._flows[received.sender] = flow
            self._pass_on(flow, "up", received.datagrams, now)

    def _from_server(self, flow: _Flow, now: float) -> None:
        for received in batches.waiting(flow.socket, _RECEIVE_MAX):
            self.down.missed += received.missed - flow.missed
            flow.missed = received.missed
            self._pass_on(flow, "down", received.datagrams, now)

    def _pass_on(self, flow: _Flow, direction: Direction, datagrams: list[Datagram], now: float) -> None:
        line, fates = self._lines[direction], flow.up if direction == "up" else flow.down
        for datagram in datagrams:
            for at in line.arrivals(len(datagram), fates, now):
                if at <= now:  # all that came before it has been delivered
                    self._send(flow, direction, datagram)
                else:
                    heapq.heappush(self._coming, (at, next(self._order), flow, direction, datagram))

    def _deliver(self, now: float) -> None:
        while self._coming and self._coming[0][0] <= now:
            _, _, flow, direction, datagram = heapq.heappop(self._coming)
            self._send(flow, direction, datagram)

    def _send(self, flow: _Flow, direction: Direction, datagram: Datagram) -> None:
        if direction == "down":
            self._senders[direction].send(self._clients, flow.client, datagram)
        elif flow.socket.fileno() >= 0:  # else the flow has been replaced meanwhile
            self._senders[direction].send(flow.socket, None, datagram)

    def _flush(self) -> None:
        for sender in self._senders.values():
            sender.flush()

    # -- flows

    def _towards_server(self, source: str | None) -> socket.socket:
        made = batches.open_socket(self._family)
        try:
            if source is not None:
                made.bind((source, 0))
            made.connect(self._server)
            self._epoll.register(made, select.EPOLLIN)
        except OSError:
            made.close()
            raise
        return made

    def _begin(self, client: Address) -> _Flow:
        if len(self._flows) >= _FLOWS_MAX:
            oldest = self._flows.pop(next(iter(self._flows)))
            self._flush()
            del self._by_descriptor[oldest.socket.fileno()]
            oldest.socket.close()
        flow = _Flow(next(self._numbers), client, self._towards_server(self._source), self.seed)
        self._by_descriptor[flow.socket.fileno()] = flow
        return flow

    def _rebind(self, source: str | None) -> None:
        self._flush()
        source = source if source is not None else self._source
        for flow in self._flows.values():
            made = self._towards_server(source)  # before the old one is closed, so that the port is another
            del self._by_descriptor[flow.socket.fileno()]
            flow.socket.close()
            flow.socket, flow.missed = made, 0
            self._by_descriptor[made.fileno()] = flow
        self._source = source
        self.rebindings += 1


def _resolved(address: tuple[str, int]) -> tuple[int, Address]:
    """The family and the numeric form of host and port."""
    try:
        family, _, _, _, found = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0]
    except socket.gaierror as error:
        error.filename = address[0]
        raise
    return family, found
