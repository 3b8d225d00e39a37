"""Reads of a local disk that does not answer, by the data plane: other disks, and what is in memory, are still read."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from pair.client import Client, FileId
from peers.slow_device import slow_device
from peers.stuck_fuse import StuckFuse

from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import Command, ReadRequest, ReadResponse
from integration.live import Live, until
from integration.test_stuck_filesystem import listening, logged_on, served

BLOCK = 4096
#: Bytes from one block that is read to the next.
STEP = 64 << 10
BLOCKS = 250
#: Operations of the others while the disk does not answer.
OPERATIONS = 200


def block(number: int) -> bytes:
    return bytes((number + 1,)) * BLOCK


class Scene:
    """A server whose data plane has one thread, a file on a slow disk and one on another, and who reads them."""

    def __init__(self, live: Live, disk: StuckFuse, good: Path) -> None:
        self.live, self.disk, self.good = live, disk, good

    def reader(self, share: str) -> tuple[Client, FileId]:
        """A client whose next READs the data plane answers."""
        client = logged_on(self.live, share)
        file_id = client.open("file", create_disposition=1, desired_access=0x00120089)
        assert client.read(file_id, 0, BLOCK) == block(0)
        return client, file_id

    def forget(self) -> None:
        """Takes the file on the good disk out of memory."""
        fd = os.open(self.good, os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


@pytest.fixture(params=["epoll", "uring"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    good, slow, content = (tmp_path / name for name in ("good", "stuck", "content"))
    for folder in (good, slow, content):
        folder.mkdir()
    for file in (good / "file", content / "file"):
        with file.open("wb") as opened:
            for number in range(BLOCKS):  # no holes: the kernel has to read no metadata to find a block
                opened.write(block(number) * (STEP // BLOCK))
    options = {"frevo:engine": request.param, "frevo:data plane threads": "1"}
    with slow_device(slow, content) as disk, served(tmp_path, options) as (process, live):
        yield Scene(live, disk, good / "file")
        disk.stuck.set()
        process.send_signal(signal.SIGINT)
        until(lambda: not listening(live), 15.0)
        disk.let_go()
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 0, errors


def test_cold_reads_delay_nobody(scene: Scene) -> None:
    """Goal: a client whose reads a disk does not answer delays neither reads of what is in memory, of that disk and
    another, nor reads that another disk has to answer. Method: more cold READs than the disk's queue holds; others read
    the first block of the same file, and a file on another disk that is taken out of memory again and again."""
    client, file_id = scene.reader("stuck")
    same, same_id = scene.reader("stuck")
    other, other_id = scene.reader("good")
    while client.granted < 2 * BLOCKS:
        client.echo()
    scene.disk.stuck.set()
    numbers = range(2, BLOCKS)
    assert len(numbers) > 128, "the queue of a loop device"
    asked = [
        client.send(Command.READ, ReadRequest(file_id, number * STEP, BLOCK).pack()) for number in numbers
    ]
    assert scene.disk.asked.wait(10)
    for count in range(OPERATIONS):
        if count % 10 == 0:
            scene.forget()
        number = count % BLOCKS
        assert other.read(other_id, number * STEP, BLOCK) == block(number)
        assert same.read(same_id, 0, BLOCK) == block(0)
    assert not client.replies
    scene.disk.let_go()
    for number, message_id in zip(numbers, asked, strict=True):
        answer = client.wait(message_id)
        assert answer.status == NTStatus.SUCCESS
        assert bytes(answer.ok(ReadResponse).data) == block(number)
