"""A real server process under attack: its other clients do not notice, memory stays bounded, no traceback is logged.

Every server here is started, stopped and checked by `peers.frevo_server` (exit code 0, stopped in time, no traceback).
"""

from __future__ import annotations

import random
import resource
import select
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from pair.client import Client, Disconnected, Element
from peers import transports
from peers.frevo_server import FrevoServer, frevo_server, status_of
from peers.planes import PLANES

from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import Command, CreateOptions, ReadRequest, WriteRequest
from integration.live import Live, descriptors, rss_bytes, until

sys.path.append(str(Path(__file__).parents[2] / "fuzz" / "python"))

MIB = 1 << 20


@contextmanager
def witnessed(
    folder: Path, options: dict[str, str] | None = None
) -> Iterator[tuple[FrevoServer, Live, Client]]:
    """A server, how to reach it, and a client with a file that must be readable before and after the test's body."""
    with frevo_server(folder, options) as server, Live(server.host, server.port) as live:
        (server.folder() / "witness").write_bytes(b"undisturbed")
        client = live.logged_on()
        check(client)
        yield server, live, client
        check(client)
        check(live.logged_on())


def check(client: Client) -> None:
    """Opens, reads twice (the second time through the data plane) and closes, within a second."""
    started = time.monotonic()
    file_id = client.open("witness", create_disposition=1)
    assert client.read(file_id, 0, 100) == client.read(file_id, 0, 100) == b"undisturbed"
    assert client.close(file_id).status == NTStatus.SUCCESS
    assert time.monotonic() - started < 5, "the server hardly answers"


@pytest.mark.parametrize("plane", sorted(PLANES))
def test_mutated_conversations(tmp_path: Path, plane: str) -> None:
    """Goal: broken, replayed and reordered messages, before and after log-on, signed and encrypted, harm nobody.
    Method: the attacker of fuzz/python/fuzz_server.py over sockets for some seconds, from a fixed seed."""
    from fuzz_server import Attacker

    with witnessed(tmp_path, PLANES[plane]) as (server, live, client):
        dialects = {"dialects": (0x0311,)} if transports.over_quic() else {}
        attacker = Attacker(live, random.Random(20), **dialects)  # type: ignore[arg-type]
        end = time.monotonic() + 4
        rounds = 0
        while time.monotonic() < end or rounds <= 100:  # a slow machine takes longer, it does not do less
            attacker.round()
            rounds += 1
            if rounds % 50 == 0:
                check(client)
        assert rounds > 100 and server.alive()


@pytest.mark.tcp_only("test_hostile_quic.py has a thousand idle connections and floods of Initials")
def test_many_without_a_log_on(tmp_path: Path) -> None:
    """Goal: 10,000 silent connections cost little and disturb nobody. Method: as many as the quarter of the
    descriptors for connections allows, half of them with the beginning of a message; memory, descriptors, and a client
    that keeps working."""
    count = min(10_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 4 - 100)
    assert count > 100  # or too few to mean anything
    options = {"frevo:max unauthenticated connections": "20000", "frevo:preauth timeout": "600"}
    with witnessed(tmp_path, options) as (server, _, client), ExitStack() as stack:
        _raise_file_limit()
        before, idle = rss_bytes(server.pid), descriptors(server.pid)
        for number in range(count):
            sock = stack.enter_context(socket.create_connection((server.host, server.port), timeout=20))
            if number % 2:
                sock.sendall(b"\0\0\1\0\xfeSMB" + bytes(number % 60))
            if number % 2500 == 0:
                check(client)
        until(lambda: descriptors(server.pid) - idle >= count, 60)
        check(client)
        assert rss_bytes(server.pid) - before < 100 * MIB
        stack.close()
        until(lambda: descriptors(server.pid) - idle < 100, 60)
        assert rss_bytes(server.pid) - before < 100 * MIB


