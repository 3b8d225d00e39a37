"""QUIC connections of the data plane, both ends, on every engine and with one thread and several."""

from __future__ import annotations

import hashlib
import os
import select
import socket
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import pytest
from peers.pki import CLIENT, Made, authority, leaf
from peers.plane import HEADER, SERVER_TO_REDIR, SESSION, WRITE, frame, packet, session_keys

from frevo._native import ConnectionSettings, DataPlane, QuicClientTls, QuicServerTls
from frevo.lab.conditions import Conditions
from frevo.lab.path import DatagramPath
from frevo.transport.base import ACCEPTED, CLOSED, MESSAGE, MOVED, REJECTED, SECURED, Event

CA = authority("plane test CA")
SERVER = leaf("localhost", CA)


@pytest.fixture(params=["epoll", "uring"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class End:
    """A data plane, polled by hand."""

    def __init__(self, engine: str, role: str, threads: int = 1, **limits: Any) -> None:
        try:
            self.plane = DataPlane(threads=threads, engine=engine, role=role, limits=limits)
        except OSError as error:
            pytest.skip(f"the engine {engine} does not run here: {error}")
        self.threads = threads
        self.events: list[Event] = []

    def __enter__(self) -> End:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        self.plane.shutdown()

    def listen(self, tls: QuicServerTls, *, crossed: bool = False) -> tuple[int, int]:
        """(listener, port). crossed: the kernel gives every datagram to a thread that does not own it."""
        sockets: list[socket.socket] = []
        for _ in range(self.threads):
            one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind(("127.0.0.1", sockets[0].getsockname()[1] if sockets else 0))
            sockets.append(one)
        descriptors = [one.fileno() for one in sockets]
        listener = self.plane.listen_quic(descriptors[::-1] if crossed else descriptors, tls)
        port = sockets[0].getsockname()[1]
        for one in sockets:
            one.close()
        return listener, port

    def connect(self, port: int, tls: QuicClientTls) -> int:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", 0))
            return self.plane.connect_quic(udp.fileno(), "127.0.0.1", port, tls)

    def next(self, kind: int, connection: int | None = None, timeout: float = 20.0) -> Event:
        """The oldest event of this kind (of this connection); others stay."""
        deadline = time.monotonic() + timeout
        while True:
            for event in self.events:
                if event[0] == kind and connection in (None, event[1]):
                    self.events.remove(event)
                    return event
            ready, _, _ = select.select([self.plane.eventfd], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"no event {kind} in time, only {self.events}"
            self.events += self.plane.poll()


def server_tls(**changes: Any) -> QuicServerTls:
    return QuicServerTls([([SERVER.der], SERVER.key_der)], **changes)


def client_tls(own: Made | None = None, **changes: Any) -> QuicClientTls:
    pair = ([own.der], own.key_der) if own else None
    return QuicClientTls("localhost", cas=[CA.der], certificate=pair, **changes)


@pytest.fixture(params=[1, 3])
def ends(engine: str, request: pytest.FixtureRequest) -> Iterator[tuple[End, End]]:
    """(server, client)."""
    with End(engine, "server", request.param) as server, End(engine, "client") as client:
        yield server, client


def log_on(server: End, client: End, here: int) -> int:
    """The server's number of the client's connection *here*, logged on at both ends with credits."""
    client.plane.submit([(here, 0, 0, packet(0, 0))])
    there = int(server.next(MESSAGE)[1])
    server.next(ACCEPTED, there)
    settings = ConnectionSettings(authenticated=True, max_read=8 << 20, multi_credit=True)
    for end, number, keys in (
        (server, there, session_keys()),
        (client, here, session_keys(b"c" * 16, b"s" * 16)),
    ):
        end.plane.set_session(number, SESSION, keys)
        end.plane.set_connection(number, settings)
    server.plane.submit([(there, 0, 0, packet(0, 0, flags=SERVER_TO_REDIR, credits=512))])
    assert HEADER.unpack_from(bytes(client.next(MESSAGE, here)[4]))[5] == 512
    return there


def test_both_ends_know_what_was_agreed(ends: tuple[End, End]) -> None:
    """Cipher, server name and the certificate are reported at both ends, with the addresses."""
    server, client = ends
    listener, port = server.listen(server_tls())
    here = client.connect(port, client_tls())
    cipher, name, chain, verified, driver = client.next(SECURED, here)[2:]
    assert (cipher, name, chain, verified) == ("AES-128-GCM", "localhost", [SERVER.der], True)
    assert driver == "user"
    _, there, accepted_by, peer, local = server.next(ACCEPTED)
    assert (accepted_by, local) == (listener, f"127.0.0.1:{port}")
    assert peer.startswith("127.0.0.1:")
    assert server.next(SECURED, there)[2:] == ("AES-128-GCM", "localhost", [], False, "user")


def test_messages_of_every_size_pass_in_both_directions(ends: tuple[End, End]) -> None:
    """From one packet to the largest message, byte for byte."""
    server, client = ends
    _, port = server.listen(server_tls())
    here = client.connect(port, client_tls())
    there = log_on(server, client, here)
    for number, size in enumerate((16, 5000, 70_000, 8 << 20), start=1):
        body = os.urandom(size)
        client.plane.submit([(here, 0, 0, packet(9, number, body, charge=1))])
        assert bytes(server.next(MESSAGE, there)[4])[64:] == body
        answer = os.urandom(size)
        server.plane.submit([(there, 0, 0, packet(9, number, answer, flags=SERVER_TO_REDIR))])
        assert bytes(client.next(MESSAGE, here)[4])[64:] == answer


def test_the_end_of_either_side_is_told_to_the_other(ends: tuple[End, End]) -> None:
    """A client that closes, a server that closes, and a server that stops."""
    server, client = ends
    _, port = server.listen(server_tls())
    first, second = (client.connect(port, client_tls()) for _ in range(2))
    there = log_on(server, client, first)
    client.plane.close(first)
    assert server.next(CLOSED, there)[2] == "closed by the peer"
    there = log_on(server, client, second)
    server.plane.close(there)
    assert client.next(CLOSED, second)[2] == "closed by the peer"
    third = client.connect(port, client_tls())
    log_on(server, client, third)
    server.plane.shutdown()
    assert "closed" in client.next(CLOSED, third, timeout=5)[2]


def test_an_unwanted_server_is_left_and_the_server_hears_why(ends: tuple[End, End]) -> None:
    """The client names the fingerprint that it saw; the server reports one client that was turned away."""
    server, client = ends
    _, port = server.listen(server_tls())
    other = hashlib.sha256(b"another certificate").digest()
    here = client.connect(port, QuicClientTls("localhost", fingerprint=other))
    assert SERVER.sha256.hex() in client.next(CLOSED, here)[2].replace(":", "").lower()
    assert "certificate" in server.next(REJECTED)[3]


def test_a_list_that_changes_ends_the_connections_that_it_denies(ends: tuple[End, End]) -> None:
    """Other connections go on, and the denied client cannot come back."""
    server, client = ends
    demands: dict[str, Any] = {"client_access": "require", "client_cas": [CA.der]}
    alice, bob = leaf("alice", CA, usage=CLIENT), leaf("bob", CA, usage=CLIENT)
    both = [(True, "sha256", alice.sha256), (True, "sha256", bob.sha256)]
    listener, port = server.listen(server_tls(entries=both, **demands))
    numbers = {}
    for who in (alice, bob):
        here = client.connect(port, client_tls(who))
        there = log_on(server, client, here)
        assert server.next(SECURED, there)[4:6] == ([who.der], True)
        numbers[who] = here, there
    server.plane.set_quic_tls(
        listener, server_tls(entries=[both[0], (False, "sha256", bob.sha256)], **demands)
    )
    assert "denied" in server.next(CLOSED, numbers[bob][1])[2]
    client.next(CLOSED, numbers[bob][0])
    here, there = numbers[alice]
    client.plane.submit([(here, 0, 0, packet(9, 1))])
    server.next(MESSAGE, there)
    again = client.connect(port, client_tls(bob))
    client.next(CLOSED, again)


def test_a_list_that_changes_counts_for_handshakes_under_way(ends: tuple[End, End]) -> None:
    """Who may come in is decided at the end of a handshake, not at its beginning."""
    server, client = ends
    demands: dict[str, Any] = {"client_access": "require", "client_cas": [CA.der]}
    bob = leaf("bob", CA, usage=CLIENT)
    listener, port = server.listen(server_tls(entries=[(True, "sha256", bob.sha256)], **demands))
    with DatagramPath(("127.0.0.1", port), Conditions(delay_s=0.3), Conditions(delay_s=0.3)) as path:
        here = client.connect(path.port, client_tls(bob))
        while not server.plane.statistics()["connections"]:
            time.sleep(0.01)
        server.plane.set_quic_tls(listener, server_tls(entries=[(False, "sha256", bob.sha256)], **demands))
        assert "denied" in server.next(REJECTED)[3]
        client.next(CLOSED, here)
    assert not [event for event in server.events if event[0] == ACCEPTED]


def test_garbage_harms_nobody(ends: tuple[End, End]) -> None:
    """Datagrams of every size and kind that are no QUIC leave a live connection alone."""
    server, client = ends
    _, port = server.listen(server_tls())
    here = client.connect(port, client_tls())
    there = log_on(server, client, here)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for size in (0, 1, 2, 6, 7, 20, 100, 1200, 1472, 20_000):
            for first in (0x00, 0x40, 0x7F, 0x80, 0xC0, 0xC3, 0xFF):
                udp.sendto((bytes([first]) + b"\0\0\0\1\x08" + os.urandom(size))[:size], ("127.0.0.1", port))
    client.plane.submit([(here, 0, 0, packet(9, 1))])
    server.next(MESSAGE, there)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_client_whose_port_changes_goes_on(engine: str, threads: int) -> None:
    """Also when the kernel, which knows addresses only, gives its datagrams to another thread; each change is told."""
    with End(engine, "server", threads) as server, End(engine, "client") as client:
        _, port = server.listen(server_tls())
        with DatagramPath(("127.0.0.1", port)) as path:
            here = client.connect(path.port, client_tls())
            there = log_on(server, client, here)
            peers = set()
            for number in range(1, 9):
                path.rebind()
                body = os.urandom(300_000)
                client.plane.submit([(here, 0, 0, packet(9, number, body))])
                assert bytes(server.next(MESSAGE, there)[4])[64:] == body
                peers.add(server.next(MOVED, there)[2])
                server.plane.submit([(there, 0, 0, packet(9, number, flags=SERVER_TO_REDIR))])
                client.next(MESSAGE, here)
            assert len(peers) == 8 and all(peer.startswith("127.0.0.1:") for peer in peers)


def test_a_server_that_has_stopped_frees_its_port(ends: tuple[End, End]) -> None:
    """At once, though a connection is live. A listener that was only closed keeps it for its connections."""
    server, client = ends
    listener, port = server.listen(server_tls())
    log_on(server, client, client.connect(port, client_tls()))
    server.plane.close_listener(listener)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        with pytest.raises(OSError, match="in use"):
            udp.bind(("127.0.0.1", port))
        server.plane.shutdown()
        udp.bind(("127.0.0.1", port))


@pytest.mark.parametrize("size", [0, 1000, 300_000])
def test_what_a_server_has_said_before_it_stops_arrives(ends: tuple[End, End], size: int) -> None:
    """No kernel goes on sending when the process has gone: output that waits is delivered first, and the client knows
    at once that the connection has ended."""
    server, client = ends
    _, port = server.listen(server_tls())
    here = client.connect(port, client_tls())
    there = log_on(server, client, here)
    client.plane.submit([(here, 0, 0, packet(9, 1))])
    server.next(MESSAGE, there)
    answer = os.urandom(size)
    server.plane.submit([(there, 0, 0, packet(9, 1, answer, flags=SERVER_TO_REDIR))])
    server.plane.shutdown()
    assert bytes(client.next(MESSAGE, here, timeout=5)[4])[64:] == answer
    assert "closed" in client.next(CLOSED, here, timeout=5)[2]


def test_a_client_that_is_gone_holds_up_a_server_that_stops_for_a_moment_only(engine: str) -> None:
    """Nobody acknowledges any more: half a second, and what is left for other clients does not matter."""
    with End(engine, "server") as server:
        _, port = server.listen(server_tls())
        with End(engine, "client") as client, DatagramPath(("127.0.0.1", port)) as path:
            here = client.connect(path.port, client_tls())
            there = log_on(server, client, here)
            path.close()
            server.plane.submit([(there, 0, 0, packet(9, 1, bytes(1 << 20), flags=SERVER_TO_REDIR))])
            begun = time.monotonic()
            server.plane.shutdown()
            assert time.monotonic() - begun < 1.5


def test_a_connection_without_a_stream_can_be_closed(engine: str) -> None:
    """One that is still dialed, at the client; one whose client has said nothing yet, at the server."""
    with End(engine, "server") as server, End(engine, "client") as client:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            here = client.connect(silent.getsockname()[1], client_tls())
            client.plane.close(here)
            client.next(CLOSED, here, timeout=5)
        _, port = server.listen(server_tls())
        here = client.connect(port, client_tls())
        there = server.next(ACCEPTED)[1]
        client.next(SECURED, here)
        server.plane.close(there)
        server.next(CLOSED, there, timeout=5)
        client.next(CLOSED, here, timeout=5)


def test_a_dial_that_the_kernel_refuses_fails_at_once(engine: str) -> None:
    """As over TCP: nothing can be sent there, so there is nothing to wait for. (A broadcast address is forbidden
    everywhere.)"""
    with End(engine, "client") as client, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        here = client.plane.connect_quic(udp.fileno(), "255.255.255.255", 443, client_tls())
        assert "Permission denied" in client.next(CLOSED, here, timeout=5)[2]


def test_datagrams_for_a_closed_listener_leave_room_for_others(engine: str) -> None:
    """A thread has closed its socket of a listener, another still has connections there and receives what is for both.
    What it can give to nobody does not count as waiting for ever."""
    with End(engine, "server", 2) as server, End(engine, "client") as client:
        listener, port = server.listen(server_tls())
        here = client.connect(port, client_tls())
        there = log_on(server, client, here)
        server.plane.close_listener(listener)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            for message in range(1, 61):
                for number in range(200):  # not more than the socket's buffer holds
                    udp.sendto(bytes([0x40, number % 2]) + bytes(40), ("127.0.0.1", port))
                client.plane.submit([(here, 0, 0, packet(9, message))])
                server.next(MESSAGE, there)
        _, crossed = server.listen(server_tls(), crossed=True)
        for _ in range(8):
            client.next(SECURED, client.connect(crossed, client_tls()))


def test_an_end_in_the_middle_is_told_at_once(ends: tuple[End, End]) -> None:
    """A client that gives up while the window is full of what was not acknowledged says so; data is no excuse."""
    server, client = ends
    _, port = server.listen(server_tls())
    for _ in range(10):
        here = client.connect(port, client_tls())
        client.next(SECURED, here)
        there = log_on(server, client, here)
        body = bytes(4 << 20)
        client.plane.submit([(here, SESSION, 0, packet(WRITE, number, body)) for number in (1, 2)])
        client.plane.close(here, True)
        assert server.next(CLOSED, there, timeout=5)[2] == "closed by the peer"


def test_a_relay_takes_nothing_apart(engine: str) -> None:
    """Goal: the role "relay" carries any bytes. Method: a message in two pieces, up; what is no message, down; an
    encrypted message of a session that nobody knows."""
    with End(engine, "server") as server, End(engine, "relay") as relay:
        _, port = server.listen(server_tls())
        here = relay.connect(port, client_tls())
        relay.next(SECURED, here)
        sent = frame(packet(0, 0))
        relay.plane.submit([(here, 0, 0, sent[:30])])
        relay.plane.submit([(here, 0, 0, sent[30:])])
        there = server.next(MESSAGE)
        assert bytes(there[4]) == packet(0, 0)
        server.plane.submit([(there[1], 0, 0, b"noise")])
        assert bytes(relay.next(MESSAGE, here)[4]) == frame(b"noise")
        relay.plane.submit([(here, 0, 0, frame(b"\xfdSMB" + bytes(200)))])
        assert "encrypted message of an unknown session" in server.next(CLOSED)[2]
