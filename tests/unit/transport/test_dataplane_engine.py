"""The native data plane over real sockets, driven by hand, with every engine that this machine has."""

from __future__ import annotations

import os
import select
import socket
import struct
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from peers.plane import (
    ECHO,
    FILE_ID,
    HEADER,
    SERVER_TO_REDIR,
    SESSION,
    SIGNED,
    TREE,
    Client,
    Plane,
    packet,
    read_request,
    session_keys,
)  # fmt: skip

from frevo._native import AttachedOpen, DataPlane, Gate
from frevo.transport.base import ACCEPTED, CLOSED, ENCRYPT, ENCRYPTED, IDLE, MESSAGE, REJECTED
from frevo.wire.smb2 import FlushRequest, WriteRequest


def engines() -> list[str]:
    """epoll, and io_uring where available."""
    try:
        DataPlane(threads=1, engine="uring").shutdown()
    except (OSError, ValueError):
        return ["epoll"]
    return ["epoll", "uring"]


@pytest.fixture(params=engines())
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def content() -> Iterator[tuple[bytes, int]]:
    """A file of 3 MiB: its bytes and a descriptor."""
    data = os.urandom(3 << 20)
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        yield data, file.fileno()


def attach(plane: Plane, fd: int, *, writable: bool = False) -> Gate:
    gate = Gate()
    plane.opens.attach(
        AttachedOpen(tree_id=TREE, file_id=FILE_ID, fd=fd, gate=gate, writable=writable)
    )
    return gate


def test_a_message_goes_up_and_its_answer_down(engine: str) -> None:
    """Addresses, payload and credits of the first exchange; fragments of a message are joined."""
    with Plane(engine=engine) as plane:
        assert plane.plane.engine == engine
        with socket.create_connection(("127.0.0.1", plane.port), timeout=20) as sock:
            event = plane.next(ACCEPTED)
            assert event[2] == plane.listener
            assert (event[3], event[4]) == (f"127.0.0.1:{sock.getsockname()[1]}", f"127.0.0.1:{plane.port}")
            client = Client(sock)
            client.send(packet(0, 0, b"hello"))
            assert plane.next(MESSAGE) == (MESSAGE, event[1], 0, 0, packet(0, 0, b"hello"), 0, 0)
            answer = packet(0, 0, b"answer", flags=SERVER_TO_REDIR, credits=3)
            parts = (answer[:10], memoryview(answer)[10:20], bytearray(answer[20:]))
            plane.plane.submit([(event[1], 0, 0, parts)])
            assert client.receive() == answer
        assert plane.next(CLOSED) == (CLOSED, event[1], "closed by the peer")
        assert plane.plane.statistics()["connections"] == 0


