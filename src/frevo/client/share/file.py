"""An open file: reads and writes at a position or anywhere, seek, truncate, flush, metadata of the open."""

from __future__ import annotations

import asyncio
import errno
import os
import warnings
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from frevo.client.connection.messages import Element, FileId, Reply
from frevo.client.errors import ConnectionLost, RemoteError
from frevo.client.lasting.connections import ShareConnections
from frevo.client.lasting.retry import is_gone, repeat
from frevo.client.transfer import data as transfer
from frevo.client.transfer.spread import BULK_BYTES, SPREAD_BYTES, FurtherOpens, Open, Spread
from frevo.client.tree import requests
from frevo.client.tree.stat import Stat, stat_of
from frevo.client.tree.tree import Tree
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FileAllInformation, FileEndOfFileInformation, FileInfoClass
from frevo.wire.smb2 import (
    Command,
    CreateRequest,
    CreateResponse,
    FlushRequest,
    QueryInfoResponse,
)


class File:
    """A file open on the server. Binary, unbuffered; several reads and writes may run at a time (`pread`, …).

    After a reconnect, a file that is only read is opened again if it is the same, unchanged file; for one that is
    written, ConnectionLost is raised.
    """

    def __init__(
        self, connections: ShareConnections, tree: Tree, path: str, mode: str, request: CreateRequest,
        opened: CreateResponse,
    ) -> None:  # fmt: skip
        self._connections = connections
        self.tree = tree  # on which the FileId is valid
        self.path = path
        self.mode = mode
        self.opened = opened
        self._request = request
        self._id: FileId | None = opened.file_id
        self._close_unawaited = self._only_read and request.share_access == requests.SHARE_ALL
        self._position = opened.end_of_file if "a" in mode else 0
        self._bulk_bytes = 0  # moved by large transfers
        self._further_opens: FurtherOpens | None = None
        self._lock = asyncio.Lock()

    @property
    def name(self) -> str:
        """The path within the share."""
        return self.path

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._id is None

    @property
    def file_id(self) -> FileId:
        """The FileId on the wire; ValueError when closed."""
        if self._id is None:
            raise ValueError(f"{self.path}: the file is closed")
        return self._id

    # -- at an offset

    async def pread(self, size: int, offset: int) -> bytes:
        """Up to *size* bytes at *offset*; fewer only at the end of the file."""
        if size >= BULK_BYTES:
            parts: list[memoryview] = []
            while size > 0:  # memory is allocated as data arrives, as a server may claim any size
                buffer = memoryview(bytearray(min(size, transfer.BUFFER_BYTES)))
                count = await self.preadinto(buffer, offset)
                parts.append(buffer[:count])
                offset, size = offset + count, size - count if count == len(buffer) else 0
            return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)
        return await repeat(
            lambda tree: transfer.read_bytes(tree, self.file_id, offset, size, self.path), self
        )

    async def preadinto(self, buffer: Any, offset: int) -> int:
        """Fills *buffer* (bytearray, memoryview, numpy array) from *offset* on; how many bytes there were."""
        with memoryview(buffer) as view:
            if view.readonly:
                raise TypeError(f"{type(buffer).__name__} is read-only: cannot read into it")
            if not view.nbytes:
                return 0
            with view.cast("B") as target:
                if view.nbytes >= BULK_BYTES:
                    return await self._bulk("read", offset, view.nbytes, buffer=target)
                return await repeat(
                    lambda tree: transfer.read_into(tree, self.file_id, target, offset, self.path), self
                )

    async def pwrite(self, data: Any, offset: int) -> int:
        """Writes all of *data* at *offset*."""
        with memoryview(data) as view:
            if not view.nbytes:
                return 0
            with view.cast("B") as source:
                if view.nbytes >= BULK_BYTES:
                    return await self._bulk("write", offset, view.nbytes, buffer=source)
                return await repeat(
                    lambda tree: transfer.write_from(tree, self.file_id, source, offset, self.path), self
                )

    def begin_read(self, size: int, offset: int) -> asyncio.Future[Reply] | None:
        """Begins one READ. None if it cannot be sent at once. The response may be an error, or short."""
        return transfer.begin_read(self.tree, self.file_id, offset, size)

    def begin_write(self, data: memoryview, offset: int) -> asyncio.Future[Reply] | None:
        """Begins one WRITE; *data* is free then. None if it cannot be sent at once. The response may be an error."""
        return transfer.begin_write(self.tree, self.file_id, offset, data)

    async def copy_to(
        self,
        fd: int,
        offset: int,
        size: int,
        *,
        local_offset: int = 0,
        local: str | None = None,
        progress: transfer.Progress | None = None,
    ) -> int:
        """Copies *size* bytes from *offset* on to *local_offset* of the descriptor *fd*; fewer at the end of the file.

        They do not pass through Python. *progress* gets the number of bytes now and then; *local* names *fd* in
        errors. When it is cancelled or fails, the last `spread.gaps_bytes(size)` of what was written may have gaps.
        """
        return await self._bulk(
            "read", offset, size, progress, local, fd=fd, local_offset=local_offset
        )  # fmt: skip

    async def copy_from(
        self,
        fd: int,
        offset: int,
        size: int,
        *,
        local_offset: int = 0,
        local: str | None = None,
        progress: transfer.Progress | None = None,
    ) -> int:
        """Copies *size* bytes from *local_offset* of the descriptor *fd* to *offset* of the file, as `copy_to`.

        Fewer only when the local file ends.
        """
        return await self._bulk(
            "write", offset, size, progress, local, fd=fd, local_offset=local_offset
        )  # fmt: skip

    async def _bulk(
        self, kind: str, offset: int, size: int, progress: transfer.Progress | None = None,
        local: str | None = None, **local_data: Any,
    ) -> int:  # fmt: skip
        """A large transfer, over several connections when much is moved; *local_data* is as for `transfer.stream`."""
        spread = Spread(kind, offset, size, self.path, progress, local, local_data)
        further = self._opens_worth_it(size)

        async def move(tree: Tree) -> int:
            first = Open(tree, self.file_id)
            return await (spread.alone(first) if further is None else spread.together(first, further, self))

        return await repeat(move, self, progress=lambda: spread.done)

    def _opens_worth_it(self, size: int) -> FurtherOpens | None:
        """The opens on further connections, if those are worth it for *size* bytes more."""
        self._bulk_bytes += size
        if self._bulk_bytes < SPREAD_BYTES or size < BULK_BYTES or self._connections.for_one_file == 1:
            return None
        if self._further_opens is None:
            self._further_opens = FurtherOpens(self._connections, self._request, not self._only_read)
        return self._further_opens

    # -- at the position

    async def read(self, size: int = -1) -> bytes:
        """Up to *size* bytes from the position on; without a size everything to the end."""
        if size is None or size < 0:
            size = max(0, await self.size() - self._position)
        data = await self.pread(size, self._position) if size else b""
        self._position += len(data)
        return data

    async def readinto(self, buffer: Any) -> int:
        """Fills *buffer* from the position on."""
        count = await self.preadinto(buffer, self._position)
        self._position += count
        return count

    async def write(self, data: Any) -> int:
        """Writes all of *data* at the position."""
        count = await self.pwrite(data, self._position)
        self._position += count
        return count

    async def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves the position and returns it. ValueError for a position before the beginning."""
        if whence == os.SEEK_END:
            return self.seek_here(await self.size() + offset)
        return self.seek_here(offset, whence)

    def seek_here(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """`seek` from the beginning or the position, which needs no request."""
        if whence not in (os.SEEK_SET, os.SEEK_CUR):
            raise ValueError(f"whence {whence}")
        position = offset + (self._position if whence == os.SEEK_CUR else 0)
        if position < 0:
            raise ValueError(f"position {position}")
        self._position = position
        return position

    def tell(self) -> int:
        """The position."""
        return self._position

    # -- the file as a whole

    async def stat(self) -> Stat:
        """Its current metadata on the server."""

        async def query(tree: Tree) -> Stat:
            request = requests.query_file(FileInfoClass.ALL, self.file_id)
            reply = await tree.one(request, self.path, allow=(NTStatus.BUFFER_OVERFLOW,))
            return stat_of(FileAllInformation.parse(QueryInfoResponse.parse(reply.message).buffer))

        return await repeat(query, self)

    async def size(self) -> int:
        """Its size now."""
        return (await self.stat()).size

    async def truncate(self, size: int | None = None) -> int:
        """Changes its size to *size*, by default to the position."""
        size = self._position if size is None else size
        data = FileEndOfFileInformation(size).pack()
        await self.exchange(lambda: requests.set_file(FileInfoClass.END_OF_FILE, data, self.file_id))
        return size

    async def flush(self) -> None:
        """Returns when everything written so far is on the server's disk."""
        await self.exchange(lambda: Element(Command.FLUSH, FlushRequest(self.file_id).pack()))

    async def close(self) -> None:
        """Closes it; a second call does nothing.

        A file that could only be read, and by others, too, has no error to report: its CLOSE is sent with the next
        request or in the next turn of the loop, without waiting for the response (and this cannot be cancelled).
        Operations that such an open would block wait for it: `remove`, `rmdir`, `rename` and opens that exclude others
        on the same server from the same event loop, and the `close` of the share. Any other file is closed on the
        server when this returns; an OSError reports failed late writes. [MS-SMB2] 3.2.4.5.
        """
        if self._id is None:
            return
        file_id = self.take_file_id()
        try:
            if self._further_opens is not None:
                await self._further_opens.close()
        finally:
            if not (self._close_unawaited and self.tree.close_unawaited(file_id)):
                await self._close(file_id)

    def take_file_id(self) -> FileId:
        """The FileId, which the caller then closes on `tree`; this object counts as closed. ValueError if it already
        is."""
        file_id = self.file_id
        self._id = None
        return file_id

    async def _close(self, file_id: FileId) -> None:
        try:
            await self.tree.close(file_id)
        except RemoteError as error:
            if not (is_gone(error) and self._only_read):  # the server has closed it
                raise

    def close_later(self) -> None:
        """Closes it soon, from any thread. Errors are ignored."""
        if self._id is not None:
            file_id = self.take_file_id()
            if self._further_opens is not None:
                self.tree.connection.plane.soon(self._further_opens.close_later)
            if not self.tree.connection.lost:
                self.tree.connection.plane.soon(self.tree.close_later, file_id)

    def __del__(self) -> None:
        connection = self.tree.connection
        if self._id is not None and not connection.lost and not connection.plane.inherited:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, source=self, stacklevel=2)
            self.close_later()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if kind is None:
            await self.close()
        elif self._id is not None:  # this error says more than that of CLOSE
            file_id = self.take_file_id()
            if self._further_opens is not None:
                self._further_opens.close_later()
            self.tree.close_later(file_id)

    # -- on another connection

    @property
    def _only_read(self) -> bool:
        return "r" in self.mode and "+" not in self.mode

    async def exchange(self, make: Callable[[], Element], allow: Iterable[int] = ()) -> Reply:
        """The response to a request on the open file, for operations without a method here.

        *make* is called again for the new `file_id` if the file was opened again. RemoteError for a status that is
        neither success nor in *allow*.
        """
        return await repeat(lambda tree: tree.one(make(), self.path, allow=allow), self)

    async def renewed(self, gone: Tree, error: RemoteError) -> None:
        """Opens the file again after *gone* has failed with *error*, once for all waiters.

        ConnectionLost if it is no longer the same, unchanged file, or if it is open for writing.
        """
        async with self._lock:
            if self.tree is not gone:
                return
            lasting = self._connections.first
            if error.ntstatus == NTStatus.NETWORK_SESSION_EXPIRED:
                if await lasting.renewed(gone, error) is gone:
                    return
            if not self._only_read:
                raise _lost_while_written(error, self.path)
            await lasting.renewed(gone, error)
            fresh, opened = await lasting.run(self._reopened, self.path)
            if self._id is None or not _same(self.opened, opened):
                fresh.close_later(opened.file_id)
                raise _changed(error, self.path)
            self.tree, self._id = fresh, opened.file_id

    async def _reopened(self, tree: Tree, path: str) -> tuple[Tree, CreateResponse]:
        return tree, await tree.create(self._request, path)

    def seekable(self) -> bool:
        """True: the position can always be moved."""
        return True

    def __repr__(self) -> str:
        return f"<File {self.path!r} mode {self.mode!r}{' closed' if self.closed else ''}>"


async def check_end(file: File, position: int) -> None:
    """Checks that *file*, which was read up to *position*, ends there: RemoteError (EIO) if it is longer."""
    size = await file.size()
    if size > position:
        text = f"the server returned {position} of {size} bytes and then reported the end of the file"
        raise RemoteError(errno.EIO, text, file.path)


def _same(before: CreateResponse, now: CreateResponse) -> bool:
    """Whether it is the same file, unchanged, by size and times: an index number would cost a request per open."""
    return (before.change_time, before.last_write_time, before.end_of_file) == (
        now.change_time, now.last_write_time, now.end_of_file,
    )  # fmt: skip


def _lost_while_written(error: RemoteError, path: str) -> ConnectionLost:
    hint = "the file was open for writing; unconfirmed data may be missing: open it again and check"
    return _as_lost(error, hint, path)


def _changed(error: RemoteError, path: str) -> ConnectionLost:
    return _as_lost(error, "the file was changed or replaced meanwhile: open it again", path)


def _as_lost(error: RemoteError, hint: str, path: str) -> ConnectionLost:
    made = ConnectionLost(errno.ECONNRESET, f"{error.strerror}; {hint}", path)
    made.ntstatus = error.ntstatus
    return made
