"""`hosts allow` and `hosts deny` over the pair: at accept, at TREE_CONNECT, with names that must be looked up."""

from __future__ import annotations

import threading

import pytest
from peers.target import SHARES

from frevo.config.hosts import Address
from frevo.server.rules import hosts
from frevo.transport.base import MESSAGE
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import Command
from pair.client import CONTEXTS, Client, negotiate_request
from pair.conftest import MakePair
from pair.machine import Pair

HERE, THERE = "10.1.1.1:1000", "[2001:db8::1]:1000"


def test_refused_before_a_byte_is_read(make_pair: MakePair, caplog: pytest.LogCaptureFixture) -> None:
    """Goal: a machine that is not allowed gets nothing at all. Method: its NEGOTIATE; an allowed machine beside it."""
    pair = make_pair({"hosts allow": "10. 127."})
    stranger = pair.connect(THERE)
    assert stranger.closed and not pair.server.connections
    stranger.link.send(b"\0\0\0\x08junkjunk")
    assert stranger.link.receive() == b""
    assert "[2001:db8::1]:1000 refused: by `hosts allow` and `hosts deny`" in caplog.text
    pair.logged_on(peer=HERE)


def test_refusals_are_logged_once(make_pair: MakePair, caplog: pytest.LogCaptureFixture) -> None:
    """Goal: a refused machine cannot fill the log. Method: a hundred connections, then one a minute later."""
    pair = make_pair({"hosts deny": "10."})
    for port in range(100):
        pair.connect(f"10.1.1.1:{port}")
    assert caplog.text.count("refused") == 1
    pair.advance(61)
    pair.connect(HERE)
    assert caplog.text.count("refused") == 2


def test_shares_have_lists_of_their_own(make_pair: MakePair) -> None:
    """Goal: a share's list applies to its TREE_CONNECT, in addition to that of [global]. Method: two machines, three
    shares."""
    shares = {
        **SHARES,
        "near": {"hosts allow": "10."},
        "far": {"hosts deny": "10."},
        "mapped": {"hosts allow": "192.0.2.1", "hosts deny": "ALL"},
    }
    pair = make_pair({}, shares)
    near, far = pair.logged_on(peer=HERE), pair.logged_on(peer=THERE)
    mapped = pair.logged_on(peer="[::ffff:192.0.2.1]:1000")
    answers = {
        name: [c.try_tree(name).status for c in (near, far, mapped)] for name in ("near", "far", "mapped")
    }
    ok, no = NTStatus.SUCCESS, NTStatus.ACCESS_DENIED
    assert answers == {"near": [ok, no, no], "far": [no, ok, ok], "mapped": [no, no, ok]}


def test_a_reload_applies_to_new_connections(make_pair: MakePair) -> None:
    """Goal: a list takes effect with the next connection. Method: reload with a list that includes no local
    address."""
    pair = make_pair()
    before = pair.logged_on(peer=HERE)
    config = pair.configured({"hosts allow": "11."})
    pair.inside(pair.server.reload, config, pair.authenticator(config))
    assert pair.connect(HERE).closed
    assert not before.closed


# -- clients of QUIC that move


def _move(pair: Pair, client: Client, peer: str) -> None:
    pair.inside(pair.transport.move, client.link.number, peer)


def test_a_client_moves(make_pair: MakePair, caplog: pytest.LogCaptureFixture) -> None:
    """Goal: the lists hold where a client has moved to, and its address is the present one. Method: to an allowed
    address, then to one that is not."""
    caplog.set_level("INFO")
    pair = make_pair({"hosts allow": "10."}, transport="quic")
    client = pair.logged_on(peer=HERE)
    _move(pair, client, "10.9.9.9:9")
    (connection,) = pair.server.connections.values()
    assert (connection.peer, connection.address) == ("10.9.9.9:9", "10.9.9.9")
    assert f"{HERE} is at 10.9.9.9:9 now" in caplog.text
    assert client.try_tree("share").status == NTStatus.SUCCESS
    _move(pair, client, THERE)
    assert client.closed and not pair.server.connections and not pair.server.sessions
    assert f"{THERE} refused: by `hosts allow` and `hosts deny`" in caplog.text


def test_another_port_is_no_news(make_pair: MakePair, caplog: pytest.LogCaptureFixture) -> None:
    """Goal: a client whose port changes with every datagram does not fill the log. Method: changes of port, which only
    debugging shows."""
    caplog.set_level("INFO")
    pair = make_pair({}, transport="quic")
    client = pair.logged_on(peer=HERE)
    for port in range(2000, 2010):
        _move(pair, client, f"10.1.1.1:{port}")
    (connection,) = pair.server.connections.values()
    assert connection.peer == "10.1.1.1:2009" and "now" not in caplog.text
    caplog.set_level("DEBUG")
    _move(pair, client, HERE)
    assert f"10.1.1.1:2009 is at {HERE} now" in caplog.text


