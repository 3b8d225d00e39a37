"""An open file: reads and writes at a position or anywhere, seek, truncate, flush, metadata of the open."""

from __future__ import annotations

import asyncio
import errno
import functools
import os
import warnings
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar

from frevo.client.connection.connection import Element, Reply
from frevo.client.errors import ConnectionLost, RemoteError
from frevo.client.lasting.link import REPEATS, LastingTree, is_gone, malformed
from frevo.client.transfer import data as transfer
from frevo.client.transfer.spread import BULK_BYTES, SPREAD_BYTES, Spread, Twin, Twins
from frevo.client.tree import requests
from frevo.client.tree.stat import Stat, stat_of
from frevo.client.tree.tree import FileId, Tree
from frevo.errors import WireError
from frevo.wire.dtyp.access import FILE_GENERIC_READ, FILE_GENERIC_WRITE
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FileAllInformation, FileEndOfFileInformation, FileInfoClass
from frevo.wire.smb2 import (
    Command,
    CreateDisposition,
    CreateRequest,
    CreateResponse,
    FileAccess,
    FlushRequest,
    QueryInfoResponse,
)

_T = TypeVar("_T")

#: The letter of a mode to what happens to the name; see `open`.
_DISPOSITIONS = {
    "r": CreateDisposition.OPEN,
    "w": CreateDisposition.OVERWRITE_IF,
    "x": CreateDisposition.CREATE,
    "a": CreateDisposition.OPEN_IF,
}


@functools.lru_cache(64)
def _asked(mode: str) -> tuple[int, int]:
    """(access, disposition) of a mode."""
    letters = set(mode) - {"b"}
    kind = letters - {"+"}
    if len(kind) != 1 or not kind <= set(_DISPOSITIONS) or len(mode) != len(set(mode)):
        raise ValueError(f"mode {mode!r}: one of r, w, x, a, with b and + if you like (no text)")
    letter = kind.pop()
    read, write = letter == "r" or "+" in letters, letter != "r" or "+" in letters
    access = int(FileAccess.READ_ATTRIBUTES)
    access |= FILE_GENERIC_READ if read else 0
    access |= FILE_GENERIC_WRITE if write else 0
    return int(access), int(_DISPOSITIONS[letter])


def request_for(path: str, mode: str, share_access: int) -> CreateRequest:
    """CREATE for a mode of the built-in open(): r, w, x or a, with b and + if you like. ValueError for others."""
    access, disposition = _asked(mode)
    return requests.opening(
        path, access, disposition=disposition, options=requests.NOT_DIRECTORY, share_access=share_access
    )


