"""Delayed writes: in order where they overlap, bounded, their errors kept for close().

A program's write() returns when its data is being sent; close() and fsync() return when all of it has arrived.
Consecutive small writes are sent together while others are under way.
"""

from __future__ import annotations

import asyncio
import errno
import math
from typing import TYPE_CHECKING, Any

import msgspec

from frevo.errors import WireError
from frevo.fuse import abi
from frevo.wire.smb2 import WriteResponse

if TYPE_CHECKING:
    from frevo.client.connection.messages import Reply
    from frevo.fuse.session import Session
    from frevo.mount.handles import Handle

#: Bytes of one file, and of all files, on their way to the server.
WINDOW_BYTES = 16 << 20
TOTAL_BYTES = 64 << 20
#: Larger writes are sent as they are; smaller ones may wait to be sent together.
SMALL_BYTES = 128 << 10


class Budget:
    """Bytes under way in the whole mount."""

    def __init__(self) -> None:
        self.used = 0


class _Gathered:
    """Consecutive small writes that wait for those under way."""

    __slots__ = ("buffer", "handle", "size", "start")

    def __init__(self, handle: Handle, start: int, buffer: bytearray) -> None:
        self.handle, self.start, self.buffer, self.size = handle, start, buffer, 0

    def add(self, data: memoryview) -> None:
        self.buffer[self.size : self.size + len(data)] = data
        self.size += len(data)


class _Write(msgspec.Struct, frozen=True):
    """One write on its way; *data* lies in *buffer*."""

    handle: Handle
    start: int
    data: memoryview
    buffer: bytearray


def _all_written(reply: Reply, write: _Write) -> bool:
    try:
        return reply.status == 0 and WriteResponse.parse(reply.message).count == len(write.data)
    except WireError:
        return False


class Writes:
    """The writes of one file."""

    def __init__(self, session: Session, budget: Budget) -> None:
        self._session = session
        self._budget = budget
        self._under_way: dict[asyncio.Future[Any], tuple[int, int]] = {}
        self._bytes = 0
        self._gathered: _Gathered | None = None
        self.end = 0  # where the file ends with them

    def __bool__(self) -> bool:
        return bool(self._under_way) or self._gathered is not None

    def overlaps(self, start: int, end: float) -> bool:
        """Whether data between these offsets is not on the server yet."""
        gathered = self._gathered
        if gathered is not None and gathered.start < end and start < gathered.start + gathered.size:
            return True
        return any(first < end and start < last for first, last in self._under_way.values())

    def has_room(self, start: int, size: int) -> bool:
        """Whether `add` may be called now."""
        if self._bytes and (self._bytes + size > WINDOW_BYTES or self._budget.used + size > TOTAL_BYTES):
            return False
        return not self or not self.overlaps(start, start + size)

    async def room(self, start: int, size: int) -> None:
        """Waits until `add` may be called."""
        while not self.has_room(start, size):
            self._send_gathered()
            await asyncio.wait(list(self._under_way), return_when=asyncio.FIRST_COMPLETED)

    def add(self, handle: Handle, start: int, data: memoryview, buffer: bytearray) -> bool:
        """Takes *data*, which is in *buffer*. True: the buffer is returned later; False: it is free now."""
        size = len(data)
        self.end = max(self.end, start + size)
        if size > SMALL_BYTES:
            self._send_gathered()
            self._send(handle, start, data, buffer)
            return True
        gathered = self._gathered
        follows = gathered is not None and (gathered.handle, gathered.start + gathered.size) == (
            handle,
            start,
        )
        if gathered is None or not follows or gathered.size + size > abi.DATA_MAX:
            self._send_gathered()
            gathered = self._gathered = _Gathered(handle, start, self._session.take_buffer())
        gathered.add(data)
        self._bytes += size
        self._budget.used += size
        if not self._under_way or gathered.size == abi.DATA_MAX:
            self._send_gathered()
        return False

    def _send_gathered(self) -> None:
        gathered, self._gathered = self._gathered, None
        if gathered is not None:
            self._bytes -= gathered.size
            self._budget.used -= gathered.size
            self._send(
                gathered.handle, gathered.start, memoryview(gathered.buffer)[: gathered.size], gathered.buffer
            )

    def _send(self, handle: Handle, start: int, data: memoryview, buffer: bytearray) -> None:
        size = len(data)
        self._bytes += size
        self._budget.used += size
        write = _Write(handle, start, data, buffer)
        under_way = handle.data_file.begin_write(data, start)
        if under_way is None:
            self._write(write)
        else:
            self._under_way[under_way] = (start, start + size)
            under_way.add_done_callback(lambda future: self._answered(future, write))

    def _answered(self, future: asyncio.Future[Reply], write: _Write) -> None:
        """Writes it again with `pwrite`, which can reconnect and raise errors, unless all of it was written."""
        good = not future.cancelled() and future.exception() is None and _all_written(future.result(), write)
        if not good:
            self._write(write)
        self._ended(future, None if not good else write)

    def _write(self, write: _Write) -> None:
        task = asyncio.get_running_loop().create_task(write.handle.data_file.pwrite(write.data, write.start))
        self._under_way[task] = (write.start, write.start + len(write.data))
        task.add_done_callback(lambda done: self._written(done, write))

    def _written(self, task: asyncio.Task[int], write: _Write) -> None:
        """Records the error, also of a task that was cancelled before its first step."""
        error = OSError(errno.EIO, "canceled") if task.cancelled() else task.exception()
        if error is not None:
            failure = error if isinstance(error, OSError) else OSError(errno.EIO, str(error))
            write.handle.error = failure
        self._ended(task, write)

    def _ended(self, future: asyncio.Future[Any], write: _Write | None) -> None:
        """*future* has ended, and with it *write*, unless that is None."""
        del self._under_way[future]
        if write is not None:
            self._bytes -= len(write.data)
            self._budget.used -= len(write.data)
            write.data.release()
            self._session.give_buffer(write.buffer)
        if not self._under_way:
            self._send_gathered()

    async def settle(self, start: int = 0, end: float = math.inf) -> None:
        """Waits until nothing between these offsets is under way; errors are kept in the handles."""
        while self.overlaps(start, end):
            self._send_gathered()
            await asyncio.wait(list(self._under_way), return_when=asyncio.FIRST_COMPLETED)
        if not self:
            self.end = 0
