"""TCP in, QUIC out by frevo's own client carrier: lets programs that know TCP alone try both ends of it.

The data plane of a client takes messages apart, so what passes is the same messages, not the same bytes: a server that
encrypts is beyond it, because only the client behind the relay has the keys.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any, Self

from frevo._native import QuicClientTls
from frevo.client.connection.plane import _LIMITS
from frevo.transport.base import CLOSED, MESSAGE, SECURED, ConnectionSettings, Event
from frevo.transport.dataplane import DataPlaneTransport
from frevo.transport.quic import client_socket
from peers.quic_stacks import TIMEOUT_S, LoopThread

_LARGE_MESSAGES = ConnectionSettings(authenticated=True, max_read=8 << 20, multi_credit=True)
#: Opens a connection of the data plane: its number, and whether a handshake is to be waited for.
Dial = Callable[[DataPlaneTransport], tuple[int, bool]]


class FrevoRelay:
    """Listens on 127.0.0.1:`port`; each connection has one of the data plane, made by *dial*."""

    def __init__(self, dial: Dial) -> None:
        self.port = 0
        self.accepted = 0
        self.ended: list[str] = []  # why connections to the server have ended
        self._dial = dial
        self._thread = LoopThread("frevo relay")
        self._plane: DataPlaneTransport | None = None
        self._server: asyncio.Server | None = None
        self._writers: dict[int, asyncio.StreamWriter] = {}
        self._secured: dict[int, asyncio.Future[None]] = {}  # done when the handshake is
        self._serving: set[asyncio.Task[Any]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._thread.do(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.do(self._stop())
        self._thread.stop()

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        self._plane = DataPlaneTransport(loop, threads=1, role="client", limits=_LIMITS)
        self._plane.start(self._on_events)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        assert self._server is not None and self._plane is not None
        self._server.close()
        for writer in self._writers.values():
            writer.close()
        if self._serving:
            await asyncio.wait(self._serving, timeout=TIMEOUT_S / 2)
        self._plane.shutdown()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._plane is not None
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        number, waits = self._dial(self._plane)
        self._plane.set_connection(number, _LARGE_MESSAGES)
        self._writers[number] = writer
        secured = self._secured[number] = asyncio.get_running_loop().create_future()
        try:
            if waits:
                await secured
            while True:
                length = int.from_bytes(await reader.readexactly(4), "big")
                self._plane.submit(number, 0, 0, await reader.readexactly(length))
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            self._plane.close(number)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _on_events(self, batch: list[Event]) -> None:
        for event in batch:
            writer = self._writers.get(event[1])
            if writer is None:
                continue
            if event[0] == SECURED:
                self._secured[event[1]].set_result(None)
            elif event[0] == MESSAGE:
                writer.write(len(event[4]).to_bytes(4, "big") + bytes(event[4]))
            elif event[0] == CLOSED:
                self.ended.append(str(event[2]))
                del self._writers[event[1]]
                self._secured.pop(event[1]).cancel()
                writer.close()


def by_tcp(host: str, port: int) -> Dial:
    """Connects by TCP: for tests of the relay itself."""

    def dial(plane: DataPlaneTransport) -> tuple[int, bool]:
        with socket.create_connection((host, port)) as connected:
            return plane.adopt(connected, "tcp"), False

    return dial


def by_quic(host: str, port: int, tls: QuicClientTls) -> Dial:
    """Connects by QUIC to a numeric address."""

    def dial(plane: DataPlaneTransport) -> tuple[int, bool]:
        with client_socket(socket.AF_INET) as udp:
            return plane.connect_quic(udp, host, port, tls), True

    return dial