class File:
    """A file open on the server. Binary, unbuffered; several reads and writes may run at a time (`pread`, …).

    A file that is only read is opened again when the connection had to be made anew, provided that it is the same,
    unchanged; one that is written is not: ConnectionLost says so.
    """

    def __init__(
        self, place: LastingTree, tree: Tree, path: str, mode: str, request: CreateRequest, opened: CreateResponse
    ) -> None:  # fmt: skip
        self._place = place
        self.tree = tree  # what the FileId belongs to
        self.path = path
        self.mode = mode
        self.opened = opened
        self._request = request
        self._id: FileId | None = opened.file_id
        self._behind = self._only_read and request.share_access == requests.SHARE_ALL
        self._position = opened.end_of_file if "a" in mode else 0
        self._moved = 0  # in large pieces
        self._twins: Twins | None = None
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

    # -- at a place

    async def pread(self, size: int, offset: int) -> bytes:
        """Up to *size* bytes at *offset*; fewer only at the end of the file."""
        if size >= BULK_BYTES:
            parts: list[memoryview] = []
            while size > 0:  # memory for what comes, as a server may promise any size
                buffer = memoryview(bytearray(min(size, transfer.BUFFER_BYTES)))
                count = await self.preadinto(buffer, offset)
                parts.append(buffer[:count])
                offset, size = offset + count, size - count if count == len(buffer) else 0
            return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)
        return await self._lasting(
            lambda: transfer.read_bytes(self.tree, self.file_id, offset, size, self.path)
        )

    async def preadinto(self, buffer: Any, offset: int) -> int:
        """Fills *buffer* (bytearray, memoryview, numpy array) from *offset* on; how many bytes there were."""
        with memoryview(buffer) as view:
            if view.readonly:
                raise TypeError(f"{type(buffer).__name__} is read-only: it cannot be read into")
            if not view.nbytes:
                return 0
            with view.cast("B") as target:
                if view.nbytes >= BULK_BYTES:
                    return await self._bulk("read", offset, view.nbytes, buffer=target)
                return await self._lasting(
                    lambda: transfer.read_into(self.tree, self.file_id, target, offset, self.path)
                )

    async def pwrite(self, data: Any, offset: int) -> int:
        """Writes all of *data* at *offset*."""
        with memoryview(data) as view:
            if not view.nbytes:
                return 0
            with view.cast("B") as source:
                if view.nbytes >= BULK_BYTES:
                    return await self._bulk("write", offset, view.nbytes, buffer=source)
                return await self._lasting(
                    lambda: transfer.write_from(self.tree, self.file_id, source, offset, self.path)
                )

    def begin_read(self, size: int, offset: int) -> asyncio.Future[Reply] | None:
        """One READ under way, or None: then `pread` has to do it. Its answer may be an error, and short."""
        return transfer.begin_read(self.tree, self.file_id, offset, size)

    def begin_write(self, data: memoryview, offset: int) -> asyncio.Future[Reply] | None:
        """One WRITE under way, or None: then `pwrite` has to do it. Its answer may be an error. *data* is free."""
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

        They do not pass through Python. *progress* is told now and then how many are done; *local* names *fd* in
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
        local: str | None = None, **place: Any,
    ) -> int:  # fmt: skip
        """A large transfer, over several connections when much is moved; `place` is as for `transfer.stream`."""
        spread = Spread(kind, offset, size, self.path, progress, local, place)
        twins = self._helpful(size)
        if twins is None:
            return await self._lasting(lambda: spread.alone(self.tree, self.file_id))
        return await self._lasting(lambda: spread.together(Twin(self.tree, self.file_id), twins, self))

    def _helpful(self, size: int) -> Twins | None:
        """Its opens on further connections, when those are worth it."""
        self._moved += size
        siblings = self._place.siblings
        if self._moved < SPREAD_BYTES or size < BULK_BYTES or siblings.for_one_file == 1:
            return None
        if self._twins is None:
            self._twins = Twins(siblings, self._request, not self._only_read)
        return self._twins

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
        """Moves the position; it is returned. ValueError for one before the beginning."""
        if whence == os.SEEK_END:
            return self.seek_here(await self.size() + offset)
        return self.seek_here(offset, whence)

    def seek_here(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """`seek` that has to ask nobody: from the beginning or the position."""
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
        """What the server knows about it now."""

        async def asked() -> Stat:
            query = requests.query_file(FileInfoClass.ALL, self.file_id)
            reply = await self.tree.one(query, self.path, allow=(NTStatus.BUFFER_OVERFLOW,))
            return stat_of(FileAllInformation.parse(QueryInfoResponse.parse(reply.message).buffer))

        return await self._lasting(asked)

    async def size(self) -> int:
        """Its size now."""
        return (await self.stat()).size

    async def truncate(self, size: int | None = None) -> int:
        """Cuts or extends it to *size*, the position by default."""
        size = self._position if size is None else size
        data = FileEndOfFileInformation(size).pack()
        await self._one(lambda: requests.set_file(FileInfoClass.END_OF_FILE, data, self.file_id))
        return size

    async def flush(self) -> None:
        """What was written is on the server's disk when this returns."""
        await self._one(lambda: Element(Command.FLUSH, FlushRequest(self.file_id).pack()))

    async def close(self) -> None:
        """Closes it; a second time does nothing.

        A file that could only be read, by everybody, has no error to tell: its CLOSE leaves with the next request or in
        the next turn of the loop, and the answer is not waited for (neither can this be cancelled). What such an open
        would be in the way of waits for it: `remove`, `rmdir`, `rename` and opens that exclude others on the same
        server from the same event loop, and the `close` of the share. Any other file is closed on the server when this
        returns; an OSError says what went wrong with late writes. [MS-SMB2] 3.2.4.5.
        """
        if self._id is None:
            return
        file_id, self._id = self._id, None
        try:
            if self._twins is not None:
                await self._twins.close()
        finally:
            if not (self._behind and self.tree.close_behind(file_id)):
                await self._close(file_id)

    async def _close(self, file_id: FileId) -> None:
        try:
            await self.tree.close(file_id)
        except RemoteError as error:
            if not (is_gone(error) and self._only_read):  # the server has closed it
                raise

    def close_later(self) -> None:
        """From any thread: closes it some time soon. Nobody is told whether that worked."""
        if self._id is not None:
            file_id, self._id = self._id, None
            if self._twins is not None:
                self.tree.connection.plane.soon(self._twins.close_later)
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
        elif self._id is not None:  # the error that is on its way says more than a CLOSE that fails too
            file_id, self._id = self._id, None
            if self._twins is not None:
                self._twins.close_later()
            self.tree.close_later(file_id)

    # -- on another connection

    @property
    def _only_read(self) -> bool:
        return "r" in self.mode and "+" not in self.mode

    async def _one(self, make: Callable[[], Element], allow: Iterable[int] = ()) -> Reply:
        """The answer of one request on the open file."""
        return await self._lasting(lambda: self.tree.one(make(), self.path, allow=allow))

    async def _lasting(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """The result of *work*, which is done again when the file could be opened again."""
        left = REPEATS
        while True:
            tree = self.tree
            try:
                return await work()
            except WireError as error:
                raise malformed(tree.connection, error) from error
            except RemoteError as error:
                left -= 1
                if left < 0 or not is_gone(error):
                    raise
                await self._renew(tree, error)

    async def _renew(self, gone: Tree, error: RemoteError) -> None:
        """Opens the file again; one does it for all. An exception when that would not be the same file."""
        async with self._lock:
            if self.tree is not gone:
                return
            if error.ntstatus == NTStatus.NETWORK_SESSION_EXPIRED:
                if await self._place.renewed(gone, error) is gone:
                    return
            if not self._only_read:
                raise _lost_while_written(error, self.path)
            await self._place.renewed(gone, error)
            fresh, opened = await self._place.run(self._reopened, self.path)
            if self._id is None or not _same(self.opened, opened):
                fresh.close_later(opened.file_id)
                raise _changed(error, self.path)
            self.tree, self._id = fresh, opened.file_id

    async def _reopened(self, tree: Tree, path: str) -> tuple[Tree, CreateResponse]:
        return tree, await tree.create(self._request, path)

    def seekable(self) -> bool:
        """Always."""
        return True

    def __repr__(self) -> str:
        return f"<File {self.path!r} mode {self.mode!r}{' closed' if self.closed else ''}>"


async def check_end(file: File, position: int) -> None:
    """For who read *position* bytes of *file* and no more: RemoteError (EIO) when it is longer than that."""
    size = await file.size()
    if size > position:
        text = f"the server gave {position} of {size} bytes and then said that the file ends"
        raise RemoteError(errno.EIO, text, file.path)


def _same(before: CreateResponse, now: CreateResponse) -> bool:
    """The file that was open, unchanged, as far as size and times tell: an index number costs a request an open."""
    return (before.change_time, before.last_write_time, before.end_of_file) == (
        now.change_time, now.last_write_time, now.end_of_file,
    )  # fmt: skip


def _lost_while_written(error: RemoteError, path: str) -> ConnectionLost:
    hint = (
        "the file was open for writing, and what was not yet confirmed may be missing: open it again and look"
    )
    return _as_lost(error, hint, path)


def _changed(error: RemoteError, path: str) -> ConnectionLost:
    return _as_lost(error, "meanwhile the file was changed or replaced: open it again", path)


def _as_lost(error: RemoteError, hint: str, path: str) -> ConnectionLost:
    made = ConnectionLost(errno.ECONNRESET, f"{error.strerror}; {hint}", path)
    made.ntstatus = error.ntstatus
    return made
