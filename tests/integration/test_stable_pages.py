"""Pages of a file that are sent as they are: over a network that loses packets, clients never get what was written to
the file after their READ; and where this is not asked for, they do, so the test can tell."""

from __future__ import annotations

import array
import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pair.client import Client, FileId, create_request
from peers import programs
from peers.frevo_server import FrevoServer, frevo_server, run_frevo, status_of
from peers.lossy_path import SERVER, LossyPath, inside, lossy_path, why_no_path

from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import Command, CreateResponse, ReadRequest, WriteResponse
from integration.live import Live, SocketLink, until

pytestmark = [
    pytest.mark.tcp_only("QUIC sends datagrams; these are pages in a TCP socket"),
    pytest.mark.once("chooses its engines"),
]

SIZE = 1 << 20
READ_ONLY = 0x0012_0089
HEADERS_BYTES = 4 + 64 + 16  # frame, header, fixed part of the response


@pytest.fixture(scope="module")
def path() -> Iterator[LossyPath]:
    if reason := why_no_path():
        programs.missing(reason)
    with lossy_path() as path:
        yield path


def content(version: int) -> bytes:
    """A whole file of which every eight bytes say which version they are of."""
    return struct.pack("<Q", version) * (SIZE // 8)


@dataclass
class Scene:
    """A server at one end of the path, and clients at the other."""

    path: LossyPath
    server: FrevoServer
    config: Path
    live: Live

    def client(self) -> Client:
        with inside(self.path.client):
            return self.live.logged_on()

    def reader(self) -> Reader:
        return Reader(self.client())

    def statistics(self) -> dict[str, int]:
        counters: dict[str, int] = status_of(self.config)["frevo"]["statistics"]
        return counters


class Reader:
    """A client with an open whose READs the data plane answers."""

    def __init__(self, client: Client) -> None:
        self.client = client
        assert isinstance(client.link, SocketLink)
        self.socket = client.link.sock
        self.file: FileId = client.open("file", desired_access=READ_ONLY)
        client.read(self.file, 0, 8, sign=False)

    def ask(self) -> None:
        """Sends a READ of the whole file."""
        body = ReadRequest(self.file, 0, SIZE).pack()
        self.client.send(Command.READ, body, sign=False, charge=SIZE // 65536)

    def receive_headers(self) -> None:
        """What comes before the data of a response that has it."""
        headers = self.receive(HEADERS_BYTES)
        status, length = struct.unpack_from("<I", headers, 12)[0], int.from_bytes(headers[1:4], "big")
        assert (status, length) == (NTStatus.SUCCESS, SIZE + HEADERS_BYTES - 4)

    def receive_versions(self) -> array.array[int]:
        """The data."""
        return array.array("Q", self.receive(SIZE))

    def receive(self, count: int) -> bytearray:
        data = bytearray(count)
        view = memoryview(data)
        while view:
            got = self.socket.recv_into(view)
            assert got, "the server has ended the connection"
            view = view[got:]
        return data


@contextmanager
def scene(path: LossyPath, base: Path, splice: str, **options: str) -> Iterator[Scene]:
    settings = {"frevo:read path": "splice", "frevo:splice": splice, "server signing": "disabled", **options}
    with inside(path.server), frevo_server(base, settings, host=SERVER) as server:
        (server.folder() / "file").write_bytes(content(1))
        with Live(server.host, server.port) as live:
            yield Scene(path, server, base / "smb.conf", live)


@dataclass
class Writer:
    """A local program that writes version after version into a file."""

    path: Path
    #: The newest version of which the file may have bytes.
    version: int = 1
    waits: list[float] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator[None]:
        end = threading.Event()

        def run() -> None:
            while not end.wait(0.01):
                began = time.monotonic()
                fd = os.open(self.path, os.O_WRONLY)
                self.waits.append(time.monotonic() - began)
                self.version += 1
                os.pwrite(fd, content(self.version), 0)
                os.close(fd)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()


def race(scene: Scene, seconds: float) -> tuple[int, int, Writer]:
    """Reads while somebody writes: how many READs, in how many there was something newer, and the writer."""
    reader, writer = scene.reader(), Writer(scene.server.folder() / "file")
    reads = newer = 0
    with writer.running():
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            reader.ask()
            reader.receive_headers()
            newest = writer.version  # at the time of the READ it was no newer
            newer += max(reader.receive_versions()) > newest
            reads += 1
    return reads, newer, writer


@pytest.mark.parametrize("engine", ["uring", "epoll"])
def test_a_reader_never_gets_what_was_written_after_its_read(
    path: LossyPath, tmp_path: Path, engine: str
) -> None:
    """Goal: with `frevo:splice = auto`, pages are sent and stable, and writers wait for milliseconds. Method: READs of
    a whole file, one after the other, while a program writes its next versions; every eight bytes tell theirs."""
    with scene(path, tmp_path, "auto", **{"frevo:engine": engine}) as one:
        reads, newer, writer = race(one, 3.0)
        counters = one.statistics()
    assert newer == 0
    assert counters["sent_spliced"] >= SIZE and counters["leases_broken"] >= 3, counters
    assert counters["cut_for_writers"] == 0
    assert writer.version > reads // 2 and max(writer.waits) < 2.0, writer.waits


def test_the_race_can_be_lost(path: LossyPath, tmp_path: Path) -> None:
    """Goal: the test above can fail. Method: the same with `frevo:splice = always`."""
    with scene(path, tmp_path, "always") as one:
        reads, newer, _ = race(one, 1.0)
        counters = one.statistics()
    assert newer > 0, reads
    assert counters["leases_broken"] == 0 and counters["sent_spliced"] >= SIZE


def test_a_client_that_opens_the_file_for_writing_waits(path: LossyPath, tmp_path: Path) -> None:
    """Goal: a CREATE for writing is answered when what another client reads has arrived; the server answers everything
    else meanwhile, and what is written then is not in the READ. Method: a reader that takes its data late."""
    with scene(path, tmp_path, "auto") as one:
        reader, writer = one.reader(), one.client()
        reader.ask()
        reader.receive_headers()
        waiting = writer.send(Command.CREATE, create_request("file").pack())
        for _ in range(20):
            assert writer.echo().status == NTStatus.SUCCESS
        assert not writer.answers(waiting)
        assert max(reader.receive_versions()) == 1
        file = writer.wait(waiting).ok(CreateResponse).file_id
        counters = one.statistics()  # a moment after the writer, READs are spliced again
        assert writer.write(file, 0, content(2)[:65536]).ok(WriteResponse).count == 65536
        writer.close(file)
        reader.ask()
        reader.receive_headers()
        assert list(reader.receive_versions()) == [2] * 8192 + [1] * (SIZE // 8 - 8192)
        text = run_frevo("status", "-c", str(one.config)).ok()
    assert counters["leases_broken"] == 1 and counters["sent_spliced"] == SIZE
    assert "1 given up for writers" in " ".join(text.split())


def test_a_client_that_takes_nothing_is_cut_off(path: LossyPath, tmp_path: Path) -> None:
    """Goal: writers do not wait for a client that does not acknowledge its data; it loses its connection, and the log
    says why. Method: a local program, and a reader that takes nothing."""
    with scene(path, tmp_path, "auto", **{"log level": "3"}) as one:
        reader, writer = one.reader(), Writer(one.server.folder() / "file")
        reader.ask()
        reader.receive_headers()
        with writer.running():
            until(lambda: writer.version > 2)
        assert 1.5 < max(writer.waits) < 8.0
        with pytest.raises((ConnectionResetError, AssertionError)):
            reader.receive(SIZE)
        assert one.statistics()["cut_for_writers"] == 1
        assert "somebody waits to write to" in one.server.log_text()
