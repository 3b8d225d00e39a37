"""Log-ons that fail over the pair: slowed down, logged, and never in the way of a user who knows the password."""

from __future__ import annotations

import logging

import pytest
from peers.target import PASSWORD

from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import Command
from pair.client import Client, Reply
from pair.conftest import MakePair
from pair.machine import OTHER_PASSWORD, OTHER_USER, Pair


def fresh(pair: Pair, peer: str = "10.0.0.1:1000") -> Client:
    """A client that may log on. Delays are over when the test says so, on a busy machine too."""
    pair.stop_clock()
    client = Client(pair, pair.inside(pair.transport.connect, peer))
    client.negotiate()
    return client


def guess(pair: Pair, password: str = "wrong", user: str = "user1", peer: str = "10.0.0.1:1000") -> Reply:
    """One log-on on a new connection."""
    return fresh(pair, peer).try_log_on(user, password)[1]


class Pending:
    """A log-on whose last response has not come."""

    def __init__(self, pair: Pair, password: str, client: Client | None = None) -> None:
        self.client = client or fresh(pair)
        self.ids: list[int] = []
        wait = self.client.wait

        def stop_at_the_second(message_id: int) -> Reply:
            self.ids.append(message_id)
            if len(self.ids) == 2:
                raise StopIteration
            return wait(message_id)

        self.client.wait = stop_at_the_second  # type: ignore[method-assign]
        with pytest.raises(StopIteration):
            self.client.try_log_on("user1", password)
        self.client.wait = wait  # type: ignore[method-assign]

    @property
    def status(self) -> NTStatus | None:
        found = self.client.answers(self.ids[1])
        return found[0].status if found else None


def test_guesses_are_slowed_down(pair: Pair) -> None:
    """Goal: after five wrong passwords each response comes a second after the previous one, also for simultaneous
    guesses, also for the right password among them. Method: nine connections; the clock is advanced by hand."""
    for _ in range(5):
        assert guess(pair).status == NTStatus.LOGON_FAILURE
    waiting = [
        Pending(pair, "wrong"),
        Pending(pair, "wrong"),
        Pending(pair, PASSWORD),
        Pending(pair, "wrong"),
    ]
    assert [one.status for one in waiting] == [None] * 4
    pair.advance(1.01)
    assert [one.status for one in waiting] == [NTStatus.LOGON_FAILURE, None, None, None]
    pair.advance(3)
    assert None not in [one.status for one in waiting]


def test_the_right_password_works_within_seconds(pair: Pair) -> None:
    """Goal: a user who mistypes ten times and then gets it right is logged on, and the count starts over. Method: in
    turn, the clock by hand."""
    for _ in range(5):
        guess(pair)
    for _ in range(5):
        one = Pending(pair, "wrong")
        pair.advance(1.1)
        assert one.status == NTStatus.LOGON_FAILURE
    right = Pending(pair, PASSWORD)
    pair.advance(2)
    assert right.status == NTStatus.SUCCESS
    assert guess(pair).status == NTStatus.LOGON_FAILURE


def test_nobody_is_locked_out(pair: Pair) -> None:
    """Goal: the rightful user at another address, and other users at the same address, log on at once. Method: while
    guesses wait and more of them are not even looked at."""
    for _ in range(5):
        guess(pair)
    waiting = [Pending(pair, "wrong") for _ in range(10)]
    assert guess(pair).status == NTStatus.REQUEST_NOT_ACCEPTED
    assert guess(pair, PASSWORD).status == NTStatus.REQUEST_NOT_ACCEPTED, (
        "no response, not even to the right one"
    )
    assert guess(pair, PASSWORD, peer="10.0.0.2:1").status == NTStatus.SUCCESS
    assert guess(pair, OTHER_PASSWORD, OTHER_USER).status == NTStatus.SUCCESS
    pair.advance(11)
    assert {one.status for one in waiting} == {NTStatus.LOGON_FAILURE}


def test_what_may_happen_during_the_delay(pair: Pair) -> None:
    """Goal: a delayed response holds nothing for long: the connection may be lost, and another log-on on the same
    session is refused. Method: both during a delay."""
    for _ in range(5):
        guess(pair)
    lost = Pending(pair, "wrong")
    client = fresh(pair)
    client.log_on(OTHER_USER, OTHER_PASSWORD)
    busy = Pending(pair, "wrong", client)
    lost.client.disconnect()
    (session,) = (
        one for one in pair.server.connections[client.link.number].sessions.values() if one.deciding
    )
    body = b"\x19\0\0\0" + bytes(8) + (88).to_bytes(2, "little") + bytes(10) + b"x"
    again = client.send(Command.SESSION_SETUP, body, session_id=session.id)
    assert client.wait(again).status == NTStatus.REQUEST_NOT_ACCEPTED
    pair.advance(3)
    assert busy.status == NTStatus.LOGON_FAILURE


def test_guests_with_an_account_have_guessed(make_pair: MakePair) -> None:
    """Goal: `map to guest = bad password` is no way to guess faster; unknown names stay free. Method: both, often."""
    pair = make_pair({"map to guest": "bad password"})
    for _ in range(5):
        assert guess(pair).status == NTStatus.SUCCESS
    assert Pending(pair, "wrong").status is None
    for number in range(8):
        assert guess(pair, user="somebody", peer=f"10.0.0.9:{number}").status == NTStatus.SUCCESS
    pair.advance(2)


def test_failures_are_logged(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    """Goal: the log says who was refused, from where and why, on one line whatever the name. Method: a wrong password,
    and a name with a line break and an escape in it."""
    guess(pair, user="user1")
    guess(pair, user="evil\nname\x1b[2J" + "x" * 200)
    lines = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert "10.0.0.1:1000: log-on of 'user1' refused: LOGON_FAILURE" in lines
    (hostile,) = (line for line in lines if "evil" in line)
    assert "\n" not in hostile and "\x1b" not in hostile and len(hostile) < 200


def test_it_can_be_turned_off(make_pair: MakePair) -> None:
    """Goal: `frevo:log on delay = 0` responds at once. Method: twenty wrong ones."""
    pair = make_pair({"frevo:log on delay": "0"})
    assert {guess(pair).status for _ in range(20)} == {NTStatus.LOGON_FAILURE}


def test_an_account_without_failures_has_a_place(pair: Pair) -> None:
    """Goal: a user who shares an address with an attacker who tries many accounts gets a response within seconds,
    once; a wrong password uses the chance up. Method: so many accounts that the address is otherwise ignored."""
    for number in range(120):
        pair.server.failed_logons.failed("10.0.0.1", f"account{number}", interval_s=1.0)
    wait_s = pair.server.failed_logons.wait_s
    assert wait_s("10.0.0.1", "account1", free=5, interval_s=1.0) > 10
    one = Pending(pair, PASSWORD)
    assert one.status is None
    pair.advance(3.1)
    assert one.status == NTStatus.SUCCESS
    pair.server.failed_logons.failed("10.0.0.1", "user1", interval_s=1.0)
    for number in range(40):
        pair.server.failed_logons.failed("10.0.0.1", f"account{number}", interval_s=1.0)
    assert guess(pair, PASSWORD).status == NTStatus.REQUEST_NOT_ACCEPTED
