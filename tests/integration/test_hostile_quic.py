"""A real server under attack by QUIC: garbage, wrong handshakes, too many streams, stalled ones, floods. Its other
clients do not notice, its memory stays, its log has a line for each connection that was refused, none per datagram.
"""

from __future__ import annotations

import os
import random
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pair.client import Client
from peers.certificates import Authority
from peers.frevo_server import FrevoServer, frevo_server
from peers.initials import VERSION_1, Flood, client_hello, initial, packet_type
from peers.quic_client import LiveQuic, QuicLink
from peers.quic_stacks import part

from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import Command, ReadRequest
from integration.live import Live, rss_bytes, until

MIB = 1 << 20
#: As many Initials as a flood has; more with FREVO_TEST_FLOOD.
FLOOD = int(os.environ.get("FREVO_TEST_FLOOD", "20000"))
#: TLS alerts as QUIC's error codes (RFC 9001, 4.8; RFC 8446, 6).
ALERT = 0x100
ACCESS_DENIED, CERTIFICATE_REQUIRED, UNRECOGNIZED_NAME, NO_APPLICATION_PROTOCOL = 49, 116, 112, 120
CONNECTION_REFUSED, STREAM_LIMIT_ERROR = 0x2, 0x4
#: To an address that has not proved itself, for one Initial (RFC 9000, 8.1). quinn-proto sends a whole datagram when a
#: byte of this is left (https://github.com/quinn-rs/quinn/issues/1082), so one datagram more.
AMPLIFIED_MAX = 3 * 1200 + 1200


@contextmanager
def witnessed(folder: Path, options: dict[str, str] | None = None) -> Iterator[tuple[FrevoServer, LiveQuic]]:
    """A server, and how to reach it by QUIC; a client with a file must be able to read it before and after the test's
    body, over the same connection and over a new one."""
    settings = {"server signing": "auto", **(options or {})}
    with (
        frevo_server(folder, settings, quic=True) as server,
        LiveQuic("aioquic", server.host, server.quic_port, server.authority) as live,
    ):
        (server.folder() / "witness").write_bytes(b"undisturbed")
        client = live.logged_on()
        check(client)
        yield server, live
        check(client)
        check(live.logged_on())


def check(client: Client) -> float:
    """Opens, reads and closes; the seconds that it took."""
    begun = time.monotonic()
    file_id = client.open("witness", create_disposition=1)
    assert client.read(file_id, 0, 100) == client.read(file_id, 0, 100) == b"undisturbed"
    assert client.close(file_id).status == NTStatus.SUCCESS
    took = time.monotonic() - begun
    assert took < 5, "the server hardly answers"
    return took


