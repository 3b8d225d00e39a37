"""WRITE and FLUSH by the data plane: what the server does in their place, seen from outside, must be the same."""

from __future__ import annotations

import os
import random
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from frevo.vfs.handle import LocalHandle
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import (
    FileBasicInformation,
    FileDispositionInformation,
    FileEndOfFileInformation,
    FileInfoClass,
    FileModeInformation,
    FilePositionInformation,
    FileRenameInformation,
)
from frevo.wire.smb2 import (
    Command,
    CreateOptions,
    CreateResponse,
    FlushRequest,
    IoctlRequest,
    ReadRequest,
    SetInfoRequest,
    WriteRequest,
    WriteResponse,
)
from pair.client import Client, Element, FileId, create_request
from pair.conftest import MakePair
from pair.file_calls import EXCLUSIVE, NOW, UNLOCK, folder, lock, put, queried
from pair.machine import Pair
from pair.test_notifying import ask, told

pytestmark = pytest.mark.fast_path

THEN = 132_000_000_000_000_000  # 2019


def counts(pair: Pair) -> tuple[int, int]:
    """How many WRITEs and FLUSHes the data plane has answered."""
    statistics = pair.transport.statistics()
    return statistics["fast_writes"], statistics["fast_flushes"]


def attached(client: Client, name: str = "file", **fields: int) -> FileId:
    """An open whose WRITEs the data plane answers: after the first."""
    file_id = client.open(name, **fields)
    assert client.write(file_id, 0, b"first").ok(WriteResponse).count == 5
    return file_id


def status(client: Client, request: WriteRequest) -> NTStatus:
    return client.call(Command.WRITE, request.pack()).status


@pytest.mark.parametrize("encrypt", [False, True])
def test_the_second_write_is_answered_by_the_data_plane(pair: Pair, encrypt: bool) -> None:
    """Goal: count, data and position of a WRITE, protected as the request was. Method: signed and encrypted."""
    client = pair.logged_on()
    assert client.session is not None
    client.session.encrypt = encrypt
    file_id = attached(client)
    reply = client.write(file_id, 3, b"0123456789" * 10_000)
    assert reply.ok(WriteResponse).count == 100_000
    assert (reply.encrypted, reply.signed) == (encrypt, not encrypt)
    assert counts(pair)[0] == 1
    assert (pair.root / "share" / "file").read_bytes() == b"fir" + b"0123456789" * 10_000
    position = queried(client, file_id, FilePositionInformation, FileInfoClass.POSITION)
    assert position.current_byte_offset == 100_003


def test_who_may_only_write_or_only_read(pair: Pair) -> None:
    """Goal: access is checked on both paths. Method: an open for appending alone, one for reading alone, attached."""
    client = pair.logged_on()
    writer = attached(client, desired_access=0x0012_0084)
    assert client.write(writer, 5, b"more").ok(WriteResponse).count == 4
    assert counts(pair)[0] == 1
    reader = client.open("file", desired_access=0x0012_0089)
    assert client.read(reader, 0, 9) == client.read(reader, 0, 9) == b"firstmore"
    for _ in range(2):
        assert status(client, WriteRequest(reader, 0, b"x")) == NTStatus.ACCESS_DENIED
        flush = client.call(Command.FLUSH, FlushRequest(reader).pack())
        assert flush.status == NTStatus.ACCESS_DENIED
    assert counts(pair) == (1, 0)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"flags": 3}, NTStatus.SUCCESS),
        ({"flags": 1}, NTStatus.INVALID_PARAMETER),  # through a buffer
        ({"offset": 2**64 - 1}, NTStatus.SUCCESS),
        ({"remaining_bytes": 1}, NTStatus.SUCCESS),
        ({"data": b""}, NTStatus.SUCCESS),
        ({"channel": 1}, NTStatus.INVALID_PARAMETER),
        ({"offset": 2**63 - 1}, NTStatus.INVALID_PARAMETER),
        ({"data": bytes(70_000)}, NTStatus.INVALID_PARAMETER),  # not paid for
    ],
)
def test_unusual_writes_are_the_servers(pair: Pair, change: dict[str, object], wanted: NTStatus) -> None:
    """Goal: whatever the data plane does not know goes up, and has the server's answer. Method: one thing at a time."""
    client = pair.logged_on()
    file_id = attached(client)
    values: dict[str, object] = {"offset": 7, "data": b"data", **change}
    assert status(client, WriteRequest(file_id, **values)) == wanted  # type: ignore[arg-type]
    assert counts(pair)[0] == 0
    replay = client.call(Command.WRITE, WriteRequest(file_id, 7, b"data").pack(), flags=0x2000_0000)
    assert replay.status == NTStatus.SUCCESS and counts(pair)[0] == 0, "a replay"
    assert status(client, WriteRequest(file_id, 7, b"data", flags=2)) == NTStatus.SUCCESS
    assert counts(pair)[0] == 1, "unbuffered"


