"""One conformance suite for every engine of `frevo.aio.ring`: io_uring and threads must not differ."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from descriptors import descriptors
from peers.late import Late

from frevo.aio import features, threads
from frevo.aio.ring import WORKING_DIRECTORY, Descriptor, Ring
from frevo.aio.syscalls import (
    AT_EMPTY_PATH,
    AT_REMOVEDIR,
    AT_SYMLINK_NOFOLLOW,
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
)
from frevo.wire.dtyp.filetime import from_unix_ns


@pytest.fixture(params=["uring", "threads"])
async def ring(request: pytest.FixtureRequest) -> AsyncIterator[Ring]:
    """A ring of each engine; io_uring is skipped with the kernel's reason where it is unavailable."""
    if request.param == "uring" and not features.probe().available:
        pytest.skip(features.probe().reason)
    made = Ring.of(asyncio.get_running_loop(), engine=request.param)
    assert made.engine == request.param
    yield made
    made.shutdown()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Descriptor]:
    """An empty directory."""
    file = Descriptor(os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY))
    yield file
    file.close()


def pipe() -> tuple[Descriptor, Descriptor]:
    """A pipe: its read end and its write end."""
    reader, writer = os.pipe()
    return Descriptor(reader), Descriptor(writer)


async def create(ring: Ring, folder: Descriptor, name: bytes, data: bytes = b"") -> Descriptor:
    fd = await ring.openat2(folder, name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    if data:
        assert await ring.write(fd, 0, data) == len(data)
    return fd


async def test_open_write_read_close(ring: Ring, folder: Descriptor) -> None:
    """Goal: data survives a round trip through every data operation. Method: one file, offsets and positions."""
    fd = await create(ring, folder, b"a", b"hello world")
    assert await ring.read(fd, 6, 100) == b"world"
    assert await ring.read(fd, 11, 100) == b""
    assert await ring.read(fd, 0, 0) == b""
    assert await ring.read(fd, -1, 5) == b"hello"
    assert await ring.read(fd, -1, 5) == b" worl"
    target = bytearray(16)
    assert await ring.readinto(fd, 6, target) == 5
    assert target == b"world" + bytes(11)
    assert await ring.write(fd, 2, memoryview(b"xLLx")[1:3]) == 2
    assert await ring.write(fd, 11, bytearray(b"!")) == 1
    await ring.fsync(fd)
    await ring.fsync(fd, datasync=True)
    assert await ring.read(fd, 0, 64) == b"heLLo world!"
    number = fd.fileno()
    assert not os.get_inheritable(number)
    fd.close()
    with pytest.raises(OSError) as caught:
        os.fstat(number)
    assert caught.value.errno == errno.EBADF


async def test_large_transfers(ring: Ring, folder: Descriptor) -> None:
    """Goal: pieces handed to kernel workers arrive whole. Method: 3 MiB in concurrent pieces of 1 MiB."""
    size = 1 << 20
    pieces = [os.urandom(size) for _ in range(3)]
    fd = await create(ring, folder, b"big")
    written = await asyncio.gather(*(ring.write(fd, i * size, piece) for i, piece in enumerate(pieces)))
    assert written == [size] * 3
    assert list(await asyncio.gather(*(ring.read(fd, i * size, size) for i in range(3)))) == pieces
    fd.close()


async def test_statx_equals_stat(ring: Ring, folder: Descriptor, tmp_path: Path) -> None:
    """Goal: statx reports what stat reports. Method: a file and a link, by descriptor and by path."""
    fd = await create(ring, folder, b"f", b"x" * 5000)
    (tmp_path / "l").symlink_to("f")
    expected = (tmp_path / "f").stat()
    by_path = [await ring.statx(folder, name, 0) for name in (b"f", b"l")]
    for status in (await ring.statx(fd), *by_path):
        assert (status.ino, status.size, status.mode) == (expected.st_ino, 5000, expected.st_mode)
        assert status.mtime == from_unix_ns(expected.st_mtime_ns)
        assert os.makedev(status.dev_major, status.dev_minor) == expected.st_dev
    link = await ring.statx(folder, b"l", AT_SYMLINK_NOFOLLOW)
    assert stat.S_ISLNK(link.mode)
    fd.close()


async def test_names(ring: Ring, folder: Descriptor, tmp_path: Path) -> None:
    """Goal: names are made, linked, renamed and removed. Method: each operation, checked with pathlib."""
    await ring.mkdirat(folder, b"d", 0o700)
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o700
    (await create(ring, folder, b"d/a", b"A")).close()
    (await create(ring, folder, b"b", b"B")).close()
    await ring.linkat(folder, b"b", folder, b"d/link")
    assert (tmp_path / "d/link").samefile(tmp_path / "b")
    await ring.renameat2(folder, b"d/a", folder, b"b", RENAME_EXCHANGE)
    assert (tmp_path / "b").read_bytes() == b"A"
    await ring.renameat2(folder, b"b", folder, b"c")
    assert (tmp_path / "c").read_bytes() == b"A"
    await ring.unlinkat(folder, b"c")
    for name in (b"d/a", b"d/link"):
        await ring.unlinkat(folder, name)
    await ring.unlinkat(folder, b"d", AT_REMOVEDIR)
    assert list(tmp_path.iterdir()) == []


async def test_link_of_nameless_file(ring: Ring, folder: Descriptor, tmp_path: Path) -> None:
    """Goal: a file made with O_TMPFILE gets a name. Method: linkat with AT_EMPTY_PATH."""
    fd = await ring.openat2(folder, b".", os.O_TMPFILE | os.O_RDWR, 0o600)
    await ring.write(fd, 0, b"late")
    try:
        await ring.linkat(fd, b"", folder, b"named", AT_EMPTY_PATH)
    except OSError as error:
        pytest.skip(f"linking a descriptor needs CAP_DAC_READ_SEARCH: {error}")
    assert (tmp_path / "named").read_bytes() == b"late"
    fd.close()


async def test_errors_have_errno_and_filename(ring: Ring, folder: Descriptor) -> None:
    """Goal: every failure is an OSError of the right class. Method: one failure per kind of operation."""
    with pytest.raises(FileNotFoundError) as missing:
        await ring.openat2(folder, b"none", os.O_RDONLY)
    assert (missing.value.errno, missing.value.filename) == (errno.ENOENT, b"none")
    with pytest.raises(OSError) as outside:
        await ring.openat2(folder, b"../x", os.O_RDONLY)
    assert outside.value.errno == errno.EXDEV
    with pytest.raises(FileNotFoundError):
        await ring.statx(folder, b"none", 0)
    with pytest.raises(FileNotFoundError):
        await ring.unlinkat(folder, b"none")
    fd = await create(ring, folder, b"here")
    with pytest.raises(FileExistsError):
        await ring.mkdirat(folder, b"here")
    with pytest.raises(FileExistsError):
        await ring.renameat2(folder, b"here", folder, b"here", RENAME_NOREPLACE)
    with pytest.raises(NotADirectoryError):
        await ring.unlinkat(folder, b"here", AT_REMOVEDIR)
    fd.close()
    for call in (ring.read(fd, 0, 1), ring.write(fd, 0, b"x"), ring.fsync(fd)):
        with pytest.raises(OSError) as bad:
            await call
        assert bad.value.errno == errno.EBADF


async def test_bad_arguments_leave_the_ring_usable(ring: Ring, folder: Descriptor) -> None:
    """Goal: a wrong argument fails alone. Method: a NUL and a read-only target beside a good operation."""
    results = await asyncio.gather(
        ring.openat2(folder, b"a\0b", os.O_RDONLY),
        ring.readinto(Descriptor(os.dup(0)), 0, b"read-only"),
        ring.statx(folder),
        return_exceptions=True,
    )
    assert isinstance(results[0], ValueError)
    assert isinstance(results[1], TypeError | BufferError)
    assert not isinstance(results[2], BaseException)


async def test_fallocate_punches_holes(ring: Ring, folder: Descriptor) -> None:
    """Goal: fallocate's modes reach the kernel. Method: reserve 1 MiB, punch the middle, look at bytes."""
    fd = await create(ring, folder, b"sparse", b"y" * 300_000)
    try:
        await ring.fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 65536, 65536)
    except OSError as error:
        pytest.skip(f"this file system punches no holes: {error}")
    assert await ring.read(fd, 65536, 4) == bytes(4)
    assert (await ring.statx(fd)).size == 300_000
    await ring.fallocate(fd, 0, 0, 1 << 20)
    assert (await ring.statx(fd)).size == 1 << 20
    fd.close()


