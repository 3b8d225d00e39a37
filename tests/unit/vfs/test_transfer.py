"""vfs/transfer.py: data from the page cache, short reads and writes, zeros where the file system cannot make holes."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from frevo.aio.ring import Descriptor
from frevo.vfs import transfer
from frevo.vfs.transfer import (
    allocate,
    flush_file,
    read_all,
    read_cached,
    read_file,
    write_all,
    write_file,
    zero_all,
    zero_file,
)

CONTENT = os.urandom(300_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of some size."""
    (tmp_path / "file").write_bytes(CONTENT)
    return tmp_path / "file"


@pytest.fixture
def fd(path: Path) -> Iterator[int]:
    """It, open to read and write."""
    opened = os.open(path, os.O_RDWR)
    yield opened
    os.close(opened)


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 10), (0, 300_000), (299_990, 100), (300_000, 5), (400_000, 5), (5, 0)]
)
async def test_reading(fd: int, offset: int, length: int) -> None:
    """In the thread, from the cache and through the ring: the same bytes, fewer only at the end of the file."""
    wanted = CONTENT[offset : offset + length]
    file = Descriptor(os.dup(fd))
    assert bytes(read_all(fd, offset, length)) == wanted
    assert bytes(await read_file(file, offset, length)) == wanted
    cached = read_cached(fd, offset, length)
    assert cached is None or bytes(cached) == wanted
    file.close()


def test_short_reads_are_continued(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that gives less at a time is asked for the rest."""
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, length, offset: real(fd, min(length, 1000), offset))
    assert bytes(read_all(fd, 10, 5000)) == CONTENT[10:5010]


@pytest.mark.parametrize(
    ("found", "result"),
    [
        (OSError(errno.EAGAIN, "not cached"), None),
        (OSError(errno.EOPNOTSUPP, "no flag"), None),  # it may block, the file system does not tell
        (OSError(errno.EIO, "broken"), OSError),
        (40, None),  # the rest is on the disk
    ],
    ids=["not cached", "cannot tell", "broken", "partly cached"],
)
def test_the_page_cache(fd: int, monkeypatch: pytest.MonkeyPatch, found: Any, result: Any) -> None:
    """Only what needs no disk is read in the loop."""

    def preadv(fd: int, buffers: tuple[bytearray], offset: int, flags: int) -> int:
        assert flags == os.RWF_NOWAIT
        if isinstance(found, OSError):
            raise found
        return int(found)

    monkeypatch.setattr(os, "preadv", preadv)
    if result is OSError:
        with pytest.raises(OSError):
            read_cached(fd, 0, 100)
    else:
        assert read_cached(fd, 0, 100) == result


def test_files_in_memory() -> None:
    """Goal: tmpfs, which has no RWF_NOWAIT on older kernels, is read in the loop, for it never blocks."""
    fd = os.memfd_create("file")
    try:
        os.write(fd, CONTENT)
        assert read_cached(fd, 5, 100) == CONTENT[5:105]
    finally:
        os.close(fd)


def limited(real: Callable[..., int], left: int) -> Callable[..., int]:
    """A pwrite that writes 1000 bytes at a time and *left* in all."""

    def pwrite(fd: int, data: memoryview, offset: int) -> int:
        nonlocal left
        if not left:
            raise OSError(errno.ENOSPC, "full")
        size = min(1000, left, len(data))
        left -= size
        return real(fd, data[:size], offset)

    return pwrite


@pytest.mark.parametrize(("room", "count"), [(10_000, 5000), (2500, 2500), (0, None)])
def test_short_writes(
    fd: int, path: Path, monkeypatch: pytest.MonkeyPatch, room: int, count: int | None
) -> None:
    """Writing goes on until the disk is full; the error is raised only if nothing was written."""
    monkeypatch.setattr(os, "pwrite", limited(os.pwrite, room))
    if count is None:
        with pytest.raises(OSError):
            write_all(fd, 7, bytes(5000))
    else:
        assert write_all(fd, 7, bytes(5000)) == count
    wanted = CONTENT[:7] + bytes(count or 0) + CONTENT[7 + (count or 0) :]
    assert path.read_bytes() == wanted


async def test_writing_through_the_ring(fd: int, path: Path) -> None:
    """All of it, and FLUSH."""
    file = Descriptor(os.dup(fd))
    assert await write_file(file, 100_000, b"x" * 200_000) == 200_000
    await flush_file(file)
    file.close()
    assert path.read_bytes() == CONTENT[:100_000] + b"x" * 200_000


def cannot(*_: Any) -> None:
    raise OSError(errno.EOPNOTSUPP, "no holes here")


@pytest.mark.parametrize("hole", [True, False])
@pytest.mark.parametrize("supported", [True, False])
async def test_zeros(
    fd: int, path: Path, monkeypatch: pytest.MonkeyPatch, hole: bool, supported: bool
) -> None:
    """With holes or without, with the file system's help or zeros written: the same bytes, the same size."""
    if not supported:
        monkeypatch.setattr(transfer, "fallocate", cannot)
    zero_all(fd, 1000, 200_000, hole=hole)
    wanted = bytearray(CONTENT)
    wanted[1000:200_000] = bytes(199_000)
    assert path.read_bytes() == wanted
    file = Descriptor(os.dup(fd))
    await zero_file(file, 0, 10, hole=hole)
    file.close()
    assert path.read_bytes()[:20] == bytes(10) + wanted[10:20]


def test_zeros_on_a_full_disk(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros that have to be written and do not fit are an error; so is any other error of fallocate."""
    monkeypatch.setattr(transfer, "fallocate", cannot)
    monkeypatch.setattr(os, "pwrite", limited(os.pwrite, 2500))
    with pytest.raises(OSError) as caught:
        zero_all(fd, 0, 5000, hole=True)
    assert caught.value.errno == errno.ENOSPC

    def broken(*_: Any) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(transfer, "fallocate", broken)
    with pytest.raises(OSError) as caught:
        zero_all(fd, 0, 5000, hole=True)
    assert caught.value.errno == errno.EIO


@pytest.mark.parametrize(("size", "left"), [(1000, 1000), (1 << 20, 300_000), (0, 0)])
def test_allocation(fd: int, path: Path, monkeypatch: pytest.MonkeyPatch, size: int, left: int) -> None:
    """Less than the file has cuts it off; more reserves space, where that exists, and leaves the size alone."""
    allocate(fd, size)
    assert path.stat().st_size == left
    monkeypatch.setattr(transfer, "fallocate", cannot)
    allocate(fd, 2 << 20)
    assert path.stat().st_size == left
