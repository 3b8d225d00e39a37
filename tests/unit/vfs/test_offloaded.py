"""vfs/offloaded.py: a backend called by another thread: what passes through, and when its handles close."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, TypeVar, cast

import pytest
from unit.vfs.conftest import create, open_

from frevo.errors import SMBError
from frevo.vfs.base import Backend
from frevo.vfs.local import LocalBackend
from frevo.vfs.offloaded import OffloadedBackend, OffloadedHandle, offloaded
from frevo.wire.erref import NTStatus

T = TypeVar("T")


class Runner:
    """Makes calls at once and counts them; data moves when the test says so."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.inside = True
        self.responds = False
        self.calls = 0
        self.kept: list[object] = []
        self.spawned: list[Callable[[], None]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    def call(self, call: Callable[[], T]) -> T:
        self.calls += 1
        return call()

    async def data(self, call: Callable[[], T]) -> T:
        await self.gate.wait()
        return call()

    def keep(self, thing: object) -> None:
        self.kept.append(thing)

    def spawn(self, work: Callable[[], None]) -> None:
        self.spawned.append(work)

    def in_loop(self, call: Callable[[], object]) -> None:
        self.loop.call_soon(call)

    def run_spawned(self) -> None:
        while self.spawned:
            self.spawned.pop(0)()


def over(backend: LocalBackend) -> tuple[Backend, Runner]:
    runner = Runner()
    return offloaded(backend, cast(Any, runner)), runner


async def test_calls_and_attributes(backend: LocalBackend) -> None:
    """Methods go through the runner, attributes do not; handles come back wrapped, look-ups are released later."""
    proxy, runner = over(backend)
    assert isinstance(proxy, OffloadedBackend) and proxy.inner is backend
    handle = create(cast(LocalBackend, proxy), "a")
    assert isinstance(handle, OffloadedHandle) and runner.calls == 2 and len(runner.kept) == 1
    before = runner.calls
    assert handle.path == "a" and runner.calls == before
    assert handle.fd is None  # the data plane must not read from a file system that may hang
    handle.close()


async def test_data(backend: LocalBackend) -> None:
    """Reads, writes, zeros and flushes are `data` calls; the bytes are right."""
    proxy, _ = over(backend)
    handle: Any = create(cast(LocalBackend, proxy), "a")
    assert await handle.write(0, b"0123456789") == 10
    await handle.zero(2, 4)
    await handle.flush()
    assert bytes(await handle.read(0, 100)) == b"01\0\x00456789"
    assert not handle.resizes_slowly(1 << 40, allocation=False)
    handle.close()
    with pytest.raises(SMBError) as caught:
        await handle.read(0, 1)
    assert caught.value.status == NTStatus.FILE_CLOSED


async def test_closed_under_a_transfer(backend: LocalBackend) -> None:
    """The descriptor stays until the transfer has ended; then waiters are told."""
    proxy, runner = over(backend)
    handle: Any = create(cast(LocalBackend, proxy), "a")
    runner.gate.clear()
    writing = asyncio.create_task(handle.write(0, b"data"))
    await asyncio.sleep(0)
    idle: list[int] = []
    handle.when_idle(lambda: idle.append(1))
    handle.close()
    handle.close()
    assert handle.busy and idle == [] and runner.spawned == []
    runner.gate.set()
    assert await writing == 4
    await asyncio.sleep(0)
    assert not handle.busy and idle == [1]
    runner.run_spawned()
    handle.when_idle(lambda: idle.append(2))
    assert idle == [1, 2]
    assert bytes(await cast(Any, open_(cast(LocalBackend, proxy), "a")).read(0, 10)) == b"data"


async def test_closed_outside_the_thread(
    backend: LocalBackend, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The close is done later, and its error is logged, because no caller is left."""
    proxy, runner = over(backend)
    handle: Any = create(cast(LocalBackend, proxy), "a")
    real = handle._inner.close

    def close() -> None:
        real()
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(type(handle._inner), "close", lambda self: close())
    runner.inside = False
    handle.close()
    with caplog.at_level(logging.WARNING, "frevo.vfs"):
        runner.run_spawned()
    assert "a: written data may be lost" in caplog.text


async def test_listings_come_in_batches(backend: LocalBackend) -> None:
    """Many entries with few calls, all of them, in order."""
    proxy, runner = over(backend)
    local = cast(LocalBackend, proxy)
    for number in range(300):
        create(backend, f"{number:03}").close()
    root: Any = open_(local, "")
    before = runner.calls
    entries = [entry.name for entry in root.list_directory()]
    assert len([name for name in entries if name not in (".", "..")]) == 300
    assert runner.calls - before <= 6
    root.close()


async def test_the_end_of_the_backend(backend: LocalBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """It closes after everything that is under way."""
    proxy, runner = over(backend)
    closed: list[int] = []
    monkeypatch.setattr(LocalBackend, "close", lambda self: closed.append(1))
    proxy.close()
    assert closed == [] and len(runner.spawned) == 1
    runner.run_spawned()
    assert closed == [1]
    monkeypatch.undo()