async def test_extended_attributes(ring: Ring, folder: Descriptor) -> None:
    """Goal: values of any length come back. Method: short, empty and longer than the first guess; then flags."""
    fd = await create(ring, folder, b"x")
    try:
        await ring.setxattr(fd, b"user.short", b"v")
    except OSError as error:
        pytest.skip(f"this file system has no user attributes: {error}")
    await ring.setxattr(fd, b"user.empty", b"")
    await ring.setxattr(fd, b"user.long", memoryview(b"l" * 2000))
    assert await ring.getxattr(fd, b"user.short") == b"v"
    assert await ring.getxattr(fd, b"user.empty") == b""
    assert await ring.getxattr(fd, b"user.long") == b"l" * 2000
    with pytest.raises(OSError) as none:
        await ring.getxattr(fd, b"user.none")
    assert none.value.errno == errno.ENODATA
    with pytest.raises(FileExistsError):
        await ring.setxattr(fd, b"user.short", b"w", os.XATTR_CREATE)
    fd.close()


async def test_splice(ring: Ring, folder: Descriptor) -> None:
    """Goal: data moves through a pipe without a copy here. Method: file to pipe, pipe to file."""
    source, target = await create(ring, folder, b"s", b"0123456789"), await create(ring, folder, b"t")
    reader, writer = pipe()
    assert await ring.splice(source, 2, writer, -1, 5) == 5
    assert await ring.splice(reader, -1, target, 0, 5) == 5
    assert await ring.read(target, 0, 10) == b"23456"
    for fd in (source, target, reader, writer):
        fd.close()


