"""Requests that wait, over the pair: interim responses, CANCEL, what ends the wait, and how many may wait."""

from __future__ import annotations

import pytest

from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import (
    CancelRequest,
    ChangeNotifyRequest,
    ChangeNotifyResponse,
    Command,
    CreateOptions,
    LockElement,
    LockRequest,
    TreeDisconnectRequest,
)
from pair.client import ASYNC, Client
from pair.conftest import MakePair
from pair.machine import Pair

CANCEL = CancelRequest().pack()
FileId = tuple[int, int]


def folder(client: Client, name: str = "") -> FileId:
    return client.open(
        name, desired_access=1, create_options=CreateOptions.DIRECTORY_FILE, create_disposition=3
    )


def notify(client: Client, file_id: FileId, size: int = 1000) -> int:
    """Sends CHANGE_NOTIFY, and receives and checks its interim response."""
    message_id = client.send(Command.CHANGE_NOTIFY, ChangeNotifyRequest(0, size, file_id, 0xFFF).pack())
    [interim] = client.answers(message_id)
    assert not interim.signed  # [MS-SMB2] 3.3.4.2
    assert interim.status == NTStatus.PENDING and interim.header.flags & ASYNC and interim.header.async_id
    assert interim.header.credits >= 1
    return message_id


def async_id(client: Client, message_id: int) -> int:
    return client.answers(message_id)[0].header.async_id


@pytest.mark.parametrize("how", ["async", "message"])
@pytest.mark.parametrize("encrypt", [False, True])
def test_cancel(pair: Pair, how: str, encrypt: bool) -> None:
    """Goal: CANCEL ends the wait with CANCELLED, by async id or message id. Method: each; the final response is async,
    has no credits, and is protected."""
    client = pair.logged_on()
    assert client.session is not None
    client.session.encrypt = encrypt
    message_id = notify(client, folder(client))
    if how == "async":
        client.send(
            Command.CANCEL, CANCEL, flags=ASYNC, async_id=async_id(client, message_id), message_id=message_id
        )
    else:
        client.send(Command.CANCEL, CANCEL, message_id=message_id)
    reply = client.wait(message_id)
    assert reply.status == NTStatus.CANCELLED and reply.header.flags & ASYNC and reply.header.credits == 0
    assert reply.encrypted == encrypt and reply.signed != encrypt
    client.send(Command.CANCEL, CANCEL, message_id=message_id)
    assert client.echo().status == NTStatus.SUCCESS


def test_cancel_of_others(pair: Pair) -> None:
    """Goal: CANCEL reaches only its own connection, and a wrong id nothing. Method: a second connection cancels by the
    first one's ids; made-up ids."""
    client, other = pair.logged_on(), pair.logged_on()
    message_id = notify(client, folder(client))
    other.send(
        Command.CANCEL, CANCEL, flags=ASYNC, async_id=async_id(client, message_id), message_id=message_id
    )
    other.send(Command.CANCEL, CANCEL, message_id=message_id)
    client.send(Command.CANCEL, CANCEL, flags=ASYNC, async_id=2**64 - 1, message_id=0)
    assert len(client.answers(message_id)) == 1
    other.open("new")
    assert client.wait(message_id).ok(ChangeNotifyResponse).buffer


@pytest.mark.parametrize("how", ["close", "tree"])
def test_what_ends_a_notify(pair: Pair, how: str) -> None:
    """Goal: closing what is watched ends the wait. Method: CLOSE (NOTIFY_CLEANUP), TREE_DISCONNECT."""
    client = pair.logged_on()
    file_id = folder(client)
    message_id = notify(client, file_id)
    if how == "close":
        client.close(file_id)
    else:
        client.call(Command.TREE_DISCONNECT, TreeDisconnectRequest().pack())
    assert client.wait(message_id).status == NTStatus.NOTIFY_CLEANUP


