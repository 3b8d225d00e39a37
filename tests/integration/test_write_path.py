"""Every way in which the data of large WRITEs come: the file is right by each, whatever happens meanwhile, and `frevo
status` says which was used and why not another."""

from __future__ import annotations

import os
import resource
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from pair.client import Client, Element, FileId
from pair.file_calls import EXCLUSIVE, NOW, lock, put
from peers.frevo_server import frevo_server, run_frevo, status_of

import frevo
from frevo.aio.features import choose_data_plane
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FileEndOfFileInformation, FileInfoClass
from frevo.wire.smb2 import Command, WriteRequest, WriteResponse
from integration.live import Live, descriptors, until

MIB = 1 << 20
FILE_OVERWRITE_IF = 5
#: Larger than a pipe, and not a whole number of pages.
SIZE = 5 * MIB + 4321
PATHS = ("plain", "fixed", "splice")
#: The counters of `frevo status` for what was written in that way.
COUNTERS = {"fixed": "written_fixed", "splice": "written_spliced"}

pytestmark = pytest.mark.tcp_only("QUIC has datagrams; these are ways to receive from a TCP socket")


def options(engine: str, path: str, **more: str) -> dict[str, str]:
    """Keys for a server; skips where the engine cannot be had."""
    if engine == "uring" and choose_data_plane("auto")[0] != "uring":
        pytest.skip("io_uring cannot be used here")
    return {"frevo:engine": engine, "frevo:write path": path, **more}


@pytest.mark.parametrize("path", ["auto", *PATHS])
@pytest.mark.parametrize("engine", ["uring", "epoll"])
async def test_a_forced_write_path(engine: str, path: str, tmp_path: Path) -> None:
    """Goal: what a client writes is right in each way, and the way is used, or it is said why not.
    Method: a server with the way forced; write a file (the first WRITE of an open is Python's) signed, and another that
    is not; ask its status in between."""
    content = os.urandom(SIZE)
    with frevo_server(tmp_path, options(engine, path, **{"server signing": "auto"})) as server:
        account = {"user": server.user, "password": server.password}
        statistics = []
        for signed in (True, False):
            connecting = frevo.connect(f"{server.url}/share", signing=signed, ciphers=(), **account)
            async with connecting as share, share.open(f"large {signed}", "wb") as file:
                assert await file.write(b"first") == 5
                assert await file.pwrite(content, 3) == SIZE
            assert (server.folder() / f"large {signed}").read_bytes() == b"fir" + content
            status = status_of(tmp_path / "smb.conf")["frevo"]
            text = run_frevo("status", "-c", str(tmp_path / "smb.conf")).ok()
            statistics.append(status["statistics"])
    used = "splice" if path == "auto" else path
    if (engine, path) == ("epoll", "fixed"):
        assert status["unused_write_paths"]["fixed"] == "the engine is not io_uring"
        used = "plain"
    elif path == "fixed" and status["write_path"] == "plain":
        pytest.skip(status["unused_write_paths"]["fixed"])  # memory may not be locked, or the kernel is old
    assert (status["write_path"], set(status["unused_write_paths"])) == (used, set(PATHS) - {used})
    assert f"large writes: {used}" in text
    assert [one["fast_write_bytes"] for one in statistics] == [SIZE, 2 * SIZE]
    for name, counter in COUNTERS.items():
        before, after = (one[counter] for one in statistics)
        # What is small, and what came with the first head, is copied.
        assert before >= 4 * MIB if name == used == "fixed" else before == 0
        assert after - before >= 4 * MIB if name == used else after == 0
        assert name != used or f"{after} by {name}" in text


@pytest.fixture(
    scope="module",
    params=[("uring", path) for path in PATHS] + [("epoll", "plain"), ("epoll", "splice")],
    ids="-".join,
)
def live(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Live, Path, int]]:
    """A server for clients that speak raw bytes, its folder and its process."""
    keys = options(*request.param, **{"server signing": "auto"})
    with frevo_server(tmp_path_factory.mktemp("live"), keys) as server, Live(server.host, server.port) as live:
        yield live, server.folder(), server.process.pid


def attached(live: Live) -> tuple[Client, FileId]:
    """A client that does not sign, with an open of `file` whose WRITEs the data plane answers: after the first."""
    client = live.logged_on()
    assert client.session is not None
    client.session.sign = False
    for _ in range(4):
        client.echo()  # for credits
    file_id = client.open("file", create_disposition=FILE_OVERWRITE_IF)
    assert client.write(file_id, 0, b"first").ok(WriteResponse).count == 5
    return client, file_id


