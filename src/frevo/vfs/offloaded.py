"""A backend whose file system may not respond: a `CallRunner` makes all calls to it outside the event loop.

The server provides a runner that makes calls in a thread while its loop continues (`frevo.server.core.lane`). The
proxies here represent a `LocalBackend` and its handles: methods run in the thread, attributes (identity, path, ...)
are available directly.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final, TypeVar, cast

from frevo.errors import SMBError
from frevo.vfs.base import Backend, Buffer, Handle, Resolved
from frevo.vfs.call_runner import CallRunner
from frevo.vfs.handle import LocalHandle
from frevo.vfs.local import LocalBackend
from frevo.wire.erref import NTStatus

log = logging.getLogger("frevo.vfs")

T = TypeVar("T")

#: Items of a listing, or of another iterator, that are fetched at a time.
_BATCH: Final = 128


class _Proxy:
    """Represents *inner*: the runner calls its methods; its attributes are read and set directly."""

    __slots__ = ("_inner", "_runner")
    _inner: Any
    _runner: CallRunner

    def __init__(self, inner: object, runner: CallRunner) -> None:
        object.__setattr__(self, "_inner", inner)
        object.__setattr__(self, "_runner", runner)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        return functools.partial(self._travel, value) if callable(value) else value

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._inner, name, value)

    def _travel(self, method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        arguments = tuple(_plain(argument) for argument in arguments)
        result = self._runner.call(lambda: method(*arguments, **named))
        return _given(result, self._runner)


class OffloadedBackend(_Proxy):
    """Represents a `LocalBackend`."""

    __slots__ = ()

    @property
    def inner(self) -> LocalBackend:
        """The represented object."""
        return cast(LocalBackend, self._inner)

    def close(self) -> None:
        """As `Backend.close`, after pending operations."""
        inner, runner = self._inner, self._runner
        runner.spawn(lambda: runner.call(inner.close))


class OffloadedHandle(_Proxy):
    """Represents a `LocalHandle`, which counts the operations in progress: a file may get a runner, and lose it again,
    while there are some."""

    __slots__ = ("_closed",)
    _closed: bool

    def __init__(self, inner: LocalHandle, runner: CallRunner) -> None:
        super().__init__(inner, runner)
        object.__setattr__(self, "_closed", False)

    @property
    def inner(self) -> LocalHandle:
        """The represented object."""
        return cast(LocalHandle, self._inner)

    @property
    def fd(self) -> int | None:
        """As `Handle.fd`, but None for a file system that may not respond: what closes its gate waits for its reads."""
        return self.inner.fd if self._runner.responds else None

    def resizes_slowly(self, size: int, *, allocation: bool) -> bool:
        """Never: it happens in a thread anyway."""
        return False

    async def read(self, offset: int, length: int) -> Buffer:
        """As `Handle.read`."""
        return cast(Buffer, await self._moved(self._inner.read_now, offset, length))

    async def write(self, offset: int, data: Buffer) -> int:
        """As `Handle.write`."""
        return cast(int, await self._moved(self._inner.write_now, offset, data))

    async def append(self, data: Buffer) -> tuple[int, int]:
        """As `Handle.append`."""
        return cast(tuple[int, int], await self._moved(self._inner.append_now, data))

    async def flush(self) -> None:
        """As `Handle.flush`."""
        await self._moved(self._inner.flush_now)

    async def zero(self, offset: int, beyond: int) -> None:
        """As `Handle.zero`."""
        await self._moved(self._inner.zero_now, offset, beyond)

    async def _moved(self, call: Callable[..., Any], *arguments: Any) -> Any:
        if self._closed:
            raise SMBError(NTStatus.FILE_CLOSED)
        self.inner.descriptor()  # FILE_CLOSED, too
        return await self.inner.in_flight(self._runner.data(lambda: call(*arguments)))

    @property
    def busy(self) -> bool:
        """As `Handle.busy`."""
        return self.inner.busy

    def when_idle(self, action: Callable[[], None]) -> None:
        """As `Handle.when_idle`."""
        self.inner.when_idle(action)

    def close(self) -> None:
        """As `Handle.close`, now if possible; otherwise later, when no data operation is in progress. Raises errors
        only if it closes now."""
        if not self._closed:
            object.__setattr__(self, "_closed", True)
            if self._runner.inside and not self.busy:
                self._runner.call(self._inner.close)
            else:
                self.when_idle(self._close)

    def _close(self) -> None:
        self._runner.spawn(self._close_later)

    def _close_later(self) -> None:
        try:
            self._runner.call(self._inner.close)
        except OSError as error:
            log.warning("%s: written data may be lost: %s", self._inner.path, error.strerror)


def offloaded(backend: LocalBackend, runner: CallRunner) -> Backend:
    """A proxy for *backend*: from now on, *runner* makes all calls to it, including those of its watches."""
    backend.moved_to(runner)
    return cast(Backend, OffloadedBackend(backend, runner))


def offloaded_handle(handle: LocalHandle, runner: CallRunner) -> Handle:
    """A proxy for *handle*, called by *runner*."""
    return cast(Handle, OffloadedHandle(handle, runner))


def _plain(argument: Any) -> Any:
    return argument._inner if isinstance(argument, _Proxy) else argument


def _given(result: Any, runner: CallRunner) -> Any:
    """The result of a call, wrapped for use outside the thread."""
    if isinstance(result, LocalHandle):
        return OffloadedHandle(result, runner)
    if isinstance(result, Resolved):
        runner.keep(result)
    elif isinstance(result, Iterator):
        return _fetched(result, runner)
    return result


def _fetched(items: Iterator[T], runner: CallRunner) -> Iterator[T]:
    """The items, fetched in batches."""
    while batch := runner.call(lambda: list(islice(items, _BATCH))):
        yield from batch
