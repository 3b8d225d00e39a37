"""Both ends of a connection in one process, without sockets or threads: the code that runs behind the
sockets.

`MemoryTransport` is a `frevo.transport.base.Transport`; `connect` gives the client's end. Nothing happens by itself:
bytes move when a test calls, and every event is delivered before the call returns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from frevo._native import ConnectionSettings, Core, SessionKeys, SessionOpens
from frevo.transport.base import ACCEPTED, CLOSED, MOVED, SECURED, Event, Message, OnEvents, Secured
from frevo.transport.traits import MEMORY, TransportTraits

if TYPE_CHECKING:
    from frevo.transport.base import Limits

_LISTENER = 1


class MemoryTransport:
    """The server's side of any number of connections in memory."""

    def __init__(
        self,
        *,
        traits: TransportTraits = MEMORY,
        limits: Limits | None = None,
        secured: Secured | None = None,
    ) -> None:
        """*traits*: the transport that it stands for; *secured*: what its handshake with TLS comes to."""
        self._traits = traits
        #: What is sent by RDMA has no bytes between messages, but here it needs some.
        self._framing = traits.framing
        self._secured = secured
        self._limits = limits
        self._cores: dict[int, Core] = {}
        self._next = 1
        #: The users with too many unread responses, set by the test: no response waits here for long.
        self.over: set[int] = set()
        self._fast_echo = True
        self._on_events: OnEvents | None = None

    def start(self, on_events: OnEvents) -> None:
        """Delivers events from now on."""
        self._on_events = on_events

    def connect(self, peer: str = "memory:1") -> MemoryLink:
        """A new connection, reported as ACCEPTED."""
        number, self._next = self._next, self._next + 1
        core = Core(connection=number, framing=self._framing, role="server", limits=self._limits)
        core.fast_echo(self._fast_echo)
        self._cores[number] = core
        events: list[Event] = [(ACCEPTED, number, _LISTENER, peer, "memory:0")]
        if (secured := self._secured) is not None:
            events.append((SECURED, number, *msgspec.structs.astuple(secured)))
        self._deliver(events)
        return MemoryLink(self, number, core, Core(connection=number, framing=self._framing, role="client"))

    def move(self, connection: int, peer: str) -> None:
        """Reports that the client of a connection has another address."""
        self._deliver([(MOVED, connection, peer)])

    def listener_name(self, listener: int) -> str:
        """The transport that it stands for."""
        return self._traits.name

    def _deliver(self, batch: list[Event]) -> None:
        for event in batch:
            if event[0] == CLOSED:
                self._cores.pop(event[1], None)
        if batch and self._on_events is not None:
            self._on_events(batch)

    def submit(self, connection: int, session_id: int, flags: int, message: Message) -> None:
        """Queues a message; the link's `receive` has it."""
        if core := self._cores.get(connection):
            core.submit([(connection, session_id, flags, message)])

    def set_session(
        self, connection: int, session_id: int, keys: SessionKeys, opens: SessionOpens | None = None
    ) -> None:
        """Gives a session its keys on a connection, and the opens that are answered for."""
        if core := self._cores.get(connection):
            core.set_session(session_id, keys, opens)

    def drop_session(self, connection: int, session_id: int) -> None:
        """Removes a session from a connection."""
        if core := self._cores.get(connection):
            core.drop_session(session_id)

    def set_connection(self, connection: int, settings: ConnectionSettings) -> None:
        """Sets the negotiated values of a connection."""
        if core := self._cores.get(connection):
            core.set_connection(settings)

    @property
    def pressed(self) -> bool:
        """Whether `over` has any users."""
        return bool(self.over)

    def is_over(self, user: int) -> bool:
        """Whether *user* is in `over`."""
        return user in self.over

    def fast_echo(self, on: bool) -> None:
        """Whether ECHO is answered without the server."""
        self._fast_echo = on
        for core in self._cores.values():
            core.fast_echo(on)

    def close(self, connection: int, *, abort: bool = False) -> None:
        """Ends a connection; CLOSED comes with the next bytes that are moved."""
        if core := self._cores.get(connection):
            core.close()

    def smb_direct(self, connection: int) -> dict[str, Any] | None:
        """Nothing: messages come without it."""
        return None

    def statistics(self) -> dict[str, int]:
        """The counters of all connections together."""
        total: dict[str, int] = {}
        for core in self._cores.values():
            for name, value in core.statistics().items():
                total[name] = total.get(name, 0) + value
        return total


class MemoryLink:
    """The client's end of a connection in memory."""

    def __init__(self, transport: MemoryTransport, number: int, server: Core, client: Core) -> None:
        self._transport = transport
        self.number = number
        self._server = server
        #: The client's half of the data plane: keys are set on it, messages are encrypted and framed by it.
        self.client = client

    @property
    def closed(self) -> bool:
        """True once the server has ended the connection (there may be output left to receive)."""
        return self._server.closing

    def send(self, data: bytes) -> None:
        """Gives raw bytes to the server, whose handlers run before this returns."""
        self._transport._deliver(self._server.feed(data))

    def receive(self) -> bytes:
        """What the server has sent so far, raw."""
        out = b""
        while chunk := self._server.take_output():
            out += chunk
            self._transport._deliver(self._server.resume())
        return out

    def submit(self, session_id: int, flags: int, message: Message) -> None:
        """Sends one message of the client, signed or encrypted by its keys."""
        self.client.submit([(self.number, session_id, flags, message)])
        self.send(self.client.take_output())

    def messages(self) -> list[Event]:
        """The MESSAGE events (and finally CLOSED) of the client for the server's bytes."""
        return self.client.feed(self.receive())
