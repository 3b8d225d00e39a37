"""A relay between client and server that can cut, freeze or refuse connections: a bad link, on purpose.

It runs in a thread of its own, so that it serves tests of the library and of commands alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")
_PIECE = 65536


class Relay:
    """Listens on `port` and forwards to host:port. `cut_after`, `freeze_after` take effect once, after so many
    bytes."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.target_port = host, port
        self.port = 0
        self._holder = socket.socket()  # keeps the port ours while nothing listens (see programs.reserved_port)
        self.accepted = 0  # connections
        self.most = 1 << 30  # connections that are forwarded at a time; others are reset
        self.passed = 0  # bytes, both ways
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay")
        self._writers: set[asyncio.StreamWriter] = set()
        self._ended: set[asyncio.StreamWriter] = set()
        self._newest: tuple[asyncio.StreamWriter, ...] = ()
        self._begun: set[asyncio.Task[None]] = set()  # connections that have no pumps yet
        self._pumps: set[asyncio.Task[None]] = set()
        self._listener: socket.socket | None = None
        self._strike: tuple[str, int, Callable[[], object]] | None = None
        self._frozen = False
        self._released: asyncio.Event | None = None

    def __enter__(self) -> Self:
        self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._holder.bind(("127.0.0.1", 0))
        self.port = self._holder.getsockname()[1]
        self._thread.start()
        self._do(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._holder.close()

    # -- what a test does

    def cut(self) -> None:
        """Resets every connection."""
        self._do(self._now(self._cut))

    def when(self, strike: Callable[[], object], *, up: int = 0, down: int = 0) -> None:
        """Calls *strike* once, when so many more bytes have passed to (up) or from (down) the server."""
        self._strike = ("up" if up else "down", up or down, strike)

    def cut_after(self, *, up: int = 0, down: int = 0, refuse: bool = False) -> None:
        """Resets every connection when so many more bytes have passed; accepts no new ones with *refuse*."""
        self.when(self._shut if refuse else self._cut, up=up, down=down)

    def cut_newest_after(self, *, up: int = 0, down: int = 0) -> None:
        """Resets the newest connection when so many more bytes have passed; the others stay."""
        self.when(lambda: self._reset(self._newest), up=up, down=down)

    def freeze_after(self, *, up: int = 0, down: int = 0) -> None:
        """Forwards nothing more after so many more bytes; connections stay open."""
        self.when(self._freeze, up=up, down=down)

    def freeze(self) -> None:
        """Forwards nothing more."""
        self._frozen = True

    def thaw(self) -> None:
        """Forwards again on new connections; the old ones are reset."""
        self._do(self._now(self._thaw))

    def refuse(self) -> None:
        """Resets every connection and accepts no new ones."""
        self._do(self._refuse())

    def accept(self) -> None:
        """Accepts connections again, at the same port."""
        self._do(self._start())

    # -- how

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _now(self, work: Callable[[], None]) -> None:
        work()

    async def _start(self) -> None:
        self._released = self._released or asyncio.Event()
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener, self._accept)

    async def _stop(self) -> None:
        """Nothing is left afterwards: no task, no open socket."""
        self._shut()
        if self._begun:
            await asyncio.wait(self._begun)  # they see that the listener is closed
        for task in self._pumps:
            task.cancel()
        if self._pumps:
            await asyncio.wait(self._pumps)
        self._cut()
        await asyncio.gather(*(one.wait_closed() for one in self._ended), return_exceptions=True)

    async def _refuse(self) -> None:
        self._shut()

    def _shut(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        self._cut()

    def _cut(self) -> None:
        self._reset(tuple(self._writers))

    def _reset(self, writers: tuple[asyncio.StreamWriter, ...]) -> None:
        for writer in writers:
            connected = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        self._writers.difference_update(writers)
        self._ended.update(writers)

    def _freeze(self) -> None:
        self._frozen = True

    def _thaw(self) -> None:
        self._frozen = False
        assert self._released is not None
        self._released.set()
        self._released = asyncio.Event()
        self._cut()

    def _accept(self) -> None:
        # Not asyncio.start_server: closed in the turn in which it accepts, it leaves that connection's socket open.
        assert self._listener is not None
        with contextlib.suppress(OSError):
            self._hold(self._begun, self._serve(self._listener.accept()[0]))

    def _hold(self, tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _serve(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        # asyncio does that only for sockets with an explicit protocol, which accepted ones do not have.
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader, writer = await asyncio.open_connection(sock=connected)
        self.accepted += 1
        self._writers.add(writer)
        if len(self._writers) > 2 * self.most:
            self._reset((writer,))
            return
        try:
            up_reader, up_writer = await asyncio.open_connection(self.host, self.target_port)
        except OSError:
            self._reset((writer,))
            return
        if self._listener is None:  # refused meanwhile
            self._reset((writer, up_writer))
            return
        self._writers.add(up_writer)
        self._newest = (writer, up_writer)
        for source, target, way in ((reader, up_writer, "up"), (up_reader, writer, "down")):
            self._hold(self._pumps, self._pump(source, target, way))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_PIECE):
                self._count(way, len(data))
                while self._frozen:
                    assert self._released is not None
                    await self._released.wait()
                if writer.is_closing():
                    return
                writer.write(data)
                await writer.drain()
        writer.close()

    def _count(self, way: str, size: int) -> None:
        self.passed += size
        if self._strike is None or self._strike[0] != way:
            return
        left = self._strike[1] - size
        if left > 0:
            self._strike = (way, left, self._strike[2])
            return
        strike, self._strike = self._strike[2], None
        strike()
