"""Long work over the pair: whatever one client requests, another is served in between. The clock advances each time it
is read, so that a turn has the same length on every machine."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable

import pytest
from descriptors import descriptors

from frevo.dcerpc import pdu
from frevo.server.core.turns import SLICE_S
from frevo.vfs import namecache
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FullEa, pack_full_eas, pack_get_eas
from frevo.wire.smb2 import (
    Command,
    EchoRequest,
    IoctlRequest,
    LockElement,
    LockRequest,
    QueryDirectoryRequest,
    QueryInfoRequest,
    SetInfoRequest,
    WriteRequest,
)
from pair.client import CONTEXTS, Client, Element, create_request, negotiate_request
from pair.file_calls import EXCLUSIVE, NOW, UNLOCK, folder
from pair.machine import Pair

Sent = Callable[[Pair, Client], int]


class CountedLooks:
    """A clock that advances by a slice each time it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += SLICE_S
        return self.now


def listing(pair: Pair, client: Client) -> int:
    """A pattern that matches none of many names."""
    path = pair.root / "share" / "many"
    path.mkdir()
    for number in range(2000):
        (path / f"name-{number}").touch()
    many = folder(client, "many")
    return client.send(Command.QUERY_DIRECTORY, QueryDirectoryRequest(37, 0, 0, many, 65536, "<x<").pack())


def locks(pair: Pair, client: Client) -> int:
    """As many locks as a request can have."""
    elements = [LockElement(2 * number, 1, EXCLUSIVE | NOW) for number in range(8192)]
    return client.send(Command.LOCK, LockRequest(client.open("a"), elements).pack(), charge=4)


def unlocks(pair: Pair, client: Client) -> int:
    """The same number of unlocks."""
    file_id = client.open("a")
    taken = [LockElement(2 * number, 1, EXCLUSIVE | NOW) for number in range(8192)]
    assert client.call(Command.LOCK, LockRequest(file_id, taken).pack(), charge=4).status == NTStatus.SUCCESS
    given = [LockElement(lock.offset, 1, UNLOCK) for lock in taken]
    return client.send(Command.LOCK, LockRequest(file_id, given).pack(), charge=4)


def ranges(pair: Pair, client: Client) -> int:
    """A file with many extents."""
    path = pair.root / "share" / "pieces"
    with path.open("wb") as file:
        for number in range(200):
            os.pwrite(file.fileno(), b"x", number << 20)
    file_id = client.open("pieces")
    client.call(Command.IOCTL, IoctlRequest(0x900C4, file_id).pack())
    data = struct.pack("<QQ", 0, 1 << 40)
    return client.send(Command.IOCTL, IoctlRequest(0x940CF, file_id, data, max_output_response=65536).pack())


def calls(pair: Pair, client: Client) -> int:
    """A write to a pipe with many calls in it."""
    client.connect_tree("IPC$")
    pipe = client.open("srvsvc")
    cancels = pdu.Packet(pdu.PacketType.CO_CANCEL, pdu.WHOLE, 1, b"").pack() * 1000
    return client.send(Command.WRITE, WriteRequest(pipe, 0, cancels).pack())


def compound(pair: Pair, client: Client) -> int:
    """A compound of as many elements as allowed."""
    return client.compound(*(Element(int(Command.ECHO), EchoRequest().pack()) for _ in range(60)))[-1]


def train(pair: Pair, client: Client) -> int:
    """Many requests at once."""
    while client.granted < client.next_id + 200:
        client.echo()
    first = client.next_id
    client.next_id += 200
    data = b""
    for number in range(200):
        create = Element(int(Command.CREATE), create_request(f"file-{number}").pack())
        message = client._signed(create, client.element(create, first + number))
        data += struct.pack(">I", len(message)) + message
    client.wire(data)
    return client.next_id - 1


def closing(pair: Pair, client: Client) -> int:
    """A log-off with many files open."""
    for _ in range(100):
        client.open("a")
    return client.send(Command.LOGOFF, b"\4\0\0\0")


def leaving(pair: Pair, client: Client) -> int:
    """TREE_DISCONNECT with many files open."""
    for _ in range(100):
        client.open("a")
    return client.send(Command.TREE_DISCONNECT, b"\4\0\0\0")