def test_room_for_others_while_thousands_are_silent(tmp_path: Path) -> None:
    """Goal: with the default limits, connections that never log on do not keep a new client out. Method: three times
    the allowed number, and a new client that logs on at once, several times."""
    with witnessed(tmp_path) as (server, live, client), ExitStack() as stack:
        _raise_file_limit()
        for number in range(3000):
            stack.enter_context(socket.create_connection((server.host, server.port), timeout=20))
            if number % 700 == 600:
                check(live.logged_on())
        check(client)
        check(live.logged_on())


def _raise_file_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def ended(sock: socket.socket, timeout_s: float) -> bool:
    """Whether the server ends this connection in time."""
    sock.settimeout(timeout_s)
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


@pytest.mark.each_transport
def test_flood_above_the_limit(tmp_path: Path) -> None:
    """Goal: connections above the limit are refused at once, existing ones stay. Method: limits of 60 and 40; 200
    connections; when they are gone there is room again."""
    options = {"frevo:max connections": "60", "frevo:max unauthenticated connections": "40"}
    with witnessed(tmp_path, options) as (server, live, client), ExitStack() as stack:
        socks = [
            stack.enter_context(socket.create_connection((server.host, server.port))) for _ in range(200)
        ]
        until(lambda: len(select.select(socks, [], [], 0)[0]) >= 160)
        assert all(ended(sock, 5) for sock in select.select(socks, [], [], 0)[0])
        check(client)
        stack.close()
        until(lambda: _can_log_on(live))
        assert len(server.log_text().splitlines()) < 150, "refusals fill the log"


def _can_log_on(live: Live) -> bool:
    try:
        live.logged_on()
    except (Disconnected, OSError):
        return False
    return True


@pytest.mark.each_transport
@pytest.mark.parametrize("plane", ["epoll", "uring"])
def test_slow_loris(tmp_path: Path, plane: str) -> None:
    """Goal: a client that sends an occasional byte before it has logged on is disconnected in time. Method: 50 of them
    with a timeout of a second, in all stages of the first message."""
    with (
        witnessed(tmp_path, {**PLANES[plane], "frevo:preauth timeout": "1"}) as (server, _, client),
        ExitStack() as stack,
    ):
        socks = [stack.enter_context(socket.create_connection((server.host, server.port))) for _ in range(50)]
        message = b"\0\0\0\x80\xfeSMB" + bytes(124)
        started, alive = time.monotonic(), set(socks)
        for position in range(len(message)):
            for sock in tuple(alive):
                try:
                    sock.sendall(message[position : position + 1])
                except OSError:
                    alive.discard(sock)
            gone, _, _ = select.select(list(alive), [], [], 0.1) if alive else ([], [], [])
            alive.difference_update(sock for sock in gone if ended(sock, 1))
            if not alive or time.monotonic() - started > 8:
                break
        assert not alive, f"{len(alive)} of 50 are still there after {time.monotonic() - started:.1f} s"
        check(client)


@pytest.mark.each_transport
@pytest.mark.parametrize("plane", sorted(PLANES))
def test_client_that_does_not_read_answers(tmp_path: Path, plane: str) -> None:
    """Goal: a client that receives no responses is no longer served; memory stays bounded. Method: endless READs of 8
    MiB on a socket that nobody reads, and the same on a file with a lock, which the control plane reads."""
    with witnessed(tmp_path, PLANES[plane]) as (server, live, client):
        (server.folder() / "big").write_bytes(bytes(32 * MIB))
        greedy = live.logged_on()
        while greedy.granted - greedy.next_id < 5000:
            greedy.echo(credits=500)
        file_id = greedy.open("big")
        assert len(greedy.read(file_id, 0, MIB)) == MIB
        before = rss_bytes(server.pid)
        sock = greedy.link.sock  # type: ignore[attr-defined]
        sock.setblocking(False)
        session = greedy.session
        assert session is not None and session.keys is not None
        while greedy.next_id + 128 < greedy.granted:
            body = ReadRequest(file_id, 0, 8 * MIB).pack()
            message = session.keys.sign(
                greedy.element(Element(Command.READ, body, charge=128), greedy.next_id)
            )
            greedy.next_id += 128
            sock.sendall(len(message).to_bytes(4, "big") + message)
        peak, end = 0, time.monotonic() + 2
        while time.monotonic() < end:
            peak = max(peak, rss_bytes(server.pid) - before)
            check(client)
        print(f"{peak / MIB:.0f} MiB at most")
        assert peak < 150 * MIB, f"{peak / MIB:.0f} MiB for one client that does not read"
        greedy.link.reset()  # type: ignore[attr-defined]
        until(lambda: client.create("big", share_access=0).status == NTStatus.SUCCESS)


