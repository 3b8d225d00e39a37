"""The data plane of an event loop: all client connections of the loop share it, and it ends with the last of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from frevo.client.connection.unawaited import Unawaited
from frevo.transport.base import CLOSED, CREDITS, MESSAGE, PUMP, SECURED, Credits, Event, Secured
from frevo.transport.dataplane import DataPlaneTransport
from frevo.transport.traits import QUIC

if TYPE_CHECKING:
    from frevo._native import QuicClientTls, RdmaConnection, SmbDirect
    from frevo.transport.base import Limits

log = logging.getLogger(__name__)

#: Limits of a client's data plane. Its output is limited by what it has in flight; if it stopped reading while its
#: output is full, it could wait for a server that does the same.
_LIMITS: Limits = {
    "output_high_water": 1 << 40,
    "max_bytes_in_flight": 256 << 20,
    "max_frame": 17 << 20,
    "preauth_timeout": 3600.0,
}


class Receiver(Protocol):
    """What gets the events of one connection."""

    credits: Credits
    unawaited: Unawaited
    server: str
    secured: Secured | None

    def on_message(self, event: Event) -> None:
        """A MESSAGE event."""

    def on_closed(self, reason: str) -> None:
        """The connection has ended."""

    def on_credits(self) -> None:
        """The requested credits are there."""

    def on_pump_ended(self, pump: int, reason: str, code: int, offset: int) -> None:
        """A pump of the connection has ended."""

    def cut(self) -> None:
        """End the connection at once."""


class ConnectedSocket(msgspec.Struct, eq=False):
    """A connected stream socket that the data plane does not have yet."""

    socket: socket.socket
    transport: str
    direct: SmbDirect | None = None

    async def close(self) -> None:
        """Gives the connection up."""
        self.socket.close()


class ConnectedCard(msgspec.Struct, eq=False):
    """A connection over an RDMA card that the data plane does not have yet."""

    connection: RdmaConnection
    transport: str

    async def close(self) -> None:
        """Gives the connection up."""
        self.connection.close()


class QuicConnection:
    """A QUIC connection of the data plane that has no receiver yet: on its way, established, or ended."""

    transport = QUIC.name

    def __init__(self, plane: Plane, number: int) -> None:
        self.number = number
        self._plane = plane
        #: What the handshake came to.
        self.secured: asyncio.Future[Secured] = plane.loop.create_future()
        #: Why the connection has ended.
        self.ended: asyncio.Future[str] = plane.loop.create_future()

    async def close(self) -> None:
        """Gives the connection up; the data plane has released it then."""
        if not self.ended.done():
            self._plane.transport.close(self.number, abort=True)
            await asyncio.wait((self.ended,))
        self._plane.forget(self)


Reached = ConnectedSocket | ConnectedCard | QuicConnection


class Plane:
    """The data plane of one loop, and which receiver gets the events of which connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.transport = DataPlaneTransport(loop, threads=1, role="client", limits=_LIMITS)
        self.loop = loop
        self._receivers: dict[int, Receiver] = {}
        self._without_receiver: dict[int, QuicConnection] = {}
        self._holders = 0
        self._process = os.getpid()
        self.transport.start(self._on_events)

    def adopt(self, reached: Reached, receiver: Receiver) -> int:
        """The number of a connection whose events *receiver* gets from now on."""
        if isinstance(reached, QuicConnection):
            number = reached.number
            receiver.secured = reached.secured.result()
        elif isinstance(reached, ConnectedCard):
            number = self.transport.adopt_rdma(reached.connection)
        else:
            number = self.transport.adopt(reached.socket, reached.transport, reached.direct)
        self.transport.set_credits(number, receiver.credits)
        self._receivers[number] = receiver
        if isinstance(reached, QuicConnection):
            self.forget(reached)
            if reached.ended.done():  # since the handshake
                self.loop.call_soon(self._closed, number, reached.ended.result())
        return number

    def connect_quic(self, udp: socket.socket, host: str, port: int, tls: QuicClientTls) -> QuicConnection:
        """Begins a QUIC connection on a new UDP socket; *host* is a numeric address."""
        number = self.transport.connect_quic(udp, host, port, tls)
        return self._new_quic(number)

    def connect_quic_kernel(
        self, quic: socket.socket, host: str, port: int, tls: QuicClientTls
    ) -> QuicConnection:
        """The same on a new QUIC socket of the kernel."""
        return self._new_quic(self.transport.connect_quic_kernel(quic, host, port, tls))

    def _new_quic(self, number: int) -> QuicConnection:
        made = self._without_receiver[number] = QuicConnection(self, number)
        return made

    def forget(self, connection: QuicConnection) -> None:
        """Ends the wait of a QUIC connection for a receiver: it has one, or it has ended."""
        self._without_receiver.pop(connection.number, None)
        self._end_if_idle()

    def _on_events(self, batch: list[Event]) -> None:
        for event in batch:
            kind = event[0]
            receiver = self._receivers.get(event[1])
            if receiver is None:
                self._on_event_without_receiver(event)
                continue
            try:
                if kind == MESSAGE:
                    receiver.on_message(event)
                elif kind == CREDITS:
                    receiver.on_credits()
                elif kind == PUMP:
                    receiver.on_pump_ended(*event[2:])
                elif kind == CLOSED:
                    self._closed(event[1], str(event[2]))
            except Exception:  # an error of one connection must not end the others
                log.exception("error in handling a message")
                self.transport.close(event[1], abort=True)

    def _closed(self, number: int, reason: str) -> None:
        receiver = self._receivers.pop(number, None)
        if receiver is not None:
            receiver.on_closed(reason)

    def _on_event_without_receiver(self, event: Event) -> None:
        connection = self._without_receiver.get(event[1])
        if connection is None:
            return
        if event[0] == SECURED:
            connection.secured.set_result(Secured.of(event))
        elif event[0] == CLOSED:
            connection.ended.set_result(str(event[2]))

    @property
    def inherited(self) -> bool:
        """This is a forked child, and the plane its parent's."""
        return self._process != os.getpid()

    def soon(self, call: Callable[..., object], *arguments: Any) -> None:
        """From any thread: runs *call* in the loop's next turn, for objects that were not closed before garbage
        collection.

        Does nothing in a forked child, which does not have this loop, or if the loop has ended.
        """
        if not self.inherited and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(call, *arguments)

    async def settled(self, server: str) -> None:
        """Waits until the unawaited requests on every connection to *server* are answered."""
        for receiver in list(self._receivers.values()):
            if receiver.server == server:
                await receiver.unawaited.settled()

    def cut(self) -> None:
        """Ends every connection at once, whatever is under way."""
        for receiver in list(self._receivers.values()):
            receiver.cut()
        for connection in list(self._without_receiver.values()):
            self.transport.close(connection.number, abort=True)

    def release(self, number: int) -> None:
        """Forgets a connection; with the last one the data plane's threads end."""
        self._receivers.pop(number, None)
        self._end_if_idle()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Meanwhile the plane stays although it has no connection."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            self._end_if_idle()

    def _end_if_idle(self) -> None:
        if not self._receivers and not self._without_receiver and not self._holders:
            _planes.pop(self.loop, None)
            self.transport.shutdown()


_planes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Plane] = weakref.WeakKeyDictionary()


def plane_of(loop: asyncio.AbstractEventLoop) -> Plane:
    """The loop's data plane, started when it is first needed."""
    plane = _planes.get(loop)
    if plane is None:
        plane = _planes[loop] = Plane(loop)
    return plane


def cut_connections(loop: asyncio.AbstractEventLoop) -> None:
    """Ends all connections of the loop at once: whoever waits for a server learns that its connection is lost."""
    plane = _planes.get(loop)
    if plane is not None:
        plane.cut()


def runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether *loop* runs in this thread, in which case waiting for it would never end."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
