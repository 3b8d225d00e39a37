"""Small files in one compound: what is sent, and what is left after an error."""

from __future__ import annotations

from typing import Any

import pytest
from unit.client.scripted import opened, scripted

from frevo.client.transfer.small import read_small, write_small
from frevo.wire.dtyp.filetime import from_unix_ns
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FileBasicInformation, FileDispositionInformation
from frevo.wire.smb2 import (
    Command,
    CreateDisposition,
    FileAccess,
    ReadRequest,
    ReadResponse,
    SetInfoRequest,
    WriteRequest,
    WriteResponse,
)


def server(**statuses: int) -> Any:
    """Answers each command with success, or with the status that is given for its name."""

    def answer(command: Command, message: bytes) -> Any:
        bodies = {
            Command.CREATE: opened(),
            Command.READ: ReadResponse(b"data").pack(),
            Command.WRITE: WriteResponse(statuses.get("written", 4)).pack(),
        }
        return int(statuses.get(command.name, 0)), bodies.get(command, b"")

    return answer


async def test_reading() -> None:
    """CREATE, READ and CLOSE in one compound."""
    tree, connection = scripted(server())
    assert await read_small(tree, "dir/a", 10) == b"data"
    assert connection.commands() == [Command.CREATE, Command.READ, Command.CLOSE]
    assert ReadRequest.parse(connection.sent[1][1]).length == 10


async def test_an_empty_file() -> None:
    """END_OF_FILE is no error; a read of nothing asks for one byte, as servers may refuse zero."""
    tree, connection = scripted(server(READ=NTStatus.END_OF_FILE))
    assert await read_small(tree, "a", 0) == b""
    assert ReadRequest.parse(connection.sent[1][1]).length == 1


@pytest.mark.parametrize("command", ["CREATE", "READ"])
async def test_a_file_that_cannot_be_read(command: str) -> None:
    """The server's error, whichever request it is of."""
    tree, _ = scripted(server(**{command: NTStatus.ACCESS_DENIED}))
    with pytest.raises(PermissionError, match="dir/a"):
        await read_small(tree, "dir/a", 10)


async def test_writing() -> None:
    """The file is replaced, and its time is set after the data."""
    tree, connection = scripted(server())
    await write_small(tree, "a", b"data", 5_000_000_000)
    assert connection.commands() == [Command.CREATE, Command.WRITE, Command.SET_INFO, Command.CLOSE]
    assert connection.creates()[0].create_disposition == CreateDisposition.OVERWRITE_IF
    assert bytes(WriteRequest.parse(connection.sent[1][1]).data) == b"data"
    basic = FileBasicInformation.parse(SetInfoRequest.parse(connection.sent[2][1]).buffer)
    assert basic.last_write_time == from_unix_ns(5_000_000_000)


async def test_writing_nothing() -> None:
    """An empty file without a time needs neither WRITE nor SET_INFO."""
    tree, connection = scripted(server())
    await write_small(tree, "a", b"", None)
    assert connection.commands() == [Command.CREATE, Command.CLOSE]


async def test_a_name_that_is_refused() -> None:
    """Nothing was opened, so nothing is removed."""
    tree, connection = scripted(server(CREATE=NTStatus.OBJECT_NAME_NOT_FOUND))
    with pytest.raises(FileNotFoundError, match="does not allow files with this name"):
        await write_small(tree, "a", b"data", None)
    assert len(connection.creates()) == 1


@pytest.mark.parametrize("statuses", [{"WRITE": NTStatus.DISK_FULL}, {"written": 3}])
async def test_data_that_is_not_written(statuses: dict[str, int]) -> None:
    """An error or a short write leaves no half a file: it is removed, as its old content is gone anyway."""
    tree, connection = scripted(server(**statuses))
    with pytest.raises(OSError, match="full"):
        await write_small(tree, "a", b"data", None)
    remove = connection.creates()[1]
    assert remove.desired_access & FileAccess.DELETE
    disposition = [SetInfoRequest.parse(m) for c, m in connection.sent if c == Command.SET_INFO][-1]
    assert FileDispositionInformation.parse(disposition.buffer).delete_pending


async def test_a_file_that_cannot_be_removed_either() -> None:
    """The error of the write is the one that is raised."""
    tree, _ = scripted(server(WRITE=NTStatus.DISK_FULL, SET_INFO=NTStatus.ACCESS_DENIED))
    with pytest.raises(OSError, match="full"):
        await write_small(tree, "a", b"data", None)
