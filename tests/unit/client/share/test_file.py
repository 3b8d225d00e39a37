"""An open file: its position, how it is closed, and when it is opened again on another connection."""

from __future__ import annotations

import asyncio
import os
from types import SimpleNamespace
from typing import Any, cast

import pytest
from unit.client.scripted import OPENED, ScriptedConnection, lasting, opened, queried, scripted

from frevo.client.errors import ConnectionLost, RemoteError, lost, remote_error
from frevo.client.lasting.connections import ShareConnections
from frevo.client.share.file import File, check_end
from frevo.client.tree import requests
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FileAllInformation, FileEndOfFileInformation
from frevo.wire.smb2 import (
    Command,
    CreateResponse,
    ReadRequest,
    ReadResponse,
    SetInfoRequest,
    WriteRequest,
    WriteResponse,
)

SIZE = 10
CONTENT = bytes(range(SIZE))


def server(command: Command, message: bytes) -> Any:
    """One file of SIZE bytes."""
    if command == Command.READ:
        request = ReadRequest.parse(message)
        data = CONTENT[request.offset : request.offset + request.length]
        return ReadResponse(data).pack() if data else int(NTStatus.END_OF_FILE)
    if command == Command.WRITE:
        return WriteResponse(len(WriteRequest.parse(message).data)).pack()
    if command == Command.QUERY_INFO:
        known = FileAllInformation.parse(bytes(104))
        known.end_of_file = SIZE
        return queried(known.pack())
    return opened(SIZE) if command == Command.CREATE else 0


def file(
    mode: str = "rb", answer: Any = server, share: int = requests.SHARE_ALL
) -> tuple[File, ScriptedConnection]:
    """A file that was opened with *mode*."""
    tree, connection = scripted(answer)
    request = requests.opening_for_mode("dir/a", mode, share)
    found = CreateResponse(file_id=OPENED, end_of_file=SIZE)
    return File(ShareConnections(lasting(tree), 1), tree, "dir/a", mode, request, found), connection


async def test_the_position() -> None:
    """Reading moves it, `pread` does not; appending begins at the end."""
    one, _ = file("r+b")
    assert await one.read(4) == CONTENT[:4] and one.tell() == 4
    assert await one.pread(2, 8) == CONTENT[8:] and one.tell() == 4
    assert await one.read() == CONTENT[4:] and await one.read() == b"" == await one.read(5)
    await one.close()
    end, _ = file("ab")
    assert end.tell() == SIZE
    await end.close()


@pytest.mark.parametrize(
    ("offset", "whence", "position"),
    [
        (3, os.SEEK_SET, 3),
        (3, os.SEEK_CUR, 5),
        (-2, os.SEEK_CUR, 0),
        (-3, os.SEEK_END, 7),
        (5, os.SEEK_END, 15),
    ],
)
async def test_seeking(offset: int, whence: int, position: int) -> None:
    """As in Python's files; only the end has to be asked for."""
    one, connection = file()
    one.seek_here(2)
    assert await one.seek(offset, whence) == position == one.tell()
    assert (Command.QUERY_INFO in connection.commands()) is (whence == os.SEEK_END)
    await one.close()


async def test_positions_that_cannot_be() -> None:
    """Before the beginning, or from nowhere; the position stays."""
    one, _ = file()
    for offset, whence in ((-1, os.SEEK_SET), (-1, os.SEEK_CUR), (0, 9)):
        with pytest.raises(ValueError, match=r"position|whence"):
            await one.seek(offset, whence)
    assert one.tell() == 0 and one.seekable()
    await one.close()


async def test_buffers() -> None:
    """Any writable contiguous memory can be read into, whatever its items; nothing is sent for none at all."""
    import array

    one, connection = file()

    async def exchange(element: Any, *_: Any, **__: Any) -> Any:
        element.sink[:8] = CONTENT[:8]
        return SimpleNamespace(status=0, size=8)

    connection.exchange = exchange  # type: ignore[method-assign]
    numbers = array.array("q", [0])
    assert await one.preadinto(numbers, 0) == 8 and numbers.tobytes() == CONTENT[:8]
    assert await one.preadinto(bytearray(), 0) == 0
    with pytest.raises(TypeError, match="read-only"):
        await one.preadinto(b"constant", 0)
    connection.exchange = ScriptedConnection.exchange.__get__(connection)  # type: ignore[method-assign]
    await one.close()


async def test_writing() -> None:
    """At the position or anywhere; nothing is sent for no data."""
    one, connection = file("wb")
    assert await one.write(b"abc") == 3 and await one.write(b"") == 0 and one.tell() == 3
    assert await one.pwrite(b"x", 100) == 1 and one.tell() == 3
    offsets = [WriteRequest.parse(m).offset for c, m in connection.sent if c == Command.WRITE]
    assert offsets == [0, 100]
    await one.truncate()
    end = FileEndOfFileInformation.parse(SetInfoRequest.parse(connection.sent[-1][1]).buffer)
    assert end.end_of_file == 3
    await one.flush()
    assert connection.commands()[-1] == Command.FLUSH
    await one.close()


