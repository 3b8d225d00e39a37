"""Copies that the server makes itself: FSCTL_SRV_COPYCHUNK ([MS-SMB2] 3.2.4.20.2)."""

from __future__ import annotations

from collections.abc import Callable

from frevo.client.connection.messages import Element, FileId
from frevo.client.errors import ConnectionLost, remote_error
from frevo.client.tree.requests import SHARE_ALL, opening_for_mode
from frevo.client.tree.tree import Tree
from frevo.errors import WireError
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FsctlCode
from frevo.wire.smb2 import (
    Command,
    IoctlRequest,
    IoctlResponse,
    SrvCopychunk,
    SrvCopychunkCopy,
    SrvCopychunkResponse,
    SrvRequestResumeKeyResponse,
)

#: Limits that every server accepts ([MS-SMB2] 3.3.3: 256 chunks, 1 MiB each, 16 MiB together).
CHUNK_BYTES = 1 << 20
CHUNKS = 16


async def copy_file(
    tree: Tree, source: str, target: str, *, overwrite: bool, progress: Callable[[int], object] | None
) -> int:
    """Copies the data of *source* to *target*, not through the client; returns the number of bytes."""
    read = await tree.create(opening_for_mode(source, "r", SHARE_ALL), source)
    try:
        write = await tree.create(opening_for_mode(target, "w+" if overwrite else "x+", SHARE_ALL), target)
        try:
            key = await resume_key(tree, read.file_id, source)
            return await _copy(tree, key, write.file_id, read.end_of_file, target, progress)
        except ConnectionLost as error:
            error.unsent = False  # the target has been made
            raise
        finally:
            tree.close_later(write.file_id)
    finally:
        tree.close_later(read.file_id)


async def resume_key(tree: Tree, file_id: FileId, path: str) -> bytes:
    answer = await tree.ioctl(FsctlCode.SRV_REQUEST_RESUME_KEY, b"", 32, file_id, path)
    return SrvRequestResumeKeyResponse.parse(answer.output_buffer).resume_key


async def _copy(
    tree: Tree, key: bytes, target: FileId, size: int, path: str, progress: Callable[[int], object] | None
) -> int:
    position, chunk, count = 0, CHUNK_BYTES, CHUNKS
    while position < size:
        end = min(size, position + chunk * count)
        chunks = [SrvCopychunk(at, at, min(chunk, end - at)) for at in range(position, end, chunk)]
        body = IoctlRequest(
            int(FsctlCode.SRV_COPYCHUNK), target, SrvCopychunkCopy(key, chunks).pack(), 0, 12
        ).pack()
        (reply,) = await tree.call([Element(Command.IOCTL, body)])
        if reply.status not in (NTStatus.SUCCESS, NTStatus.INVALID_PARAMETER):
            raise remote_error(reply.status, path, "copying on the server")
        try:
            said = SrvCopychunkResponse.parse(IoctlResponse.parse(reply.message).output_buffer)
        except WireError:
            raise remote_error(reply.status, path, "copying on the server") from None
        if reply.status == NTStatus.INVALID_PARAMETER:  # the response has the server's limits
            if said.chunk_bytes_written >= chunk and said.chunks_written >= count:
                raise remote_error(reply.status, path, "copying on the server")
            chunk, count = min(chunk, said.chunk_bytes_written), min(count, said.chunks_written)
            if not chunk or not count:
                raise remote_error(reply.status, path, "copying on the server")
            continue
        if not said.total_bytes_written:
            raise remote_error(NTStatus.DISK_FULL, path, "copying on the server")
        if said.total_bytes_written > end - position:
            raise WireError(f"{said.total_bytes_written} bytes copied of {end - position}")
        position += said.total_bytes_written
        if progress is not None:
            progress(position)
    return position


async def copy_part(tree: Tree, key: bytes, start: int, target: FileId, to: int, size: int, path: str) -> int:
    """Copies up to *size* bytes from *start* of the open with the resume key *key* to *to* of *target* on the server.

    How many bytes that were: at most CHUNKS chunks at a time. RemoteError when the server does not.
    """
    size = min(size, CHUNKS * CHUNK_BYTES)
    chunks = [
        SrvCopychunk(start + at, to + at, min(CHUNK_BYTES, size - at)) for at in range(0, size, CHUNK_BYTES)
    ]
    data = SrvCopychunkCopy(key, chunks).pack()
    answer = await tree.ioctl(FsctlCode.SRV_COPYCHUNK_WRITE, data, 12, target, path)
    count = int(SrvCopychunkResponse.parse(answer.output_buffer).total_bytes_written)
    if count > size:
        raise WireError(f"{count} bytes copied of {size}")
    return count
