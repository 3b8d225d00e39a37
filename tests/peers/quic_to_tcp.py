"""A QUIC server that is not ours, in front of an SMB server that knows TCP alone: one stream in, one connection out.

With it our client meets a foreign QUIC server, and a foreign client meets any SMB server.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Self

from peers.certificates import Identity
from peers.quic_stacks import LoopThread, part, protocol_class, server_configuration

_PIECE = 256 << 10


class QuicToTCP:
    """Serves QUIC at 127.0.0.1:`port` and passes on to host:target_port. `ended` has the reason of each end."""

    def __init__(
        self,
        stack: str,
        identity: Identity,
        host: str,
        target_port: int,
        *,
        retry: bool = False,
        **options: Any,
    ) -> None:
        """*options*: of `server_configuration`."""
        self.stack, self.host, self.target_port, self.retry = stack, host, target_port, retry
        self.configuration = server_configuration(stack, identity, **options)
        self.port = 0
        self.connections = 0  # handshakes that were completed
        self.ended: list[str] = []
        self._thread = LoopThread(f"{stack} server")
        self._ways: dict[Any, _Way] = {}  # by protocol
        self._server: Any = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._thread.do(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.do(self._stop())
        self._thread.stop()

    async def _start(self) -> None:
        self._server = await part(self.stack, "asyncio.server").serve(
            "127.0.0.1",
            0,
            configuration=self.configuration,
            create_protocol=protocol_class(self.stack, self._on_event),
            retry=self.retry,
        )
        self.port = self._server._transport.get_extra_info("sockname")[1]

    async def _stop(self) -> None:
        for way in list(self._ways.values()):
            way.close()
        self._server.close()
        await asyncio.sleep(0)

    def end_all(self) -> None:
        """Closes every connection that is there now."""
        self._thread.do(self._end_all())

    async def _end_all(self) -> None:
        for protocol in list(self._ways):
            protocol.close()
        await asyncio.sleep(0)

    def _on_event(self, protocol: Any, name: str, event: Any) -> None:
        if name == "HandshakeCompleted":
            self.connections += 1
        elif name == "StreamDataReceived":
            way = self._ways.get(protocol)
            if way is None:
                way = self._ways[protocol] = _Way(protocol, event.stream_id, self.host, self.target_port)
            if event.stream_id == way.stream_id:
                way.to_server(event.data, event.end_stream)
        elif name in ("ConnectionTerminated", "StreamReset") and protocol in self._ways:
            self.ended.append(getattr(event, "reason_phrase", "") or name)
            self._ways.pop(protocol).close()


class _Way:
    """One stream and its TCP connection."""

    def __init__(self, protocol: Any, stream_id: int, host: str, port: int) -> None:
        self.protocol, self.stream_id = protocol, stream_id
        self._pending: asyncio.Queue[bytes] = asyncio.Queue()  # b"": the end
        self._task = asyncio.get_running_loop().create_task(self._run(host, port))

    def to_server(self, data: bytes, last: bool) -> None:
        if data:
            self._pending.put_nowait(data)
        if last:
            self._pending.put_nowait(b"")

    def close(self) -> None:
        self._task.cancel()

    async def _run(self, host: str, port: int) -> None:
        writer = None
        try:
            reader, writer = await asyncio.open_connection(host, port)
            back = asyncio.get_running_loop().create_task(self._back(reader))
            try:
                while data := await self._pending.get():
                    writer.write(data)
                    await writer.drain()
                writer.write_eof()
                await back
            finally:
                back.cancel()
        except OSError:
            pass
        finally:
            if writer is not None:
                writer.close()
            with contextlib.suppress(Exception):
                self.protocol.close()

    async def _back(self, reader: asyncio.StreamReader) -> None:
        quic = self.protocol._quic
        with contextlib.suppress(OSError):
            while data := await reader.read(_PIECE):
                quic.send_stream_data(self.stream_id, data)
                self.protocol.transmit()
        quic.send_stream_data(self.stream_id, b"", end_stream=True)
        self.protocol.transmit()
        await asyncio.sleep(0.05)  # the end of the stream goes out before that of the connection
        self._pending.put_nowait(b"")
