"""Work that a cancellation does not interrupt half-way."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from pathlib import Path

import pytest

from frevo.client.batch.verify import local_digest
from frevo.client.to_the_end import in_thread, to_the_end


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_cancel_is_put_off() -> None:
    """Cancelled twice, also before the first step of the work: the work ends first, its result is undone, then
    CancelledError is raised."""
    gate, undone = asyncio.Event(), list[int]()

    async def work() -> int:
        await gate.wait()
        return 7

    task = asyncio.create_task(to_the_end(work(), undo=undone.append))
    for _ in range(2):
        await asyncio.sleep(0)
        task.cancel()
        await turns()
        assert not task.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert undone == [7]
    assert await to_the_end(work(), undo=undone.append) == 7 and undone == [7]


async def test_errors_come_out() -> None:
    """The caller gets an error; a cancelled caller gets only the cancellation, and nothing is undone."""
    gate, undone = asyncio.Event(), list[None]()

    async def work() -> None:
        await gate.wait()
        raise OSError("told")

    task = asyncio.create_task(to_the_end(work(), undo=undone.append))
    await turns()
    task.cancel()
    await turns()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(OSError, match="told"):
        await to_the_end(work())
    assert undone == []


async def test_threads_are_waited_for() -> None:
    """The thread runs in the caller's context."""
    variable = contextvars.ContextVar("variable", default=0)
    variable.set(3)
    assert await in_thread(lambda more: variable.get() + more, 4) == 7


async def test_a_local_file_is_open_until_its_reader_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A digest cancelled while a thread is about to read: the descriptor is not reused before."""
    path, began, gate = tmp_path / "file", threading.Event(), threading.Event()
    path.write_bytes(b"own")
    real, read = os.preadv, list[tuple[int, bytes]]()

    def preadv(fd: int, buffers: list[bytearray], offset: int) -> int:
        began.set()
        gate.wait()
        count = real(fd, buffers, offset)
        read.append((os.fstat(fd).st_ino, bytes(buffers[0][:count])))
        return count

    monkeypatch.setattr(os, "preadv", preadv)
    task = asyncio.create_task(local_digest(str(path)))
    while not began.is_set():
        await asyncio.sleep(0)
    task.cancel()
    await turns()
    others = [os.open(path.parent, os.O_RDONLY) for _ in range(4)]
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert read == [(path.stat().st_ino, b"own")]
    for fd in others:
        os.close(fd)
