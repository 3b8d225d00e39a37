"""The pair tests' SMB client over a QUIC stack that is not ours: its messages are checked here, its QUIC elsewhere.

`pair.client.Client` logs on with pyspnego's NTLM, signs and encrypts; aioquic or qh3 makes packets of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import Any

from integration.live import Live
from pair.client import Client

from peers.quic_stacks import TIMEOUT_S, LoopThread, client_configuration, part, protocol_class

_PATIENCE_S = 0.005


class QuicRefused(ConnectionError):
    """The peer, or the stack itself, ended the handshake, with this error code of QUIC."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason} ({code:#x})")
        self.code = code


class QuicLink:
    """A connection with one stream and the face of a MemoryLink. `events` has the names of all that the stack told."""

    number = 1

    def __init__(
        self,
        stack: str,
        host: str,
        port: int,
        configuration: Any,
        *,
        stream: bool = True,
        connect: bool = True,
    ) -> None:
        """Shakes hands; ConnectionError with the server's reason if it refuses. *stream*: opens the first one."""
        self.stack, self.host, self.port, self.configuration = stack, host, port, configuration
        self.closed = False
        self.reason = ""  # why the connection ended
        self.error_code = 0
        self.events: list[str] = []
        self.protocol: Any = None
        self.stream_id = 0
        self.reading = True  # a test may stop it: data stays in the stack then
        self._thread = LoopThread(f"{stack} client").start()
        self._arrived = threading.Condition()
        self._input = bytearray()
        self._connected = asyncio.Event()
        self._stop = asyncio.Event()
        self._running = asyncio.run_coroutine_threadsafe(self._run(), self._thread.loop)
        if connect:
            try:
                self._thread.do(self._handshake())
            except BaseException:
                self.close()
                raise
            if stream:
                self.stream_id = self.inside(lambda: self.protocol._quic.get_next_available_stream_id())

    async def _run(self) -> None:
        connect = part(self.stack, "asyncio.client").connect
        protocol = protocol_class(self.stack, self._on_event)
        async with connect(
            self.host,
            self.port,
            configuration=self.configuration,
            create_protocol=protocol,
            wait_connected=False,
        ) as self.protocol:
            self.protocol.transmit()  # without wait_connected, aioquic leaves that to its user
            await self._stop.wait()

    async def _handshake(self) -> None:
        await asyncio.wait_for(self._connected.wait(), TIMEOUT_S / 2)
        if self.closed:
            raise QuicRefused(self.error_code, self.reason)

    def _on_event(self, protocol: Any, name: str, event: Any) -> None:
        self.events.append(name)
        with self._arrived:
            if name == "StreamDataReceived" and event.stream_id == self.stream_id:
                self._input += event.data
                self.closed = self.closed or event.end_stream
            elif name in ("ConnectionTerminated", "StreamReset"):
                self.closed = True
                self.error_code = event.error_code
                self.reason = getattr(event, "reason_phrase", "") or name
            self._arrived.notify_all()
        if name in ("HandshakeCompleted", "ConnectionTerminated"):
            self._connected.set()

    # -- the face of a MemoryLink

    def send(self, data: bytes) -> None:
        """Sends on the stream."""
        self._thread.call(self._send, bytes(data))

    def _send(self, data: bytes) -> None:
        self.protocol._quic.send_stream_data(self.stream_id, data)
        self.protocol.transmit()

    def receive(self) -> bytes:
        """What has come, within some milliseconds."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._input or self.closed, _PATIENCE_S)
            data, self._input = bytes(self._input), bytearray()
        return data

    # -- what tests of QUIC do

    def inside(self, action: Any) -> Any:
        """Calls *action* in the stack's thread, lets it send, and gives what it returned."""

        async def call() -> Any:
            value = action()
            self.protocol.transmit()
            return value

        return self._thread.do(call())

    def wait_closed(self, timeout_s: float = TIMEOUT_S) -> None:
        """Waits until the peer has ended the connection or the stream. Asks once a second: on a busy machine the
        datagram that says so may be lost, and an end is not repeated to those who are silent."""
        for _ in range(round(timeout_s)):
            with self._arrived:
                if self._arrived.wait_for(lambda: self.closed, 1.0):
                    return
            self.inside(lambda: self.protocol._quic.send_ping(1))
        raise AssertionError(f"still open: {self.events[-5:]}")

    def wait_event(self, name: str, timeout_s: float = TIMEOUT_S) -> None:
        """Waits until the stack has told of *name*."""
        deadline = time.monotonic() + timeout_s
        with self._arrived:
            while name not in self.events:
                assert self._arrived.wait(deadline - time.monotonic()), f"no {name} in {self.events[-5:]}"

    def close(self) -> None:
        """Closes the connection gracefully, and ends the stack's thread."""
        if not self._running.done():
            self._thread.call(self._stop.set)
            with contextlib.suppress(Exception):
                self._running.result(TIMEOUT_S)
        self._thread.stop()


class LiveQuic(Live):
    """Gives clients over QUIC; see `Live`."""

    def __init__(self, stack: str, host: str, port: int, authority: Any, **options: Any) -> None:
        super().__init__(host, port)
        self.stack, self._authority, self._options = stack, authority, options
        self.quic_links: list[QuicLink] = []
        self.refusal = 0  # the error code of the latest handshake that was refused

    def link(self, *, stream: bool = True, **options: Any) -> QuicLink:
        """A connection; *options* of `client_configuration` that differ. ConnectionError if the server refuses it."""
        configuration = client_configuration(self.stack, self._authority, **{**self._options, **options})
        try:
            link = QuicLink(self.stack, self.host, self.port, configuration, stream=stream)
        except QuicRefused as error:
            self.refusal = error.code
            raise
        self.quic_links.append(link)
        return link

    def connected(self, **options: Any) -> Client:
        """A client with a session and a tree; *options* as in `link`."""
        client = self.connect(**options)
        client.negotiate()
        client.log_on()
        client.connect_tree("share")
        return client

    def connect(self, **options: Any) -> Client:
        return Client(self, self.link(**options))  # type: ignore[arg-type]  # the two have what the client uses

    def __exit__(self, *_: object) -> None:
        for link in self.quic_links:
            link.close()
        super().__exit__(*_)
