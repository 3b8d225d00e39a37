"""DatagramPath between real sockets on the loopback interface."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from frevo.lab import Conditions, DatagramPath, batches, path
from frevo.lab import pytest as lab_pytest
from frevo.lab.pytest import MakePath, datagram_path

__all__ = ["datagram_path"]  # the fixture that users get

WAIT_S = 10.0


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A UDP socket that stands for the server."""
    with closing(udp()) as made:
        yield made


@pytest.fixture
def client() -> Iterator[socket.socket]:
    with closing(udp()) as made:
        yield made


def udp(host: str = "127.0.0.1") -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((host, 0))
    made.settimeout(WAIT_S)
    return made


def take(source: socket.socket, count: int) -> list[bytes]:
    return [source.recv(65536) for _ in range(count)]


def numbers(count: int) -> list[bytes]:
    return [n.to_bytes(4, "big") for n in range(count)]


def address(made: DatagramPath) -> tuple[str, int]:
    return made.host, made.port


def test_both_ways(server: socket.socket, client: socket.socket, datagram_path: MakePath) -> None:
    """What a client sends reaches the server from another address, and its answer the client from the path's."""
    way = datagram_path(server.getsockname())
    client.sendto(b"question", address(way))
    data, seen = server.recvfrom(100)
    assert (data, seen == client.getsockname()) == (b"question", False)
    server.sendto(b"answer", seen)
    assert client.recvfrom(100) == (b"answer", address(way))
    assert (way.up.passed, way.up.bytes, way.down.passed, way.down.bytes) == (1, 8, 1, 6)


def test_ipv6(datagram_path: MakePath) -> None:
    """The server may have an IPv6 address while clients come by IPv4."""
    with closing(udp("::1")) as server, closing(udp()) as client:
        way = datagram_path(server.getsockname()[:2])
        client.sendto(b"question", address(way))
        data, seen = server.recvfrom(100)
        server.sendto(data, seen)
        assert client.recv(100) == b"question"


def test_clients_are_told_apart(
    server: socket.socket, client: socket.socket, datagram_path: MakePath
) -> None:
    """Each client has its own address at the server, and gets its own answers."""
    way = datagram_path(server.getsockname())
    with closing(udp()) as other:
        client.sendto(b"one", address(way))
        _, first = server.recvfrom(100)
        other.sendto(b"two", address(way))
        _, second = server.recvfrom(100)
        assert first != second
        server.sendto(b"for two", second)
        server.sendto(b"for one", first)
        assert (client.recv(100), other.recv(100)) == (b"for one", b"for two")


def test_runs_stay_in_order(server: socket.socket, client: socket.socket, datagram_path: MakePath) -> None:
    """Runs that were sent by GSO, the last datagram shorter, and single ones arrive whole and in order."""
    way = datagram_path(server.getsockname())
    sender = batches.Sender(way.up)
    sent = [n.to_bytes(2, "big") * size for n, size in enumerate([500] * 70 + [3, 500, 600, 600, 1])]
    for one in sent:
        sender.send(client, address(way), one)
    sender.flush()
    assert take(server, len(sent)) == sent


def test_empty_datagrams(server: socket.socket, client: socket.socket, datagram_path: MakePath) -> None:
    """A datagram without data is a datagram."""
    way = datagram_path(server.getsockname())
    for one in (b"", b"a", b"", b""):
        client.sendto(one, address(way))
    assert take(server, 4) == [b"", b"a", b"", b""]


def arrived(server: socket.socket, client: socket.socket, way: DatagramPath, count: int) -> list[bytes]:
    """What arrives of so many numbers that are sent one after the other."""
    for one in numbers(count):
        client.sendto(one, address(way))
    wait_until(lambda: way.up.received == count)
    way.change(Conditions(delay_s=0.02))  # later than all that is still on its way
    client.sendto(b"end", address(way))
    return list(iter(lambda: server.recv(100), b"end"))


def test_same_seed_same_losses(datagram_path: MakePath) -> None:
    """Two runs with the same seed lose and repeat the same datagrams; another seed does not."""
    runs = []
    for seed in (7, 7, 8):
        with closing(udp()) as server, closing(udp()) as client:
            way = datagram_path(server.getsockname(), Conditions(loss=0.2, duplicate=0.1), seed=seed)
            runs.append(arrived(server, client, way, 150))
    assert runs[0] == runs[1] != runs[2]
    assert 75 < len(set(runs[0])) < 140
    assert len(runs[0]) > len(set(runs[0]))


def wait_until(true: object) -> None:
    """Waits for a condition that the path's thread brings about."""
    deadline = time.monotonic() + WAIT_S
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_reordering(server: socket.socket, client: socket.socket, datagram_path: MakePath) -> None:
    """Held datagrams arrive, later than ones that were sent after them."""
    way = datagram_path(server.getsockname(), Conditions(reorder=0.1, hold_s=0.01), seed=1)
    got = arrived(server, client, way, 150)
    assert sorted(got) == numbers(150)
    assert got != numbers(150)
    assert way.up.held > 5


def test_delay_and_order(server: socket.socket, client: socket.socket, datagram_path: MakePath) -> None:
    """A delay of 30 ms each way: the answer comes after 60 ms or later, and everything in order."""
    way = datagram_path(server.getsockname(), Conditions(delay_s=0.03, jitter_s=0.005))
    begun = time.monotonic()
    for one in numbers(100):
        client.sendto(one, address(way))
    _, seen = server.recvfrom(100)
    assert take(server, 99) == numbers(100)[1:]
    server.sendto(b"answer", seen)
    client.recv(100)
    assert time.monotonic() - begun >= 0.06


