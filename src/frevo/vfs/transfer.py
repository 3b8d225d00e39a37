"""Moving file data without blocking the event loop.

Data in the page cache is read directly (RWF_NOWAIT): a microsecond of copying is faster than any hand-over. Everything
else, and bulk data, goes through `frevo.aio.ring`.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from typing import Final

from frevo.aio.ring import Descriptor, Ring
from frevo.aio.syscalls import fallocate
from frevo.vfs.base import Buffer
from frevo.vfs.system import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE

#: Up to here a transfer that does not wait for the disk runs in the loop (a copy of 64 KiB takes about 10
#: us).
INLINE_BYTES: Final = 65536
#: The error of a file system that reserves no space, makes no holes or zeroes no ranges.
CANNOT_FALLOCATE: Final = (errno.EOPNOTSUPP, errno.ENOSYS)
#: Bytes reserved or freed in the loop: even a file with one extent per page takes only milliseconds.
SLOW_BYTES: Final = 16 << 20
_ZERO_CHUNK_BYTES: Final = 1 << 20
#: The errors of a file system without RWF_NOWAIT.
_CANNOT_TELL: Final = (errno.EOPNOTSUPP, errno.ENOSYS)


async def read_file(file: Descriptor, offset: int, length: int) -> Buffer:
    """Up to *length* bytes at *offset*, through the ring; fewer only at the end of the file."""
    ring = Ring.of(asyncio.get_running_loop())
    chunk = await ring.read(file, offset, length)
    if len(chunk) == length or not chunk:
        return chunk
    parts = bytearray(chunk)
    while len(parts) < length and (chunk := await ring.read(file, offset + len(parts), length - len(parts))):
        parts += chunk
    return parts


def read_all(fd: int, offset: int, length: int) -> Buffer:
    """Up to *length* bytes at *offset*, in the calling thread; fewer only at the end of the file."""
    chunk = os.pread(fd, length, offset)
    if len(chunk) == length or not chunk:
        return chunk
    parts = bytearray(chunk)
    while len(parts) < length and (chunk := os.pread(fd, length - len(parts), offset + len(parts))):
        parts += chunk
    return parts


def read_cached(fd: int, offset: int, length: int) -> Buffer | None:
    """The data if all of it is in the page cache; None if reading would block, or may."""
    buffer = bytearray(length)
    try:
        count = os.preadv(fd, (buffer,), offset, os.RWF_NOWAIT)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            return None
        if error.errno not in _CANNOT_TELL:
            raise
        return os.pread(fd, length, offset) if _is_in_memory(fd) else None
    if count == length:
        return buffer
    if offset + count < os.fstat(fd).st_size:
        return None
    del buffer[count:]
    return buffer


def _is_in_memory(fd: int) -> bool:
    """Whether the file is on tmpfs: only its files have seals. Unlike statfs(2), this asks no file system."""
    try:
        fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError:
        return False
    return True


def write_all(fd: int, offset: int, data: Buffer) -> int:
    """pwrite until everything is written or an error occurs; raises the error only if nothing was written before."""
    view = memoryview(data)
    done = 0
    while done < len(view):
        try:
            done += os.pwrite(fd, view[done:], offset + done)
        except OSError:
            if done:
                return done
            raise
    return done


def append_once(fd: int, data: Buffer) -> tuple[int, int]:
    """Write *data* at the end of the file: the kernel looks for it when nobody else writes. The count, and the offset
    behind it. Uses the position of *fd*."""
    count = os.pwritev(fd, (data,), -1, os.RWF_APPEND)
    return count, os.lseek(fd, 0, os.SEEK_CUR)


async def write_file(file: Descriptor, offset: int, data: Buffer) -> int:
    """Write all of *data* through the ring; returns the count, which is less only if the disk is full."""
    ring = Ring.of(asyncio.get_running_loop())
    view = memoryview(data)
    done = 0
    while done < len(view):
        try:
            done += await ring.write(file, offset + done, view[done:])
        except OSError:
            if done:
                return done
            raise
    return done


async def flush_file(file: Descriptor) -> None:
    """Write data and metadata to disk."""
    await Ring.of(asyncio.get_running_loop()).fsync(file)


async def zero_file(file: Descriptor, offset: int, end: int, *, hole: bool) -> None:
    """Make [offset, end) read as zeros, through the ring: it takes seconds for a file with many pieces."""
    ring = Ring.of(asyncio.get_running_loop())
    for mode in _zero_modes(hole):
        try:
            await ring.fallocate(file, mode, offset, end - offset)
            return
        except OSError as error:
            if error.errno not in CANNOT_FALLOCATE:
                raise
    for start in range(offset, end, _ZERO_CHUNK_BYTES):
        zeros = bytes(min(_ZERO_CHUNK_BYTES, end - start))
        if await write_file(file, start, zeros) < len(zeros):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def allocate(fd: int, size: int) -> None:
    """Reserves up to *size* bytes where the file system does that; ends a file that is longer."""
    if size < os.fstat(fd).st_size:
        os.ftruncate(fd, size)
    elif size:
        try:
            fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, size)
        except OSError as error:
            if error.errno not in CANNOT_FALLOCATE:
                raise


def zero_all(fd: int, offset: int, end: int, *, hole: bool) -> None:
    """`zero_file` in the calling thread."""
    for mode in _zero_modes(hole):
        try:
            fallocate(fd, mode, offset, end - offset)
            return
        except OSError as error:
            if error.errno not in CANNOT_FALLOCATE:
                raise
    for start in range(offset, end, _ZERO_CHUNK_BYTES):
        zeros = bytes(min(_ZERO_CHUNK_BYTES, end - start))
        if write_all(fd, start, zeros) < len(zeros):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _zero_modes(hole: bool) -> tuple[int, int]:
    """The modes to try: freeing the space or keeping it, and what the file system supports instead."""
    punch, zero = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE
    return (punch, zero) if hole else (zero, punch)
