"""Writes under way when something ends, over the pair: what was begun is completed, nothing comes late."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from peers.late import Late

from frevo.aio import features
from frevo.aio.ring import Ring
from frevo.vfs import handle
from frevo.vfs.transfer import append_once
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FileInfoClass, FilePositionInformation, FsctlCode
from frevo.wire.smb2 import (
    CancelRequest,
    CloseFlags,
    CloseRequest,
    CloseResponse,
    Command,
    CreateOptions,
    CreateRequest,
    IoctlRequest,
    LogoffRequest,
    TreeDisconnectRequest,
    WriteRequest,
    WriteResponse,
)
from pair.client import Client
from pair.conftest import MakePair
from pair.file_calls import queried
from pair.held import Held
from pair.machine import Pair

FileId = tuple[int, int]
DATA = b"late" * 30_000


def until(pair: Pair, condition: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if condition():
            return
        pair.turn()
    raise AssertionError("it never happens")


class UnderWay:
    """A server whose ring does nothing until the test says so, and a WRITE that waits there."""

    def __init__(self, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pair = pair
        self.client = pair.logged_on()
        self.late = Late(pair.inside(Ring.of, pair.loop), monkeypatch)

    def open(self, **fields: object) -> FileId:
        return self.client.open("file", desired_access=0x10003, share_access=0, **fields)

    def write(self, file_id: FileId) -> int:
        message_id = self.client.send(Command.WRITE, WriteRequest(file_id, 0, DATA).pack(), charge=2)
        self.until(lambda: bool(self.late.asked))
        return message_id

    def until(self, condition: Callable[[], bool]) -> None:
        until(self.pair, condition)

    def let_go(self) -> None:
        self.pair.inside(self.late.let_go)

    def other_opens(self) -> NTStatus:
        """The status for another user who opens the file."""
        other = self.pair.logged_on()
        return other.call(Command.CREATE, CreateRequest(name="file", desired_access=3).pack()).status


@pytest.fixture(params=["threads", "uring"])
def held(request: pytest.FixtureRequest, make_pair: MakePair, monkeypatch: pytest.MonkeyPatch) -> UnderWay:
    """With each engine of the ring."""
    if request.param == "uring" and not features.probe().available:
        pytest.skip(features.probe().reason)
    monkeypatch.setenv(features.ENGINE_VARIABLE, request.param)
    return UnderWay(make_pair(), monkeypatch)


def test_cancel_does_not_call_a_write_undone(held: UnderWay) -> None:
    """Goal: what cannot be undone is answered as done. Method: CANCEL of a WRITE that a worker has."""
    message_id = held.write(held.open())
    held.client.send(Command.CANCEL, CancelRequest().pack(), message_id=message_id)
    held.pair.turn()
    assert held.client.answers(message_id) == []
    held.let_go()
    assert held.client.wait(message_id).ok(WriteResponse).count == len(DATA)
    assert (held.pair.root / "share" / "file").read_bytes() == DATA


def test_close_comes_after_the_write(held: UnderWay) -> None:
    """Goal: once CLOSE is answered, nothing reaches the file. Method: CLOSE behind a WRITE that is held up: no
    response, the FileId is gone, others are kept out; then both responses, and the size that the write has made."""
    file_id = held.open()
    writing = held.write(file_id)
    closing = held.client.send(Command.CLOSE, CloseRequest(int(CloseFlags.POSTQUERY_ATTRIB), file_id).pack())
    assert held.client.close(file_id).status == NTStatus.FILE_CLOSED
    assert held.client.answers(closing) == held.client.answers(writing) == []
    assert held.other_opens() == NTStatus.SHARING_VIOLATION
    held.let_go()
    assert held.client.wait(closing).ok(CloseResponse).end_of_file == len(DATA)
    assert held.client.wait(writing).ok(WriteResponse).count == len(DATA)
    assert held.other_opens() == NTStatus.SUCCESS


def test_who_appends_comes_behind_all_others(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: what is written at the end of a file is behind what others write there at that time, with an offset or
    without ([MS-FSA] 2.1.5.4: a negative one). Method: a large WRITE at the end that is held up; then a small one,
    which nothing else would hold up, and a large one; and meanwhile one at the offset that is still the end."""
    held = Held()

    def late(fd: int, data: bytes) -> tuple[int, int]:
        if len(data) > 1000:
            held.wait()
        return append_once(fd, data)

    monkeypatch.setattr(handle, "append_once", late)
    client = pair.logged_on()
    opens = client.open("log"), client.open("log")
    parts = [b"1" * 100_000, b"2" * 10, b"3" * 100_000]
    sent = [
        client.send(Command.WRITE, WriteRequest(opens[index % 2], 2**64 - 1, part).pack(), charge=2)
        for index, part in enumerate(parts)
    ]
    until(pair, lambda: held.begun.acquire(blocking=False))
    assert client.answers(sent[1]) == []
    assert client.write(opens[1], 0, b"first").ok(WriteResponse).count == 5
    held.let_go(pair)
    for part, message_id in zip(parts, sent, strict=True):
        assert client.wait(message_id).ok(WriteResponse).count == len(part)
    assert (pair.root / "share" / "log").read_bytes() == b"".join((b"first", *parts))
    position = queried(client, opens[0], FilePositionInformation, FileInfoClass.POSITION)
    assert position.current_byte_offset == 200_015


