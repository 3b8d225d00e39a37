"""Disks that are full, quotas and limits of files: a client is told the same with each engine, and without the fast
path."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pair.client import Client, FileId
from pair.file_calls import put, queried
from peers.frevo_server import FrevoServer, frevo_server, status_of
from peers.full_fuse import FullFuse, full_fuse
from peers.planes import PLANES
from peers.programs import missing

from frevo.wire.erref import NTStatus
from frevo.wire.fscc import (
    FileAllocationInformation,
    FileInfoClass,
    FilePositionInformation,
    FileStandardInformation,
)
from frevo.wire.smb2 import Command, FlushRequest, WriteRequest, WriteResponse
from integration.live import Live

pytestmark = [
    pytest.mark.once("compares all data planes itself"),
    pytest.mark.tcp_only("about what is done to files"),
]

PIECE = 65536
THEN = 1_500_000_000  # 2017


@dataclass
class Writer:
    """A client with a file whose WRITEs the data plane answers, if it may, and that file on disk."""

    server: FrevoServer
    live: Live
    client: Client
    file: FileId
    path: Path

    def write(self, offset: int, size: int = PIECE) -> tuple[str, int]:
        reply = self.client.write(self.file, offset, b"x" * size)
        count = reply.ok(WriteResponse).count if reply.status == NTStatus.SUCCESS else 0
        return reply.status.name, count

    def fill(self) -> list[tuple[str, int]]:
        """One piece after the other until one is refused."""
        found = [self.write(0)]
        while found[-1][0] == "SUCCESS":
            assert len(found) < 100, "no end"
            found.append(self.write(sum(count for _, count in found)))
        return found

    def flush(self) -> str:
        return self.client.call(Command.FLUSH, FlushRequest(self.file).pack()).status.name

    def look(self) -> tuple[int, int]:
        """End of file and position."""
        standard = queried(self.client, self.file, FileStandardInformation, FileInfoClass.STANDARD)
        position = queried(self.client, self.file, FilePositionInformation, FileInfoClass.POSITION)
        return standard.end_of_file, position.current_byte_offset

    def fast_writes(self) -> int:
        count: int = status_of(self.server.log.parent / "smb.conf")["frevo"]["statistics"]["fast_writes"]
        return count


@contextmanager
def writing(base: Path, plane: str, *, encrypt: bool = False) -> Iterator[Writer]:
    """The share's folder may have been mounted before."""
    shares = {"share": {"read only": "no", "frevo:inline metadata": "yes"}}
    with frevo_server(base, PLANES[plane], shares) as server, Live(server.host, server.port) as live:
        client = live.logged_on()
        assert client.session is not None
        client.session.encrypt = encrypt
        file = client.open("file")
        assert client.write(file, 0, b"first").status == NTStatus.SUCCESS
        yield Writer(server, live, client, file, server.folder() / "file")


