"""TCP in, QUIC or SMB Direct out by frevo's own client carrier: lets programs that know TCP alone try both ends of it.

Bytes pass as they are, whatever protects the messages, and with back pressure to the server; to SMB Direct as soon as a
message is whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any, Self

from frevo._native import QuicClientTls
from frevo.client.connection.emulated import connect_emulated
from frevo.client.connection.plane import _LIMITS
from frevo.transport import smbdirect
from frevo.transport.base import CLOSED, MESSAGE, SECURED, ConnectionSettings, Event
from frevo.transport.dataplane import DataPlaneTransport
from frevo.transport.quic import client_socket
from frevo.transport.smbdirect import SmbDirectSettings
from frevo.transport.traits import SMBDIRECT
from peers.quic_stacks import TIMEOUT_S, LoopThread

_PIECE = 256 << 10
_TRUSTED = ConnectionSettings(authenticated=True, max_read=0, multi_credit=False)


class FrevoRelay:
    """Listens on *host*:`port`, and passes on to the server at *host*:*target_port*, from the address *source*.
    Addresses are numeric. *way*: of QUIC, or of SMB Direct with its provider."""

    def __init__(
        self, host: str, target_port: int, way: QuicClientTls | SmbDirectSettings, source: str = ""
    ) -> None:
        self.host, self.target_port, self.way, self.source = host, target_port, way, source
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
        try:
            number = await self._connect()
        except OSError as error:
            self.ended.append(str(error))
            writer.transport.abort()
            return
        self._plane.set_connection(number, _TRUSTED)
        way = self._ways[number] = _Way(writer)
        back = asyncio.create_task(way.back())
        try:
            if isinstance(self.way, SmbDirectSettings):
                pieces = _messages(reader)
            else:
                await way.secured
                pieces = _pieces(reader)
            async for data in pieces:
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

    async def _connect(self) -> int:
        """A connection of the data plane to the server; for QUIC it is only on its way."""
        assert self._plane is not None
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        if not isinstance(self.way, SmbDirectSettings):
            with client_socket(family) as udp:
                if self.source:
                    udp.bind((self.source, 0))
                return self._plane.connect_quic(udp, self.host, self.target_port, self.way)
        provider = smbdirect.choose(self.way.provider)
        if provider == "emulated":
            reached = await connect_emulated(self.way, self.host, self.target_port, SMBDIRECT.name)
            return self._plane.adopt(reached.socket, reached.transport, reached.direct)
        connected = socket.socket(family, socket.SOCK_STREAM)
        try:
            connected.setblocking(False)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.source:
                connected.bind((self.source, 0))
            await asyncio.get_running_loop().sock_connect(connected, (self.host, self.target_port))
        except BaseException:
            connected.close()
            raise
        return self._plane.adopt(connected, SMBDIRECT.name, self.way.native(provider))

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


async def _pieces(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while data := await reader.read(_PIECE):
        yield data


async def _messages(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Whole messages with their frames. The rest of one that never came is dropped."""
    with contextlib.suppress(asyncio.IncompleteReadError):
        while header := await reader.readexactly(4):
            yield header + await reader.readexactly(int.from_bytes(header[1:], "big"))


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