def half_sent(client: Client, file_id: FileId, data: bytes) -> tuple[int, bytes]:
    """Sends half of a WRITE: its message id, and the other half."""
    message_id, charge = client.next_id, -(-len(data) // 65536)
    client.next_id += charge
    element = Element(Command.WRITE, WriteRequest(file_id, 0, data).pack(), charge=charge)
    message = client.element(element, message_id)
    frame = struct.pack(">I", len(message)) + message
    client.wire(frame[: len(frame) // 2])
    return message_id, frame[len(frame) // 2 :]


def test_what_races_a_write_that_comes_slowly(live: tuple[Live, Path, int]) -> None:
    """Goal: who stops in the middle of a WRITE keeps nobody waiting, and what others did meanwhile counts.
    Method: while half of a WRITE is there, another client locks, truncates, unlocks by closing; and one goes away."""
    server, folder, pid = live
    client, file_id = attached(server)
    other = server.logged_on()
    others = other.open("file")
    data = os.urandom(2 * MIB)
    message_id, rest = half_sent(client, file_id, data)
    assert lock(other, others, (MIB, 1, EXCLUSIVE | NOW)) == NTStatus.SUCCESS
    client.wire(rest)
    assert client.wait(message_id).status == NTStatus.FILE_LOCK_CONFLICT
    assert (folder / "file").read_bytes() == b"first"

    assert other.close(others).status == NTStatus.SUCCESS
    others = other.open("file")
    message_id, rest = half_sent(client, file_id, data)
    assert put(other, others, FileInfoClass.END_OF_FILE, FileEndOfFileInformation(3).pack()) == 0
    assert (folder / "file").read_bytes() == b"fir", "nothing is written before all of it is there"
    client.wire(rest)
    assert client.wait(message_id).ok(WriteResponse).count == 2 * MIB
    assert (folder / "file").read_bytes() == data

    before = descriptors(pid)
    half_sent(client, file_id, os.urandom(2 * MIB))
    client.link.reset()  # type: ignore[attr-defined]
    until(lambda: descriptors(pid) < before)
    assert (folder / "file").read_bytes() == data
    assert put(other, others, FileInfoClass.END_OF_FILE, FileEndOfFileInformation(0).pack()) == 0


def test_a_full_disk(live: tuple[Live, Path, int]) -> None:
    """Goal: a WRITE that ends early says how much was written, and one that finds no room has the server's status.
    Method: a limit on the size of files, in the middle of a WRITE and before it."""
    server, folder, pid = live
    client, file_id = attached(server)
    data = os.urandom(2 * MIB)
    unlimited = resource.prlimit(pid, resource.RLIMIT_FSIZE, (MIB + 10, resource.RLIM_INFINITY))
    try:
        assert client.write(file_id, 0, data).ok(WriteResponse).count == MIB + 10
        refused = client.write(file_id, MIB + 10, data).status
        # The first WRITE of an open is the server's.
        second = client.open("file")
        assert refused == client.write(second, MIB + 10, data).status
        assert refused & 0xC000_0000 == 0xC000_0000
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)
    assert (folder / "file").read_bytes() == data[: MIB + 10]


def test_without_descriptors(live: tuple[Live, Path, int]) -> None:
    """Goal: a server that can have no pipe writes all the same. Method: take its descriptors away."""
    server, folder, pid = live
    client, file_id = attached(server)
    data = os.urandom(2 * MIB)
    allowed = resource.prlimit(
        pid, resource.RLIMIT_NOFILE, (0, resource.prlimit(pid, resource.RLIMIT_NOFILE)[1])
    )
    try:
        assert client.write(file_id, 1, data).ok(WriteResponse).count == 2 * MIB
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, allowed)
    assert (folder / "file").read_bytes() == b"f" + data


def test_hostile_offsets_and_lengths(live: tuple[Live, Path, int]) -> None:
    """Goal: values that make no sense have the server's answer, whoever receives the data. Method: compare an attached
    open with one whose first WRITE, which is the server's, it is."""
    server, folder, _ = live
    client, file_id = attached(server)
    data = os.urandom(MIB)
    for offset in (2**63 - MIB, 2**63 - MIB - 1, 2**62, 2**63 - 1, 2**63, 2**64 - MIB, 2**44):
        (folder / "other").write_bytes(b"")
        replies = []
        for one in (file_id, client.open("other")):
            reply = client.write(one, offset, data)
            replies.append((reply.status, reply.message[64:]))
        assert replies[0] == replies[1], hex(offset)
    written = (folder / "file").stat().st_size
    assert client.write(file_id, 0, data, charge=1).status == NTStatus.INVALID_PARAMETER, "not paid for"
    assert client.write(file_id, 0, data, tree=99).status == NTStatus.NETWORK_NAME_DELETED
    assert (folder / "file").stat().st_size == written
    client.raw(client.element(Element(Command.WRITE, WriteRequest(file_id, 0, data).pack(), charge=16), 0))
    until(lambda: client.closed)  # its message id was used before
