"""`Ring` on a pool of threads.

For kernels and containers without io_uring, and as the reference for tests.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import os
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from frevo.aio import syscalls
from frevo.aio.acting import carried
from frevo.aio.descriptor import Descriptor, hold_all, release_all
from frevo.aio.ring import Ring
from frevo.aio.syscalls import (
    AT_EMPTY_PATH,
    AT_REMOVEDIR,
    AT_SYMLINK_FOLLOW,
    RESOLVE_BENEATH,
    Buffer,
    FileStatus,
)

T = TypeVar("T")

#: More threads than processors: they wait for disks, and a slow disk should not hold up a cached read.
THREADS_MAX = 16


class ThreadRing(Ring):
    """Every operation is one system call in a worker thread."""

    engine: ClassVar[str] = "threads"

    def __init__(self, loop: asyncio.AbstractEventLoop, reason: str) -> None:
        super().__init__(loop, reason)
        self._pool = concurrent.futures.ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="frevo-io")
        self._submitted = 0
        self._completed = 0

    async def _run(self, call: Callable[..., T], *args: Any, undo: Callable[[T], None] | None = None) -> T:
        """The result of *call* in a thread; a result that nobody awaits any more goes to *undo*.

        The worker's references keep buffers alive until the call has returned, whatever happens to the task, and the
        descriptors among *args* are held so long.
        """
        held, numbers = hold_all(args)
        try:
            job = self._pool.submit(carried(call), *numbers)
        except BaseException:
            release_all(held)
            raise
        self._submitted += 1
        job.add_done_callback(lambda _: release_all(held))  # also of one that was never begun
        job.add_done_callback(self._count)
        try:
            return await asyncio.wrap_future(job, loop=self._loop)
        except asyncio.CancelledError:
            if undo is not None:
                job.add_done_callback(functools.partial(_undo, undo))
            raise

    def _count(self, _job: concurrent.futures.Future[Any]) -> None:
        self._completed += 1

    async def openat2(
        self, directory: Descriptor, path: bytes, flags: int, mode: int = 0, resolve: int = RESOLVE_BENEATH
    ) -> Descriptor:
        number = await self._run(syscalls.openat2, directory, path, flags, mode, resolve, undo=os.close)
        return Descriptor(number)

    async def statx(self, place: Descriptor, path: bytes = b"", flags: int = AT_EMPTY_PATH) -> FileStatus:
        return await self._run(syscalls.statx, place, path, flags)

    async def unlinkat(self, directory: Descriptor, path: bytes, flags: int = 0) -> None:
        await self._run(_unlinkat, directory, path, flags)

    async def renameat2(
        self, old_directory: Descriptor, old: bytes, new_directory: Descriptor, new: bytes, flags: int = 0
    ) -> None:
        await self._run(syscalls.renameat2, old_directory, old, new_directory, new, flags)

    async def mkdirat(self, directory: Descriptor, path: bytes, mode: int = 0o777) -> None:
        await self._run(_mkdirat, directory, path, mode)

    async def linkat(
        self, old_directory: Descriptor, old: bytes, new_directory: Descriptor, new: bytes, flags: int = 0
    ) -> None:
        await self._run(_linkat, old_directory, old, new_directory, new, flags)

    async def read(self, file: Descriptor, offset: int, length: int) -> bytes:
        return await self._run(_read, file, offset, length)

    async def readinto(self, file: Descriptor, offset: int, buffer: Buffer) -> int:
        return await self._run(_readinto, file, offset, memoryview(buffer))

    async def write(self, file: Descriptor, offset: int, data: Buffer) -> int:
        return await self._run(_write, file, offset, memoryview(data))

    async def fsync(self, file: Descriptor, datasync: bool = False) -> None:
        await self._run(os.fdatasync if datasync else os.fsync, file)

    async def fallocate(self, file: Descriptor, mode: int, offset: int, length: int) -> None:
        await self._run(syscalls.fallocate, file, mode, offset, length)

    async def splice(
        self,
        source: Descriptor,
        offset_in: int,
        target: Descriptor,
        offset_out: int,
        length: int,
        flags: int = 0,
    ) -> int:
        return await self._run(_splice, source, offset_in, target, offset_out, length, flags)

    async def _getxattr(self, file: Descriptor, name: bytes, size: int) -> bytes:
        return await self._run(os.getxattr, file, name)

    async def setxattr(self, file: Descriptor, name: bytes, value: Buffer, flags: int = 0) -> None:
        await self._run(os.setxattr, file, name, memoryview(value), flags)

    def statistics(self) -> dict[str, int]:
        flight = self._submitted - self._completed
        counters = {"submitted": self._submitted, "completed": self._completed, "enters": self._submitted}
        return {**counters, "in_flight": flight, "waiting": 0}

    def _shut(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _undo(undo: Callable[[T], None], job: concurrent.futures.Future[T]) -> None:
    if not job.cancelled() and job.exception() is None:
        undo(job.result())


def _unlinkat(dirfd: int, path: bytes, flags: int) -> None:
    remove = os.rmdir if flags & AT_REMOVEDIR else os.unlink
    remove(path, dir_fd=dirfd)


def _mkdirat(dirfd: int, path: bytes, mode: int) -> None:
    os.mkdir(path, mode, dir_fd=dirfd)


def _linkat(olddirfd: int, old: bytes, newdirfd: int, new: bytes, flags: int) -> None:
    if flags & AT_EMPTY_PATH and not old:
        old, olddirfd, flags = b"/proc/self/fd/%d" % olddirfd, syscalls.AT_FDCWD, AT_SYMLINK_FOLLOW
    follow = bool(flags & AT_SYMLINK_FOLLOW)
    os.link(old, new, src_dir_fd=olddirfd, dst_dir_fd=newdirfd, follow_symlinks=follow)


def _read(fd: int, offset: int, length: int) -> bytes:
    return os.read(fd, length) if offset < 0 else os.pread(fd, length, offset)


def _readinto(fd: int, offset: int, buffer: memoryview) -> int:
    return os.readv(fd, [buffer]) if offset < 0 else os.preadv(fd, [buffer], offset)


def _write(fd: int, offset: int, data: memoryview) -> int:
    return os.write(fd, data) if offset < 0 else os.pwrite(fd, data, offset)


def _splice(fd_in: int, offset_in: int, fd_out: int, offset_out: int, length: int, flags: int) -> int:
    source = None if offset_in < 0 else offset_in
    target = None if offset_out < 0 else offset_out
    return os.splice(fd_in, fd_out, length, offset_src=source, offset_dst=target, flags=flags)
