"""Credits and message ids over the pair: the window, charges, duplicates, limits ([MS-SMB2] 3.3.1.1, 3.3.5.2.3-5)."""

from __future__ import annotations

import pytest

from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import (
    CancelRequest,
    Command,
    EchoRequest,
    QueryDirectoryRequest,
    ReadRequest,
    WriteRequest,
)
from pair.client import Element
from pair.conftest import MakePair
from pair.machine import Pair

ECHO = EchoRequest().pack()


@pytest.mark.parametrize("fast", ["yes", "no"])
def test_grants(make_pair: MakePair, fast: str) -> None:
    """Goal: requests for credits are granted up to the limit, never less than one. Method: a limit of 20 credits,
    requests for 0, 5, 1000; the sum of grants stays below the limit."""
    pair = make_pair({"smb2 max credits": "20", "frevo:fast path": fast})
    client = pair.connect()
    client.negotiate()
    client.log_on()
    for wish in (0, 5, 1000, 1000, 0, 0):
        reply = client.echo(credits=wish)
        assert reply.header.credits >= (client.granted - client.next_id == reply.header.credits)
        assert client.granted - client.next_id <= 20
    assert client.granted - client.next_id >= 1


@pytest.mark.parametrize("fast", ["yes", "no"])
def test_who_asks_for_nothing(make_pair: MakePair, fast: str) -> None:
    """Goal: [MS-SMB2] 3.3.1.2: no more is granted than was asked for, except to a client that would have none left.
    Method: use up all credits but one with requests that ask for none, by both planes."""
    client = make_pair({"frevo:fast path": fast}).logged_on()
    while client.granted - client.next_id > 1:
        assert client.echo(credits=0).header.credits == 0
    for _ in range(3):
        assert client.echo(credits=0).header.credits == 1


@pytest.mark.parametrize("fast", ["yes", "no"])
def test_used_and_unknown_ids(make_pair: MakePair, fast: str) -> None:
    """Goal: an id that was used, or never granted, ends the connection. Method: each, after legal out-of-order use."""
    pair = make_pair({"frevo:fast path": fast})
    for bad in ("used", "beyond", "low", "huge"):
        client = pair.logged_on()
        now = client.next_id
        for message_id in (now + 2, now, now + 1):
            assert client.echo(message_id=message_id).status == NTStatus.SUCCESS
        client.send(
            Command.ECHO,
            ECHO,
            message_id={"used": now + 1, "beyond": client.granted, "low": 0, "huge": 2**64 - 1}[bad],
        )
        assert client.closed, bad


@pytest.mark.parametrize("fast", ["yes", "no"])
def test_charge_must_pay(make_pair: MakePair, fast: str) -> None:
    """Goal: [MS-SMB2] 3.3.5.2.5: a payload over 64 KiB needs its charge. Method: READ, WRITE and QUERY_DIRECTORY with
    one credit less than needed, and with enough."""
    client = make_pair({"frevo:fast path": fast}).logged_on()
    file_id = client.open("a")
    assert client.write(file_id, 0, bytes(200_000)).status == NTStatus.SUCCESS
    assert len(client.read(file_id, 0, 200_000)) == 200_000
    for charge in (0, 1, 3):
        reply = client.call(Command.READ, ReadRequest(file_id, 0, 200_000).pack(), charge=charge)
        assert reply.status == NTStatus.INVALID_PARAMETER
        assert client.write(file_id, 0, bytes(200_000), charge=charge).status == NTStatus.INVALID_PARAMETER
    listing = QueryDirectoryRequest(3, 0, 0, file_id, 65537, "*").pack()
    assert client.call(Command.QUERY_DIRECTORY, listing).status == NTStatus.INVALID_PARAMETER
    assert len(client.read(file_id, 0, 65536, charge=1)) == 65536


def test_charge_takes_ids(pair: Pair) -> None:
    """Goal: a charge of n takes n ids. Method: use one of the inner ids again."""
    client = pair.logged_on()
    now = client.next_id
    assert client.echo(charge=4).status == NTStatus.SUCCESS
    client.send(Command.ECHO, ECHO, message_id=now + 2)
    assert client.closed


def test_charge_beyond_the_window(pair: Pair) -> None:
    """Goal: no client spends more than it was granted. Method: a charge of 65535."""
    client = pair.logged_on()
    client.send(Command.ECHO, ECHO, charge=65535)
    assert client.closed


def test_old_dialect_knows_no_charge(pair: Pair) -> None:
    """Goal: 2.0.2 has single credits and 64 KiB at most. Method: CreditCharge is ignored, larger is refused."""
    client = pair.logged_on((0x0202,))
    file_id = client.open("a")
    now = client.next_id
    client.write(file_id, 0, bytes(65536), charge=1)
    assert client.echo(charge=1, credit_charge=7).status == NTStatus.SUCCESS
    assert client.echo(message_id=now + 2).status == NTStatus.SUCCESS
    client.next_id = now + 3
    reply = client.call(Command.READ, ReadRequest(file_id, 0, 65537).pack())
    assert reply.status == NTStatus.INVALID_PARAMETER


def test_larger_than_negotiated(make_pair: MakePair) -> None:
    """Goal: MaxReadSize and MaxWriteSize are enforced. Method: one byte more with enough credits."""
    client = make_pair({"smb2 max read": "128K", "smb2 max write": "128K"}).logged_on()
    file_id = client.open("a")
    over = 131_073
    assert (
        client.call(Command.WRITE, WriteRequest(file_id, 0, bytes(over)).pack(), charge=3).status
        == NTStatus.INVALID_PARAMETER
    )
    client.write(file_id, 0, bytes(131_072))
    for _ in range(2):
        reply = client.call(Command.READ, ReadRequest(file_id, 0, over).pack(), charge=3)
        assert reply.status == NTStatus.INVALID_PARAMETER
        assert len(client.read(file_id, 0, 131_072)) == 131_072


def test_skipped_id(make_pair: MakePair) -> None:
    """Goal: a client that leaves one id unused stops its window, not the server. Method: skip one with few credits:
    grants end at twice the limit; using it makes them resume."""
    pair = make_pair({"smb2 max credits": "16"})
    client = pair.logged_on()
    skipped = client.next_id
    client.next_id += 1
    for _ in range(100):
        if client.granted <= client.next_id:
            break
        assert client.echo().status == NTStatus.SUCCESS
    assert client.granted - skipped <= 33
    reply = client.echo(message_id=skipped)
    assert reply.status == NTStatus.SUCCESS and reply.header.credits > 0


def test_cancel_takes_no_credit(pair: Pair) -> None:
    """Goal: CANCEL has no id of its own and no response. Method: a hundred of them for unknown ids."""
    client = pair.logged_on()
    for number in range(100):
        client.send(Command.CANCEL, CancelRequest().pack(), message_id=(number, 2**64 - 1)[number & 1])
    assert client.echo().status == NTStatus.SUCCESS
    assert not client.replies


def test_flood_of_one_window(pair: Pair) -> None:
    """Goal: a whole window sent at once is answered in full. Method: all available ids, in one write to the socket."""
    client = pair.logged_on()
    client.echo(credits=512)
    ids = range(client.next_id, client.granted)
    frames = []
    for message_id in ids:
        assert client.session is not None and client.session.keys is not None
        message = client.session.keys.sign(client.element(Element(Command.ECHO, ECHO), message_id))
        frames.append(len(message).to_bytes(4, "big") + message)
    client.wire(b"".join(frames))
    assert all(client.wait(message_id).status == NTStatus.SUCCESS for message_id in ids)
