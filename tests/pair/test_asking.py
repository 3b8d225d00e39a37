"""The system's lists of users and groups may be slow, or never answer: only the client that needs them waits."""

from __future__ import annotations

import grp
import pwd
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import Command, TreeConnectRequest
from pair.conftest import MakePair
from pair.machine import Pair

STAFF = grp.struct_group(("staff-of-test", "x", 4711, ["user1"]))
USER = pwd.struct_passwd(("user1", "x", 1, 4711, "", "/", ""))


class Service:
    """A directory service that answers on the test's command."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.asked: list[str] = []

    def answer(self, value: Any) -> Any:
        self.asked.append(threading.current_thread().name)
        assert threading.current_thread() is not threading.main_thread(), "called in the event loop"
        assert self.go.wait(20)
        return value

    def until_asked(self, pair: Pair, count: int = 1) -> None:
        for _ in range(2000):
            if len(self.asked) >= count:
                return
            pair.turn(0.005)
        raise AssertionError("nobody was asked")


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    made = Service()
    monkeypatch.setattr(grp, "getgrall", lambda: made.answer([STAFF]))
    monkeypatch.setattr(grp, "getgrnam", lambda name: made.answer(STAFF))
    monkeypatch.setattr(
        pwd, "getpwnam", lambda name: made.answer(pwd.struct_passwd(("user1", "x", 1, 4711, "", "/", "")))
    )
    monkeypatch.setattr(grp, "getgrgid", lambda gid: made.answer(STAFF))
    yield made
    made.go.set()


def connect(client: Any, name: str) -> int:
    sent: int = client.send(Command.TREE_CONNECT, TreeConnectRequest("\\\\server\\" + name).pack())
    return sent


def test_a_share_for_a_group(make_pair: MakePair, service: Service) -> None:
    """Goal: only the client that connects to a share for a group waits for the system's answer, and gets its result.
    Method: a service that does not answer; another client connects, opens a file and logs on; then it answers."""
    shares = {
        "share": {"read only": "no"},
        "staff": {"valid users": "@staff-of-test"},
        "others": {"valid users": "@nobody-of-test"},
    }
    pair = make_pair({"frevo:unix users": "no"}, shares)
    one, other = pair.logged_on(), pair.logged_on()
    allowed, refused = connect(one, "staff"), connect(one, "others")
    service.until_asked(pair, 2)
    assert other.create("new").status == NTStatus.SUCCESS
    assert pair.logged_on().create("newer").status == NTStatus.SUCCESS
    assert not one.answers(allowed) and not one.answers(refused)
    service.go.set()
    assert one.wait(allowed).status == NTStatus.SUCCESS
    assert one.wait(refused).status == NTStatus.ACCESS_DENIED
    assert set(service.asked) == {"frevo-names"}


def test_the_client_goes_while_the_system_is_asked(make_pair: MakePair, service: Service) -> None:
    """Goal: a connection or a session that ends meanwhile leaves nothing behind. Method: a connection that is lost and
    a session that is logged off, each during a TREE_CONNECT."""
    pair = make_pair(
        {"frevo:unix users": "no"}, {"share": {"read only": "no"}, "staff": {"valid users": "@staff-of-test"}}
    )
    gone, off = pair.logged_on(), pair.logged_on()
    connect(gone, "staff")
    waiting = connect(off, "staff")
    service.until_asked(pair, 2)
    gone.disconnect()
    assert off.call(Command.LOGOFF, b"\4\0\0\0").status == NTStatus.SUCCESS
    service.go.set()
    assert off.wait(waiting).status in (NTStatus.USER_SESSION_DELETED, NTStatus.NETWORK_NAME_DELETED)
    pair.turn(0.05)
    assert not pair.server.sessions and sum(share.users for share in pair.server.shares.values()) == 0


def test_a_log_on_that_asks(make_pair: MakePair, service: Service, tmp_path: Path) -> None:
    """Goal: a log-on that needs a group (`username map`) blocks nobody, accepts no further leg meanwhile, and ends
    correctly. Method: a service that answers after many turns of the loop; look at the session in each."""
    users = tmp_path / "users.map"
    users.write_text("user1 = @staff-of-test\n")
    pair = make_pair({"frevo:unix users": "no", "username map": str(users)})
    turns, deciding = 0, []

    def tick() -> None:
        nonlocal turns
        if service.asked:
            turns += 1
            deciding.extend(one.deciding for one in pair.server.sessions.values())
        if turns < 50:
            pair.loop.call_later(0.001, tick)
        else:
            service.go.set()

    pair.inside(tick)
    client = pair.connect()
    client.negotiate()
    client.log_on()
    assert turns >= 50 and all(deciding) and set(service.asked) == {"frevo-names"}
    (session,) = pair.server.sessions.values()
    assert not session.deciding and session.identity is not None
