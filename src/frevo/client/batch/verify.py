"""Checks transfers: SHA-256 of both ends, each read again afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
from collections.abc import Awaitable, Callable

from frevo.client.errors import RemoteError
from frevo.client.share.share import Share
from frevo.client.to_the_end import in_thread

#: Size of a buffer; each file that is read has two.
_PIECE_BYTES = 4 << 20


class Mismatch(RemoteError):
    """Source and copy differ, although the transfer reported no error."""


async def compare(share: Share, path: str, local: str) -> str:
    """The SHA-256 of *path*, read from the server, if it is that of the local file *local*.

    Otherwise Mismatch, or errors of reading either. The local file is first written to disk and removed from the page
    cache if possible, so that the stored data is read. If cancelled, nothing stays open.
    """
    return await _equal(path, remote_digest(share, path), local_digest(local), local)


async def compare_remote(source: Share, path: str, target: Share, copy: str) -> str:
    """As `compare`, for two files on servers."""
    return await _equal(copy, remote_digest(target, copy), remote_digest(source, path), path)


async def _equal(path: str, digest: Awaitable[str], other: Awaitable[str], where: str) -> str:
    found = await asyncio.gather(digest, other, return_exceptions=True)
    for one in found:
        if isinstance(one, BaseException):
            raise one
    if found[0] != found[1]:
        text = f"the copy differs from {where} (SHA-256 {found[0]} there, {found[1]} here): transfer it again"
        raise Mismatch(errno.EIO, text, path)
    return str(found[0])


async def remote_digest(share: Share, path: str) -> str:
    """The SHA-256 of a file on the server, in hexadecimal, read through a separate open."""
    async with share.open(path) as file:
        return await _digest(file.opened.end_of_file, file.preadinto)


async def local_digest(path: str) -> str:
    """The SHA-256 of a local file, in hexadecimal."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    async def read(buffer: bytearray, position: int) -> int:
        return await in_thread(os.preadv, fd, [buffer], position)

    try:
        with contextlib.suppress(OSError):  # not every file system has these
            await in_thread(os.fdatasync, fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        return await _digest(os.fstat(fd).st_size, read)
    finally:
        os.close(fd)


async def _digest(size: int, read: Callable[[bytearray, int], Awaitable[int]]) -> str:
    """One piece is hashed while the next one is read."""
    digest = hashlib.sha256()
    buffers = [bytearray(max(1, min(_PIECE_BYTES, size))) for _ in range(2)]
    position, index = 0, 0
    hashing: asyncio.Task[None] | None = None
    try:
        while count := await read(buffers[index], position):
            if hashing is not None:
                await hashing
            piece = memoryview(buffers[index])[:count]
            hashing = asyncio.create_task(in_thread(digest.update, piece))
            position, index = position + count, 1 - index
    finally:
        if hashing is not None:
            await asyncio.wait([hashing])
    return digest.hexdigest()