@pytest.mark.parametrize("fast", ["yes", "no"])
def test_what_comes_late_from_another_channel_changes_nothing(make_pair: MakePair, fast: str) -> None:
    """Goal: ChannelSequence is verified alike on both paths, newer ones are fast, and requests that are older change
    nothing ([MS-SMB2] 3.3.5.2.10). Method: each command with newer and older ones, around the end of 16 bits, too."""
    pair = make_pair({"frevo:fast path": fast})
    client = pair.logged_on()
    file_id = attached(client)

    def write(sequence: int, data: bytes) -> NTStatus:
        # The upper half of the field is reserved.
        body = WriteRequest(file_id, 0, data).pack()
        return client.call(Command.WRITE, body, status=0xABCD_0000 | sequence).status

    def other(command: Command, body: bytes, sequence: int) -> NTStatus:
        return client.call(command, body, status=sequence).status

    end_of_file = FileEndOfFileInformation(3).pack()
    resize = SetInfoRequest(1, int(FileInfoClass.END_OF_FILE), 0, file_id, end_of_file).pack()
    sparse = IoctlRequest(0x900C4, file_id).pack()
    read, flush = ReadRequest(file_id, 0, 5).pack(), FlushRequest(file_id).pack()
    assert write(1, b"1") == write(1, b"2") == write(0x7FFF, b"3") == NTStatus.SUCCESS
    assert counts(pair)[0] == (3 if fast == "yes" else 0)
    for older in (0x7FFE, 0, 0xFFFF):
        assert write(older, b"x") == NTStatus.FILE_NOT_AVAILABLE
        assert other(Command.SET_INFO, resize, older) == NTStatus.FILE_NOT_AVAILABLE
        assert other(Command.IOCTL, sparse, older) == NTStatus.FILE_NOT_AVAILABLE
        assert other(Command.READ, read, older) == NTStatus.SUCCESS
        assert other(Command.FLUSH, flush, older) == NTStatus.SUCCESS
    assert (pair.root / "share" / "file").read_bytes() == b"3irst"
    for command, body, sequence in ((Command.READ, read, 0x8000), (Command.FLUSH, flush, 0xFFFF)):
        assert other(command, body, sequence) == NTStatus.SUCCESS
        assert write(sequence - 1, b"x") == NTStatus.FILE_NOT_AVAILABLE, "any request moves it on"
    assert write(0, b"4") == NTStatus.SUCCESS, "65,536 is 0"
    assert other(Command.SET_INFO, resize, 5) == NTStatus.SUCCESS
    assert write(4, b"x") == NTStatus.FILE_NOT_AVAILABLE and write(5, b"5") == NTStatus.SUCCESS
    assert (pair.root / "share" / "file").read_bytes() == b"5ir"


