"""Reads and writes at an offset: when one request is enough, short answers, and what ends a stream."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path
from typing import Any

import pytest
from descriptors import descriptors
from unit.client.scripted import OPENED, scripted

from frevo.client.connection.messages import Reply
from frevo.client.errors import ConnectionLost, lost
from frevo.client.transfer import data
from frevo.client.transfer.pump import PumpEnd
from frevo.transport.base import PumpSettings
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import Command, ReadRequest, ReadResponse, WriteRequest, WriteResponse


async def test_reading_bytes() -> None:
    """One READ; the end of the file is no error, others are."""
    tree, connection = scripted(lambda command, message: ReadResponse(b"data").pack())
    assert await data.read_bytes(tree, OPENED, 7, 100, "a") == b"data"
    request = ReadRequest.parse(connection.sent[0][1])
    assert (request.offset, request.length, request.file_id) == (7, 100, OPENED)
    tree, _ = scripted(lambda command, message: int(NTStatus.END_OF_FILE))
    assert await data.read_bytes(tree, OPENED, 0, 100, "a") == b""
    tree, _ = scripted(lambda command, message: int(NTStatus.FILE_LOCK_CONFLICT))
    with pytest.raises(OSError, match="locked"):
        await data.read_bytes(tree, OPENED, 0, 100, "a")


async def test_charges() -> None:
    """A request pays one credit for each 64 KiB that it moves."""
    tree, connection = scripted(lambda command, message: ReadResponse(b"").pack())
    for size in (1, 65536, 65537, 200_000):
        await data.read_bytes(tree, OPENED, 0, size, "a")
    assert [element.charge for element in connection.elements] == [1, 1, 2, 4]


async def test_short_answers_are_asked_on() -> None:
    """A server that gives less than was asked for is asked for the rest, until the end of the file."""
    tree, connection = scripted(lambda command, message: 0)
    sizes, offsets = [3, 2, 0], list[int]()

    async def exchange(element: Any, *_: Any, **__: Any) -> Reply:
        offsets.append(ReadRequest.parse(bytes(64) + element.body).offset)
        size = sizes.pop(0)
        element.sink[:size] = b"x" * size
        return Reply(0, b"", size)

    connection.exchange = exchange  # type: ignore[method-assign]
    buffer = bytearray(10)
    assert await data.read_into(tree, OPENED, memoryview(buffer), 100, "a") == 5
    assert offsets == [100, 103, 105] and bytes(buffer) == b"xxxxx" + bytes(5)


async def test_writing() -> None:
    """All of the data, or an error: a server that wrote less is out of space. The buffer is free afterwards."""
    tree, connection = scripted(lambda command, message: WriteResponse(4).pack())
    buffer = bytearray(b"data")
    assert await data.write_from(tree, OPENED, memoryview(buffer), 9, "a") == 4
    request = WriteRequest.parse(connection.sent[0][1])
    assert (request.offset, bytes(request.data)) == (9, b"data")
    assert await data.write_from(tree, OPENED, memoryview(b""), 9, "a") == 0
    assert len(connection.sent) == 1
    with pytest.raises(OSError, match="4 of 5 bytes written at 9"):
        await data.write_from(tree, OPENED, memoryview(b"data!"), 9, "a")


class Pump:
    """Ends with *end* after *steps* looks at its progress."""

    def __init__(self, end: PumpEnd | BaseException) -> None:
        self.end, self.contiguous, self.abandoned = end, 5, False
        self.settings: PumpSettings | None = None

    async def finished(self) -> PumpEnd:
        if isinstance(self.end, BaseException):
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        assert isinstance(self.end, PumpEnd)
        return self.end

    async def abandon(self) -> None:
        self.abandoned = True

    def start(self, tree: Any, settings: PumpSettings) -> Pump:
        self.settings = settings
        return self


async def streamed(monkeypatch: pytest.MonkeyPatch, pump: Pump, **options: Any) -> int:
    monkeypatch.setattr(data, "start_pump", pump.start)
    tree, connection = scripted(lambda command, message: 0)

    async def why() -> ConnectionLost:
        return lost("the cable")

    connection.why_lost = why  # type: ignore[attr-defined]
    return await data.stream(tree, "read", OPENED, 3, 1 << 30, "a", buffer=bytearray(1), **options)


@pytest.mark.parametrize("reason", ["done", "eof"])
async def test_a_stream(monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    """The bytes without a gap count, and progress is told at least at the end; requests are of one MiB."""
    told: list[int] = []
    pump = Pump(PumpEnd(reason, 0, 0, 77))
    assert await streamed(monkeypatch, pump, progress=told.append) == 77
    assert told == [5] and not pump.abandoned
    assert pump.settings is not None and pump.settings.io_size == 1 << 20


@pytest.mark.parametrize(
    ("end", "error", "text"),
    [
        (PumpEnd("status", int(NTStatus.DISK_FULL), 40, 0), OSError, "at 40"),
        (PumpEnd("local", errno.ENOSPC, 0, 0), OSError, "/mnt/disk"),
        (PumpEnd("lost", 0, 0, 0), ConnectionLost, "the cable"),
    ],
)
async def test_a_stream_that_fails(
    monkeypatch: pytest.MonkeyPatch, end: PumpEnd, error: type[OSError], text: str
) -> None:
    """The server's error has the place in the file, one of this machine the local name, a cut its reason."""
    with pytest.raises(error, match=text):
        await streamed(monkeypatch, Pump(end), local="/mnt/disk")


async def test_a_stream_that_fails_keeps_no_descriptor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The local file can be unmounted while somebody still has the error."""
    pump = Pump(PumpEnd("local", errno.ENOSPC, 0, 0))
    monkeypatch.setattr(data, "start_pump", lambda tree, settings: pump)
    tree, _ = scripted(lambda command, message: 0)
    with (tmp_path / "file").open("wb") as file:
        before = descriptors()
        with pytest.raises(OSError) as kept:
            await data.stream(tree, "read", OPENED, 0, 1 << 30, "a", fd=file.fileno(), local_offset=0)
        assert not descriptors() - before and kept.value.errno == errno.ENOSPC


async def test_a_stream_that_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pump is given up, so that buffer and descriptor are free when the cancellation comes out."""
    pump = Pump(asyncio.CancelledError())
    task = asyncio.create_task(streamed(monkeypatch, pump))
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pump.abandoned


async def test_reading_or_writing_at_once() -> None:
    """`begin_read` and `begin_write` send only when the connection can take all of it now."""
    tree, connection = scripted(lambda command, message: 0)
    future: Any = object()
    connection.begin = lambda element, *_, **__: (future, element)  # type: ignore[attr-defined]
    found: Any = data.begin_read(tree, OPENED, 1, 100)
    assert found[0] is future and found[1].command == Command.READ
    found = data.begin_write(tree, OPENED, 1, memoryview(b"data"))
    assert found[1].command == Command.WRITE and bytes(found[1].tail) == b"data"
    connection.largest = lambda limit: 64  # type: ignore[method-assign]
    assert data.begin_read(tree, OPENED, 1, 100) is None
    connection.lost = True
    assert data.begin_write(tree, OPENED, 1, memoryview(b"data")) is None