@pytest.mark.parametrize("send", [listing, locks, unlocks, ranges, calls, compound, train, closing, leaving])
def test_others_get_their_turn(pair: Pair, send: Sent) -> None:
    """Goal: no request and no number of them blocks the server. Method: long work of one user, then a CREATE and a
    READ of another, which are answered while the work continues; its result is the same as alone."""
    other, attacker = pair.connect(), pair.logged_on()
    other.negotiate()
    other.log_on("user2", "0therPassw0rd")
    other.connect_tree("share")
    file_id = other.open("mine")
    other.write(file_id, 0, b"quick")
    pair.server.turns.clock = CountedLooks()
    long = send(pair, attacker)
    assert not attacker.answers(long), "not long enough to see anything"
    assert other.create("new").status == NTStatus.SUCCESS
    assert other.read(file_id, 0, 10) == b"quick"
    assert not attacker.answers(long), "the other request waited to the end"
    expected = NTStatus.NO_SUCH_FILE if send is listing else NTStatus.SUCCESS
    assert attacker.wait(long).status == expected


def test_one_slice_for_each(pair: Pair) -> None:
    """Goal: a thousand long requests of one user get no more time than one of another. Method: many of one user before
    a single one of another: that one ends first."""
    attacker, other = pair.logged_on(), pair.connect()
    other.negotiate()
    other.log_on("user2", "0therPassw0rd")
    other.connect_tree("share")
    listing(pair, attacker)
    theirs, mine = folder(attacker, "many"), folder(other, "many")
    pair.server.turns.clock = CountedLooks()
    body = QueryDirectoryRequest(37, 1, 0, theirs, 65536, "<x<").pack()
    many = [attacker.send(Command.QUERY_DIRECTORY, body) for _ in range(20)]
    one = other.send(Command.QUERY_DIRECTORY, QueryDirectoryRequest(37, 1, 0, mine, 65536, "<x<").pack())
    assert other.wait(one).status == NTStatus.NO_SUCH_FILE
    assert sum(bool(attacker.answers(number)) for number in many) < 10
    for number in many:
        attacker.wait(number)


def test_what_goes_away_meanwhile(pair: Pair) -> None:
    """Goal: work whose client, session or file goes away ends, and leaves nothing behind. Method: a lost connection, a
    log-off and a close in the middle of each kind."""
    pair.server.turns.clock = CountedLooks()
    for send in (listing, locks, ranges, calls, train):
        client = pair.logged_on()
        send(pair, client)
        client.disconnect()
        if send is listing:
            (pair.root / "share" / "many").rename(pair.root / "share" / "gone")
    for send in (locks, ranges, calls):
        client = pair.logged_on()
        long = send(pair, client)
        (opened,) = (
            one for one in pair.server.opens.values() if one.session.connection.id == client.link.number
        )
        assert client.close(opened.file_id).status == NTStatus.SUCCESS
        assert client.wait(long).status != NTStatus.SUCCESS
    pair.turn(0.01)


def test_lists_are_bounded(pair: Pair) -> None:
    """Goal: a list that is too long is refused before it is read. Method: one more than allowed of every kind that a
    client sends."""
    client = pair.logged_on()
    file_id, root = client.open("a"), folder(client)
    too_many: list[tuple[int, bytes]] = [
        (Command.QUERY_DIRECTORY, QueryDirectoryRequest(37, 0, 0, root, 65536, "<" * 256).pack()),
        (Command.LOCK, LockRequest(file_id, [LockElement(0, 1, UNLOCK)] * 8193).pack()),
        (
            Command.QUERY_INFO,
            QueryInfoRequest(1, 15, 65536, 0, 0, file_id, pack_get_eas([b"x"] * 1025)).pack(),
        ),
        (
            Command.SET_INFO,
            SetInfoRequest(1, 15, 0, file_id, pack_full_eas([FullEa(b"x", b"y")] * 1025)).pack(),
        ),
        (Command.CREATE, create_request("b", contexts=[(b"MxAc", b"")] * 65).pack()),
    ]
    for command, body in too_many:
        status = client.call(command, body, charge=4).status
        assert status & 0x80000000 and status != NTStatus.INTERNAL_ERROR, command
    key = client.call(Command.IOCTL, IoctlRequest(0x140078, file_id, max_output_response=32).pack()).body[
        48:72
    ]
    chunks = key + struct.pack("<II", 257, 0) + bytes(24 * 257)
    copy = IoctlRequest(0x1440F2, file_id, chunks, max_output_response=12).pack()
    assert client.call(Command.IOCTL, copy).status == NTStatus.INVALID_PARAMETER
    fresh = pair.connect()
    request = negotiate_request((0x0311,), CONTEXTS[:1] * 65)
    assert fresh.call(Command.NEGOTIATE, request.pack(), credits=1).status == NTStatus.INVALID_PARAMETER


