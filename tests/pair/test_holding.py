"""Holds of a file: what the data plane is doing to it ends before a lock is granted or a CLOSE answered; nobody else
waits meanwhile. What is running is begun by the test, and ends when the test says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from frevo._native import Running
from frevo.server.core.fastpath import ALL, Level
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import (
    CancelRequest,
    CloseRequest,
    Command,
    LogoffRequest,
    ReadRequest,
    TreeDisconnectRequest,
)
from pair.client import Client, FileId
from pair.file_calls import EXCLUSIVE, NOW, UNLOCK, lock, lock_body
from pair.machine import Pair

pytestmark = pytest.mark.fast_path

MANY = [(2 * number, 1, EXCLUSIVE | NOW) for number in range(200)]


class Case:
    """A client with a file of which the data plane answers READs; another client with the same file."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.client, self.other = pair.logged_on(), pair.logged_on()
        self.file, self.others = self.client.open("file"), self.other.open("file")
        self.client.write(self.file, 0, bytes(100))
        self.client.read(self.file, 0, 10)
        self.other.read(self.others, 0, 10)

    def begin(self, level: str = "read") -> Running:
        """An operation of the data plane that does not end by itself."""
        [session] = [one for one in self.pair.server.sessions.values() if self.file[1] in one.opens]
        running = session.attached_opens.begin(self.file[1], level)
        assert running is not None
        return running

    def end(self, running: Running) -> None:
        running.end()
        self.pair.turn()

    def fast_reads(self, client: Client, file: FileId) -> int:
        """How many READs of a pair the data plane answers by itself."""
        count = self.pair.transport.statistics()["fast_reads"]
        for _ in range(2):
            client.read(file, 50, 10)
        return self.pair.transport.statistics()["fast_reads"] - count

    def lock_later(self, *locks: tuple[int, int, int]) -> int:
        """A LOCK that is not answered yet; its message ID."""
        number = self.client.send(Command.LOCK, lock_body(self.file, *locks))
        self.pair.turn()
        assert not self.client.answers(number)
        return number


@pytest.fixture
def case(pair: Pair) -> Case:
    return Case(pair)


@pytest.mark.parametrize("locks", [[(0, 10, EXCLUSIVE | NOW)], [(0, 10, EXCLUSIVE)], MANY])
def test_a_lock_waits_for_a_running_read_and_nobody_else_does(
    case: Case, locks: list[tuple[int, int, int]]
) -> None:
    """Goal: a lock is granted only after the reads that began before it, and the loop serves others meanwhile. Method:
    LOCK during a READ; ECHO, READ and CLOSE of another client; then the READ ends."""
    running = case.begin()
    waiting = case.lock_later(*locks)
    assert case.other.echo().status == NTStatus.SUCCESS
    assert case.fast_reads(case.other, case.others) == 0, "the server answers them"
    assert case.other.close(case.other.open("another")).status == NTStatus.SUCCESS
    assert not case.client.answers(waiting)
    case.end(running)
    assert case.client.wait(waiting).status == NTStatus.SUCCESS
    read = ReadRequest(case.others, 0, 10).pack()
    assert case.other.call(Command.READ, read).status == NTStatus.FILE_LOCK_CONFLICT
    unlocks = [(start, length, UNLOCK) for start, length, _ in locks]
    assert lock(case.client, case.file, *unlocks) == NTStatus.SUCCESS
    assert case.fast_reads(case.other, case.others) == 2


def _cancel(case: Case, waiting: int) -> None:
    case.client.send(Command.CANCEL, CancelRequest().pack(), message_id=waiting)


def _close(case: Case, _: int) -> None:
    case.client.send(Command.CLOSE, CloseRequest(0, case.file).pack())


@pytest.mark.parametrize(
    ("end", "status"), [(_cancel, NTStatus.CANCELLED), (_close, NTStatus.RANGE_NOT_LOCKED)]
)
@pytest.mark.parametrize("locks", [[(0, 10, EXCLUSIVE)], MANY])
def test_a_lock_that_waits_can_be_given_up(
    case: Case, locks: list[tuple[int, int, int]], end: Callable[[Case, int], None], status: NTStatus
) -> None:
    """Goal: CANCEL and CLOSE end the wait at once, and nothing stays locked or held. Method: each of them."""
    running = case.begin()
    waiting = case.lock_later(*locks)
    end(case, waiting)
    assert case.client.wait(waiting).status == status
    case.end(running)
    assert case.fast_reads(case.other, case.others) == 2
    assert lock(case.other, case.others, (0, 1000, EXCLUSIVE | NOW)) == NTStatus.SUCCESS


