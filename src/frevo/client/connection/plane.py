"""The data plane of an event loop: all client connections of the loop share it, and it ends with the last of them."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from frevo.client.connection.unawaited import Unawaited
from frevo.transport.base import CLOSED, CREDITS, MESSAGE, PUMP, Credits, Event
from frevo.transport.dataplane import DataPlaneTransport

if TYPE_CHECKING:
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

    def on_message(self, event: Event) -> None:
        """A MESSAGE event."""

    def on_closed(self, reason: str) -> None:
        """The connection has ended."""

    def on_credits(self) -> None:
        """The requested credits are there."""

    def on_pump_ended(self, pump: int, reason: str, code: int, offset: int) -> None:
        """A pump of the connection has ended."""


class Plane:
    """The data plane of one loop, and which receiver gets the events of which connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.transport = DataPlaneTransport(loop, threads=1, role="client", limits=_LIMITS)
        self._receivers: dict[int, Receiver] = {}
        self._loop = loop
        self._process = os.getpid()
        self.transport.start(self._on_events)

    def adopt(self, connected: socket.socket, name: str, receiver: Receiver) -> int:
        """Gives a connected socket to the data plane; its number."""
        number = self.transport.adopt(connected, name)
        self.transport.set_credits(number, receiver.credits)
        self._receivers[number] = receiver
        return number

    def _on_events(self, batch: list[Event]) -> None:
        for event in batch:
            kind = event[0]
            receiver = self._receivers.get(event[1])
            if receiver is None:
                continue
            try:
                if kind == MESSAGE:
                    receiver.on_message(event)
                elif kind == CREDITS:
                    receiver.on_credits()
                elif kind == PUMP:
                    receiver.on_pump_ended(*event[2:])
                elif kind == CLOSED:
                    self._receivers.pop(event[1], None)
                    receiver.on_closed(str(event[2]))
            except Exception:  # an error of one connection must not end the others
                log.exception("error in handling a message")
                self.transport.close(event[1], abort=True)

    @property
    def inherited(self) -> bool:
        """This is a forked child, and the plane its parent's."""
        return self._process != os.getpid()

    def soon(self, call: Callable[..., object], *arguments: Any) -> None:
        """From any thread: runs *call* in the loop's next turn, for objects that were not closed before garbage
        collection.

        Does nothing in a forked child, which does not have this loop, or if the loop has ended.
        """
        if not self.inherited and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *arguments)

    async def settled(self, server: str) -> None:
        """Waits until the unawaited requests on every connection to *server* are answered."""
        for receiver in list(self._receivers.values()):
            if receiver.server == server:
                await receiver.unawaited.settled()

    def release(self, number: int) -> None:
        """Forgets a connection; with the last one the data plane's threads end."""
        self._receivers.pop(number, None)
        if not self._receivers:
            _planes.pop(self._loop, None)
            self.transport.shutdown()


_planes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Plane] = weakref.WeakKeyDictionary()


def plane_of(loop: asyncio.AbstractEventLoop) -> Plane:
    """The loop's data plane, started when it is first needed."""
    plane = _planes.get(loop)
    if plane is None:
        plane = _planes[loop] = Plane(loop)
    return plane


def runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether *loop* runs in this thread, in which case waiting for it would never end."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
