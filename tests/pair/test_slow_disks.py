"""Local disks that are slow for a while: their shares leave the event loop and come back, whatever is under way."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

import pytest
from peers.target import SHARES

from frevo.server.core.pace import PROOF_CALLS, PROOF_S, SLOW_MAX, SLOW_S
from frevo.vfs.base import Buffer, Resolved
from frevo.vfs.handle import LocalHandle
from frevo.vfs.local import LocalBackend
from frevo.vfs.offloaded import OffloadedBackend, OffloadedHandle
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import (
    ChangeNotifyRequest,
    ChangeNotifyResponse,
    CloseRequest,
    Command,
    CreateOptions,
    FlushRequest,
    LogoffRequest,
    TreeDisconnectRequest,
    WriteRequest,
)
from pair.client import Client, create_request
from pair.conftest import MakePair
from pair.file_calls import entries, list_call, names
from pair.held import Held
from pair.machine import Pair

DISK = {
    **SHARES,
    "same": {"read only": "no"},
    "pinned": {"read only": "no", "frevo:inline metadata": "yes"},
}


@pytest.fixture
def pair(make_pair: MakePair, monkeypatch: pytest.MonkeyPatch) -> Pair:
    """A server on whose disk look-ups of names with "slow" in them take a while."""
    resolve = LocalBackend.resolve

    def slowly(self: LocalBackend, wire_path: str) -> Resolved:
        if "slow" in wire_path:
            time.sleep(1.2 * SLOW_S)
        return resolve(self, wire_path)

    monkeypatch.setattr(LocalBackend, "resolve", slowly)
    return make_pair(shares=DISK)


@pytest.fixture
def held(pair: Pair) -> Iterator[Held]:
    held = Held()
    yield held
    held.let_go(pair)


def missing(client: Client, name: str) -> None:
    assert client.create(name, create_disposition=1).status == NTStatus.OBJECT_NAME_NOT_FOUND


def in_lane(pair: Pair, share: str) -> bool:
    """Whether the share and everything connected to it have left the loop. Fails if only some have."""
    [trees, backends] = [
        [tree for session in pair.server.sessions.values() for tree in session.trees.values()],
        list(pair.server.shares[share].backends.values()),
    ]
    trees = [tree for tree in trees if tree.share.name == share]
    found = {isinstance(one, OffloadedBackend) for one in (*backends, *(tree.backend for tree in trees))}
    found |= {tree.lane is not None for tree in trees}
    found |= {
        isinstance(opened.handle, OffloadedHandle)
        for opened in pair.server.opens.values()
        if opened.tree in trees and opened.handle is not None and not opened.handle.busy
    }
    assert len(found) == 1
    return found.pop()


def make_slow(pair: Pair, client: Client) -> None:
    """Slow requests until the share has left the loop. The first may not count, and on a busy machine more."""
    for count in range(100):
        if in_lane(pair, "share"):
            assert count >= SLOW_MAX
            return
        missing(client, "slow")
    raise AssertionError("it stays in the loop")


def make_fast(pair: Pair, client: Client) -> None:
    """Fast requests for long enough. On a busy machine some calls may take long, and then it takes longer."""
    for _ in range(20):
        pair.advance(4 * PROOF_S)
        for _ in range(PROOF_CALLS):
            missing(client, "x")
            if not in_lane(pair, "share"):
                return
    raise AssertionError("it stays in its lane")


def answered(client: Client, message_id: int) -> bool:
    return any(reply.status != NTStatus.PENDING for reply in client.answers(message_id))


def test_leaving_and_coming_back(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    """Goal: all shares on a disk that is slow leave the loop, except where the configuration keeps them, and come back;
    each is logged once. Method: slow requests, fast ones; what was opened at any time is used at any other."""
    caplog.set_level(logging.INFO, "frevo.server")
    client, same, pinned = pair.logged_on(), pair.logged_on(), pair.logged_on()
    same.connect_tree("same")
    pinned.connect_tree("pinned")
    files = [client.open("a")]
    for _ in range(2):
        make_slow(pair, client)
        assert in_lane(pair, "same") and not in_lane(pair, "pinned")
        files.append(client.open("b"))
        later = pair.logged_on()
        assert in_lane(pair, "share")
        later.open("c")
        for file_id in files:
            client.write(file_id, 0, b"data")
            assert client.read(file_id, 0, 4) == b"data"
        make_fast(pair, client)
        assert not in_lane(pair, "same")
        for file_id in files:
            assert client.read(file_id, 0, 4) == b"data"
        files.append(client.open("d"))
        client.close(files.pop(0))
    for file_id in files:
        assert client.close(file_id).status == NTStatus.SUCCESS
    said = [record.getMessage() for record in caplog.records]
    assert len([text for text in said if "is slow: calls run in threads" in text]) == 2
    assert len([text for text in said if "has been fast for long" in text]) == 2


def test_few_slow_requests_change_nothing(pair: Pair) -> None:
    """Goal: a slow request now and then is no slow disk. Method: one less than too many, then a long time, again."""
    client = pair.logged_on()
    for _ in range(3):
        for _ in range(SLOW_MAX - 1):
            missing(client, "slow")
        pair.advance(120)
    assert not in_lane(pair, "share")


def test_others_go_on(pair: Pair, held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: once its disk was slow, a share delays nobody. Method: it gets its lane, then a look-up that does not end;
    another share, in the loop, is used meanwhile."""
    client, pinned = pair.logged_on(), pair.logged_on()
    pinned.connect_tree("pinned")
    make_slow(pair, client)
    resolve = LocalBackend.resolve

    def stuck(self: LocalBackend, wire_path: str) -> Resolved:
        if "stuck" in wire_path:
            held.wait()
        return resolve(self, wire_path)

    monkeypatch.setattr(LocalBackend, "resolve", stuck)
    pair.patient = False
    message_id = client.send(Command.CREATE, create_request("stuck").pack())
    assert held.begun.acquire(timeout=10)
    for number in range(20):
        pinned.close(pinned.open(f"file{number}"))
    assert not client.answers(message_id)
    held.let_go(pair)
    assert client.wait(message_id).status == NTStatus.SUCCESS