def test_zeros_keep_nobody_waiting(held: UnderWay) -> None:
    """Goal: a file of very many extents takes seconds to be zeroed, and only its user waits. Method: SET_ZERO_DATA
    that is held up; another user is answered meanwhile, CLOSE of the file only after it."""
    file_id = held.open()
    (held.pair.root / "share" / "file").write_bytes(DATA)
    asked = IoctlRequest(
        int(FsctlCode.SET_ZERO_DATA), file_id, (4096).to_bytes(8, "little") + len(DATA).to_bytes(8, "little")
    )
    zeroing = held.client.send(Command.IOCTL, asked.pack())
    held.until(lambda: bool(held.late.asked))
    assert held.other_opens() == NTStatus.SHARING_VIOLATION
    closing = held.client.send(Command.CLOSE, CloseRequest(0, file_id).pack())
    held.pair.turn()
    assert held.client.answers(closing) == held.client.answers(zeroing) == []
    held.let_go()
    assert held.client.wait(zeroing).status == held.client.wait(closing).status == NTStatus.SUCCESS
    assert (held.pair.root / "share" / "file").read_bytes() == DATA[:4096] + bytes(len(DATA) - 4096)


@pytest.mark.parametrize("how", ["tree", "logoff"])
def test_what_ends_an_open_comes_after_the_write(held: UnderWay, how: str) -> None:
    """Goal: the same for TREE_DISCONNECT and LOGOFF. Method: each behind a WRITE that is held up."""
    writing = held.write(held.open())
    if how == "tree":
        ending = held.client.send(Command.TREE_DISCONNECT, TreeDisconnectRequest().pack())
    else:
        ending = held.client.send(Command.LOGOFF, LogoffRequest().pack())
    held.pair.turn()
    assert held.client.answers(ending) == []
    assert held.other_opens() == NTStatus.SHARING_VIOLATION
    held.let_go()
    assert held.client.wait(ending).status == NTStatus.SUCCESS
    assert held.client.wait(writing).status == NTStatus.SUCCESS
    assert held.other_opens() == NTStatus.SUCCESS


def test_a_session_is_replaced_after_its_writes(held: UnderWay) -> None:
    """Goal: a client that comes back with PreviousSessionId and writes again is not overtaken by an older write.
    Method: such a log-on behind a WRITE that is held up, no response until it is done; then the file is free, and new
    data stays."""
    held.write(held.open())
    assert held.client.session is not None
    new, done = held.pair.connect(), []
    new.negotiate()

    def let_go() -> None:
        done.append(True)
        held.late.let_go()

    held.pair.loop.call_later(0.1, let_go)
    new.log_on(previous_session_id=held.client.session.id)
    assert done
    new.connect_tree()
    file_id = new.open("file", share_access=0)
    assert new.write(file_id, 0, b"again").ok(WriteResponse).count == 5
    assert (held.pair.root / "share" / "file").read_bytes()[:5] == b"again"


@pytest.mark.parametrize("delete", [False, True])
def test_a_lost_connection(held: UnderWay, delete: bool) -> None:
    """Goal: the write of a client that is gone reaches its own file or none. Method: the connection ends under a WRITE
    that is held up; another user opens files; then it continues, and the file is closed, or deleted if requested."""
    options = int(CreateOptions.DELETE_ON_CLOSE) if delete else 0
    held.write(held.open(create_options=options))
    held.client.disconnect()
    held.pair.turn()
    assert not held.pair.server.opens and len(held.pair.server.files) == 1
    other: Client = held.pair.logged_on()
    for number in range(8):
        other.open(f"other{number}")
    held.let_go()
    held.until(lambda: len(held.pair.server.files) == 8)
    share = held.pair.root / "share"
    assert [(share / f"other{number}").stat().st_size for number in range(8)] == [0] * 8
    assert (share / "file").exists() != delete
    if not delete:
        assert (share / "file").read_bytes() == DATA


def test_the_server_stops(held: UnderWay) -> None:
    """Goal: a server that stops under a write closes nothing too early. Method: everything ends, then the write."""
    held.write(held.open())
    held.pair.inside(held.pair.server.close_all)
    held.pair.turn()
    held.let_go()
    held.until(lambda: not len(held.pair.server.files))
    assert (held.pair.root / "share" / "file").read_bytes() == DATA
