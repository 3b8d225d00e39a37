"""Long work on large files: it happens in threads, and others are served meanwhile."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from descriptors import descriptors

from frevo.aio.descriptor import Descriptor
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FileAllocationInformation, FileEndOfFileInformation, FileInfoClass
from frevo.wire.smb2 import Command, FlushRequest, SetInfoRequest
from pair.client import Client, FileId
from pair.file_calls import put
from pair.machine import Pair

LARGE = 32 << 20


class Held:
    """Calls that wait until the test releases them, and the threads that make them."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.threads: list[str] = []

    def wait(self) -> None:
        self.threads.append(threading.current_thread().name)
        assert threading.current_thread() is not threading.main_thread(), "in the loop"
        assert self.go.wait(20)


@pytest.fixture
def held() -> Iterator[Held]:
    made = Held()
    yield made
    made.go.set()


def large_file(pair: Pair) -> Path:
    path = pair.root / "share" / "large"
    with path.open("wb") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, LARGE)
        except OSError:
            file.write(bytes(LARGE))
    return path


def resize(client: Client, file_id: FileId, info_class: FileInfoClass, size: int) -> int:
    made = FileEndOfFileInformation if info_class == FileInfoClass.END_OF_FILE else FileAllocationInformation
    return client.send(
        Command.SET_INFO, SetInfoRequest(1, int(info_class), 0, file_id, made(size).pack()).pack()
    )


@pytest.mark.parametrize("info_class", [FileInfoClass.END_OF_FILE, FileInfoClass.ALLOCATION])
def test_a_large_file_is_cut_in_a_thread(
    pair: Pair, held: Held, monkeypatch: pytest.MonkeyPatch, info_class: FileInfoClass
) -> None:
    """Goal: an operation that frees very much of a file runs in a thread while others are served, small ones in the
    loop. Method: an ftruncate that waits for the others' responses."""
    path, client, other = large_file(pair), pair.logged_on(), pair.logged_on()
    file_id = client.open("large")
    real = os.ftruncate

    def slow(fd: int, size: int) -> None:
        held.wait()
        real(fd, size)

    monkeypatch.setattr("frevo.vfs.transfer.os.ftruncate", slow)
    waiting = resize(client, file_id, info_class, 1000)
    assert other.create("another").status == NTStatus.SUCCESS
    assert not client.answers(waiting) and path.stat().st_size == LARGE
    held.go.set()
    assert client.wait(waiting).status == NTStatus.SUCCESS
    assert path.stat().st_size == 1000 and held.threads == ["frevo-slow"]
    monkeypatch.undo()
    assert put(client, file_id, info_class, FileEndOfFileInformation(10).pack()) == NTStatus.SUCCESS
    assert path.stat().st_size == 10 and len(held.threads) == 1


def test_a_large_file_is_freed_in_a_thread(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: the close that frees a large file without a name runs in a thread; CLOSE is answered before, and nothing
    stays open. Method: look which descriptors are held when the response came, and at the end."""
    large_file(pair)
    client = pair.logged_on()
    closed: list[Descriptor] = []
    ring = "frevo.aio.ring.Ring.close_slowly"
    from frevo.aio.ring import Ring

    real = Ring.close_slowly

    def noted(self: Ring, file: Descriptor) -> None:
        closed.append(file)
        real(self, file)

    monkeypatch.setattr(ring, noted)
    before = descriptors()
    client.close(client.open("large", create_options=0x1000))
    assert len(closed) == 1 and not (pair.root / "share" / "large").exists()
    for _ in range(1000):
        if not descriptors() - before:
            break
        pair.turn(0.01)
    assert not descriptors() - before
    client.close(client.open("small", create_options=0x1000))
    assert len(closed) == 1


def test_flushes_of_one_user_leave_workers(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: one user's FLUSHes that never end hold half of the workers at most, another's is answered. Method: a flush
    that waits for files of one user; more of them than there are workers."""
    from frevo.server.core.slow_work import WORKERS
    from frevo.vfs.handle import LocalHandle

    one, other = pair.logged_on(), pair.connect()
    other.negotiate()
    other.log_on("user2", "0therPassw0rd")
    other.connect_tree("share")
    real, begun = LocalHandle.flush, 0
    go = pair.inside(pair.loop.create_future)

    async def slow(self: LocalHandle) -> None:
        nonlocal begun
        if self.path == "slow":
            begun += 1
            await go
        await real(self)

    monkeypatch.setattr(LocalHandle, "flush", slow)
    file_id, quick = one.open("slow"), other.open("quick")
    while one.granted < one.next_id + 2 * WORKERS:
        one.echo()
    waiting = [one.send(Command.FLUSH, FlushRequest(file_id).pack()) for _ in range(2 * WORKERS)]
    assert other.call(Command.FLUSH, FlushRequest(quick).pack()).status == NTStatus.SUCCESS
    assert begun == WORKERS // 2
    pair.inside(lambda: go.set_result(None))
    assert {one.wait(message_id).status for message_id in waiting} == {NTStatus.SUCCESS}
