"""An open file or directory of the local file system."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from frevo.aio.acting import must_be_user
from frevo.aio.descriptor import Descriptor
from frevo.aio.ring import Ring
from frevo.errors import SMBError
from frevo.vfs.base import (
    Buffer,
    Change,
    DirectoryItem,
    FileIdentity,
    FileStat,
    Handle,
    OpenIntent,
    Quota,
    Watch,
)
from frevo.vfs.listing import list_directory
from frevo.vfs.metadata import FileMetadata
from frevo.vfs.names import wire_path_of
from frevo.vfs.security import read_descriptor, write_descriptor
from frevo.vfs.streams import list_streams
from frevo.vfs.transfer import (
    INLINE_BYTES,
    SLOW_BYTES,
    allocate,
    append_once,
    flush_file,
    read_all,
    read_cached,
    read_file,
    write_all,
    write_file,
    zero_all,
    zero_file,
)
from frevo.wire.erref import NTStatus

if TYPE_CHECKING:
    from frevo.vfs.local import LocalBackend

_T = TypeVar("_T")
_OFFSET_MAX: Final = (1 << 63) - 1


class LocalHandle(Handle):
    """A file or directory. Owns its descriptor; `target` is the real path that was opened (the end of a link)."""

    __slots__ = (
        "_backend",
        "_busy",
        "_file",
        "_intent",
        "_metadata",
        "_when_idle",
        "identity",
        "is_directory",
        "path",
        "stream",
    )

    def __init__(
        self,
        backend: LocalBackend,
        fd: int,
        *,
        path: str,
        identity: FileIdentity,
        is_directory: bool,
        intent: OpenIntent,
        readable: bool,
    ) -> None:
        self._backend = backend
        self._busy = 0
        self._when_idle: list[Callable[[], None]] = []
        self._file = Descriptor(fd)
        self._intent = intent
        self._metadata = FileMetadata(fd, readable=readable, xattrs=backend.xattrs)
        self.identity = identity
        self.is_directory = is_directory
        self.path = path
        self.stream = ""

    @property
    def fd(self) -> int | None:
        usable = not self._file.closed and self._intent and not self.is_directory
        return self._file.fileno() if usable else None

    @property
    def wire_path(self) -> str:
        return wire_path_of(self.path, self.stream)

    def follow(self, renamed: Handle) -> None:
        """Nothing to do: a file's name is its path, which the server updates."""

    @property
    def metadata(self) -> FileMetadata:
        """Metadata access. FILE_CLOSED after close."""
        self.descriptor()
        return self._metadata

    def descriptor(self) -> int:
        """The file descriptor, whatever it is open for. FILE_CLOSED after close."""
        if self._file.closed:
            raise SMBError(NTStatus.FILE_CLOSED)
        if self._backend.options.acted:
            must_be_user(self.path)
        return self._file.fileno()

    def stat(self) -> FileStat:
        return self.metadata.stat(hidden=self._backend.is_hidden_name(self.path))

    def set_basic(
        self,
        *,
        creation_time: int | None = None,
        last_access_time: int | None = None,
        last_write_time: int | None = None,
        change_time: int | None = None,
        attributes: int | None = None,
    ) -> None:
        metadata = self.metadata
        if creation_time is not None or attributes is not None:
            metadata.set_dos(attributes, creation_time)
        if last_access_time is not None or last_write_time is not None:
            metadata.set_times(last_access_time, last_write_time)

    def mark_archive(self) -> None:
        if not self._file.closed:  # by a lost connection
            self.metadata.mark_archive()

    def keep_access_time(self, keep: bool) -> None:
        fd = self.descriptor()
        with contextlib.suppress(OSError):  # another user's file, or a descriptor that reads nothing
            flags = fcntl.fcntl(fd, fcntl.F_GETFL)
            fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_NOATIME if keep else flags & ~os.O_NOATIME)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._sized(size), size)

    def _sized(self, size: int) -> int:
        """The descriptor, for a file that can have *size*."""
        if not 0 <= size <= _OFFSET_MAX:
            raise SMBError(NTStatus.INVALID_PARAMETER, "size out of range")
        return self.descriptor()

    def allocate(self, size: int) -> None:
        allocate(self._sized(size), size)

    def resizes_slowly(self, size: int, *, allocation: bool) -> bool:
        held = os.fstat(self._sized(size)).st_blocks * 512
        return held - size >= SLOW_BYTES or (allocation and size - held >= SLOW_BYTES)

    async def resize(self, size: int, *, allocation: bool) -> None:
        self._sized(size)
        ring = Ring.of(asyncio.get_running_loop())
        call = allocate if allocation else os.ftruncate
        await self.in_flight(ring.in_thread(call, self._file, size))

    def close_slowly(self) -> None:
        """`close`, which is still to come, waits for nothing: a thread gives the file's space back."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # a thread of a lane, which may take its time
            return
        Ring.of(loop).close_slowly(self._file)

    def _readable(self, offset: int, length: int) -> int:
        """The descriptor, checked for reading this range."""
        if offset < 0 or length < 0:
            raise SMBError(NTStatus.INVALID_PARAMETER, "negative offset or length")
        return self.descriptor()

    async def read(self, offset: int, length: int) -> Buffer:
        fd = self._readable(offset, length)
        if offset > _OFFSET_MAX - length:
            return b""
        if length <= INLINE_BYTES:
            data = read_cached(fd, offset, length)
            if data is not None:
                return data
        return await self.in_flight(read_file(self._file, offset, length))

    def read_now(self, offset: int, length: int) -> Buffer:
        """`read` in the calling thread; may block."""
        fd = self._readable(offset, length)
        return b"" if offset > _OFFSET_MAX - length else read_all(fd, offset, length)

    def _writable(self, offset: int, length: int) -> int:
        """The descriptor, checked for writing this range."""
        if not 0 <= offset <= _OFFSET_MAX - length:
            raise SMBError(NTStatus.INVALID_PARAMETER, "offset out of range")
        return self.descriptor()

    def write_now(self, offset: int, data: Buffer) -> int:
        """`write` in the calling thread; may block."""
        return write_all(self._writable(offset, len(data)), offset, data)

    def flush_now(self) -> None:
        """`flush` in the calling thread; may block."""
        fd = self.descriptor()
        if self._intent or self.is_directory:
            os.fsync(fd)

    async def write(self, offset: int, data: Buffer) -> int:
        fd = self._writable(offset, len(data))
        if len(data) <= INLINE_BYTES:
            return write_all(fd, offset, data)
        return await self.in_flight(write_file(self._file, offset, data))

    def append_now(self, data: Buffer) -> tuple[int, int]:
        """`append` in the calling thread; may block."""
        return append_once(self.descriptor(), data)

    async def append(self, data: Buffer) -> tuple[int, int]:
        if len(data) <= INLINE_BYTES:
            return self.append_now(data)
        self.descriptor()
        ring = Ring.of(asyncio.get_running_loop())
        return await self.in_flight(ring.in_thread(append_once, self._file, data))

    async def flush(self) -> None:
        self.descriptor()
        if self._intent or self.is_directory:
            await self.in_flight(flush_file(self._file))

    async def in_flight(self, operation: Coroutine[Any, Any, _T]) -> _T:
        """Runs *operation*, which may be several requests; the handle is busy and its descriptor stays open until it
        ends."""
        self._file.hold()
        self._busy += 1
        try:
            return await operation
        finally:
            self._busy -= 1
            self._file.release()
            # Not at once: the awaiting caller continues first.
            if self._when_idle and not self._busy:
                asyncio.get_running_loop().call_soon(self._idle)

    def _idle(self) -> None:
        if not self._busy:
            actions, self._when_idle = self._when_idle, []
            for action in actions:
                action()

    @property
    def busy(self) -> bool:
        return self._busy > 0

    def when_idle(self, action: Callable[[], None]) -> None:
        if self._busy:
            self._when_idle.append(action)
        else:
            action()

    def allocated_ranges(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        end = min(offset + length, os.fstat(self.descriptor()).st_size)
        while offset < end:
            fd = self.descriptor()  # seeks again, as the caller may wait between two ranges
            try:
                start = os.lseek(fd, offset, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:  # nothing but a hole from here
                    return
                raise
            if start >= end:
                return
            offset = min(os.lseek(fd, start, os.SEEK_HOLE), end)
            yield start, offset - start

    def _zeroed(self, beyond: int) -> tuple[int, bool]:
        """The end of the range to zero in this file, and whether it may become a hole."""
        end = min(beyond, os.fstat(self.descriptor()).st_size)
        return end, self._metadata.is_sparse()

    async def zero(self, offset: int, beyond: int) -> None:
        end, hole = self._zeroed(beyond)
        if offset < end:
            await self.in_flight(zero_file(self._file, offset, end, hole=hole))

    def zero_now(self, offset: int, beyond: int) -> None:
        """`zero` in the calling thread; may block."""
        end, hole = self._zeroed(beyond)
        if offset < end:
            zero_all(self.descriptor(), offset, end, hole=hole)

    def list_directory(self) -> Iterator[DirectoryItem]:
        return list_directory(self._backend, self.descriptor(), self.path)

    def extended_attributes(self) -> list[tuple[bytes, bytes]]:
        return self.metadata.extended_attributes()

    def set_extended_attributes(self, attributes: Iterable[tuple[bytes, bytes]]) -> None:
        self.metadata.set_extended_attributes(attributes)

    def drop_extras(self) -> None:
        self.metadata.drop_extras()

    def security_descriptor(self) -> bytes | None:
        metadata = self.metadata
        return read_descriptor(metadata.target) if metadata.xattrs else None

    def set_security_descriptor(self, descriptor: bytes) -> None:
        metadata = self.metadata
        if not metadata.xattrs:
            raise SMBError(NTStatus.NOT_SUPPORTED, "the file system does not support extended attributes")
        write_descriptor(metadata.target, descriptor)

    def streams(self) -> list[tuple[str, int, int]]:
        metadata = self.metadata
        found: list[tuple[str, int, int]] = []
        if not self.is_directory:
            status = os.fstat(self.descriptor())
            found.append(("", status.st_size, status.st_blocks * 512))
        if metadata.xattrs:
            found += [(name, size, size) for name, size in list_streams(metadata.target)]
        return found

    def watch(
        self,
        recursive: bool,
        filter: int,
        on_changes: Callable[[Sequence[Change]], None],
        on_overflow: Callable[[], None],
        quota: Quota | None = None,
    ) -> Watch:
        fd = self.descriptor()
        hub = self._backend.watch_hub()
        return hub.watch(
            fd,
            recursive=recursive,
            filter=filter,
            on_changes=on_changes,
            on_overflow=on_overflow,
            quota=quota,
        )

    def close(self) -> None:
        self._file.close()


def descriptor_of(handle: Handle) -> int:
    """The descriptor of one of this backend's handles; TypeError for others."""
    if not isinstance(handle, LocalHandle):
        raise TypeError("a handle of another backend")
    return handle.descriptor()


def after_unlink(handle: Handle) -> FileStat:
    """The metadata of a file that has lost a name; if it was the last of a large file, its removal is not waited
    for."""
    stat = handle.stat()
    if not stat.link_count and stat.allocation_size >= SLOW_BYTES and isinstance(handle, LocalHandle):
        handle.close_slowly()
    return stat