def test_the_lists_of_shares_hold_for_clients_that_move(
    make_pair: MakePair, caplog: pytest.LogCaptureFixture
) -> None:
    """Goal: a share in use that does not allow the new address ends the connection. Method: two clients, one of which
    uses the share."""
    pair = make_pair({}, {**SHARES, "near": {"hosts allow": "10."}}, transport="quic")
    user, other = pair.logged_on(peer=HERE), pair.logged_on(peer=HERE)
    assert user.try_tree("near").status == NTStatus.SUCCESS
    for client in (user, other):
        _move(pair, client, THERE)
    assert (user.closed, other.closed) == (True, False)
    assert f"{THERE} refused: by `hosts allow` and `hosts deny` of a share in use" in caplog.text
    assert other.try_tree("near").status == NTStatus.ACCESS_DENIED


def test_a_client_moves_to_a_name(make_pair: MakePair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: names are looked up again, and the last address counts. Method: two moves before the resolver answers, one
    after; a client that has gone when the answer comes."""
    resolver = Resolver(monkeypatch, "good.example.com")
    resolver.answer.set()
    pair = make_pair({"hosts allow": ".example.com"}, transport="quic")
    clients = [pair.connect(HERE), pair.connect(HERE)]
    _settle(pair)
    resolver.answer.clear()
    for client in clients:
        _move(pair, client, "10.2.2.2:2")
        _move(pair, client, "10.3.3.3:3")
    clients[1].disconnect()
    resolver.answer.set()
    _settle(pair)
    assert [one.address for one in pair.server.connections.values()] == ["10.3.3.3"]
    monkeypatch.setattr(hosts, "names_of", lambda address, wanted: frozenset())
    _move(pair, clients[0], "10.4.4.4:4")
    _settle(pair)
    assert clients[0].closed and not pair.server.connections


class Resolver:
    """A replacement for the resolver's threads: answers on the test's command."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
        self.asked = 0
        self.answer = threading.Event()
        self._names = frozenset(names)
        monkeypatch.setattr(hosts, "names_of", self._names_of)

    def _names_of(self, address: Address, wanted: frozenset[str]) -> frozenset[str]:
        self.asked += 1
        assert self.answer.wait(10)
        return self._names


def _ask(client: Client) -> int:
    return client.send(Command.NEGOTIATE, negotiate_request((0x0311,), CONTEXTS).pack(), credits=1)


def _settle(pair: Pair) -> None:
    for _ in range(1000):
        pair.turn(0.001)
        if not pair.server.hosts._waiting:
            return
    raise AssertionError("the look-up did not end")


def test_names_are_looked_up_first(make_pair: MakePair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: what a client sends before its name is known waits and is answered then; one look-up per address. Method:
    a slow resolver; two connections."""
    resolver = Resolver(monkeypatch, "good.example.com")
    pair = make_pair({"hosts allow": ".example.com"})
    first, second = pair.connect(HERE), pair.connect(HERE)
    asked = _ask(first)
    pair.turn()
    assert not pair.server.connections and not first.closed
    resolver.answer.set()
    _settle(pair)
    assert len(pair.server.connections) == 2 and resolver.asked == 1
    assert first.wait(asked).status == NTStatus.SUCCESS
    second.negotiate()
    pair.logged_on(peer=HERE)
    assert resolver.asked == 1


def test_a_denied_name(make_pair: MakePair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: a denied name gets nothing, not even what it sent early. Method: a slow resolver."""
    resolver = Resolver(monkeypatch, "bad.example.com")
    pair = make_pair({"hosts deny": "bad.example.com"})
    client = pair.connect(HERE)
    _ask(client)
    resolver.answer.set()
    _settle(pair)
    assert client.closed and not pair.server.connections and not client.replies


def test_waiting_connections_are_bounded(make_pair: MakePair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: connections that wait for a name are few and hold little. Method: too many messages, a connection that
    leaves, too many connections."""
    resolver = Resolver(monkeypatch)
    pair = make_pair({"hosts allow": "LOCAL"})
    talker, leaver = pair.connect(HERE), pair.connect(HERE)
    leaver.disconnect()
    message = (MESSAGE, talker.link.number, 0, 0, b"\xfeSMB" + bytes(60), 0, 0)
    pair.inside(pair.server.on_events, [message] * hosts.MESSAGES_MAX)
    assert not talker.closed
    pair.inside(pair.server.on_events, [message])
    assert talker.closed and not pair.server.hosts._waiting
    many = [pair.connect(f"10.1.2.3:{port}") for port in range(hosts.WAITING_MAX + 1)]
    assert [client.closed for client in many] == [False] * hosts.WAITING_MAX + [True]
    resolver.answer.set()
    _settle(pair)
    assert all(client.closed for client in many)


def test_silent_resolver(make_pair: MakePair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: a resolver that does not answer costs its time limit, then the machine has no name. Method: a short limit;
    `hosts deny` contains everybody except one name."""
    monkeypatch.setattr(hosts, "LOOKUP_TIMEOUT_S", 0.05)
    resolver = Resolver(monkeypatch, "good")
    pair = make_pair({"hosts deny": "ALL EXCEPT good"})
    client = pair.connect(HERE)
    _settle(pair)
    assert client.closed
    resolver.answer.set()


def test_names_of_this_machine() -> None:
    """Goal: a name counts only if it resolves to the address. Method: the real resolver and localhost."""
    address = hosts.host_of("127.0.0.1:1").address
    other = hosts.host_of("192.0.2.55:1").address
    assert address is not None and other is not None
    assert "localhost" in hosts.names_of(address, frozenset({"localhost", "no such name"}))
    assert "localhost" not in hosts.names_of(other, frozenset({"localhost"}))