def test_channel_sequences_begin_with_create_and_with_smb_3(pair: Pair) -> None:
    """Goal: an open begins with the ChannelSequence of its CREATE; before SMB 3.0 the field means nothing. Method: one
    that was made with 7, and WRITEs with less; the same with SMB 2.1."""
    for dialect, late in ((0x0311, NTStatus.FILE_NOT_AVAILABLE), (0x0210, NTStatus.SUCCESS)):
        client = pair.logged_on((dialect,))
        made = client.call(Command.CREATE, create_request("file").pack(), status=7)
        file_id = made.ok(CreateResponse).file_id
        for sequence, wanted in ((7, NTStatus.SUCCESS), (6, late), (7, NTStatus.SUCCESS), (6, late)):
            body = WriteRequest(file_id, 0, b"data").pack()
            assert client.call(Command.WRITE, body, status=sequence).status == wanted
        client.close(file_id)


def test_channels_begin_with_smb_3(pair: Pair) -> None:
    """Goal: without RDMA a channel is an error, and before SMB 3.0 the field means nothing ([MS-SMB2] 2.2.19, 2.2.21).
    Method: READ and WRITE with one, in each dialect, before and after the open is attached."""
    for dialect, wanted in ((0x0311, NTStatus.INVALID_PARAMETER), (0x0300, NTStatus.INVALID_PARAMETER), (0x0210, 0)):
        client = pair.logged_on((dialect,))
        (pair.root / "share" / "file").write_bytes(b"first")
        file_id = client.open("file")
        for _ in range(2):
            read = client.call(Command.READ, ReadRequest(file_id, 0, 5, channel=1).pack())
            assert read.status == wanted == status(client, WriteRequest(file_id, 0, b"first", channel=1))
            assert client.read(file_id, 0, 5) == b"first"
        client.close(file_id)


def test_what_a_compound_goes_on_with_attaches_nothing(pair: Pair) -> None:
    """Goal: an open that is read or written and closed in one message is not attached in vain. Method: READ and WRITE
    before another request, and as the last one; what comes then is answered by the data plane, or not."""
    client = pair.logged_on()
    file_id = client.open("file")
    write, read = WriteRequest(file_id, 0, b"data").pack(), ReadRequest(file_id, 0, 4).pack()
    flush = Element(Command.FLUSH, FlushRequest(file_id).pack())
    for one in (Element(Command.WRITE, write), Element(Command.READ, read)):
        assert [client.wait(number).status for number in client.compound(one, flush)] == [
            NTStatus.SUCCESS
        ] * 2
    assert client.write(file_id, 0, b"more").status == NTStatus.SUCCESS and counts(pair)[0] == 0
    assert client.write(file_id, 0, b"more").status == NTStatus.SUCCESS and counts(pair)[0] == 1
    last = client.open("file")
    [
        client.wait(number)
        for number in client.compound(flush, Element(Command.READ, ReadRequest(last, 0, 4).pack()))
    ]
    assert client.write(last, 0, b"more").status == NTStatus.SUCCESS and counts(pair)[0] == 2


@pytest.mark.parametrize("at", [0xF8, 0x100, 0x101, 0x108, 111, 0])
def test_where_the_data_may_start(pair: Pair, at: int) -> None:
    """Goal: DataOffset up to 0x100, and not in the fixed part ([MS-SMB2] 3.3.5.13). Method: the data behind a gap;
    also of no bytes."""
    client = pair.logged_on()
    file_id = attached(client)
    body = bytearray(WriteRequest(file_id, 1, b"xyz").pack()[:48]) + bytes(0x200)
    body[2:4] = at.to_bytes(2, "little")
    wanted = NTStatus.SUCCESS if 112 <= at <= 0x100 else NTStatus.INVALID_PARAMETER
    if at >= 112:
        body[at - 64 : at - 61] = b"xyz"
    assert client.call(Command.WRITE, bytes(body)).status == wanted
    assert (pair.root / "share" / "file").read_bytes() == (b"fxyzt" if not wanted else b"first")
    body[4:8] = bytes(4)  # clients leave garbage in the offset of nothing, but not this
    empty = NTStatus.SUCCESS if at <= 0x100 else NTStatus.INVALID_PARAMETER
    assert client.call(Command.WRITE, bytes(body)).status == empty