def test_a_client_disappears_while_its_lock_waits(case: Case) -> None:
    """Goal: its file is closed when its read has ended, and others may lock. Method: a lost connection."""
    running = case.begin()
    case.lock_later((0, 10, EXCLUSIVE))
    case.client.disconnect()
    case.pair.turn()
    assert case.fast_reads(case.other, case.others) == 2, "nobody holds the file"
    [record] = case.pair.server.files
    assert len(record.opens) == 2, "its read has not ended"
    case.end(running)
    assert len(record.opens) == 1
    assert lock(case.other, case.others, (0, 10, EXCLUSIVE | NOW)) == NTStatus.SUCCESS


def test_several_locks_wait_together(case: Case) -> None:
    """Goal: everyone who waits is granted, and the file is held until the last lock is released. Method: two LOCKs wait
    for one READ; they are released one after the other."""
    running = case.begin()
    waiting = [case.lock_later((start, 10, EXCLUSIVE)) for start in (0, 10)]
    case.end(running)
    assert [case.client.wait(one).status for one in waiting] == [NTStatus.SUCCESS] * 2
    for start, fast in ((0, 0), (10, 2)):
        assert lock(case.client, case.file, (start, 10, UNLOCK)) == NTStatus.SUCCESS
        assert case.fast_reads(case.other, case.others) == fast


def test_the_file_opens_when_the_last_holder_lets_go(case: Case) -> None:
    """Goal: holders do not know each other. Method: a hold of writes and one of all, beside a lock."""
    fastpath, [record] = case.pair.server.fastpath, case.pair.server.files
    writes, everything = fastpath.hold(record, Level.WRITE, "one"), fastpath.hold(record, ALL, "another")
    assert everything.drained and writes.drained
    assert fastpath.holds(record) == [("one", False, True), ("another", True, True)]
    assert case.fast_reads(case.client, case.file) == 0
    assert lock(case.client, case.file, (0, 10, EXCLUSIVE | NOW)) == NTStatus.SUCCESS
    everything.release()
    assert case.fast_reads(case.client, case.file) == 0
    assert lock(case.client, case.file, (0, 10, UNLOCK)) == NTStatus.SUCCESS
    assert case.fast_reads(case.client, case.file) == 2
    assert not record.gate.is_open("write")
    assert fastpath.holds(record) == [("one", False, True)]
    again = fastpath.hold(record, Level.READ, "one")
    assert fastpath.holds(record) == [("one", True, True)]
    writes.release()
    assert record.gate.is_open("write") and fastpath.holds(record) == [("one", True, False)]
    everything.release()  # as before: nothing happens
    assert fastpath.holds(record) == [("one", True, False)]
    del again
    assert record.gate.is_open("read") and not fastpath.holds(record)


@pytest.mark.parametrize("level", ["read", "write"])
def test_what_ends_an_open_waits_for_what_it_does(case: Case, level: str) -> None:
    """Goal: CLOSE, TREE_DISCONNECT and LOGOFF are answered when nothing of theirs is running any more, so that nothing
    comes late; the file is gone only then. Method: each during an operation."""
    client = case.client
    [record] = case.pair.server.files
    closing = (
        (Command.CLOSE, lambda: CloseRequest(0, case.file).pack()),
        (Command.TREE_DISCONNECT, lambda: TreeDisconnectRequest().pack()),
        (Command.LOGOFF, lambda: LogoffRequest().pack()),
    )
    for command, body in closing:
        running = case.begin(level)
        waiting = client.send(command, body())
        case.pair.turn()
        assert [reply.status for reply in client.answers(waiting)] in ([], [NTStatus.PENDING])
        assert len(record.opens) == 2
        assert case.other.echo().status == NTStatus.SUCCESS
        case.end(running)
        assert client.wait(waiting).status == NTStatus.SUCCESS
        assert len(record.opens) == 1
        if command == Command.LOGOFF:
            break
        if command == Command.TREE_DISCONNECT:
            client.connect_tree("share")
        case.file = client.open("file")
        client.read(case.file, 0, 10)


def test_an_expired_session_is_not_served(pair: Pair) -> None:
    """Goal: opens of an expired session are detached, and give back what they took. Method: detach as expiry does, with
    an operation running; the descriptor counts; attach again."""
    case = Case(pair)
    server = pair.server
    opened = server.opens[case.file[1]]
    running = case.begin()
    before = opened.descriptors
    server.fastpath.detach(opened)
    assert not opened.attached and opened.descriptors == before - 1 and server.fastpath.is_busy(opened)
    assert case.fast_reads(case.client, case.file) == 1, "the first attaches it again"
    case.end(running)
    assert not server.fastpath.is_busy(opened) and opened.descriptors == before
