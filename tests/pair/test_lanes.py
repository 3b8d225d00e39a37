"""File systems that do not respond: their users wait, and nobody else (interim response: [MS-SMB2] 3.3.4.2)."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from peers.target import SHARES

from frevo.server.core.lane import INTERIM_SECONDS, Lane
from frevo.vfs.base import Resolved
from frevo.vfs.handle import LocalHandle
from frevo.vfs.local import LocalBackend
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import (
    CancelRequest,
    ChangeNotifyRequest,
    ChangeNotifyResponse,
    Command,
    CreateOptions,
    ReadRequest,
    TreeDisconnectRequest,
)
from pair.client import ASYNC, Client, create_request
from pair.conftest import MakePair
from pair.held import Held
from pair.machine import Pair

SLOW = {**SHARES, "slow": {"read only": "no", "frevo:inline metadata": "no"}}


@pytest.fixture
def pair(make_pair: MakePair) -> Pair:
    return make_pair(shares=SLOW)


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch, pair: Pair) -> Iterator[Held]:
    """Calls to the file system for names with "stuck" in them begin and do not end before `let_go`."""
    stuck = Held()
    resolve = LocalBackend.resolve

    def slow_resolve(self: LocalBackend, wire_path: str) -> Resolved:
        if "stuck" in wire_path:
            stuck.wait()
        return resolve(self, wire_path)

    monkeypatch.setattr(LocalBackend, "resolve", slow_resolve)
    yield stuck
    stuck.let_go(pair)


def on_slow_share(pair: Pair) -> Client:
    client = pair.logged_on()
    client.connect_tree("slow")
    return client


def send_stuck(pair: Pair, client: Client, stuck: Held, name: str = "stuck") -> int:
    """Sends a CREATE and waits until its file system has it."""
    pair.patient = False
    message_id = client.send(Command.CREATE, create_request(name, create_disposition=3).pack())
    assert stuck.begun.acquire(timeout=10)
    return message_id


def test_others_go_on(pair: Pair, stuck: Held) -> None:
    """Goal: a file system that does not respond delays no other share. Method: a CREATE that hangs; another client,
    and the same one, on another share; then it responds."""
    client, other = on_slow_share(pair), pair.logged_on()
    message_id = send_stuck(pair, client, stuck)
    file_id = other.open("a")
    other.write(file_id, 0, b"data")
    other.close(file_id)
    tree, client.tree = client.tree, 0
    client.connect_tree("share")
    client.close(client.open("b"))
    client.tree = tree
    assert not client.answers(message_id)
    stuck.let_go(pair)
    assert client.wait(message_id).status == NTStatus.SUCCESS


def test_interim_response(pair: Pair, stuck: Held) -> None:
    """Goal: clients do not give up on slow requests. Method: after INTERIM_SECONDS on the pair's clock STATUS_PENDING
    comes; the final response is asynchronous."""
    client = on_slow_share(pair)
    message_id = send_stuck(pair, client, stuck)
    pair.advance(INTERIM_SECONDS + 0.1)
    [interim] = client.answers(message_id)
    assert interim.status == NTStatus.PENDING and interim.header.flags & ASYNC
    stuck.let_go(pair)
    final = client.wait(message_id)
    assert final.status == NTStatus.SUCCESS and final.header.async_id == interim.header.async_id


def test_cancel_in_the_queue(pair: Pair, stuck: Held) -> None:
    """Goal: what has not begun can be cancelled; what has, completes. Method: two CREATEs, the first hangs, both are
    cancelled: the second is CANCELLED at once, the first is answered when it is done."""
    client = on_slow_share(pair)
    first = send_stuck(pair, client, stuck)
    second = client.send(Command.CREATE, create_request("new", create_disposition=2).pack())
    for message_id in (first, second):
        client.send(Command.CANCEL, CancelRequest().pack(), message_id=message_id)
    assert client.wait(second).status == NTStatus.CANCELLED
    assert not client.answers(first)
    stuck.let_go(pair)
    assert client.wait(first).status == NTStatus.SUCCESS
    assert not (pair.root / "slow" / "new").exists()


@pytest.mark.parametrize("how", ["connection", "tree"])
def test_nobody_waits_any_more(pair: Pair, stuck: Held, how: str) -> None:
    """Goal: a CREATE whose client has gone leaves no open behind. Method: it hangs, the connection or the tree ends,
    it continues; the end of the pair checks the tables."""
    client = on_slow_share(pair)
    message_id = send_stuck(pair, client, stuck)
    if how == "connection":
        client.disconnect()
    else:
        answer = client.call(Command.TREE_DISCONNECT, TreeDisconnectRequest().pack())
        assert answer.status == NTStatus.SUCCESS
    pair.turn()
    stuck.let_go(pair)
    if how == "tree":
        assert client.wait(message_id).status == NTStatus.NETWORK_NAME_DELETED
    assert not pair.server.opens and not len(pair.server.files)


def test_open_files_when_it_hangs(pair: Pair, stuck: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: a lost connection's files are closed, and deleted if requested, when their file system responds again;
    READs hang independently. Method: an open with delete-on-close, a READ that hangs, a CREATE that hangs, the
    connection ends."""
    client = on_slow_share(pair)
    file_id = client.open("doomed", create_options=CreateOptions.DELETE_ON_CLOSE)
    client.write(file_id, 0, b"data")
    read_now = LocalHandle.read_now

    def slow_read(self: LocalHandle, offset: int, length: int) -> object:
        stuck.wait()
        return read_now(self, offset, length)

    monkeypatch.setattr(LocalHandle, "read_now", slow_read)
    pair.patient = False
    client.send(Command.READ, ReadRequest(file_id, 0, 4).pack())
    assert stuck.begun.acquire(timeout=10)
    other = on_slow_share(pair)
    other.close(other.open("beside"))  # metadata requests work while a READ hangs
    send_stuck(pair, client, stuck)
    client.disconnect()
    pair.turn()
    assert (pair.root / "slow" / "doomed").exists()
    stuck.let_go(pair)
    ends = time.monotonic() + 10
    while (pair.root / "slow" / "doomed").exists():  # the lane's threads report when they are done
        assert time.monotonic() < ends
        pair.turn(0.001)


