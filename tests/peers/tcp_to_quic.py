"""TCP in, QUIC out: lets programs that know TCP alone (smbtorture, smbclient) talk to a server over QUIC.

Bytes pass as they are: the framing is the same. Every TCP connection has a QUIC connection of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Self

from peers.quic_stacks import TIMEOUT_S, LoopThread, part, protocol_class

_PIECE = 256 << 10


class TCPToQUIC:
    """Listens on 127.0.0.1:`port`, and passes on to a QUIC server by a stack that is not ours."""

    def __init__(self, stack: str, host: str, target_port: int, configuration: Callable[[], Any]) -> None:
        """*configuration* makes one of `client_configuration` for each connection."""
        self.stack, self.host, self.target_port, self.configuration = stack, host, target_port, configuration
        self.port = 0
        self.accepted = 0
        self.failed: list[str] = []  # why connections to the server did not come about
        self._thread = LoopThread(f"{stack} relay")
        self._server: asyncio.Server | None = None
        self._writers: dict[Any, asyncio.StreamWriter] = {}  # by protocol
        self._serving: set[asyncio.Task[Any]] = set()

    def __enter__(self) -> Self:
        part(self.stack, "asyncio.client")  # a stack that is missing skips the test here, in its own thread
        self._thread.start()
        self._thread.do(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.do(self._stop())
        self._thread.stop()

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers.values()):
            writer.close()
        if self._serving:  # QUIC connections close for a while
            await asyncio.wait(self._serving, timeout=TIMEOUT_S / 2)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        connect = part(self.stack, "asyncio.client").connect
        protocol_of = protocol_class(self.stack, self._on_event)
        try:
            async with connect(
                self.host, self.target_port, configuration=self.configuration(), create_protocol=protocol_of
            ) as protocol:
                self._writers[protocol] = writer
                stream = protocol._quic.get_next_available_stream_id()
                with contextlib.suppress(ConnectionResetError):  # by the program
                    while data := await reader.read(_PIECE):
                        protocol._quic.send_stream_data(stream, data)
                        protocol.transmit()
                self._writers.pop(protocol, None)
        except ConnectionError as error:
            self.failed.append(str(error))
        finally:
            with contextlib.suppress(OSError):
                writer.close()
                await writer.wait_closed()

    def _on_event(self, protocol: Any, name: str, event: Any) -> None:
        writer = self._writers.get(protocol)
        if writer is None:
            return
        if name == "StreamDataReceived":
            writer.write(event.data)
        if name in ("ConnectionTerminated", "StreamReset") or getattr(event, "end_stream", False):
            writer.close()