def test_an_open_that_writes_through(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: what is written through an open with FILE_WRITE_THROUGH is on disk before the client is told so, by either
    plane ([MS-FSA] 2.1.5.4). Method: count what is flushed; the mode from CREATE, and set and cleared later."""
    flushed: list[int] = []
    flush = LocalHandle.flush

    async def counted(handle: LocalHandle) -> None:
        flushed.append(1)
        await flush(handle)

    monkeypatch.setattr(LocalHandle, "flush", counted)
    client = pair.logged_on()
    through = client.open("file", create_options=CreateOptions.WRITE_THROUGH)
    assert queried(client, through, FileModeInformation, FileInfoClass.MODE).mode == 2
    for number in range(1, 4):
        assert client.write(through, number, b"data").ok(WriteResponse).count == 4
        assert client.read(through, 0, 9)[number:] == b"data"
        assert (len(flushed), counts(pair)[0]) == (number, 0)
    other = attached(client)
    assert client.write(other, 0, b"more").ok(WriteResponse).count == 4
    assert (len(flushed), counts(pair)[0]) == (3, 1)
    for mode, flushes, fast in ((2, 5, 1), (0, 5, 2)):
        assert put(client, other, FileInfoClass.MODE, FileModeInformation(mode).pack()) == NTStatus.SUCCESS
        assert client.write(other, 0, b"more").ok(WriteResponse).count == 4
        assert client.write(other, 4, b"more").ok(WriteResponse).count == 4
        assert (len(flushed), counts(pair)[0]) == (flushes, fast)


@pytest.mark.parametrize(
    ("dialect", "flags", "buffered", "unbuffered", "flushes"),
    [
        (0x0202, 1, NTStatus.SUCCESS, NTStatus.SUCCESS, 0),  # it has no flags
        (0x0210, 1, NTStatus.INVALID_PARAMETER, NTStatus.SUCCESS, 1),
        (0x0300, 3, NTStatus.INVALID_PARAMETER, NTStatus.SUCCESS, 1),  # this one came later
        (0x0302, 1, NTStatus.INVALID_PARAMETER, NTStatus.SUCCESS, 1),
        (0x0302, 3, NTStatus.SUCCESS, NTStatus.SUCCESS, 2),
        (0x0311, 1, NTStatus.INVALID_PARAMETER, NTStatus.SUCCESS, 1),
        (0x0311, 3, NTStatus.SUCCESS, NTStatus.SUCCESS, 2),
    ],
)
def test_a_write_through_is_unbuffered(
    make_pair: MakePair,
    monkeypatch: pytest.MonkeyPatch,
    dialect: int,
    flags: int,
    buffered: NTStatus,
    unbuffered: NTStatus,
    flushes: int,
) -> None:
    """Goal: SMB2_WRITEFLAG_WRITE_THROUGH is only for opens with FILE_NO_INTERMEDIATE_BUFFERING, or with the flag for
    that ([MS-SMB2] 3.3.5.13). Method: an open without and one with it, attached, in each dialect."""
    flushed: list[int] = []

    async def counted(handle: LocalHandle) -> None:
        flushed.append(1)

    monkeypatch.setattr(LocalHandle, "flush", counted)
    pair = make_pair({"server min protocol": "SMB2_02"})
    client = pair.logged_on((dialect,))
    without = attached(client)
    assert status(client, WriteRequest(without, 0, b"other", flags=flags)) == buffered
    through = attached(client, create_options=CreateOptions.NO_INTERMEDIATE_BUFFERING)
    assert status(client, WriteRequest(through, 0, b"other", flags=flags)) == unbuffered
    assert (len(flushed), counts(pair)[0]) == (flushes, 0)
    expected = b"other" if unbuffered == NTStatus.SUCCESS else b"first"
    assert (pair.root / "share" / "file").read_bytes() == expected


@pytest.mark.parametrize("fast", ["yes", "no"])
def test_a_write_sets_the_archive_attribute(make_pair: MakePair, fast: str) -> None:
    """Goal: FILE_ATTRIBUTE_ARCHIVE tells that data was changed, whichever plane did that and however often it was
    reset ([MS-FSA] 2.1.4.17). Method: a file without it; reset through another open before each change."""
    pair = make_pair({"frevo:fast path": fast})
    (pair.root / "share" / "file").write_bytes(b"old")
    client = pair.logged_on()

    def attributes(file_id: FileId) -> int:
        found: FileBasicInformation = queried(client, file_id, FileBasicInformation, FileInfoClass.BASIC)
        return found.file_attributes

    file_id = client.open("file")
    other = client.open("file")
    assert client.read(file_id, 0, 3) == client.read(other, 0, 3) == b"old"  # attached, but by no WRITE
    assert attributes(file_id) == 0x80
    for number in range(1, 4):
        client.write(file_id, 0, b"new").ok(WriteResponse)
        assert attributes(other) == 0x20
        client.write(other, 0, b"new").ok(WriteResponse)
        client.write(file_id, 0, b"new").ok(WriteResponse)
        assert counts(pair)[0] == (2 * number if fast == "yes" else 0)
        assert basic(client, other, file_attributes=0x80) == NTStatus.SUCCESS
        assert attributes(file_id) == 0x80
    end = FileEndOfFileInformation(1).pack()
    assert put(client, other, FileInfoClass.END_OF_FILE, end) == NTStatus.SUCCESS
    assert attributes(file_id) == 0x20
    stream = client.open("file:stream")
    assert basic(client, other, file_attributes=0x80) == NTStatus.SUCCESS
    client.write(stream, 0, b"new").ok(WriteResponse)
    assert attributes(file_id) == 0x20


def test_an_error_is_the_servers_and_nothing_is_done_twice(pair: Pair) -> None:
    """Goal: a write that the system refuses has the server's status; one that ends early says how much it did. Method:
    a limit on the size of files, in the middle of a write and before it."""
    client = pair.logged_on()
    file_id = attached(client)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        assert client.write(file_id, 9_990, bytes(100)).ok(WriteResponse).count == 10
        refused = client.write(file_id, 10_000, bytes(100)).status
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert refused & 0xC000_0000 == 0xC000_0000
    assert counts(pair)[0] == 1
    assert (pair.root / "share" / "file").stat().st_size == 10_000


def test_locks_keep_writes_out(pair: Pair) -> None:
    """Goal: no write gets past another open's lock. Method: attached, locked, unlocked."""
    client, other = pair.logged_on(), pair.logged_on()
    file_id, others = attached(client), other.open("file")
    assert lock(other, others, (0, 4, EXCLUSIVE | NOW)) == NTStatus.SUCCESS
    assert client.write(file_id, 2, b"x").status == NTStatus.FILE_LOCK_CONFLICT
    assert client.write(file_id, 4, b"x").status == NTStatus.SUCCESS
    assert lock(other, others, (0, 4, UNLOCK)) == NTStatus.SUCCESS
    assert counts(pair)[0] == 0
    assert client.write(file_id, 2, b"x").status == NTStatus.SUCCESS and counts(pair)[0] == 1


def basic(client: Client, file_id: FileId, **values: int) -> NTStatus:
    return put(client, file_id, FileInfoClass.BASIC, FileBasicInformation(**values).pack())


def written(client: Client, file_id: FileId) -> int:
    found: FileBasicInformation = queried(client, file_id, FileBasicInformation, FileInfoClass.BASIC)
    return found.last_write_time


def test_a_time_that_was_set_stays(pair: Pair) -> None:
    """Goal: a last write time set through an open survives its writes until -2, and other opens' writes count; then
    the data plane writes again. Method: two attached opens; the first sets the time."""
    client = pair.logged_on()
    file_id, other = attached(client), attached(client)
    assert basic(client, file_id, last_write_time=THEN) == NTStatus.SUCCESS
    client.write(file_id, 0, b"mine")
    assert written(client, file_id) == THEN and counts(pair)[0] == 0
    client.write(other, 0, b"others")
    assert written(client, file_id) > THEN
    assert basic(client, file_id, last_write_time=-2) == NTStatus.SUCCESS
    client.write(other, 0, b"others")
    assert counts(pair)[0] == 1
    for ends in (lambda: basic(client, file_id, last_write_time=-2), lambda: client.close(file_id)):
        assert basic(client, file_id, last_write_time=-1) == NTStatus.SUCCESS
        before = counts(pair)[0]
        client.write(other, 0, b"others")
        assert counts(pair)[0] == before
        ends()
        client.write(other, 0, b"others")
        assert counts(pair)[0] == before + 1


def test_setting_a_time_waits_for_a_write_under_way(pair: Pair) -> None:
    """Goal: a write that began before cannot change the time that is set. Method: SET_INFO while one runs; others are
    served meanwhile."""
    client, other = pair.logged_on(), pair.logged_on()
    file_id = attached(client)
    [session] = [one for one in pair.server.sessions.values() if file_id[1] in one.opens]
    running = session.attached_opens.begin(file_id[1], "write")
    assert running is not None
    body = FileBasicInformation(last_write_time=THEN).pack()
    waiting = client.send(Command.SET_INFO, SetInfoRequest(1, FileInfoClass.BASIC, 0, file_id, body).pack())
    pair.turn()
    assert not client.answers(waiting) and other.echo().status == NTStatus.SUCCESS
    running.end()
    assert client.wait(waiting).status == NTStatus.SUCCESS
    assert written(client, file_id) == THEN


def test_writes_are_told_to_watchers(pair: Pair) -> None:
    """Goal: CHANGE_NOTIFY reports a write of the data plane. Method: a watch of the folder for last write and size."""
    client, other = pair.logged_on(), pair.logged_on()
    file_id = attached(client)
    number = ask(other, folder(other), wanted=0x18)
    pair.turn()
    client.write(file_id, 100, b"x")
    assert counts(pair)[0] == 1
    assert (3, "file") in told(other, number)


class Actor:
    """Two clients with two opens each of the same files, and a program beside the server."""

    def __init__(self, pair: Pair, seed: int) -> None:
        self.pair, self.rng = pair, random.Random(seed)
        self.clients = [pair.logged_on(), pair.logged_on()]
        self.opens = [[client.open("a"), client.open("b")] for client in self.clients]
        self.locked: list[tuple[int, int, int]] = []

    def step(self) -> object:
        number, which = self.rng.randrange(2), self.rng.randrange(2)
        client, opens = self.clients[number], self.opens[number]
        actions: tuple[Callable[[Client, FileId, int], object], ...] = (
            *(self.write,) * 8, *(self.read,) * 3, self.flush, self.lock, self.size, self.time, self.look,
            self.rename, self.local, self.again,
        )  # fmt: skip
        action = self.rng.choice(actions)
        return action.__name__, action(client, opens[which], number * 2 + which)

    def write(self, client: Client, file_id: FileId, _: int) -> object:
        data = self.rng.randbytes(self.rng.choice((1, 100, 4096, 70_000)))
        reply = client.write(file_id, self.rng.randrange(5_000), data)
        return reply.status, reply.body

    def read(self, client: Client, file_id: FileId, _: int) -> object:
        body = ReadRequest(file_id, self.rng.randrange(5_000), 3_000).pack()
        reply = client.call(Command.READ, body)
        return reply.status, reply.body

    def flush(self, client: Client, file_id: FileId, _: int) -> object:
        return client.call(Command.FLUSH, FlushRequest(file_id).pack()).status

    def lock(self, client: Client, file_id: FileId, number: int) -> object:
        if self.locked:
            where, which, start = self.locked.pop()
            return lock(self.clients[where], self.opens[where][which], (start, 1000, UNLOCK))
        start = self.rng.randrange(5_000)
        found = lock(client, file_id, (start, 1000, EXCLUSIVE | NOW))
        if found == NTStatus.SUCCESS:
            self.locked.append((*divmod(number, 2), start))
        return found

    def size(self, client: Client, file_id: FileId, _: int) -> object:
        body = FileEndOfFileInformation(self.rng.randrange(6_000)).pack()
        return put(client, file_id, FileInfoClass.END_OF_FILE, body)

    def time(self, client: Client, file_id: FileId, _: int) -> object:
        return basic(client, file_id, last_write_time=self.rng.choice((THEN, THEN + 10**10, -1, -2, -2)))

    def look(self, client: Client, file_id: FileId, _: int) -> object:
        """Attributes, size, position, and the time if it is one that was set."""
        found = queried(client, file_id, FileBasicInformation, FileInfoClass.BASIC)
        place = queried(client, file_id, FilePositionInformation, FileInfoClass.POSITION)
        time = found.last_write_time if found.last_write_time <= THEN + 10**10 else "later"
        return found.file_attributes, time, place.current_byte_offset

    def rename(self, client: Client, file_id: FileId, _: int) -> object:
        body = FileRenameInformation(file_name=self.rng.choice("abcd")).pack()
        return put(client, file_id, FileInfoClass.RENAME, body)

    def local(self, *_: object) -> None:
        """Another program overwrites a piece of a file."""
        for name in "abcd":
            path = self.pair.root / "share" / name
            if path.exists():
                descriptor = os.open(path, os.O_WRONLY)
                os.pwrite(descriptor, b"local", 50)
                os.close(descriptor)
                return

    def again(self, client: Client, file_id: FileId, number: int) -> object:
        """The file is closed, perhaps deleted, and opened again."""
        gone = None
        if self.rng.randrange(3) == 0:
            body = FileDispositionInformation(True).pack()
            gone = put(client, file_id, FileInfoClass.DISPOSITION, body)
        where, which = divmod(number, 2)
        self.locked = [one for one in self.locked if one[:2] != (where, which)]
        closed = client.close(file_id).status
        reply = client.create("ab"[which])
        if reply.status == NTStatus.SUCCESS:
            self.opens[where][which] = reply.ok(CreateResponse).file_id
        else:  # it is to be deleted: the others let it go, too
            for other, opens in zip(self.clients, self.opens, strict=True):
                for file in opens:
                    other.close(file)
            self.locked.clear()
            self.opens = [[one.open("a"), one.open("b")] for one in self.clients]
        return gone, closed, reply.status


def files(pair: Pair) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (pair.root / "share").iterdir()}


@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_operations(tmp_path: Path, seed: int) -> None:
    """Goal: files, times, positions and answers are the same whoever writes. Method: the seed's operations of two
    clients and a local program on both servers: writes among locks, sizes, times, renames, deletions."""
    with (
        Pair(tmp_path / "fast", {"frevo:fast path": "yes"}) as fast,
        Pair(tmp_path / "slow", {"frevo:fast path": "no"}) as slow,
    ):
        actors = [Actor(fast, seed), Actor(slow, seed)]
        for number in range(200):
            first, second = (actor.step() for actor in actors)
            assert first == second, f"seed {seed}, step {number}"
            assert files(fast) == files(slow), f"seed {seed}, step {number}"
        assert counts(fast)[0] > 20 and counts(slow) == (0, 0)


def test_a_flush_of_a_file_in_memory_is_answered_at_once(make_pair: MakePair) -> None:
    """Goal: FLUSH of an attached open succeeds on both paths. Method: by whatever the folder of tests is on."""
    pair = make_pair()
    client = pair.logged_on()
    file_id = attached(client)
    assert client.call(Command.FLUSH, FlushRequest(file_id).pack()).status == NTStatus.SUCCESS
