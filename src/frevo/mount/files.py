"""FUSE requests about open files: OPEN, CREATE, READ, WRITE, FLUSH, FSYNC, RELEASE, FALLOCATE, COPY_FILE_RANGE."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
from collections.abc import Awaitable

from frevo.client.connection.messages import Reply
from frevo.client.errors import RemoteError
from frevo.client.share.file import File
from frevo.errors import WireError
from frevo.fuse import abi
from frevo.fuse.abi import DATA_MAX, Buffer, Opcode, OpenFlags
from frevo.fuse.session import Answer, Handler, Promise, Request
from frevo.mount.handles import Handle
from frevo.mount.names import is_regular
from frevo.mount.nodes import Node
from frevo.mount.ranges import Owner
from frevo.mount.room import find_room, make_room
from frevo.mount.state import State, failure
from frevo.mount.writing import Writes
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import CloseResponse, CreateResponse, ReadResponse

log = logging.getLogger(__name__)

#: Statuses that may be caused by one of our own closes that is still under way.
_BUSY = (NTStatus.SHARING_VIOLATION, NTStatus.DELETE_PENDING)


class Files:
    def __init__(self, state: State) -> None:
        self._state = state

    def handlers(self) -> dict[int, Handler]:
        """The handlers by opcode."""
        return {
            Opcode.OPEN: self.open,
            Opcode.CREATE: self.create,
            Opcode.MKNOD: self.mknod,
            Opcode.READ: self.read,
            Opcode.WRITE: self.write,
            Opcode.FLUSH: self.flush,
            Opcode.FSYNC: self.fsync,
            Opcode.RELEASE: self.release,
            Opcode.FALLOCATE: self.fallocate,
            Opcode.LSEEK: self.lseek,
            Opcode.COPY_FILE_RANGE: self.copy_file_range,
        }

    # -- opens

    async def open(self, request: Request) -> Answer:
        """Asks the server each time, so that changes others have made before closing are seen (close-to-open)."""
        state = self._state
        node = state.table[request.node]
        flags, _ = abi.OPEN.unpack_from(request.body)
        if flags & os.O_TRUNC and node.writes is not None:
            await node.writes.settle()
        try:
            file, opened = await state.remote.open(node.path, flags)
        except FileNotFoundError:
            state.vanished(node)
            raise failure(errno.ESTALE) from None  # then the kernel looks the name up, and may create it
        handle = Handle(node, file, flags)
        node.handles.add(handle)
        if node.stat is not None:
            self._learn(node, opened)
        version = (opened.last_write_time, opened.end_of_file)
        keep = node.cached == version and not flags & os.O_TRUNC
        node.cached = version
        wanted = OpenFlags.KEEP_CACHE if keep else 0
        if flags & os.O_TRUNC:
            node.kernel_size = 0
        elif node.kernel_size != opened.end_of_file and not node.writes:
            state.session.notify(abi.invalidate_attributes(node.number))
            if flags & os.O_APPEND:  # the kernel would write where it thinks that the end is
                handle.appends, wanted = True, OpenFlags.DIRECT_IO
        return abi.open_out(state.numbers.add(handle), wanted)

    def _learn(self, node: Node, opened: CreateResponse | CloseResponse) -> None:
        """Takes the metadata in a response of CREATE or CLOSE, which has neither the file's number nor its links."""
        assert node.stat is not None
        node.learn(
            type(node.stat)(
                opened.end_of_file, opened.file_attributes, opened.creation_time, opened.last_access_time,
                opened.last_write_time, opened.change_time, opened.allocation_size, node.stat.file_id,
                node.stat.links,
            ),
            self._state.fresh_until(),
        )  # fmt: skip

    async def create(self, request: Request) -> Answer:
        """A new file, or an existing one that the kernel did not know."""
        flags, mode, _, _ = abi.CREATE.unpack_from(request.body)
        node, file = await self._created(request, abi.CREATE.size, flags, mode)
        handle = Handle(node, file, flags)
        node.handles.add(handle)
        assert node.stat is not None
        node.cached = (node.stat.last_write_time, node.stat.size)
        return self._state.entry(node), abi.open_out(self._state.numbers.add(handle))

    async def mknod(self, request: Request) -> Answer:
        """Makes an empty file; SMB has no devices, pipes or sockets."""
        mode, _, _, _ = abi.MKNOD.unpack_from(request.body)
        if not is_regular(mode):
            raise failure(errno.EPERM)
        node, file = await self._created(request, abi.MKNOD.size, os.O_EXCL | os.O_WRONLY, mode)
        self._state.close_later(self._closed(node, file))
        return self._state.entry(node)

    async def _created(self, request: Request, offset: int, flags: int, mode: int) -> tuple[Node, File]:
        state = self._state
        parent, name = state.parent_and_name(request, offset)
        try:
            file, found = await state.remote.create(parent.at(name), flags, mode)
        except RemoteError as error:
            if error.ntstatus not in _BUSY or not await state.closed():
                raise
            file, found = await state.remote.create(parent.at(name), flags, mode)
        state.appeared(parent, name)
        node = state.table.found(parent, name, found)
        node.learn(found, state.fresh_until())
        return node, file

    async def release(self, request: Request) -> Answer:
        """The last descriptor is closed. The kernel does not wait for this; operations that need the name do."""
        number, _, flags, owner = abi.RELEASE.unpack_from(request.body)
        handle = self._state.numbers.pop(number, Handle)
        self._state.close_later(self._released(handle, owner if flags & abi.RELEASE_FLOCK_UNLOCK else None))
        return b""

    async def _released(self, handle: Handle, flock_owner: int | None) -> None:
        node = handle.node
        if flock_owner is not None:
            await self._unlocked(node, (True, flock_owner))
        if handle.writable and node.writes is not None:
            await node.writes.settle()
        if handle.error is not None:
            log.warning("%s: %s, after the last program had closed it", handle.file.path, handle.error)
        node.handles.discard(handle)
        if node.locks is not None and not node.handles:
            locks, node.locks = node.locks, None
            with contextlib.suppress(OSError):
                await locks.close()
        await self._closed(node, handle.file)

    async def _unlocked(self, node: Node, owner: Owner) -> None:
        if node.locks is not None:
            with contextlib.suppress(OSError):  # a connection that is lost has no locks
                await node.locks.release(owner)

    async def _closed(self, node: Node, file: File) -> None:
        try:
            known = await self._state.remote.close(file)
        except OSError as error:
            if not isinstance(error, ConnectionError):
                log.warning("%s: error on close: %s", file.path, error)
            return
        if known is not None and node.stat is not None and not node.writes:
            if file.mode != "rb":  # the kernel's pages are up to date
                node.cached = (known.last_write_time, known.end_of_file)
            self._learn(node, known)

    # -- data

    def _open_file(self, number: int) -> Handle:
        return self._state.numbers.get(number, Handle)

    def read(self, request: Request) -> Awaitable[Answer] | Promise:
        """One READ, whose data goes straight from the message to the kernel; `_read` if that is not possible."""
        number, offset, size, *_ = abi.READ.unpack_from(request.body)
        handle = self._open_file(number)
        writes = handle.node.writes
        if writes is None or not writes.overlaps(offset, offset + size):
            under_way = self._reader(handle).begin_read(size, offset)
            if under_way is not None:
                return Promise(under_way, lambda future: self._received(future, handle, offset, size))
        return self._read(handle, offset, size)

    def _received(
        self, future: asyncio.Future[Reply], handle: Handle, offset: int, size: int
    ) -> Answer | Awaitable[Answer]:
        data = None if future.exception() is not None else _data_of(future.result())
        if data is not None and len(data) <= size:
            stat = handle.node.stat
            if len(data) == size or (stat is not None and offset + len(data) >= stat.size):
                return data
        return self._read(handle, offset, size)

    async def _read(self, handle: Handle, offset: int, size: int) -> Answer:
        """In as many requests as it takes, after a reconnect perhaps, when all writes before it have arrived."""
        writes = handle.node.writes
        if writes is not None and writes.overlaps(offset, offset + size):
            await writes.settle(offset, offset + size)
        return await self._reader(handle).pread(size, offset)

    @staticmethod
    def _reader(handle: Handle) -> File:
        """An open for reading: the kernel reads pages through any open of the file."""
        if handle.readable:
            return handle.data_file
        found = next((one for one in handle.node.handles if one.readable and not one.file.closed), None)
        if found is None:
            raise failure(errno.EBADF)
        return found.data_file

    def write(self, request: Request) -> Answer | Awaitable[Answer]:
        """The program continues as soon as its data is buffered; errors are reported at the latest when it closes."""
        number, offset, size, *_ = abi.WRITE.unpack_from(request.body)
        handle = self._open_file(number)
        handle.raise_error()
        node = handle.node
        writes = node.writes
        if writes is None:
            writes = node.writes = Writes(self._state.session, self._state.budget)
        if handle.synchronous or handle.appends or not writes.has_room(offset, size):
            return self._write_in_turn(request, handle, writes, offset, size)
        return self._take(request, handle, writes, offset, size)

    def _take(self, request: Request, handle: Handle, writes: Writes, offset: int, size: int) -> Answer:
        """Sends the data. If it is large, the message's buffer goes with it."""
        assert isinstance(request.body, memoryview)
        session = self._state.session
        buffer = session.keep(request)
        data = request.body[abi.WRITE.size : abi.WRITE.size + size]
        request.body.release()
        self._grown(handle.node, offset + size)
        if not handle.synchronous:  # sent while the program produces its next data
            session.answer_now(request, abi.write_out(size))
        if not writes.add(handle, offset, data, buffer):
            data.release()
            session.give_buffer(buffer)
        return abi.write_out(size) if handle.synchronous else None

    def _grown(self, node: Node, end: int) -> None:
        node.resize(max(end, node.stat.size if node.stat is not None else 0))
        node.cached = None

    async def _write_in_turn(
        self, request: Request, handle: Handle, writes: Writes, offset: int, size: int
    ) -> Answer:
        if handle.appends:
            await writes.settle()
            assert handle.node.stat is not None
            offset = handle.node.stat.size
        else:
            await writes.room(offset, size)
        answer = self._take(request, handle, writes, offset, size)
        if handle.synchronous:
            await writes.settle(offset, offset + size)
            handle.raise_error()
            await handle.file.flush()
        return answer

    async def flush(self, request: Request) -> Answer:
        """close(2): returns when everything is on the server, or the error."""
        number, _, _, owner = abi.FLUSH.unpack_from(request.body)
        handle = self._open_file(number)
        try:
            await self._settled(handle)
        finally:
            await self._unlocked(handle.node, (False, owner))
        return b""

    async def fsync(self, request: Request) -> Answer:
        """Returns when everything is on the server's disk."""
        handle = self._open_file(abi.FSYNC.unpack_from(request.body)[0])
        await self._settled(handle)
        if handle.writable:
            await handle.file.flush()
        return b""

    async def _settled(self, handle: Handle) -> None:
        if handle.writable and handle.node.writes is not None:
            await handle.node.writes.settle()
        handle.raise_error()

    async def fallocate(self, request: Request) -> Answer:
        """Room, zeros or a hole (`mount/room.py`). The kernel has written its dirty pages and drops what it has of the
        range before it asks for zeros or a hole."""
        number, offset, length, mode, _ = abi.FALLOCATE.unpack_from(request.body)
        handle = self._open_file(number)
        await self._settled(handle)
        size = await make_room(handle.data_file, offset, length, mode)
        handle.node.resize(size)
        handle.node.cached = None
        return b""

    async def lseek(self, request: Request) -> Answer:
        """SEEK_DATA and SEEK_HOLE; the kernel does the others by itself."""
        number, offset, whence, _ = abi.LSEEK.unpack_from(request.body)
        handle = self._open_file(number)
        await self._settled(handle)
        if whence not in (os.SEEK_DATA, os.SEEK_HOLE):
            raise failure(errno.EINVAL)
        reader = self._reader(handle)
        return abi.LSEEK_OUT.pack(await find_room(reader, offset, data=whence == os.SEEK_DATA))

    async def copy_file_range(self, request: Request) -> Answer:
        """The server copies the data. If it cannot, the kernel reads and writes."""
        number, start, _, target_number, to, size, _ = abi.COPY_FILE_RANGE.unpack_from(request.body)
        source, target = self._open_file(number), self._open_file(target_number)
        await self._settled(source)
        await self._settled(target)
        size = min(size, max(0, await source.file.size() - start))
        if source.node is target.node or size < DATA_MAX:
            raise failure(errno.EOPNOTSUPP)
        try:
            done = await self._state.remote.copy_range(source.data_file, start, target.data_file, to, size)
        except RemoteError as error:
            if isinstance(error, ConnectionError):
                raise
            raise failure(errno.EOPNOTSUPP) from None
        self._grown(target.node, to + done)
        return abi.write_out(done)


def _data_of(reply: Reply) -> Buffer | None:
    """The data of a READ; None if the response needs further handling."""
    if reply.status == NTStatus.END_OF_FILE:
        return b""
    try:
        return ReadResponse.parse(reply.message).data if reply.status == NTStatus.SUCCESS else None
    except WireError:
        return None