def test_memory_of_a_burst_comes_back(tmp_path: Path) -> None:
    """Goal: what a burst of large answers takes does not stay. Method: signed READs of 8 MiB on many connections, whose
    answers are taken only when all of them are there; the connections stay. Each thread may keep 20 MiB."""
    with witnessed(tmp_path, {"frevo:data plane threads": "1"}) as (server, live, _client):
        (server.folder() / "big").write_bytes(bytes(8 * MIB))
        readers = [live.logged_on() for _ in range(20)]
        files = []
        for reader in readers:
            while reader.granted - reader.next_id < 256:
                reader.echo(credits=256)
            files.append(reader.open("big"))
            reader.read(files[-1], 0, 1)
        before = rss_bytes(server.pid)
        asked = [
            reader.send(Command.READ, ReadRequest(file_id, 0, 8 * MIB).pack(), charge=128)
            for reader, file_id in zip(readers, files, strict=True)
        ]
        until(lambda: rss_bytes(server.pid) - before > 100 * MIB)
        for reader, message_id in zip(readers, asked, strict=True):
            assert len(reader.wait(message_id).message) > 8 * MIB
        until(lambda: rss_bytes(server.pid) - before < 40 * MIB, timeout_s=40.0)


@pytest.mark.each_transport
def test_connection_cut_in_the_middle(tmp_path: Path) -> None:
    """Goal: a client that dies in a WRITE leaves no open, lock or half message behind. Method: half of an 8 MiB WRITE
    and a RST, many times, with the file opened exclusively each time."""
    with witnessed(tmp_path) as (server, live, client):
        before = rss_bytes(server.pid)
        for _ in range(20):
            victim = live.logged_on()
            while victim.granted - victim.next_id < 200:
                victim.echo(credits=200)
            until(lambda victim=victim: victim.create("target", share_access=0).status == NTStatus.SUCCESS)
            body = WriteRequest((1, 1), 0, bytes(4 * MIB)).pack()
            message = victim.element(Element(Command.WRITE, body, charge=64), victim.next_id)
            victim.link.send((len(message).to_bytes(4, "big") + message)[: 2 * MIB])
            victim.link.reset()  # type: ignore[attr-defined]
        until(lambda: client.create("target", share_access=0).status == NTStatus.SUCCESS)
        assert rss_bytes(server.pid) - before < 60 * MIB


def test_listing_while_files_vanish(tmp_path: Path) -> None:
    """Goal: a long listing survives changes of its folder. Method: 3000 files, listed in small pieces while a third is
    deleted and others appear; names that stayed are all listed, none twice."""
    from frevo.wire.fscc import parse_directory
    from frevo.wire.smb2 import QueryDirectoryRequest, QueryDirectoryResponse

    with witnessed(tmp_path) as (server, _, client):
        folder = server.folder() / "many"
        folder.mkdir()
        for number in range(3000):
            (folder / f"file{number:05}").touch()
        file_id = client.open("many", create_options=CreateOptions.DIRECTORY_FILE)
        names: list[str] = []
        rng = random.Random(5)
        while True:
            body = QueryDirectoryRequest(37, 0, 0, file_id, 8192, "*").pack()
            reply = client.call(Command.QUERY_DIRECTORY, body)
            if reply.status == NTStatus.NO_MORE_FILES:
                break
            buffer = bytes(reply.ok(QueryDirectoryResponse).buffer)
            names += [entry.name for entry in parse_directory(37, buffer)]
            for _ in range(20):
                (folder / f"file{rng.randrange(1000) * 3:05}").unlink(missing_ok=True)
                (folder / f"new{rng.randrange(10**6)}").touch()
        assert len(names) == len(set(names))
        stayed = {f"file{number:05}" for number in range(3000) if number % 3}
        assert stayed <= set(names)