def test_mtu_in_one_direction(server: socket.socket, client: socket.socket, datagram_path: MakePath) -> None:
    """Conditions of one direction leave the other alone; what is too large disappears."""
    way = datagram_path(server.getsockname(), Conditions(mtu=1280), Conditions())
    client.sendto(bytes(1253), address(way))
    client.sendto(bytes(1252), address(way))
    data, seen = server.recvfrom(2000)
    assert len(data) == 1252
    server.sendto(bytes(1400), seen)
    assert len(client.recv(2000)) == 1400
    assert way.up.too_large == 1


def test_rebinding(server: socket.socket, client: socket.socket, datagram_path: MakePath) -> None:
    """After rebind the same client comes from another port, then from another address; answers to the old one are
    lost, those to the new one arrive."""
    way = datagram_path(server.getsockname())
    seen = []
    for source in (None, None, "127.0.0.2"):
        if seen:
            way.rebind(source)
            server.sendto(b"too late", seen[-1])
        client.sendto(b"hello", address(way))
        seen.append(server.recvfrom(100)[1])
    server.sendto(b"answer", seen[-1])
    assert client.recv(100) == b"answer"
    assert [host for host, _ in seen] == ["127.0.0.1", "127.0.0.1", "127.0.0.2"]
    assert len(set(seen)) == 3
    assert way.rebindings == 2


def test_rebinding_that_is_impossible(
    server: socket.socket, client: socket.socket, datagram_path: MakePath
) -> None:
    """An address that is not this machine's is an error for who asks; the path goes on as it was."""
    way = datagram_path(server.getsockname())
    client.sendto(b"a", address(way))
    seen = server.recvfrom(100)[1]
    with pytest.raises(OSError, match="assign"):
        way.rebind("192.0.2.1")
    client.sendto(b"b", address(way))
    assert server.recvfrom(100) == (b"b", seen)


def test_rebinding_again_and_again(
    server: socket.socket, client: socket.socket, datagram_path: MakePath
) -> None:
    """With rebind_every_s the port changes by itself, also while nothing comes."""
    way = datagram_path(server.getsockname(), rebind_every_s=0.01)
    client.sendto(b"a", address(way))
    first = server.recvfrom(100)[1]
    wait_until(lambda: way.rebindings >= 2)
    client.sendto(b"b", address(way))
    assert server.recvfrom(100)[1] != first


def test_when(server: socket.socket, client: socket.socket, datagram_path: MakePath) -> None:
    """An action comes once, after so many datagrams, from the path's thread, and may change the path."""
    way = datagram_path(server.getsockname())
    came: list[tuple[int, str]] = []

    def strike() -> None:
        came.append((way.up.received, threading.current_thread().name))
        way.rebind()

    way.when("up", 3, strike)
    for _ in range(5):
        client.sendto(b"a", address(way))
        server.recv(100)
    assert came == [(3, "datagram-path")]
    assert way.rebindings == 1


def test_a_server_that_is_not_there(client: socket.socket, datagram_path: MakePath) -> None:
    """ICMP's port unreachable does not end the path: a server that comes later gets what is sent then."""
    with closing(udp()) as gone:
        where = gone.getsockname()
    way = datagram_path(where)
    for _ in range(3):
        client.sendto(b"lost", address(way))
    wait_until(lambda: way.up.received == 3)
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as server:
        server.bind(where)
        server.settimeout(0.2)
        for _ in range(20):  # the first may only fetch the error of those before
            client.sendto(b"now", address(way))
            try:
                assert server.recv(100) == b"now"
                return
            except TimeoutError:
                continue
    raise AssertionError("nothing arrived")


def test_the_oldest_client_makes_room(
    server: socket.socket, client: socket.socket, datagram_path: MakePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With too many clients, the one that has been silent for longest is forgotten, not the others."""
    monkeypatch.setattr(path, "_FLOWS_MAX", 2)
    way = datagram_path(server.getsockname())
    with closing(udp()) as second, closing(udp()) as third:
        seen = {}
        for one in (client, second, client, third, client):
            one.sendto(b"a", address(way))
            seen.setdefault(one, []).append(server.recvfrom(100)[1])
        assert len(set(seen[client])) == 1
        second.sendto(b"a", address(way))
        assert server.recvfrom(100)[1] not in (*seen[second], *seen[client], *seen[third])


def test_close_says_what_went_wrong(server: socket.socket, client: socket.socket) -> None:
    """An error in the path's thread ends the path, and `close` raises it. Nothing stays open."""
    way = DatagramPath(server.getsockname()).start()
    way.when("up", 1, lambda: 1 / 0)
    client.sendto(b"a", address(way))
    wait_until(lambda: not way.running)
    with pytest.raises(ZeroDivisionError):
        way.close()
    way.close()


def test_addresses_that_do_not_work(server: socket.socket) -> None:
    """A name that does not exist and a port that is taken are OSErrors."""
    with pytest.raises(OSError, match=r"not known|resolution"):
        DatagramPath(("nosuch.invalid", 443))
    with pytest.raises(OSError, match="in use"):
        DatagramPath(("127.0.0.1", 443), listen=server.getsockname())


def test_the_fixture_tells_the_seed(
    server: socket.socket, client: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who reads the output of a failed test finds the seed and the counts."""
    with DatagramPath(server.getsockname(), seed=42) as way:
        client.sendto(b"a", address(way))
        server.recv(100)
    lab_pytest._report(way)
    told = capsys.readouterr().out
    assert "seed 42" in told
    assert "received=1" in told