def test_the_server_ends(make_pair: MakePair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: a file system that never responds does not keep the server from ending. Method: a CREATE that hangs for
    ever; everything is closed, the lane is given up, and no task is left."""
    pair = make_pair(shares=SLOW)
    stuck = Held()
    client = on_slow_share(pair)
    monkeypatch.setattr(LocalBackend, "resolve", lambda *_: stuck.wait())
    message_id = send_stuck(pair, client, stuck)
    assert not client.answers(message_id)
    pair.inside(pair.server.close_all)
    pair.loop.run_until_complete(pair.server.lanes.drain(0.01))
    pair.server.lanes.stop()
    pair.turn()
    assert not pair.server.opens and not pair.server.sessions
    stuck.gate.set()


def test_changes_are_reported(pair: Pair) -> None:
    """Goal: CHANGE_NOTIFY works in a lane. Method: a watch of the whole tree; files made in new folders by another
    client and behind the server's back; the watch is closed."""
    client, other = on_slow_share(pair), on_slow_share(pair)
    folder = client.open(
        "", desired_access=1, create_options=CreateOptions.DIRECTORY_FILE, create_disposition=3
    )
    request = ChangeNotifyRequest(1, 4000, folder, 0x3).pack()
    first = client.send(Command.CHANGE_NOTIFY, request)
    other.close(other.open("dir", create_options=CreateOptions.DIRECTORY_FILE))
    assert "dir".encode("utf-16-le") in bytes(client.wait(first).ok(ChangeNotifyResponse).buffer)
    second = client.send(Command.CHANGE_NOTIFY, request)
    (pair.root / "slow" / "dir" / "below").touch()
    assert "below".encode("utf-16-le") in bytes(client.wait(second).ok(ChangeNotifyResponse).buffer)
    client.close(folder)


def test_a_slow_mount_appears(pair: Pair, stuck: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: a share below which something slow is mounted gets its lane while it is in use. Method: the table of
    mounts changes under an open file and a watched folder; a CREATE there hangs, and others continue."""
    client, other = pair.logged_on(), pair.logged_on()
    other.connect_tree("ro")
    folder = client.open(
        "", desired_access=1, create_options=CreateOptions.DIRECTORY_FILE, create_disposition=3
    )
    message_id = client.send(Command.CHANGE_NOTIFY, ChangeNotifyRequest(0, 4000, folder, 0x3).pack())
    file_id = client.open("open")
    lane = Lane(pair.loop, "test")
    root = str(pair.root / "share")

    def of(path: str, *_: object) -> Lane | None:
        return lane if path == root else None

    monkeypatch.setattr(pair.server.lanes, "of", of)
    pair.server.lanes._lanes["type", root] = lane
    pair.inside(pair.server.lanes.look_again)
    client.write(file_id, 0, b"data")
    assert client.read(file_id, 0, 4) == b"data"
    pair.turn()
    assert "open".encode("utf-16-le") in bytes(client.wait(message_id).ok(ChangeNotifyResponse).buffer)
    client.close(file_id)
    waiting = send_stuck(pair, client, stuck)
    other.open("", desired_access=1, create_options=CreateOptions.DIRECTORY_FILE, create_disposition=1)
    stuck.let_go(pair)
    assert client.wait(waiting).status == NTStatus.SUCCESS
    client.close(folder)