@contextmanager
def small_disk(base: Path) -> Iterator[Path]:
    """1 MiB at the share's folder."""
    folder = base / "shares" / "share"
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "frevo", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        missing("no right to mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def same_on_each_plane(base: Path, found: Callable[[Path, str], object]) -> object:
    """What *found* gives for each plane; AssertionError if not always the same."""
    outcomes = {plane: found(base / plane, plane) for plane in sorted(PLANES)}
    [first, *others] = outcomes.values()
    assert all(other == first for other in others), outcomes
    return first


@pytest.mark.parametrize("encrypt", [False, True])
def test_a_full_disk(tmp_path: Path, encrypt: bool) -> None:
    """Goal: status, count, size, position and last write time when a disk gets full, while it is, and after. Method:
    1 MiB of tmpfs; pieces of 64 KiB, what is there written over, then a file deleted by another program."""

    def found(base: Path, plane: str) -> object:
        with small_disk(base) as folder, writing(base, plane, encrypt=encrypt) as writer:
            (folder / "filler").write_bytes(bytes(300_000))
            filled = writer.fill()
            assert (writer.fast_writes() > 5) == (plane != "slow-path")
            full = writer.look()
            os.utime(writer.path, (THEN, THEN))
            refused = writer.write(full[0]), writer.write(full[0] + 1_000_000, 10), writer.write(full[0] - 10)
            after = int(writer.path.stat().st_mtime) == THEN, writer.look()
            over = writer.write(0), writer.write(4096, 10), writer.flush(), writer.look()
            body = FileAllocationInformation(8 << 20).pack()
            allocated = put(writer.client, writer.file, FileInfoClass.ALLOCATION, body).name
            (folder / "filler").unlink()
            again = writer.write(full[0]), writer.look()
            return filled, full, refused, after, over, allocated, again

    outcome = same_on_each_plane(tmp_path, found)
    assert isinstance(outcome, tuple)
    filled, (size, position), refused, _, over, allocated, again = outcome
    assert filled[-1] == ("DISK_FULL", 0) and 0 < filled[-2][1] < PIECE
    assert size == position == sum(count for _, count in filled)
    assert refused[:2] == (("DISK_FULL", 0), ("DISK_FULL", 0)) and refused[2] == ("SUCCESS", 10)
    assert over[:3] == (("SUCCESS", PIECE), ("SUCCESS", 10), "SUCCESS")
    assert allocated == "DISK_FULL" and again[0] == ("SUCCESS", PIECE)


def test_the_last_space_is_given_once(tmp_path: Path) -> None:
    """Goal: of writes that run at once on a disk with too little space, as much succeeds as there is. Method: two
    clients write eight pieces each to files of their own, of which ten fit."""

    def found(base: Path, plane: str) -> object:
        with small_disk(base) as folder, writing(base, plane) as writer:
            other = writer.live.logged_on()
            others = other.open("other")
            other.write(others, 0, b"first")
            (folder / "filler").write_bytes(bytes((1 << 20) - 10 * PIECE - 8192))
            sent = []
            for number in range(1, 9):
                for client, file in ((writer.client, writer.file), (other, others)):
                    body = write_body(file, number * PIECE)
                    sent.append((client, client.send(Command.WRITE, body)))
            replies = [client.wait(number) for client, number in sent]
            assert {reply.status for reply in replies} == {NTStatus.SUCCESS, NTStatus.DISK_FULL}
            counts = [reply.ok(WriteResponse).count for reply in replies if reply.status == NTStatus.SUCCESS]
            on_disk = sum(path.stat().st_blocks * 512 for path in folder.iterdir())
            return sum(counts), on_disk

    written, on_disk = same_on_each_plane(tmp_path, found)  # type: ignore[misc]
    assert (written, on_disk) == (10 * PIECE, 1 << 20)


def write_body(file: FileId, offset: int) -> bytes:
    return WriteRequest(file, offset, b"x" * PIECE).pack()


def test_the_largest_file(tmp_path: Path) -> None:
    """Goal: a file that may not become larger. Method: RLIMIT_FSIZE of the server, set while it runs."""

    def found(base: Path, plane: str) -> object:
        with writing(base, plane) as writer:
            limits = resource.prlimit(writer.server.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(writer.server.pid, resource.RLIMIT_FSIZE, (200_000, limits[1]))
            filled, size = writer.fill(), writer.path.stat().st_size
            past, within = writer.write(300_000, 1), writer.write(0)
            resource.prlimit(writer.server.pid, resource.RLIMIT_FSIZE, limits)
            return filled, size, past, within, writer.write(300_000, 1)

    full = [("SUCCESS", PIECE)] * 3 + [("SUCCESS", 200_000 - 3 * PIECE), ("DISK_FULL", 0)]
    wanted = full, 200_000, ("DISK_FULL", 0), ("SUCCESS", PIECE), ("SUCCESS", 1)
    assert same_on_each_plane(tmp_path, found) == wanted


@contextmanager
def on_fuse(base: Path, plane: str, refusal: int) -> Iterator[tuple[FullFuse, Writer]]:
    folder = base / "shares" / "share"
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        fuse = stack.enter_context(full_fuse(folder, room=200_000, refusal=refusal))
        yield fuse, stack.enter_context(writing(base, plane))


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (errno.EDQUOT, "DISK_FULL"),  # [MS-FSA] 2.1.5.4
        (errno.ENOSPC, "DISK_FULL"),
        (errno.EIO, "IO_DEVICE_ERROR"),
        (errno.EROFS, "MEDIA_WRITE_PROTECTED"),
    ],
)
def test_a_file_system_refuses(tmp_path: Path, refusal: int, status: str) -> None:
    """Goal: quotas and other refusals, which may come in the middle of a write. Method: a file system in user space
    that takes 200,000 bytes."""

    def found(base: Path, plane: str) -> object:
        with on_fuse(base, plane, refusal) as (fuse, writer):
            filled = writer.fill()
            assert (writer.fast_writes() > 2) == (plane != "slow-path")
            within = writer.write(1000)
            fuse.room = 400_000
            return filled, len(fuse.content), within, writer.write(200_000), writer.look()[1]

    full = [("SUCCESS", PIECE)] * 3 + [("SUCCESS", 200_000 - 3 * PIECE), (status, 0)]
    wanted = full, 200_000, ("SUCCESS", PIECE), ("SUCCESS", PIECE), 200_000 + PIECE
    assert same_on_each_plane(tmp_path, found) == wanted


@pytest.mark.parametrize(
    ("error", "status"),
    [(errno.EIO, "IO_DEVICE_ERROR"), (errno.ENOSPC, "DISK_FULL"), (errno.EDQUOT, "DISK_FULL")],
)
def test_a_flush_that_fails_is_told(tmp_path: Path, error: int, status: str) -> None:
    """Goal: a client learns that data did not get to the disk, though the kernel tells it once. Method: a file system
    in user space whose FSYNC fails once."""

    def found(base: Path, plane: str) -> object:
        with on_fuse(base, plane, errno.ENOSPC) as (fuse, writer):
            before = writer.flush()
            fuse.sync_errors = [error]
            return before, writer.flush(), writer.flush(), fuse.sync_errors

    assert same_on_each_plane(tmp_path, found) == ("SUCCESS", status, "SUCCESS", [])