@pytest.mark.each_transport
def test_stop_while_busy_and_start_again(tmp_path: Path, port: int) -> None:
    """Goal: a stop takes less than two seconds whatever clients do, and the port is free at once. Method: pipelined
    reads and writes, a waiting watch, half messages; stop; start on the same port. The harness checks time and log."""
    options = {"server smb transports": f"tcp:{port}"}
    for number in range(2):
        with frevo_server(tmp_path / str(number), options) as server, Live(server.host, server.port) as live:
            busy = live.logged_on()
            while busy.granted - busy.next_id < 300:
                busy.echo(credits=300)
            file_id = busy.open("busy")
            for part in range(20):
                busy.send(Command.WRITE, WriteRequest(file_id, part * MIB, bytes(MIB)).pack(), charge=16)
                busy.send(Command.READ, ReadRequest(file_id, 0, MIB).pack(), charge=16)
                busy.link.receive()
            half = live.logged_on()
            half.link.send(b"\0\1\0\0\xfeSMB")
            live.connect().link.send(b"\0")
            assert server.alive()


def test_two_servers_on_one_port(tmp_path: Path, port: int) -> None:
    """Goal: the second server reports the conflict and leaves the first alone. Method: start both."""
    options = {"server smb transports": f"tcp:{port}"}
    with witnessed(tmp_path / "first", options):
        with pytest.raises(AssertionError) as told, frevo_server(tmp_path / "second", options):
            pass
        assert str(port) in str(told.value) and "in use" in str(told.value)
        assert "Traceback" not in (tmp_path / "second" / "frevo.log").read_text()


def test_status_while_busy(tmp_path: Path) -> None:
    """Goal: `frevo status --json` responds correctly while clients work. Method: three sessions with opens, one of
    them writing; count what it reports."""

    with witnessed(tmp_path) as (_, live, client):
        others = [live.logged_on() for _ in range(2)]
        for number, other in enumerate(others):
            other.open(f"open{number}")
        file_id = client.open("mine")
        for number in range(40):
            client.send(Command.WRITE, WriteRequest(file_id, number * 65536, bytes(65536)).pack())
        status = status_of(tmp_path / "smb.conf")
        assert len(status["sessions"]) == 3 and len(status["tcons"]) == 3 and len(status["open_files"]) == 3


def test_reload_keeps_connections(tmp_path: Path) -> None:
    """Goal: SIGHUP adds a share without dropping anybody; a file that is broken as a whole changes nothing, a broken
    line of a share costs only that share. Method: each, with a client inside that has a file open."""
    import signal

    with witnessed(tmp_path) as (server, _, client):
        file_id = client.open("held")
        config = tmp_path / "smb.conf"
        (tmp_path / "shares" / "added").mkdir()
        good = (
            config.read_text()
            + f"\n[added]\n    path = {tmp_path / 'shares' / 'added'}\n    read only = no\n"
        )
        config.write_text(good)
        server.process.send_signal(signal.SIGHUP)
        until(lambda: client.try_tree("added").status == NTStatus.SUCCESS)
        config.write_text(good.replace("read only = no", "read onyl = perhaps"))
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "share added is not served" in server.log_text())
        until(lambda: client.try_tree("added").status == NTStatus.BAD_NETWORK_NAME)
        assert client.write(file_id, 0, b"still mine").status == NTStatus.SUCCESS
        config.write_text(good)
        server.process.send_signal(signal.SIGHUP)
        until(lambda: client.try_tree("added").status == NTStatus.SUCCESS)
        config.write_text(good.replace("[global]", "[global]\n    server signing = perhaps"))
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "the old configuration stays in force" in server.log_text())
        assert client.write(file_id, 0, b"still mine").status == NTStatus.SUCCESS
        assert client.try_tree("added").status == NTStatus.SUCCESS
        config.write_text(good)