def test_blocking_lock(pair: Pair) -> None:
    """Goal: a waiting lock is granted when the range is free, unless it was cancelled. Method: two waiters, one
    cancels."""
    client = pair.logged_on()
    first = client.open("a")
    opens = [client.open("a"), client.open("a")]

    def lock(file_id: FileId, flags: int = 2) -> int:
        return client.send(Command.LOCK, LockRequest(file_id, [LockElement(0, 2**63, flags)]).pack())

    assert client.wait(lock(first)).status == NTStatus.SUCCESS
    assert client.wait(lock(opens[0], 0x12)).status == NTStatus.LOCK_NOT_GRANTED
    one, two = lock(opens[0]), lock(opens[1])
    client.send(Command.CANCEL, CANCEL, message_id=one)
    assert client.wait(one).status == NTStatus.CANCELLED
    assert [reply.status for reply in client.answers(two)] == [NTStatus.PENDING]
    client.close(first)
    assert client.wait(two).status == NTStatus.SUCCESS
    three = lock(first := client.open("a"))
    client.close(first)
    assert client.wait(three).status == NTStatus.RANGE_NOT_LOCKED


def test_a_lock_that_comes_with_its_cancel(pair: Pair) -> None:
    """Goal: a lock whose request was cancelled has no owner. Method: CANCEL and the other's unlock in one turn of the
    loop, before the waiter has heard of either; then the lock is free."""
    client = pair.logged_on()
    opens = [client.open("a"), client.open("a")]
    ids = [
        client.send(Command.LOCK, LockRequest(file_id, [LockElement(0, 10, 2)]).pack()) for file_id in opens
    ]
    assert client.wait(ids[0]).status == NTStatus.SUCCESS

    def both() -> None:
        [connection] = pair.server.connections.values()
        [request] = connection.waiting.values()
        request.abort(NTStatus.CANCELLED)
        request.abort(NTStatus.USER_SESSION_DELETED)
        holder = pair.server.opens[opens[0][1]]
        assert holder.record is not None
        holder.record.locks.release_all(holder)

    pair.inside(both)
    assert client.wait(ids[1]).status == NTStatus.CANCELLED
    again = client.call(Command.LOCK, LockRequest(opens[0], [LockElement(0, 10, 0x12)]).pack())
    assert again.status == NTStatus.SUCCESS


@pytest.mark.parametrize("dialect", [0x0202, 0x0311])
def test_too_many_wait(make_pair: MakePair, dialect: int) -> None:
    """Goal: waiting requests are bounded; one too many gets INSUFFICIENT_RESOURCES and no interim response. Method: a
    limit of 3, watches and locks; a cancelled one makes room."""
    pair = make_pair({"frevo:max pending async requests": "3"})
    client = pair.logged_on((dialect,))
    holder, waiter = client.open("a"), client.open("a")
    ids = [notify(client, folder(client)) for _ in range(3)]
    fourth = folder(client)
    message_id = client.send(Command.CHANGE_NOTIFY, ChangeNotifyRequest(0, 1000, fourth, 0xFFF).pack())
    reply = client.wait(message_id)
    assert reply.status == NTStatus.INSUFFICIENT_RESOURCES and not reply.header.flags & ASYNC
    client.call(Command.LOCK, LockRequest(holder, [LockElement(0, 1, 2)]).pack())
    reply = client.call(Command.LOCK, LockRequest(waiter, [LockElement(0, 1, 2)]).pack())
    assert reply.status == NTStatus.INSUFFICIENT_RESOURCES
    client.close(holder)
    assert (
        client.call(Command.LOCK, LockRequest(waiter, [LockElement(0, 1, 0x12)]).pack()).status
        == NTStatus.SUCCESS
    )
    client.send(Command.CANCEL, CANCEL, message_id=ids[0])
    assert client.wait(ids[0]).status == NTStatus.CANCELLED
    notify(client, fourth)


def test_first_answer_wins(pair: Pair) -> None:
    """Goal: a request gets one response. Method: a change and CANCEL at the same time, many times."""
    client = pair.logged_on()
    file_id = folder(client)
    for number in range(30):
        message_id = client.send(Command.CHANGE_NOTIFY, ChangeNotifyRequest(0, 1000, file_id, 0xFFF).pack())
        (pair.root / "share" / f"f{number}").touch()
        client.send(Command.CANCEL, CANCEL, message_id=message_id)
        assert client.wait(message_id).status in (NTStatus.SUCCESS, NTStatus.CANCELLED)
        pair.turn(0.001)
        assert not [reply for reply in client.answers(message_id) if reply.status != NTStatus.PENDING]
