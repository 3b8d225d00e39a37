"""`Ring` on a pool of threads, for kernels and containers without io_uring, and as the reference for tests."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import os
from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

from frevo._native import RingOperation as Code
from frevo.aio import syscalls
from frevo.aio.acting import carried
from frevo.aio.descriptor import hold_all, release_all
from frevo.aio.ring import Ring
from frevo.aio.syscalls import AT_EMPTY_PATH, AT_REMOVEDIR, AT_SYMLINK_FOLLOW

Job: TypeAlias = "concurrent.futures.Future[Any]"

#: More threads than processors: they wait for disks, and a slow disk should not delay a cached read.
THREADS_MAX = 16


class ThreadRing(Ring):
    """Every operation is one system call in a worker thread."""

    engine: ClassVar[str] = "threads"

    def __init__(self, loop: asyncio.AbstractEventLoop, reason: str) -> None:
        super().__init__(loop, reason)
        self._pool = concurrent.futures.ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="frevo-io")
        self._submitted = 0
        self._completed = 0

    def _start(self, code: int, args: tuple[Any, ...]) -> tuple[Job, asyncio.Future[Any]]:
        """The worker's references keep buffers alive until the call has returned, whatever happens to the task."""
        held, numbers = hold_all(args)
        try:
            job = self._pool.submit(carried(_CALLS[code]), *numbers)
        except BaseException:
            release_all(held)
            raise
        self._submitted += 1
        job.add_done_callback(lambda _: release_all(held))  # also if it was never started
        job.add_done_callback(self._count)
        return job, asyncio.wrap_future(job, loop=self._loop)

    def _give_up(self, operation: Job, undo: Callable[[Any], None] | None) -> None:
        if undo is not None:
            operation.add_done_callback(functools.partial(_undo, undo))

    def _count(self, _job: Job) -> None:
        self._completed += 1

    def statistics(self) -> dict[str, int]:
        flight = self._submitted - self._completed
        counters = {"submitted": self._submitted, "completed": self._completed, "enters": self._submitted}
        return {**counters, "in_flight": flight, "waiting": 0}

    def _shut(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _undo(undo: Callable[[Any], None], job: Job) -> None:
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


def _fsync(fd: int, datasync: bool) -> None:
    (os.fdatasync if datasync else os.fsync)(fd)


def _fgetxattr(fd: int, name: bytes, _size: int) -> bytes:
    return os.getxattr(fd, name)


#: The system call of each operation.
_CALLS: dict[int, Callable[..., Any]] = {
    Code.OPENAT2: syscalls.openat2,
    Code.STATX: syscalls.statx,
    Code.UNLINKAT: _unlinkat,
    Code.RENAMEAT2: syscalls.renameat2,
    Code.MKDIRAT: _mkdirat,
    Code.LINKAT: _linkat,
    Code.READ: _read,
    Code.READINTO: _readinto,
    Code.WRITE: _write,
    Code.FSYNC: _fsync,
    Code.FALLOCATE: syscalls.fallocate,
    Code.FGETXATTR: _fgetxattr,
    Code.FSETXATTR: os.setxattr,
    Code.SPLICE: _splice,
}