@pytest.mark.parametrize(
    ("mode", "share", "waits"),
    [("rb", requests.SHARE_ALL, False), ("rb", 1, True), ("r+b", requests.SHARE_ALL, True), ("wb", 7, True)],
)
async def test_closing(mode: str, share: int, waits: bool) -> None:
    """Only a file that was read, by everybody, needs no answer to its CLOSE; a second close does nothing."""
    one, connection = file(mode, share=share)
    await one.close()
    await one.close()
    assert (connection.closed == [], connection.commands() == [Command.CLOSE]) == (waits, waits)
    assert one.closed and "closed" in repr(one)
    with pytest.raises(ValueError, match="closed"):
        await one.pread(1, 0)


async def test_a_close_that_fails() -> None:
    """The error of a late write is raised; a session that is gone has closed a file that was only read."""
    for mode, share, status, raises in (
        ("wb", 7, NTStatus.DISK_FULL, True),
        ("rb", 1, NTStatus.USER_SESSION_DELETED, False),
        ("wb", 7, NTStatus.USER_SESSION_DELETED, True),
    ):
        one, _ = file(mode, lambda command, message, status=status: int(status), share)
        if raises:
            with pytest.raises(OSError):
                await one.close()
        else:
            await one.close()


async def test_an_error_in_the_block() -> None:
    """It says more than one of CLOSE would, so that is not waited for."""
    one, connection = file("wb")
    with pytest.raises(RuntimeError):
        async with one:
            raise RuntimeError
    assert connection.closed == [OPENED] and connection.commands() == []


async def test_a_file_that_is_forgotten() -> None:
    """It warns, and is closed on the loop."""
    one, connection = file()
    soon: list[Any] = []
    connection.plane.soon = lambda *call: soon.append(call)
    with pytest.warns(ResourceWarning, match="dir/a"):
        one.__del__()
    assert [call[1:] for call in soon] == [(OPENED,)] and one.closed


class Reopened:
    """Makes another tree when asked, on which the file has the attributes of *now*."""

    def __init__(self, one: File, now: bytes) -> None:
        self.tree, self.connection = scripted(lambda command, message: now)
        self.one, self.count = one, 0
        share: Any = one._connections.first
        share.link.patience_s = 1.0
        share.renewed = self.renewed
        self.share = share

    async def renewed(self, gone: Any, error: RemoteError) -> Any:
        self.count += 1
        self.share.tree = self.tree
        return self.tree


async def test_opened_again() -> None:
    """A file that is only read continues with another open if it is the same, unchanged; once for all waiters."""
    one, _ = file()
    gone = one.tree
    again = Reopened(one, opened(SIZE, (7, 8)))
    await asyncio.gather(*(one.renewed(gone, lost("cut")) for _ in range(3)))
    assert (one.file_id, one.tree, again.count) == ((7, 8), again.tree, 1)
    await one.close()


@pytest.mark.parametrize(
    "changes", [{"size": SIZE + 1}, {"size": SIZE, "change_time": 5}, {"size": SIZE, "last_write_time": 5}]
)
async def test_changed_meanwhile(changes: dict[str, int]) -> None:
    """Another size or time: the bytes read so far and those to come do not belong together."""
    one, _ = file()
    again = Reopened(one, opened(**changes))
    with pytest.raises(ConnectionLost, match="changed or replaced"):
        await one.renewed(one.tree, lost("cut"))
    assert again.connection.closed == [OPENED]
    await one.close()


async def test_written_files_are_not_opened_again() -> None:
    """What was not confirmed may be missing: the error says so."""
    one, _ = file("r+b")
    again = Reopened(one, opened(SIZE))
    with pytest.raises(ConnectionLost, match="open for writing"):
        await one.renewed(one.tree, lost("cut"))
    assert again.count == 0
    await one.close()


async def test_an_expired_session() -> None:
    """A log-on that is renewed keeps the open, of a file that is written too."""
    one, _ = file("r+b")
    share: Any = one._connections.first

    async def renewed(gone: Any, error: RemoteError) -> Any:
        return gone

    share.renewed = renewed
    await one.renewed(one.tree, remote_error(NTStatus.NETWORK_SESSION_EXPIRED))
    assert one.file_id == OPENED
    await one.close()


async def test_the_end_of_what_was_read() -> None:
    """A file that is longer than what came is an error, one that was cut meanwhile is not."""
    one, _ = file()
    await check_end(one, SIZE)
    with pytest.raises(RemoteError, match="4 of 10 bytes"):
        await check_end(one, 4)
    await one.close()


async def test_large_transfers() -> None:
    """From eight MiB on they go to the pump; over several connections once that is worth it."""
    one, _ = file()
    cast(Any, one._connections)._for_one_file = one._connections.most = 4
    assert one._opens_worth_it(8 << 20) is None
    assert one._opens_worth_it(60 << 20) is not None
    assert one._opens_worth_it(1 << 20) is None  # too small to divide
    await one.close()