def test_reads_are_answered_plain_signed_and_encrypted(engine: str, content: tuple[bytes, int]) -> None:
    """READs from 1 byte to 2 MiB give the file's bytes, protected as the request was, without an event."""
    data, fd = content
    mine = session_keys(b"c" * 16, b"s" * 16)
    with Plane(engine=engine) as plane:
        client, _ = plane.log_on()
        attach(plane, fd)
        message_id = 1
        for offset, length in [(0, 1), (7, 4096), (65_000, 65_536), (1 << 20, 2 << 20), (len(data) - 5, 99)]:
            for protect in ("plain", "signed", "encrypted"):
                request = read_request(message_id, offset, length)
                message_id += -(-length // 65536)
                if protect == "signed":
                    request = mine.sign(request)
                client.send(mine.encrypt(SESSION, request) if protect == "encrypted" else request)
                answer = client.receive()
                if protect == "encrypted":
                    answer = mine.decrypt(answer)
                assert mine.verify(answer) == (protect == "signed")
                assert answer[80:] == data[offset : offset + length]
        statistics = plane.plane.statistics()
        assert (statistics["fast_reads"], statistics["messages"]) == (15, 1)


@pytest.mark.parametrize("folder", ["/dev/shm", None])
def test_writes_are_answered_plain_signed_and_encrypted(engine: str, folder: str | None) -> None:
    """WRITEs from 1 byte to 2 MiB and FLUSHes change the file without an event, and are answered protected as they
    came: of a file in memory at once, of one on a disk at once or by a worker."""
    mine = session_keys(b"c" * 16, b"s" * 16)
    with tempfile.TemporaryFile(dir=folder) as file, Plane(engine=engine) as plane:
        client, _ = plane.log_on()
        attach(plane, file.fileno(), writable=True)
        message_id = 1
        for offset, length in [(0, 1), (7, 4096), (65_000, 65_536), (100, 70_000), (1 << 20, 2 << 20)]:
            for protect in ("plain", "signed", "encrypted"):
                data = os.urandom(length)
                charge = -(-length // 65536)
                fixed = {"charge": charge, "credits": charge, "tree": TREE, "session": SESSION}
                write = packet(9, message_id, WriteRequest(FILE_ID, offset, data).pack(), **fixed)
                fixed |= {"charge": 1, "credits": 1}
                flush = packet(7, message_id + charge, FlushRequest(FILE_ID).pack(), **fixed)
                message_id += charge + 1
                for request, size in ((write, 80), (flush, 68)):
                    signed = mine.sign(request) if protect == "signed" else request
                    client.send(mine.encrypt(SESSION, signed) if protect == "encrypted" else signed)
                    answer = client.receive()
                    if protect == "encrypted":
                        answer = mine.decrypt(answer)
                    assert mine.verify(answer) == (protect == "signed")
                    assert (answer[8:12], len(answer)) == (bytes(4), size)
                assert os.pread(file.fileno(), length, offset) == data
        statistics = plane.plane.statistics()
        assert (statistics["fast_writes"], statistics["fast_flushes"], statistics["messages"]) == (15, 15, 1)


def test_a_held_gate_sends_reads_up(engine: str, content: tuple[bytes, int]) -> None:
    """While the gate is held a READ goes to Python; before and after that it is answered at once."""
    data, fd = content
    with Plane(engine=engine) as plane:
        client, _ = plane.log_on()
        gate = attach(plane, fd)
        hold = gate.hold(1, "a test")
        client.send(read_request(1, 0, 10))
        assert plane.next(MESSAGE)[4] == read_request(1, 0, 10)
        hold.release()
        client.send(read_request(2, 0, 10))
        assert client.receive()[80:] == data[:10]
        assert plane.opens.detach(FILE_ID[1])
        client.send(read_request(3, 0, 10))
        assert plane.next(MESSAGE)[4] == read_request(3, 0, 10)


def test_many_pipelined_requests_come_back_in_order(engine: str) -> None:
    """500 ECHOs in one write: every one is answered once, in order."""
    with Plane(engine=engine) as plane:
        client, _ = plane.log_on()
        echo = b"".join(struct.pack(">I", 68) + packet(ECHO, i, b"\4\0\0\0") for i in range(1, 501))
        client.sock.sendall(echo)
        for i in range(1, 501):
            assert HEADER.unpack_from(client.receive())[8] == i


def test_a_large_message_comes_as_a_view(engine: str) -> None:
    """1 MiB, signed: a read-only memoryview, verified, and the same bytes."""
    mine = session_keys(b"c" * 16, b"s" * 16)
    with Plane(engine=engine) as plane:
        client, connection = plane.log_on()
        message = mine.sign(packet(9, 1, os.urandom(1 << 20), session=SESSION, charge=16))
        client.send(message)
        event = plane.next(MESSAGE)
        assert isinstance(event[4], memoryview) and event[4].readonly
        assert (bytes(event[4]), event[5], event[6]) == (message, 0, 0)
        client.send(mine.encrypt(SESSION, packet(3, 17, session=SESSION)))
        event = plane.next(MESSAGE)
        assert (event[2], event[3], event[4]) == (SESSION, ENCRYPTED, packet(3, 17, session=SESSION))
        plane.plane.submit([(connection, SESSION, ENCRYPT, packet(3, 17, flags=1 | SIGNED, session=SESSION))])
        assert mine.decrypt(client.receive())[16] == SERVER_TO_REDIR


@pytest.mark.parametrize(
    "garbage",
    [
        b"\1\0\0\0",
        b"\0\0\0\0",
        b"\0\0\0\3abc",
        b"\0\xff\xff\xff",
        b"\0\0\0\x08HELLO123",
        b"\0\0\0\x44\xfcSMB" + bytes(64),
        b"\0\0\0\x80\xfdSMB" + bytes(124),
        b"\0\0\0\x40\xfeSMB" + bytes(60),
    ],
)
def test_garbage_closes_that_connection_alone(engine: str, garbage: bytes) -> None:
    """A connection that sends anything but SMB2 ends with a reason; another one is not affected."""
    with Plane(engine=engine, threads=1) as plane:
        neighbour, _ = plane.log_on()
        client, connection = plane.connect()
        client.sock.sendall(garbage)
        event = plane.next(CLOSED)
        assert event[1] == connection and event[2]
        assert client.ended()
        neighbour.send(packet(ECHO, 1, b"\4\0\0\0"))
        assert neighbour.receive()[64:] == b"\4\0\0\0"


def test_limits_turn_clients_away(engine: str) -> None:
    """Beyond max_unauthenticated the oldest connection without a log-on makes room; beyond max_connections a client is
    closed at once and reported."""
    with Plane(engine=engine, max_unauthenticated=2, max_connections=3) as plane:
        silent = [plane.connect()[0] for _ in range(2)]
        kept = [plane.connect()[0]]
        assert "unauthenticated" in plane.next(CLOSED)[2] and silent[0].ended()
        plane.next(CLOSED)
        kept += [plane.log_on()[0], plane.log_on()[0]]
        assert not select.select([kept[0].sock], [], [], 0)[0]
        with socket.create_connection(("127.0.0.1", plane.port), timeout=20) as sock:
            assert Client(sock).ended()
        assert plane.next(REJECTED)[3] == "too many connections"
        assert plane.plane.statistics()["rejected"] == 1


def test_the_clock_ends_what_hangs(engine: str) -> None:
    """No log-on in time, an incomplete message, silence: closed, closed, reported."""
    with Plane(engine=engine, preauth_timeout=0.2) as plane:
        client, _ = plane.connect()
        assert plane.next(CLOSED)[2] == "not authenticated in time"
        assert client.ended()
    with Plane(engine=engine, frame_timeout=0.2, idle_timeout=0.1) as plane:
        client, connection = plane.log_on()
        assert plane.next(IDLE) == (IDLE, connection)
        client.sock.sendall(b"\0\0\0\x50\xfeSMB")
        assert plane.next(CLOSED)[2] == "message was not completed in time"


def test_a_client_that_does_not_read_stops_being_read(engine: str, content: tuple[bytes, int]) -> None:
    """200 READs of 2 MiB that the client does not receive: output stays bounded; when it receives, it gets every
    byte."""
    data, fd = content
    with Plane(engine=engine, output_high_water=4 << 20) as plane:
        client, _ = plane.log_on(credits=8192)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)  # not what the system lets it grow to
        attach(plane, fd)
        requests = b"".join(struct.pack(">I", 113) + read_request(1 + 32 * i, 0, 2 << 20) for i in range(200))
        writer = threading.Thread(target=client.sock.sendall, args=(requests,))
        writer.start()
        for index in range(200):
            answer = client.receive()
            assert HEADER.unpack_from(answer)[8] == 1 + 32 * index
            assert index % 50 or answer[80:] == data[: 2 << 20]
            assert plane.plane.statistics()["fast_read_bytes"] <= (index + 1 + 16) * (2 << 20)
        writer.join()


def test_closing_sends_what_is_queued(engine: str) -> None:
    """close() after submit: the client gets the answer, then the end of the stream; abort is immediate."""
    with Plane(engine=engine) as plane:
        client, connection = plane.log_on()
        plane.plane.submit([(connection, 0, 0, packet(3, 1, bytes(1 << 20), flags=SERVER_TO_REDIR))])
        plane.plane.close(connection)
        assert len(client.receive()) == 64 + (1 << 20)
        assert client.ended()
        assert plane.next(CLOSED)[1] == connection
        client, connection = plane.log_on()
        plane.plane.close(connection, abort=True)
        assert client.ended()
        plane.plane.submit([(connection, 0, 0, packet(3, 1))])


def test_adopted_sockets_and_clients(engine: str) -> None:
    """A socketpair with a data plane at each end, one as client: a message and its signed response cross."""
    left, right = socket.socketpair()
    server, client = DataPlane(threads=1, engine=engine), DataPlane(threads=1, engine=engine, role="client")
    with left, right:
        at_server, at_client = server.adopt(left.fileno(), "tcp"), client.adopt(right.fileno(), "tcp")
    client.submit([(at_client, 0, 0, packet(0, 0))])
    both: dict[str, Any] = {"server": [], "client": []}

    def wait(name: str, plane: DataPlane) -> tuple[Any, ...]:
        helper = Plane.__new__(Plane)
        helper.plane, helper.events = plane, both[name]
        return helper.next(MESSAGE)

    assert wait("server", server)[4] == packet(0, 0)
    server.set_session(at_server, SESSION, session_keys())
    client.set_session(at_client, SESSION, session_keys(b"c" * 16, b"s" * 16))
    flags = SERVER_TO_REDIR | SIGNED
    server.submit([(at_server, SESSION, 0, packet(0, 0, flags=flags, session=SESSION))])
    event = wait("client", client)
    assert (event[5], event[6]) == (0, 0)
    server.shutdown()
    client.shutdown()


def test_netbios_session_request(engine: str) -> None:
    """[RFC 1002] 4.3: a well-formed request gets 0x82, a malformed one 0x83 with its code and the end."""
    name = b"\x20" + b"CK" * 16 + b"\0"
    with Plane("nbt", engine=engine) as plane:
        client, _ = plane.connect()
        client.sock.sendall(b"\x81\0\0\x44" + name + name + b"\x85\0\0\0")
        assert client.exactly(4) == b"\x82\0\0\0"
        client.send(packet(0, 0))
        assert plane.next(MESSAGE)[4] == packet(0, 0)
        client, _ = plane.connect()
        client.sock.sendall(b"\x81\0\0\x44" + name.replace(b"K", b"~") + name)
        assert client.exactly(5) == b"\x83\0\0\1\x82"
        assert client.ended()


def test_idle_connections_cost_little(engine: str) -> None:
    """400 connections that send nothing: less than 8 KiB of memory each, including the client's end."""
    with Plane(engine=engine) as plane:
        before = resident()
        sockets = [socket.create_connection(("127.0.0.1", plane.port), timeout=20) for _ in range(400)]
        for _ in sockets:
            plane.next(ACCEPTED)
        grown = resident() - before
        for sock in sockets:
            sock.close()
        assert grown < 400 * 8192, f"{grown} bytes"


def resident() -> int:
    """Bytes of memory that this process has in use."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
