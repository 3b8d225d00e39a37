"""The data plane's Rust threads on one side, the event loop on the other."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from frevo._native import (
    ConnectionSettings,
    Credits,
    DataPlane,
    Pump,
    PumpSettings,
    SessionKeys,
    SessionOpens,
)
from frevo.aio.features import wished_for
from frevo.transport.base import Message, OnEvents
from frevo.transport.traits import QUIC, TRANSPORTS

if TYPE_CHECKING:
    from frevo._native import QuicClientTls, QuicServerTls, RdmaConnection, RdmaListener, SmbDirect
    from frevo.transport.base import Limits

_EVENTS_MAX = 1024
#: After this many events in a row, everything else on the loop gets its turn.
_EVENTS_PER_TURN = 64
#: The same after this many seconds, whatever the number of events.
_TURN_S = 0.01


class DataPlaneTransport:
    """A `frevo.transport.base.Transport` over real sockets.

    Events come in batches from one eventfd; what is submitted during a batch, or else during one turn of the
    loop, crosses to the threads in one call. Not thread-safe: everything is called on the loop.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        threads: int,
        engine: str = "auto",
        role: str = "server",
        read_path: str = "auto",
        write_path: str = "auto",
        splice: str = "auto",
        limits: Limits | None = None,
    ) -> None:
        self._loop = loop
        engine = wished_for(engine)
        self._plane = DataPlane(
            threads=threads,
            engine=engine,
            role=role,
            read_path=read_path,
            write_path=write_path,
            splice=splice,
            limits=limits,
        )
        self._names: dict[int, str] = {}
        self._pending: list[tuple[int, int, int, Message]] = []
        self._last: list[tuple[int, int, int, Message]] = []
        self._flush_scheduled = False
        self._on_events: OnEvents | None = None
        self._down = False

    @property
    def engine(self) -> str:
        """The engine that runs: uring or epoll."""
        return self._plane.engine

    @property
    def read_path(self) -> str:
        """How large responses are sent: plain, async, zerocopy or splice."""
        return self._plane.read_path

    @property
    def unused_read_paths(self) -> dict[str, str]:
        """Of each other way its name and why it is not used."""
        return self._plane.unused_read_paths

    @property
    def write_path(self) -> str:
        """How the data of large WRITEs reach their file: plain, fixed or splice."""
        return self._plane.write_path

    @property
    def unused_write_paths(self) -> dict[str, str]:
        """Of each other way its name and why it is not used."""
        return self._plane.unused_write_paths

    def start(self, on_events: OnEvents) -> None:
        """Delivers events from now on."""
        self._on_events = on_events
        self._loop.add_reader(self._plane.eventfd, self._deliver)

    def listen(self, listener: socket.socket, name: str, direct: SmbDirect | None = None) -> int:
        """Accepts connections of a listening socket from now on, by the rules of transport *name*; its
        number. *direct*: of SMB Direct.

        The socket is taken over: this process's other descriptor of it is closed.
        """
        number = self._plane.listen(listener.fileno(), direct or TRANSPORTS[name].framing)
        listener.close()
        self._names[number] = name
        return number

    def adopt(self, connected: socket.socket, name: str, direct: SmbDirect | None = None) -> int:
        """Takes over a connected socket, by the rules of transport *name*; its number. No ACCEPTED is
        reported. *direct*: of SMB Direct."""
        number = self._plane.adopt(connected.fileno(), direct or TRANSPORTS[name].framing)
        connected.close()
        return number

    def listen_rdma(self, listener: RdmaListener, name: str, direct: SmbDirect) -> int:
        """Accepts connections at RDMA cards from now on, by the rules of transport *name*; its number. The listener
        is taken over."""
        number = self._plane.listen_rdma(listener, direct)
        self._names[number] = name
        return number

    def adopt_rdma(self, connection: RdmaConnection) -> int:
        """Takes over a connection over an RDMA card; its number. No ACCEPTED is reported."""
        return self._plane.adopt_rdma(connection)

    def listen_quic(self, sockets: Sequence[socket.socket], tls: QuicServerTls) -> int:
        """Accepts QUIC connections on bound UDP sockets of one address from now on; the listener's number.

        One socket for each I/O thread (SO_REUSEPORT). They are taken over.
        """
        number = self._plane.listen_quic([one.fileno() for one in sockets], tls)
        for one in sockets:
            one.close()
        self._names[number] = QUIC.name
        return number

    def listen_quic_kernel(self, bound: socket.socket, tls: QuicServerTls) -> int:
        """The same on a bound QUIC socket of the kernel. OSError if it cannot listen."""
        number = self._plane.listen_quic_kernel(bound.fileno(), tls)
        bound.close()
        self._names[number] = QUIC.name
        return number

    def set_quic_tls(self, listener: int, tls: QuicServerTls) -> None:
        """What a QUIC listener presents and demands from now on; live connections of a client that it denies end."""
        self._plane.set_quic_tls(listener, tls)

    def connect_quic(self, udp: socket.socket, host: str, port: int, tls: QuicClientTls) -> int:
        """Begins a QUIC connection on a new UDP socket, which stays the caller's; its number.

        *host* is a numeric address. SECURED reports that the handshake is done, CLOSED that it failed.
        """
        return self._plane.connect_quic(udp.fileno(), host, port, tls)

    def connect_quic_kernel(self, quic: socket.socket, host: str, port: int, tls: QuicClientTls) -> int:
        """The same on a new QUIC socket of the kernel. OSError if there is no way to the host."""
        return self._plane.connect_quic_kernel(quic.fileno(), host, port, tls)

    def close_listeners(self) -> None:
        """Stops accepting; connections stay."""
        for number in self._names:
            self._plane.close_listener(number)

    def listener_name(self, listener: int) -> str:
        """The transport of a listener."""
        return self._names[listener]

    # -- events in, submissions out ----------------------------------------------------------------------

    def _deliver(self) -> None:
        """Delivers batches until there are no more, which saves a busy server a wake-up and a turn of the loop for
        each."""
        self._flush_scheduled = True  # at the end of this method
        handled = 0
        try:
            ends = 0.0
            while handled < _EVENTS_PER_TURN and (not ends or time.perf_counter() < ends):
                batch = self._plane.poll(_EVENTS_MAX, attended=True)
                if not batch or self._on_events is None:
                    return
                ends = ends or time.perf_counter() + _TURN_S
                handled += len(batch)
                try:
                    self._on_events(batch)
                finally:
                    self._send_pending()
        finally:
            self._flush_scheduled = False
            self._plane.rest()

    def submit(self, connection: int, session_id: int, flags: int, message: Message) -> None:
        """Sends a message with the other messages of this turn of the loop."""
        self._pending.append((connection, session_id, flags, message))
        self._schedule()

    def submit_last(self, connection: int, session_id: int, flags: int, message: Message) -> None:
        """`submit`, but after the other messages of this turn, for messages that no one waits for."""
        self._last.append((connection, session_id, flags, message))
        self._schedule()

    def _schedule(self) -> None:
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def submit_now(self, connection: int, session_id: int, flags: int, message: Message) -> None:
        """`submit` and `flush`, for a message that would be the only one of this turn."""
        self._pending.append((connection, session_id, flags, message))
        self._send_pending()

    def _flush(self) -> None:
        self._flush_scheduled = False
        self._send_pending()

    def flush(self) -> None:
        """Sends what was submitted in this turn; the buffers of those messages are free afterwards."""
        self._send_pending()

    def _send_pending(self) -> None:
        batch = self._pending
        if self._last:
            batch += self._last
            self._last = []
        if batch:
            self._pending = []
            self._plane.submit(batch)

    # -- commands; messages submitted before them are sent first ---------------------------------------------

    def set_session(
        self, connection: int, session_id: int, keys: SessionKeys, opens: SessionOpens | None = None
    ) -> None:
        """Gives a session its keys on a connection, and the opens that are answered for."""
        self._send_pending()
        self._plane.set_session(connection, session_id, keys, opens)

    def drop_session(self, connection: int, session_id: int) -> None:
        """Removes a session from a connection."""
        self._send_pending()
        self._plane.drop_session(connection, session_id)

    def set_connection(self, connection: int, settings: ConnectionSettings) -> None:
        """Sets the negotiated values of a connection."""
        self._send_pending()
        self._plane.set_connection(connection, settings)

    @property
    def pressed(self) -> bool:
        """Whether some user may have too many unread responses."""
        return self._plane.pressed

    def is_over(self, user: int) -> bool:
        """Whether this user has too many unread responses."""
        return self._plane.is_over(user)

    def fast_echo(self, on: bool) -> None:
        """Whether ECHO is answered without the server."""
        self._plane.fast_echo(on)

    def new_credits(self) -> Credits:
        """The account of message IDs and credits of a client connection."""
        return Credits()

    def set_credits(self, connection: int, credits: Credits) -> None:
        """Sets the account for the credits granted to a client connection."""
        self._plane.set_credits(connection, credits)

    def pump(
        self,
        connection: int,
        settings: PumpSettings,
        *,
        session_id: int,
        tree_id: int,
        encrypt: bool,
        sign: bool,
    ) -> Pump:
        """A request loop on a client connection (frevo.client.transfer.pump), to be started by `begin_pumps`."""
        return self._plane.pump(
            connection, settings, session_id=session_id, tree_id=tree_id, encrypt=encrypt, sign=sign
        )

    def begin_pumps(self, pumps: Sequence[Pump]) -> None:
        """Starts request loops; PUMP reports the end of each."""
        self._send_pending()
        self._plane.begin_pumps(pumps)

    def stop_pump(self, connection: int, pump: int, *, now: bool = False) -> None:
        """Ends a pump once its requests in flight are answered, or *now*."""
        self._plane.stop_pump(connection, pump, now)

    def close(self, connection: int, *, abort: bool = False) -> None:
        """Closes a connection; CLOSED follows."""
        self._send_pending()
        self._plane.close(connection, abort)

    def smb_direct(self, connection: int) -> dict[str, Any] | None:
        """The state of SMB Direct on a connection; None without it."""
        return self._plane.smb_direct(connection)

    def statistics(self) -> dict[str, int]:
        """Counters since the start."""
        return self._plane.statistics()

    def shutdown(self) -> None:
        """Sends what can be sent at once, closes everything and ends the threads. Can be called twice."""
        if self._down:
            return
        self._down = True
        self._send_pending()
        self._loop.remove_reader(self._plane.eventfd)
        self._plane.shutdown()
        self._on_events = None
