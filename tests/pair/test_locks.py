"""LOCK over the pair: which requests are valid, which locks exclude each other, who waits and what ends the wait."""

from __future__ import annotations

import pytest

from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FileEndOfFileInformation, FileInfoClass
from frevo.wire.smb2 import Command, ReadRequest
from pair.client import Client, FileId
from pair.file_calls import EXCLUSIVE, NOW, SHARED, UNLOCK, folder, lock, lock_body, put
from pair.machine import Pair


def two_opens(client: Client, name: str = "file") -> tuple[FileId, FileId]:
    """Two opens of a file of 100 bytes."""
    first, second = client.open(name), client.open(name)
    client.write(first, 0, bytes(100))
    return first, second


@pytest.mark.parametrize(
    "locks",
    [
        [],
        [(0, 1, 0)],
        [(0, 1, SHARED | EXCLUSIVE)],
        [(0, 1, UNLOCK | NOW)],
        [(0, 1, SHARED), (1, 1, SHARED)],
        [(0, 1, SHARED | NOW), (1, 1, SHARED)],
        [(0, 1, SHARED | NOW), (1, 1, UNLOCK)],
        [(0, 1, 0x80)],
    ],
)
def test_wrong_flags(pair: Pair, locks: list[tuple[int, int, int]]) -> None:
    """Goal: INVALID_PARAMETER for flags that mean nothing, and nothing is locked. Method: each kind of them."""
    client = pair.logged_on()
    first, second = two_opens(client)
    assert lock(client, first, *locks) == NTStatus.INVALID_PARAMETER
    assert lock(client, second, (0, 100, EXCLUSIVE | NOW)) == NTStatus.SUCCESS


def test_what_cannot_be_locked(pair: Pair) -> None:
    """Goal: directories and opens without data access have no locks. Method: one of each."""
    client = pair.logged_on()
    assert lock(client, folder(client), (0, 1, SHARED)) == NTStatus.INVALID_PARAMETER
    attributes_only = client.open("file", desired_access=0x80)
    assert lock(client, attributes_only, (0, 1, SHARED)) == NTStatus.ACCESS_DENIED
    assert lock(client, client.open("file"), (2**64 - 1, 2, SHARED)) == NTStatus.INVALID_LOCK_RANGE


def test_reads_and_writes_meet_locks(pair: Pair) -> None:
    """Goal: reads and writes in another's lock are FILE_LOCK_CONFLICT, the owner's succeed, on READ's fast path too.
    Method: read before (the open gets attached), lock, read and write from both sides, unlock, read again."""
    client = pair.logged_on()
    first, second = two_opens(client)
    assert client.read(second, 0, 10) == bytes(10)
    assert lock(client, first, (0, 10, EXCLUSIVE | NOW)) == NTStatus.SUCCESS
    read = ReadRequest(second, 5, 10).pack()
    assert client.call(Command.READ, read).status == NTStatus.FILE_LOCK_CONFLICT
    assert client.write(second, 9, b"x").status == NTStatus.FILE_LOCK_CONFLICT
    assert client.read(second, 10, 5) == bytes(5)
    assert client.read(first, 0, 10) == bytes(10) and client.write(first, 0, b"y").status == NTStatus.SUCCESS
    cut = FileEndOfFileInformation(3).pack()
    assert put(client, second, FileInfoClass.END_OF_FILE, cut) == NTStatus.FILE_LOCK_CONFLICT
    assert lock(client, first, (0, 10, UNLOCK)) == NTStatus.SUCCESS
    assert client.read(second, 5, 10) == bytes(10)


def test_unlock_stops_at_the_first_mistake(pair: Pair) -> None:
    """Goal: what was released before a wrong range stays released. Method: two locks, unlock one right, one wrong."""
    client = pair.logged_on()
    first, second = two_opens(client)
    assert lock(client, first, (0, 1, EXCLUSIVE | NOW), (5, 1, EXCLUSIVE | NOW)) == NTStatus.SUCCESS
    assert lock(client, first, (0, 1, UNLOCK), (4, 1, UNLOCK), (5, 1, UNLOCK)) == NTStatus.RANGE_NOT_LOCKED
    assert lock(client, second, (0, 1, EXCLUSIVE | NOW)) == NTStatus.SUCCESS
    assert lock(client, second, (5, 1, EXCLUSIVE | NOW)) == NTStatus.LOCK_NOT_GRANTED


def test_long_lists(pair: Pair) -> None:
    """Goal: a long list of locks is granted as a whole or not at all, and released. Method: 1000 elements, the last of
    which conflicts with another open's lock or not."""
    client = pair.logged_on()
    first, second = two_opens(client)
    many = [(2 * number, 1, EXCLUSIVE | NOW) for number in range(1000)]
    assert lock(client, second, (1998, 1, EXCLUSIVE | NOW)) == NTStatus.SUCCESS
    assert lock(client, first, *many) == NTStatus.LOCK_NOT_GRANTED
    assert lock(client, second, (0, 1000, EXCLUSIVE | NOW), (1998, 1, UNLOCK)) == NTStatus.INVALID_PARAMETER
    assert lock(client, second, (1998, 1, UNLOCK)) == NTStatus.SUCCESS
    assert lock(client, first, *many) == NTStatus.SUCCESS
    assert lock(client, second, (999, 2, SHARED | NOW)) == NTStatus.LOCK_NOT_GRANTED
    assert lock(client, first, *((start, 1, UNLOCK) for start, _, _ in many)) == NTStatus.SUCCESS
    assert lock(client, second, (0, 2000, EXCLUSIVE | NOW)) == NTStatus.SUCCESS


def test_waiting_in_order(pair: Pair) -> None:
    """Goal: waiters get the lock one after the other, in order. Method: three opens, two of them wait."""
    client = pair.logged_on()
    opens = [client.open("file") for _ in range(3)]
    assert lock(client, opens[0], (0, 1, EXCLUSIVE)) == NTStatus.SUCCESS
    waiting = [client.send(Command.LOCK, lock_body(one, (0, 1, EXCLUSIVE))) for one in opens[1:]]
    for released, request in zip(opens, waiting, strict=False):
        assert [reply.status for reply in client.answers(request)] == [NTStatus.PENDING]
        assert lock(client, released, (0, 1, UNLOCK)) == NTStatus.SUCCESS
        assert client.wait(request).status == NTStatus.SUCCESS
    assert len(client.answers(waiting[1])) == 1


def test_close_releases_and_ends_the_wait(pair: Pair) -> None:
    """Goal: closing passes its locks to waiters, and its own waiting request ends with RANGE_NOT_LOCKED. Method:
    both."""
    client = pair.logged_on()
    first, second = two_opens(client)
    assert lock(client, first, (0, 1, EXCLUSIVE)) == NTStatus.SUCCESS
    waiting = client.send(Command.LOCK, lock_body(second, (0, 1, EXCLUSIVE)))
    assert client.close(second).status == NTStatus.SUCCESS
    assert client.wait(waiting).status == NTStatus.RANGE_NOT_LOCKED
    third = client.open("file")
    waiting = client.send(Command.LOCK, lock_body(third, (0, 1, SHARED)))
    client.close(first)
    assert client.wait(waiting).status == NTStatus.SUCCESS
    assert lock(client, third, (0, 1, UNLOCK)) == NTStatus.SUCCESS