def udp(server: FrevoServer) -> socket.socket:
    """A socket that is connected to the server's QUIC port."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.connect((server.host, server.quic_port))
    made.settimeout(5)
    return made


def arrived(source: socket.socket, timeout_s: float = 0.3) -> list[bytes]:
    """Everything that has come, until nothing comes for *timeout_s*."""
    source.settimeout(timeout_s)
    found = []
    try:
        while True:
            found.append(source.recv(65536))
    except TimeoutError:
        return found


# -- datagrams


@pytest.mark.parametrize("engine", ["uring", "epoll"])
def test_garbage(tmp_path: Path, engine: str) -> None:
    """5,000 datagrams of random bytes and lengths, many with plausible headers: next to nothing comes back, and the log
    does not grow by them."""
    chance = random.Random(1)
    with witnessed(tmp_path, {"frevo:engine": engine}) as (server, _), closing(udp(server)) as attacker:
        before = len(server.log_text().splitlines())
        sent = received = 0
        for number in range(5000):
            data = bytearray(chance.randbytes(chance.choice([0, 1, 5, 20, 21, 100, 1199, 1200, 1472, 9000])))
            if data and number % 2:
                data[0] |= 0xC0  # a long header
                data[1:5] = struct.pack(
                    ">I", chance.choice([0, VERSION_1, 0x6B3343CF, chance.getrandbits(32)])
                )
            attacker.send(data)
            sent += len(data)
            if number % 500 == 0:
                received += sum(map(len, arrived(attacker, 0.01)))
        received += sum(map(len, arrived(attacker)))
        assert received < sent
        assert len(server.log_text().splitlines()) - before < 50


def test_garbage_in_a_connection(tmp_path: Path) -> None:
    """Datagrams with the connection ids of a live connection and random contents, from its own address and others:
    the connection goes on."""
    with witnessed(tmp_path) as (server, live), closing(udp(server)) as attacker:
        client = live.logged_on()
        link = live.quic_links[-1]
        peer = link.protocol._quic._peer_cid.cid
        for number in range(500):
            datagram = bytes([0x40 | number & 0x3F]) + peer + os.urandom(number * 2)
            attacker.send(datagram)
            link.inside(
                lambda datagram=datagram: link.protocol._transport.sendto(
                    datagram, link.protocol._quic._network_paths[0].addr
                )
            )
            if number % 100 == 0:
                check(client)
        check(client)


def test_version_negotiation(tmp_path: Path) -> None:
    """A version that nobody knows is answered with ours, and the ids the other way round (RFC 9000, 6.1, 17.2.1),
    unless the datagram is smaller than an Initial may be."""
    with witnessed(tmp_path) as (server, _), closing(udp(server)) as attacker:
        head = struct.pack(">BI", 0xC0, 0x1A2A3A4A) + b"\x08" + b"DESTINED" + b"\x04" + b"FROM"
        attacker.send(head.ljust(1199, b"\0"))
        assert arrived(attacker) == []
        attacker.send(head.ljust(1200, b"\0"))
        (answer,) = arrived(attacker)
        assert packet_type(answer) == "version negotiation"
        assert answer[5:].startswith(b"\x04FROM\x08DESTINED")
        versions = answer[5 + 5 + 9 :]
        assert struct.pack(">I", VERSION_1) in [versions[at : at + 4] for at in range(0, len(versions), 4)]


def test_nobody_is_amplified(tmp_path: Path) -> None:
    """To an address that has not proved itself, no more than three times as much is sent as came (RFC 9000, 8.1),
    however long it takes; the attempt is given up."""
    with witnessed(tmp_path) as (server, _), closing(udp(server)) as victim:
        victim.send(initial(client_hello()))
        answers = arrived(victim, 3)
        assert answers
        assert sum(map(len, answers)) <= AMPLIFIED_MAX


def test_small_initials_are_nothing(tmp_path: Path) -> None:
    """A valid Initial in a datagram of less than 1200 bytes is not answered with a handshake (RFC 9000, 14.1)."""
    with witnessed(tmp_path) as (server, _), closing(udp(server)) as attacker:
        attacker.send(initial(client_hello())[:-1])
        assert [packet_type(one) for one in arrived(attacker)] in ([], ["initial"])  # nothing, or a close


def test_flood_of_initials(tmp_path: Path) -> None:
    """Initials from many addresses by the thousand, none of which ever answers: memory stays bounded, most are asked to
    prove their address (Retry), and a working session hardly notices."""
    sources = [f"127.3.{number}.1" for number in range(50)]
    hello = client_hello()
    with witnessed(tmp_path) as (server, live), Flood(server.host, server.quic_port, sources) as flood:
        client = live.logged_on()
        before, slowest = rss_bytes(server.pid), 0.0
        for sent in flood.send(FLOOD, hello):
            if sent % 2000 == 0:
                slowest = max(slowest, check(client))
        grown = rss_bytes(server.pid) - before
        flood.take()
        assert flood.received.get("retry", 0) > FLOOD // 4, flood.received
        assert flood.received_bytes <= 3 * flood.sent_bytes
        assert grown < 100 * MIB, f"{grown / MIB:.0f} MiB more"
        assert slowest < 2
        assert len(server.log_text().splitlines()) < 500


def test_flood_of_clients_that_give_up_at_once(tmp_path: Path) -> None:
    """Every Initial ends the connection that it begins. What has failed counts until it is forgotten, so these have to
    prove their addresses, too, and memory stays bounded."""
    with witnessed(tmp_path) as (server, live), Flood(server.host, server.quic_port, ["127.3.1.1"]) as flood:
        client = live.logged_on()
        before = rss_bytes(server.pid)
        for sent in flood.send(FLOOD // 2, client_hello(), closes=True):
            if sent % 2000 == 0:
                check(client)
        grown = rss_bytes(server.pid) - before
        flood.take()
        assert flood.received.get("retry", 0) > FLOOD // 8, flood.received
        assert grown < 50 * MIB, f"{grown / MIB:.0f} MiB more"


def test_wrong_tokens(tmp_path: Path) -> None:
    """Tokens that the server never gave out do not prove an address, and break nothing."""
    with witnessed(tmp_path) as (server, _), closing(udp(server)) as attacker:
        for size in (1, 16, 64, 100, 500):
            attacker.send(initial(client_hello(), token=os.urandom(size)))
            assert sum(map(len, arrived(attacker, 0.2))) <= AMPLIFIED_MAX


# -- handshakes


def refused(live: LiveQuic, **options: Any) -> int:
    """The error code by which the server refuses a handshake."""
    count = len(live.quic_links)
    with pytest.raises(ConnectionError):
        live.link(**options)
    assert len(live.quic_links) == count
    return live.refusal


@pytest.mark.parametrize(
    ("options", "alert"),
    [
        ({"alpn": ("h3",)}, NO_APPLICATION_PROTOCOL),
        ({"alpn": ("smb2", "SMB")}, NO_APPLICATION_PROTOCOL),
        ({"server_name": "elsewhere.example"}, UNRECOGNIZED_NAME),
    ],
    ids=["h3", "nearly", "another-name"],
)
def test_wrong_handshakes(tmp_path: Path, options: dict[str, Any], alert: int) -> None:
    """Another ALPN, and a name that no certificate has: the right alert, and one line in the log for each."""
    with witnessed(tmp_path) as (server, live):
        before = len(server.log_text().splitlines())
        for _ in range(3):
            assert refused(live, **options) == ALERT + alert
        until(lambda: len(server.log_text().splitlines()) - before >= 3)
        assert len(server.log_text().splitlines()) - before == 3


def test_no_server_name(tmp_path: Path) -> None:
    """A client that calls an address sends no name; the certificate has the address, so it is served."""
    with witnessed(tmp_path) as (_, live):
        check(live.connected(server_name="127.0.0.1"))


def test_client_certificates(tmp_path: Path) -> None:
    """Required: without one the handshake fails, with one that the CA has not signed, too."""
    ours, others = Authority(tmp_path / "ours"), Authority(tmp_path / "others", "another CA")
    options = {
        "server signing": "auto",
        "frevo:quic client access": "require",
        "tls cafile": str(ours.file),
    }
    with (
        frevo_server(tmp_path / "server", options, quic=True) as server,
        LiveQuic("aioquic", server.host, server.quic_port, None) as live,
    ):
        assert refused_late(live) == ALERT + CERTIFICATE_REQUIRED
        assert refused_late(live, identity=others.issue("stranger")) >= ALERT


def refused_late(live: LiveQuic, **options: Any) -> int:
    """As `refused`; in TLS 1.3 a client has its own part of the handshake done before the server looks at it."""
    try:
        link = live.link(**options)
    except ConnectionError:
        return live.refusal
    link.wait_closed()
    return link.error_code


def test_early_data(tmp_path: Path) -> None:
    """A client with a ticket that it made up sends requests in 0-RTT packets: they are not taken before the handshake
    is done, and then once."""
    with witnessed(tmp_path) as (_, live):
        tls = part("aioquic", "tls")
        now = tls.utcnow()
        ticket = tls.SessionTicket(
            age_add=1,
            cipher_suite=tls.CipherSuite.AES_128_GCM_SHA256,
            not_valid_after=now.replace(year=now.year + 1),
            not_valid_before=now,
            resumption_secret=os.urandom(32),
            server_name="localhost",
            ticket=os.urandom(64),
            max_early_data_size=0xFFFFFFFF,
            other_extensions=[],
        )
        client = live.connect(session_ticket=ticket)
        client.negotiate()
        client.log_on()
        client.connect_tree("share")
        check(client)
        taken = [link.protocol._quic.tls.early_data_accepted for link in live.quic_links]
        assert taken == [False, False]


# -- streams


@pytest.mark.parametrize("unidirectional", [False, True], ids=["bidirectional", "unidirectional"])
def test_a_thousand_streams(tmp_path: Path, unidirectional: bool) -> None:
    """One stream is allowed, of the client's making, in both directions. More are the end of the connection."""
    with witnessed(tmp_path) as (_, live):
        link = live.link()
        quic = link.protocol._quic
        assert (quic._remote_max_streams_bidi, quic._remote_max_streams_uni) == (1, 0)

        def open_them() -> None:
            quic._remote_max_streams_bidi = quic._remote_max_streams_uni = 10_000
            quic._remote_max_stream_data_uni = MIB
            for _ in range(1000):
                stream = quic.get_next_available_stream_id(is_unidirectional=unidirectional)
                quic.send_stream_data(stream, b"x")

        link.inside(open_them)
        link.wait_closed()
        assert link.error_code == STREAM_LIMIT_ERROR


