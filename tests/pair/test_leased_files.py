"""Files on which another program has a lease (fcntl(2), F_SETLEASE): whoever opens one for writing waits until it is
given up, and nobody else does. The data plane has such leases on files whose pages it sends."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator

import pytest

from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import (
    CancelRequest,
    CloseRequest,
    Command,
    CreateDisposition,
    CreateResponse,
    WriteRequest,
)
from pair.client import ASYNC, RELATED, Client, Element, FileId, create_request
from pair.machine import Pair

READ_ONLY, EVERYTHING = 0x0012_0089, 0x0012_019F
LAST = (2**64 - 1, 2**64 - 1)


class Lease:
    """A read lease of this process on the file of the test."""

    def __init__(self, pair: Pair) -> None:
        self.path = pair.root / "share" / "file"
        self.path.write_bytes(b"content")
        self.fd = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.fcntl(self.fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except OSError as error:
            os.close(self.fd)
            pytest.skip(f"the file system of the tests has no leases: {error}")

    @property
    def is_broken(self) -> bool:
        return fcntl.fcntl(self.fd, fcntl.F_GETLEASE) != fcntl.F_RDLCK

    def give_up(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


@pytest.fixture
def lease(pair: Pair) -> Iterator[Lease]:
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # tells that somebody waits
    lease = Lease(pair)
    yield lease
    lease.give_up()
    signal.signal(signal.SIGIO, before)


def create_later(client: Client, lease: Lease, **fields: int) -> int:
    """A CREATE that has to wait; its message ID."""
    number = client.send(Command.CREATE, create_request("file", **fields).pack())
    client.pair.turn()
    assert lease.is_broken
    assert not client.answers(number)
    return number


def finished(client: Client, number: int) -> FileId:
    client.pair.advance(1.0)
    return client.wait(number).ok(CreateResponse).file_id


@pytest.mark.parametrize("disposition", [CreateDisposition.OPEN, CreateDisposition.OVERWRITE])
def test_who_opens_a_leased_file_for_writing_waits(pair: Pair, lease: Lease, disposition: int) -> None:
    """Goal: the CREATE is answered when the lease is given up, and the loop serves others meanwhile. Method: ECHO and
    an open for reading of the same client."""
    client = pair.logged_on()
    waiting = create_later(client, lease, create_disposition=disposition)
    assert client.echo().status == NTStatus.SUCCESS
    reader = client.open("file", desired_access=READ_ONLY)
    assert client.read(reader, 0, 7) == b"content", "nothing has happened to the file yet"
    pair.advance(0.5)
    assert not client.answers(waiting)
    lease.give_up()
    file = finished(client, waiting)
    assert client.write(file, 0, b"new").status == NTStatus.SUCCESS
    expected = b"newtent" if disposition == CreateDisposition.OPEN else b"new"
    assert lease.path.read_bytes() == expected


def test_a_client_is_told_that_its_create_waits(pair: Pair, lease: Lease) -> None:
    """Goal: STATUS_PENDING after a second, so that the client goes on waiting. Method: the clock."""
    client = pair.logged_on()
    waiting = create_later(client, lease)
    pair.advance(2.0)
    [interim] = client.answers(waiting)
    assert interim.status == NTStatus.PENDING and interim.header.flags & ASYNC
    lease.give_up()
    finished(client, waiting)


def test_a_create_that_waits_can_be_cancelled(pair: Pair, lease: Lease) -> None:
    """Goal: CANCEL ends the wait, and nothing is left of the request. Method: CANCEL, then the lease ends."""
    client = pair.logged_on()
    waiting = create_later(client, lease)
    client.send(Command.CANCEL, CancelRequest().pack(), message_id=waiting)
    assert client.wait(waiting).status == NTStatus.CANCELLED
    lease.give_up()
    pair.advance(1.0)
    assert not pair.server.opens


def test_a_client_disappears_while_its_create_waits(pair: Pair, lease: Lease) -> None:
    """Goal: nothing is left of it, as the fixture checks. Method: a lost connection."""
    client = pair.logged_on()
    create_later(client, lease)
    client.disconnect()
    lease.give_up()
    pair.advance(1.0)
    assert not pair.server.opens


def test_a_lease_that_nobody_gives_up(pair: Pair, lease: Lease) -> None:
    """Goal: no CREATE waits for ever. Method: a clock that runs ahead of the kernel's."""
    client = pair.logged_on()
    waiting = create_later(client, lease)
    for _ in range(3):
        pair.advance(30.0)
    assert client.wait(waiting).status == NTStatus.SHARING_VIOLATION


def test_a_compound_goes_on_after_the_wait(pair: Pair, lease: Lease) -> None:
    """Goal: what follows the CREATE in its compound waits with it. Method: CREATE, WRITE and CLOSE in one message."""
    client = pair.logged_on()
    numbers = client.compound(
        Element(Command.CREATE, create_request("file", desired_access=EVERYTHING).pack()),
        Element(Command.WRITE, WriteRequest(LAST, 0, b"written").pack(), RELATED),
        Element(Command.CLOSE, CloseRequest(0, LAST).pack(), RELATED),
    )
    pair.turn()
    assert lease.is_broken and not any(client.answers(number) for number in numbers)
    lease.give_up()
    pair.advance(1.0)
    assert [client.wait(number).status for number in numbers] == [NTStatus.SUCCESS] * 3
    assert lease.path.read_bytes() == b"written"