async def test_many_at_once(ring: Ring, folder: Descriptor) -> None:
    """Goal: more operations than the ring has slots are all answered. Method: 3000 concurrent reads, each with its own
    bytes."""
    count = 3000
    fd = await create(ring, folder, b"numbers", b"".join(b"%08d" % i for i in range(count)))
    results = await asyncio.gather(*(ring.read(fd, 8 * i, 8) for i in range(count)))
    assert results == [b"%08d" % i for i in range(count)]
    numbers = ring.statistics()
    assert numbers["submitted"] == numbers["completed"] >= count
    assert (numbers["in_flight"], numbers["waiting"]) == (0, 0)
    fd.close()


async def test_cancelled_read_keeps_its_buffer(ring: Ring) -> None:
    """Goal: a cancelled read writes only into memory that is still alive. Method: cancel on an empty pipe, then fill
    it."""
    reader, writer = pipe()
    buffer = bytearray(64)
    task = asyncio.create_task(ring.readinto(reader, -1, buffer))
    await wait_until(lambda: ring.statistics()["in_flight"] == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    os.write(writer.fileno(), b"late data")  # a thread cannot be interrupted: this completes its read
    await wait_until(lambda: ring.statistics()["in_flight"] == 0)
    await wait_until(lambda: resizable(buffer))  # a thread releases it a moment after reporting the end
    writer.close()
    reader.close()


async def test_a_cancelled_write_reaches_no_other_file(
    ring: Ring, folder: Descriptor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: the number of a closed file is not reused before its last operation has ended. Method: hold up a write,
    cancel its task, close its file, open others, let the write continue."""
    late = Late(ring, monkeypatch)
    file = Descriptor(os.open(tmp_path / "own", os.O_RDWR | os.O_CREAT))
    number = file.fileno()
    task = asyncio.create_task(ring.write(file, 0, bytearray(b"x" * 300_000)))
    await wait_until(lambda: late.asked)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    file.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.fileno()
    others = [Descriptor(os.open(tmp_path / f"{i}", os.O_RDWR | os.O_CREAT)) for i in range(8)]
    assert number not in [other.fileno() for other in others]
    assert os.fstat(number).st_ino == (tmp_path / "own").stat().st_ino
    late.let_go()
    await wait_until(lambda: is_closed(number))
    assert [os.fstat(other.fileno()).st_size for other in others] == [0] * 8
    if ring.engine == "threads":  # the kernel may have given it up, a thread cannot
        assert (tmp_path / "own").read_bytes() == b"x" * 300_000
    for other in others:
        other.close()


async def test_a_job_that_no_thread_has_started(
    folder: Descriptor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: a job cancelled before a thread starts it holds nothing. Method: all threads busy, one more write,
    cancelled."""
    ring = Ring.of(asyncio.get_running_loop(), engine="threads")
    late = Late(ring, monkeypatch)
    file = Descriptor(os.open(tmp_path / "busy", os.O_RDWR | os.O_CREAT))
    busy = [asyncio.create_task(ring.write(file, 0, b"x")) for _ in range(threads.THREADS_MAX)]
    await wait_until(lambda: len(late.asked) == threads.THREADS_MAX)
    other = Descriptor(os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT))
    number = other.fileno()
    task = asyncio.create_task(ring.write(other, 0, b"x"))
    await asyncio.sleep(0)
    other.close()
    assert not is_closed(number)
    task.cancel()
    await wait_until(lambda: is_closed(number))
    late.let_go()
    await asyncio.gather(*busy)
    file.close()
    assert (tmp_path / "other").read_bytes() == b""
    ring.shutdown()


async def test_shutdown_keeps_what_is_in_use(
    folder: Descriptor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: shutting down closes no file under a running operation. Method: hold up a thread's write, shut down."""
    ring = Ring.of(asyncio.get_running_loop(), engine="threads")
    late = Late(ring, monkeypatch)
    file = Descriptor(os.open(tmp_path / "own", os.O_RDWR | os.O_CREAT))
    number = file.fileno()
    task = asyncio.create_task(ring.write(file, 0, b"late"))
    await wait_until(lambda: late.asked)
    ring.shutdown()
    file.close()
    task.cancel()
    assert not is_closed(number)
    late.let_go()
    await wait_until(lambda: is_closed(number))
    assert (tmp_path / "own").read_bytes() == b"late"


async def test_cancelled_open_leaves_no_descriptor(ring: Ring, folder: Descriptor) -> None:
    """Goal: no descriptor leaks when a task is cancelled. Method: cancel at every stage, count descriptors."""
    (await create(ring, folder, b"o")).close()
    before = descriptors()
    for turns in (0, 1, 1, 2, 2, 3, 4) * 10:
        task = asyncio.create_task(ring.openat2(folder, b"o", os.O_RDONLY))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        try:
            (await task).close()
        except asyncio.CancelledError:
            pass
    await wait_until(lambda: ring.statistics()["in_flight"] == 0)
    await ring.statx(folder)
    assert not descriptors() - before


async def test_shutdown_with_operations_running(folder: Descriptor) -> None:
    """Goal: a ring can be shut down at any time. Method: shut io_uring down under a read of an empty pipe; make a new
    one."""
    loop = asyncio.get_running_loop()
    if not features.probe().available:
        pytest.skip(features.probe().reason)
    before = descriptors()
    ring = Ring.of(loop, engine="uring")
    reader, writer = pipe()
    task = asyncio.create_task(ring.read(reader, -1, 10))
    await wait_until(lambda: ring.statistics()["in_flight"] == 1)
    ring.shutdown()
    ring.shutdown()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(RuntimeError):
        await ring.statx(folder)
    reader.close()
    writer.close()
    assert not descriptors() - before
    again = Ring.of(loop, engine="uring")
    assert again is not ring
    await again.statx(folder)
    again.shutdown()


def test_a_ring_per_loop(tmp_path: Path) -> None:
    """Goal: loops do not share rings, and closed loops leave nothing behind. Method: ten asyncio.run, count
    descriptors."""

    async def one() -> Ring:
        loop = asyncio.get_running_loop()
        ring = Ring.of(loop)
        assert Ring.of(loop) is ring
        await ring.statx(WORKING_DIRECTORY, os.fsencode(tmp_path), 0)
        return ring

    asyncio.run(one())
    counts = []
    for _ in range(10):
        asyncio.run(one())
        counts.append(len(descriptors()))
    assert counts[-1] <= counts[0] + 1


def test_choice_of_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: an argument beats the environment, which beats probing, and the reason is kept. Method: each in turn."""
    monkeypatch.setenv(features.ENGINE_VARIABLE, "threads")
    assert features.choose() == ("threads", "threads were requested")
    assert features.choose("auto")[0] in ("uring", "threads")
    with pytest.raises(ValueError):
        features.choose("magic")
    broken = features.Features("EPERM: switched off by sysctl", frozenset(), {})
    monkeypatch.setattr(features, "probe", lambda: broken)
    engine, reason = features.choose("auto")
    assert engine == "threads"
    assert "switched off by sysctl" in reason
    with pytest.raises(OSError, match="switched off"):
        features.choose("uring")


async def test_operations_missing_in_an_old_kernel(
    folder: Descriptor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: on a kernel without the newer opcodes threads take those over. Method: take the opcodes away."""
    found = features.probe()
    if not found.available:
        pytest.skip(found.reason)
    old = features.Features("", found.operations - {"mkdirat", "unlinkat", "fgetxattr"}, found.abilities)
    monkeypatch.setattr(features, "probe", lambda: old)
    ring = Ring.of(asyncio.get_running_loop(), engine="uring")
    await ring.mkdirat(folder, b"d")
    await ring.unlinkat(folder, b"d", AT_REMOVEDIR)
    assert ring.statistics()["submitted"] == 0
    ring.shutdown()


def is_closed(number: int) -> bool:
    """Whether the number belongs to no file of ours."""
    try:
        os.fstat(number)
    except OSError:
        return True
    return False


def resizable(buffer: bytearray) -> bool:
    """Whether no export of *buffer* is left."""
    try:
        buffer.append(0)
    except BufferError:
        return False
    return True


async def wait_until(condition, turns: int = 100_000) -> None:  # type: ignore[no-untyped-def]
    """Lets the loop turn until *condition* holds; a test that never gets there fails after too many turns."""
    for _ in range(turns):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("the condition never held")
