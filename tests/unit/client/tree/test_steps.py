"""A compound sent request by request gives the same responses as the compound."""

from __future__ import annotations

import asyncio

import pytest

from frevo.client.connection.messages import Element, FileId, Reply
from frevo.client.tree import requests
from frevo.client.tree.steps import in_steps
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FileInfoClass
from frevo.wire.smb2 import (
    ANY_FILE_ID,
    CloseRequest,
    Command,
    CreateResponse,
    FlushRequest,
    QueryInfoRequest,
)

OPENED: FileId = (11, 22)
CREATE = Element(Command.CREATE, requests.opening("a", requests.READ_ATTRIBUTES).pack())
QUERY = requests.query_file(FileInfoClass.ALL)
CLOSE = Element(Command.CLOSE, CloseRequest(0, ANY_FILE_ID).pack())


class Server:
    """Answers with the *statuses* in turn; a CREATE opens OPENED."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.asked: list[Element] = []
        self.closed: list[FileId] = []

    async def exchange(self, element: Element) -> Reply:
        self.asked.append(element)
        status = self.statuses.pop(0)
        body = CreateResponse(file_id=OPENED).pack() if element.command == Command.CREATE else b""
        return Reply(status, bytes(64) + body)

    async def run(self, *elements: Element) -> list[int]:
        return [reply.status for reply in await in_steps(elements, self.exchange, self.closed.append)]


async def test_what_was_opened_is_named() -> None:
    """The requests after CREATE carry the FileId that it returned, instead of the placeholder."""
    server = Server(0, int(NTStatus.BUFFER_OVERFLOW), 0)
    assert await server.run(CREATE, QUERY, CLOSE) == [0, NTStatus.BUFFER_OVERFLOW, 0]
    _, query, close = server.asked
    assert QueryInfoRequest.parse(bytes(64) + query.body).file_id == OPENED
    assert CloseRequest.parse(bytes(64) + close.body).file_id == OPENED
    assert server.closed == []


async def test_an_open_file() -> None:
    """Without a CREATE the others use the file of the first one."""
    server = Server(0, 0)
    first = Element(Command.FLUSH, FlushRequest((3, 4)).pack())
    assert await server.run(first, QUERY) == [0, 0]
    assert QueryInfoRequest.parse(bytes(64) + server.asked[1].body).file_id == (3, 4)


async def test_a_create_that_fails() -> None:
    """All others get its status and are not sent."""
    server = Server(int(NTStatus.OBJECT_NAME_NOT_FOUND))
    assert await server.run(CREATE, QUERY, CLOSE) == [NTStatus.OBJECT_NAME_NOT_FOUND] * 3
    assert len(server.asked) == 1


async def test_an_error_in_between() -> None:
    """A request that fails does not keep the next ones from being sent, as in a compound."""
    server = Server(0, int(NTStatus.ACCESS_DENIED), 0)
    assert await server.run(CREATE, QUERY, CLOSE) == [0, NTStatus.ACCESS_DENIED, 0]


async def test_cancelled_nothing_stays_open() -> None:
    """What the series has opened is closed when it ends early, also what CREATE opens after that."""
    server = Server(0)
    with pytest.raises(IndexError):  # the server says nothing more
        await server.run(CREATE, QUERY)
    assert server.closed == [OPENED]

    reached = asyncio.Event()

    async def silent(element: Element) -> Reply:
        server.asked = [element]
        reached.set()
        await asyncio.Event().wait()
        raise AssertionError

    series = asyncio.create_task(in_steps((CREATE, QUERY), silent, server.closed.append))
    await reached.wait()
    series.cancel()
    with pytest.raises(asyncio.CancelledError):
        await series
    late = server.asked[0].on_abandoned
    assert late is not None
    late(Reply(0, bytes(64) + CreateResponse(file_id=(5, 6)).pack()))
    late(Reply(int(NTStatus.ACCESS_DENIED), b""))
    assert server.closed == [OPENED, (5, 6)]