def test_as_many_eas_as_allowed(pair: Pair) -> None:
    """Goal: a list of EAs is set and queried in one pass, each name once, cut where the buffer ends. Method: as many
    names as are allowed, most of them missing, one of them twice."""
    client = pair.logged_on()
    file_id = client.open("a")
    eas = pack_full_eas([FullEa(b"One", b"1"), FullEa(b"TWO", b"2"), FullEa(b"one", b"11")])
    assert (
        client.call(Command.SET_INFO, SetInfoRequest(1, 15, 0, file_id, eas).pack()).status
        == NTStatus.SUCCESS
    )
    assert os.getxattr(pair.root / "share" / "a", "user.One") == b"11"
    wanted = pack_get_eas([b"two", b"TWO", *(b"n%d" % number for number in range(1000))])
    reply = client.call(Command.QUERY_INFO, QueryInfoRequest(1, 15, 65536, 0, 0, file_id, wanted).pack())
    assert (
        reply.status == NTStatus.SUCCESS
        and reply.body.count(b"TWO\0") == 1
        and reply.body.count(b"\0N") == 1000
    )
    cut = client.call(Command.QUERY_INFO, QueryInfoRequest(1, 15, 40, 0, 0, file_id, wanted).pack())
    assert cut.status == NTStatus.BUFFER_OVERFLOW and len(cut.body) <= 48


def large(pair: Pair) -> None:
    """A folder with more names than a look-up reads at once."""
    path = pair.root / "share" / "large"
    path.mkdir()
    for number in range(3000):
        (path / f"name-{number}").touch()


def test_a_look_up_in_a_large_folder(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: a name that a large folder does not contain blocks nobody, and is found in any case afterwards. Method:
    one user creates a file in it, opens one with the case changed, and one that appears; another's requests are
    answered meanwhile, and what another program creates while the folder is read is found."""
    monkeypatch.setattr(namecache, "_PIECE", 16)
    other, attacker = pair.connect(), pair.logged_on()
    other.negotiate()
    other.log_on("user2", "0therPassw0rd")
    other.connect_tree("share")
    large(pair)
    pair.server.turns.clock = CountedLooks()
    made = attacker.send(Command.CREATE, create_request("large\\new").pack())
    found = attacker.send(Command.CREATE, create_request("large\\NAME-2999", create_disposition=1).pack())
    early = attacker.send(Command.CREATE, create_request("large\\EARLY", create_disposition=1).pack())
    (pair.root / "share" / "large" / "early").touch()
    assert not attacker.answers(made), "not long enough to see anything"
    assert other.create("mine").status == NTStatus.SUCCESS
    assert not attacker.answers(made), "the other request waited to the end"
    assert [attacker.wait(number).status for number in (made, found, early)] == [NTStatus.SUCCESS] * 3
    assert (pair.root / "share" / "large" / "new").exists()
    assert attacker.create("large\\nAME-1", create_disposition=1).status == NTStatus.SUCCESS


def test_the_client_goes_while_a_large_folder_is_read(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: nothing is opened for a client that has gone, and the reading leaves no descriptor. Method: a lost
    connection and a log-off in the middle, and descriptors counted."""
    monkeypatch.setattr(namecache, "_PIECE", 16)
    large(pair)
    attacker, other = pair.logged_on(), pair.logged_on()
    pair.turn()
    before = descriptors()
    pair.server.turns.clock = CountedLooks()
    attacker.send(Command.CREATE, create_request("large\\new").pack())
    attacker.disconnect()
    late = other.send(Command.CREATE, create_request("large\\new").pack())
    assert other.call(Command.LOGOFF, b"\4\0\0\0").status == NTStatus.SUCCESS
    assert other.wait(late).status != NTStatus.SUCCESS
    assert not (pair.root / "share" / "large" / "new").exists()
    assert not descriptors() - before