def stalled(live: LiveQuic, window: int) -> tuple[Client, QuicLink]:
    """A client that gives the server room for *window* bytes, and never more."""
    client = live.connect(max_data=window, max_stream_data=window)
    link = live.quic_links[-1]
    for name in ("_write_connection_limits", "_write_stream_limits"):
        setattr(link.protocol._quic, name, lambda *_, **__: None)
    client.negotiate()
    client.log_on()
    client.connect_tree("share")
    return client, link


def test_a_stalled_stream(tmp_path: Path) -> None:
    """Clients that ask for much and take nothing: the server keeps no more for them than for clients of TCP, and reads
    no more requests; a normal client is served."""
    with witnessed(tmp_path) as (server, live):
        (server.folder() / "large").write_bytes(bytes(8 * MIB))
        before = rss_bytes(server.pid)
        for _ in range(8):
            client, link = stalled(live, 256 << 10)
            file_id = client.open("large", create_disposition=1)
            for number in range(50):
                body = ReadRequest(file_id, number % 8 * MIB, MIB).pack()
                if client.granted < client.next_id + 16:
                    break
                client.send(Command.READ, body, charge=16)
            assert not link.closed
        check(live.logged_on())
        assert rss_bytes(server.pid) - before < 160 * MIB


# -- limits


