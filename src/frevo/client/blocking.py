"""The client without async, for scripts and notebooks: the same names, run on one loop in a thread of its own."""

from __future__ import annotations

import asyncio
import inspect
import io
import os
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from frevo.client.connect import Connecting, Options
from frevo.client.connect import connect as connect_async
from frevo.client.connect import connect_server as connect_server_async
from frevo.client.file import File
from frevo.client.server import Server
from frevo.client.share import Opening, Share

T = TypeVar("T")

_lock = threading.Lock()
_loops: dict[int, asyncio.AbstractEventLoop] = {}  # by process: a forked child has no thread of ours


def _loop() -> asyncio.AbstractEventLoop:
    """The loop of this process; its thread ends with the process."""
    with _lock:
        loop = _loops.get(os.getpid())
        if loop is None:
            loop = _loops[os.getpid()] = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="frevo-client", daemon=True).start()
        return loop


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of *work*; an interrupt cancels it."""
    future = asyncio.run_coroutine_threadsafe(work, _loop())
    try:
        return future.result()
    except KeyboardInterrupt:
        future.cancel()
        raise


async def _await(made: Any) -> Any:
    return await made


_END = object()


def _iterate(steps: AsyncIterator[T]) -> Iterator[T]:
    """The items of an asynchronous iterator; it is closed when the caller stops early."""

    async def step() -> Any:
        return await anext(steps, _END)

    try:
        while (item := run(step())) is not _END:
            yield item
    finally:
        close = getattr(steps, "aclose", None)
        if close is not None:
            run(_await(close()))


def _blocking(result: Any) -> Any:
    """What a method gave, without async."""
    if isinstance(result, Opening | Connecting) or inspect.isawaitable(result):
        return _wrapped(run(_await(result)))
    if hasattr(result, "__anext__"):
        return _iterate(result)
    return result


def _wrapped(made: Any) -> Any:
    if isinstance(made, File):
        return BlockingFile(made)
    return Face(made) if isinstance(made, Share | Server) else made


class Face:
    """A Share or a Server whose methods wait. The names are those of the asynchronous one."""

    def __init__(self, inner: Share | Server) -> None:
        self._inner = inner

    @property
    def inner(self) -> Any:
        """The asynchronous object; use it on the loop of `run` only."""
        return self._inner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not inspect.ismethod(value):
            return value

        def call(*arguments: Any, **options: Any) -> Any:
            return _blocking(value(*arguments, **options))

        call.__name__, call.__doc__ = name, value.__doc__
        return call

    def close(self) -> None:
        """Closes the connection."""
        run(self._inner.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        self.close()


class BlockingFile(io.RawIOBase):
    """An open file as the io module has it; `pread`, `pwrite`, `preadinto` and `stat` beside that."""

    def __init__(self, inner: File) -> None:
        super().__init__()
        self._inner = inner
        self.name = inner.path
        self.mode = inner.mode

    def readable(self) -> bool:
        return "r" in self.mode or "+" in self.mode

    def writable(self) -> bool:
        return "r" not in self.mode or "+" in self.mode

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        return run(self._inner.read(-1 if size is None else size))

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: Any) -> int:
        return run(self._inner.readinto(buffer))

    def write(self, data: Any) -> int:
        return run(self._inner.write(data))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return run(self._inner.seek(offset, whence))

    def tell(self) -> int:
        return self._inner.tell()

    def truncate(self, size: int | None = None) -> int:
        return run(self._inner.truncate(size))

    def sync(self) -> None:
        """What was written is on the server's disk when this returns (`flush` of the asynchronous file)."""
        run(self._inner.flush())

    def pread(self, size: int, offset: int) -> bytes:
        """Up to *size* bytes at *offset*."""
        return run(self._inner.pread(size, offset))

    def preadinto(self, buffer: Any, offset: int) -> int:
        """Fills *buffer* from *offset* on."""
        return run(self._inner.preadinto(buffer, offset))

    def pwrite(self, data: Any, offset: int) -> int:
        """Writes all of *data* at *offset*."""
        return run(self._inner.pwrite(data, offset))

    def stat(self) -> Any:
        """What the server knows about it now."""
        return run(self._inner.stat())

    def close(self) -> None:
        if not self.closed:
            super().close()
            run(self._inner.close())


def connect(url: str, options: Options | None = None, **changes: Any) -> Face:
    """As `frevo.client.connect`, at once: `with connect("smb://host/share", …) as share`."""
    face: Face = _blocking(connect_async(url, options, **changes))
    return face


def connect_server(url: str, options: Options | None = None, **changes: Any) -> Face:
    """As `frevo.client.connect_server`, at once."""
    face: Face = _blocking(connect_server_async(url, options, **changes))
    return face
