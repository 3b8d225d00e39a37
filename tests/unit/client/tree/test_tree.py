"""A share on the wire: what failed requests raise, what is closed, and how a compound is sent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from unit.client.scripted import HEADER, OPENED, opened, scripted

from frevo.client.connection.messages import Element, Reply
from frevo.client.errors import ConnectionLost, RemoteError
from frevo.client.tree import requests
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FileInfoClass
from frevo.wire.smb2 import CloseRequest, Command, CreateDisposition, EchoRequest, IoctlResponse

READ = requests.opening("dir/a", requests.READ_ATTRIBUTES)
MAKE = requests.opening("dir/a", requests.READ_ATTRIBUTES, disposition=int(CreateDisposition.CREATE))


async def test_create_gives_the_open() -> None:
    """The answer has the FileId; the request names the path as Windows writes it."""
    tree, connection = scripted(lambda command, message: opened(5))
    found = await tree.create(READ, "dir/a")
    assert (found.file_id, found.end_of_file) == (OPENED, 5)
    assert [one.name for one in connection.creates()] == ["dir\\a"]


async def test_a_name_that_is_not_found_when_a_file_is_made() -> None:
    """OBJECT_NAME_NOT_FOUND means that nothing is there, or, when a file is to be made, that the name is forbidden."""
    tree, _ = scripted(lambda command, message: int(NTStatus.OBJECT_NAME_NOT_FOUND))
    with pytest.raises(FileNotFoundError, match="no such file"):
        await tree.create(READ, "dir/a")
    with pytest.raises(FileNotFoundError, match="does not allow files with this name"):
        await tree.create(MAKE, "dir/a")


async def test_an_abandoned_create_is_closed() -> None:
    """If nobody waits for the response any more, what it opened is closed; a refusal needs no action."""
    tree, connection = scripted(lambda command, message: opened())
    await tree.create(READ, "a")
    undo = connection.elements[0].on_abandoned
    assert undo is not None
    undo(Reply(int(NTStatus.ACCESS_DENIED), b""))
    assert connection.closed == []
    undo(Reply(0, HEADER + opened(file_id=(5, 6))))
    assert connection.closed == [(5, 6)]


@pytest.mark.parametrize(
    ("statuses", "error"),
    [
        ((NTStatus.SUCCESS, NTStatus.SUCCESS, NTStatus.SUCCESS), None),
        ((NTStatus.SUCCESS, NTStatus.BUFFER_OVERFLOW, NTStatus.SUCCESS), None),  # the query has data
        ((NTStatus.SUCCESS, NTStatus.NO_EAS_ON_FILE, NTStatus.SUCCESS), None),  # allowed by this caller
        ((NTStatus.ACCESS_DENIED, NTStatus.SUCCESS, NTStatus.SUCCESS), PermissionError),
        ((NTStatus.SUCCESS, NTStatus.ACCESS_DENIED, NTStatus.SUCCESS), PermissionError),
        ((NTStatus.SUCCESS, NTStatus.SUCCESS, NTStatus.DISK_FULL), OSError),
    ],
)
async def test_with_open(statuses: tuple[int, int, int], error: type[OSError] | None) -> None:
    """The first of the three that failed is raised: CREATE, the request in the middle, CLOSE."""
    left = iter(statuses)
    tree, connection = scripted(lambda command, message: (int(next(left)), opened()))
    query = requests.query_file(FileInfoClass.ALL)

    async def work() -> Any:
        return await tree.with_open(READ, "a", query, allow=(NTStatus.NO_EAS_ON_FILE,))

    if error is None:
        found, (reply,) = await work()
        assert found.file_id == OPENED and reply.status == statuses[1]
    else:
        with pytest.raises(error):
            await work()
    assert connection.commands() == [Command.CREATE, Command.QUERY_INFO, Command.CLOSE]


async def test_few_credits() -> None:
    """With fewer credits than a compound may need, its requests are sent one by one, each with the FileId."""
    tree, connection = scripted(lambda command, message: opened())
    connection.credits_held = 7
    await tree.with_open(READ, "a")
    command, close = connection.sent[-1]
    assert command == Command.CLOSE and CloseRequest.parse(close).file_id == OPENED


@pytest.mark.parametrize(("most", "single"), [(3, False), (2, True)])
async def test_longest_compound(most: int, single: bool) -> None:
    """More requests than a message of the transport may have are sent one by one."""
    tree, connection = scripted(lambda command, message: opened())
    connection.compound_max = most
    await tree.with_open(READ, "a", requests.query_file(FileInfoClass.ALL))
    _, close = connection.sent[-1]
    assert (CloseRequest.parse(close).file_id == OPENED) == single


async def test_one_request() -> None:
    """A status other than success is raised unless the caller allows it."""
    tree, _ = scripted(lambda command, message: int(NTStatus.END_OF_FILE))
    element = Element(Command.ECHO, EchoRequest().pack())
    assert (await tree.one(element, allow=(NTStatus.END_OF_FILE,))).status == NTStatus.END_OF_FILE
    with pytest.raises(RemoteError) as caught:
        await tree.one(element, "dir/a")
    assert caught.value.ntstatus == NTStatus.END_OF_FILE and caught.value.filename == "dir/a"


async def test_an_ioctl_that_overflows() -> None:
    """BUFFER_OVERFLOW comes with data, so it is an answer and no error; the charge covers the larger direction."""
    body = IoctlResponse(1, OPENED, output_buffer=b"some").pack()
    tree, connection = scripted(lambda command, message: (int(NTStatus.BUFFER_OVERFLOW), body))
    assert (await tree.ioctl(1, b"x", 200_000)).output_buffer == b"some"
    assert connection.elements[0].charge == 4


async def test_closing_without_waiting() -> None:
    """A CLOSE that cannot be sent now is sent later; its error is ignored, and `settled` waits for it."""
    tree, connection = scripted(lambda command, message: int(NTStatus.FILE_CLOSED))
    connection.send_unawaited = lambda *_: False  # type: ignore[method-assign]
    tree.close_later(OPENED)
    await asyncio.wait_for(tree.settled(), 5)
    assert connection.commands() == [Command.CLOSE] and connection.settled == 1


async def test_disconnecting() -> None:
    """TREE_DISCONNECT waits for the closes first; if the connection is lost by then, the caller gets the error."""
    tree, connection = scripted(lambda command, message: 0)
    await tree.disconnect()
    assert (connection.commands(), connection.settled) == ([Command.TREE_DISCONNECT], 1)

    def cut(command: Command, message: bytes) -> int:
        raise ConnectionLost(104, "cut")

    connection.answer = cut
    with pytest.raises(ConnectionLost):
        await tree.disconnect()