def test_connections_are_counted_with_those_of_tcp(tmp_path: Path) -> None:
    """A limit of eight connections, of which one user may have half: with four by QUIC beside four by TCP the next one
    by QUIC is turned away, with one line in the log. When one has gone there is room again."""
    options = {"server signing": "auto", "frevo:max connections": "8"}
    with (
        frevo_server(tmp_path, options, quic=True) as server,
        Live(server.host, server.port) as tcp,
        LiveQuic("aioquic", server.host, server.quic_port, server.authority) as live,
    ):
        clients = [one.logged_on() for one in (live, tcp, live, tcp)]
        silent = live.link(), tcp.connect(), live.link(), tcp.connect()
        assert refused(live) == CONNECTION_REFUSED
        until(lambda: "refused:" in server.log_text())
        assert server.log_text().count("refused:") == 1
        silent[0].close()
        until(lambda: connects(live))
        assert all(one.echo().status == NTStatus.SUCCESS for one in clients)


def connects(live: LiveQuic) -> bool:
    """Whether there is room for a connection."""
    try:
        live.link()
    except ConnectionError:
        return False
    return True


def test_silent_connections_make_room(tmp_path: Path) -> None:
    """Connections that shake hands and say nothing cannot keep others out: the oldest of them go."""
    with witnessed(tmp_path, {"frevo:max unauthenticated connections": "3"}) as (_, live):
        silent = [live.link(stream=number % 2 == 0) for number in range(6)]
        check(live.logged_on())
        silent[0].wait_closed()


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\xff\xff\xff" + b"x" * 100,
        b"\0\0\0\4\xfeSMB",
        b"\0\0\0\x40" + bytes(64),
    ],
    ids=["http", "too-long", "too-short", "no-smb"],
)
def test_other_protocols_in_the_stream(tmp_path: Path, data: bytes) -> None:
    """What is no SMB ends the connection, not the server."""
    with witnessed(tmp_path) as (_, live):
        link = live.link()
        link.send(data)
        link.wait_closed()
