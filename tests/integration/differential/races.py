"""Requests of two connections that are under way at once, so that several outcomes are right. Each race has a file of
its own, says what must hold whatever comes first, and leaves nothing that later steps could see."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pair.client import ASYNC, Client, FileId, Reply

from frevo.wire.erref import NTStatus
from frevo.wire.fscc import (
    FileBasicInformation,
    FileDispositionInformation,
    FileEndOfFileInformation,
    FileInfoClass,
)
from frevo.wire.smb2 import (
    CancelRequest,
    CloseRequest,
    Command,
    CreateResponse,
    InfoType,
    LockElement,
    LockRequest,
    SetInfoRequest,
    WriteRequest,
)

if TYPE_CHECKING:
    from integration.differential.actors import Actors

NAME = "race"
_WAIT_S = 10.0
_THEN = 131_000_000_000_000_000  # 2016


def cancelled(client: Client, number: int) -> Reply:
    """The final response to a request that is cancelled once it waits."""
    deadline = time.monotonic() + _WAIT_S
    while not (answers := client.answers(number)):
        assert time.monotonic() < deadline, "neither an interim nor a final response"
    if answers[0].status == NTStatus.PENDING:
        fields = {"message_id": number, "async_id": answers[0].header.async_id}
        before = client.next_id
        client.send(Command.CANCEL, CancelRequest().pack(), flags=ASYNC, credits=0, charge=0, **fields)
        client.next_id = before
    return client.wait(number)


class Race:
    """A writer and another client with an open each of one file of *count* blocks of *length* bytes."""

    def __init__(self, actors: Actors, length: int, count: int) -> None:
        self.actors, self.length, self.count = actors, length, count
        self.path: Path = actors.folder / NAME
        self.writer, self.other = actors.clients[0], actors.clients[1]
        for client in (self.writer, self.other):
            client.replies.clear()
        self.file, self.others = self._open(self.writer), self._open(self.other)
        first = self.writer.write(self.file, 0, bytes([1]) * length * count)
        assert first.status == NTStatus.SUCCESS

    def _open(self, client: Client) -> FileId:
        body = self.actors.create(NAME)
        return client.call(Command.CREATE, body).ok(CreateResponse).file_id

    def start(self, fill: int) -> list[int]:
        """WRITEs of all blocks, one each, sent and not waited for."""
        data, options = bytes([fill]) * self.length, self.actors.options()
        return [
            self.writer.send(
                Command.WRITE, WriteRequest(self.file, number * self.length, data).pack(), **options
            )
            for number in range(self.count)
        ]

    def ends(self, numbers: list[int], *allowed: NTStatus) -> list[NTStatus]:
        """Waits for the WRITEs, each of which has succeeded or has one of these."""
        found = [self.writer.wait(number).status for number in numbers]
        assert set(found) <= {NTStatus.SUCCESS, *allowed}, [one.name for one in found]
        return found

    def put(self, info: int, body: bytes) -> Reply:
        asked = SetInfoRequest(InfoType.FILE, info, 0, self.others, body).pack()
        return self.other.call(Command.SET_INFO, asked)

    def blocks(self) -> list[int]:
        """What each block on disk is filled with; no block has two contents."""
        content = self.path.read_bytes()
        pieces = [content[at : at + self.length] for at in range(0, len(content), self.length)]
        assert all(len(set(piece)) == 1 for piece in pieces), "a block with parts of two writes"
        return [piece[0] for piece in pieces]

    def end(self) -> None:
        for client, file in ((self.writer, self.file), (self.other, self.others)):
            client.call(Command.CLOSE, CloseRequest(0, file).pack())
            client.replies.clear()
        self.path.unlink(missing_ok=True)


def run(kind: str, actors: Actors, length: int, count: int) -> str:
    """AssertionError if it ended as it must not."""
    race = Race(actors, length, count)
    try:
        _KINDS[kind](race)
    finally:
        race.end()
    return kind


def _lock(race: Race) -> None:
    """Once a lock is granted, no write by others is done, though it was sent before."""
    numbers = race.start(2)
    lock = LockElement(0, 2**40, 0x2)
    reply = race.other.call(Command.LOCK, LockRequest(race.others, [lock]).pack())
    assert reply.status == NTStatus.SUCCESS
    granted = race.blocks()
    statuses = race.ends(numbers, NTStatus.FILE_LOCK_CONFLICT)
    assert race.blocks() == granted, "a write was done under another's lock"
    assert granted == [2 if one == NTStatus.SUCCESS else 1 for one in statuses]
    unlock = LockElement(0, 2**40, 0x4)
    assert race.other.call(Command.LOCK, LockRequest(race.others, [unlock]).pack()).status == 0
    race.ends(race.start(3))
    assert race.blocks() == [3] * race.count


def _close(race: Race) -> None:
    """Once a CLOSE is answered, no write through that open is done."""
    numbers = race.start(2)
    reply = race.writer.call(Command.CLOSE, CloseRequest(0, race.file).pack())
    assert reply.status == NTStatus.SUCCESS
    closed = race.blocks()
    statuses = race.ends(numbers, NTStatus.FILE_CLOSED)
    assert race.blocks() == closed == [2 if one == NTStatus.SUCCESS else 1 for one in statuses]
    race.file = race._open(race.writer)


def _size(race: Race) -> None:
    """Writes past a new end of the file make it longer again, with nothing between."""
    numbers = race.start(2)
    end = FileEndOfFileInformation(race.length).pack()
    assert race.put(FileInfoClass.END_OF_FILE, end).status == NTStatus.SUCCESS
    race.ends(numbers)
    blocks = race.blocks()
    assert blocks[0] == 2 and set(blocks[1:]) <= {0, 2}, blocks
    assert not blocks[1:] or blocks[-1] == 2, "longer than what was written last"


def _overwrite(race: Race) -> None:
    """Another's open that truncates the file is before or after each of the writes."""
    numbers = race.start(2)
    body = race.actors.create(NAME, create_disposition=5)
    made = race.other.call(Command.CREATE, body).ok(CreateResponse)
    race.ends(numbers)
    blocks = race.blocks()
    assert set(blocks) <= {0, 2} and (not blocks or blocks[-1] == 2), blocks
    race.other.call(Command.CLOSE, CloseRequest(0, made.file_id).pack())


def _dispose(race: Race) -> None:
    """A file that is to be deleted can be written until its last open is closed."""
    numbers = race.start(2)
    gone = FileDispositionInformation(True).pack()
    assert race.put(FileInfoClass.DISPOSITION, gone).status == NTStatus.SUCCESS
    race.ends(numbers)
    assert race.blocks() == [2] * race.count
    race.end()
    assert not race.path.exists()


def _time(race: Race) -> None:
    """A last write time that is set is not changed by writes that are done already; it is by those sent later."""
    numbers = race.start(2)
    set_to = FileBasicInformation(last_write_time=_THEN).pack()
    assert race.put(FileInfoClass.BASIC, set_to).status == NTStatus.SUCCESS
    done = race.path.read_bytes() == bytes([2]) * race.length * race.count
    found = _written(race.path)
    race.ends(numbers)
    assert not done or _written(race.path) == found, "changed by a write that was done before"
    race.ends(race.start(3))
    assert _written(race.path) > _THEN


def _written(path: Path) -> int:
    return path.stat().st_mtime_ns // 100 + 116_444_736_000_000_000


_KINDS: dict[str, Callable[[Race], None]] = {
    "lock": _lock, "close": _close, "size": _size, "overwrite": _overwrite, "dispose": _dispose, "time": _time,
}  # fmt: skip