def held_back(held: Held, call: Callable[..., int]) -> Callable[..., int]:
    def wait(self: LocalHandle, *arguments: int | Buffer) -> int:
        held.wait()
        return call(self, *arguments)

    return wait


def test_leaving_under_a_flush(pair: Pair, held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: CLOSE waits for what began in the loop, although the share has left it ([MS-SMB2] 3.3.5.10). Method: a
    FLUSH that does not end, the share leaves, CLOSE; then the FLUSH ends."""
    client, other = pair.logged_on(), pair.logged_on()
    file_id = client.open("a")

    async def flush(self: LocalHandle) -> None:
        await self.in_flight(pair.server.lanes._lane("set", "test", "a test").data(held.wait))

    monkeypatch.setattr(LocalHandle, "flush", flush)
    pair.patient = False
    flushing = client.send(Command.FLUSH, FlushRequest(file_id).pack())
    assert held.begun.acquire(timeout=10)
    make_slow(pair, other)
    closing = client.send(Command.CLOSE, CloseRequest(0, file_id).pack())
    missing(other, "x")
    assert not answered(client, flushing) and not answered(client, closing)
    held.let_go(pair)
    assert client.wait(flushing).status == NTStatus.SUCCESS
    assert client.wait(closing).status == NTStatus.SUCCESS


def test_coming_back_under_a_write(pair: Pair, held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: a WRITE that began in the lane ends as it would have there, and CLOSE waits for it. Method: a WRITE that
    does not end, the share comes back, CLOSE; then the WRITE ends."""
    client, other = pair.logged_on(), pair.logged_on()
    file_id = client.open("a")
    make_slow(pair, other)
    monkeypatch.setattr(LocalHandle, "write_now", held_back(held, LocalHandle.write_now))
    pair.patient = False
    writing = client.send(Command.WRITE, WriteRequest(file_id, 0, b"late").pack())
    assert held.begun.acquire(timeout=10)
    make_fast(pair, other)
    closing = client.send(Command.CLOSE, CloseRequest(0, file_id).pack())
    missing(other, "x")
    assert not answered(client, writing) and not answered(client, closing)
    held.let_go(pair)
    assert client.wait(writing).status == NTStatus.SUCCESS
    assert client.wait(closing).status == NTStatus.SUCCESS
    assert (pair.root / "share" / "a").read_bytes() == b"late"


def test_waiting_and_listing_across(pair: Pair) -> None:
    """Goal: a CHANGE_NOTIFY that waits and a listing that has begun survive leaving and coming back. Method: both, then
    the share leaves, and each goes on; the same listing goes on after it has come back."""
    client, other = pair.logged_on(), pair.logged_on()
    folder = client.open("", create_options=CreateOptions.DIRECTORY_FILE, desired_access=1)
    request = ChangeNotifyRequest(0, 4000, folder, 0x3).pack()
    many = {f"file number {number:02}" for number in range(30)}
    (pair.root / "share" / "many").mkdir()
    for name in many:
        (pair.root / "share" / "many" / name).touch()
    listed = client.open("many", create_options=CreateOptions.DIRECTORY_FILE, desired_access=1)
    found = entries(list_call(client, listed, output_buffer_length=1000))
    for change in (make_slow, make_fast):
        waiting = client.send(Command.CHANGE_NOTIFY, request)
        change(pair, other)
        assert not answered(client, waiting)
        (pair.root / "share" / change.__name__).touch()
        pair.turn(0.01)
        answer = client.wait(waiting).ok(ChangeNotifyResponse)
        assert change.__name__.encode("utf-16-le") in bytes(answer.buffer)
        found += entries(list_call(client, listed, output_buffer_length=1000))
    assert 0 < len(found) < len(many), "there is more"
    rest = names(client, listed, output_buffer_length=1000)
    assert sorted([*(entry.name for entry in found), *rest]) == sorted([".", "..", *many])
    client.close(folder)


@pytest.mark.fast_path
@pytest.mark.parametrize("how", ["tree", "logoff"])
def test_what_ends_an_open_waits_for_the_data_plane(pair: Pair, how: str) -> None:
    """Goal: nothing is written after TREE_DISCONNECT and LOGOFF were answered, on a disk that is slow, too. Method:
    each while the data plane writes to a file of the lane."""
    client, other = pair.logged_on(), pair.logged_on()
    make_slow(pair, other)
    file_id = client.open("file")
    client.write(file_id, 0, b"data")
    [session] = [one for one in pair.server.sessions.values() if file_id[1] in one.opens]
    running = session.attached_opens.begin(file_id[1], "write")
    assert running is not None
    if how == "tree":
        ending = client.send(Command.TREE_DISCONNECT, TreeDisconnectRequest().pack())
    else:
        ending = client.send(Command.LOGOFF, LogoffRequest().pack())
    pair.turn()
    assert not answered(client, ending)
    running.end()
    assert client.wait(ending).status == NTStatus.SUCCESS
