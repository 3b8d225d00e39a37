"""Reads of a file system that does not answer: the data plane still reads other files, and what is in memory."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from pair.client import Client, FileId
from peers.stuck_fuse import GETATTR, READ, WRITE, StuckFuse, stuck_fuse

from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import Command, ReadRequest, ReadResponse, WriteRequest, WriteResponse
from integration.live import Live, until
from integration.test_stuck_filesystem import listening, logged_on, served

PAGE = 4096
CONTENT = b"".join(bytes((page,)) * PAGE for page in range(64))
#: Operations of the others while the file system does not answer.
OPERATIONS = 200


class Scene:
    """A server whose data plane has one thread, a file on FUSE and one on disk, and who reads them."""

    def __init__(self, live: Live, fuse: StuckFuse, engine: str) -> None:
        self.live, self.fuse, self.engine = live, fuse, engine

    def reader(self, share: str) -> tuple[Client, FileId]:
        """A client whose next READs the data plane answers."""
        client = logged_on(self.live, share)
        file_id = client.open("file", create_disposition=1, desired_access=0x00120089)
        assert client.read(file_id, 0, PAGE) == CONTENT[:PAGE]
        return client, file_id

    def ask(self, client: Client, file_id: FileId, count: int) -> list[int]:
        """READs of pages that are not in memory: their message ids."""
        pages = range(64 - count, 64)
        return [
            client.send(Command.READ, ReadRequest(file_id, page * PAGE, PAGE).pack(), charge=1)
            for page in pages
        ]


@pytest.fixture(params=["epoll", "uring"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        yield stack.enter_context(made(tmp_path, request.param))


@contextmanager
def made(base: Path, engine: str) -> Iterator[Scene]:
    (base / "stuck").mkdir()
    (base / "good").mkdir()
    (base / "good" / "file").write_bytes(CONTENT)
    options = {"frevo:engine": engine, "frevo:data plane threads": "1"}
    with (
        stuck_fuse(base / "stuck", {"file": CONTENT}) as fuse,
        served(base, options, {"frevo:inline metadata": "yes"}) as (process, live),
    ):
        fuse.holds = {READ, GETATTR}
        yield Scene(live, fuse, engine)
        fuse.stuck.set()
        process.send_signal(signal.SIGINT)
        until(lambda: not listening(live), 15.0)
        fuse.let_go()
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 0, errors


def test_other_file_systems_are_read(scene: Scene) -> None:
    """Goal: reads that get no answer stop neither other connections of their thread nor the workers of other file
    systems. Method: 40 READs of pages that FUSE holds back; meanwhile another client reads and opens files on disk;
    then the READs are answered."""
    client, file_id = scene.reader("stuck")
    other, other_id = scene.reader("good")
    scene.fuse.stuck.set()
    asked = scene.ask(client, file_id, 40)
    assert scene.fuse.asked.wait(10)
    for number in range(OPERATIONS):
        page = number % 64
        data = other.read(other_id, page * PAGE, PAGE)
        assert data == CONTENT[page * PAGE : (page + 1) * PAGE]
        if number % 10 == 0:
            other.close(other.open(f"new{number}"))
    assert not client.replies
    scene.fuse.let_go()
    for index, message_id in enumerate(asked):
        answer = client.wait(message_id)
        assert answer.status == NTStatus.SUCCESS
        assert bytes(answer.ok(ReadResponse).data) == bytes((24 + index,)) * PAGE


def test_files_that_may_only_be_written(scene: Scene) -> None:
    """Goal: of a file that may not be read it is not found out by a read whether its file system can make a WRITE wait:
    it is not taken for one that cannot. Method: WRITEs to FUSE that it holds back; another client reads meanwhile."""
    client = logged_on(scene.live, "stuck")
    file_id = client.open("file", create_disposition=1, desired_access=0x00120116)
    assert client.write(file_id, 0, b"first").ok(WriteResponse).count == 5
    other, other_id = scene.reader("good")
    scene.fuse.holds = {WRITE}
    scene.fuse.stuck.set()
    asked = [client.send(Command.WRITE, WriteRequest(file_id, 0, b"data").pack()) for _ in range(3)]
    assert scene.fuse.asked.wait(10)
    for _ in range(OPERATIONS):
        assert other.read(other_id, PAGE, PAGE) == CONTENT[PAGE : 2 * PAGE]
    assert not client.replies
    scene.fuse.let_go()
    assert [client.wait(one).ok(WriteResponse).count for one in asked] == [4] * 3


def test_what_is_in_memory_is_read(scene: Scene) -> None:
    """Goal: on a slow file system one client's reads of the disk do not delay another's reads of what the page cache
    holds. Method: 40 READs that FUSE holds back; another client reads the first page of the same file, which the kernel
    has; both ways through the workers of that file system."""
    client, file_id = scene.reader("stuck")
    other, other_id = scene.reader("stuck")
    scene.fuse.stuck.set()
    scene.ask(client, file_id, 40)
    assert scene.fuse.asked.wait(10)
    for _ in range(OPERATIONS):
        assert other.read(other_id, 0, PAGE) == CONTENT[:PAGE]
    assert not client.replies
    scene.fuse.let_go()


def test_a_connection_that_ends_leaves_its_reads(scene: Scene) -> None:
    """Goal: clients that come, ask for what gets no answer and go do not use up the threads. Method: ten of them;
    others read the disk meanwhile, and the same file system afterwards."""
    other, other_id = scene.reader("good")
    readers = [scene.reader("stuck") for _ in range(10)]
    scene.fuse.stuck.set()
    for client, file_id in readers:
        scene.ask(client, file_id, 20)
    assert scene.fuse.asked.wait(10)
    for client, _ in readers:
        client.link.reset()  # type: ignore[attr-defined]
    for _ in range(OPERATIONS):
        assert other.read(other_id, PAGE, PAGE) == CONTENT[PAGE : 2 * PAGE]
    scene.fuse.let_go()
    client, file_id = scene.reader("stuck")
    assert client.read(file_id, 7 * PAGE, PAGE) == CONTENT[7 * PAGE : 8 * PAGE]
