"""TCP in, QUIC out by frevo's own client carrier: lets programs that know TCP alone try both ends of it.

Bytes pass as they are, whatever protects the messages, and with back pressure to the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any, Self

from frevo._native import QuicClientTls
from frevo.client.connection.plane import _LIMITS
from frevo.transport.base import CLOSED, MESSAGE, SECURED, ConnectionSettings, Event
from frevo.transport.dataplane import DataPlaneTransport
from frevo.transport.quic import client_socket
from peers.quic_stacks import TIMEOUT_S, LoopThread

_PIECE = 256 << 10
_TRUSTED = ConnectionSettings(authenticated=True, max_read=0, multi_credit=False)


class FrevoRelay:
    """Listens on *host*:`port`, and passes on to the QUIC server at *host*:*target_port*, from the address
    *source*. Addresses are numeric."""

    def __init__(self, host: str, target_port: int, tls: QuicClientTls, source: str = "") -> None:
        self.host, self.target_port, self.tls, self.source = host, target_port, tls, source
        self.port = 0
        self.accepted = 0
        self.ended: list[str] = []  # why connections to the server have ended
        self._thread = LoopThread("frevo relay")
        self._plane: DataPlaneTransport | None = None
        self._server: asyncio.Server | None = None
        self._ways: dict[int, _Way] = {}
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
        limits = {**_LIMITS, "max_bytes_in_flight": 4 << 20}
        self._plane = DataPlaneTransport(loop, threads=1, role="relay", limits=limits)  # type: ignore[arg-type]
        self._plane.start(self._on_events)
        self._server = await asyncio.start_server(self._serve, self.host, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        assert self._server is not None and self._plane is not None
        self._server.close()
        for task in self._serving:
            task.cancel()
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
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with client_socket(family) as udp:
            if self.source:
                udp.bind((self.source, 0))
            number = self._plane.connect_quic(udp, self.host, self.target_port, self.tls)
        self._plane.set_connection(number, _TRUSTED)
        way = self._ways[number] = _Way(writer)
        back = asyncio.create_task(way.back())
        try:
            await way.secured
            while data := await reader.read(_PIECE):
                self._plane.submit(number, 0, 0, data)
            self._plane.close(number)
            await back  # what the server still says
        except (OSError, asyncio.CancelledError):
            self._plane.close(number, abort=True)
            writer.transport.abort()
        back.cancel()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    def _on_events(self, batch: list[Event]) -> None:
        for event in batch:
            way = self._ways.get(event[1])
            if way is None:
                continue
            if event[0] == SECURED:
                way.secured.set_result(None)
            elif event[0] == MESSAGE:
                way.waiting.put_nowait(event[4])
            elif event[0] == CLOSED:
                self.ended.append(str(event[2]))
                del self._ways[event[1]]
                way.secured.cancel()
                way.waiting.put_nowait(b"")


class _Way:
    """From one connection of the data plane to its TCP connection."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.secured: asyncio.Future[None] = asyncio.get_running_loop().create_future()  # the handshake is done
        self.waiting: asyncio.Queue[bytes] = asyncio.Queue()  # b"": the end

    async def back(self) -> None:
        """Writes what comes; the data plane reads on when enough of it is written."""
        with contextlib.suppress(OSError):
            while data := await self.waiting.get():
                self.writer.write(data)
                del data
                await self.writer.drain()
        self.writer.close()
